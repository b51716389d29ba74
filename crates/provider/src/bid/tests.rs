//! Which orders get a bid, on what terms.

use market::{Machine, Order, Root, Signed, Wasm, Wish, message::check_bid};
use primitives::{Bytes, Key, Millicores, PeerId, Seconds};

use super::*;

const PLAZA: Domain = Domain { chain_id: 7, contract: Address::repeat_byte(1) };
const ESCROW: Domain = Domain { chain_id: 7, contract: Address::repeat_byte(2) };
const NOW: UnixSeconds = UnixSeconds(1_000_000);
const SALT: B256 = B256::repeat_byte(3);

fn renter() -> Key {
    Key::from_bytes([4; 32]).expect("a key")
}

fn resources(cores: u64, gibi: u64) -> Resources {
    let (memory, disk) = (Bytes::gibi(gibi), Bytes::gibi(gibi));
    Resources { cpu: Millicores::cores(cores), memory, disk, gpus: 0 }
}

/// What makes a case one to refuse.
type Spoil = fn(&mut Case);

struct Case {
    offer: Offer,
    policy: Policy,
    rules: Rules,
    order: Order,
    wish: Wish,
    funds: [Amount; 2],
    unanswered: u32,
    calendar: Calendar<DealId>,
}

impl Case {
    fn new() -> Self {
        let machine = Machine {
            resources: resources(8, 32),
            divisible: true,
            os: "linux".into(),
            arch: "x86_64".into(),
            cpu_model: None,
            gpu_models: Some(Vec::new()),
            host_root: true,
            wasm: true,
            isolation: Default::default(),
        };
        let wish = Wish { os: Some("linux".into()), ..Wish::of(resources(2, 16)) };
        let calendar = Calendar::new(machine.resources);
        let order = Order {
            renter: renter().address(),
            renter_key: Address::repeat_byte(5),
            session: B256::ZERO,
            token: Address::repeat_byte(6),
            kind: Kind::Lease,
            resources: salted(SALT, &wish),
            max_rate: Rate::per_hour(2_000_000).expect("small"),
            time_limit: Seconds(3_600),
            output_limit: 1 << 20,
            spec: B256::repeat_byte(8),
            gateway: Address::repeat_byte(9),
            nonce: 1,
            expiry: NOW.plus(Seconds(60)),
        };
        Self {
            offer: Offer {
                provider: Address::repeat_byte(10),
                provider_key: Key::from_bytes([11; 32]).expect("a key").address(),
                peer: PeerId("peer".into()),
                machine,
                rate: Rate::per_hour(3_600_000).expect("small"),
                token: order.token,
                sla: B256::ZERO,
                region: String::new(),
                sequence: 1,
                valid_until: NOW.plus(Seconds(600)),
            },
            policy: Policy::parse("[price]\nmachine = \"3.6\"", 6).expect("a policy"),
            rules: Rules::default(),
            order,
            wish,
            funds: [Amount::new(100_000_000).expect("small"), Amount::ZERO],
            unanswered: 0,
            calendar,
        }
    }

    fn request(&self) -> BidRequest {
        BidRequest {
            order: Signed {
                signature: renter().sign(self.order.id(&PLAZA).0),
                document: self.order.clone(),
            },
            wish: self.wish.clone(),
            salt: SALT,
            deal_salt: B256::repeat_byte(12),
            open_fee: Amount::ZERO,
            close_fee: Amount::ZERO,
        }
    }

    fn decide(&mut self) -> Decision {
        let request = self.request();
        self.decide_on(&request)
    }

    fn decide_on(&mut self, request: &BidRequest) -> Decision {
        let standing = Standing {
            plaza: &PLAZA,
            escrow: &ESCROW,
            offer: &self.offer,
            policy: &self.policy,
            rules: &self.rules,
            fee: BasisPoints(250),
            gateway: Address::repeat_byte(9),
            time: NOW,
            funds: self.funds,
            unanswered: self.unanswered,
        };
        decide(request, &standing, &mut self.calendar)
    }

    fn proposal(&mut self) -> Proposal {
        match self.decide() {
            Decision::Bid(proposal) => *proposal,
            other => panic!("no bid: {other:?}"),
        }
    }

    fn refusal(&mut self) -> String {
        match self.decide() {
            Decision::Refused { why } => why,
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[test]
fn a_bid_is_what_a_broker_checks_it_to_be() {
    let mut case = Case::new();
    let request = case.request();
    let proposal = case.proposal();
    let terms = &proposal.terms;
    // Half the memory is the largest share.
    assert_eq!(terms.rate, Rate::per_hour(1_800_000).expect("small"));
    assert_eq!(terms.cap, Amount::new(2_160_000).expect("small"), "with a fifth on top");
    assert_eq!(terms.accept_by, NOW.plus(Seconds(30)));
    assert_eq!(terms.expiry, terms.accept_by.plus(Seconds(900 + 3_600)));
    assert_eq!(terms.nonce, 0x0c0c_0c0c_0c0c_0c0c);
    let bid = market::message::Bid {
        terms: Signed {
            signature: Key::from_bytes([11; 32]).expect("a key").sign(proposal.deal.0),
            document: terms.clone(),
        },
        offer: proposal.offer,
        salt: request.deal_salt,
        resources: proposal.resources,
    };
    let latest = NOW.plus(Seconds(60));
    let checked = check_bid(&request, &bid, &ESCROW, proposal.job, BasisPoints(250), latest);
    assert_eq!(checked, Ok(()));
    let mut unwanted = request.clone();
    unwanted.wish.exclude.insert(terms.provider);
    let checked = check_bid(&unwanted, &bid, &ESCROW, proposal.job, BasisPoints(250), latest);
    assert_eq!(checked, Err("the bid has a provider that is excluded".to_owned()));
    assert_eq!(case.calendar.count(NOW), 1);
}

#[test]
fn the_same_request_gives_the_same_terms_and_one_reservation() {
    let mut case = Case::new();
    let first = case.proposal();
    assert_eq!(case.proposal(), first);
    assert_eq!(case.calendar.count(NOW), 1);
}

#[test]
fn a_price_below_the_floor_is_raised_to_it() {
    let mut case = Case::new();
    case.policy.floor = Rate::per_hour(1_900_000).expect("small");
    assert_eq!(case.proposal().terms.rate, case.policy.floor);
    case.policy.floor = Rate::per_hour(2_000_001).expect("small");
    assert!(case.refusal().contains("the order allows 2000000"));
}

#[test]
fn a_machine_that_cannot_be_divided_is_sold_whole() {
    let mut case = Case::new();
    case.offer.machine.divisible = false;
    case.order.max_rate = Rate::MAX;
    let proposal = case.proposal();
    assert_eq!(proposal.resources, case.offer.machine.resources);
    assert_eq!(proposal.terms.rate, case.offer.rate);
    let other = BidRequest { deal_salt: B256::repeat_byte(13), ..case.request() };
    assert!(matches!(case.decide_on(&other), Decision::Busy { .. }));
}

#[test]
fn what_does_not_fit_now_hears_when_and_what_never_fits_hears_that() {
    let mut case = Case::new();
    let first = case.proposal();
    for salt in [13, 14] {
        let other = BidRequest { deal_salt: B256::repeat_byte(salt), ..case.request() };
        let decision = case.decide_on(&other);
        match salt {
            13 => assert!(matches!(decision, Decision::Bid(_))),
            _ => assert_eq!(
                decision,
                Decision::Busy { until: held_until(&first.terms, &case.rules) }
            ),
        }
    }
    case.wish.resources = resources(9, 16);
    case.order.resources = salted(SALT, &case.wish);
    assert!(case.refusal().contains("processor cores"));
}

#[test]
fn graphics_processors_are_reserved_whole_and_counted() {
    let mut case = Case::new();
    case.offer.machine.resources.gpus = 2;
    case.offer.machine.gpu_models = Some(vec!["NVIDIA H200".to_owned(); 2]);
    case.calendar = Calendar::new(case.offer.machine.resources);
    case.wish.resources = Resources { gpus: 1, ..resources(1, 1) };
    case.order.resources = salted(SALT, &case.wish);
    assert_eq!(case.proposal().resources.gpus, 1);
    let again = |salt| BidRequest { deal_salt: B256::repeat_byte(salt), ..case.request() };
    let requests = [again(13), again(14)];
    assert!(matches!(case.decide_on(&requests[0]), Decision::Bid(_)));
    assert!(matches!(case.decide_on(&requests[1]), Decision::Busy { .. }));
}

#[test]
fn no_more_leases_than_the_owner_allows() {
    let mut case = Case::new();
    case.policy.leases = 1;
    case.proposal();
    let other = BidRequest { deal_salt: B256::repeat_byte(13), ..case.request() };
    assert!(matches!(case.decide_on(&other), Decision::Busy { .. }));
}

#[test]
fn every_order_that_is_none_of_ours_is_refused_with_its_reason() {
    let cases: [(&str, Spoil); 16] = [
        ("has expired", |it| it.order.expiry = NOW),
        ("another gateway", |it| it.order.gateway = Address::ZERO),
        ("not the one that was ordered", |it| it.wish.os = None),
        ("another token", |it| it.order.token = Address::ZERO),
        ("which alone pays in a session", |it| it.order.session = SALT),
        ("no key for receipts", |it| it.order.renter_key = Address::ZERO),
        ("does not serve this renter", |it| {
            it.policy.deny.insert(renter().address());
        }),
        ("is zero", |it| it.order.time_limit = Seconds(0)),
        ("longer than this provider takes", |it| it.order.time_limit = Seconds(90_000)),
        ("too many unanswered", |it| it.unanswered = 16),
        ("allows 1", |it| it.order.max_rate = Rate::per_hour(1).expect("small")),
        ("to be put aside", |it| it.funds = [Amount::new(2_159_999).expect("small"); 2]),
        ("no images", |it| {
            it.wish.root = Root::Image(Digest::of(b"image"));
            it.order.resources = salted(SALT, &it.wish);
        }),
        ("not the file tree", |it| {
            it.offer.machine.wasm = false;
            it.wish.root = Root::Wasm(Wasm::default());
            it.order.resources = salted(SALT, &it.wish);
        }),
        ("excludes this provider", |it| {
            it.wish.exclude.insert(it.offer.provider);
            it.order.resources = salted(SALT, &it.wish);
        }),
        ("another architecture", |it| {
            it.wish.arch = Some("riscv64".into());
            it.order.resources = salted(SALT, &it.wish);
        }),
    ];
    for (words, spoil) in cases {
        let mut case = Case::new();
        spoil(&mut case);
        let why = case.refusal();
        assert!(why.contains(words), "expected '{words}', got '{why}'");
        assert_eq!(case.calendar.count(NOW), 0, "{words}");
    }
}

#[test]
fn an_order_that_somebody_else_signed_is_refused() {
    let mut case = Case::new();
    let mut request = case.request();
    request.order.document.nonce += 1;
    let decision = case.decide_on(&request);
    assert!(matches!(decision, Decision::Refused { why } if why.contains("not signed")));
}
