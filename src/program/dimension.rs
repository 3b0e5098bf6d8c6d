//! Finite breakdowns of a metric.

use super::{
    ProgramError,
    file::{At, DimensionTable, Source, identifier, labels},
};
use std::collections::BTreeMap;

/// Who can see a dimension's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Assigned by the publisher (experiment arm, model version): one task per value, no noise.
    Public,
    /// About the user (a segment, a topic): protected like the answer.
    Private,
}

/// A dimension and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// Its name.
    pub name: String,
    /// Who can see it.
    pub visibility: Visibility,
    /// Its values, in the order of the file.
    pub values: Vec<String>,
}

pub(super) fn parse_all(
    source: Source<'_>,
    tables: &BTreeMap<At<String>, DimensionTable>,
) -> Result<Vec<Dimension>, ProgramError> {
    tables
        .iter()
        .map(|(name, table)| {
            let visibility = match table.kind.get_ref().as_str() {
                "public" => Visibility::Public,
                "private" => Visibility::Private,
                _ => return Err(source.error(&table.kind, "must be \"public\" or \"private\"")),
            };
            let values = labels(source, &table.values, 2)?;
            Ok(Dimension { name: identifier(source, name)?, visibility, values })
        })
        .collect()
}
