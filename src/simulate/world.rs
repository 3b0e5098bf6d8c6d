//! The environment of a simulated device, and the record of what happened to it.

use super::{
    Options,
    aggregators::{Aggregators, Sums},
    counts::Counts,
    scenario::Scenario,
    truth::{Key, Truth},
};
use sottovoce_program::{Program, dimension::Dimension};
use std::{collections::BTreeMap, sync::Arc};

/// All that a device lives with.
pub(super) struct World<'a> {
    pub(super) program: &'a Arc<Program>,
    pub(super) scenario: &'a Scenario,
    pub(super) options: Options,
    pub(super) aggregators: &'a Aggregators,
    /// Each dimension of the program.
    pub(super) dimensions: Vec<&'a Dimension>,
}

/// What came of everybody.
#[derive(Default)]
pub(super) struct Results {
    pub(super) sums: Sums,
    pub(super) truths: BTreeMap<Key, Truth>,
    pub(super) counts: Counts,
}

impl Results {
    pub(super) fn merge(&mut self, other: Self, aggregators: &Aggregators) -> anyhow::Result<()> {
        aggregators.merge(&mut self.sums, other.sums)?;
        for (key, truth) in &other.truths {
            self.truths.entry(*key).or_default().merge(truth);
        }
        self.counts.add(other.counts);
        Ok(())
    }
}
