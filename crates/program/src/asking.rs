//! When a device asks its user: the table `[asking]`.
//!
//! It says nothing about a report, so it is no part of a task's ID: a publisher may change it
//! while a program runs.

use super::{
    ProgramError, moment,
    source::{At, Source},
};
use serde::Deserialize;

/// When to ask, and how often at most.
#[derive(Clone, Debug, PartialEq)]
pub struct AskingPolicy {
    /// Ask if the model's confidence is below this, from 0 to 1.
    pub low_confidence: f64,
    /// Ask if the app's score for contradiction with retrieved text is above this, from 0 to 1.
    pub contradiction: f64,
    /// The share of all other responses that is asked about at random, from 0 to 1.
    pub sample: f64,
    /// The least time between two questions, in seconds.
    pub cool_down: u64,
    /// The most questions within 24 hours.
    pub per_day: u32,
    /// The most questions within seven days.
    pub per_week: u32,
    /// Whether places are kept for the more informative moments when there are more moments than
    /// places.
    pub informative_first: bool,
}

impl Default for AskingPolicy {
    fn default() -> Self {
        Self {
            low_confidence: 0.4,
            contradiction: 0.5,
            sample: 0.05,
            cool_down: 3600,
            per_day: 3,
            per_week: 10,
            informative_first: true,
        }
    }
}

/// Devices remember each question of a week, in a state of bounded size.
const MOST_PER_DAY: u32 = 24;
const MOST_PER_WEEK: u32 = 100;
const WEEK: u64 = 7 * 86_400;

/// When an app is advised to ask.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct AskingTable {
    /// Ask if the model is less sure than this, from 0 to 1.
    pub(super) low_confidence: Option<At<f64>>,
    /// Ask if a response contradicts retrieved text more than this, from 0 to 1.
    pub(super) contradiction: Option<At<f64>>,
    /// Ask about this share of all other responses, from 0 to 1.
    pub(super) sample: Option<At<f64>>,
    /// The least time between two questions, such as "1 hour".
    pub(super) cool_down: Option<At<String>>,
    /// The most questions in 24 hours.
    pub(super) per_day: Option<At<u32>>,
    /// The most questions in seven days.
    pub(super) per_week: Option<At<u32>>,
    /// Keep the last places of a day for the most informative responses.
    pub(super) informative_first: Option<bool>,
}

impl AskingPolicy {
    pub(super) fn parse(source: Source<'_>, table: &AskingTable) -> Result<Self, ProgramError> {
        let default = Self::default();
        let share = |value: &Option<At<f64>>, default| share(source, value.as_ref(), default);
        let policy = Self {
            low_confidence: share(&table.low_confidence, default.low_confidence)?,
            contradiction: share(&table.contradiction, default.contradiction)?,
            sample: share(&table.sample, default.sample)?,
            cool_down: cool_down(source, table.cool_down.as_ref(), default.cool_down)?,
            per_day: most(source, table.per_day.as_ref(), default.per_day, MOST_PER_DAY)?,
            per_week: most(source, table.per_week.as_ref(), default.per_week, MOST_PER_WEEK)?,
            informative_first: table.informative_first.unwrap_or(default.informative_first),
        };
        policy.day_fits_week(source, table)?;
        Ok(policy)
    }

    fn day_fits_week(&self, source: Source<'_>, table: &AskingTable) -> Result<(), ProgramError> {
        let Self { per_day, per_week, .. } = self;
        if per_day <= per_week {
            return Ok(());
        }
        let reason = format!("per_day = {per_day} is more than per_week = {per_week}");
        Err(match table.per_week.as_ref().or(table.per_day.as_ref()) {
            Some(cap) => source.error(cap, format!("{reason}; use per_week = {per_day} or more")),
            None => source.whole(reason),
        })
    }
}

fn share(source: Source<'_>, value: Option<&At<f64>>, default: f64) -> Result<f64, ProgramError> {
    let Some(value) = value else { return Ok(default) };
    let number = *value.get_ref();
    if (0.0..=1.0).contains(&number) {
        // Not a negative zero.
        return Ok(number + 0.0);
    }
    Err(source.error(value, format!("{number} must be from 0 to 1")))
}

fn most(
    source: Source<'_>,
    value: Option<&At<u32>>,
    default: u32,
    most: u32,
) -> Result<u32, ProgramError> {
    let Some(value) = value else { return Ok(default) };
    if (1..=most).contains(value.get_ref()) {
        return Ok(*value.get_ref());
    }
    Err(source.error(value, format!("{} must be 1 to {most}", value.get_ref())))
}

fn cool_down(
    source: Source<'_>,
    value: Option<&At<String>>,
    default: u64,
) -> Result<u64, ProgramError> {
    let Some(value) = value else { return Ok(default) };
    let seconds = moment::parse_duration(value.get_ref()).map_err(|e| source.error(value, e))?;
    if seconds <= WEEK {
        return Ok(seconds);
    }
    Err(source.error(value, "must be at most 1 week; to ask less often, lower `per_week`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(table: &str) -> Result<AskingPolicy, String> {
        super::super::tests::with_tables(&format!("[asking]\n{table}\n"))
            .map(|program| program.asking().clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_be_meant_is_refused_at_its_line() {
        for (table, place, words) in [
            ("low_confidence = 1.5", "program.toml:17:18", "1.5 must be from 0 to 1"),
            ("contradiction = -0.1", ":17:17", "from 0 to 1"),
            ("sample = nan", ":17:10", "from 0 to 1"),
            ("cool_down = \"soon\"", ":17:13", "a number and a unit"),
            ("cool_down = \"2 weeks\"", ":17:13", "at most 1 week"),
            ("per_day = 0", ":17:11", "1 to 24"),
            ("per_day = 25", ":17:11", "1 to 24"),
            ("per_week = 101", ":17:12", "1 to 100"),
            ("per_week = 2", ":17:12", "per_day = 3 is more than per_week = 2"),
            ("per_day = 12", ":17:11", "use per_week = 12 or more"),
            ("per_day = 3\nper_month = 2", ":18:1", "per_month"),
        ] {
            let refused = parse(table).unwrap_err();
            assert!(refused.contains(place) && refused.contains(words), "{table}: {refused}");
        }
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        assert_eq!(parse("").unwrap(), AskingPolicy::default());
        let policy = parse("sample = 0\nper_day = 1\ninformative_first = false").unwrap();
        let expected = AskingPolicy {
            sample: 0.0,
            per_day: 1,
            informative_first: false,
            ..AskingPolicy::default()
        };
        assert_eq!(policy, expected);
    }
}
