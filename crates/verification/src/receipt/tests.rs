//! Tests of the rules by which receipts are signed: one lie each.

use market::{Kind, task::TaskResult};
use primitives::{
    Address, B256, BasisPoints, Bytes, Digest, Epoch, Key, Rate, TaskIndex, UnixSeconds,
};

use super::*;

struct Case {
    terms: Terms,
    last: Option<Receipt>,
    receipt: Receipt,
    samples: Vec<Sample>,
    results: Vec<TaskResult>,
    own: Own,
    time_limit: Seconds,
    signer: Key,
}

const ESCROW: Domain = Domain { chain_id: 7, contract: Address::repeat_byte(9) };

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32]).expect("a key")
}

fn amount(units: u128) -> Amount {
    Amount::new(units).expect("small")
}

fn honest() -> Case {
    let terms = Terms {
        renter: Address::repeat_byte(1),
        provider: Address::repeat_byte(2),
        renter_key: key(3).address(),
        provider_key: key(4).address(),
        session: B256::ZERO,
        token: Address::repeat_byte(5),
        cap: amount(1_000_000),
        rate: Rate::per_hour(3_600).expect("small"),
        fee: BasisPoints(300),
        kind: Kind::Lease,
        accept_by: UnixSeconds(1_000),
        expiry: UnixSeconds(9_000),
        grace: Seconds(60),
        gateway: Address::ZERO,
        open_fee: Amount::ZERO,
        close_fee: Amount::ZERO,
        nonce: 1,
        spec: B256::ZERO,
    };
    let samples = vec![Sample {
        at_ms: 8_900,
        cpu_ms: 10,
        memory: Bytes(5),
        peak: Bytes(6),
        ..Sample::default()
    }];
    let results = vec![TaskResult {
        task: TaskIndex(0),
        epoch: Epoch(1),
        exit_code: 0,
        output: Digest::of(b"out"),
        seconds: Seconds(9),
        salt: B256::repeat_byte(8),
    }];
    let last = Receipt {
        deal: terms.id(&ESCROW),
        amount: amount(5),
        seconds: Seconds(5),
        outcome: Outcome::Running,
        result: B256::ZERO,
        meter: B256::ZERO,
    };
    let receipt = Receipt {
        amount: amount(9),
        seconds: Seconds(9),
        outcome: Outcome::Completed,
        result: result_root(&results),
        meter: Meter::default().extended(&samples).root(),
        ..last.clone()
    };
    let own = Own { since_ready: Some(Seconds(8)), since_open: Seconds(100) };
    Case {
        terms,
        last: Some(last),
        receipt,
        samples,
        results,
        own,
        time_limit: Seconds(3_600),
        signer: key(4),
    }
}

fn verdict(case: &Case) -> Verdict {
    let receipt = Signed {
        signature: case.signer.sign(case.receipt.digest(&ESCROW)),
        document: case.receipt.clone(),
    };
    let meter = Meter::default().extended(&case.samples);
    let evidence = Evidence {
        escrow: &ESCROW,
        deal: case.terms.id(&ESCROW),
        terms: &case.terms,
        locked: case.terms.cap,
        time_limit: case.time_limit,
        last: case.last.as_ref(),
        receipt: &receipt,
        meter: &meter,
        samples: &case.samples,
        own: case.own,
    };
    if case.receipt.outcome.is_terminal() {
        judge(&evidence, &case.results, &Rules::default())
    } else {
        match running(&evidence, &Rules::default()) {
            Ok(()) => Verdict::Pay,
            Err(doubt) => Verdict::Refuse { why: doubt.to_string() },
        }
    }
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Case), doubt: Doubt) {
    let mut case = honest();
    change(&mut case);
    assert_eq!(verdict(&case), Verdict::Refuse { why: doubt.to_string() });
}

#[test]
fn an_honest_terminal_receipt_is_paid() {
    assert_eq!(verdict(&honest()), Verdict::Pay);
}

#[test]
fn an_honest_running_receipt_is_signed() {
    let mut case = honest();
    case.receipt.outcome = Outcome::Running;
    case.receipt.result = B256::ZERO;
    assert_eq!(verdict(&case), Verdict::Pay);
}

#[test]
fn the_first_receipt_may_be_the_terminal_one() {
    let mut case = honest();
    case.last = None;
    assert_eq!(verdict(&case), Verdict::Pay);
}

#[test]
fn each_lie_is_named() {
    refused(|case| case.receipt.deal = DealId::default(), Doubt::OtherDeal);
    refused(|case| case.signer = key(6), Doubt::NotSigned);
    refused(|case| case.receipt.amount = amount(4), Doubt::Decreased);
    refused(|case| case.receipt.amount = amount(10), Doubt::Overcharged);
    refused(|case| case.own.since_ready = Some(Seconds(6)), Doubt::AheadOfTime);
    refused(|case| case.receipt.meter = B256::repeat_byte(1), Doubt::WrongMeter);
    refused(|case| case.results[0].output = Digest::of(b"forged"), Doubt::WrongResult);
    refused(
        |case| {
            case.results[0].exit_code = 1;
            case.receipt.result = result_root(&case.results);
        },
        Doubt::NotCompleted,
    );
    refused(
        |case| {
            case.samples[0].at_ms = 9_001;
            case.receipt.meter = Meter::default().extended(&case.samples).root();
        },
        Doubt::WrongSamples,
    );
    refused(
        |case| {
            case.last = None;
            case.receipt.seconds = Seconds(0);
            case.receipt.amount = Amount::ZERO;
        },
        Doubt::NoTime,
    );
}

#[test]
fn more_than_is_locked_is_refused() {
    refused(|case| case.terms.cap = amount(8), Doubt::OtherDeal);
    let mut case = honest();
    case.terms.cap = amount(8);
    case.receipt.deal = case.terms.id(&ESCROW);
    assert_eq!(verdict(&case), Verdict::Refuse { why: Doubt::Overdrawn.to_string() });
}

#[test]
fn work_that_goes_on_beyond_its_limit_and_grace_is_not_paid() {
    refused(
        |case| {
            case.time_limit = Seconds(2);
            case.receipt.seconds = Seconds(63);
            case.own.since_ready = Some(Seconds(63));
        },
        Doubt::OverLimit,
    );
    let mut case = honest();
    case.time_limit = Seconds(2);
    assert_eq!(verdict(&case), Verdict::Pay, "the grace to end it is paid");
}

#[test]
fn after_a_restart_only_the_time_since_opening_bounds_the_receipt() {
    let mut case = honest();
    case.own = Own { since_ready: None, since_open: Seconds(9) };
    assert_eq!(verdict(&case), Verdict::Pay);
    refused(
        |case| case.own = Own { since_ready: None, since_open: Seconds(6) },
        Doubt::AheadOfTime,
    );
}

#[test]
fn an_early_fault_of_the_provider_is_free_and_may_waive_what_was_signed() {
    refused(|case| case.receipt.outcome = Outcome::ProviderFault, Doubt::FaultCharged);
    let mut case = honest();
    case.receipt.outcome = Outcome::ProviderFault;
    case.receipt.amount = Amount::ZERO;
    assert_eq!(verdict(&case), Verdict::Pay);
}

#[test]
fn a_terminal_receipt_is_never_signed_as_a_running_one() {
    let case = honest();
    let receipt = Signed {
        signature: case.signer.sign(case.receipt.digest(&ESCROW)),
        document: case.receipt.clone(),
    };
    let evidence = Evidence {
        escrow: &ESCROW,
        deal: case.terms.id(&ESCROW),
        terms: &case.terms,
        locked: case.terms.cap,
        time_limit: case.time_limit,
        last: None,
        receipt: &receipt,
        meter: &Meter::default().extended(&case.samples),
        samples: &case.samples,
        own: case.own,
    };
    assert_eq!(running(&evidence, &Rules::default()), Err(Doubt::WrongOutcome));
}
