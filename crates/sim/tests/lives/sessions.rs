//! Sessions: the renter signs once and goes away; the gateway signs for it, up to the cap.

use std::time::Duration;

use broker::JobView;
use market::{
    DealFact, Session, SessionUse, Signed,
    fact::{Conclusion, Fact, Submission},
};
use primitives::{Amount, JobId, Rate};
use sandbox::Script;
use settlement::{Call, Sent, Settlement as _};
use sim::{House, WALLET, Wanted};
use store::Crash;
use tokio::time::Instant;

use crate::sums::charge;

/// A program that ends after twelve seconds.
fn script() -> Script {
    Script { ends_after: Some(Duration::from_secs(12)), ..Script::default() }
}

/// A house whose renter has its money inside the escrow, and a session with this cap.
struct Scene {
    house: House,
    session: Signed<Session>,
}

impl Scene {
    async fn begin(seed: u64, cap: Amount) -> Self {
        let house = House::begin(seed, script()).await;
        house.town.deposit(house.renter.account(), WALLET).await;
        let session = house.renter.grant(&house.town, &house.gateway, cap);
        Self { house, session }
    }

    fn wanted(&self, nonce: u64) -> Submission {
        let House { town, renter, .. } = &self.house;
        let order = self.house.submission(&Wanted::plain(nonce));
        renter.in_session(town, order, &self.session)
    }

    async fn order(&self, wanted: &Submission) -> Result<JobId, broker::Refusal> {
        self.house.renter.order(&self.house.gateway, wanted).await
    }

    /// What the chain says of the session.
    async fn kept(&self) -> SessionUse {
        let House { town, renter, .. } = &self.house;
        let id = self.session.document.id(&town.escrow());
        town.ledger.seat(renter.account()).session(id).await.expect("the ledger is there")
    }

    async fn revoke(&self) {
        let House { town, renter, .. } = &self.house;
        let call = Call::RevokeSession { session: self.session.document.clone(), intent: None };
        let sent = town.ledger.seat(renter.account()).send(call).await;
        assert!(matches!(sent, Ok(Sent::Done(_))), "{sent:?}");
    }

    /// Nobody consents to anything; whoever crashes is started again. With `insisting` the renter
    /// sends its order again, as a crash may have taken it.
    async fn until(
        &mut self,
        insisting: Option<&Submission>,
        what: &str,
        holds: impl Fn(&[JobView], SessionUse) -> bool,
    ) {
        let deadline = Instant::now() + Duration::from_secs(6 * 3_600);
        loop {
            self.house.revive().await;
            if let Some(wanted) = insisting {
                let _ = tokio::time::timeout(Duration::from_secs(1), self.order(wanted)).await;
            }
            let (jobs, kept) = (self.house.gateway.broker().jobs(), self.kept().await);
            self.house.town.ledger.check().expect("money is conserved at every moment");
            assert!(kept.used <= self.session.document.cap.units(), "the cap holds: {kept:?}");
            if holds(&jobs, kept) && !self.house.gateway.is_down() {
                return;
            }
            assert!(Instant::now() < deadline, "never {what}: {jobs:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether all jobs ended.
    async fn until_done(&mut self, insisting: Option<&Submission>) {
        let done =
            |jobs: &[JobView], _| !jobs.is_empty() && jobs.iter().all(|job| job.state == "done");
        self.until(insisting, "done", done).await;
    }

    /// The terms' rate and what a deal put aside.
    async fn price(&self, job: JobId) -> (Rate, Amount) {
        let records = self.house.gateway.broker().records(job, 0).await.expect("the log is up");
        let chosen = records.into_iter().find_map(|(_, record)| match record.fact {
            Fact::Deal(DealFact::Chosen(agreement)) => Some(agreement.terms.document),
            _ => None,
        });
        let terms = chosen.expect("a provider was chosen");
        (terms.rate, terms.escrowed().expect("small"))
    }

    fn conclusion(&self, job: JobId) -> Option<Conclusion> {
        self.house.gateway.broker().job(job).and_then(|job| job.conclusion)
    }
}

/// What one deal of these scenes costs an hour, and puts aside.
async fn usual() -> (Rate, Amount) {
    let mut scene = Scene::begin(1, WALLET).await;
    let job = scene.order(&scene.wanted(1)).await.expect("a good order");
    scene.until_done(None).await;
    scene.price(job).await
}

#[tokio::test(start_paused = true)]
async fn a_renter_that_is_away_for_good_gets_its_work_done_and_pays_for_what_ran() {
    let mut scene = Scene::begin(1, WALLET).await;
    let job = scene.order(&scene.wanted(1)).await.expect("a good order");
    scene.until_done(None).await;
    scene.house.rest().await;
    let (rate, _) = scene.price(job).await;
    assert_eq!(scene.conclusion(job), Some(Conclusion::Settled));
    assert_eq!(scene.house.paid().await.0, charge(rate, 12));
    assert_eq!(scene.kept().await.used, charge(rate, 12), "what was not spent is free again");
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_either_side_at_any_fact_opens_one_deal_and_pays_its_run_once() {
    let mut scene = Scene::begin(2, WALLET).await;
    let job = scene.order(&scene.wanted(1)).await.expect("a good order");
    scene.until_done(None).await;
    scene.house.rest().await;
    let (rate, _) = scene.price(job).await;
    let lengths = [scene.house.gateway.log_length(), scene.house.workshop.log_length()];
    for (side, length) in lengths.into_iter().enumerate() {
        for position in 1..=length {
            for when in [Crash::Before, Crash::After] {
                let here = format!("side {side}, {when:?} fact {position}");
                let mut scene = Scene::begin(2, WALLET).await;
                match side {
                    0 => scene.house.gateway.crash_at(position, when),
                    _ => scene.house.workshop.crash_at(position, when),
                }
                let wanted = scene.wanted(1);
                scene.until_done(Some(&wanted)).await;
                scene.house.rest().await;
                assert_eq!(scene.conclusion(job), Some(Conclusion::Settled), "{here}");
                assert_eq!(scene.house.paid().await.0, charge(rate, 12), "{here}");
                assert_eq!(scene.kept().await.used, charge(rate, 12), "{here}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_revoked_while_work_runs_lets_it_end_and_opens_nothing_more() {
    let mut scene = Scene::begin(3, WALLET).await;
    let job = scene.order(&scene.wanted(1)).await.expect("a good order");
    scene.until(None, "open", |_, kept| kept.used > 0).await;
    scene.revoke().await;
    let refused = scene.order(&scene.wanted(2)).await.expect_err("nothing is opened any more");
    assert!(refused.to_string().contains("is revoked"), "{refused}");
    scene.until_done(None).await;
    scene.house.rest().await;
    let (rate, _) = scene.price(job).await;
    assert_eq!(scene.conclusion(job), Some(Conclusion::Settled));
    assert_eq!(scene.house.paid().await.0, charge(rate, 12));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_cap_places_no_deal_that_puts_aside_more() {
    let (rate, hold) = usual().await;
    let mut scene = Scene::begin(4, hold).await;
    let first = scene.order(&scene.wanted(1)).await.expect("a good order");
    scene.until(None, "open", |_, kept| kept.used == hold.units()).await;
    let refused = scene.order(&scene.wanted(2)).await.expect_err("all of it is held");
    assert!(refused.to_string().contains("nothing left"), "{refused}");
    scene.until_done(None).await;
    assert_eq!(scene.conclusion(first), Some(Conclusion::Settled));
    let second = scene.order(&scene.wanted(3)).await.expect("the first gave some back");
    scene.until_done(None).await;
    match scene.conclusion(second) {
        Some(Conclusion::Unplaced { why, .. }) => assert!(why.contains("of its cap"), "{why}"),
        other => panic!("the session has not enough left: {other:?}"),
    }
    scene.house.rest().await;
    assert_eq!(scene.house.paid().await.0, charge(rate, 12));
}

#[tokio::test(start_paused = true)]
async fn an_order_in_a_session_that_does_not_stand_for_it_is_refused() {
    let scene = Scene::begin(5, WALLET).await;
    let House { town, renter, gateway, .. } = &scene.house;
    let order = || scene.house.submission(&Wanted::plain(1));
    let refused = async |it: Submission, why: &str| {
        let refusal = scene.order(&it).await.expect_err(why).to_string();
        assert!(refusal.contains(why), "{refusal}");
    };
    let Signed { document, .. } = scene.session.clone();
    let signed = |session: Session| session.signed(&town.escrow(), &renter.key);

    refused(Submission { session: None, ..scene.wanted(1) }, "must come with").await;
    let unnamed = Submission { session: Some(scene.session.clone()), ..order() };
    refused(unnamed, "not the one that the order names").await;
    let forged = document.clone().signed(&town.escrow(), &sim::key(9));
    refused(renter.in_session(town, order(), &forged), "must be signed by its renter").await;
    let of_another = Session { renter: sim::key(9).address(), ..document.clone() };
    let of_another = of_another.signed(&town.escrow(), &sim::key(9));
    refused(renter.in_session(town, order(), &of_another), "another renter's").await;
    let elsewhere = signed(Session { key: sim::key(9).address(), ..document.clone() });
    refused(renter.in_session(town, order(), &elsewhere), "another key").await;
    let cheap = signed(Session { max_rate: Rate::ZERO, ..document.clone() });
    refused(renter.in_session(town, order(), &cheap), "does not allow the price").await;
    let short = signed(Session { expiry: primitives::UnixSeconds(1), ..document });
    refused(renter.in_session(town, order(), &short), "ends before the order").await;
    assert!(gateway.broker().jobs().is_empty());
    assert_eq!(scene.kept().await, SessionUse::default());
}

#[tokio::test(start_paused = true)]
async fn money_in_the_wallet_alone_pays_for_nothing_in_a_session() {
    let house = House::begin(6, script()).await;
    let session = house.renter.grant(&house.town, &house.gateway, WALLET);
    let mut scene = Scene { house, session };
    let job = scene.order(&scene.wanted(1)).await.expect("a good order");
    scene.until_done(None).await;
    assert!(matches!(scene.conclusion(job), Some(Conclusion::Unplaced { .. })));
    assert_eq!(scene.house.paid().await, (0, 0));
}
