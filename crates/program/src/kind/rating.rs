//! `rating`: one of several levels.

use super::{
    EncodingError, Kind, Reading, Readings, Said, Written, Yes,
    levels::{self, levels},
    position,
};
use crate::{ProgramError, answer::Given};

/// One of these levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    /// From the worst to the best.
    pub levels: Vec<String>,
}

impl Kind for Rating {
    fn keys() -> &'static [&'static str] {
        &["stars", "levels"]
    }

    fn parse(written: &Written<'_>) -> Result<Self, ProgramError> {
        Ok(Self { levels: levels(written)? })
    }

    fn answer(&self) -> String {
        format!("one of: {}", self.levels.join(", "))
    }

    fn encoding(&self) -> &'static str {
        "levels"
    }

    fn outcome_count(&self) -> usize {
        self.levels.len()
    }

    fn outcomes(&self) -> Vec<String> {
        self.levels.clone()
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        let Given::Rating(level) = given else { return Err(EncodingError::Kind) };
        position(&self.levels, level).map(Said::One)
    }

    fn given(&self, outcome: usize, _opponent: usize) -> Option<Given> {
        self.levels.get(outcome).cloned().map(Given::Rating)
    }

    fn satisfied(&self, given: &Given) -> Option<bool> {
        let Given::Rating(level) = given else { return None };
        levels::satisfied(&self.levels, [level])
    }

    fn readings(&self) -> Readings {
        let count = self.levels.len();
        let main = Some(Reading::mean("mean of answers".to_owned(), 1, [0, count, 0]));
        if count > 2 {
            let of = self.best(2);
            let share = "share of the two best levels of".to_owned();
            let yes = Some(Yes { outcomes: of.clone(), share });
            let name = "share of the two best levels among answers".to_owned();
            return Readings { main, others: vec![Reading::Share { name, of }], yes };
        }
        let best = self.levels.last().map_or("", String::as_str);
        let yes = Yes { outcomes: self.best(1), share: format!("share of {best} to") };
        Readings { main, others: Vec::new(), yes: Some(yes) }
    }
}

impl Rating {
    /// Of each level, whether it is one of the best.
    fn best(&self, best: usize) -> Vec<bool> {
        let levels = self.levels.len();
        (0..levels).map(|level| level + best >= levels).collect()
    }
}
