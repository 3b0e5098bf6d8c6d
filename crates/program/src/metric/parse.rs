//! What a metric's table in the file means, or what is wrong with it.

use super::{Metric, MetricKind};
use crate::{
    ProgramError,
    dimension::Dimension,
    file::{JOINT, KINDS, MetricTable, identifier},
    joint,
    label::{labels, without},
    score::ScoreSource,
    source::{At, Source},
    triage::Rule,
};
use sottovoce_dap::printable::is_hidden;
use sottovoce_privacy::{guarantee::MechanismKind, units::Epsilon};

impl Metric {
    pub(crate) fn parse(
        source: Source<'_>,
        name: &At<String>,
        table: &MetricTable,
        dimensions: &[Dimension],
        others: &[Metric],
    ) -> Result<Self, ProgramError> {
        let epsilon0 = table.epsilon0.as_ref().map(|value| {
            Epsilon::new(*value.get_ref()).map_err(|error| source.error(value, error))
        });
        let kind = kind(source, table, others)?;
        let question = question(source, table, &kind)?;
        let dimensions = breakdown(source, table, dimensions)?;
        let is_private = |dimension: &Dimension| !dimension.is_public();
        if let (MetricKind::Signals(_), Some(dimension)) =
            (&kind, dimensions.iter().find(|dimension| is_private(dimension)))
        {
            let reason = format!(
                "signals are not broken down by {:?}, which is not public: the budget would be split \
                 over too many bits; ask a metric of one choice, or use a public dimension",
                dimension.name
            );
            return Err(source.error(&table.kind, reason));
        }
        if let (MetricKind::Signals(_), Some(randomizer)) = (&kind, &table.randomizer) {
            return Err(source.error(randomizer, "signals are always randomized bit by bit"));
        }
        Ok(Self {
            name: identifier(source, name)?,
            question,
            kind,
            dimensions,
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

/// Lines, and marks that some languages need within words and between directions.
const USED_IN_WRITING: [char; 7] =
    ['\n', '\t', '\u{61c}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}'];

/// What the user is asked; a joint asks what its parts ask.
fn question(
    source: Source<'_>,
    table: &MetricTable,
    kind: &MetricKind,
) -> Result<String, ProgramError> {
    if let Some(question) = &table.question {
        let text = question.get_ref().trim();
        if text.is_empty() {
            return Err(source.error(question, "a metric must ask something"));
        }
        if let Some(hidden) = text.chars().find(|c| is_hidden(*c) && !USED_IN_WRITING.contains(c)) {
            let code = u32::from(hidden);
            let reason = format!("a question must not have U+{code:04X}, which nobody sees");
            return Err(source.error(question, reason));
        }
        return Ok(text.to_owned());
    }
    let MetricKind::Joint(parts) = kind else {
        return Err(source.error(&table.kind, "needs `question`: what the user is asked"));
    };
    let asked = parts.each_ref().map(|part| match &part.signal {
        Some(signal) => format!("{}: {signal}", part.question),
        None => part.question.clone(),
    });
    Ok(asked.join(" | "))
}

fn kind(
    source: Source<'_>,
    table: &MetricTable,
    others: &[Metric],
) -> Result<MetricKind, ProgramError> {
    let kind = table.kind.get_ref().as_str();
    refuse_keys_of_others(source, table, kind)?;
    match kind {
        "thumbs" => Ok(MetricKind::Thumbs),
        "rating" => Ok(MetricKind::Rating(levels(source, table)?)),
        "preference" => {
            let names = list(source, table, "candidates", table.candidates.as_ref(), 2)?;
            apart(source, table.candidates.as_ref(), &[" > ", " < ", " = "])?;
            Ok(MetricKind::Preference(names))
        }
        "ratings" => Ok(MetricKind::Ratings {
            aspects: named(source, table, "aspects", table.aspects.as_ref(), 2)?,
            levels: levels(source, table)?,
        }),
        "signals" => {
            list(source, table, "signals", table.signals.as_ref(), 1).map(MetricKind::Signals)
        }
        "count" => count(source, table),
        "score" => score(source, table),
        "triage" => {
            let categories = list(source, table, "categories", table.categories.as_ref(), 2)?;
            let rules = Rule::parse_all(source, table.rules.as_ref(), &categories)?;
            Ok(MetricKind::Triage { categories, rules })
        }
        "finding" => Ok(MetricKind::Finding {
            categories: named(source, table, "categories", table.categories.as_ref(), 1)?,
            severities: list(source, table, "severities", table.severities.as_ref(), 2)?,
        }),
        JOINT => joint::parse(source, table, others).map(MetricKind::Joint),
        _ => Err(source.error(&table.kind, format!("must be one of: {}", KINDS.join(", ")))),
    }
}

/// A key that says nothing about this kind is a mistake.
fn refuse_keys_of_others(
    source: Source<'_>,
    table: &MetricTable,
    kind: &str,
) -> Result<(), ProgramError> {
    fn start<T>(value: Option<&At<T>>) -> Option<usize> {
        value.map(|value| value.span().start)
    }
    let keys: [(&str, Option<usize>, &[&str]); 13] = [
        ("stars", start(table.stars.as_ref()), &["rating", "ratings"]),
        ("levels", start(table.levels.as_ref()), &["rating", "ratings"]),
        ("candidates", start(table.candidates.as_ref()), &["preference"]),
        ("aspects", start(table.aspects.as_ref()), &["ratings"]),
        ("signals", start(table.signals.as_ref()), &["signals"]),
        ("categories", start(table.categories.as_ref()), &["triage", "finding"]),
        ("severities", start(table.severities.as_ref()), &["finding"]),
        ("joins", start(table.joins.as_ref()), &[JOINT]),
        ("rules", start(table.rules.as_ref()), &["triage"]),
        ("max", start(table.max.as_ref()), &["count"]),
        ("buckets", start(table.buckets.as_ref()), &["count", "score"]),
        ("of", start(table.of.as_ref()), &["score"]),
        ("weights", start(table.weights.as_ref()), &["score"]),
    ];
    for (key, place, kinds) in keys {
        if let Some(place) = place
            && !kinds.contains(&kind)
        {
            let reason = format!("only a metric of kind {} has `{key}`", kinds.join(" or "));
            return Err(source.at(place, reason));
        }
    }
    Ok(())
}

/// A list that the kind needs.
fn list(
    source: Source<'_>,
    table: &MetricTable,
    key: &str,
    list: Option<&At<Vec<At<String>>>>,
    least: usize,
) -> Result<Vec<String>, ProgramError> {
    let kind = table.kind.get_ref();
    let missing = || source.error(&table.kind, format!("a metric of kind {kind} needs `{key}`"));
    labels(source, list.ok_or_else(missing)?, least)
}

/// A list whose labels results put before others: "tone: good".
fn named(
    source: Source<'_>,
    table: &MetricTable,
    key: &str,
    names: Option<&At<Vec<At<String>>>>,
    least: usize,
) -> Result<Vec<String>, ProgramError> {
    let labels = list(source, table, key, names, least)?;
    apart(source, names, &[": "])?;
    Ok(labels)
}

/// Refuses labels that have what results put between them.
fn apart(
    source: Source<'_>,
    list: Option<&At<Vec<At<String>>>>,
    joints: &[&str],
) -> Result<(), ProgramError> {
    list.map_or(Ok(()), |list| without(source, list, joints))
}

fn count(source: Source<'_>, table: &MetricTable) -> Result<MetricKind, ProgramError> {
    match (&table.max, &table.buckets) {
        (Some(max), None) if (1..=MOST_VALUES).contains(max.get_ref()) => {
            Ok(MetricKind::Count((0..=*max.get_ref()).collect()))
        }
        (Some(max), None) => {
            Err(source.error(max, format!("must be 1 to {MOST_VALUES}; `buckets` go further")))
        }
        (None, Some(list)) => {
            let bounds = bounds(source, list)?;
            let whole = |bound: &f64| bound.fract() == 0.0 && (0.0..=MOST_COUNT).contains(bound);
            if bounds.first() != Some(&0.0) || !bounds.iter().all(whole) {
                let reason = "buckets of a count begin at 0 and at whole numbers above it";
                return Err(source.error(list, reason));
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole numbers from 0 to 2^53"
            )]
            Ok(MetricKind::Count(bounds.into_iter().map(|bound| bound as u64).collect()))
        }
        (Some(max), Some(_)) => Err(source.error(max, "give `max` or `buckets`, not both")),
        (None, None) => Err(source.error(&table.kind, "a count needs `max` or `buckets`")),
    }
}

/// Values of a count with a bin each.
const MOST_VALUES: u64 = 20;
/// Beyond it not every whole number is one in TOML's floats.
const MOST_COUNT: f64 = 9_007_199_254_740_992.0;

fn score(source: Source<'_>, table: &MetricTable) -> Result<MetricKind, ProgramError> {
    let missing = || source.error(&table.kind, "a score needs `buckets`: where each begins");
    let buckets = bounds(source, table.buckets.as_ref().ok_or_else(missing)?)?;
    Ok(MetricKind::Score { buckets, source: ScoreSource::parse(source, table)? })
}

/// At least two finite numbers that rise.
fn bounds(source: Source<'_>, list: &At<Vec<At<f64>>>) -> Result<Vec<f64>, ProgramError> {
    let mut bounds: Vec<f64> = Vec::new();
    for bound in list.get_ref() {
        let value = *bound.get_ref();
        if !value.is_finite() || bounds.last().is_some_and(|last| value <= *last) {
            return Err(source.error(bound, "buckets begin at finite numbers that rise"));
        }
        bounds.push(value + 0.0);
    }
    if bounds.len() < 2 {
        return Err(source.error(list, "at least 2 buckets are needed"));
    }
    Ok(bounds)
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
        (None, None) => {
            let kind = table.kind.get_ref();
            let reason = format!("a metric of kind {kind} needs `stars` or `levels`");
            Err(source.error(&table.kind, reason))
        }
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
