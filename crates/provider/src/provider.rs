//! The whole of a provider: its lines, its desk, its announcement.

use std::sync::{Arc, PoisonError};

use market::LeaseStage;
use primitives::{Amount, UnixSeconds};
use scheduler::Reservation;
use tokio::task::JoinSet;

use crate::{
    announce,
    bid::held_until,
    desk::{self, Desk, Lines},
    error::Error,
    floor::Floor,
    gateway::Gateway,
    line::Line,
    view::{Earnings, Status},
    world::{Config, Workshop, World},
};

/// A provider at work. Dropped, it stops where it is; its runs go on, and the next one started over
/// the same world finds them.
pub struct Provider {
    shop: Arc<Workshop>,
    lines: Lines,
    tasks: JoinSet<()>,
}

impl Provider {
    /// Go on where the journal ends: adopt what runs, answer the gateway, announce the offer.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Fact`] or [`Error::Journal`] when the journal cannot be read.
    pub async fn start(world: World, config: Config) -> Result<Self, Error> {
        let mut journal = Line::replay_all(world.log.as_ref()).await?;
        // What may only have to be wiped takes no capacity from what runs.
        journal.sort_by_key(|line| matches!(line.stage, LeaseStage::Settled { .. }));
        let gateway = Gateway::new(Arc::clone(&world.transport), config.gateway.clone());
        let floor = Floor::new(config.machine.resources);
        let shop = Arc::new(Workshop { world, config, gateway, floor });
        let lines = Lines::default();
        for line in journal {
            line.show(&shop);
            if !line.stage.is_over() {
                reserve(&shop, &line);
                desk::carry(&shop, &lines, line);
            }
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(Desk::new(Arc::clone(&shop), Arc::clone(&lines)).answer_all());
        let announcing = Arc::clone(&shop);
        tasks.spawn(async move { announce::keep_listed(&announcing).await });
        Ok(Self { shop, lines, tasks })
    }

    /// How it stands now.
    pub fn status(&self) -> Status {
        self.shop.floor.status(self.shop.world.clock.now())
    }

    /// What it has earned, and what lies ready to be withdrawn.
    ///
    /// # Errors
    /// [`Error::Chain`] when the chain cannot be asked.
    pub async fn earnings(&self) -> Result<Earnings, Error> {
        let config = &self.shop.config;
        let balances = self.shop.world.settlement.balances(config.token, config.account).await;
        let balances =
            balances.map_err(|source| Error::Chain { operation: "reading our balance", source })?;
        let deals = self.shop.floor.earned();
        let total =
            deals.iter().fold(Amount::ZERO, |sum, deal| sum.plus(deal.paid).unwrap_or(Amount::MAX));
        Ok(Earnings { deals, total, balance: balances.escrow, wallet: balances.wallet })
    }

    /// Take no new work and announce nothing; what was agreed on is finished.
    pub fn drain(&self) {
        self.shop.floor.drain();
    }

    /// Wait until no lease is left.
    pub async fn idle(&self) {
        let mut busy = self.shop.floor.busy();
        // The sender lives as long as we do.
        drop(busy.wait_for(|leases| *leases == 0).await);
    }

    /// Stop where it is, and return when nothing of it is at work any more.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        let mut lines =
            std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        lines.shutdown().await;
    }
}

/// Put a lease's capacity aside again after a restart. Where the owner sells less than before, the
/// lease goes on without: it was agreed on.
fn reserve(shop: &Workshop, line: &Line) {
    let agreement = line.stage.agreement();
    let until = match &line.stage {
        LeaseStage::Offered(_) => held_until(&agreement.terms.document, &shop.config.rules),
        LeaseStage::Assigned(_) | LeaseStage::Running(_) | LeaseStage::Settled { .. } => {
            UnixSeconds(u64::MAX)
        }
        LeaseStage::Ended(_) | LeaseStage::Over { .. } => return,
    };
    let wanted = Reservation { resources: agreement.resources, until };
    let now = shop.world.clock.now();
    let reserved = shop.floor.on_calendar(|calendar| calendar.reserve(agreement.deal, wanted, now));
    // A settled lease has mostly given its capacity back before; somebody else may have it.
    let settled = matches!(line.stage, LeaseStage::Settled { .. });
    if reserved.is_err() && !settled {
        shop.floor.trouble(format!("lease {} exceeds what is sold now", agreement.deal.short()));
    }
}
