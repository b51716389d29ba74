//! What nodes of other makers say, and what is made of it.

use async_trait::async_trait;

use super::*;

/// Answers every method the same way, or fails it with these words.
struct Canned(Vec<(&'static str, Answer)>);

/// A result, or the code and words of an error.
type Answer = Result<Value, (i64, &'static str)>;

#[async_trait]
impl Rpc for Canned {
    fn endpoint(&self) -> String {
        "a canned node".into()
    }

    async fn request(&self, method: &str, _: Value) -> Result<Value, RpcError> {
        let known = self.0.iter().find(|(name, _)| *name == method);
        let unknown = (-32_601, "the method does not exist/is not available");
        let answer = known.map_or(Err(unknown), |(_, answer)| answer.clone());
        answer.map_err(|(code, message)| RpcError::Refused {
            endpoint: self.endpoint(),
            code,
            message: message.into(),
            data: None,
        })
    }
}

fn node(answers: &[(&'static str, Answer)]) -> Node {
    Node::new(Arc::new(Canned(answers.to_vec())))
}

async fn handed(code: i64, message: &'static str) -> Result<Handed, Error> {
    node(&[("eth_sendRawTransaction", Err((code, message)))]).hand(&Bytes::new()).await
}

#[tokio::test]
async fn one_meaning_is_read_from_the_words_of_many_nodes() {
    for words in [
        "already known",
        "AlreadyKnown",
        "Known transaction",
        "transaction already imported",
        "Transaction with the same hash was already imported.",
    ] {
        assert!(matches!(handed(-32_000, words).await, Ok(Handed::Taken)), "{words}");
    }
    for words in [
        "nonce too low: next nonce 5, tx nonce 4",
        "OldNonce",
        "Transaction nonce is too low. Try incrementing the nonce.",
    ] {
        assert!(matches!(handed(-32_000, words).await, Ok(Handed::NonceUsed)), "{words}");
    }
    for words in [
        "replacement transaction underpriced",
        "transaction underpriced: gas tip cap 1, minimum needed 25000000000",
        "ReplacementNotAllowed",
        "FeeTooLowToCompete",
        "Transaction gas price is too low. There is another transaction with same nonce in the queue.",
        "max fee per gas less than block base fee: address 0x, maxFeePerGas: 1, baseFee: 2",
    ] {
        assert!(matches!(handed(-32_000, words).await, Ok(Handed::Underpriced)), "{words}");
    }
    for words in [
        "insufficient funds for gas * price + value: balance 0, tx cost 1",
        "InsufficientFunds, Account balance: 0, cumulative cost: 1",
        "Upfront cost exceeds account balance",
        "Insufficient funds. The account you tried to send transaction from does not have enough funds.",
    ] {
        assert!(matches!(handed(-32_000, words).await, Ok(Handed::Unpayable(_))), "{words}");
    }
    assert!(handed(-32_000, "intrinsic gas too low").await.is_err());
}

#[tokio::test]
async fn a_busy_node_is_asked_again_and_a_clear_no_is_not() {
    for (code, words) in [
        (-32_005, "daily request count exceeded, request rate limited"),
        (429, "Your app has exceeded its compute units per second capacity"),
        (-32_000, "header not found"),
        (-32_000, "transaction indexing is in progress"),
        (-32_602, "BlockOutOfRangeError: block height is 6 but requested was 100"),
    ] {
        assert!(handed(code, words).await.is_err_and(|error| error.is_retryable()), "{words}");
    }
    for (code, words) in [(-32_601, "the method does not exist"), (-32_000, "invalid sender")] {
        assert!(handed(code, words).await.is_err_and(|error| !error.is_retryable()), "{words}");
    }
}

#[tokio::test]
async fn a_price_survives_six_full_blocks_and_tips_what_is_customary() {
    let history = json!({
        "baseFeePerGas": ["0x64", "0xc8", "0x12c"],
        "gasUsedRatio": [0.5, 0.5],
        "oldestBlock": "0x1",
        "reward": [["0x3"], ["0x5"], ["0x7"]],
    });
    let suggesting = node(&[
        ("eth_feeHistory", Ok(history.clone())),
        ("eth_maxPriorityFeePerGas", Ok(json!("0xa"))),
    ]);
    assert_eq!(suggesting.price().await.unwrap(), Price { most: 610, tip: 10 });
    let silent = node(&[("eth_feeHistory", Ok(history))]);
    assert_eq!(silent.price().await.unwrap(), Price { most: 605, tip: 5 });

    let word = B256::ZERO;
    let block = json!({
        "number": "0x1", "hash": word, "parentHash": word, "timestamp": "0x1", "baseFeePerGas": "0x64",
    });
    let old = node(&[("eth_getBlockByNumber", Ok(block))]);
    assert_eq!(old.price().await.unwrap(), Price { most: 200 + CUSTOMARY_TIP, tip: CUSTOMARY_TIP });
}

#[test]
fn a_bump_is_what_nodes_ask_for_and_never_many_times_what_others_pay() {
    let present = Price { most: 1_000, tip: 8 };
    let mut price = present;
    for _ in 0..100 {
        let bumped = price.bumped(present);
        if bumped == price {
            break;
        }
        assert!(bumped.most * 10 >= price.most * 11 && bumped.tip * 10 >= price.tip * 11);
        price = bumped;
    }
    assert!(price.most <= 10_000 && price.most > 8_000, "{price:?}");
    let risen = Price { most: 50_000, tip: 9 };
    assert_eq!(price.bumped(risen).most, 50_000);
    let free = Price { most: 0, tip: 0 };
    assert_eq!(free.bumped(free), free);
}
