//! ε, δ, and the trust model without which they say nothing.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// A number that is not the parameter it should be.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error("{name} = {value} must be {valid}")]
pub struct OutOfRange {
    name: &'static str,
    value: f64,
    valid: &'static str,
}

/// A privacy loss bound ε: finite, at least zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Epsilon(f64);

impl Epsilon {
    /// What bounds nothing.
    pub(crate) const MOST: Self = Self(f64::MAX);

    /// From a number.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        if value.is_finite() && value >= 0.0 {
            // Not a negative zero.
            Ok(Self(value + 0.0))
        } else {
            Err(OutOfRange {
                name: "epsilon",
                value,
                valid: "a finite number that is not negative",
            })
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// What e^ε times a probability may fall short by: the δ of (ε, δ)-differential privacy, at least
/// zero, below one. For every set of outcomes, its probability under one answer is at most e^ε times
/// that under another, *plus δ*. It is not the probability that the privacy loss exceeds ε, which can
/// be many times as large.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Delta(f64);

impl Delta {
    /// Pure differential privacy.
    pub const ZERO: Self = Self(0.0);

    /// From a number.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        if (0.0..1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(OutOfRange { name: "delta", value, valid: "at least 0 and below 1" })
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// A part of a whole: at least zero, below one.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

impl Share {
    /// From a number.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        if (0.0..1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(OutOfRange { name: "share", value, valid: "at least 0 and below 1" })
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// How many of `count` are outside this part, rounded down.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a product of a count and a number from 0 to 1 is a count; rounding goes down"
    )]
    pub fn honest_of(self, count: u64) -> u64 {
        ((1.0 - self.0) * count as f64 * (1.0 - 4.0 * f64::EPSILON)).floor() as u64
    }

    /// The smallest count of which at least `honest` are outside this part.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a guess, corrected by what it must hold"
    )]
    pub fn whole_of(self, honest: u64) -> u64 {
        let mut whole = (honest as f64 / (1.0 - self.0)).floor() as u64;
        while self.honest_of(whole) < honest {
            whole += 1;
        }
        whole
    }
}

macro_rules! number {
    ($($name:ident),*) => {$(
        impl TryFrom<f64> for $name {
            type Error = OutOfRange;

            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(number: $name) -> f64 {
                number.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

number!(Epsilon, Delta, Share);

/// Who must be honest for a guarantee to hold (draft-wang-ppm-differential-privacy).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TrustModel {
    /// Only this client is honest: both aggregators collude.
    Oc,
    /// One aggregator is honest; every other client may be corrupt.
    Oaoc,
    /// One aggregator and most clients are honest.
    Oamc,
}

impl TrustModel {
    /// Who must be honest, in a few plain words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Oc => "even if both aggregators collude",
            Self::Oaoc => "one honest aggregator",
            Self::Oamc => "one honest aggregator and most devices",
        }
    }

    /// The same, followed by the draft's name in brackets.
    pub fn named(self) -> String {
        format!("{} ({self})", self.in_words())
    }
}

impl fmt::Display for TrustModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Oc => "OC",
            Self::Oaoc => "OAOC",
            Self::Oamc => "OAMC",
        })
    }
}

/// What one device may count on: for one report in one batch, or for several together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Guarantee {
    /// Who must be honest.
    pub trust: TrustModel,
    /// For every set of outcomes, its probability under one answer is at most e^ε times that under
    /// another, plus `delta`.
    pub epsilon: Epsilon,
    /// What that may fall short by. 0 where ε bounds the privacy loss of each outcome.
    pub delta: Delta,
    /// A bound that the privacy loss exceeds with a probability of at most `delta`, whichever of the
    /// two answers was given: larger than ε, unless `delta` is 0.
    pub pointwise: Epsilon,
    /// Why it holds.
    pub theorem: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(Epsilon::new(bad).is_err());
            assert!(Delta::new(bad).is_err());
            assert!(Share::new(bad).is_err());
        }
        assert!(Epsilon::new(-0.0).unwrap().get().is_sign_positive());
        let error = Delta::new(1.0).unwrap_err().to_string();
        assert_eq!(error, "delta = 1 must be at least 0 and below 1");
    }

    #[test]
    fn the_honest_part_is_never_rounded_up() {
        let fifth = Share::new(0.2).unwrap();
        assert_eq!(fifth.honest_of(0), 0);
        assert!(fifth.honest_of(3000) <= 2400 && fifth.honest_of(3000) >= 2399);
        assert_eq!(Share::new(0.999).unwrap().honest_of(10), 0);
        for honest in [0, 1, 2, 2400, 12_345] {
            let whole = fifth.whole_of(honest);
            assert!(fifth.honest_of(whole) >= honest, "{honest}");
            assert!(whole == 0 || fifth.honest_of(whole - 1) < honest, "{honest}");
        }
    }
}
