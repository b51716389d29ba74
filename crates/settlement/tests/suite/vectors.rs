//! Hashes, signatures, charges and splits against the vectors that the contracts' tests wrote.

use alloy_primitives::keccak256;
use market::{
    Domain, Kind, Offer, Order, Outcome, Receipt, Session, Terms,
    document::{Intent, Purpose, TokenDomain, batch, deposit_nonce},
    escrow::Split,
    machine::Machine,
};
use primitives::{
    Address, Amount, B256, BasisPoints, DealId, Key, PeerId, Rate, Resources, Seconds, SessionId,
    UnixSeconds,
};
use serde_json::Value;
use settlement::authorisation_digest;

const DOCUMENTS: &str = include_str!("../../../../contracts/vectors/documents.json");
const SETTLEMENTS: &str = include_str!("../../../../contracts/vectors/settlements.json");

/// An object of a vector file: its members by name, as what they are.
#[derive(Clone, Copy)]
struct Members<'a>(&'a Value);

impl<'a> Members<'a> {
    fn text(self, name: &str) -> &'a str {
        self.0[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.0))
    }

    fn within(self, name: &str) -> Self {
        Self(&self.0[name])
    }

    fn address(self, name: &str) -> Address {
        self.text(name).parse().unwrap()
    }

    fn word(self, name: &str) -> B256 {
        self.text(name).parse().unwrap()
    }

    fn words(self, name: &str) -> Vec<B256> {
        let all = self.0[name].as_array().unwrap_or_else(|| panic!("{name} in {}", self.0));
        all.iter().map(|word| word.as_str().unwrap().parse().unwrap()).collect()
    }

    fn deal(self) -> DealId {
        DealId(self.word("deal"))
    }

    fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(self, name: &str) -> T {
        self.text(name).parse().unwrap()
    }

    fn amount(self, name: &str) -> Amount {
        Amount::new(self.number(name)).unwrap()
    }

    fn rate(self, name: &str) -> Rate {
        Rate::per_hour(self.number(name)).unwrap()
    }

    fn time(self, name: &str) -> UnixSeconds {
        UnixSeconds(self.number(name))
    }

    fn span(self, name: &str) -> Seconds {
        Seconds(self.number(name))
    }

    fn domain(self) -> Domain {
        Domain { chain_id: self.number("chainId"), contract: self.address("verifyingContract") }
    }
}

fn order(m: Members<'_>) -> Order {
    Order {
        renter: m.address("renter"),
        renter_key: m.address("renterKey"),
        session: m.word("session"),
        token: m.address("token"),
        kind: Kind::Lease,
        resources: m.word("resources"),
        max_rate: m.rate("maxRatePerHour"),
        time_limit: m.span("timeLimit"),
        output_limit: m.number("outputLimit"),
        spec: m.word("spec"),
        gateway: m.address("gateway"),
        nonce: m.number("nonce"),
        expiry: m.time("expiry"),
    }
}

fn terms(m: Members<'_>) -> Terms {
    Terms {
        renter: m.address("renter"),
        provider: m.address("provider"),
        renter_key: m.address("renterKey"),
        provider_key: m.address("providerKey"),
        session: m.word("session"),
        token: m.address("token"),
        cap: m.amount("cap"),
        rate: m.rate("ratePerHour"),
        fee: BasisPoints(m.number("feeBps")),
        kind: Kind::Lease,
        accept_by: m.time("acceptBy"),
        expiry: m.time("expiry"),
        grace: m.span("grace"),
        gateway: m.address("gateway"),
        open_fee: m.amount("openFee"),
        close_fee: m.amount("closeFee"),
        nonce: m.number("nonce"),
        spec: m.word("spec"),
    }
}

fn receipt(m: Members<'_>) -> Receipt {
    Receipt {
        deal: DealId(m.word("deal")),
        amount: m.amount("amount"),
        seconds: m.span("seconds"),
        outcome: Outcome::from_number(m.number("outcome")).unwrap(),
        result: m.word("result"),
        meter: m.word("meter"),
    }
}

fn session(m: Members<'_>) -> Session {
    Session {
        renter: m.address("renter"),
        key: m.address("key"),
        token: m.address("token"),
        cap: m.amount("cap"),
        max_rate: m.rate("maxRatePerHour"),
        expiry: m.time("expiry"),
        salt: m.word("salt"),
    }
}

fn intent(m: Members<'_>) -> Intent {
    Intent { nonce: m.number("nonce"), deadline: m.time("deadline"), fee: m.amount("fee") }
}

#[test]
fn documents_have_the_digests_and_signatures_of_the_contracts() {
    let file: Value = serde_json::from_str(DOCUMENTS).unwrap();
    let secret = Members(&file).word("secret");
    let key = Key::from_bytes(secret.0).unwrap();
    assert_eq!(key.address(), Members(&file).address("signer"));

    let documents = file["documents"].as_array().unwrap();
    let all: Vec<_> = documents.iter().map(Members).collect();
    // The consent by authorization is made of the terms whose id is its nonce.
    let agreed = |nonce: B256| {
        let of = all.iter().find(|vector| vector.word("digest") == nonce)?;
        Some((terms(of.within("message")), of.within("domain").domain()))
    };
    // The salt of the plain deposit among them.
    let salt = B256::right_padding_from(b"salt");
    let mut compared = std::collections::BTreeMap::<&str, u32>::new();
    for vector in &all {
        let (domain, m) = (vector.within("domain"), vector.within("message"));
        let name = vector.text("document");
        let at = domain.domain();
        if domain.text("name") == "Plaza" {
            assert_eq!(at.separator(), vector.word("domainSeparator"));
        }
        let digest = match name {
            // Peer and resources have inner forms that the vectors do not follow: see below.
            "Offer" => continue,
            // Kinds that this network has no word for.
            "Order" | "Terms" if m.text("kind") != "0" => continue,
            "Order" => order(m).id(&at).0,
            "Terms" => terms(m).id(&at).0,
            "Receipt" => receipt(m).digest(&at),
            "Session" => session(m).id(&at).0,
            "Batch" => batch(m.words("documents"), &at),
            "Cancel" => Purpose::Cancel { deal: m.deal() }.digest(&at, &intent(m)),
            "Stop" => Purpose::Stop { deal: m.deal() }.digest(&at, &intent(m)),
            "Contest" => Purpose::Contest { deal: m.deal() }.digest(&at, &intent(m)),
            "TopUp" => {
                let amount = m.amount("amount");
                Purpose::TopUp { deal: m.deal(), amount }.digest(&at, &intent(m))
            }
            "Revoke" => {
                let session = SessionId(m.word("session"));
                Purpose::Revoke { session }.digest(&at, &intent(m))
            }
            // The vectors withdraw more than an amount of ours can be; the contract itself checks
            // the digest where a withdrawal is relayed.
            "Withdraw" if m.text("amount").len() > 30 => continue,
            "Withdraw" => {
                let [account, token, to] = ["account", "token", "to"].map(|it| m.address(it));
                let amount = m.amount("amount");
                Purpose::Withdraw { account, token, amount, to }.digest(&at, &intent(m))
            }
            "Register" => {
                let [provider, key, token] = ["provider", "key", "token"].map(|it| m.address(it));
                Purpose::Register { provider, key, token }.digest(&at, &intent(m))
            }
            "Authorization" => authorisation_digest(&at, m.address("provider"), m.address("key")),
            "ReceiveWithAuthorization" => {
                let token = TokenDomain { name: domain.text("name").into(), version: "1".into() };
                if let Some((terms, escrow)) = agreed(m.word("nonce")) {
                    terms.authorization(&escrow, &token).unwrap()
                } else {
                    assert_eq!(m.word("nonce"), deposit_nonce(salt));
                    let escrow = Domain { chain_id: at.chain_id, contract: m.address("to") };
                    let (from, value) = (m.address("from"), m.amount("value"));
                    token.deposit(&escrow, at.contract, from, value, m.time("validBefore"), salt)
                }
            }
            other => panic!("a document without a check: {other}"),
        };
        assert_eq!(digest, vector.word("digest"), "{name}: {m}", m = m.0);
        assert_eq!(key.sign(digest).to_string(), vector.text("signature"), "{name}");
        *compared.entry(name).or_default() += 1;
    }
    assert_eq!(compared.len(), 13, "{compared:?}");
}

#[test]
fn an_offer_s_digest_is_made_by_the_contracts_type() {
    let file: Value = serde_json::from_str(DOCUMENTS).unwrap();
    let kind = file["types"]["Offer"].as_str().unwrap();
    let offer = Offer {
        provider: Address::repeat_byte(1),
        provider_key: Address::repeat_byte(2),
        peer: PeerId("12D3KooW".into()),
        machine: Machine {
            resources: Resources::default(),
            divisible: true,
            os: "linux".into(),
            arch: "x86_64".into(),
            cpu_model: None,
            gpu_models: None,
            host_root: true,
            wasm: true,
            isolation: ["namespaces".to_owned()].into(),
        },
        rate: Rate::per_hour(120_000).unwrap(),
        token: Address::repeat_byte(3),
        sla: B256::repeat_byte(4),
        region: "eu-west".into(),
        sequence: 7,
        valid_until: UnixSeconds(1_800_000_060),
    };
    let plaza = Domain { chain_id: 31_337, contract: Address::repeat_byte(0x11) };
    let number = |value: u128| B256::from(alloy_primitives::U256::from(value));
    let words = [
        keccak256(kind),
        offer.provider.into_word(),
        offer.provider_key.into_word(),
        keccak256(&offer.peer.0),
        keccak256(serde_json::to_vec(&offer.machine).unwrap()),
        number(offer.rate.units_per_hour()),
        offer.token.into_word(),
        offer.sla,
        keccak256(&offer.region),
        number(offer.sequence.into()),
        number(offer.valid_until.0.into()),
    ];
    let hash = keccak256(words.concat());
    let domain = plaza.separator();
    let digest = keccak256([[0x19, 1].as_slice(), domain.as_slice(), hash.as_slice()].concat());
    assert_eq!(offer.digest(&plaza), digest);
}

#[test]
fn charges_and_splits_are_those_of_the_contracts() {
    let file: Value = serde_json::from_str(SETTLEMENTS).unwrap();
    let charges = file["charges"].as_array().unwrap();
    for vector in charges.iter().map(Members) {
        let charge: u128 = vector.number("charge");
        let ours = vector.rate("ratePerHour").charge_down(vector.span("seconds"));
        // What no slot can hold is more than any receipt can state: it shows as the most one can.
        assert_eq!(ours.units(), charge.min(Amount::MAX.units()), "{}", vector.0);
    }
    let splits = file["splits"].as_array().unwrap();
    for vector in splits.iter().map(Members) {
        let share = BasisPoints(vector.number("feeBps"));
        let split = Split::of(vector.amount("amount"), vector.amount("locked"), share);
        let [paid, fee, refund] = ["paid", "fee", "refund"].map(|name| vector.amount(name));
        assert_eq!(split, Split { paid, fee, refund }, "{}", vector.0);
    }
    assert!(charges.len() > 30 && splits.len() > 50);
    // The file holds no member that these tests do not read.
    let names: Vec<_> = file.as_object().unwrap().keys().collect();
    assert_eq!(names, ["charges", "splits"]);
}
