//! How narrow an interval shall be.

use super::PlanError;
use serde::Serialize;
use std::{fmt, str::FromStr};

/// The half width of a 95 % interval for a rate: above 0 and at most one half.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
pub struct Precision(f64);

impl Precision {
    /// As a share of one.
    pub fn half_width(self) -> f64 {
        self.0
    }

    /// The next coarser one that is a whole number of hundredths of a percentage point; `None` above
    /// 50 points.
    pub(super) fn at_least(half_width: f64) -> Option<Self> {
        let points = (half_width * 1e4).ceil() / 1e2;
        (0.01..=50.0).contains(&points).then_some(Self(points / 100.0))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "± {:.2} pp", self.0 * 100.0)
    }
}

impl FromStr for Precision {
    type Err = PlanError;

    /// From percentage points: `2pp`, `0.5 pp` or `2`.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let number = text.trim().trim_end_matches("pp").trim_end();
        let points: Option<f64> = number.parse().ok();
        let fits = points.filter(|points| (0.01..=50.0).contains(points));
        let points = fits.ok_or_else(|| PlanError::Precision { given: text.to_owned() })?;
        Ok(Self(points / 100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_read_in_percentage_points() {
        for (text, half_width) in [("2pp", 0.02), ("0.5 pp", 0.005), (" 10 ", 0.1)] {
            let precision: Precision = text.parse().unwrap();
            assert!((precision.half_width() - half_width).abs() < 1e-12, "{text}");
        }
        for text in ["", "pp", "0pp", "-1pp", "nan", "inf", "60pp", "2%"] {
            let error = text.parse::<Precision>().unwrap_err().to_string();
            assert!(error.contains("0.01pp to 50pp"), "{error}");
        }
    }
}
