//! `count`: how often something happened.

use super::{
    EncodingError, Kind, Reading, Readings, Said, Written,
    buckets::{bounds, bucket, bucket_labels},
};
use crate::{ProgramError, answer::Given, source::At};

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Where buckets begin; the first at 0.
    pub buckets: Vec<u64>,
}

/// Values of a count with a bin each.
const MOST_VALUES: u64 = 20;
/// Beyond it not every whole number is one in TOML's floats.
const MOST_COUNT: f64 = 9_007_199_254_740_992.0;

impl Kind for Count {
    fn keys() -> &'static [&'static str] {
        &["max", "buckets"]
    }

    fn parse(written: &Written<'_>) -> Result<Self, ProgramError> {
        match (&written.table.max, &written.table.buckets) {
            (Some(max), None) if (1..=MOST_VALUES).contains(max.get_ref()) => {
                Ok(Self { buckets: (0..=*max.get_ref()).collect() })
            }
            (Some(max), None) => {
                Err(written.error(max, format!("must be 1 to {MOST_VALUES}; `buckets` go further")))
            }
            (None, Some(list)) => Self::of_buckets(written, list),
            (Some(max), Some(_)) => Err(written.error(max, "give `max` or `buckets`, not both")),
            (None, None) => Err(written.wrong("a count needs `max` or `buckets`")),
        }
    }

    fn is_observed(&self) -> bool {
        true
    }

    fn answer(&self) -> String {
        "how often something happened, in steps".to_owned()
    }

    fn encoding(&self) -> &'static str {
        "buckets"
    }

    fn outcome_count(&self) -> usize {
        self.buckets.len()
    }

    fn outcomes(&self) -> Vec<String> {
        bucket_labels(&self.bounds(), true)
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        let Given::Count(count) = given else { return Err(EncodingError::Kind) };
        #[expect(clippy::cast_precision_loss, reason = "bounds are exact up to 2^53")]
        let count = *count as f64;
        Ok(Said::One(bucket(&self.bounds(), count)))
    }

    fn given(&self, outcome: usize, _opponent: usize) -> Option<Given> {
        self.buckets.get(outcome).copied().map(Given::Count)
    }

    fn readings(&self) -> Readings {
        let count = self.buckets.len();
        // One value to a bin; buckets of several have no mean.
        if !self.buckets.iter().copied().eq(0..count as u64) {
            return Readings::default();
        }
        let name = format!("mean, {} and more taken as that", count - 1);
        Readings { main: Some(Reading::mean(name, 0, [0, count, 0])), ..Readings::default() }
    }
}

impl Count {
    fn of_buckets(written: &Written<'_>, list: &At<Vec<At<f64>>>) -> Result<Self, ProgramError> {
        let bounds = bounds(written, list)?;
        let whole = |bound: &f64| bound.fract() == 0.0 && (0.0..=MOST_COUNT).contains(bound);
        if bounds.first() != Some(&0.0) || !bounds.iter().all(whole) {
            let reason = "buckets of a count begin at 0 and at whole numbers above it";
            return Err(written.error(list, reason));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole numbers from 0 to 2^53"
        )]
        Ok(Self { buckets: bounds.into_iter().map(|bound| bound as u64).collect() })
    }

    #[expect(clippy::cast_precision_loss, reason = "the program has them as floats")]
    fn bounds(&self) -> Vec<f64> {
        self.buckets.iter().map(|bound| *bound as f64).collect()
    }
}
