//! The main measure of a metric: one number that a batch, an arm or a segment has, among those who
//! answered.

use crate::{
    estimate::compare::Unit,
    program::{
        encoding::{Encoding, Meaning},
        metric::{Metric, MetricKind},
    },
};

/// A ratio of weighted sums of rates.
#[derive(Clone, Debug)]
pub struct Measure {
    /// What it is.
    pub name: &'static str,
    /// In what it is measured.
    pub unit: Unit,
    /// The smallest difference that is taken to matter.
    pub worth: f64,
    /// What each outcome contributes.
    scores: Vec<f64>,
}

impl Measure {
    /// The main measure of a metric, if it has one.
    pub fn of(metric: &Metric) -> Option<Self> {
        match &metric.kind {
            MetricKind::Thumbs => Some(Self {
                name: "share of up among answers",
                unit: Unit::Rate,
                worth: 0.02,
                scores: vec![1.0, 0.0],
            }),
            MetricKind::Rating(levels) => Some(Self {
                name: "mean of answers",
                unit: Unit::Score,
                worth: 0.1,
                scores: (1..).take(levels.len()).map(f64::from).collect(),
            }),
            MetricKind::Preference(_) => None,
        }
    }

    /// The share of a rating's two best levels, if it has more than two.
    pub fn top_two(metric: &Metric) -> Option<Self> {
        let MetricKind::Rating(levels) = &metric.kind else { return None };
        let others = levels.len().checked_sub(2).filter(|others| *others > 0)?;
        let scores = [vec![0.0; others], vec![1.0, 1.0]].concat();
        Some(Self {
            name: "share of the two best levels among answers",
            unit: Unit::Rate,
            worth: 0.02,
            scores,
        })
    }

    /// The weight of each bin, of one cell or of all.
    pub fn numerator(&self, encoding: &Encoding, of: Option<usize>) -> Vec<f64> {
        weights(encoding, |cell, outcome| match of {
            Some(only) if only != cell => 0.0,
            _ => self.scores.get(outcome).copied().unwrap_or(0.0),
        })
    }

    /// The range of the measure.
    pub fn range(&self) -> (f64, f64) {
        let fold = |f: fn(f64, f64) -> f64, start| self.scores.iter().copied().fold(start, f);
        (fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY))
    }
}

/// 1 for each bin with an answer, of one cell or of all.
pub fn answered(encoding: &Encoding, of: Option<usize>) -> Vec<f64> {
    weights(encoding, |cell, _| f64::from(u8::from(of.is_none_or(|only| only == cell))))
}

fn weights(encoding: &Encoding, weight: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let of = |meaning| match meaning {
        Meaning::NoAnswer => 0.0,
        Meaning::Answer { cell, outcome } => weight(cell, outcome),
    };
    encoding.meanings().into_iter().map(of).collect()
}
