//! Native coin for the chain's own fees: from an account that has some to those that send.
//!
//! Upon being asked: whoever has less than its gas costs at present gets the difference, under nonces
//! that nothing sealed has used; for more where no block takes it. Asking again changes nothing.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Bytes, TxKind, U256};
use primitives::{Address, Key};
use tokio::time::Instant;

use crate::{
    error::Error,
    node::{Handed, Node, Price},
    rpc::Rpc,
    sender::{Payload, sign},
};

/// How long a transfer may wait before more is paid, and between two looks.
const BUMP: Duration = Duration::from_secs(45);
const OFTEN: Duration = Duration::from_millis(200);

/// Longest wait for the transfers to be sealed.
const PATIENCE: Duration = Duration::from_secs(900);

/// Have each account own what so much gas costs at present, given from `key`'s account where it
/// does not.
///
/// # Errors
/// When the chain cannot be asked, the giver has too little, or no block takes the transfers.
pub async fn endow(rpc: Arc<dyn Rpc>, key: &Key, wanted: &[(Address, u64)]) -> Result<(), Error> {
    let node = Node::new(rpc);
    let chain_id = node.chain_id().await?;
    let mut price = node.price().await?;
    let wanted: Vec<_> = wanted.iter().map(|(who, gas)| (*who, worth(*gas, price))).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let lacking = lacking(&node, &wanted).await?;
        let Some((first, _)) = lacking.first() else { return Ok(()) };
        if Instant::now() >= deadline {
            let why = format!("account {first} has not got its coin yet");
            return Err(Error::Deploy { step: "coin for fees", why });
        }
        let mut nonce = node.nonce(key.address(), "latest").await?;
        for (to, value) in lacking {
            let payload = transfer(&node, key, to, value).await?;
            let (raw, _) = sign(key, chain_id, nonce, &payload, price);
            if let Handed::Unpayable(why) = node.hand(&raw).await? {
                return Err(Error::Fees { account: key.address(), why });
            }
            nonce += 1;
        }
        await_sealed(&node, key.address(), nonce).await?;
        price = price.bumped(node.price().await?);
    }
}

fn worth(gas: u64, price: Price) -> U256 {
    U256::from(gas) * U256::from(price.most)
}

/// Who has too little, and what is missing.
async fn lacking(node: &Node, wanted: &[(Address, U256)]) -> Result<Vec<(Address, U256)>, Error> {
    let mut lacking = Vec::new();
    for (who, worth) in wanted {
        let has = U256::from(node.native(*who, "latest").await?);
        if has < *worth {
            lacking.push((*who, *worth - has));
        }
    }
    Ok(lacking)
}

async fn transfer(node: &Node, from: &Key, to: Address, value: U256) -> Result<Payload, Error> {
    let simulated = node.simulate(from.address(), to, value, &Bytes::new()).await?;
    let gas = simulated.map_err(|refusal| {
        let why = format!("{to} cannot be given coin: {refusal}");
        Error::Deploy { step: "coin for fees", why }
    })?;
    Ok(Payload { to: TxKind::Call(to), value, input: Bytes::new(), gas })
}

/// Wait until the giver's transactions are sealed up to `next`, or it is time to pay more.
async fn await_sealed(node: &Node, giver: Address, next: u64) -> Result<(), Error> {
    let until = Instant::now() + BUMP;
    while Instant::now() < until && node.nonce(giver, "latest").await? < next {
        tokio::time::sleep(OFTEN).await;
    }
    Ok(())
}
