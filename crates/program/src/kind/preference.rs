//! `preference`: which of two candidates is better.

use super::{Compared, EncodingError, Kind, Said, Written, position};
use crate::{
    ProgramError,
    answer::{Given, Outcome},
};

/// Which of two of these candidates is better. It is reported by whichever has fewer outcomes: pairs of
/// candidates, or candidates.
///
/// - By *pairs*, for each two: the first is better, the second is, or neither.
/// - By *candidates*, for each one: it won, lost or tied. The device reports one of the two, at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// What is compared.
    pub candidates: Vec<String>,
}

/// In the order of a pair's outcomes, and of a candidate's if it stands left: won, lost, tied.
const ENDS: [Outcome; 3] = [Outcome::Left, Outcome::Right, Outcome::Tie];

impl Kind for Preference {
    fn keys() -> &'static [&'static str] {
        &["candidates"]
    }

    fn parse(written: &Written<'_>) -> Result<Self, ProgramError> {
        let (list, joints) = (&written.table.candidates, [" > ", " < ", " = "]);
        Ok(Self { candidates: written.list_apart("candidates", list, 2, &joints)? })
    }

    fn not_one_choice(&self) -> Option<&'static str> {
        let reason = "a preference over more than three candidates is not one choice";
        (!self.is_by_pairs()).then_some(reason)
    }

    fn answer(&self) -> String {
        let candidates = self.candidates.join(", ");
        format!("which of two is better, or neither, out of: {candidates}")
    }

    fn encoding(&self) -> &'static str {
        if self.is_by_pairs() { "pairs" } else { "candidates" }
    }

    fn outcome_count(&self) -> usize {
        let count = self.candidates.len();
        3 * if self.is_by_pairs() { pairs(count) } else { count }
    }

    fn outcomes(&self) -> Vec<String> {
        let names = &self.candidates;
        if !self.is_by_pairs() {
            let of = |name: &String| ["won", "lost", "tied"].map(|how| format!("{name} {how}"));
            return names.iter().flat_map(of).collect();
        }
        let sign = |outcome| match outcome {
            Outcome::Left => '>',
            Outcome::Right => '<',
            Outcome::Tie => '=',
        };
        let label = |pair: Compared| {
            format!("{} {} {}", names[pair.left], sign(pair.outcome), names[pair.right])
        };
        self.compared().map(label).collect()
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        let Given::Preference { left, right, outcome } = given else {
            return Err(EncodingError::Kind);
        };
        if left == right {
            return Err(EncodingError::Same(left.clone()));
        }
        let (left, right) = (position(&self.candidates, left)?, position(&self.candidates, right)?);
        if self.is_by_pairs() {
            let count = self.candidates.len();
            return Ok(Said::One(pair_outcome(count, left, right, *outcome)));
        }
        let (left_how, right_how) = match outcome {
            Outcome::Left => (0, 1),
            Outcome::Right => (1, 0),
            Outcome::Tie => (2, 2),
        };
        Ok(Said::OneOf(vec![3 * left + left_how, 3 * right + right_how]))
    }

    fn given(&self, outcome: usize, opponent: usize) -> Option<Given> {
        let names = &self.candidates;
        let Compared { left, right, outcome } = if self.is_by_pairs() {
            self.compared().nth(outcome)?
        } else {
            // This one won, lost or tied, against any other.
            let one = outcome / 3;
            let other = (one + 1 + opponent % (names.len() - 1)) % names.len();
            Compared { left: one, right: other, outcome: ENDS[outcome % 3] }
        };
        let (left, right) = (names.get(left)?.clone(), names.get(right)?.clone());
        Some(Given::Preference { left, right, outcome })
    }

    /// The first two candidates, as often as they can end.
    fn samples(&self) -> Vec<Given> {
        (0..ENDS.len()).filter_map(|outcome| self.given(outcome, 0)).collect()
    }

    fn pairs(&self) -> Option<(&[String], Vec<Compared>)> {
        self.is_by_pairs().then(|| (self.candidates.as_slice(), self.compared().collect()))
    }
}

impl Preference {
    fn is_by_pairs(&self) -> bool {
        pairs(self.candidates.len()) <= self.candidates.len()
    }

    /// The outcomes by pairs, in order: (0,1), (0,2), …, (1,2), …
    fn compared(&self) -> impl Iterator<Item = Compared> {
        let count = self.candidates.len();
        let all = (0..count).flat_map(move |one| (one + 1..count).map(move |two| (one, two)));
        all.flat_map(|(left, right)| ENDS.map(|outcome| Compared { left, right, outcome }))
    }
}

/// The number of unordered pairs.
fn pairs(candidates: usize) -> usize {
    candidates * candidates.saturating_sub(1) / 2
}

/// The outcome of a comparison among those of pairs.
fn pair_outcome(candidates: usize, left: usize, right: usize, outcome: Outcome) -> usize {
    let (one, other) = (left.min(right), left.max(right));
    let pair = pairs(candidates) - pairs(candidates - one) + other - one - 1;
    let winner_is_first = (outcome == Outcome::Left) == (left < right);
    match outcome {
        Outcome::Tie => 3 * pair + 2,
        Outcome::Left | Outcome::Right if winner_is_first => 3 * pair,
        Outcome::Left | Outcome::Right => 3 * pair + 1,
    }
}
