//! Setting up a network on a chain: its token, its contracts, their wiring, first money.
//!
//! Upon being asked: the deployer's nonce says how far an earlier attempt came; the steps that are
//! missing are sent together, and what is there in the end is compared with what was wanted. Asking
//! again changes nothing.
//!
//! Invariant: step n is the deployer's transaction n, so that every address is known beforehand.
//! The deployer is an account that has done nothing else before.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Bytes, FixedBytes, TxKind, aliases::U40};
use alloy_sol_types::{SolCall, SolConstructor};
use primitives::{Address, Amount, B256, BasisPoints, Key, Seconds};
use profile::{Contracts, Profile};
use tokio::time::Instant;

use crate::{
    abi::{Escrow, Plaza, Providers, TOKEN_DECIMALS, TestDollar, token_domain},
    error::Error,
    evm::Network,
    node::Node,
    rpc::Rpc,
    sender::sign,
    view::Depth,
};

/// Gas for creating a contract; the largest takes about 5 million.
const CREATION_GAS: u64 = 8_000_000;

/// Gas for wiring and first money.
const CALL_GAS: u64 = 200_000;

/// Longest wait for all steps to be sealed.
const PATIENCE: Duration = Duration::from_secs(300);

/// What to set up.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The network's constitution: its hash, fee, windows and depth go onto the chain.
    pub profile: Profile,
    /// The highest fee this network can ever ask; fixed for good.
    pub highest_fee: BasisPoints,
    /// Where collected fees go at first.
    pub fee_receiver: Address,
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
    to: TxKind,
    input: Bytes,
}

/// Set up a network with `key` as deployer and owner, or find it set up.
///
/// # Errors
/// When the chain cannot be asked, a step fails, or the deployer has other contracts there.
pub async fn deploy(rpc: Arc<dyn Rpc>, key: &Key, plan: &Plan) -> Result<Deployment, Error> {
    let node = Node::new(rpc);
    let owner = key.address();
    let contracts = Contracts {
        token: owner.create(0),
        plaza: owner.create(1),
        providers: owner.create(2),
        escrow: owner.create(3),
        token_domain: token_domain(),
        token_decimals: TOKEN_DECIMALS,
    };
    let (chain_id, sealed, price) =
        tokio::join!(node.chain_id(), node.nonce(owner, "latest"), node.price());
    let (chain_id, sealed, price) = (chain_id?, sealed?, price?);

    let mut sent = Vec::new();
    for (step, nonce) in steps(owner, &contracts, plan).into_iter().zip(0..) {
        if nonce >= sealed {
            let gas = if step.to.is_create() { CREATION_GAS } else { CALL_GAS };
            let (raw, tx) = sign(key, chain_id, nonce, step.to, &step.input, gas, price);
            sent.push((step.name, raw, tx));
        }
    }
    // The lowest nonce last: the others wait for it in the pool, and one block can take them all.
    for (_, raw, _) in sent.iter().rev() {
        node.hand(raw).await?;
    }
    let deadline = Instant::now() + PATIENCE;
    for (name, _, tx) in &sent {
        wait(&node, name, *tx, deadline).await?;
    }
    check(&node, &contracts, plan).await?;

    let first = node.block("earliest").await?;
    let missing = || Error::Deploy { step: "genesis", why: "the node has no first block".into() };
    let network = Network {
        chain_id,
        contracts,
        windows: plan.profile.escrow,
        depth: Depth::Blocks(plan.profile.blocks_until_final),
    };
    Ok(Deployment { network, genesis: first.ok_or_else(missing)?.head().hash })
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
        let amount = alloy_primitives::U256::from(amount.units());
        call("first money", at.token, &TestDollar::mintCall { to: *to, amount })
    }));
    steps
}

fn creation(name: &'static str, code: &Bytes, arguments: &[u8]) -> Step {
    Step { name, to: TxKind::Create, input: [code.as_ref(), arguments].concat().into() }
}

fn call(name: &'static str, to: Address, call: &impl SolCall) -> Step {
    Step { name, to: TxKind::Call(to), input: call.abi_encode().into() }
}

/// A short name as Solidity keeps it: left in its word.
fn name(text: &[u8]) -> B256 {
    FixedBytes::right_padding_from(text)
}

fn span(span: Seconds) -> U40 {
    U40::saturating_from(span.0)
}

async fn wait(node: &Node, step: &'static str, tx: B256, deadline: Instant) -> Result<(), Error> {
    let mut pause = Duration::from_millis(5);
    loop {
        match node.receipt(tx).await? {
            Some(receipt) if receipt.succeeded() => return Ok(()),
            Some(_) => return Err(Error::Deploy { step, why: format!("{tx} reverted") }),
            None if Instant::now() >= deadline => {
                return Err(Error::Unconfirmed { tx, why: "no block holds it yet".into() });
            }
            None => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Whether the contracts at these addresses are the ones that were wanted.
async fn check(node: &Node, at: &Contracts, plan: &Plan) -> Result<(), Error> {
    let escrow = at.escrow;
    let (profile, listed, module, registry, root, dispute, accept) = tokio::join!(
        node.view(at.plaza, Plaza::profileCall {}, "latest"),
        node.view(at.plaza, Plaza::listedCall { token: at.token }, "latest"),
        node.view(at.plaza, Plaza::modulesCall { kind: name(b"escrow") }, "latest"),
        node.view(at.plaza, Plaza::modulesCall { kind: name(b"providers") }, "latest"),
        node.view(escrow, Escrow::plazaCall {}, "latest"),
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
