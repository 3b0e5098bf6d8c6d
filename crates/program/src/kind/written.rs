//! A metric's table in the file, as its kind reads it.

use crate::{
    ProgramError,
    dimension::Dimension,
    file::MetricTable,
    label::{labels, without},
    metric::Metric,
    source::{At, Source},
};
use std::{collections::BTreeMap, fmt::Display};

/// A list of labels as it is written.
pub(super) type List = Option<At<Vec<At<String>>>>;

/// A metric's table, and what else of the file a kind may need.
pub struct Written<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) table: &'a MetricTable,
    /// The tables of all metrics of the program.
    pub(crate) tables: &'a BTreeMap<At<String>, MetricTable>,
    /// The program's dimensions.
    pub(crate) dimensions: &'a [Dimension],
    /// Metrics that are known by now: all that are not made of others, if this one is.
    pub(crate) parsed: &'a [Metric],
}

impl Written<'_> {
    /// An error about one value.
    pub(crate) fn error<T>(&self, value: &At<T>, reason: impl Display) -> ProgramError {
        self.source.error(value, reason)
    }

    /// An error about the metric as a whole.
    pub(crate) fn wrong(&self, reason: impl Display) -> ProgramError {
        self.error(&self.table.kind, reason)
    }

    /// A list that the kind needs.
    pub(super) fn list(
        &self,
        key: &str,
        list: &List,
        least: usize,
    ) -> Result<Vec<String>, ProgramError> {
        let kind = self.table.kind.get_ref();
        let missing = || self.wrong(format!("a metric of kind {kind} needs `{key}`"));
        labels(self.source, list.as_ref().ok_or_else(missing)?, least)
    }

    /// A list whose labels results put others beside: "tone: good". None has what stands between them.
    pub(super) fn list_apart(
        &self,
        key: &str,
        list: &List,
        least: usize,
        joints: &[&str],
    ) -> Result<Vec<String>, ProgramError> {
        let labels = self.list(key, list, least)?;
        list.as_ref().map_or(Ok(()), |list| without(self.source, list, joints))?;
        Ok(labels)
    }

    /// The dimensions that the metric is broken down by.
    pub(crate) fn breakdown(&self) -> Result<Vec<Dimension>, ProgramError> {
        let mut chosen: Vec<Dimension> = Vec::new();
        for name in &self.table.dimensions {
            let known = self.dimensions.iter().find(|known| known.name == *name.get_ref());
            let Some(dimension) = known else {
                let names: Vec<_> = self.dimensions.iter().map(|d| d.name.as_str()).collect();
                let (found, names) = (name.get_ref(), names.join(", "));
                let reason = format!("no dimension is named {found:?}; dimensions: {names}");
                return Err(self.error(name, reason));
            };
            if chosen.contains(dimension) {
                return Err(self.error(name, "is listed twice"));
            }
            chosen.push(dimension.clone());
        }
        Ok(chosen)
    }
}
