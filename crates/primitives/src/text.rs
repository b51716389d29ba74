//! Quantities as people write them: `2GiB`, `1h30m`.

use std::fmt;

use crate::{resources::Bytes, time::Seconds};

/// Why a text is not the value it should be: names the kind of value, the text and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading {what} '{text}': {why}")]
pub struct ParseError {
    what: &'static str,
    text: String,
    why: String,
}

impl ParseError {
    /// `text` is not a `what`, because of `why`.
    pub fn new(what: &'static str, text: &str, why: &str) -> Self {
        Self { what, text: text.chars().take(80).collect(), why: why.to_owned() }
    }
}

const SIZES: [(&str, u64); 14] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
    ("B", 1),
    ("", 1),
];

/// Read a size such as `512MiB`, `2G` (binary, as `docker` and `systemd` read it) or `1.5GB`.
///
/// # Errors
/// Names the text when it is no size or beyond 64 bits.
pub fn parse_bytes(text: &str) -> Result<Bytes, ParseError> {
    let refuse = |why| ParseError::new("size", text, why);
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let (_, factor) = SIZES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .ok_or_else(|| refuse("expected a unit such as MiB or GB"))?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > 6 || part.contains('.') {
        return Err(refuse("expected a number such as 512MiB or 1.5GB"));
    }
    let scale = 10u128.pow(u32::try_from(part.len()).unwrap_or(6));
    let digits: u128 =
        format!("{whole}{part}").parse().map_err(|_| refuse("the number is too large"))?;
    let bytes = digits.checked_mul(u128::from(*factor)).map(|product| product / scale);
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .map(Bytes)
        .ok_or_else(|| refuse("the number is too large"))
}

/// Read a time span such as `90`, `90s`, `15m`, `1h30m` or `2d`.
///
/// # Errors
/// Names the text when it is no time span, zero, or beyond 64 bits.
pub fn parse_seconds(text: &str) -> Result<Seconds, ParseError> {
    let refuse = |why| ParseError::new("time span", text, why);
    let (mut total, mut number) = (0u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let factor = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(refuse("expected units s, m, h or d, such as 1h30m")),
        };
        let count: u64 = number.parse().map_err(|_| refuse("expected a number before the unit"))?;
        total = count
            .checked_mul(factor)
            .and_then(|span| total.checked_add(span))
            .ok_or_else(|| refuse("the span is too long"))?;
        number.clear();
    }
    if !number.is_empty() {
        let rest: u64 = number.parse().map_err(|_| refuse("the span is too long"))?;
        total = total.checked_add(rest).ok_or_else(|| refuse("the span is too long"))?;
    }
    if total == 0 { Err(refuse("expected at least one second")) } else { Ok(Seconds(total)) }
}

/// A size for people, in binary units: `1.5 GiB`.
pub fn format_bytes(bytes: Bytes) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let step = (63 - (bytes.0 | 1).leading_zeros()) / 10;
    let unit = units[usize::try_from(step).unwrap_or(0)];
    let whole = bytes.0 >> (10 * step);
    let tenth = if step == 0 { 0 } else { ((bytes.0 >> (10 * (step - 1))) & 1_023) * 10 / 1_024 };
    if tenth == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") }
}

/// A time span for people: `1h02m03s`, `4m05s`, `6s`.
pub fn format_seconds(span: Seconds) -> String {
    let (hours, minutes, seconds) = (span.0 / 3_600, span.0 / 60 % 60, span.0 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds:02}s"),
        _ => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_bytes(*self))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_seconds(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1", 1),
            ("2G", 2 << 30),
            ("1.5GiB", 3 << 29),
            ("512mib", 512 << 20),
            ("3 MB", 3_000_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(Bytes(bytes)), "{text}");
        }
        for wrong in ["", "G", "1..2G", "-1G", "1X", "99999999999T"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong} must be refused");
        }
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5_400), ("2d", 172_800)]
        {
            assert_eq!(parse_seconds(text), Ok(Seconds(seconds)), "{text}");
        }
        for wrong in ["", "0", "h", "1w", "-5s", "99999999999999999999"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong} must be refused");
        }
    }

    #[test]
    fn sizes_and_spans_are_written_for_people() {
        assert_eq!(format_bytes(Bytes(0)), "0 B");
        assert_eq!(format_bytes(Bytes(1_536)), "1.5 KiB");
        assert_eq!(format_bytes(Bytes(u64::MAX)), "15.9 EiB");
        assert_eq!(format_seconds(Seconds(3_723)), "1h02m03s");
        assert_eq!(format_seconds(Seconds(65)), "1m05s");
    }
}
