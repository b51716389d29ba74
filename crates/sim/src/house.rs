//! A scene: the real gateway, the real provider and a renter that does not give up.

use std::time::Duration;

use broker::{DealView, JobView};
use market::fact::Submission;
use primitives::Bytes;
use sandbox::Script;
use tokio::time::Instant;

use crate::{
    gateway::Gateway,
    renter::{Renter, WALLET, Wanted},
    town::{Town, key},
    workshop::Workshop,
};

/// A town with the three of them.
pub struct House {
    /// Where they live.
    pub town: Town,
    /// The gateway.
    pub gateway: Gateway,
    /// The provider.
    pub workshop: Workshop,
    /// Who pays.
    pub renter: Renter,
}

impl House {
    /// A house whose provider's runs play `script`.
    pub async fn begin(seed: u64, script: Script) -> Self {
        Self::in_town(Town::new(seed), script).await
    }

    /// The same in a town that is there already.
    pub async fn in_town(town: Town, script: Script) -> Self {
        Self::of(town, Gateway::new("gateway"), Workshop::new(1, script)).await
    }

    /// The same of a gateway and a provider that are not started yet.
    pub async fn of(town: Town, mut gateway: Gateway, mut workshop: Workshop) -> Self {
        gateway.start(&town).await;
        workshop.start(&town, &gateway).await;
        let renter = Renter { key: key(200) };
        town.fund(renter.account(), WALLET).await;
        Self { town, gateway, workshop, renter }
    }

    /// Start whoever has crashed.
    pub async fn revive(&mut self) {
        if self.gateway.is_down() {
            self.gateway.restart(&self.town).await;
        }
        self.revive_workshop().await;
    }

    async fn revive_workshop(&mut self) {
        if self.workshop.is_down() {
            self.workshop.restart(&self.town, &self.gateway).await;
        }
    }

    /// The renter's signed order.
    pub fn submission(&self, wanted: &Wanted) -> Submission {
        self.renter.submission(&self.town, &self.gateway, wanted)
    }

    /// One look of a renter that says everything again, after starting whoever has crashed; gives
    /// the job.
    pub async fn nudge(&mut self, wanted: &Submission) -> Option<JobView> {
        self.revive().await;
        let job = self.renter.order(&self.gateway, wanted).await.ok()?;
        let view = self.gateway.broker().job(job)?;
        let consent = self.renter.consent(&self.town, &self.gateway, &view);
        // Whatever was lost in a crash is said again at the next look.
        let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
        self.town.ledger.check().expect("money is conserved at every moment");
        Some(view)
    }

    /// The same without starting anyone.
    pub async fn nudge_alive(&self, wanted: &Submission) {
        let ordering = self.renter.order(&self.gateway, wanted);
        if let Ok(Ok(job)) = tokio::time::timeout(Duration::from_secs(1), ordering).await
            && let Some(view) = self.gateway.broker().job(job)
        {
            let consent = self.renter.consent(&self.town, &self.gateway, &view);
            let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
        }
    }

    /// Order something plain and live until it is done.
    pub async fn live(&mut self) -> JobView {
        self.live_for(&Wanted::plain(1)).await
    }

    /// Order this and live until it is done.
    pub async fn live_for(&mut self, wanted: &Wanted) -> JobView {
        let wanted = self.submission(wanted);
        self.live_until_done(&wanted).await
    }

    /// Live until the job is done, starting whoever crashed.
    pub async fn live_until_done(&mut self, wanted: &Submission) -> JobView {
        let deadline = Instant::now() + Duration::from_secs(6 * 3_600);
        loop {
            if let Some(view) = self.nudge(wanted).await
                && view.state == "done"
                && !self.gateway.is_down()
            {
                return view;
            }
            let jobs = || self.gateway.broker().jobs();
            assert!(Instant::now() < deadline, "the job did not end: {:?}", jobs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Live until the deal is in this state.
    pub async fn live_until(&mut self, wanted: &Submission, state: &str) -> JobView {
        let deadline = Instant::now() + Duration::from_secs(3_600);
        loop {
            if let Some(view) = self.nudge(wanted).await
                && view.deal().is_some_and(|deal| deal.state == state)
            {
                return view;
            }
            assert!(Instant::now() < deadline, "never {state}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Live until both sides have signed for so much running time.
    pub async fn live_until_signed(&mut self, wanted: &Submission, seconds: u64) {
        let deadline = Instant::now() + Duration::from_secs(3_600);
        while self.nudge(wanted).await.is_none() || self.signed_seconds() < seconds {
            assert!(Instant::now() < deadline, "never signed for {seconds} s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The processes of gateway and provider are killed, and come back after `span`.
    pub async fn both_away(&mut self, span: Duration) {
        self.gateway.log.crash();
        self.town.network.crash(&self.gateway.peer);
        self.workshop.kill(&self.town).await;
        tokio::time::sleep(span).await;
        self.gateway.restart(&self.town).await;
        self.workshop.start(&self.town, &self.gateway).await;
    }

    /// Until the provider has nothing left to do and everything free; a gateway that is down stays
    /// so.
    pub async fn rest(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(3 * 3_600);
        loop {
            self.revive_workshop().await;
            let status = self.workshop.provider().status();
            if status.leases.is_empty() && !self.workshop.is_down() {
                assert_eq!(status.free, status.capacity, "all capacity is free again");
                return;
            }
            assert!(Instant::now() < deadline, "never at rest: {status:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Where the provider's only lease stands.
    pub fn lease_stage(&self) -> Option<String> {
        self.workshop.provider().status().leases.first().map(|lease| lease.stage.clone())
    }

    /// Running time in seconds that both sides have signed for.
    pub fn signed_seconds(&self) -> u64 {
        let jobs = self.gateway.broker().jobs();
        let last = jobs[0].deal().and_then(|deal| deal.last.as_ref());
        last.map_or(0, |last| last.receipt.document.seconds.0)
    }

    /// The names of the files that were handed in.
    pub async fn outputs(&self, deal: &DealView) -> Vec<String> {
        let limits = store::TreeLimits::up_to(Bytes::mebi(16));
        let output = deal.delivery.as_ref().expect("delivered").results[0].result.output;
        let tree = store::load_tree(&output, &*self.gateway.blobs, &limits).await;
        let tree = tree.expect("handed in");
        tree.entries().iter().map(|entry| entry.path.as_str().to_owned()).collect()
    }

    /// What the renter has paid and what the provider has, in base units, once no money is locked.
    pub async fn paid(&self) -> (u128, u128) {
        let renter = self.town.wealth(self.renter.account()).await.units();
        let provider = self.town.wealth(self.workshop.account).await.units();
        let fees = self.town.ledger.fees(self.town.setup.token).units();
        let begun = WALLET.units();
        assert_eq!(begun, renter + provider + fees, "no money is left anywhere else");
        (begun - renter, provider)
    }
}
