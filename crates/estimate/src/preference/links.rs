//! Which candidates answers link: without a link there is no common scale.

use super::{Ballot, EstimateError, Outcome};
use crate::{covariance, figure::dot, interval::Scope};

/// A pair is a link if its answers are more than so many standard deviations from none.
const SURE: f64 = 3.0;

/// Refuses candidates that fall into groups without links between them.
pub(super) fn check(candidates: &[String], ballots: &[Ballot]) -> Result<(), EstimateError> {
    let mut group: Vec<usize> = (0..candidates.len()).collect();
    for ballot in ballots {
        for [i, j] in links(ballot)? {
            let (from, to) = (group[j], group[i]);
            group.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
        }
    }
    let named = |is_first: bool| {
        let members = candidates.iter().zip(&group);
        let members = members.filter(|(_, member)| (**member == group[0]) == is_first);
        members.map(|(candidate, _)| candidate.clone()).collect::<Vec<_>>()
    };
    let (one, other) = (named(true), named(false));
    if other.is_empty() { Ok(()) } else { Err(EstimateError::Disconnected { one, other }) }
}

/// The pairs that devices have surely compared.
fn links(ballot: &Ballot) -> Result<Vec<[usize; 2]>, EstimateError> {
    let rates = ballot.release.rates();
    let covariance = covariance::of_rates(&ballot.release, Scope::Cohort)?;
    let mut pairs: Vec<[usize; 2]> = ballot.outcomes.iter().filter_map(|o| o.pair()).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let is_sure = |pair: &[usize; 2]| {
        let weight = |outcome: &Outcome| f64::from(u8::from(outcome.pair() == Some(*pair)));
        let weights: Vec<f64> = ballot.outcomes.iter().map(weight).collect();
        let share = dot(&rates, &weights);
        share > 0.0 && share > SURE * covariance.of_weighted_sum(&weights).sqrt()
    };
    Ok(pairs.into_iter().filter(is_sure).collect())
}
