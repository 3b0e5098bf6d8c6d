//! The main measure of a metric: one number that a batch, an arm or a segment has, among those who
//! answered.

use crate::compare::Unit;
use sottovoce_program::{
    encoding::{Encoding, Meaning},
    metric::{Metric, MetricKind},
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
        match &metric.kind {
            MetricKind::Thumbs => Some(Self {
                name: "share of up among answers".to_owned(),
                unit: Unit::Rate,
                worth: 0.02,
                scores: vec![Some(1.0), Some(0.0)],
            }),
            MetricKind::Rating(levels) => {
                Some(Self::mean("mean of answers".to_owned(), 1, [0, levels.len(), 0]))
            }
            // One value to a bin; buckets of several have no mean.
            MetricKind::Count(bounds) if bounds.iter().copied().eq(0..bounds.len() as u64) => {
                let name = format!("mean, {} and more taken as that", bounds.len() - 1);
                Some(Self::mean(name, 0, [0, bounds.len(), 0]))
            }
            MetricKind::Finding { categories, severities } => {
                let half = severities.len() / 2;
                let grave = |index| Some(f64::from(u8::from(index >= severities.len() - half)));
                let scores = (0..categories.len()).flat_map(|_| (0..severities.len()).map(grave));
                let from = &severities[severities.len() - half];
                let graver = if half > 1 { " or graver" } else { "" };
                let name = format!("share of {from}{graver} among findings");
                Some(Self { name, unit: Unit::Rate, worth: 0.02, scores: scores.collect() })
            }
            _ => None,
        }
    }

    /// Further measures of a metric: the two best levels of a rating, the mean of each aspect, the
    /// share of each category of findings.
    pub fn others(metric: &Metric) -> Vec<Self> {
        match &metric.kind {
            MetricKind::Rating(levels) if levels.len() > 2 => {
                let others = vec![Some(0.0); levels.len() - 2];
                vec![Self {
                    name: "share of the two best levels among answers".to_owned(),
                    unit: Unit::Rate,
                    worth: 0.02,
                    scores: [others, vec![Some(1.0); 2]].concat(),
                }]
            }
            MetricKind::Ratings { aspects, levels } => {
                let (count, last) = (levels.len(), aspects.len() - 1);
                let mean = |(index, aspect): (usize, &String)| {
                    let parts = [index * count, count, (last - index) * count];
                    Self::mean(format!("mean of {aspect}"), 1, parts)
                };
                aspects.iter().enumerate().map(mean).collect()
            }
            MetricKind::Finding { categories, severities } => {
                let count = severities.len();
                let share = |(index, category): (usize, &String)| {
                    let of = |other| Some(f64::from(u8::from(other == index)));
                    let scores = (0..categories.len() * count).map(|outcome| of(outcome / count));
                    let name = format!("share of {category} among findings");
                    Self { name, unit: Unit::Rate, worth: 0.02, scores: scores.collect() }
                };
                categories.iter().enumerate().map(share).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The mean of outcomes that score `first` and one more each, between outcomes that do not
    /// count: so many before, of the mean, and after.
    fn mean(name: String, first: u32, [before, counted, after]: [usize; 3]) -> Self {
        let none = |count| std::iter::repeat_n(None, count);
        let scores = (first..).take(counted).map(|score| Some(f64::from(score)));
        let scores = none(before).chain(scores).chain(none(after)).collect();
        Self { name, unit: Unit::Score, worth: 0.1, scores }
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
