//! `ratings`: several aspects, each on the same levels.

use super::{
    EncodingError, Kind, Rated, Reading, Readings, Said, Written,
    levels::{self, levels},
    outcome::of_each,
    position,
};
use crate::{ProgramError, answer::Given};

/// Each of several aspects, on the same levels. The device reports one of those that were rated, drawn at
/// random, so that the budget is not split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ratings {
    /// What is rated.
    pub aspects: Vec<String>,
    /// From the worst to the best.
    pub levels: Vec<String>,
}

impl Kind for Ratings {
    fn keys() -> &'static [&'static str] {
        &["aspects", "stars", "levels"]
    }

    fn parse(written: &Written<'_>) -> Result<Self, ProgramError> {
        Ok(Self {
            aspects: written.list_apart("aspects", &written.table.aspects, 2, &[": "])?,
            levels: levels(written)?,
        })
    }

    fn not_one_choice(&self) -> Option<&'static str> {
        Some("a metric of kind ratings is not one choice")
    }

    fn answer(&self) -> String {
        format!(
            "one of {} for each of: {}; one of them, drawn at random, is reported",
            self.levels.join(", "),
            self.aspects.join(", ")
        )
    }

    fn encoding(&self) -> &'static str {
        "aspects"
    }

    fn outcome_count(&self) -> usize {
        self.aspects.len() * self.levels.len()
    }

    fn outcomes(&self) -> Vec<String> {
        of_each(&self.aspects, &self.levels)
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        let Given::Ratings(rated) = given else { return Err(EncodingError::Kind) };
        let outcome = |(aspect, level): (&String, &String)| {
            let aspect = position(&self.aspects, aspect)?;
            Ok(aspect * self.levels.len() + position(&self.levels, level)?)
        };
        let outcomes = rated.iter().map(outcome).collect::<Result<Vec<_>, _>>()?;
        if outcomes.is_empty() {
            return Err(EncodingError::NothingRated);
        }
        Ok(Said::OneOf(outcomes))
    }

    fn given(&self, outcome: usize, _opponent: usize) -> Option<Given> {
        let aspect = self.aspects.get(outcome / self.levels.len())?.clone();
        let level = self.levels[outcome % self.levels.len()].clone();
        Some(Given::Ratings([(aspect, level)].into()))
    }

    /// The first aspect on each level.
    fn samples(&self) -> Vec<Given> {
        (0..self.levels.len()).filter_map(|level| self.given(level, 0)).collect()
    }

    fn satisfied(&self, given: &Given) -> Option<bool> {
        let Given::Ratings(rated) = given else { return None };
        levels::satisfied(&self.levels, rated.values())
    }

    fn rated<'a>(&self, given: &'a Given) -> Vec<Rated<'a>> {
        let Given::Ratings(rated) = given else { return Vec::new() };
        let known = rated.iter().filter(|(aspect, _)| self.aspects.contains(aspect));
        let rated = known.filter_map(|(aspect, level)| {
            let level = self.levels.iter().position(|known| known == level)?;
            Some(Rated { aspect, level, levels: self.levels.len() })
        });
        rated.collect()
    }

    fn readings(&self) -> Readings {
        let (count, last) = (self.levels.len(), self.aspects.len().saturating_sub(1));
        let mean = |(index, aspect): (usize, &String)| {
            let parts = [index * count, count, (last - index) * count];
            Reading::mean(format!("mean of {aspect}"), 1, parts)
        };
        let others = self.aspects.iter().enumerate().map(mean).collect();
        Readings { others, ..Readings::default() }
    }
}
