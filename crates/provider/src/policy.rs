//! What an owner sells of its machine, to whom, and for how much: a text file, read strictly.
//!
//! In: TOML as [`Policy::EXAMPLE`] explains it, and the decimals of the network's token. Out: rates,
//! shares and limits as the other steps use them.
//!
//! Invariant: what is not understood is refused with its field and line, never ignored.

use std::{collections::BTreeSet, ops::Range};

use primitives::{
    Address, Amount, Bytes, Millicores, ParseError, Rate, Resources, Seconds, parse_bytes,
    parse_seconds,
};
use serde::Deserialize;
use toml::Spanned;

use crate::error::Error;

/// The rules by which a provider sells its machine without being asked (MKT-27).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What the machine costs.
    pub price: Price,
    /// No lease is sold for less per hour, however small its part of the machine.
    pub floor: Rate,
    /// How much of the machine is sold.
    pub share: Share,
    /// The longest time limit taken.
    pub longest: Seconds,
    /// The most leases and firm bids at once.
    pub leases: u32,
    /// How long held work waits for a renter that signs no more, before it is ended and what is
    /// due is claimed.
    pub patience: Seconds,
    /// Who may rent; empty for everyone.
    pub allow: BTreeSet<Address>,
    /// Who may not.
    pub deny: BTreeSet<Address>,
}

/// How the price of the machine is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// For all that is sold; a part costs its largest share of any dimension.
    Machine(Rate),
    /// By parts, which together make the price of all that is sold.
    Parts {
        /// A processor core.
        core: Rate,
        /// A GiB of memory.
        memory: Rate,
        /// A GiB of disk.
        disk: Rate,
        /// A graphics processor.
        gpu: Rate,
    },
}

/// How much of the machine is sold, dimension by dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Processor, in thousandths of a core.
    pub cpu: Part,
    /// Memory, in bytes.
    pub memory: Part,
    /// Disk, in bytes.
    pub disk: Part,
    /// Graphics processors.
    pub gpus: Part,
}

/// A part of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// So many hundredths of what there is.
    Percent(u64),
    /// So much, or all where there is less.
    Most(u64),
}

impl Policy {
    /// A policy file that explains itself.
    pub const EXAMPLE: &str = include_str!("policy/example.toml");

    /// Read a policy whose prices are in coins of a token with so many decimals.
    ///
    /// # Errors
    /// [`Error::Policy`] names the line, the field and what would be right.
    pub fn parse(text: &str, decimals: u8) -> Result<Self, Error> {
        let written: Written = toml::from_str(text).map_err(|error| {
            let at = error.span().unwrap_or(0..0);
            refuse(text, at, error.message())
        })?;
        let reading = Reading { text, decimals };
        Ok(Self {
            price: reading.price(&written.price)?,
            floor: reading.optional(written.price.floor.as_ref(), Rate::ZERO, Reading::rate)?,
            share: reading.share(&written.share)?,
            longest: reading.optional(
                written.limits.time.as_ref(),
                Seconds(24 * 3_600),
                Reading::span,
            )?,
            leases: written.limits.leases.unwrap_or(16),
            patience: reading.optional(
                written.limits.patience.as_ref(),
                Seconds(600),
                Reading::span,
            )?,
            allow: reading.accounts(&written.renters.allow)?,
            deny: reading.accounts(&written.renters.deny)?,
        })
    }

    /// What of `machine` is sold.
    pub fn part_of(&self, machine: &Resources) -> Resources {
        let share = &self.share;
        Resources {
            cpu: Millicores(share.cpu.of(machine.cpu.0)),
            memory: Bytes(share.memory.of(machine.memory.0)),
            disk: Bytes(share.disk.of(machine.disk.0)),
            gpus: u32::try_from(share.gpus.of(machine.gpus.into())).unwrap_or(machine.gpus),
        }
    }

    /// The price of all that is sold, or `None` where it is beyond what a signed document holds.
    pub fn rate_of(&self, sold: &Resources) -> Option<Rate> {
        const GIB: u64 = 1 << 30;
        match self.price {
            Price::Machine(rate) => Some(rate),
            Price::Parts { core, memory, disk, gpu } => core
                .scaled_up(sold.cpu.0, 1_000)?
                .plus(memory.scaled_up(sold.memory.0, GIB)?)?
                .plus(disk.scaled_up(sold.disk.0, GIB)?)?
                .plus(gpu.scaled_up(sold.gpus.into(), 1)?),
        }
    }

    /// Whether `renter` may rent here.
    pub fn serves(&self, renter: Address) -> bool {
        !self.deny.contains(&renter) && (self.allow.is_empty() || self.allow.contains(&renter))
    }
}

impl Part {
    fn of(self, whole: u64) -> u64 {
        match self {
            Self::Percent(hundredths) => {
                let part = u128::from(whole) * u128::from(hundredths) / 100;
                u64::try_from(part).unwrap_or(whole)
            }
            Self::Most(most) => most.min(whole),
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    price: WrittenPrice,
    #[serde(default)]
    share: WrittenShare,
    #[serde(default)]
    limits: WrittenLimits,
    #[serde(default)]
    renters: WrittenRenters,
}

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPrice {
    machine: Option<Text>,
    core: Option<Text>,
    memory_gib: Option<Text>,
    disk_gib: Option<Text>,
    gpu: Option<Text>,
    floor: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenShare {
    cpu: Option<Text>,
    memory: Option<Text>,
    disk: Option<Text>,
    gpus: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLimits {
    time: Option<Text>,
    leases: Option<u32>,
    patience: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRenters {
    #[serde(default)]
    allow: Vec<Text>,
    #[serde(default)]
    deny: Vec<Text>,
}

/// Turns written values into typed ones, and refusals into errors that say where.
struct Reading<'a> {
    text: &'a str,
    decimals: u8,
}

impl Reading<'_> {
    fn price(&self, written: &WrittenPrice) -> Result<Price, Error> {
        let parts = [&written.core, &written.memory_gib, &written.disk_gib, &written.gpu]
            .map(Option::as_ref);
        match (&written.machine, parts.iter().flatten().next()) {
            (Some(_), Some(part)) => {
                let why = "stands beside 'machine'; state the whole machine's price or its parts'";
                Err(refuse(self.text, part.span(), why))
            }
            (Some(machine), None) => Ok(Price::Machine(self.rate(machine)?)),
            (None, Some(_)) => {
                let [core, memory, disk, gpu] =
                    parts.map(|part| self.optional(part, Rate::ZERO, Self::rate));
                Ok(Price::Parts { core: core?, memory: memory?, disk: disk?, gpu: gpu? })
            }
            (None, None) => {
                let at = self.text.find("[price]").unwrap_or(0);
                let why = "names no price; add machine = \"0.05\", in coins per hour";
                Err(refuse(self.text, at..at, why))
            }
        }
    }

    fn share(&self, written: &WrittenShare) -> Result<Share, Error> {
        let cores = |text: &str| {
            Amount::from_coins(text, 3)
                .map(|cores| u64::try_from(cores.units()).unwrap_or(u64::MAX))
        };
        let bytes = |text: &str| parse_bytes(text).map(|bytes| bytes.0);
        let whole = |text: &str| {
            text.parse().map_err(|_| ParseError::new("number", text, "expected a whole number"))
        };
        Ok(Share {
            cpu: self.part(written.cpu.as_ref(), 100, cores)?,
            memory: self.part(written.memory.as_ref(), 80, bytes)?,
            disk: self.part(written.disk.as_ref(), 50, bytes)?,
            gpus: self.part(written.gpus.as_ref(), 100, whole)?,
        })
    }

    fn part(
        &self,
        written: Option<&Text>,
        usual: u64,
        amount: impl Fn(&str) -> Result<u64, ParseError>,
    ) -> Result<Part, Error> {
        let Some(written) = written else { return Ok(Part::Percent(usual)) };
        let text = written.get_ref().trim();
        let part = match text.strip_suffix('%') {
            Some(number) => match number.trim().parse() {
                Ok(hundredths @ 0..=100) => Ok(Part::Percent(hundredths)),
                _ => Err(ParseError::new("share", text, "expected 0% to 100%")),
            },
            None => amount(text).map(Part::Most),
        };
        part.map_err(|error| self.refused(written, &error))
    }

    fn rate(&self, written: &Text) -> Result<Rate, Error> {
        let coins = Amount::from_coins(written.get_ref().trim(), self.decimals)
            .map_err(|error| self.refused(written, &error))?;
        Ok(Rate::per_hour(coins.units()).unwrap_or(Rate::MAX))
    }

    fn span(&self, written: &Text) -> Result<Seconds, Error> {
        parse_seconds(written.get_ref().trim()).map_err(|error| self.refused(written, &error))
    }

    fn accounts(&self, written: &[Text]) -> Result<BTreeSet<Address>, Error> {
        let account = |text: &Text| {
            let read = text.get_ref().trim().parse();
            let why = "expected an account such as 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
            read.map_err(|_| refuse(self.text, text.span(), why))
        };
        written.iter().map(account).collect()
    }

    fn optional<T>(
        &self,
        written: Option<&Text>,
        usual: T,
        read: impl Fn(&Self, &Text) -> Result<T, Error>,
    ) -> Result<T, Error> {
        written.map_or(Ok(usual), |written| read(self, written))
    }

    fn refused(&self, written: &Text, error: &ParseError) -> Error {
        refuse(self.text, written.span(), &error.to_string())
    }
}

/// A refusal of what stands at a place in the text.
fn refuse(text: &str, at: Range<usize>, why: &str) -> Error {
    let before = &text.as_bytes()[..at.start.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    Error::Policy { line: line + 1, field: field_at(text, line), why: why.to_owned() }
}

/// The dotted name of the field on a line: its section and its key.
fn field_at(text: &str, line: usize) -> String {
    let section = text
        .lines()
        .take(line + 1)
        .filter_map(|line| line.trim().strip_prefix('[')?.split(']').next().map(str::trim));
    let section = section.last().unwrap_or_default();
    let key = text.lines().nth(line).and_then(|line| line.split_once('='));
    match (section, key.map(|(key, _)| key.trim())) {
        (section, None) => section.to_owned(),
        ("", Some(key)) => key.to_owned(),
        (section, Some(key)) => format!("{section}.{key}"),
    }
}

#[cfg(test)]
mod tests;
