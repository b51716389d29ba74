//! Setting up a network on a chain: its token, its contracts, their wiring, first money.
//!
//! Upon being asked: the deployer's nonce says how far an earlier attempt came; the steps that are
//! missing are sent together, for more where no block takes them, until all lie at the network's
//! depth; what is there in the end is compared with what was wanted. Asking again changes nothing.
//!
//! Invariant: step n is the deployer's transaction n, so that every address is known beforehand.
//! The deployer is an account that has done nothing else before.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Bytes, FixedBytes, TxKind, U256, aliases::U40};
use alloy_sol_types::{SolCall, SolConstructor};
use primitives::{Address, Amount, B256, BasisPoints, Key, Seconds};
use profile::{Contracts, Profile};
use tokio::time::Instant;

use crate::{
    abi::{Escrow, Plaza, Providers, TOKEN_DECIMALS, TestDollar, token_domain},
    error::Error,
    evm::Network,
    follow::Follower,
    node::{Handed, Node},
    rpc::Rpc,
    sender::{Pace, Payload, sign},
};

/// Gas for creating a contract; the largest takes about 5 million.
const CREATION_GAS: u64 = 8_000_000;

/// Gas for wiring and first money.
const CALL_GAS: u64 = 200_000;

/// Longest wait for all steps to lie at the network's depth: chains may call nothing final for a
/// while.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// The first and the longest pause between two looks at how far they are.
const SOON: Duration = Duration::from_millis(5);
const OFTEN: Duration = Duration::from_secs(1);

/// What to set up.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The network's constitution: its hash, fee, windows and depth go onto the chain.
    pub profile: Profile,
    /// The highest fee this network can ever ask; fixed for good.
    pub highest_fee: BasisPoints,
    /// Where collected fees go at first.
    pub fee_receiver: Address,
    /// A block before which nothing of the network lies: the latest one before the first step.
    pub first_block: u64,
    /// First test money, into wallets.
    pub grants: Vec<(Address, Amount)>,
}

/// A network that was set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Contracts, chain, windows and depth: what [`crate::Evm::open`] takes.
    pub network: Network,
    /// The hash of the chain's first block.
    pub genesis: B256,
}

struct Step {
    name: &'static str,
    payload: Payload,
}

impl Plan {
    /// The gas that setting all of it up may take.
    pub fn gas(&self) -> u64 {
        let nowhere = Contracts {
            plaza: Address::ZERO,
            escrow: Address::ZERO,
            providers: Address::ZERO,
            token: Address::ZERO,
            token_domain: token_domain(),
            token_decimals: TOKEN_DECIMALS,
        };
        steps(Address::ZERO, &nowhere, self).iter().map(|step| step.payload.gas).sum()
    }
}

/// The hash of the chain's first block, by which it is told from any other.
///
/// # Errors
/// When the chain cannot be asked.
pub async fn genesis(rpc: Arc<dyn Rpc>) -> Result<B256, Error> {
    let first = Node::new(rpc).block("earliest").await?;
    let missing = || Error::Deploy { step: "genesis", why: "the node has no first block".into() };
    Ok(first.ok_or_else(missing)?.head().hash)
}

/// The newest block: nothing of a network that is set up from now on lies before it.
///
/// # Errors
/// When the chain cannot be asked.
pub async fn newest_block(rpc: Arc<dyn Rpc>) -> Result<u64, Error> {
    let newest = Node::new(rpc).block("latest").await?;
    let missing = || Error::Deploy { step: "first block", why: "the node has no block".into() };
    Ok(newest.ok_or_else(missing)?.head().number)
}

/// Set up a network with `key` as deployer and owner, or find it set up.
///
/// # Errors
/// When the chain cannot be asked, a step fails, or the deployer has other contracts there.
pub async fn deploy(rpc: Arc<dyn Rpc>, key: &Key, plan: &Plan) -> Result<Deployment, Error> {
    let node = Node::new(rpc.clone());
    let owner = key.address();
    let contracts = Contracts {
        token: owner.create(0),
        plaza: owner.create(1),
        providers: owner.create(2),
        escrow: owner.create(3),
        token_domain: token_domain(),
        token_decimals: TOKEN_DECIMALS,
    };
    let chain_id = node.chain_id().await?;
    let steps = steps(owner, &contracts, plan);
    let (depth, first_block) = (plan.profile.depth, plan.first_block);
    let follower = Follower::new(node.clone(), contracts.escrow, depth, first_block);

    let deadline = Instant::now() + PATIENCE;
    let mut price = node.price().await?;
    let mut sent = Vec::new();
    loop {
        let sealed = node.nonce(owner, "latest").await?;
        let missing: Vec<_> = steps.iter().zip(0..).filter(|(_, at)| *at >= sealed).collect();
        // The lowest nonce last: the others wait for it in the pool, and one block can take them all.
        for (step, nonce) in missing.into_iter().rev() {
            let (raw, tx) = sign(key, chain_id, nonce, &step.payload, price);
            if let Handed::Unpayable(why) = node.hand(&raw).await? {
                return Err(Error::Fees { account: owner, why });
            }
            sent.push((step.name, tx));
        }
        let patience = (Pace::of(depth).bump, deadline);
        if lie_at_depth(&node, &follower, owner, steps.len() as u64, patience).await? {
            break;
        }
        price = price.bumped(node.price().await?);
    }
    for (step, tx) in sent {
        if node.receipt(tx).await?.is_some_and(|receipt| !receipt.succeeded()) {
            return Err(Error::Deploy { step, why: format!("{tx} reverted") });
        }
    }
    check(&node, &contracts, plan).await?;

    let network = Network { chain_id, contracts, windows: plan.profile.escrow, depth, first_block };
    Ok(Deployment { network, genesis: genesis(rpc).await? })
}

/// Every transaction of a new network, in the order of the deployer's nonces.
fn steps(owner: Address, at: &Contracts, plan: &Plan) -> Vec<Step> {
    let token = TestDollar::constructorCall { owner };
    let plaza = Plaza::constructorCall {
        owner,
        profile_: plan.profile.hash(),
        maxFeeBps_: plan.highest_fee.0,
        feeBps_: plan.profile.fee.0,
        feeReceiver_: plan.fee_receiver,
    };
    let escrow = Escrow::constructorCall {
        plaza_: at.plaza,
        providers_: at.providers,
        disputeWindow_: span(plan.profile.escrow.dispute),
        acceptLead_: span(plan.profile.escrow.accept),
    };
    let list = Plaza::setListedCall { token: at.token, isListed: true };
    let module = |kind: &[u8], module| Plaza::setModuleCall { kind: name(kind), module };
    let mut steps = vec![
        creation("token", &TestDollar::BYTECODE, &token.abi_encode()),
        creation("root", &Plaza::BYTECODE, &plaza.abi_encode()),
        creation("providers", &Providers::BYTECODE, &[]),
        creation("escrow", &Escrow::BYTECODE, &escrow.abi_encode()),
        call("listing the token", at.plaza, &list),
        call("naming the escrow", at.plaza, &module(b"escrow", at.escrow)),
        call("naming the registry of providers", at.plaza, &module(b"providers", at.providers)),
    ];
    steps.extend(plan.grants.iter().map(|(to, amount)| {
        let amount = U256::from(amount.units());
        call("first money", at.token, &TestDollar::mintCall { to: *to, amount })
    }));
    steps
}

fn creation(name: &'static str, code: &Bytes, arguments: &[u8]) -> Step {
    let (to, value, input) = (TxKind::Create, U256::ZERO, [code.as_ref(), arguments].concat());
    Step { name, payload: Payload { to, value, input: input.into(), gas: CREATION_GAS } }
}

fn call(name: &'static str, to: Address, call: &impl SolCall) -> Step {
    let (to, value, input) = (TxKind::Call(to), U256::ZERO, call.abi_encode());
    Step { name, payload: Payload { to, value, input: input.into(), gas: CALL_GAS } }
}

/// A short name as Solidity keeps it: left in its word.
fn name(text: &[u8]) -> B256 {
    FixedBytes::right_padding_from(text)
}

fn span(span: Seconds) -> U40 {
    U40::saturating_from(span.0)
}

/// Wait until the deployer has made so many steps at the network's depth; false when some are not
/// even sealed for so long that it is time to pay more.
async fn lie_at_depth(
    node: &Node,
    follower: &Follower,
    owner: Address,
    steps: u64,
    (bump, deadline): (Duration, Instant),
) -> Result<bool, Error> {
    let (until, mut pause) = (Instant::now() + bump, SOON);
    loop {
        follower.sync().await?;
        if node.nonce(owner, &follower.tag()).await? >= steps {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            let why = "they do not lie at the network's depth yet".into();
            return Err(Error::Deploy { step: "all steps", why });
        }
        if Instant::now() >= until && node.nonce(owner, "latest").await? < steps {
            return Ok(false);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(OFTEN);
    }
}

/// Whether the contracts at these addresses are the ones that were wanted.
async fn check(node: &Node, at: &Contracts, plan: &Plan) -> Result<(), Error> {
    let escrow = at.escrow;
    let (profile, listed, module, registry, root, asked, dispute, accept) = tokio::join!(
        node.view(at.plaza, Plaza::profileCall {}, "latest"),
        node.view(at.plaza, Plaza::listedCall { token: at.token }, "latest"),
        node.view(at.plaza, Plaza::modulesCall { kind: name(b"escrow") }, "latest"),
        node.view(at.plaza, Plaza::modulesCall { kind: name(b"providers") }, "latest"),
        node.view(escrow, Escrow::plazaCall {}, "latest"),
        node.view(escrow, Escrow::providersCall {}, "latest"),
        node.view(escrow, Escrow::disputeWindowCall {}, "latest"),
        node.view(escrow, Escrow::acceptLeadCall {}, "latest"),
    );
    let windows = plan.profile.escrow;
    let found = [
        ("profile", profile? == plan.profile.hash()),
        ("listing of the token", listed?),
        ("present escrow", module? == at.escrow),
        ("registry of providers", registry? == at.providers),
        ("escrow's root", root? == at.plaza),
        ("escrow's registry of providers", asked? == at.providers),
        ("escrow's dispute window", dispute? == span(windows.dispute)),
        ("escrow's accept lead", accept? == span(windows.accept)),
    ];
    match found.into_iter().find(|(_, holds)| !holds) {
        Some((step, _)) => Err(Error::Deploy {
            step,
            why: "the deployer's contracts on this chain belong to another network".into(),
        }),
        None => Ok(()),
    }
}
