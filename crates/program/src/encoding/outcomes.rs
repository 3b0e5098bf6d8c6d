//! The outcomes of a metric by itself, apart from any breakdown.

use super::{Compared, EncodingError};
use crate::{
    answer::{Given, Outcome, Thumb},
    label::NOTHING,
    metric::{MetricKind, Part},
};

/// The outcomes of a metric by itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcomes {
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
    /// For each category, each severity.
    Findings {
        categories: Vec<String>,
        severities: Vec<String>,
    },
    /// For each outcome of the first side or nothing, each of the second or nothing; but not
    /// nothing of both, which is no answer.
    Joint(Box<[Side; 2]>),
}

/// One side of a joint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Side {
    outcomes: Outcomes,
    /// The one signal that counts, and all that its metric has.
    signal: Option<(String, Vec<String>)>,
}

impl Side {
    fn of(part: &Part) -> Self {
        match (&part.signal, &part.kind) {
            (Some(signal), MetricKind::Signals(all)) => Self {
                outcomes: Outcomes::Signals(vec![signal.clone()]),
                signal: Some((signal.clone(), all.clone())),
            },
            (_, kind) => Self { outcomes: Outcomes::of(kind), signal: None },
        }
    }

    /// 0 for nothing, or one more than the outcome.
    fn encode(&self, given: Option<&Given>) -> Result<usize, EncodingError> {
        match (given, &self.signal) {
            (None, _) => Ok(0),
            (Some(Given::Signals(observed)), Some((signal, all))) => {
                // A name that is not there would otherwise pass for "not observed".
                observed.iter().try_for_each(|name| position(all, name).map(drop))?;
                Ok(usize::from(observed.contains(signal)))
            }
            (Some(given), _) => match self.outcomes.encode(given)? {
                Said::One(outcome) => Ok(outcome + 1),
                _ => Err(EncodingError::Kind),
            },
        }
    }

    fn labels(&self) -> Vec<String> {
        std::iter::once(NOTHING.to_owned()).chain(self.outcomes.labels()).collect()
    }
}

/// What was said, as outcomes by index.
pub(super) enum Said {
    Nothing,
    One(usize),
    /// Each would say it as well.
    OneOf(Vec<usize>),
    /// All of these and no others.
    Exactly(Vec<usize>),
}

impl Outcomes {
    /// Those of a kind of metric; preferences take whichever of pairs and candidates has fewer.
    pub(super) fn of(kind: &MetricKind) -> Self {
        match kind {
            MetricKind::Thumbs => Self::Thumbs,
            MetricKind::Rating(levels) => Self::Levels(levels.clone()),
            MetricKind::Preference(names) if pairs(names.len()) <= names.len() => {
                Self::Pairs(names.clone())
            }
            MetricKind::Preference(names) => Self::Candidates(names.clone()),
            MetricKind::Ratings { aspects, levels } => {
                Self::Aspects { aspects: aspects.clone(), levels: levels.clone() }
            }
            MetricKind::Signals(names) => Self::Signals(names.clone()),
            MetricKind::Count(bounds) => {
                #[expect(clippy::cast_precision_loss, reason = "the program has them as floats")]
                let bounds = bounds.iter().map(|bound| *bound as f64).collect();
                Self::Buckets { bounds, whole: true }
            }
            MetricKind::Score { buckets, .. } => {
                Self::Buckets { bounds: buckets.clone(), whole: false }
            }
            MetricKind::Triage { categories, .. } => Self::Categories(categories.clone()),
            MetricKind::Finding { categories, severities } => {
                let (categories, severities) = (categories.clone(), severities.clone());
                Self::Findings { categories, severities }
            }
            MetricKind::Joint([first, second]) => {
                Self::Joint(Box::new([Side::of(first), Side::of(second)]))
            }
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Thumbs => "thumbs",
            Self::Levels(_) => "levels",
            Self::Pairs(_) => "pairs",
            Self::Candidates(_) => "candidates",
            Self::Aspects { .. } => "aspects",
            Self::Signals(_) => "signals",
            Self::Buckets { .. } => "buckets",
            Self::Categories(_) => "categories",
            Self::Findings { .. } => "findings",
            Self::Joint(_) => "joint",
        }
    }

    pub(super) fn pairs(&self) -> Option<(&[String], Vec<Compared>)> {
        let Self::Pairs(names) = self else { return None };
        let all =
            (0..names.len()).flat_map(|one| (one + 1..names.len()).map(move |two| (one, two)));
        let outcomes = [Outcome::Left, Outcome::Right, Outcome::Tie];
        let compared =
            all.flat_map(|(left, right)| outcomes.map(|outcome| Compared { left, right, outcome }));
        Some((names, compared.collect()))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Thumbs => 2,
            Self::Levels(levels) => levels.len(),
            Self::Pairs(names) => 3 * pairs(names.len()),
            Self::Candidates(names) => 3 * names.len(),
            Self::Aspects { aspects, levels } => aspects.len() * levels.len(),
            Self::Signals(names) | Self::Categories(names) => names.len(),
            Self::Findings { categories, severities } => categories.len() * severities.len(),
            Self::Joint(sides) => {
                sides.iter().map(|side| side.outcomes.len() + 1).product::<usize>() - 1
            }
            Self::Buckets { bounds, .. } => bounds.len(),
        }
    }

    pub(super) fn labels(&self) -> Vec<String> {
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
            Self::Aspects { aspects: names, levels }
            | Self::Findings { categories: names, severities: levels } => names
                .iter()
                .flat_map(|name| levels.iter().map(move |level| format!("{name}: {level}")))
                .collect(),
            Self::Joint(sides) => {
                let [firsts, seconds] = [sides[0].labels(), sides[1].labels()];
                let pairs = firsts.iter().flat_map(|first| {
                    seconds.iter().map(move |second| format!("{first} · {second}"))
                });
                pairs.skip(1).collect()
            }
            Self::Signals(names) | Self::Categories(names) => names.clone(),
            Self::Buckets { bounds, whole } => bucket_labels(bounds, *whole),
        }
    }

    pub(super) fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
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
            (Self::Findings { categories, severities }, Given::Finding { category, severity }) => {
                let (category, severity) =
                    (position(categories, category)?, position(severities, severity)?);
                Ok(Said::One(category * severities.len() + severity))
            }
            (Self::Joint(sides), Given::Joint { first, second }) => {
                let first = sides[0].encode(first.as_deref())?;
                let second = sides[1].encode(second.as_deref())?;
                let pair = first * (sides[1].outcomes.len() + 1) + second;
                Ok(pair.checked_sub(1).map_or(Said::Nothing, Said::One))
            }
            _ => Err(EncodingError::Kind),
        }
    }

    /// For a joint: what each side can have said, nothing first.
    pub(super) fn sides(&self) -> Option<[Vec<String>; 2]> {
        let Self::Joint(sides) = self else { return None };
        Some([sides[0].labels(), sides[1].labels()])
    }
}

/// The number of unordered pairs.
fn pairs(candidates: usize) -> usize {
    candidates * candidates.saturating_sub(1) / 2
}

pub(super) fn position(names: &[String], name: &str) -> Result<usize, EncodingError> {
    let found = names.iter().position(|other| other == name);
    found.ok_or_else(|| EncodingError::Unknown { found: name.to_owned(), valid: names.to_vec() })
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
