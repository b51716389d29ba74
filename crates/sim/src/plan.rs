//! What a seed stands for: a small world, drawn before anything lives in it.
//!
//! In: a seed. Out: who is there and how honest, what they want, and what fails when. A plan is plain
//! data, so that one that broke a promise can be kept as a case and lived again after the draw itself
//! has changed.
//!
//! Not here: living it (`life`), judging it (`promises`).

use market::{Rules, escrow::Windows};
use primitives::{Amount, BasisPoints, Bytes, Seconds};
use profile::{Depth, Profile};
use serde::{Deserialize, Serialize};

use crate::{crook::Trick, puppet::Behaviour, script::Program, words::Words};

/// A world before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Everything that is random while it lives follows from it.
    pub seed: u64,
    /// How short the network's windows are.
    pub network: Network,
    /// What messages meet all the time.
    pub weather: Weather,
    /// The gateways.
    pub gateways: Vec<Operator>,
    /// The providers.
    pub providers: Vec<Seller>,
    /// The renters.
    pub renters: Vec<Temper>,
    /// What they want.
    pub jobs: Vec<Job>,
    /// What fails, and when.
    pub troubles: Vec<Trouble>,
}

/// The figures of a network, in seconds where they are spans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// How long work goes on unpaid.
    pub grace: u64,
    /// Between two receipts.
    pub interval: u64,
    /// From `acceptBy` to the start of the time limit.
    pub preparation: u64,
    /// The escrow's window.
    pub dispute: u64,
    /// Blocks that must follow for one to be seen.
    pub depth: u64,
    /// Paid to whoever opens a deal, and to whoever ends it, in base units.
    pub caller_fee: u64,
}

/// What messages meet. Chances are in thousandths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weather {
    /// The longest way of a message, in milliseconds.
    pub latency_ms: u64,
    /// How many requests, and how many answers, are lost, and how many requests are heard twice.
    pub trouble: u16,
}

/// A party that may crash when its journal reaches a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The crash, if one is planned.
    pub crash: Option<PlannedCrash>,
}

/// A crash at a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedCrash {
    /// The fact's position in the journal.
    pub fact: u64,
    /// Whether the fact survives.
    pub kept: bool,
    /// Seconds until the next process starts.
    pub away: u64,
}

/// What a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// The room `broker`.
    Real(Standing),
    /// A crook.
    Crook(Trick),
}

/// Who sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seller {
    /// The gateway it is connected to.
    pub gateway: usize,
    /// What it is.
    pub nature: Nature,
}

/// What a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nature {
    /// The room `provider`.
    Real(Standing),
    /// A puppet at a price in base units per hour.
    Puppet {
        /// How it behaves.
        behaviour: Behaviour,
        /// What its whole machine costs.
        rate: u64,
    },
}

/// How a renter behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Temper {
    /// Consents to what it ordered.
    Honest,
    /// Consents many seconds late, or never.
    Absent,
    /// Ends deals on the chain behind its gateway's back, and contests what is claimed.
    Stingy,
    /// Consents, and spends its money elsewhere before the deal is open.
    DoubleSpender,
    /// Consents, and withdraws the deal on the chain.
    Canceller,
}

/// What a renter wants, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Milliseconds from the beginning.
    pub at_ms: u64,
    /// Whose it is.
    pub renter: usize,
    /// Through which gateway.
    pub gateway: usize,
    /// What is to be done.
    pub kind: Kind,
    /// Seconds after which the renter wants it ended.
    pub stop_after: Option<u64>,
}

/// The kinds of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One program on one machine.
    Program {
        /// What it does.
        program: Program,
        /// After how many seconds it is ended.
        time_limit: u64,
    },
}

/// Something that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trouble {
    /// Milliseconds from the beginning.
    pub at_ms: u64,
    /// What.
    pub what: Failure,
}

/// The kinds of failures; spans are in seconds, parties are numbered as in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// A gateway's process dies.
    GatewayDies {
        /// Which.
        gateway: usize,
        /// Until the next starts.
        away: u64,
    },
    /// A provider's process dies; its runs go on.
    ProviderDies {
        /// Which.
        provider: usize,
        /// Until the next starts.
        away: u64,
    },
    /// A provider and its gateway cannot reach each other.
    Partition {
        /// Which.
        provider: usize,
        /// For how long.
        span: u64,
    },
    /// Nobody reaches the chain.
    ChainGone {
        /// For how long.
        span: u64,
    },
    /// The next calls get lost on their way.
    CallsLost {
        /// How many.
        count: u32,
    },
    /// The next calls are carried out, and nobody hears of it.
    AnswersLost {
        /// How many.
        count: u32,
    },
    /// The newest blocks that are not final are taken back.
    Reorganised {
        /// How many at most.
        blocks: usize,
    },
    /// A gateway's disk is full.
    GatewayDiskFull {
        /// Which.
        gateway: usize,
        /// For how many facts.
        facts: u32,
    },
    /// A provider's disk is full.
    ProviderDiskFull {
        /// Which.
        provider: usize,
        /// For how many facts.
        facts: u32,
    },
}

impl Kind {
    /// After how many seconds its work is ended.
    pub fn time_limit(&self) -> u64 {
        match self {
            Self::Program { time_limit, .. } => *time_limit,
        }
    }
}

impl Plan {
    /// The world of a seed.
    pub fn of(seed: u64) -> Self {
        let dice = Words::of(&[b"plan", &seed.to_be_bytes()]);
        let calm = dice.chance(20);
        let network = Network {
            grace: dice.one_of(&[10, 20, 30]),
            interval: dice.one_of(&[3, 5]),
            preparation: dice.one_of(&[20, 40]),
            dispute: dice.one_of(&[40, 60]),
            depth: if dice.chance(30) { 1 + dice.below(3) } else { 0 },
            caller_fee: if dice.chance(30) { dice.below(50) } else { 0 },
        };
        let weather = Weather {
            latency_ms: dice.one_of(&[1, 5, 50, 200]),
            trouble: if calm || dice.chance(60) { 0 } else { dice.one_of(&[10, 50, 100]) },
        };
        let gateways: Vec<Operator> =
            (0..1 + dice.below(2)).map(|_| operator(&dice, calm)).collect();
        let sellers = gateways.len() + index(&dice, 4);
        let providers: Vec<Seller> = (0..sellers)
            .map(|number| Seller { gateway: number % gateways.len(), nature: nature(&dice, calm) })
            .collect();
        let renters: Vec<Temper> = (0..1 + dice.below(3)).map(|_| temper(&dice, calm)).collect();
        let jobs =
            (0..2 + dice.below(7)).map(|_| job(&dice, renters.len(), gateways.len())).collect();
        let count = if calm { 0 } else { dice.below(4) };
        let troubles =
            (0..count).map(|_| trouble(&dice, gateways.len(), providers.len())).collect();
        Self { seed, network, weather, gateways, providers, renters, jobs, troubles }
    }

    /// The constitution of this world.
    pub fn profile(&self) -> Profile {
        let it = &self.network;
        let local = Profile::preset("local").expect("the local preset exists");
        let caller_fee = Amount::new(it.caller_fee.into()).expect("small");
        Profile {
            fee: BasisPoints(300),
            open_fee: caller_fee,
            close_fee: caller_fee,
            depth: Depth::Blocks(it.depth),
            escrow: Windows { dispute: Seconds(it.dispute), accept: Seconds(120) },
            market: Rules {
                grace: Seconds(it.grace),
                preparation: Seconds(it.preparation),
                receipt_interval: Seconds(it.interval),
                output_limit: Bytes::mebi(1),
                ..local.market
            },
            ..local
        }
    }

    /// The most seconds for which failures may hold a deal up.
    pub fn held_up(&self) -> u64 {
        let sellers = self.providers.iter().filter_map(|it| match &it.nature {
            Nature::Real(standing) => Some(standing),
            Nature::Puppet { .. } => None,
        });
        let operators = self.gateways.iter().filter_map(|it| match it {
            Operator::Real(standing) => Some(standing),
            Operator::Crook(_) => None,
        });
        let crashes = operators.chain(sellers).filter_map(|it| it.crash);
        let spans = self.troubles.iter().map(|it| match it.what {
            Failure::GatewayDies { away, .. } | Failure::ProviderDies { away, .. } => away,
            Failure::Partition { span, .. } | Failure::ChainGone { span } => span,
            _ => 0,
        });
        crashes.map(|it| it.away).sum::<u64>() + spans.sum::<u64>()
    }

    /// Whether nothing fails and nobody cheats in it.
    pub fn is_calm(&self) -> bool {
        let steady = |it: &Standing| it.crash.is_none();
        self.troubles.is_empty()
            && self.weather.trouble == 0
            && self.gateways.iter().all(|it| match it {
                Operator::Real(standing) => steady(standing),
                Operator::Crook(_) => false,
            })
            && self.renters.iter().all(|it| *it == Temper::Honest)
            && self.providers.iter().all(|it| match &it.nature {
                Nature::Real(standing) => steady(standing),
                Nature::Puppet { .. } => false,
            })
    }
}

fn operator(dice: &Words, calm: bool) -> Operator {
    use Trick::{Contester, Forger, Hasty, Idler, Mute, Waster};
    if calm || dice.chance(85) {
        return Operator::Real(standing(dice, calm));
    }
    Operator::Crook(dice.one_of(&[Waster, Hasty, Idler, Mute, Forger, Contester]))
}

fn standing(dice: &Words, calm: bool) -> Standing {
    let crashes = !calm && dice.chance(35);
    Standing {
        crash: crashes.then(|| PlannedCrash {
            // The first is that it started.
            fact: 2 + dice.below(60),
            kept: dice.chance(50),
            away: dice.one_of(&[0, 1, 5, 15, 40, 300]),
        }),
    }
}

fn nature(dice: &Words, calm: bool) -> Nature {
    const CHEATS: [Behaviour; 13] = [
        Behaviour::Honest,
        Behaviour::Ghost,
        Behaviour::Overbiller,
        Behaviour::Hurrier,
        Behaviour::Liar,
        Behaviour::Copycat,
        Behaviour::Deserter,
        Behaviour::Forker,
        Behaviour::Rewinder,
        Behaviour::Bender,
        Behaviour::Padder,
        Behaviour::Forger,
        Behaviour::Overstayer,
    ];
    if calm || dice.chance(65) {
        return Nature::Real(standing(dice, calm));
    }
    Nature::Puppet {
        behaviour: dice.one_of(&CHEATS),
        rate: dice.one_of(&[20_000, 90_000, 400_000]),
    }
}

fn temper(dice: &Words, calm: bool) -> Temper {
    if calm || dice.chance(70) {
        return Temper::Honest;
    }
    dice.one_of(&[Temper::Absent, Temper::Stingy, Temper::DoubleSpender, Temper::Canceller])
}

fn job(dice: &Words, renters: usize, gateways: usize) -> Job {
    let program = Program {
        seconds: dice.one_of(&[1, 2, 4, 7, 11, 16, 26, 40]),
        ready_after: dice.one_of(&[0, 0, 0, 2]),
        succeeds: dice.chance(90),
        leaves: dice.chance(30),
    };
    Job {
        at_ms: dice.below(20_000),
        renter: index(dice, renters),
        gateway: index(dice, gateways),
        kind: Kind::Program { program, time_limit: dice.one_of(&[10, 30, 60]) },
        stop_after: dice.chance(15).then(|| dice.below(20)),
    }
}

fn trouble(dice: &Words, gateways: usize, providers: usize) -> Trouble {
    let (gateway, provider) = (index(dice, gateways), index(dice, providers));
    let span = dice.one_of(&[1, 4, 12, 25, 45]);
    let what = match dice.below(9) {
        0 => Failure::GatewayDies { gateway, away: span },
        1 => Failure::ProviderDies { provider, away: span },
        2 => Failure::Partition { provider, span },
        3 => Failure::ChainGone { span },
        4 => Failure::CallsLost { count: 1 },
        5 => Failure::AnswersLost { count: 1 },
        6 => Failure::Reorganised { blocks: 3 },
        7 => Failure::GatewayDiskFull { gateway, facts: 3 },
        _ => Failure::ProviderDiskFull { provider, facts: 3 },
    };
    Trouble { at_ms: dice.below(60_000), what }
}

fn index(dice: &Words, length: usize) -> usize {
    let length = u64::try_from(length).expect("a small list");
    usize::try_from(dice.below(length)).expect("below the length of a list")
}
