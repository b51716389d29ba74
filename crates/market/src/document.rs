//! The signed documents: offer, order, terms, receipt, session, and the intents between the parties
//! and towards the contracts.
//!
//! Each is EIP-712 typed data. Offers, orders and off-chain intents live under the domain of the
//! root contract `Plaza`; terms, receipts, sessions, batches and on-chain intents under that of the
//! contract that is called. The hashes equal Solidity's: `contracts/vectors/documents.json` is
//! checked from both sides.

mod domain;
mod intent;
mod session;

use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use primitives::{
    Address, Amount, B256, BasisPoints, DealId, Digest, Epoch, JobId, Key, PeerId, Rate, Seconds,
    SessionId, Signature, TaskIndex, UnixSeconds,
};
use serde::{Deserialize, Serialize};

use crate::{machine::Machine, outcome::Outcome, work::salted};

pub use domain::{Domain, Signed};
pub use intent::{Intent, Purpose};
pub use session::{Session, batch};

/// How a deal is paid. The numbers are those of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// By elapsed time.
    #[default]
    Lease = 0,
}

/// A provider's standing listing, signed by its provider key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The account that is paid.
    pub provider: Address,
    /// The hot key that signs for it.
    pub provider_key: Address,
    /// Where the provider is reached.
    pub peer: PeerId,
    /// What is offered.
    pub machine: Machine,
    /// Price of the whole machine; a part costs its dominant share, rounded up.
    pub rate: Rate,
    /// The token of the price.
    pub token: Address,
    /// Digest of the service level promised; zero for none.
    pub sla: B256,
    /// Where the machine stands; empty for unknown.
    pub region: String,
    /// Later offers of one provider replace earlier ones.
    pub sequence: u64,
    /// From then on the offer is void.
    pub valid_until: UnixSeconds,
}

/// A renter's need, signed by the renter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The account that pays.
    pub renter: Address,
    /// The key that will co-sign receipts; held by the gateway the order names.
    pub renter_key: Address,
    /// The session that authorises the key, or zero.
    pub session: B256,
    /// The token to pay in.
    pub token: Address,
    /// How to pay.
    pub kind: Kind,
    /// Salted digest of the machine wished.
    pub resources: B256,
    /// Dearer bids are refused.
    pub max_rate: Rate,
    /// Running time after which a deal is ended: the work's own limit, or more where one deal
    /// carries several tasks.
    pub time_limit: Seconds,
    /// The most bytes of output of one task, in bytes.
    pub output_limit: u64,
    /// Salted digest of the work.
    pub spec: B256,
    /// The one gateway that may place it until it expires.
    pub gateway: Address,
    /// Tells apart orders that are otherwise equal.
    pub nonce: u64,
    /// From then on the order is void.
    pub expiry: UnixSeconds,
}

/// What both sides of a deal sign; its digest is the deal's id. A bid is terms signed by the
/// provider key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The account that pays.
    pub renter: Address,
    /// The account that is paid.
    pub provider: Address,
    /// Checks the renter's side of receipts.
    pub renter_key: Address,
    /// Checks the provider's side of receipts.
    pub provider_key: Address,
    /// The session used, or zero.
    pub session: B256,
    /// The token of the deal.
    pub token: Address,
    /// The most the deal can cost.
    pub cap: Amount,
    /// The price.
    pub rate: Rate,
    /// The network's share of what is paid.
    pub fee: BasisPoints,
    /// How it is paid.
    pub kind: Kind,
    /// Until then it may be opened.
    pub accept_by: UnixSeconds,
    /// Until then running time may be billed.
    pub expiry: UnixSeconds,
    /// How many seconds a claim may add to the last co-signed receipt.
    pub grace: Seconds,
    /// The gateway that carried the deal.
    pub gateway: Address,
    /// Paid to whoever opens the deal.
    pub open_fee: Amount,
    /// Paid to whoever ends it.
    pub close_fee: Amount,
    /// Tells apart deals that are otherwise equal.
    pub nonce: u64,
    /// Salted digest of order, resources, offer and service level.
    pub spec: B256,
}

/// A cumulative, monotone statement of usage under a deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The deal.
    pub deal: DealId,
    /// What is owed so far.
    pub amount: Amount,
    /// Running time so far, rounded up once.
    pub seconds: Seconds,
    /// How it stands.
    pub outcome: Outcome,
    /// Merkle root over the results of tasks; zero for none.
    pub result: B256,
    /// Append-only root over the samples.
    pub meter: B256,
}

/// The renter's agreement to terms, in the form the escrow accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Consent {
    /// Signed terms: pays from the renter's balance inside the escrow.
    Terms {
        /// The renter's signature over the terms' digest.
        signature: Signature,
    },
    /// A token authorisation (ERC-3009) whose nonce is the deal's id: pays straight from the
    /// renter's wallet.
    Authorization {
        /// The renter's signature over the token's typed data.
        signature: Signature,
    },
    /// A session and its key's word: pays from the renter's balance inside the escrow, whether or
    /// not the renter is there.
    Session {
        /// The session that the terms name, with the renter's signature.
        grant: Box<Signed<Session>>,
        /// The session key's signature over the terms' digest.
        signature: Signature,
    },
}

/// What a gateway tells a provider to do under a deal, signed by the renter key so that nobody
/// else can, and fenced so that a gateway that lost the deal cannot either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The deal it falls under.
    pub deal: DealId,
    /// Providers refuse a lower number than the highest they have seen for the deal.
    pub fence: u64,
    /// What to do.
    pub act: Act,
}

/// The acts a command can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "act")]
pub enum Act {
    /// Run this task.
    Assign {
        /// Which task of the job.
        task: TaskIndex,
        /// Which attempt at it.
        epoch: Epoch,
        /// The order's salted digest of the work.
        spec: B256,
    },
    /// No more tasks will come: end with the last of those that were assigned.
    Release,
    /// End all runs now and hand in the terminal receipt.
    Stop,
}

mod wire {
    //! The same documents with Solidity's types and order of members.

    use alloy_sol_types::sol;

    sol! {
        struct Offer {
            address provider;
            address providerKey;
            bytes peer;
            bytes resources;
            uint96 ratePerHour;
            address token;
            bytes32 sla;
            string region;
            uint64 sequence;
            uint40 validUntil;
        }

        struct Order {
            address renter;
            address renterKey;
            bytes32 session;
            address token;
            uint8 kind;
            bytes32 resources;
            uint96 maxRatePerHour;
            uint40 timeLimit;
            uint64 outputLimit;
            bytes32 spec;
            address gateway;
            uint64 nonce;
            uint40 expiry;
        }

        struct Terms {
            address renter;
            address provider;
            address renterKey;
            address providerKey;
            bytes32 session;
            address token;
            uint96 cap;
            uint96 ratePerHour;
            uint16 feeBps;
            uint8 kind;
            uint40 acceptBy;
            uint40 expiry;
            uint16 grace;
            address gateway;
            uint96 openFee;
            uint96 closeFee;
            uint64 nonce;
            bytes32 spec;
        }

        struct Receipt {
            bytes32 deal;
            uint96 amount;
            uint40 seconds;
            uint8 outcome;
            bytes32 result;
            bytes32 meter;
        }

        struct Assign {
            bytes32 deal;
            uint64 fence;
            uint32 task;
            uint32 epoch;
            bytes32 spec;
        }

        struct Release {
            bytes32 deal;
            uint64 fence;
        }

        struct Stop {
            bytes32 deal;
            uint64 fence;
        }
    }
}

sol! {
    /// The token's own typed data for a pull of money (ERC-3009).
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

fn uint<const BITS: usize, const LIMBS: usize>(value: u128) -> primitives_uint::Uint<BITS, LIMBS> {
    primitives_uint::Uint::saturating_from(value)
}

use alloy_primitives as primitives_uint;

impl Offer {
    fn wire(&self) -> wire::Offer {
        wire::Offer {
            provider: self.provider,
            providerKey: self.provider_key,
            peer: self.peer.0.clone().into_bytes().into(),
            resources: serde_json::to_vec(&self.machine)
                .expect("plain data with string keys serialises")
                .into(),
            ratePerHour: uint(self.rate.units_per_hour()),
            token: self.token,
            sla: self.sla,
            region: self.region.clone(),
            sequence: self.sequence,
            validUntil: uint(self.valid_until.0.into()),
        }
    }

    /// What the provider key signs.
    pub fn digest(&self, plaza: &Domain) -> B256 {
        self.wire().eip712_signing_hash(&plaza.eip712())
    }
}

impl Order {
    fn wire(&self) -> wire::Order {
        wire::Order {
            renter: self.renter,
            renterKey: self.renter_key,
            session: self.session,
            token: self.token,
            kind: self.kind as u8,
            resources: self.resources,
            maxRatePerHour: uint(self.max_rate.units_per_hour()),
            timeLimit: uint(self.time_limit.0.into()),
            outputLimit: self.output_limit,
            spec: self.spec,
            gateway: self.gateway,
            nonce: self.nonce,
            expiry: uint(self.expiry.0.into()),
        }
    }

    /// What the renter signs; names the job.
    pub fn id(&self, plaza: &Domain) -> JobId {
        JobId(self.wire().eip712_signing_hash(&plaza.eip712()))
    }
}

impl Terms {
    fn wire(&self) -> wire::Terms {
        wire::Terms {
            renter: self.renter,
            provider: self.provider,
            renterKey: self.renter_key,
            providerKey: self.provider_key,
            session: self.session,
            token: self.token,
            cap: uint(self.cap.units()),
            ratePerHour: uint(self.rate.units_per_hour()),
            feeBps: self.fee.0,
            kind: self.kind as u8,
            acceptBy: uint(self.accept_by.0.into()),
            expiry: uint(self.expiry.0.into()),
            grace: u16::try_from(self.grace.0).unwrap_or(u16::MAX),
            gateway: self.gateway,
            openFee: uint(self.open_fee.units()),
            closeFee: uint(self.close_fee.units()),
            nonce: self.nonce,
            spec: self.spec,
        }
    }

    /// What both sides sign; names the deal here and on the chain.
    pub fn id(&self, escrow: &Domain) -> DealId {
        DealId(self.wire().eip712_signing_hash(&escrow.eip712()))
    }

    /// The session they are opened in, if any.
    pub fn session(&self) -> Option<SessionId> {
        (!self.session.is_zero()).then_some(SessionId(self.session))
    }

    /// What leaves the renter's side at open: `cap + openFee + closeFee`, or `None` on overflow.
    pub fn escrowed(&self) -> Option<Amount> {
        self.cap.plus(self.open_fee)?.plus(self.close_fee)
    }

    /// The digest the renter signs to consent by a token authorisation (ERC-3009): the escrow may
    /// pull exactly [`Terms::escrowed`] until `acceptBy`, under the nonce that is this deal's id.
    pub fn authorization(&self, escrow: &Domain, token: &TokenDomain) -> Option<B256> {
        Some(token.pull(
            escrow,
            self.token,
            Pull {
                from: self.renter,
                value: self.escrowed()?,
                until: self.accept_by.plus(Seconds(1)),
                nonce: self.id(escrow).0,
            },
        ))
    }
}

/// Money that a contract may take from a wallet.
struct Pull {
    from: Address,
    value: Amount,
    /// The authorisation holds before this time.
    until: UnixSeconds,
    nonce: B256,
}

/// What a token calls itself in its own typed data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDomain {
    /// The token's EIP-712 name.
    pub name: String,
    /// The token's EIP-712 version.
    pub version: String,
}

impl TokenDomain {
    fn eip712(&self, chain_id: u64, token: Address) -> Eip712Domain {
        Eip712Domain::new(
            Some(self.name.clone().into()),
            Some(self.version.clone().into()),
            Some(alloy_primitives::U256::from(chain_id)),
            Some(token),
            None,
        )
    }

    /// The digest a wallet signs to move `value` into its balance inside the escrow:
    /// the nonce is `keccak256("deposit", salt)`, so that no deal can consume it.
    pub fn deposit(
        &self,
        escrow: &Domain,
        token: Address,
        from: Address,
        value: Amount,
        valid_before: UnixSeconds,
        salt: B256,
    ) -> B256 {
        let nonce = deposit_nonce(salt);
        self.pull(escrow, token, Pull { from, value, until: valid_before, nonce })
    }

    /// The digest a provider signs so that whoever sends its [`Purpose::Register`] intent, whose
    /// own digest is `register`, gets the fee out of the provider's wallet.
    pub fn relay(
        &self,
        providers: &Domain,
        token: Address,
        from: Address,
        intent: &Intent,
        register: B256,
    ) -> B256 {
        let until = intent.deadline.plus(Seconds(1));
        self.pull(providers, token, Pull { from, value: intent.fee, until, nonce: register })
    }

    fn pull(&self, contract: &Domain, token: Address, pull: Pull) -> B256 {
        let message = ReceiveWithAuthorization {
            from: pull.from,
            to: contract.contract,
            value: alloy_primitives::U256::from(pull.value.units()),
            validAfter: alloy_primitives::U256::ZERO,
            validBefore: alloy_primitives::U256::from(pull.until.0),
            nonce: pull.nonce,
        };
        message.eip712_signing_hash(&self.eip712(contract.chain_id, token))
    }
}

/// The token's nonce of a plain deposit: `keccak256("deposit" || salt)`.
pub fn deposit_nonce(salt: B256) -> B256 {
    primitives::keccak256([b"deposit".as_slice(), salt.as_slice()].concat())
}

impl Receipt {
    /// What both sides sign.
    pub fn digest(&self, escrow: &Domain) -> B256 {
        let wire = wire::Receipt {
            deal: self.deal.0,
            amount: uint(self.amount.units()),
            seconds: uint(self.seconds.0.into()),
            outcome: self.outcome as u8,
            result: self.result,
            meter: self.meter,
        };
        wire.eip712_signing_hash(&escrow.eip712())
    }
}

impl Command {
    /// What the renter key signs.
    pub fn digest(&self, plaza: &Domain) -> B256 {
        match self.act {
            Act::Assign { task, epoch, spec } => wire::Assign {
                deal: self.deal.0,
                fence: self.fence,
                task: task.0,
                epoch: epoch.0,
                spec,
            }
            .eip712_signing_hash(&plaza.eip712()),
            Act::Release => wire::Release { deal: self.deal.0, fence: self.fence }
                .eip712_signing_hash(&plaza.eip712()),
            Act::Stop => wire::Stop { deal: self.deal.0, fence: self.fence }
                .eip712_signing_hash(&plaza.eip712()),
        }
    }

    /// Sign it.
    pub fn signed(self, plaza: &Domain, key: &Key) -> Signed<Self> {
        Signed { signature: key.sign(self.digest(plaza)), document: self }
    }
}

/// The `spec` of terms: covers the order, the reserved resources, the offer and the service level
/// under a fresh salt per deal, so that two deals over the same work cannot be linked on the chain.
pub fn terms_spec(
    salt: B256,
    order: JobId,
    resources: &primitives::Resources,
    offer: Digest,
    sla: B256,
) -> B256 {
    salted(salt, &(order, resources, offer, sla))
}

#[cfg(test)]
mod tests;
