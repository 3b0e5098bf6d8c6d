//! `thumbs`: up or down.

use super::{EncodingError, Kind, Reading, Readings, Said, Written, Yes};
use crate::{
    ProgramError,
    answer::{Given, Thumb},
};

/// Up or down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbs;

/// In the order of outcomes.
const THUMBS: [Thumb; 2] = [Thumb::Up, Thumb::Down];

impl Kind for Thumbs {
    fn parse(_: &Written<'_>) -> Result<Self, ProgramError> {
        Ok(Self)
    }

    fn answer(&self) -> String {
        "up or down".to_owned()
    }

    fn encoding(&self) -> &'static str {
        "thumbs"
    }

    fn outcome_count(&self) -> usize {
        THUMBS.len()
    }

    fn outcomes(&self) -> Vec<String> {
        vec!["up".to_owned(), "down".to_owned()]
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        let Given::Thumbs(thumb) = given else { return Err(EncodingError::Kind) };
        Ok(Said::One(match thumb {
            Thumb::Up => 0,
            Thumb::Down => 1,
        }))
    }

    fn given(&self, outcome: usize, _opponent: usize) -> Option<Given> {
        THUMBS.get(outcome).copied().map(Given::Thumbs)
    }

    fn is_best_first(&self) -> bool {
        true
    }

    fn satisfied(&self, given: &Given) -> Option<bool> {
        let Given::Thumbs(thumb) = given else { return None };
        Some(*thumb == Thumb::Up)
    }

    fn readings(&self) -> Readings {
        let of = vec![true, false];
        let yes = Yes { outcomes: of.clone(), share: "share of up to".to_owned() };
        let name = "share of up among answers".to_owned();
        let main = Some(Reading::Share { name, of });
        Readings { main, yes: Some(yes), ..Readings::default() }
    }
}
