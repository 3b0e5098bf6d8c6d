//! Metrics: what is asked, of whom, and by which randomizer it is reported.

mod parse;

use super::{dimension::Dimension, kind::MetricKind};
use sottovoce_privacy::{guarantee::MechanismKind, units::Epsilon};

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
