//! `signals`: what was observed, any number of them at once.

use super::{EncodingError, Kind, Said, Written, position};
use crate::{ProgramError, answer::Given};
use std::collections::BTreeSet;

/// Which of these were observed: any number of them. Each is a bit of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signals {
    /// What can be observed.
    pub signals: Vec<String>,
}

impl Kind for Signals {
    fn keys() -> &'static [&'static str] {
        &["signals"]
    }

    fn parse(written: &Written<'_>) -> Result<Self, ProgramError> {
        let signals = written.list("signals", &written.table.signals, 1)?;
        if let Some(dimension) = written.breakdown()?.iter().find(|known| !known.is_public()) {
            return Err(written.wrong(format!(
                "signals cannot be broken down by {:?}, which is not public: the budget would be split over too many bits; use a metric of one choice, or a public dimension",
                dimension.name
            )));
        }
        match &written.table.randomizer {
            Some(other) => Err(written.error(other, "signals are always randomized bit by bit")),
            None => Ok(Self { signals }),
        }
    }

    fn is_observed(&self) -> bool {
        true
    }

    fn answer(&self) -> String {
        format!("observed, not asked: which of these happened: {}", self.signals.join(", "))
    }

    fn encoding(&self) -> &'static str {
        "signals"
    }

    fn outcome_count(&self) -> usize {
        self.signals.len()
    }

    fn outcomes(&self) -> Vec<String> {
        self.signals.clone()
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        let Given::Signals(observed) = given else { return Err(EncodingError::Kind) };
        let outcomes = observed.iter().map(|name| position(&self.signals, name));
        outcomes.collect::<Result<_, _>>().map(Said::Exactly)
    }

    fn given(&self, outcome: usize, _opponent: usize) -> Option<Given> {
        Some(Given::Signals([self.signals.get(outcome)?.clone()].into()))
    }

    /// All of them, and none.
    fn samples(&self) -> Vec<Given> {
        let all = self.signals.iter().cloned().collect();
        vec![Given::Signals(all), Given::Signals(BTreeSet::new())]
    }

    fn is_best_first(&self) -> bool {
        true
    }

    fn signals(&self) -> Option<&[String]> {
        Some(&self.signals)
    }
}
