//! A scene: the real gateway and a renter with a hostile provider.

use std::time::Duration;

use broker::JobView;
use market::{
    Terms,
    fact::{Agreement, Submission},
};
use tokio::time::Instant;

use crate::{
    gateway::Gateway,
    renter::{Renter, WALLET, Wanted},
    rogue::Rogue,
    town::{Town, key},
};

/// The gateway, the rogue and a renter with one order.
pub struct Den {
    /// Where they live.
    pub town: Town,
    /// The gateway.
    pub gateway: Gateway,
    /// The hostile provider.
    pub rogue: Rogue,
    /// Who pays.
    pub renter: Renter,
    /// What it wants.
    pub wanted: Submission,
}

impl Den {
    /// A den whose rogue bends the terms of its bids.
    pub async fn begin(seed: u64, bend: fn(&mut Terms)) -> Self {
        let town = Town::new(seed);
        let mut gateway = Gateway::new("gateway");
        gateway.start(&town).await;
        let rogue = Rogue::start(&town, &gateway, bend).await;
        let renter = Renter { key: key(200) };
        town.fund(renter.account(), WALLET).await;
        let wanted = renter.submission(&town, &gateway, &Wanted::plain(1));
        Self { town, gateway, rogue, renter, wanted }
    }

    /// One look of a renter that says everything again.
    pub async fn nudge(&mut self) -> Option<JobView> {
        let job = self.renter.order(&self.gateway, &self.wanted).await.ok()?;
        let view = self.gateway.broker().job(job)?;
        let consent = self.renter.consent(&self.town, &self.gateway, &view);
        // Whatever was lost is said again at the next look.
        let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
        Some(view)
    }

    /// Until the job is as wished.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&JobView) -> bool) -> JobView {
        let deadline = Instant::now() + Duration::from_secs(3 * 3_600);
        loop {
            if let Some(view) = self.nudge().await
                && holds(&view)
            {
                return view;
            }
            assert!(Instant::now() < deadline, "never {what}: {}", self.state());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Until the deal is open and assigned.
    pub async fn opened(&mut self) -> Agreement {
        let view = self.until("open", |view| state(view) == "open").await;
        view.deal().cloned().expect("open").agreement
    }

    /// Where the job stands: its deal's state, or its own before there is one.
    pub fn state(&self) -> &'static str {
        self.gateway.broker().jobs().first().map_or("unordered", state)
    }

    /// What the renter has paid, in base units.
    pub async fn charged(&self) -> u128 {
        WALLET.units() - self.town.wealth(self.renter.account()).await.units()
    }
}

fn state(view: &JobView) -> &'static str {
    view.deal().map_or(view.state, |deal| deal.state)
}
