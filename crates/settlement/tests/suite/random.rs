//! Random lives of deals: chains of calls, good and bad, with time passing, must go the same way on
//! the chain, in the ledger and in the pure table.
//!
//! The seed is printed; `SETTLEMENT_SEED=N` repeats a run, `SETTLEMENT_CASES=N` makes it longer.

use std::hash::{BuildHasher, RandomState};

use market::{
    Consent, Outcome, Session, Terms,
    document::{Purpose, batch},
};
use primitives::{Amount, Seconds};
use proptest::{
    prelude::{Just, Strategy, any},
    prop_oneof,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use settlement::Call;

use crate::{
    deal::{amount, session},
    pair::Pair,
    people::Who,
};

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Open {
        who: Who,
        bid: Who,
        renter: Who,
        pulled: bool,
    },
    Cancel(Who, Option<Who>),
    /// By whom, or by whose intent, with the session or without.
    TopUp(Who, Option<Who>, bool, u64),
    Present(Who, Note),
    Stop(Who, Option<Who>),
    Claim(Who, Option<Note>, u64),
    Settle(Who, Note),
    Contest(Who, Option<Who>),
    /// After so many seconds.
    Finalize(Who, u64),
    /// After so many seconds.
    Expire(Who, u64),
    /// The session's deals, in one call signed by both.
    OpenBatch {
        who: Who,
        renter: Option<Who>,
        provider: Option<Who>,
    },
    SettleBatch {
        who: Who,
        renter: Option<Who>,
        provider: Option<Who>,
        note: Note,
    },
    Revoke(Who, Option<Who>),
}

/// A receipt and who signed it.
#[derive(Clone, Debug)]
struct Note {
    seconds: u64,
    /// Units above (or below) what the seconds cost.
    shift: i64,
    outcome: Outcome,
    renter: Option<Who>,
    provider: Option<Who>,
}

/// The first without a session, the others in one.
const DEALS: usize = 3;
const CASES: u32 = 60;

fn who() -> impl Strategy<Value = Who> {
    select(&Who::ALL[1..])
}

/// Mostly the right one.
fn mostly(right: Who) -> impl Strategy<Value = Who> {
    prop_oneof![14 => Just(right), 1 => who()]
}

fn signer(right: Who) -> impl Strategy<Value = Option<Who>> {
    prop_oneof![18 => Just(Some(right)), 1 => Just(None), 1 => who().prop_map(Some)]
}

/// By intent or by the sender.
fn intent(right: Who) -> impl Strategy<Value = Option<Who>> {
    proptest::option::of(mostly(right))
}

fn note(terminal: bool) -> impl Strategy<Value = Note> {
    let ends = vec![
        Outcome::Completed,
        Outcome::Failed,
        Outcome::ProviderFault,
        Outcome::Stopped,
        Outcome::OutOfFunds,
    ];
    let outcome = prop_oneof![
        19 => if terminal { select(ends).boxed() } else { Just(Outcome::Running).boxed() },
        1 => Just(if terminal { Outcome::Running } else { Outcome::Completed }),
    ];
    let seconds =
        prop_oneof![6 => 0u64..90, 1 => 0u64..1_700, 1 => select(vec![299u64, 300, 1_000])];
    let shift = prop_oneof![6 => Just(0i64), 1 => Just(1), 3 => -900_000i64..0];
    (seconds, shift, outcome, signer(Who::RenterKey), signer(Who::ProviderKey)).prop_map(
        |(seconds, shift, outcome, renter, provider)| Note {
            seconds,
            shift,
            outcome,
            renter,
            provider,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let span = prop_oneof![4 => 0u64..90, 1 => Just(599), 3 => Just(600), 1 => Just(2_200)];
    let extra = prop_oneof![4 => 0u64..=60, 1 => Just(61), 4 => Just(0)];
    let open = (who(), mostly(Who::ProviderKey), mostly(Who::Renter), any::<bool>());
    prop_oneof![
        4 => span.prop_map(Step::Wait),
        3 => open.prop_map(|(who, bid, renter, pulled)| Step::Open { who, bid, renter, pulled }),
        1 => (mostly(Who::Renter), intent(Who::RenterKey)).prop_map(|(who, by)| Step::Cancel(who, by)),
        2 => (mostly(Who::RenterKey), intent(Who::RenterKey), any::<bool>(), 0u64..2_000_000)
            .prop_map(|(who, by, session, x)| Step::TopUp(who, by, session, x)),
        3 => (who(), note(false)).prop_map(|(who, note)| Step::Present(who, note)),
        2 => (who(), signer(Who::RenterKey)).prop_map(|(who, by)| Step::Stop(who, by)),
        3 => (mostly(Who::ProviderKey), proptest::option::weighted(0.8, note(false)), extra)
            .prop_map(|(who, note, extra)| Step::Claim(who, note, extra)),
        1 => (who(), note(true)).prop_map(|(who, note)| Step::Settle(who, note)),
        2 => (who(), signer(Who::RenterKey)).prop_map(|(who, by)| Step::Contest(who, by)),
        2 => (who(), select(vec![0, 599, 600, 600])).prop_map(|(who, after)| Step::Finalize(who, after)),
        1 => (who(), select(vec![0, 2_189, 2_190])).prop_map(|(who, after)| Step::Expire(who, after)),
        1 => (who(), signer(Who::RenterKey), signer(Who::ProviderKey))
            .prop_map(|(who, renter, provider)| Step::OpenBatch { who, renter, provider }),
        1 => (who(), signer(Who::RenterKey), signer(Who::ProviderKey), note(true)).prop_map(
            |(who, renter, provider, note)| Step::SettleBatch { who, renter, provider, note }),
        1 => (who(), intent(Who::Renter)).prop_map(|(who, by)| Step::Revoke(who, by)),
    ]
}

/// A good open first, as random calls would mostly miss the few seconds it has.
fn life() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let good = |deal| {
        let open = |pulled| Step::Open {
            who: Who::Stranger,
            bid: Who::ProviderKey,
            renter: Who::Renter,
            pulled,
        };
        any::<bool>().prop_map(move |pulled| (deal, open(pulled)))
    };
    let rest = proptest::collection::vec((0..DEALS, step()), 6..20);
    (good(0), proptest::option::weighted(0.7, good(1)), rest)
        .prop_map(|(one, other, rest)| std::iter::once(one).chain(other).chain(rest).collect())
}

/// The deals of one life and the session of all but the first.
struct Cast {
    session: Session,
    deals: [Terms; DEALS],
}

fn call(pair: &Pair, cast: &Cast, index: usize, step: &Step) -> Option<(Who, Call)> {
    let (place, terms) = (&pair.place, &cast.deals[index]);
    let deal = place.id(terms);
    let receipt = |terms: &Terms, note: &Note| {
        let mut receipt = place.receipt(terms, note.seconds, note.outcome);
        let units = i128::try_from(receipt.amount.units()).unwrap() + i128::from(note.shift);
        receipt.amount = Amount::new(u128::try_from(units.max(0)).unwrap()).unwrap();
        receipt
    };
    let proof = |note: &Note| place.signed_by(receipt(terms, note), note.renter, note.provider);
    let by = |by: &Option<Who>, purpose| by.map(|by| place.intent(by, purpose));
    let owned = || terms.clone();
    Some(match step {
        Step::Wait(_) => return None,
        Step::Open { who, bid, renter, pulled } => {
            let consent = if *pulled {
                let digest = terms.authorization(&place.escrow, &place.token_domain).unwrap();
                Consent::Authorization { signature: renter.key().sign(digest) }
            } else if terms.session().is_some() {
                let grant = Box::new(place.granted(&cast.session, *renter));
                Consent::Session { grant, signature: place.by(Who::RenterKey, terms) }
            } else {
                Consent::Terms { signature: place.by(*renter, terms) }
            };
            (*who, Call::Open { terms: owned(), bid: place.by(*bid, terms), consent })
        }
        Step::Cancel(who, signer) => {
            (*who, Call::Cancel { terms: owned(), intent: by(signer, Purpose::Cancel { deal }) })
        }
        Step::TopUp(who, signer, in_session, more) => {
            let more = amount(u128::from(*more));
            let intent = by(signer, Purpose::TopUp { deal, amount: more });
            let session = in_session.then(|| cast.session.clone());
            (*who, Call::TopUp { terms: owned(), more, session, intent })
        }
        Step::Present(who, note) => (*who, Call::Present { terms: owned(), proof: proof(note) }),
        Step::Stop(who, signer) => {
            (*who, Call::Stop { terms: owned(), intent: by(signer, Purpose::Stop { deal }) })
        }
        Step::Claim(who, note, extra) => {
            let proof = note.as_ref().map(proof);
            (*who, Call::Claim { terms: owned(), proof, extra: Seconds(*extra) })
        }
        Step::Settle(who, note) => (*who, Call::Settle { terms: owned(), proof: proof(note) }),
        Step::Contest(who, signer) => {
            (*who, Call::Contest { terms: owned(), intent: by(signer, Purpose::Contest { deal }) })
        }
        Step::Finalize(who, _) => (*who, Call::Finalize { terms: owned() }),
        Step::Expire(who, _) => (*who, Call::Expire { terms: owned() }),
        Step::OpenBatch { who, renter, provider } => {
            let openings: Vec<_> = cast.deals.iter().map(|terms| (terms.clone(), 0)).collect();
            let digest =
                batch(openings.iter().map(|(it, _)| place.id(it).0).collect(), &place.escrow);
            let sign = |by: &Option<Who>| by.map(|by| by.key().sign(digest));
            let grants = vec![place.granted(&cast.session, Who::Renter)];
            let (renter, provider) = (sign(renter), sign(provider));
            (*who, Call::OpenBatch { openings, grants, renter, provider })
        }
        Step::SettleBatch { who, renter, provider, note } => {
            let closing = |terms: &Terms| (terms.clone(), receipt(terms, note));
            let closings: Vec<_> = cast.deals.iter().map(closing).collect();
            let digests = closings.iter().map(|(_, it)| it.digest(&place.escrow)).collect();
            let digest = batch(digests, &place.escrow);
            let sign = |by: &Option<Who>| by.map(|by| by.key().sign(digest));
            let (renter, provider) = (sign(renter), sign(provider));
            (*who, Call::SettleBatch { closings, renter, provider })
        }
        Step::Revoke(who, signer) => {
            let session = cast.session.id(&place.escrow);
            let intent = by(signer, Purpose::Revoke { session });
            (*who, Call::RevokeSession { session: cast.session.clone(), intent })
        }
    })
}

#[test]
fn random_lives_go_the_same_way_on_the_chain_in_the_ledger_and_in_the_table() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let fresh = || RandomState::new().hash_one("a seed of its own for every run");
    let seed = number("SETTLEMENT_SEED").unwrap_or_else(fresh);
    let cases = number("SETTLEMENT_CASES").and_then(|cases| cases.try_into().ok());
    println!("SETTLEMENT_SEED={seed}");

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let pair = runtime.block_on(Pair::new());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: cases.unwrap_or(CASES),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let seen = std::sync::Mutex::new(std::collections::BTreeMap::new());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config, rng).run(&life(), |life| {
        // One network serves all cases, each with deals of its own.
        let first = pair.terms();
        let mut session = session(&pair.place, 0, 2_500_000, pair.now());
        session.salt = pair.place.id(&first).0;
        let deals: [Terms; DEALS] = std::array::from_fn(|index| match index {
            0 => first.clone(),
            _ => pair.place.within(&session, pair.terms()),
        });
        let cast = Cast { session, deals };
        runtime.block_on(async {
            for (deal, step) in &life {
                match step {
                    Step::Wait(seconds) => pair.clock.advance(*seconds),
                    Step::Finalize(_, seconds) | Step::Expire(_, seconds) => {
                        pair.clock.advance(*seconds);
                    }
                    _ => {}
                }
                if let Some((who, call)) = call(&pair, &cast, *deal, step) {
                    let name = call.name();
                    let done = pair.send_any(who, call).await.mined().is_some();
                    let mut seen = seen.lock().unwrap();
                    let (did, refused) = seen.entry(name).or_insert((0u32, 0u32));
                    *if done { did } else { refused } += 1;
                }
            }
        });
        Ok(())
    });
    println!("done and refused: {:?}", seen.lock().unwrap());
    if let Err(failure) = outcome {
        panic!("SETTLEMENT_SEED={seed}: {failure}");
    }
}
