//! Bounds for people: the one place where they are rounded, and they are rounded outward.
//!
//! A figure that is shown is a claim, so an upper bound is shown as the next larger number of so
//! many digits, and a lower bound as the next smaller one. A number that *is* one of so many digits
//! is shown as that number: floating point adds a few parts in 10^16 to decimal numbers and to their
//! sums, which is no loss of privacy, and `NOISE` leaves it out.
//!
//! A limit that a person declared is no bound of ours and is not rounded at all: the `Display` of
//! [`Epsilon`] and [`Delta`] writes it as it was declared.

use super::units::{Delta, Epsilon};
use std::fmt;

/// An upper bound with `digits` digits after the point: never below `value`.
pub fn at_most(value: f64, digits: usize) -> Shown {
    Shown(to_digits(value, digits, Direction::Up))
}

/// A lower bound with `digits` digits after the point: never above `value`.
pub fn at_least(value: f64, digits: usize) -> Shown {
    Shown(to_digits(value, digits, Direction::Down))
}

impl Epsilon {
    /// As an upper bound with so many digits after the point.
    pub fn shown(self, digits: usize) -> Shown {
        at_most(self.get(), digits)
    }

    /// The same as a number.
    #[must_use]
    pub fn rounded_up(self, digits: usize) -> Self {
        let shown = self.shown(digits).0;
        shown.parse().ok().and_then(|value| Self::new(value).ok()).unwrap_or(self)
    }
}

impl Delta {
    /// As an upper bound with at most so many significant digits: `0`, `1e-6`, `1.8e-5`.
    pub fn shown(self, significant: usize) -> Shown {
        Shown(to_significant(self.get(), significant))
    }

    /// "1 in N" or "none", with N rounded down: the chance is at most that.
    pub fn one_in(self) -> String {
        if self == Self::ZERO {
            return "none".to_owned();
        }
        let times = 1.0 / self.get();
        if times >= MANY {
            // A power of ten that it is at least.
            format!("1 in 1e{}", times.log10().floor())
        } else {
            format!("1 in {}", at_least(times, 0))
        }
    }
}

/// A bound in decimal digits. It takes a width, as any text does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(String);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

/// What floating point adds to decimal numbers and to sums and products of a few, relative to them.
const NOISE: f64 = 64.0 * f64::EPSILON;
/// From here on floating-point numbers have no digits after the point.
const WHOLE: f64 = 9_007_199_254_740_992.0;
/// Of so many the digits mean nothing.
const MANY: f64 = 1e15;
/// No more digits than a number has.
const MOST_DIGITS: usize = 15;

fn to_digits(value: f64, digits: usize, direction: Direction) -> String {
    let digits = digits.min(MOST_DIGITS);
    // The nearest number of so many digits, exactly; it may be on the wrong side.
    let nearest = format!("{value:.digits$}");
    let scaled = nearest.replace('.', "").parse::<i128>();
    let (Ok(scaled), Ok(read)) = (scaled, nearest.parse::<f64>()) else { return nearest };
    if value.abs() >= WHOLE {
        return nearest;
    }
    let noise = value.abs() * NOISE;
    let step = match direction {
        Direction::Up if read < value - noise => 1,
        Direction::Down if read > value + noise => -1,
        _ => 0,
    };
    write_scaled(scaled + step, digits)
}

/// `scaled / 10^digits`, in digits.
fn write_scaled(scaled: i128, digits: usize) -> String {
    let sign = if scaled < 0 { "-" } else { "" };
    let text = format!("{:0width$}", scaled.unsigned_abs(), width = digits + 1);
    let (whole, part) = text.split_at(text.len() - digits);
    let point = if digits > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{part}")
}

fn to_significant(value: f64, significant: usize) -> String {
    if value <= 0.0 {
        return "0".to_owned();
    }
    let digits = significant.clamp(1, MOST_DIGITS) - 1;
    let nearest = format!("{value:.digits$e}");
    let Some((mantissa, exponent)) = nearest.split_once('e') else { return nearest };
    let below = nearest.parse::<f64>().is_ok_and(|read| read < value * (1.0 - NOISE));
    let (Ok(scaled), Ok(exponent)) =
        (mantissa.replace('.', "").parse::<i128>(), exponent.parse::<i32>())
    else {
        return nearest;
    };
    let scaled = scaled + i128::from(below);
    let mantissa = write_scaled(scaled, digits);
    // 9.9 and one more is 10.0, which is 1.0 of the next power.
    if mantissa.starts_with("10") {
        return format!("1e{}", exponent + 1);
    }
    let short =
        if digits > 0 { mantissa.trim_end_matches('0').trim_end_matches('.') } else { &mantissa };
    format!("{short}e{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epsilon(value: f64) -> Epsilon {
        Epsilon::new(value).unwrap()
    }

    #[test]
    fn bounds_are_rounded_outward_and_whole_numbers_stay_clean() {
        for (value, up, down) in [
            (0.933_231, "0.934", "0.933"),
            (0.0, "0.000", "0.000"),
            (4.0, "4.000", "4.000"),
            (0.1 + 0.2, "0.300", "0.300"),
            (4.000_000_001, "4.001", "4.000"),
            (1e-9, "0.001", "0.000"),
            (0.999_9, "1.000", "0.999"),
            (9.999_6, "10.000", "9.999"),
            (-0.000_4, "0.000", "-0.001"),
            (1e300, &format!("{:.3}", 1e300), &format!("{:.3}", 1e300)),
        ] {
            assert_eq!(at_most(value, 3).to_string(), up, "{value}");
            assert_eq!(at_least(value, 3).to_string(), down, "{value}");
        }
        assert_eq!(at_most(2.1, 0).to_string(), "3");
        assert_eq!(format!("[{:>7}]", epsilon(0.933_231).shown(2)), "[   0.94]");
        assert_eq!(epsilon(0.933_231).rounded_up(4), epsilon(0.9333));
        assert_eq!(at_most(f64::INFINITY, 3).to_string(), "inf");
    }

    #[test]
    fn deltas_are_short_and_never_below_themselves() {
        for (value, shown, one_in) in [
            (0.0, "0", "none"),
            (1e-6, "1e-6", "1 in 1000000"),
            (1.8e-5, "1.8e-5", "1 in 55555"),
            (1.801e-5, "1.9e-5", "1 in 55524"),
            (9.91e-7, "1e-6", "1 in 1009081"),
            (0.5, "5e-1", "1 in 2"),
            (6e-17, "6e-17", "1 in 1e16"),
            (9e-17, "9e-17", "1 in 1e16"),
        ] {
            let delta = Delta::new(value).unwrap();
            assert_eq!(delta.shown(2).to_string(), shown);
            assert_eq!(delta.one_in(), one_in);
        }
        assert_eq!(Delta::new(1.01e-6).unwrap().shown(1).to_string(), "2e-6");
    }

    proptest! {
        /// What is printed, read again, is on the outer side, by less than one step.
        #[test]
        fn what_is_printed_is_on_the_outer_side(value in 0.0..1e5_f64, digits in 0_usize..8) {
            let step = 10_f64.powi(-i32::try_from(digits).unwrap());
            let [up, down] = [at_most(value, digits), at_least(value, digits)]
                .map(|shown| shown.to_string().parse::<f64>().unwrap());
            let noise = value * NOISE;
            prop_assert!(up >= value - noise && up < value + step * (1.0 + 1e-9) + noise, "{} {}", value, up);
            prop_assert!(down <= value + noise && down > value - step * (1.0 + 1e-9) - noise, "{} {}", value, down);
        }

        #[test]
        fn a_delta_read_again_is_not_smaller(exponent in -30.0..-0.01_f64, digits in 1_usize..6) {
            let value = 10_f64.powf(exponent);
            let shown = Delta::new(value).unwrap().shown(digits).to_string();
            let read = shown.parse::<f64>().unwrap();
            let step = 10_f64.powi(1 - i32::try_from(digits).unwrap());
            prop_assert!(read >= value * (1.0 - NOISE) && read <= value * (1.0 + step * 1.001), "{} {}", value, shown);
        }
    }
}
