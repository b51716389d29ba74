//! A job sheet: what `plaza job submit` reads, in YAML.
//!
//! Upon a sheet that is wrong: the line, the column and the field at fault, and what would be right.
//! Values are taken as they are written: `2.80` stays `2.80`.

mod written;
mod wrong;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use market::{
    Rules, Wish, Work,
    work::{Array, MOST_TASKS},
};
use primitives::{
    Amount, Bytes, Millicores, ParseError, Rate, Resources, Seconds, parse_bytes, parse_seconds,
};
use serde_saphyr::{Location, Spanned};

use crate::{
    command::cores,
    submit::{
        decimal::{Decimal, Flaw, spaced, stepped},
        sheet::{
            written::{Named, Text, Values, Written, WrittenArray, WrittenRange, WrittenResources},
            wrong::Wrong,
        },
    },
};

/// A sheet, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sheet {
    /// The work; its inputs are yet to be sent.
    pub(super) work: Work,
    /// The files and folders it needs.
    pub(super) inputs: Vec<PathBuf>,
    /// Running time after which one deal is ended.
    pub(super) deal_time_limit: Seconds,
    /// The most to pay for a deal, per hour.
    pub(super) max_rate: Option<Rate>,
    /// The most to put aside for all deals together.
    pub(super) budget: Option<Amount>,
}

/// Read a sheet that lies in `folder`, for a network with these rules and such a token.
pub(super) fn read(text: &str, folder: &Path, rules: &Rules, decimals: u8) -> Result<Sheet, Wrong> {
    let written = written::read(text)?;
    let work = work(&written, rules)?;
    if let Some(flaw) = work.flaw(rules.longest_deal) {
        let (field, at) = written.place(&flaw.field);
        return Err(Wrong::new(field, at, flaw.why));
    }
    let amount = |text: &str| Amount::from_coins(text, decimals).map_err(said);
    let rate =
        |text: &str| amount(text).map(|amount| Rate::per_hour(amount.units()).unwrap_or(Rate::MAX));
    Ok(Sheet {
        deal_time_limit: deal_time_limit(&written, &work, rules)?,
        work,
        inputs: written.inputs.iter().map(|path| folder.join(&path.value)).collect(),
        max_rate: optional("max_price", written.max_price.as_ref(), rate)?,
        budget: optional("budget", written.budget.as_ref(), amount)?,
    })
}

fn work(written: &Written, rules: &Rules) -> Result<Work, Wrong> {
    let size = |text: &str| parse_bytes(text).map_err(said);
    let (time, output) = (written.time_limit.as_ref(), written.output_limit.as_ref());
    Ok(Work {
        command: written.command.value.iter().map(|word| word.value.clone()).collect(),
        env: unspanned(&written.env),
        inputs: None,
        wish: Wish::of(resources(&written.resources)?),
        time_limit: optional("time_limit", time, span)?.unwrap_or(rules.time_limit),
        output_limit: optional("output_limit", output, size)?.unwrap_or(rules.output_limit),
        array: written.array.as_ref().map(array).transpose()?,
    })
}

/// What one task reserves; without, what `plaza run` reserves.
fn resources(written: &WrittenResources) -> Result<Resources, Wrong> {
    let size = |text: &str| parse_bytes(text).map_err(said);
    let WrittenResources { cpus, memory, disk, gpus } = written;
    let cpus = optional("resources.cpus", cpus.as_ref(), cores)?;
    let memory = optional("resources.memory", memory.as_ref(), size)?;
    let disk = optional("resources.disk", disk.as_ref(), size)?;
    Ok(Resources {
        cpu: cpus.unwrap_or(Millicores::cores(1)),
        memory: memory.unwrap_or(Bytes::mebi(512)),
        disk: disk.unwrap_or(Bytes::gibi(1)),
        gpus: optional("resources.gpus", gpus.as_ref(), whole)?.unwrap_or(0),
    })
}

fn array(written: &Spanned<WrittenArray>) -> Result<Array, Wrong> {
    let (array, at) = (&written.value, written.referenced);
    let points = match (&array.sweep, &array.points, &array.count) {
        (Some(sweep), None, None) => product(&sweep.value, sweep.referenced)?,
        (None, Some(points), None) => points.value.iter().map(unspanned).collect(),
        (None, None, Some(count)) => {
            let many: usize = understood("array.count", count, whole)?;
            let beyond = || too_many("array.count", count.referenced, many);
            vec![BTreeMap::new(); (many <= MOST_TASKS).then_some(many).ok_or_else(beyond)?]
        }
        _ => {
            let why = "needs exactly one of 'sweep' (parameters with their values), 'points' (a \
                       list of parameters) and 'count' (so many tasks)";
            return Err(Wrong::new("array", at, why));
        }
    };
    Ok(Array {
        points,
        deals: optional("array.deals", array.deals.as_ref(), whole)?.unwrap_or(1),
        at_once: optional("array.at_once", array.at_once.as_ref(), whole)?.unwrap_or(1),
    })
}

/// How long a deal may run: as written, else long enough for its share of the tasks at their
/// limits, within the network's longest deal.
fn deal_time_limit(written: &Written, work: &Work, rules: &Rules) -> Result<Seconds, Wrong> {
    const FIELD: &str = "array.deal_time_limit";
    let array = written.array.as_ref();
    let Some(text) = array.and_then(|array| array.value.deal_time_limit.as_ref()) else {
        return Ok(share(work).min(rules.longest_deal).max(work.time_limit));
    };
    let limit = understood(FIELD, text, span)?;
    let refused = |why: String| Err(Wrong::new(FIELD, text.referenced, why));
    if limit < work.time_limit {
        let least = work.time_limit;
        return refused(format!("is below the time limit of one task, {least}"));
    }
    if limit > rules.longest_deal {
        return refused(format!("is above the network's longest deal, {}", rules.longest_deal));
    }
    Ok(limit)
}

/// How long one deal's share of the tasks may take.
fn share(work: &Work) -> Seconds {
    let rounds = work.tasks().div_ceil(work.deals().into()).div_ceil(work.at_once().into());
    Seconds(work.time_limit.0.saturating_mul(rounds.into()))
}

/// Every combination of the parameters' values; the first parameter changes slowest.
fn product(sweep: &Named<Values>, at: Location) -> Result<Vec<BTreeMap<String, String>>, Wrong> {
    let mut points = vec![BTreeMap::new()];
    for (name, values) in &sweep.0 {
        let field = format!("array.sweep.{name}");
        let values = values_of(&field, values.referenced, &values.value)?;
        let many = points.len().saturating_mul(values.len());
        if many > MOST_TASKS {
            return Err(too_many("array.sweep", at, many));
        }
        let with = |point: &BTreeMap<String, String>, value: &String| {
            let mut point = point.clone();
            point.insert(name.clone(), value.clone());
            point
        };
        points =
            points.iter().flat_map(|point| values.iter().map(move |it| with(point, it))).collect();
    }
    if sweep.0.is_empty() {
        return Err(Wrong::new("array.sweep", at, "names no parameter"));
    }
    Ok(points)
}

fn values_of(field: &str, at: Location, values: &Values) -> Result<Vec<String>, Wrong> {
    match values {
        Values::List(values) if values.is_empty() => {
            Err(Wrong::new(field, at, "has no value; expected a list such as [1, 2, 4]"))
        }
        Values::List(values) => Ok(values.iter().map(|value| value.value.clone()).collect()),
        Values::Range(range) => range_of(field, at, range),
    }
}

fn range_of(field: &str, at: Location, range: &WrittenRange) -> Result<Vec<String>, Wrong> {
    let number = |name: &str, text: &Text| {
        let why = || format!("'{}' is no number: expected one such as 2.5", text.value);
        Decimal::parse(&text.value)
            .ok_or_else(|| Wrong::new(&format!("{field}.{name}"), text.referenced, why()))
    };
    let (from, to) = (number("from", &range.from)?, number("to", &range.to)?);
    match (&range.steps, &range.step) {
        (Some(steps), None) => {
            let field = format!("{field}.steps");
            let refused = |why: String| Wrong::new(&field, steps.referenced, why);
            let count: u32 = understood(&field, steps, whole)?;
            if count == 0 || usize::try_from(count).is_ok_and(|count| count > MOST_TASKS) {
                return Err(refused(format!(
                    "is {count}; between 1 and {MOST_TASKS} are possible"
                )));
            }
            spaced(from, to, count).map_err(|flaw| refused(flaw.sentence()))
        }
        (None, Some(step)) => {
            let distance = number("step", step)?;
            let refused =
                |flaw: Flaw| Wrong::new(&format!("{field}.step"), step.referenced, flaw.sentence());
            stepped(from, to, distance, MOST_TASKS).map_err(refused)
        }
        _ => {
            let why = "needs 'steps' (how many values, both ends among them) or 'step' (how far \
                       apart), and not both";
            Err(Wrong::new(field, at, why))
        }
    }
}

impl Flaw {
    fn sentence(&self) -> String {
        match self {
            Self::Endless { better } => {
                let counts: Vec<String> = better.iter().map(ToString::to_string).collect();
                format!(
                    "the distance between so many values does not end as a decimal; with {} it does",
                    counts.join(" or ")
                )
            }
            Self::Astray => "leads nowhere: expected one that leads from 'from' to 'to'".to_owned(),
            Self::TooMany => format!("makes more than {MOST_TASKS} values"),
        }
    }
}

fn too_many(field: &str, at: Location, many: usize) -> Wrong {
    Wrong::new(field, at, format!("makes {many} tasks; at most {MOST_TASKS} are possible"))
}

fn unspanned(named: &Named<String>) -> BTreeMap<String, String> {
    named.0.iter().map(|(name, text)| (name.clone(), text.value.clone())).collect()
}

/// A written value as a typed one, or why it is none and where.
fn understood<T>(
    field: &str,
    text: &Text,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Wrong> {
    read(&text.value).map_err(|why| Wrong::new(field, text.referenced, why))
}

fn optional<T>(
    field: &str,
    text: Option<&Text>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Wrong> {
    text.map(|text| understood(field, text, read)).transpose()
}

fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is no whole number that is possible here"))
}

fn span(text: &str) -> Result<Seconds, String> {
    parse_seconds(text).map_err(said)
}

fn said(error: ParseError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
