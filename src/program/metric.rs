//! One thing asked.

use super::{
    ProgramError,
    dimension::Dimension,
    file::{At, MetricTable, Source, identifier, labels},
};
use crate::privacy::{guarantee::MechanismKind, units::Epsilon};

/// A metric with the dimensions it is broken down by.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What the user is asked.
    pub question: String,
    /// What may be answered.
    pub kind: MetricKind,
    /// What it is broken down by.
    pub dimensions: Vec<Dimension>,
    /// The budget of one report, if it is not the program's.
    pub epsilon0: Option<Epsilon>,
    /// Whether more bins are fine than one histogram carries well.
    pub allow_many_bins: bool,
    /// The randomizer, if the program does not leave the choice to us.
    pub randomizer: Option<MechanismKind>,
}

/// The kinds of metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Up or down.
    Thumbs,
    /// One of these levels, from the worst to the best.
    Rating(Vec<String>),
    /// Which of two of these candidates is better.
    Preference(Vec<String>),
}

impl MetricKind {
    /// The name in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Thumbs => "thumbs",
            Self::Rating(_) => "rating",
            Self::Preference(_) => "preference",
        }
    }
}

impl Metric {
    pub(super) fn parse(
        source: Source<'_>,
        name: &At<String>,
        table: &MetricTable,
        dimensions: &[Dimension],
    ) -> Result<Self, ProgramError> {
        let question = table.question.get_ref().trim();
        if question.is_empty() {
            return Err(source.error(&table.question, "a metric must ask something"));
        }
        let epsilon0 = table.epsilon0.as_ref().map(|value| {
            Epsilon::new(*value.get_ref()).map_err(|error| source.error(value, error))
        });
        Ok(Self {
            name: identifier(source, name)?,
            question: question.to_owned(),
            kind: kind(source, table)?,
            dimensions: breakdown(source, table, dimensions)?,
            epsilon0: epsilon0.transpose()?,
            allow_many_bins: table.allow_many_bins.as_ref().is_some_and(|allow| *allow.get_ref()),
            randomizer: table.randomizer.as_ref().map(|r| randomizer(source, r)).transpose()?,
        })
    }
}

fn randomizer(source: Source<'_>, text: &At<String>) -> Result<MechanismKind, ProgramError> {
    match text.get_ref().as_str() {
        "krr" => Ok(MechanismKind::Krr),
        "bits" => Ok(MechanismKind::Bits),
        _ => {
            Err(source
                .error(text, "must be \"krr\" or \"bits\"; without it the better one is taken"))
        }
    }
}

fn kind(source: Source<'_>, table: &MetricTable) -> Result<MetricKind, ProgramError> {
    let kind = table.kind.get_ref().as_str();
    let (takes_levels, takes_candidates) = (kind == "rating", kind == "preference");
    if let Some(stars) = table.stars.as_ref().filter(|_| !takes_levels) {
        return Err(source.error(stars, "only a rating has `stars`"));
    }
    if let Some(levels) = table.levels.as_ref().filter(|_| !takes_levels) {
        return Err(source.error(levels, "only a rating has `levels`"));
    }
    if let Some(candidates) = table.candidates.as_ref().filter(|_| !takes_candidates) {
        return Err(source.error(candidates, "only a preference has `candidates`"));
    }
    match kind {
        "thumbs" => Ok(MetricKind::Thumbs),
        "rating" => Ok(MetricKind::Rating(levels(source, table)?)),
        "preference" => match &table.candidates {
            Some(candidates) => Ok(MetricKind::Preference(labels(source, candidates, 2)?)),
            None => Err(source.error(&table.kind, "a preference needs `candidates`")),
        },
        _ => Err(source.error(&table.kind, "must be \"thumbs\", \"rating\" or \"preference\"")),
    }
}

fn levels(source: Source<'_>, table: &MetricTable) -> Result<Vec<String>, ProgramError> {
    match (&table.stars, &table.levels) {
        (None, Some(names)) => labels(source, names, 2),
        (Some(stars), None) if (2..=20).contains(stars.get_ref()) => {
            let name = |star| if star == 1 { "1 star".to_owned() } else { format!("{star} stars") };
            Ok((1..=*stars.get_ref()).map(name).collect())
        }
        (Some(stars), None) => Err(source.error(stars, "must be 2 to 20 stars")),
        (Some(_), Some(names)) => Err(source.error(names, "give `stars` or `levels`, not both")),
        (None, None) => Err(source.error(&table.kind, "a rating needs `stars` or `levels`")),
    }
}

fn breakdown(
    source: Source<'_>,
    table: &MetricTable,
    dimensions: &[Dimension],
) -> Result<Vec<Dimension>, ProgramError> {
    let mut chosen: Vec<Dimension> = Vec::new();
    for name in &table.dimensions {
        let known = dimensions.iter().find(|dimension| dimension.name == *name.get_ref());
        let Some(dimension) = known else {
            let names: Vec<_> = dimensions.iter().map(|d| d.name.as_str()).collect();
            let reason =
                format!("{:?} is not a dimension; there are: {}", name.get_ref(), names.join(", "));
            return Err(source.error(name, reason));
        };
        if chosen.contains(dimension) {
            return Err(source.error(name, "is there already"));
        }
        chosen.push(dimension.clone());
    }
    Ok(chosen)
}
