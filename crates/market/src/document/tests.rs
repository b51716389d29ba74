//! Tests of the documents: their type strings are those of the contracts.

use alloy_sol_types::SolStruct;

use super::*;

#[test]
fn type_strings_are_those_of_the_protocol() {
    let receipt = "Receipt(bytes32 deal,uint96 amount,uint40 seconds,uint8 outcome,\
                   bytes32 result,bytes32 meter)";
    assert_eq!(wire::Receipt::eip712_encode_type(), receipt);
    let terms = "Terms(address renter,address provider,address renterKey,address providerKey,\
                 bytes32 session,address token,uint96 cap,uint96 ratePerHour,uint16 feeBps,\
                 uint8 kind,uint40 acceptBy,uint40 expiry,uint16 grace,address gateway,\
                 uint96 openFee,uint96 closeFee,uint64 nonce,bytes32 spec)";
    assert_eq!(wire::Terms::eip712_encode_type(), terms);
}

#[test]
fn a_receipt_under_another_chain_or_escrow_has_another_digest() {
    let receipt = Receipt {
        deal: DealId(B256::repeat_byte(1)),
        amount: Amount::ZERO,
        seconds: Seconds(1),
        outcome: Outcome::Running,
        result: B256::ZERO,
        meter: B256::ZERO,
    };
    let here = Domain { chain_id: 1, contract: Address::repeat_byte(1) };
    let there = Domain { chain_id: 2, ..here };
    let other = Domain { contract: Address::repeat_byte(2), ..here };
    assert_ne!(receipt.digest(&here), receipt.digest(&there));
    assert_ne!(receipt.digest(&here), receipt.digest(&other));
}
