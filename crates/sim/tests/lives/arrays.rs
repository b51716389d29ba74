//! Arrays: many tasks over several deals and providers, with crashes of anybody at any fact.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broker::JobView;
use market::{fact::Conclusion, fact::Submission, work::Array};
use primitives::{Seconds, TaskIndex};
use sandbox::{Script, Spec};
use sim::{Gateway, Renter, Town, WALLET, Wanted, Workshop, key, lasting};
use store::Crash;
use tokio::time::Instant;

/// How often each task was begun, over all machines.
#[derive(Clone, Default)]
struct Starts(Arc<Mutex<BTreeMap<String, u32>>>);

impl Starts {
    fn note(&self, spec: &Spec) {
        let task = spec.environment.get("PLAZA_TASK").cloned().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(task).or_default() += 1;
    }

    fn most(&self) -> u32 {
        let starts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        starts.values().copied().max().unwrap_or_default()
    }
}

/// A gateway, its providers, and a renter that does not give up.
struct Yard {
    town: Town,
    gateway: Gateway,
    shops: Vec<Workshop>,
    renter: Renter,
    starts: Starts,
    /// Providers that are not started again.
    gone: BTreeSet<usize>,
}

impl Yard {
    async fn begin(
        seed: u64,
        providers: u8,
        script: impl Fn(&Spec) -> Script + Clone + Send + Sync + 'static,
    ) -> Self {
        let (town, starts) = (Town::new(seed), Starts::default());
        let mut gateway = Gateway::new("gateway");
        gateway.start(&town).await;
        let mut shops = Vec::new();
        for number in 1..=providers {
            let (starts, script) = (starts.clone(), script.clone());
            let mut shop = Workshop::playing(number, move |spec| {
                starts.note(spec);
                script(spec)
            });
            shop.start(&town, &gateway).await;
            shops.push(shop);
        }
        let renter = Renter { key: key(200) };
        town.fund(renter.account(), WALLET).await;
        Self { town, gateway, shops, renter, starts, gone: BTreeSet::new() }
    }

    fn submission(&self, wanted: &Wanted) -> Submission {
        self.renter.submission(&self.town, &self.gateway, wanted)
    }

    /// One look of a renter that says everything again, after starting whoever crashed.
    async fn nudge(&mut self, wanted: &Submission) -> Option<JobView> {
        if self.gateway.is_down() {
            self.gateway.restart(&self.town).await;
        }
        for (number, shop) in self.shops.iter_mut().enumerate() {
            if shop.is_down() && !self.gone.contains(&number) {
                shop.restart(&self.town, &self.gateway).await;
            }
        }
        let job = self.renter.order(&self.gateway, wanted).await.ok()?;
        let view = self.gateway.broker().job(job)?;
        let consent = self.renter.consent(&self.town, &self.gateway, &view);
        // Whatever was lost in a crash is said again at the next look.
        let _ = tokio::time::timeout(Duration::from_secs(1), consent).await;
        self.town.ledger.check().expect("money is conserved at every moment");
        Some(view)
    }

    async fn live(&mut self, wanted: &Submission) -> JobView {
        self.live_until(wanted, |view| view.state == "done").await
    }

    async fn live_until(
        &mut self,
        wanted: &Submission,
        is_it: impl Fn(&JobView) -> bool,
    ) -> JobView {
        let deadline = Instant::now() + Duration::from_secs(12 * 3_600);
        loop {
            if let Some(view) = self.nudge(wanted).await
                && !self.gateway.is_down()
                && is_it(&view)
            {
                return view;
            }
            let jobs = || self.gateway.broker().jobs();
            assert!(Instant::now() < deadline, "it never came: {:?}", jobs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the renter has paid, once nothing is locked any more.
    async fn paid(&self) -> u128 {
        WALLET.units() - self.town.wealth(self.renter.account()).await.units()
    }
}

fn array(tasks: usize, deals: u16, at_once: u16) -> Wanted {
    let points = vec![BTreeMap::new(); tasks];
    Wanted { array: Some(Array { points, deals, at_once }), ..Wanted::plain(1) }
}

/// Every task has one result that counts, and the bills of the deals are what the renter paid.
async fn all_is_well(yard: &Yard, view: &JobView, tasks: u32, here: &str) {
    let ends: Vec<_> =
        view.deals.iter().map(|deal| (deal.state, &deal.problem, &deal.delivery)).collect();
    let settled = matches!(view.conclusion, Some(Conclusion::Settled));
    assert!(settled, "{here}: {:?}, {ends:?}", view.conclusion);
    assert_eq!((view.tasks.all, view.tasks.done, view.tasks.failed), (tasks, tasks, 0), "{here}");
    let results = yard.gateway.broker().tasks(view.id);
    let indices: Vec<TaskIndex> = results.iter().map(|it| it.task).collect();
    assert_eq!(indices, (0..tasks).map(TaskIndex).collect::<Vec<_>>(), "{here}");
    let bills = view.deals.iter().filter_map(|deal| deal.closing.as_ref());
    let sum: u128 = bills.map(|closing| closing.split.charge().units()).sum();
    assert_eq!(sum, yard.paid().await, "{here}: the sum of the bills is what was paid");
}

#[tokio::test(start_paused = true)]
async fn many_tasks_run_in_one_deal_as_many_at_a_time_as_it_reserves() {
    let mut yard = Yard::begin(1, 1, |_| lasting(10)).await;
    let wanted = yard.submission(&array(7, 1, 3));
    let view = yard.live(&wanted).await;
    all_is_well(&yard, &view, 7, "seven tasks").await;
    assert_eq!(view.deals.len(), 1);
    let receipt = &view.deals[0].delivery.as_ref().expect("delivered").receipt.document;
    // Three rounds of ten seconds; between them only the moments that messages take.
    assert!((Seconds(30)..=Seconds(32)).contains(&receipt.seconds), "{receipt:?}");
    assert_eq!(yard.starts.most(), 1, "no task was begun twice");
}

#[tokio::test(start_paused = true)]
async fn tasks_spread_over_the_deals_of_several_providers() {
    let mut yard = Yard::begin(2, 3, |_| lasting(10)).await;
    let wanted = yard.submission(&array(24, 3, 1));
    let view = yard.live(&wanted).await;
    all_is_well(&yard, &view, 24, "three providers").await;
    let providers: BTreeSet<_> =
        view.deals.iter().map(|deal| deal.agreement.terms.document.provider).collect();
    assert_eq!(providers.len(), 3, "{providers:?}");
    assert_eq!(yard.starts.most(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failing_task_fails_alone() {
    let script = |spec: &Spec| {
        let fails = spec.environment.get("PLAZA_TASK").is_some_and(|task| task == "3");
        let outcome =
            if fails { sandbox::Outcome::NonZeroExit } else { sandbox::Outcome::Completed };
        Script { outcome, exit_code: Some(i32::from(fails)), ..lasting(5) }
    };
    let mut yard = Yard::begin(3, 1, script).await;
    let wanted = yard.submission(&array(6, 1, 2));
    let view = yard.live(&wanted).await;
    assert_eq!((view.tasks.done, view.tasks.failed), (6, 1));
    let failed = yard.gateway.broker().tasks(view.id).remove(3);
    assert_eq!(failed.outcome.expect("a result").result.exit_code, 1);
    assert!(matches!(view.conclusion, Some(Conclusion::Settled)));
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_provider_that_dies_go_to_another_in_a_higher_epoch() {
    let mut yard = Yard::begin(4, 2, |_| lasting(20)).await;
    let wanted = yard.submission(&array(8, 2, 1));
    let working = |view: &JobView| {
        view.tasks.done >= 2
            && view.deals.iter().filter(|deal| deal.state == "running").count() == 2
    };
    let view = yard.live_until(&wanted, working).await;
    let victim = view.deals[0].agreement.terms.document.provider;
    let number = yard.shops.iter().position(|shop| shop.account == victim).expect("one of them");
    yard.gone.insert(number);
    yard.shops[number].kill(&yard.town).await;
    let view = yard.live(&wanted).await;
    all_is_well(&yard, &view, 8, "one of two died").await;
    let again = yard.gateway.broker().tasks(view.id);
    assert!(again.iter().any(|task| task.epoch.0 == 2), "{again:?}");
    assert!(again.iter().all(|task| task.epoch.0 == 1 || task.provider != victim));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_every_deal_and_begins_none() {
    let mut yard = Yard::begin(5, 2, |_| lasting(100)).await;
    let wanted = yard.submission(&array(40, 2, 2));
    let view =
        yard.live_until(&wanted, |view| view.tasks.handed >= 4 && view.tasks.done >= 2).await;
    yard.gateway.broker().stop(view.id).await.expect("written down");
    let deals = yard.gateway.broker().job(view.id).expect("there").deals.len();
    let view = yard.live(&wanted).await;
    assert_eq!(view.deals.len(), deals);
    assert!(
        matches!(view.conclusion, Some(Conclusion::Unfinished { .. })),
        "{:?}",
        view.conclusion
    );
    assert!(view.deals.iter().all(|deal| deal.state == "settled"), "{:?}", view.deals);
    let bills = view.deals.iter().filter_map(|deal| deal.closing.as_ref());
    let sum: u128 = bills.map(|closing| closing.split.charge().units()).sum();
    assert_eq!(sum, yard.paid().await);
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_either_side_at_any_fact_of_an_array_loses_and_doubles_nothing() {
    let wish = array(5, 2, 2);
    let mut yard = Yard::begin(6, 1, |_| lasting(7)).await;
    let wanted = yard.submission(&wish);
    yard.live(&wanted).await;
    let lengths = [yard.gateway.log_length(), yard.shops[0].log_length()];
    assert!(lengths.iter().all(|length| *length > 8), "stories of {lengths:?} facts");
    for (side, length) in lengths.into_iter().enumerate() {
        for position in 1..=length {
            for when in [Crash::Before, Crash::After] {
                let here = format!("side {side}, {when:?} fact {position}");
                let mut yard = Yard::begin(6, 1, |_| lasting(7)).await;
                let wanted = yard.submission(&wish);
                match side {
                    0 => yard.gateway.crash_at(position, when),
                    _ => yard.shops[0].crash_at(position, when),
                }
                let view = yard.live(&wanted).await;
                all_is_well(&yard, &view, 5, &here).await;
                assert_eq!(yard.starts.most(), 1, "{here}: no task was begun twice");
            }
        }
    }
}
