//! From an answer to a bin and from a bin to words.
//!
//! Bin 0 is always *no answer*. The others are one for each joint cell: for each combination of
//! the private dimensions' values, each outcome of the metric. A device without an answer reports
//! no value of a private dimension either.

pub use super::{
    kind::{Compared, EncodingError},
    label::NO_ANSWER,
};

use super::{
    answer::Answer,
    dimension::Dimension,
    kind::{Derived, Kind, MetricKind, Said, position},
    metric::Metric,
};
use sottovoce_privacy::randomizer::Bin;

/// How a metric's answers become bins.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    kind: MetricKind,
    segments: Vec<Dimension>,
}

/// What a bin says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing was answered.
    NoAnswer,
    /// This was answered.
    Answer {
        /// The index of the cell, as in [`Encoding::cells`].
        cell: usize,
        /// The index of the outcome, as in [`Encoding::outcomes`].
        outcome: usize,
    },
}

/// What an answer is encoded as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoded {
    /// This bin.
    One(Bin),
    /// One of these, each as likely as the others; at least one.
    OneOf(Vec<Bin>),
    /// A bit for each bin.
    Bits(Vec<bool>),
}

impl Encoding {
    /// The encoding of a metric.
    pub fn of(metric: &Metric) -> Self {
        let segments = metric.dimensions.iter().filter(|dimension| !dimension.is_public());
        let segments = segments.cloned().collect();
        Self { kind: metric.kind.clone(), segments }
    }

    /// The encoding's name in the manifest.
    pub fn name(&self) -> &'static str {
        self.kind().encoding()
    }

    /// Whether an answer may be in several bins at once.
    pub fn is_vector(&self) -> bool {
        self.kind().signals().is_some()
    }

    /// The number of bins, *no answer* included; the largest number if there are more.
    pub fn bins(&self) -> u32 {
        let cells = self.segments.iter().map(|dimension| dimension.values.len());
        let bins = cells.fold(self.kind().outcome_count(), usize::saturating_mul).saturating_add(1);
        u32::try_from(bins).unwrap_or(u32::MAX)
    }

    /// What each bin says, in their order.
    pub fn meanings(&self) -> Vec<Meaning> {
        let outcomes = self.kind().outcome_count();
        let answer =
            |index: usize| Meaning::Answer { cell: index / outcomes, outcome: index % outcomes };
        let answers = self.cells().len() * outcomes;
        std::iter::once(Meaning::NoAnswer).chain((0..answers).map(answer)).collect()
    }

    /// The outcomes of the metric by itself.
    pub fn outcomes(&self) -> Vec<String> {
        self.kind().outcomes()
    }

    /// For a preference that is reported by pairs: the candidates and, for each outcome, the two
    /// that were compared (by index) and whether the first won, the second did, or neither.
    pub fn pairs(&self) -> Option<(&[String], Vec<Compared>)> {
        self.kind().pairs()
    }

    /// For a joint: what each of the two metrics can have said, *nothing* first. Outcome `i` of the
    /// joint is the pair number `i + 1`, the second side counting fastest.
    pub fn sides(&self) -> Option<[Vec<String>; 2]> {
        match self.kind().derived()? {
            Derived::Joint(joint) => Some(joint.sides()),
            Derived::Score(_) => None,
        }
    }

    /// The combinations of the private dimensions' values; one without a name if there are none.
    pub fn cells(&self) -> Vec<String> {
        let mut cells = vec![String::new()];
        for dimension in &self.segments {
            let extend = |cell: &String| {
                let values = dimension.values.iter().map(|value| match cell.as_str() {
                    "" => value.clone(),
                    cell => format!("{cell} · {value}"),
                });
                values.collect::<Vec<_>>()
            };
            cells = cells.iter().flat_map(extend).collect();
        }
        cells
    }

    /// The cells grouped by the values that they have of some dimensions: those values in words, and
    /// the cells by index. One group of all cells if none of the dimensions is theirs.
    pub fn cells_by(&self, is_meant: impl Fn(&Dimension) -> bool) -> Vec<(String, Vec<usize>)> {
        let mut groups: Vec<(Vec<&str>, Vec<usize>)> = Vec::new();
        for cell in 0..self.cells().len() {
            // The last dimension counts fastest.
            let (mut rest, mut values) = (cell, Vec::new());
            for dimension in self.segments.iter().rev() {
                let count = dimension.values.len();
                if is_meant(dimension) {
                    values.insert(0, dimension.values[rest % count].as_str());
                }
                rest /= count;
            }
            match groups.iter_mut().find(|(known, _)| *known == values) {
                Some((_, cells)) => cells.push(cell),
                None => groups.push((values, vec![cell])),
            }
        }
        groups.into_iter().map(|(values, cells)| (values.join(" · "), cells)).collect()
    }

    /// What each bin means, in their order.
    pub fn labels(&self) -> Vec<String> {
        let cells = self.cells();
        let outcomes = self.kind().outcomes();
        let cells = cells.iter().flat_map(|cell| {
            outcomes.iter().map(move |outcome| match cell.as_str() {
                "" => outcome.clone(),
                cell => format!("{cell} · {outcome}"),
            })
        });
        std::iter::once(NO_ANSWER.to_owned()).chain(cells).collect()
    }

    /// The bin of an answer.
    pub fn encode(&self, answer: &Answer) -> Result<Encoded, EncodingError> {
        for name in answer.segments.keys() {
            if !self.segments.iter().any(|dimension| dimension.name == *name) {
                return Err(EncodingError::ExtraSegment(name.clone()));
            }
        }
        let Some(given) = &answer.given else {
            return Ok(if self.is_vector() { self.bits(&[0]) } else { Encoded::One(Bin::new(0)) });
        };
        let mut cell = 0;
        for dimension in &self.segments {
            let value = answer.segments.get(&dimension.name);
            let value =
                value.ok_or_else(|| EncodingError::MissingSegment(dimension.name.clone()))?;
            cell = cell * dimension.values.len() + position(&dimension.values, value)?;
        }
        let first = 1 + cell * self.kind().outcome_count();
        // More bins than any randomizer has: it refuses this one.
        let bin = |outcome| Bin::new(u32::try_from(first + outcome).unwrap_or(u32::MAX));
        Ok(match self.kind().encode(given)? {
            Said::Nothing => Encoded::One(Bin::new(0)),
            Said::One(outcome) => Encoded::One(bin(outcome)),
            Said::OneOf(outcomes) => Encoded::OneOf(outcomes.into_iter().map(bin).collect()),
            Said::Exactly(outcomes) => {
                self.bits(&outcomes.iter().map(|outcome| first + outcome).collect::<Vec<_>>())
            }
        })
    }

    fn kind(&self) -> &dyn Kind {
        self.kind.as_kind()
    }

    fn bits(&self, set: &[usize]) -> Encoded {
        Encoded::Bits((0..self.bins() as usize).map(|bin| set.contains(&bin)).collect())
    }
}

#[cfg(test)]
mod tests;
