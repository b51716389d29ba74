//! Setting up a network: once, again, and after being cut off in the middle.

use std::sync::atomic::Ordering;

use chain::{Chain, Config};
use primitives::Seconds;
use serde_json::json;
use settlement::{Error, Evm, Rpc, Settlement, deploy};

use crate::{
    pair::{CHAIN_ID, GRANT, plan, quick},
    people::{Hand, Who, Wire},
};

fn fresh() -> Chain {
    Chain::open(Config::local(CHAIN_ID, [], Hand::new())).unwrap()
}

async fn height(wire: &Wire) -> serde_json::Value {
    wire.request("eth_blockNumber", json!([])).await.unwrap()
}

#[tokio::test]
async fn a_fresh_network_stands_in_one_block_and_setting_it_up_again_changes_nothing() {
    let chain = fresh();
    let wire = Wire::to(&chain);
    let first = deploy(wire.clone(), &Who::Owner.key(), &plan()).await.unwrap();
    assert_eq!(height(&wire).await, json!("0x1"));
    assert_eq!(first.genesis, chain.genesis_hash().unwrap());
    assert_eq!(first.network.chain_id, CHAIN_ID);
    let again = deploy(wire.clone(), &Who::Owner.key(), &plan()).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(height(&wire).await, json!("0x1"));

    let token = first.network.contracts.token;
    let evm = Evm::open(wire, first.network, Who::Stranger.key(), quick()).await.unwrap();
    let admission = evm.admission(token).await.unwrap();
    assert!(admission.present && admission.listed && !admission.paused);
    assert_eq!(admission.fee, plan().profile.fee);
    let renter = evm.balances(token, Who::Renter.address()).await.unwrap();
    assert_eq!(renter.wallet, GRANT);
}

#[tokio::test]
async fn a_set_up_that_was_cut_off_anywhere_is_taken_up_again() {
    let whole = {
        let wire = Wire::to(&fresh());
        let done = deploy(wire.clone(), &Who::Owner.key(), &plan()).await.unwrap();
        let handed = wire.handed.lock().unwrap().len();
        (done.network, u32::try_from(handed).unwrap())
    };
    for cut in 0..whole.1 {
        let wire = Wire::to(&fresh());
        wire.cut_after.store(cut, Ordering::SeqCst);
        let failed = deploy(wire.clone(), &Who::Owner.key(), &plan()).await.unwrap_err();
        assert!(failed.is_retryable(), "{failed}");
        wire.cut_after.store(u32::MAX, Ordering::SeqCst);
        wire.gone.store(false, Ordering::SeqCst);
        let done = deploy(wire, &Who::Owner.key(), &plan()).await.unwrap();
        assert_eq!(done.network, whole.0);
    }
}

#[tokio::test]
async fn contracts_of_another_network_are_not_taken_for_this_one() {
    let wire = Wire::to(&fresh());
    deploy(wire.clone(), &Who::Owner.key(), &plan()).await.unwrap();
    let mut other = plan();
    other.profile.escrow.dispute = Seconds(601);
    let refused = deploy(wire.clone(), &Who::Owner.key(), &other).await.unwrap_err();
    assert!(matches!(refused, Error::Deploy { .. }), "{refused}");
}
