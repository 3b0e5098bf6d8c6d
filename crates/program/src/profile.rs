//! How long a device remembers its user: the table `[profile]`.
//!
//! Like [`asking`](super::asking) it says nothing about a report and is no part of a task's ID.

use super::{
    ProgramError, moment,
    source::{At, Source},
};
use serde::Deserialize;

/// How long what a device learnt about its user counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfilePolicy {
    /// After this time, in seconds, something learnt counts half.
    pub half_life: u64,
}

impl Default for ProfilePolicy {
    fn default() -> Self {
        Self { half_life: 30 * DAY }
    }
}

const DAY: u64 = 86_400;
const HOUR: u64 = 3600;

/// How long a device remembers its user.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileTable {
    /// After this time what was learnt counts half, such as "30 days".
    pub(super) half_life: Option<At<String>>,
}

impl ProfilePolicy {
    pub(super) fn parse(source: Source<'_>, table: &ProfileTable) -> Result<Self, ProgramError> {
        let Some(text) = &table.half_life else { return Ok(Self::default()) };
        let half_life =
            moment::parse_duration(text.get_ref()).map_err(|e| source.error(text, e))?;
        if half_life < HOUR {
            return Err(source.error(text, "must be an hour at least; \"30 days\" is usual"));
        }
        Ok(Self { half_life })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(table: &str) -> Result<u64, String> {
        super::super::tests::with_tables(&format!("[profile]\n{table}\n"))
            .map(|program| program.profile().half_life)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_half_life_is_an_hour_at_least_and_a_month_if_nothing_is_said() {
        assert_eq!(parse(""), Ok(30 * DAY));
        assert_eq!(parse("half_life = \"2 weeks\""), Ok(14 * DAY));
        for (table, words) in [
            ("half_life = \"0 days\"", "program.toml:17:13: must be an hour"),
            ("half_life = \"59 minutes\"", "an hour at least"),
            ("half_life = 30", ":17:13"),
            ("halflife = \"1 day\"", "halflife"),
        ] {
            let refused = parse(table).unwrap_err();
            assert!(refused.contains(words), "{table}: {refused}");
        }
    }
}
