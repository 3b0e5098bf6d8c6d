//! The main measure of a metric: one number that a batch, an arm or a segment has, among those who
//! answered.

use crate::compare::Unit;
use sottovoce_program::{
    encoding::{Encoding, Meaning},
    kind::Reading,
    metric::Metric,
};

/// A ratio of weighted sums of rates.
#[derive(Clone, Debug)]
pub struct Measure {
    /// What it is.
    pub name: String,
    /// In what it is measured.
    pub unit: Unit,
    /// The smallest difference that is taken to matter.
    pub worth: f64,
    /// What each outcome contributes; nothing for those that do not count as answers.
    scores: Vec<Option<f64>>,
}

impl Measure {
    /// The main measure of a metric, if it has one.
    pub fn of(metric: &Metric) -> Option<Self> {
        metric.kind.as_kind().readings().main.map(Self::from)
    }

    /// Further measures of a metric: the two best levels of a rating, the mean of each aspect, the
    /// share of each category of findings.
    pub fn others(metric: &Metric) -> Vec<Self> {
        metric.kind.as_kind().readings().others.into_iter().map(Self::from).collect()
    }

    /// The weight of each bin, of some cells or of all.
    pub fn numerator(&self, encoding: &Encoding, of: Option<&[usize]>) -> Vec<f64> {
        weights(encoding, |cell, outcome| match of {
            Some(only) if !only.contains(&cell) => 0.0,
            _ => self.scores.get(outcome).copied().flatten().unwrap_or(0.0),
        })
    }

    /// 1 for each bin that counts as an answer, of some cells or of all.
    pub fn denominator(&self, encoding: &Encoding, of: Option<&[usize]>) -> Vec<f64> {
        weights(encoding, |cell, outcome| {
            let is_in = of.is_none_or(|only| only.contains(&cell));
            let counts = self.scores.get(outcome).is_some_and(Option::is_some);
            f64::from(u8::from(is_in && counts))
        })
    }

    /// The range of the measure.
    pub fn range(&self) -> (f64, f64) {
        let scores = || self.scores.iter().copied().flatten();
        let fold = |f: fn(f64, f64) -> f64, start| scores().fold(start, f);
        (fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY))
    }
}

impl From<Reading> for Measure {
    fn from(reading: Reading) -> Self {
        match reading {
            Reading::Share { name, of } => {
                let scores = of.into_iter().map(|is_in| Some(f64::from(u8::from(is_in)))).collect();
                Self { name, unit: Unit::Rate, worth: 0.02, scores }
            }
            Reading::Mean { name, scores } => {
                let scores = scores.into_iter().map(|score| score.map(f64::from)).collect();
                Self { name, unit: Unit::Score, worth: 0.1, scores }
            }
        }
    }
}

/// 1 for each bin with an answer.
pub fn answered(encoding: &Encoding) -> Vec<f64> {
    weights(encoding, |_, _| 1.0)
}

fn weights(encoding: &Encoding, weight: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let of = |meaning| match meaning {
        Meaning::NoAnswer => 0.0,
        Meaning::Answer { cell, outcome } => weight(cell, outcome),
    };
    encoding.meanings().into_iter().map(of).collect()
}
