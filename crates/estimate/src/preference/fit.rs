//! The parameters that make the noisy counts most likely, by Fisher scoring.
//!
//! Parameters are the strengths but the first's (which is 0), ln ν if there are ties, and then, for
//! each ballot, the share of each group of bins but the largest's. A group is a pair, or one bin
//! that says nothing. Shares are not held above 0: a pair that nobody was shown has a share near 0
//! on either side, and holding it would bias the others.

use super::{Ballot, EstimateError, Outcome};
use crate::{
    covariance::{self, Batch},
    figure::dot,
    interval::Scope,
    noisy_counts::NoisyCounts,
    number::Real,
    symmetric::Symmetric,
};

pub(super) struct Fit<'a> {
    candidates: usize,
    has_ties: bool,
    ballots: Vec<Model<'a>>,
    parameters: Vec<f64>,
}

/// One ballot's bins as groups, and where its shares stand among the parameters.
struct Model<'a> {
    release: &'a NoisyCounts,
    outcomes: &'a [Outcome],
    /// The group of each bin.
    group: Vec<usize>,
    groups: usize,
    /// The group whose share is what the others leave.
    rest: usize,
    /// The index of the first share.
    offset: usize,
}

/// A bin's probability of being reported, and its derivative by each parameter.
struct Cell {
    count: f64,
    /// Expected count.
    mean: f64,
    /// Variance that the cell is weighted by.
    variance: f64,
    gradient: Vec<f64>,
}

/// A cell without its derivatives.
struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
    /// By how much the mean grows with `share · probability`.
    slope: f64,
    share: f64,
    probability: f64,
}

/// Scoring converges in about ten steps; a strength without limit is found by the time that these
/// are over.
const STEPS: usize = 60;
/// The furthest that a strength moves in one step.
const STRIDE: f64 = 1.0;
/// A gain of the logarithm of the likelihood that no interval shows.
const CONVERGED: f64 = 1e-9;
/// A strength that stands for infinity: preferred but once in a billion times.
const WITHOUT_LIMIT: f64 = 20.0;
/// Half the 95 % point of χ² with one degree of freedom: how much less likely infinity must be.
const LIKELIHOOD_LIMIT: f64 = 1.920_729;

impl<'a> Fit<'a> {
    pub(super) fn of(candidates: usize, ballots: &'a [Ballot]) -> Self {
        let is_tie = |outcome: &Outcome| matches!(outcome, Outcome::Tie(..));
        let has_ties = ballots.iter().any(|ballot| ballot.outcomes.iter().any(is_tie));
        let mut parameters = vec![0.0; candidates - 1 + usize::from(has_ties)];
        let mut models = Vec::new();
        for ballot in ballots {
            let model = Model::of(ballot, parameters.len());
            parameters.extend(model.first_shares());
            models.push(model);
        }
        let mut fit = Self { candidates, has_ties, ballots: models, parameters };
        fit.climb();
        fit
    }

    /// Centred on 0.
    pub(super) fn strengths(&self) -> Vec<f64> {
        let raw: Vec<f64> = (0..self.candidates).map(|i| self.raw_strength(i)).collect();
        let mean = raw.iter().sum::<f64>() / raw.len().real();
        raw.into_iter().map(|strength| strength - mean).collect()
    }

    pub(super) fn tie(&self) -> Option<f64> {
        self.has_ties.then(|| self.parameters[self.candidates - 1].exp())
    }

    /// Refuses a candidate that could as well be without limit: moving it there makes the counts
    /// no less likely than a 95 % interval allows.
    pub(super) fn check_limits(&self, candidates: &[String]) -> Result<(), EstimateError> {
        let best = self.likelihood(&self.parameters);
        for (i, candidate) in candidates.iter().enumerate() {
            let others = || (0..self.candidates).filter(|j| *j != i).map(|j| self.raw_strength(j));
            let above = others().fold(f64::MIN, f64::max) + WITHOUT_LIMIT;
            let below = others().fold(f64::MAX, f64::min) - WITHOUT_LIMIT;
            for (side, limit) in [("stronger", above), ("weaker", below)] {
                let moved = self.likelihood(&self.moved(i, limit - self.raw_strength(i)));
                if best - moved < LIKELIHOOD_LIMIT {
                    return Err(EstimateError::Separated { candidate: candidate.clone(), side });
                }
            }
        }
        Ok(())
    }

    /// `H⁻¹ G H⁻¹`, with the information H and the covariance G of the score, for centred
    /// strengths.
    pub(super) fn covariance_of_strengths(&self) -> Result<Symmetric, EstimateError> {
        let unknown = EstimateError::NotIdentified("the strengths");
        let information = self.information(&self.cells(&self.parameters));
        let inverse = information.inverse().ok_or(unknown)?;
        let mut score = Symmetric::zero(self.parameters.len());
        for model in &self.ballots {
            self.add_score_covariance(model, &mut score)?;
        }
        let mut covariance = Symmetric::zero(self.candidates);
        let rows: Vec<Vec<f64>> =
            (0..self.candidates).map(|i| inverse.times(&self.centred(i))).collect();
        for (i, one) in rows.iter().enumerate() {
            for (j, other) in rows.iter().enumerate() {
                covariance.add(i, j, score.of_weighted_sums(one, other));
            }
        }
        Ok(covariance)
    }

    fn climb(&mut self) {
        let mut likelihood = self.likelihood(&self.parameters);
        for _ in 0..STEPS {
            let Some(step) = self.step() else { return };
            let Some((parameters, better)) = self.improved(&step, likelihood) else { return };
            let gain = better - likelihood;
            (self.parameters, likelihood) = (parameters, better);
            if gain <= CONVERGED {
                return;
            }
        }
    }

    /// Information⁻¹ times score, shortened if a strength would leap.
    fn step(&self) -> Option<Vec<f64>> {
        let cells = self.cells(&self.parameters);
        let mut score = vec![0.0; self.parameters.len()];
        for cell in &cells {
            let weight = (cell.count - cell.mean) / cell.variance;
            score.iter_mut().zip(&cell.gradient).for_each(|(s, g)| *s += weight * g);
        }
        let mut step = self.information(&cells).inverse()?.times(&score);
        let strengths = self.candidates - 1 + usize::from(self.has_ties);
        let longest = step[..strengths].iter().fold(STRIDE, |longest, x| longest.max(x.abs()));
        for x in &mut step {
            *x *= STRIDE / longest;
        }
        Some(step)
    }

    /// The first of ever shorter steps that makes the counts likelier.
    fn improved(&self, step: &[f64], likelihood: f64) -> Option<(Vec<f64>, f64)> {
        (0..30).find_map(|halvings| {
            let length = 0.5_f64.powi(halvings);
            let there: Vec<f64> =
                self.parameters.iter().zip(step).map(|(x, dx)| x + length * dx).collect();
            let better = self.likelihood(&there);
            (better > likelihood).then_some((there, better))
        })
    }

    /// The logarithm of the likelihood but for a constant; minus infinity where there is none.
    fn likelihood(&self, parameters: &[f64]) -> f64 {
        let term = |cell: Moments| {
            let shift = cell.variance - cell.mean;
            if cell.variance > 0.0 {
                (cell.count + shift) * cell.variance.ln() - cell.variance
            } else {
                f64::NEG_INFINITY
            }
        };
        let moments = self.ballots.iter().flat_map(|model| self.moments(model, parameters));
        moments.map(term).sum()
    }

    fn information(&self, cells: &[Cell]) -> Symmetric {
        let mut information = Symmetric::zero(self.parameters.len());
        for cell in cells {
            information.add_outer(&cell.gradient, 1.0 / cell.variance);
        }
        information
    }

    /// `Jᵀ W Cov(C) W J` of one ballot, at the fitted rates.
    fn add_score_covariance(
        &self,
        model: &Model,
        score: &mut Symmetric,
    ) -> Result<(), EstimateError> {
        let cells = self.cells_of(model, &self.parameters);
        let n = model.release.n();
        let responses = || model.release.bins_with_responses().map(|(_, _, response)| response);
        let rates: Vec<f64> = cells
            .iter()
            .zip(responses())
            .map(|(cell, response)| (cell.mean / n - response.lie()) / response.contrast())
            .map(|rate| rate.clamp(0.0, 1.0))
            .collect();
        let aggregators = model.release.noise();
        let (scope, repeats) = (Scope::Population, model.release.repeats().real());
        let batch = Batch { reports: n, aggregators, scope, repeats };
        let covariance = covariance::expected(model.release.channel(), &rates, batch)?;
        let slopes: Vec<f64> = responses().map(|response| n * response.contrast()).collect();
        // The score is Σ_y g_y (C_y - mean)/variance: weights of the rates, for each parameter.
        let weights = |parameter: usize| -> Vec<f64> {
            let slopes = cells.iter().zip(&slopes);
            slopes.map(|(cell, slope)| cell.gradient[parameter] * slope / cell.variance).collect()
        };
        let weights: Vec<Vec<f64>> = (0..self.parameters.len()).map(weights).collect();
        for (k, one) in weights.iter().enumerate() {
            let with_rates = covariance.times(one);
            for (l, other) in weights.iter().enumerate() {
                score.add(k, l, dot(&with_rates, other));
            }
        }
        Ok(())
    }

    fn cells(&self, parameters: &[f64]) -> Vec<Cell> {
        self.ballots.iter().flat_map(|model| self.cells_of(model, parameters)).collect()
    }

    fn cells_of(&self, model: &Model, parameters: &[f64]) -> Vec<Cell> {
        let moments = self.moments(model, parameters).into_iter().enumerate();
        moments
            .map(|(bin, Moments { count, mean, variance, slope, share, probability })| {
                let mut gradient = self.gradient_of_probability(model, bin, parameters);
                for x in &mut gradient {
                    *x *= slope * share;
                }
                model.add_gradient_of_share(bin, slope * probability, &mut gradient);
                Cell { count, mean, variance, gradient }
            })
            .collect()
    }

    fn moments(&self, model: &Model, parameters: &[f64]) -> Vec<Moments> {
        let n = model.release.n();
        let noise = model.release.noise().variance();
        let bins = model.release.bins_with_responses();
        bins.map(|(bin, count, response)| {
            let share = model.share(bin, parameters);
            let probability = self.probability(model, bin, parameters);
            let slope = n * response.contrast();
            let mean = n * response.lie() + slope * share * probability;
            Moments { count, mean, variance: mean + noise, slope, share, probability }
        })
        .collect()
    }

    /// The probability of the bin's outcome in its group.
    fn probability(&self, model: &Model, bin: usize, parameters: &[f64]) -> f64 {
        let weight = |bin: &usize| self.log_odds(model.outcomes[*bin], parameters);
        let largest = model.peers(bin).map(|bin| weight(&bin)).fold(f64::MIN, f64::max);
        let total: f64 = model.peers(bin).map(|bin| (weight(&bin) - largest).exp()).sum();
        (weight(&bin) - largest).exp() / total
    }

    /// `P_o (x_o - Σ_q P_q x_q)`, where x are the derivatives of the logarithm of odds.
    fn gradient_of_probability(&self, model: &Model, bin: usize, parameters: &[f64]) -> Vec<f64> {
        let mut gradient = vec![0.0; parameters.len()];
        let own = self.probability(model, bin, parameters);
        self.add_log_odds_gradient(model.outcomes[bin], own, &mut gradient);
        for peer in model.peers(bin) {
            let weight = -own * self.probability(model, peer, parameters);
            self.add_log_odds_gradient(model.outcomes[peer], weight, &mut gradient);
        }
        gradient
    }

    /// The logarithm of the outcome's weight in its group.
    fn log_odds(&self, outcome: Outcome, parameters: &[f64]) -> f64 {
        let strength = |i: usize| if i == 0 { 0.0 } else { parameters[i - 1] };
        match outcome {
            Outcome::Preferred(i, j) => (strength(i) - strength(j)) / 2.0,
            Outcome::Tie(..) => parameters[self.candidates - 1],
            Outcome::Nothing => 0.0,
        }
    }

    fn add_log_odds_gradient(&self, outcome: Outcome, factor: f64, gradient: &mut [f64]) {
        let mut add = |i: usize, amount: f64| {
            if i > 0 {
                gradient[i - 1] += amount;
            }
        };
        match outcome {
            Outcome::Preferred(i, j) => {
                add(i, factor / 2.0);
                add(j, -factor / 2.0);
            }
            Outcome::Tie(..) => add(self.candidates, factor),
            Outcome::Nothing => {}
        }
    }

    fn raw_strength(&self, candidate: usize) -> f64 {
        if candidate == 0 { 0.0 } else { self.parameters[candidate - 1] }
    }

    /// The parameters with one candidate moved.
    fn moved(&self, candidate: usize, shift: f64) -> Vec<f64> {
        let mut parameters = self.parameters.clone();
        let strengths = &mut parameters[..self.candidates - 1];
        match candidate {
            // The first is the origin: the others move the other way.
            0 => strengths.iter_mut().for_each(|strength| *strength -= shift),
            _ => strengths[candidate - 1] += shift,
        }
        parameters
    }

    /// The weights of the parameters in a candidate's centred strength.
    fn centred(&self, candidate: usize) -> Vec<f64> {
        let mut weights = vec![0.0; self.parameters.len()];
        weights[..self.candidates - 1].fill(-1.0 / self.candidates.real());
        if candidate > 0 {
            weights[candidate - 1] += 1.0;
        }
        weights
    }
}

impl<'a> Model<'a> {
    fn of(ballot: &'a Ballot, offset: usize) -> Self {
        let mut pairs: Vec<Option<[usize; 2]>> = Vec::new();
        let mut group_of = |outcome: &Outcome| {
            let known = pairs.iter().position(|pair| pair.is_some() && *pair == outcome.pair());
            known.unwrap_or_else(|| {
                pairs.push(outcome.pair());
                pairs.len() - 1
            })
        };
        let group: Vec<usize> = ballot.outcomes.iter().map(&mut group_of).collect();
        let groups = pairs.len();
        let mut model = Self {
            release: &ballot.release,
            outcomes: &ballot.outcomes,
            group,
            groups,
            rest: 0,
            offset,
        };
        let shares = model.observed_shares();
        model.rest = (0..groups).max_by(|i, j| shares[*i].total_cmp(&shares[*j])).unwrap_or(0);
        model
    }

    /// The unbiased share of each group.
    fn observed_shares(&self) -> Vec<f64> {
        let rates = self.release.rates();
        let share = |group| {
            let weights: Vec<f64> =
                self.group.iter().map(|other| f64::from(u8::from(*other == group))).collect();
            dot(&rates, &weights)
        };
        (0..self.groups).map(share).collect()
    }

    fn first_shares(&self) -> Vec<f64> {
        let shares = self.observed_shares();
        let plausible: Vec<f64> = shares.iter().map(|share| share.max(0.0)).collect();
        let total: f64 = plausible.iter().sum();
        let free = (0..self.groups).filter(|group| *group != self.rest);
        free.map(|group| plausible[group] / total.max(f64::MIN_POSITIVE)).collect()
    }

    fn peers(&self, bin: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.group.len()).filter(move |other| self.group[*other] == self.group[bin])
    }

    fn shares<'p>(&self, parameters: &'p [f64]) -> &'p [f64] {
        &parameters[self.offset..self.offset + self.groups - 1]
    }

    fn share(&self, bin: usize, parameters: &[f64]) -> f64 {
        let shares = self.shares(parameters);
        match self.index_of_share(self.group[bin]) {
            Some(index) => shares[index],
            None => 1.0 - shares.iter().sum::<f64>(),
        }
    }

    fn add_gradient_of_share(&self, bin: usize, factor: f64, gradient: &mut [f64]) {
        let shares = &mut gradient[self.offset..self.offset + self.groups - 1];
        match self.index_of_share(self.group[bin]) {
            Some(index) => shares[index] += factor,
            None => shares.iter_mut().for_each(|share| *share -= factor),
        }
    }

    /// Where a group's share stands; nowhere for the one that the others leave.
    fn index_of_share(&self, group: usize) -> Option<usize> {
        (group != self.rest).then(|| group - usize::from(group > self.rest))
    }
}
