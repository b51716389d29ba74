//! Exact decimals: the values of a range as they are written, without rounding.

/// A number of so many decimal places: `digits / 10^places`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: i128,
    places: u32,
}

/// The most decimal places, and so the most digits, of a number.
const MOST: usize = 18;

impl Decimal {
    /// Read a number such as `-2.80`; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (sign, number) = match text.strip_prefix('-') {
            Some(number) => (-1, number),
            None => (1, text),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{part}");
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !plain || digits.len() > MOST || number.ends_with('.') {
            return None;
        }
        let places = u32::try_from(part.len()).ok()?;
        Some(Self { digits: sign * digits.parse::<i128>().ok()?, places })
    }

    /// The same number with more places.
    fn with_places(self, places: u32) -> Option<i128> {
        let more = places.checked_sub(self.places)?;
        self.digits.checked_mul(10i128.checked_pow(more)?)
    }

    fn text(digits: i128, places: u32) -> String {
        let sign = if digits < 0 { "-" } else { "" };
        let places = usize::try_from(places).unwrap_or(usize::MAX);
        let digits = format!("{:0>width$}", digits.unsigned_abs(), width = places + 1);
        let (whole, part) = digits.split_at(digits.len() - places);
        let point = if places == 0 { "" } else { "." };
        format!("{sign}{whole}{point}{part}")
    }
}

/// Why a range has no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The distance between two of so many values does not end as a decimal; with these counts it
    /// does.
    Endless { better: Vec<u32> },
    /// The step is zero, or leads away from the end.
    Astray,
    /// More than so many values.
    TooMany,
}

/// So many values from `from` to `to`, evenly spaced, both ends among them.
pub(super) fn spaced(from: Decimal, to: Decimal, count: u32) -> Result<Vec<String>, Flaw> {
    match step_of(from, to, count) {
        Some((first, step, places)) => {
            Ok((0..count).map(|at| Decimal::text(first + step * i128::from(at), places)).collect())
        }
        None => {
            let ends = |count: &u32| step_of(from, to, *count).is_some();
            let below = (2..count).rev().find(ends);
            let above = (count + 1..count.saturating_mul(2).max(4)).find(ends);
            Err(Flaw::Endless { better: below.into_iter().chain(above).collect() })
        }
    }
}

/// The first value, the step and their places, if the step ends as a decimal.
fn step_of(from: Decimal, to: Decimal, count: u32) -> Option<(i128, i128, u32)> {
    let most = u32::try_from(MOST).ok()?;
    (from.places.max(to.places)..=most).find_map(|places| {
        let (first, last) = (from.with_places(places)?, to.with_places(places)?);
        let between = i128::from(count.saturating_sub(1).max(1));
        ((last - first) % between == 0).then_some((first, (last - first) / between, places))
    })
}

/// Values from `from` on, each `step` further, up to and with `to`; not more than `most`.
pub(super) fn stepped(
    from: Decimal,
    to: Decimal,
    step: Decimal,
    most: usize,
) -> Result<Vec<String>, Flaw> {
    let places = from.places.max(to.places).max(step.places);
    let scaled = |it: Decimal| it.with_places(places).ok_or(Flaw::TooMany);
    let (first, last, step) = (scaled(from)?, scaled(to)?, scaled(step)?);
    if step == 0 || (last - first) * step < 0 {
        return Err(Flaw::Astray);
    }
    let count = usize::try_from((last - first) / step + 1).map_err(|_| Flaw::TooMany)?;
    if count > most {
        return Err(Flaw::TooMany);
    }
    Ok((0..).take(count).map(|at: i128| Decimal::text(first + step * at, places)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Decimal {
        Decimal::parse(text).expect("a number")
    }

    #[test]
    fn numbers_are_read_as_written_and_nothing_else_is() {
        for text in ["0", "2.80", "-0.05", "10", "123456789.123456789"] {
            let Decimal { digits, places } = of(text);
            assert_eq!(Decimal::text(digits, places), text);
        }
        assert_eq!(of(".5"), of("0.5"));
        for wrong in ["", "-", ".", "1.", "1e3", "+1", "1_0", "0x1", "1.2.3", "one", " 1"] {
            assert_eq!(Decimal::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!(Decimal::parse("1234567890.123456789"), None, "too many digits");
    }

    #[test]
    fn evenly_spaced_values_are_exact_and_hold_both_ends() {
        let values = spaced(of("0"), of("1"), 11).expect("it ends");
        assert_eq!(values[..4], ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!((values.len(), values[10].as_str()), (11, "1.0"));
        assert_eq!(spaced(of("2.8"), of("4"), 65).expect("it ends")[1], "2.81875");
        assert_eq!(spaced(of("1"), of("-1"), 3).expect("it ends"), ["1", "0", "-1"]);
        assert_eq!(spaced(of("0.5"), of("7"), 1).expect("it ends"), ["0.5"]);
    }

    #[test]
    fn a_distance_that_does_not_end_is_refused_with_counts_that_do() {
        let flaw = spaced(of("2.8"), of("4"), 64).expect_err("1.2 / 63 goes on for ever");
        assert_eq!(flaw, Flaw::Endless { better: vec![61, 65] });
    }

    #[test]
    fn steps_go_up_to_the_end_and_never_beyond() {
        let values = |from, to, step| stepped(of(from), of(to), of(step), 100);
        assert_eq!(values("0", "0.3", "0.1").expect("right"), ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(values("0", "1", "0.4").expect("right"), ["0.0", "0.4", "0.8"]);
        assert_eq!(values("3", "1", "-1").expect("right"), ["3", "2", "1"]);
        assert_eq!(values("1", "3", "-1"), Err(Flaw::Astray));
        assert_eq!(values("1", "3", "0"), Err(Flaw::Astray));
        assert_eq!(values("0", "1", "0.01"), Err(Flaw::TooMany));
    }
}
