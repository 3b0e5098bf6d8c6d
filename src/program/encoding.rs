//! From an answer to a bin and from a bin to words.
//!
//! Bin 0 is always *no answer*. The others are one for each joint cell: for each combination of
//! the private dimensions' values, each outcome of the metric. A device without an answer reports
//! no value of a private dimension either.

use super::{
    answer::{Answer, Given, Outcome, Thumb},
    dimension::{Dimension, Visibility},
    metric::{Metric, MetricKind},
};
use crate::privacy::randomizer::Bin;
use thiserror::Error;

/// The label of bin 0.
pub const NO_ANSWER: &str = "no answer";

/// How a metric's answers become bins.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    outcomes: Outcomes,
    segments: Vec<Dimension>,
}

/// The outcomes of a metric by itself.
#[derive(Clone, Debug, PartialEq)]
enum Outcomes {
    Thumbs,
    Levels(Vec<String>),
    /// For each pair of candidates: the first is better, the second is, or neither.
    Pairs(Vec<String>),
    /// For each candidate: it won, lost or tied. The device reports one of the two, at random.
    Candidates(Vec<String>),
    /// For each aspect, each level. The device reports one of its aspects, at random, so that the
    /// budget is not split.
    Aspects {
        aspects: Vec<String>,
        levels: Vec<String>,
    },
    /// Each signal is a bit by itself.
    Signals(Vec<String>),
    /// Where each bucket begins, and whether they are of whole numbers.
    Buckets {
        bounds: Vec<f64>,
        whole: bool,
    },
    Categories(Vec<String>),
}

/// What was said, as outcomes by index.
enum Said {
    One(usize),
    /// Each would say it as well.
    OneOf(Vec<usize>),
    /// All of these and no others.
    Exactly(Vec<usize>),
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

/// Two candidates, by index, and how their comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The first candidate.
    pub left: usize,
    /// The second candidate.
    pub right: usize,
    /// Which was better.
    pub outcome: Outcome,
}

/// An answer that the metric does not have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EncodingError {
    /// The answer is to another kind of question.
    #[error("the metric takes another kind of answer")]
    Kind,
    /// A level or candidate that is not declared.
    #[error("{found:?} is not one of: {}", valid.join(", "))]
    Unknown {
        /// What was given.
        found: String,
        /// What is declared.
        valid: Vec<String>,
    },
    /// A score that is not a number.
    #[error("a score must be a number")]
    NotANumber,
    /// An empty list of ratings.
    #[error("no aspect is rated; a device without a rating has no answer")]
    NothingRated,
    /// A candidate against itself.
    #[error("{0:?} cannot be compared with itself")]
    Same(String),
    /// A private dimension without a value.
    #[error("the answer needs a value of the dimension {0:?}")]
    MissingSegment(String),
    /// A value of a dimension that the metric does not have.
    #[error("the metric is not broken down by {0:?}")]
    ExtraSegment(String),
}

impl Encoding {
    /// The encoding of a metric; preferences take whichever of pairs and candidates has fewer
    /// bins.
    pub fn of(metric: &Metric) -> Self {
        let outcomes = match &metric.kind {
            MetricKind::Thumbs => Outcomes::Thumbs,
            MetricKind::Rating(levels) => Outcomes::Levels(levels.clone()),
            MetricKind::Preference(names) if pairs(names.len()) <= names.len() => {
                Outcomes::Pairs(names.clone())
            }
            MetricKind::Preference(names) => Outcomes::Candidates(names.clone()),
            MetricKind::Ratings { aspects, levels } => {
                Outcomes::Aspects { aspects: aspects.clone(), levels: levels.clone() }
            }
            MetricKind::Signals(names) => Outcomes::Signals(names.clone()),
            MetricKind::Count(bounds) => {
                #[expect(clippy::cast_precision_loss, reason = "the program has them as floats")]
                let bounds = bounds.iter().map(|bound| *bound as f64).collect();
                Outcomes::Buckets { bounds, whole: true }
            }
            MetricKind::Score(bounds) => Outcomes::Buckets { bounds: bounds.clone(), whole: false },
            MetricKind::Triage(categories) => Outcomes::Categories(categories.clone()),
        };
        let private = |dimension: &&Dimension| dimension.visibility == Visibility::Private;
        let segments = metric.dimensions.iter().filter(private).cloned().collect();
        Self { outcomes, segments }
    }

    /// The encoding's name in the manifest.
    pub fn name(&self) -> &'static str {
        match self.outcomes {
            Outcomes::Thumbs => "thumbs",
            Outcomes::Levels(_) => "levels",
            Outcomes::Pairs(_) => "pairs",
            Outcomes::Candidates(_) => "candidates",
            Outcomes::Aspects { .. } => "aspects",
            Outcomes::Signals(_) => "signals",
            Outcomes::Buckets { .. } => "buckets",
            Outcomes::Categories(_) => "categories",
        }
    }

    /// Whether an answer may be in several bins at once.
    pub fn is_vector(&self) -> bool {
        matches!(self.outcomes, Outcomes::Signals(_))
    }

    /// The number of bins, *no answer* included; the largest number if there are more.
    pub fn bins(&self) -> u32 {
        let cells = self.segments.iter().map(|dimension| dimension.values.len());
        let bins = cells.fold(self.outcomes.len(), usize::saturating_mul).saturating_add(1);
        u32::try_from(bins).unwrap_or(u32::MAX)
    }

    /// What each bin says, in their order.
    pub fn meanings(&self) -> Vec<Meaning> {
        let outcomes = self.outcomes.len();
        let answer =
            |index: usize| Meaning::Answer { cell: index / outcomes, outcome: index % outcomes };
        let answers = self.cells().len() * outcomes;
        std::iter::once(Meaning::NoAnswer).chain((0..answers).map(answer)).collect()
    }

    /// The outcomes of the metric by itself.
    pub fn outcomes(&self) -> Vec<String> {
        self.outcomes.labels()
    }

    /// For a preference that is reported by pairs: the candidates and, for each outcome, the two
    /// that were compared (by index) and whether the first won, the second did, or neither.
    pub fn pairs(&self) -> Option<(&[String], Vec<Compared>)> {
        let Outcomes::Pairs(names) = &self.outcomes else { return None };
        let all =
            (0..names.len()).flat_map(|one| (one + 1..names.len()).map(move |two| (one, two)));
        let outcomes = [Outcome::Left, Outcome::Right, Outcome::Tie];
        let compared =
            all.flat_map(|(left, right)| outcomes.map(|outcome| Compared { left, right, outcome }));
        Some((names, compared.collect()))
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

    /// What each bin means, in their order.
    pub fn labels(&self) -> Vec<String> {
        let cells = self.cells();
        let outcomes = self.outcomes.labels();
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
        let first = 1 + cell * self.outcomes.len();
        // More bins than any randomizer has: it refuses this one.
        let bin = |outcome| Bin::new(u32::try_from(first + outcome).unwrap_or(u32::MAX));
        Ok(match self.outcomes.encode(given)? {
            Said::One(outcome) => Encoded::One(bin(outcome)),
            Said::OneOf(outcomes) => Encoded::OneOf(outcomes.into_iter().map(bin).collect()),
            Said::Exactly(outcomes) => {
                self.bits(&outcomes.iter().map(|outcome| first + outcome).collect::<Vec<_>>())
            }
        })
    }

    fn bits(&self, set: &[usize]) -> Encoded {
        Encoded::Bits((0..self.bins() as usize).map(|bin| set.contains(&bin)).collect())
    }
}

/// The number of unordered pairs.
fn pairs(candidates: usize) -> usize {
    candidates * candidates.saturating_sub(1) / 2
}

fn position(names: &[String], name: &str) -> Result<usize, EncodingError> {
    let found = names.iter().position(|other| other == name);
    found.ok_or_else(|| EncodingError::Unknown { found: name.to_owned(), valid: names.to_vec() })
}

impl Outcomes {
    fn len(&self) -> usize {
        match self {
            Self::Thumbs => 2,
            Self::Levels(levels) => levels.len(),
            Self::Pairs(names) => 3 * pairs(names.len()),
            Self::Candidates(names) => 3 * names.len(),
            Self::Aspects { aspects, levels } => aspects.len() * levels.len(),
            Self::Signals(names) | Self::Categories(names) => names.len(),
            Self::Buckets { bounds, .. } => bounds.len(),
        }
    }

    fn labels(&self) -> Vec<String> {
        match self {
            Self::Thumbs => vec!["up".to_owned(), "down".to_owned()],
            Self::Levels(levels) => levels.clone(),
            Self::Pairs(names) => {
                let pair = |(i, one): (usize, &String)| {
                    names[i + 1..].iter().flat_map(move |other| pair_labels(one, other)).collect()
                };
                names.iter().enumerate().flat_map::<Vec<_>, _>(pair).collect()
            }
            Self::Candidates(names) => names
                .iter()
                .flat_map(|name| ["won", "lost", "tied"].map(|how| format!("{name} {how}")))
                .collect(),
            Self::Aspects { aspects, levels } => aspects
                .iter()
                .flat_map(|aspect| levels.iter().map(move |level| format!("{aspect}: {level}")))
                .collect(),
            Self::Signals(names) | Self::Categories(names) => names.clone(),
            Self::Buckets { bounds, whole } => bucket_labels(bounds, *whole),
        }
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        match (self, given) {
            (Self::Thumbs, Given::Thumbs(Thumb::Up)) => Ok(Said::One(0)),
            (Self::Thumbs, Given::Thumbs(Thumb::Down)) => Ok(Said::One(1)),
            (Self::Levels(levels), Given::Rating(level)) => position(levels, level).map(Said::One),
            (Self::Pairs(names), Given::Preference { left, right, outcome }) => {
                let (left, right) = compared(names, left, right)?;
                Ok(Said::One(pair_outcome(names.len(), left, right, *outcome)))
            }
            (Self::Candidates(names), Given::Preference { left, right, outcome }) => {
                let (left, right) = compared(names, left, right)?;
                let (left_how, right_how) = match outcome {
                    Outcome::Left => (0, 1),
                    Outcome::Right => (1, 0),
                    Outcome::Tie => (2, 2),
                };
                Ok(Said::OneOf(vec![3 * left + left_how, 3 * right + right_how]))
            }
            (Self::Aspects { aspects, levels }, Given::Ratings(rated)) => {
                let outcome = |(aspect, level): (&String, &String)| {
                    Ok(position(aspects, aspect)? * levels.len() + position(levels, level)?)
                };
                let outcomes = rated.iter().map(outcome).collect::<Result<Vec<_>, _>>()?;
                if outcomes.is_empty() {
                    return Err(EncodingError::NothingRated);
                }
                Ok(Said::OneOf(outcomes))
            }
            (Self::Signals(names), Given::Signals(observed)) => {
                let outcomes = observed.iter().map(|name| position(names, name));
                outcomes.collect::<Result<_, _>>().map(Said::Exactly)
            }
            (Self::Buckets { bounds, whole: true }, Given::Count(count)) => {
                #[expect(clippy::cast_precision_loss, reason = "bounds are exact up to 2^53")]
                let count = *count as f64;
                Ok(Said::One(bucket(bounds, count)))
            }
            (Self::Buckets { bounds, whole: false }, Given::Score(score)) => {
                let number = Some(*score).filter(|score| !score.is_nan());
                Ok(Said::One(bucket(bounds, number.ok_or(EncodingError::NotANumber)?)))
            }
            (Self::Categories(names), Given::Triage(category)) => {
                position(names, category).map(Said::One)
            }
            _ => Err(EncodingError::Kind),
        }
    }
}

/// The outcome of a comparison among those of pairs, which come in order: (0,1), (0,2), …, (1,2), …
fn pair_outcome(candidates: usize, left: usize, right: usize, outcome: Outcome) -> usize {
    let (one, other) = (left.min(right), left.max(right));
    let pair = pairs(candidates) - pairs(candidates - one) + other - one - 1;
    let winner_is_first = (outcome == Outcome::Left) == (left < right);
    match outcome {
        Outcome::Tie => 3 * pair + 2,
        _ if winner_is_first => 3 * pair,
        _ => 3 * pair + 1,
    }
}

/// The last bucket that begins at or below a value; the first for what is below all.
fn bucket(bounds: &[f64], value: f64) -> usize {
    bounds.partition_point(|bound| *bound <= value).saturating_sub(1)
}

fn bucket_labels(bounds: &[f64], whole: bool) -> Vec<String> {
    let label = |(index, low): (usize, &f64)| match bounds.get(index + 1) {
        None => format!("{low} or more"),
        Some(next) if whole && next - low <= 1.0 => format!("{low}"),
        Some(next) if whole => format!("{low}–{}", next - 1.0),
        Some(next) if index == 0 => format!("below {next}"),
        Some(next) => format!("{low} to below {next}"),
    };
    bounds.iter().enumerate().map(label).collect()
}

fn pair_labels(one: &str, other: &str) -> [String; 3] {
    [format!("{one} > {other}"), format!("{one} < {other}"), format!("{one} = {other}")]
}

fn compared(names: &[String], left: &str, right: &str) -> Result<(usize, usize), EncodingError> {
    if left == right {
        return Err(EncodingError::Same(left.to_owned()));
    }
    Ok((position(names, left)?, position(names, right)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(kind: MetricKind, segments: &[(&str, &[&str])]) -> Metric {
        let dimensions = segments.iter().map(|(name, values)| Dimension {
            name: (*name).to_owned(),
            visibility: Visibility::Private,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        });
        Metric {
            name: "m".into(),
            question: "?".into(),
            kind,
            dimensions: dimensions.collect(),
            epsilon0: None,
            allow_many_bins: false,
            randomizer: None,
        }
    }

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("model {i}")).collect()
    }

    /// The label of the bin that an answer goes to.
    fn label(encoding: &Encoding, answer: &Answer) -> String {
        match encoding.encode(answer).unwrap() {
            Encoded::One(bin) => encoding.labels()[bin.index()].clone(),
            Encoded::OneOf(bins) => {
                let label = |bin: Bin| encoding.labels()[bin.index()].clone();
                bins.into_iter().map(label).collect::<Vec<_>>().join("|")
            }
            Encoded::Bits(bits) => {
                let set = encoding.labels().into_iter().zip(bits).filter(|(_, bit)| *bit);
                set.map(|(label, _)| label).collect::<Vec<_>>().join("+")
            }
        }
    }

    fn preference(left: usize, right: usize, outcome: Outcome) -> Answer {
        let (left, right) = (format!("model {left}"), format!("model {right}"));
        Answer::given(Given::Preference { left, right, outcome })
    }

    #[test]
    fn no_answer_is_always_the_first_bin() {
        for kind in [MetricKind::Thumbs, MetricKind::Preference(names(4))] {
            let encoding = Encoding::of(&metric(kind, &[("s", &["a", "b"])]));
            assert_eq!(label(&encoding, &Answer::none()), NO_ANSWER);
            assert_eq!(encoding.labels().len(), encoding.bins() as usize);
        }
    }

    #[test]
    fn private_dimensions_multiply_the_bins() {
        let segments: [(&str, &[&str]); 2] =
            [("who", &["new", "old"]), ("topic", &["x", "y", "z"])];
        let encoding = Encoding::of(&metric(MetricKind::Thumbs, &segments));
        assert_eq!(encoding.bins(), 13);
        let answer = Answer::given(Given::Thumbs(Thumb::Down))
            .with_segment("who", "old")
            .with_segment("topic", "y");
        assert_eq!(label(&encoding, &answer), "old · y · down");
    }

    #[test]
    fn a_preference_says_the_same_whichever_candidate_stands_left() {
        let encoding = Encoding::of(&metric(MetricKind::Preference(names(3)), &[]));
        assert_eq!((encoding.name(), encoding.bins()), ("pairs", 10));
        for one in 0..3 {
            for other in (0..3).filter(|other| *other != one) {
                let straight = label(&encoding, &preference(one, other, Outcome::Left));
                assert_eq!(straight, label(&encoding, &preference(other, one, Outcome::Right)));
                let (low, high) = (one.min(other), one.max(other));
                let sign = if one == low { '>' } else { '<' };
                assert_eq!(straight, format!("model {low} {sign} model {high}"));
                let tie = label(&encoding, &preference(one, other, Outcome::Tie));
                assert_eq!(tie, format!("model {low} = model {high}"));
            }
        }
    }

    #[test]
    fn many_candidates_are_reported_one_at_a_time() {
        let encoding = Encoding::of(&metric(MetricKind::Preference(names(5)), &[]));
        assert_eq!((encoding.name(), encoding.bins()), ("candidates", 16));
        let label = label(&encoding, &preference(4, 1, Outcome::Left));
        assert_eq!(label, "model 4 won|model 1 lost");
    }

    #[test]
    fn answers_that_the_metric_does_not_have_are_refused() {
        let rating = Encoding::of(&metric(MetricKind::Rating(names(2)), &[("s", &["a", "b"])]));
        let level = |text: &str| Answer::given(Given::Rating(text.into()));
        let error = |answer: &Answer| rating.encode(answer).unwrap_err();
        assert_eq!(error(&level("model 0")), EncodingError::MissingSegment("s".into()));
        let segment = |value| level("model 0").with_segment("s", value);
        assert!(matches!(error(&segment("c")), EncodingError::Unknown { .. }));
        let extra = segment("a").with_segment("t", "x");
        assert_eq!(error(&extra), EncodingError::ExtraSegment("t".into()));
        assert!(matches!(error(&level("x").with_segment("s", "a")), EncodingError::Unknown { .. }));
        let thumb = Answer::given(Given::Thumbs(Thumb::Up)).with_segment("s", "a");
        assert_eq!(error(&thumb), EncodingError::Kind);
        let models = Encoding::of(&metric(MetricKind::Preference(names(2)), &[]));
        let same = models.encode(&preference(1, 1, Outcome::Tie)).unwrap_err();
        assert_eq!(same, EncodingError::Same("model 1".into()));
    }

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn one_aspect_of_those_rated_is_reported() {
        let kind = MetricKind::Ratings {
            aspects: words(&["accuracy", "tone"]),
            levels: words(&["bad", "fine", "good"]),
        };
        let encoding = Encoding::of(&metric(kind, &[]));
        assert_eq!((encoding.name(), encoding.bins()), ("aspects", 7));
        let rated = |list: &[(&str, &str)]| {
            let rated = list.iter().map(|(a, l)| ((*a).to_owned(), (*l).to_owned())).collect();
            Answer::given(Given::Ratings(rated))
        };
        let both = rated(&[("tone", "bad"), ("accuracy", "good")]);
        assert_eq!(label(&encoding, &both), "accuracy: good|tone: bad");
        assert_eq!(label(&encoding, &rated(&[("tone", "fine")])), "tone: fine");
        assert_eq!(encoding.encode(&rated(&[])), Err(EncodingError::NothingRated));
        let unknown = encoding.encode(&rated(&[("speed", "fine")]));
        assert!(matches!(unknown, Err(EncodingError::Unknown { .. })));
    }

    #[test]
    fn signals_are_bits_and_silence_is_one_of_them() {
        let kind = MetricKind::Signals(words(&["copied", "edited", "left"]));
        let encoding = Encoding::of(&metric(kind, &[]));
        let observed = |list: &[&str]| {
            Answer::given(Given::Signals(list.iter().map(|name| (*name).to_owned()).collect()))
        };
        assert!(encoding.is_vector());
        assert_eq!(label(&encoding, &observed(&["left", "copied"])), "copied+left");
        assert_eq!(label(&encoding, &observed(&[])), "");
        assert_eq!(label(&encoding, &Answer::none()), NO_ANSWER);
        assert!(encoding.encode(&observed(&["read"])).is_err());
    }

    #[test]
    fn counts_and_scores_fall_into_their_buckets() {
        let count =
            |kind, n| label(&Encoding::of(&metric(kind, &[])), &Answer::given(Given::Count(n)));
        let values = || MetricKind::Count(vec![0, 1, 2]);
        assert_eq!(
            [0, 1, 2, u64::MAX].map(|n| count(values(), n)),
            ["0", "1", "2 or more", "2 or more"]
        );
        let buckets = || MetricKind::Count(vec![0, 1, 3, 10]);
        assert_eq!(
            [0, 2, 3, 9, 10].map(|n| count(buckets(), n)),
            ["0", "1–2", "3–9", "3–9", "10 or more"]
        );
        let encoding = Encoding::of(&metric(MetricKind::Score(vec![-1.0, 0.0, 0.5]), &[]));
        let score = |x| encoding.encode(&Answer::given(Given::Score(x)));
        let labelled = |x| label(&encoding, &Answer::given(Given::Score(x)));
        assert_eq!(labelled(f64::NEG_INFINITY), "below 0");
        assert_eq!(
            [-0.5, 0.0, 0.4, 0.5].map(labelled),
            ["below 0", "0 to below 0.5", "0 to below 0.5", "0.5 or more"]
        );
        assert_eq!(score(f64::NAN), Err(EncodingError::NotANumber));
    }
}
