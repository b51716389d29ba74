//! One deal, simulated: honest and dishonest providers, crashes of the gateway at every fact.

use std::time::Duration;

use broker::JobView;
use primitives::{Rate, Seconds};
use sim::{Behaviour, Gateway, Puppet, Renter, Town, WALLET, Wanted, key};
use store::Crash;

struct Life {
    town: Town,
    gateway: Gateway,
    puppet: Puppet,
    renter: Renter,
}

impl Life {
    async fn begin(seed: u64, behaviour: Behaviour, lasting: u64) -> Self {
        let town = Town::new(seed);
        let mut gateway = Gateway::new("gateway");
        gateway.start(&town).await;
        let lasting = Duration::from_secs(lasting);
        let puppet = Puppet::start(&town, &gateway.peer, 1, behaviour, lasting).await;
        let renter = Renter { key: key(200) };
        town.fund(renter.account(), WALLET).await;
        Self { town, gateway, puppet, renter }
    }

    /// Order work and live until the job is done, restarting the gateway whenever it crashed.
    async fn live(&mut self, stop_after: Option<Duration>) -> JobView {
        let wanted = self.renter.submission(&self.town, &self.gateway, &Wanted::plain(1));
        let begun = tokio::time::Instant::now();
        let deadline = begun + Duration::from_secs(6 * 3_600);
        while tokio::time::Instant::now() < deadline {
            if self.gateway.is_down() {
                self.gateway.restart(&self.town).await;
            }
            // Whatever was lost in a crash is simply said again.
            if let Ok(job) = self.renter.order(&self.gateway, &wanted).await
                && let Some(view) = self.gateway.broker().job(job)
            {
                if view.state == "done" && !self.gateway.is_down() {
                    return view;
                }
                let consent = self.renter.consent(&self.town, &self.gateway, &view);
                let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
                if stop_after.is_some_and(|after| begun.elapsed() > after) {
                    let _ = self.gateway.broker().stop(job).await;
                }
            }
            self.town.ledger.check().expect("money is conserved at every moment");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the job did not end: {:?}", self.gateway.broker().jobs());
    }

    async fn paid(&self) -> (u128, u128, u128) {
        let renter = self.town.wealth(self.renter.account()).await.units();
        let provider = self.town.wealth(self.puppet.account).await.units();
        let fees = self.town.ledger.fees(self.town.setup.token).units();
        (WALLET.units() - renter, provider, fees)
    }
}

fn charge(seconds: u64) -> u128 {
    Rate::per_hour(1_000_000).expect("small").charge_down(Seconds(seconds)).units()
}

#[tokio::test(start_paused = true)]
async fn an_honest_deal_pays_rate_times_seconds_and_refunds_the_rest() {
    let mut life = Life::begin(1, Behaviour::Honest, 12).await;
    let job = life.live(None).await;
    let deal = job.deal().cloned().expect("placed");
    assert_eq!(deal.state, "settled", "{:?}", deal.problem);
    let receipt = deal.delivery.expect("delivered").receipt.document;
    let split = deal.closing.expect("settled").split;
    assert_eq!(split.charge().units(), charge(receipt.seconds.0));
    assert!((12..=17).contains(&receipt.seconds.0), "{receipt:?}");
    let (charged, earned, fees) = life.paid().await;
    assert_eq!((charged, earned + fees), (split.charge().units(), split.charge().units()));
    assert_eq!(fees, split.charge().units() * 300 / 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_gateway_at_any_fact_changes_nothing_in_the_end() {
    let mut life = Life::begin(2, Behaviour::Honest, 12).await;
    life.live(None).await;
    let (expected, facts) = (life.paid().await, life.gateway.log_length());
    assert!(facts > 8, "the story has {facts} facts");
    for position in 1..=facts {
        for when in [Crash::Before, Crash::After] {
            let mut life = Life::begin(2, Behaviour::Honest, 12).await;
            life.gateway.crash_at(position, when);
            let job = life.live(None).await;
            let deal = job.deal().cloned().expect("placed");
            assert_eq!(deal.state, "settled", "crash {when:?} {position}: {:?}", deal.problem);
            assert_eq!(deal.problem, None, "crash {when:?} {position}");
            let (charged, earned, fees) = life.paid().await;
            assert_eq!(charged, earned + fees, "crash {when:?} {position}");
            let most = expected.0 + charge(20);
            assert!(charged <= most, "crash {when:?} {position}: {charged} of {most}");
            let deeds = &life.puppet.deeds;
            assert_eq!(deeds.starts.load(std::sync::atomic::Ordering::Relaxed), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_job_pays_for_what_ran() {
    let mut life = Life::begin(3, Behaviour::Honest, 500).await;
    let job = life.live(Some(Duration::from_secs(30))).await;
    let deal = job.deal().cloned().expect("placed");
    assert_eq!(deal.state, "settled");
    let receipt = deal.delivery.expect("delivered").receipt.document;
    assert_eq!(receipt.outcome, market::Outcome::Stopped);
    assert!((29..=40).contains(&receipt.seconds.0), "{receipt:?}");
    assert_eq!(life.paid().await.0, charge(receipt.seconds.0));
}

#[tokio::test(start_paused = true)]
async fn cheats_get_no_more_than_was_honestly_signed_and_the_rest_comes_back() {
    // The most each can get: what was co-signed before the lie was told.
    let cases = [
        (Behaviour::Ghost, 0),
        (Behaviour::Overbiller, 0),
        (Behaviour::Hurrier, 0),
        (Behaviour::Liar, charge(13)),
        (Behaviour::Deserter, charge(8)),
    ];
    for (behaviour, most) in cases {
        let mut life = Life::begin(4, behaviour, 12).await;
        let job = life.live(None).await;
        let deal = job.deal().cloned().expect("placed");
        assert_eq!(deal.state, "settled", "{behaviour:?}");
        assert!(deal.problem.is_some(), "{behaviour:?} is told to the renter");
        let (charged, earned, fees) = life.paid().await;
        assert_eq!(charged, earned + fees, "{behaviour:?}");
        assert!(charged <= most, "{behaviour:?} got {charged}, at most {most} is due");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_is_gone_for_a_minute_delays_and_changes_nothing() {
    let mut life = Life::begin(5, Behaviour::Honest, 12).await;
    let ledger = life.town.ledger.clone();
    let outage = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(8)).await;
        ledger.set_gone(true);
        tokio::time::sleep(Duration::from_secs(60)).await;
        ledger.set_gone(false);
    });
    let job = life.live(None).await;
    outage.await.expect("it only waits");
    let deal = job.deal().cloned().expect("placed");
    assert_eq!(deal.state, "settled", "{:?}", deal.problem);
    let receipt = deal.delivery.expect("delivered").receipt.document;
    assert_eq!(receipt.outcome, market::Outcome::Completed);
    assert_eq!(life.paid().await.0, charge(receipt.seconds.0));
}

#[tokio::test(start_paused = true)]
async fn lost_transactions_and_lost_answers_are_sent_again_and_never_doubled() {
    for seed in 0..4 {
        let mut life = Life::begin(6 + seed, Behaviour::Honest, 12).await;
        life.town.ledger.lose_calls(u32::from(seed % 2 == 0));
        life.town.ledger.lose_answers(u32::from(seed >= 2));
        let deal = life.live(None).await.deal().cloned().expect("placed");
        assert_eq!(deal.state, "settled", "{:?}", deal.problem);
        let split = deal.closing.expect("settled").split;
        assert_eq!(life.paid().await.0, split.charge().units());
    }
}

#[tokio::test(start_paused = true)]
async fn without_money_or_providers_nothing_is_opened_and_the_reason_is_told() {
    let town = Town::new(9);
    let mut gateway = Gateway::new("gateway");
    gateway.start(&town).await;
    let lasting = Duration::from_secs(5);
    let renter = Renter { key: key(201) };
    let mut lonely = Life {
        puppet: Puppet::start(&town, &gateway.peer, 1, Behaviour::Honest, lasting).await,
        town,
        gateway,
        renter,
    };
    let job = lonely.live(None).await;
    assert!(job.deal().is_none());
    let why = job.conclusion.expect("done").sentence();
    assert!(why.contains("puts aside") && why.contains("has 0"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_full_for_a_while_delays_and_loses_nothing() {
    for failing in [1, 3, 9] {
        let mut life = Life::begin(20, Behaviour::Honest, 12).await;
        let log = life.gateway.log.clone();
        let trouble = tokio::spawn(async move {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                log.fail_appends(failing);
            }
        });
        let deal = life.live(None).await.deal().cloned().expect("placed");
        trouble.await.expect("it only waits");
        assert_eq!((deal.state, deal.problem), ("settled", None));
        let split = deal.closing.expect("settled").split;
        assert_eq!(life.paid().await.0, split.charge().units());
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_are_listed_newest_first_also_after_a_restart() {
    let mut life = Life::begin(30, Behaviour::Honest, 5).await;
    let mut ordered = Vec::new();
    for nonce in 1..=5 {
        let wanted = life.renter.submission(&life.town, &life.gateway, &Wanted::plain(nonce));
        ordered.push(life.renter.order(&life.gateway, &wanted).await.expect("a fair order"));
    }
    ordered.reverse();
    let listed = |life: &Life| -> Vec<_> {
        life.gateway.broker().jobs().into_iter().map(|job| job.id).collect()
    };
    assert_eq!(listed(&life), ordered);
    life.gateway.restart(&life.town).await;
    assert_eq!(listed(&life), ordered);
}
