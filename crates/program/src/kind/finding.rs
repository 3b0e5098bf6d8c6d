//! `finding`: what a red-team reporter found.

use super::{EncodingError, Kind, Reading, Readings, Said, Written, outcome::of_each, position};
use crate::{ProgramError, ProgramKind, answer::Given};

/// What a red-team reporter found: of which category, and how grave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kinds of harm there are.
    pub categories: Vec<String>,
    /// From mild to grave.
    pub severities: Vec<String>,
}

impl Kind for Finding {
    fn keys() -> &'static [&'static str] {
        &["categories", "severities"]
    }

    fn parse(written: &Written<'_>) -> Result<Self, ProgramError> {
        let (categories, severities) = (&written.table.categories, &written.table.severities);
        Ok(Self {
            categories: written.list_apart("categories", categories, 1, &[": "])?,
            severities: written.list("severities", severities, 2)?,
        })
    }

    fn purpose(&self) -> ProgramKind {
        ProgramKind::RedTeam
    }

    fn not_one_choice(&self) -> Option<&'static str> {
        Some("a metric of kind finding is not one choice")
    }

    fn answer(&self) -> String {
        format!(
            "what was found, out of: {}; and how grave, out of: {}",
            self.categories.join(", "),
            self.severities.join(", ")
        )
    }

    fn never_leaves(&self) -> Option<&'static str> {
        Some("the conversation in which harm was found")
    }

    fn encoding(&self) -> &'static str {
        "findings"
    }

    fn outcome_count(&self) -> usize {
        self.categories.len() * self.severities.len()
    }

    fn outcomes(&self) -> Vec<String> {
        of_each(&self.categories, &self.severities)
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        let Given::Finding { category, severity } = given else { return Err(EncodingError::Kind) };
        let category = position(&self.categories, category)?;
        Ok(Said::One(category * self.severities.len() + position(&self.severities, severity)?))
    }

    fn given(&self, outcome: usize, _opponent: usize) -> Option<Given> {
        let count = self.severities.len();
        Some(Given::Finding {
            category: self.categories.get(outcome / count)?.clone(),
            severity: self.severities[outcome % count].clone(),
        })
    }

    fn readings(&self) -> Readings {
        let others = (0..self.categories.len()).map(|category| self.share_of(category));
        Readings { main: Some(self.share_of_grave()), others: others.collect(), yes: None }
    }
}

impl Finding {
    /// Of the graver half of severities.
    fn share_of_grave(&self) -> Reading {
        let count = self.severities.len();
        let half = count / 2;
        let from = &self.severities[count - half];
        let graver = if half > 1 { " or graver" } else { "" };
        let name = format!("share of {from}{graver} among findings");
        let of = (0..self.outcome_count()).map(|outcome| outcome % count >= count - half);
        Reading::Share { name, of: of.collect() }
    }

    fn share_of(&self, category: usize) -> Reading {
        let name = format!("share of {} among findings", self.categories[category]);
        let count = self.severities.len();
        let of = (0..self.outcome_count()).map(|outcome| outcome / count == category);
        Reading::Share { name, of: of.collect() }
    }
}
