//! Those who never answer: correcting for them, and what can be said without correcting.
//!
//! An implicit metric (did they copy the text, ask again, leave?) is known of everyone; an explicit
//! one only of those who answered. From the joint of both, the share of *up* among all devices is
//! `π̂ = Σ_s [θ_up,s/(θ_up,s + θ_down,s)]·θ_s`: the strata's shares of up, weighted by all devices
//! of each stratum (post-stratification, Holt and Smith 1979). It is right if, within a stratum,
//! those who did not answer think as those who did (missing at random), and the result says so in
//! words. Its variance is by the delta method, with the covariance of all cells.
//!
//! A stratum with few answers has a share that the data hardly knows. It is then not divided by: every
//! share that its answers do not contradict, and every share from 0 to 1 if there are too few to tell,
//! is taken as possible, and the interval covers all of them. Strata are never pooled, because those of
//! few answers are those that differ.
//!
//! Without any assumption the share lies between `Σ θ_up` and `Σ θ_up + Σ θ_none` (Manski 1989).
//! Those bounds are always given.

use super::{
    confidence::Confidence,
    covariance,
    error::{EstimateError, at_least},
    figure::{Figure, Method, aggregators_variance, dot, half_width, ratio, weighted_sum},
    interval::{Interval, Scope},
    noisy_counts::NoisyCounts,
    shown::percent,
    symmetric::Symmetric,
};
use serde::Serialize;
use std::fmt;

/// What a bin of the joint says. Strata, the values of the implicit metric, are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Answered, and the answer is the one whose share is asked for.
    Yes(usize),
    /// Answered otherwise.
    No(usize),
    /// Did not answer.
    Silent(usize),
}

/// The joint of an explicit and an implicit metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    release: NoisyCounts,
    cells: Vec<Cell>,
    strata: Vec<String>,
}

/// A share among all devices, those who did not answer included.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Correction {
    /// If those who did not answer think as those who did in their stratum. Absent if some stratum has
    /// too few answers to estimate its share.
    pub corrected: Option<Figure>,
    /// In the place of an estimate, if some stratum has too few answers for one: the shares that the
    /// data does not contradict under the same assumption. Absent if they are no narrower than those
    /// without it.
    pub corrected_between: Option<Interval>,
    /// The strata with too few answers to divide by, and the shares that were taken as possible.
    pub weak: Vec<Weak>,
    /// The share among those who answered, not corrected. Absent if there are too few answers.
    pub among_answers: Option<Figure>,
    /// What holds whatever those who did not answer think.
    pub bounds: Bounds,
    /// The strata that the correction used.
    pub strata: Vec<String>,
    /// On what the correction rests, in words.
    pub assumption: String,
}

/// A stratum with few answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Weak {
    /// Its name.
    pub stratum: String,
    /// The shares of yes among its answers that the data does not contradict.
    #[serde(flatten)]
    pub share: Interval,
}

/// Manski's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// Estimated share if nobody who did not answer would have said yes.
    pub low: f64,
    /// Estimated share if all of them would.
    pub high: f64,
    /// Both bounds with their uncertainty: the share is in it, with the stated confidence.
    pub interval: Interval,
}

/// Answers of a stratum are divided by, as if known, if so many standard deviations from none.
const STRONG: f64 = 10.0;
/// With so many they make an estimate.
const ENOUGH: f64 = 3.0;

impl Joint {
    /// One cell for each bin, of k-ary or one-hot reports, and a name for each stratum.
    pub fn new(
        release: NoisyCounts,
        cells: Vec<Cell>,
        strata: Vec<String>,
    ) -> Result<Self, EstimateError> {
        if !release.channel().is_exclusive() {
            return Err(EstimateError::JointUnknown);
        }
        let (given, needed) = (cells.len(), release.bins());
        if given != needed {
            return Err(EstimateError::Length { what: "cells", given, needed });
        }
        at_least(1, "strata", strata.len())?;
        let last = strata.len() - 1;
        if let Some(index) = cells.iter().map(|cell| cell.stratum()).find(|index| *index > last) {
            let why = "has no name";
            return Err(EstimateError::Index { what: "stratum", index, why, last });
        }
        let joint = Self { release, cells, strata };
        let has = |stratum: usize, kind: fn(usize) -> Cell| joint.cells.contains(&kind(stratum));
        let lacks = |stratum: &usize| !has(*stratum, Cell::Yes) || !has(*stratum, Cell::No);
        if let Some(index) = (0..=last).find(lacks) {
            let why = "has no cell for one of the answers";
            return Err(EstimateError::Index { what: "stratum", index, why, last });
        }
        Ok(joint)
    }

    /// The share of yes in the population, corrected for those who did not answer.
    pub fn correct(&self, confidence: Confidence) -> Result<Correction, EstimateError> {
        let covariance = covariance::of_rates(&self.release, Scope::Population)?;
        let bounds = self.bounds(confidence)?;
        let all: Vec<usize> = (0..self.strata.len()).collect();
        let strengths: Vec<f64> =
            all.iter().map(|stratum| self.strength(&[*stratum], &covariance)).collect();
        let weak: Vec<usize> =
            all.iter().copied().filter(|stratum| strengths[*stratum] < STRONG).collect();
        let shares = self.possible_shares(&weak, confidence);
        let interval = self.stratified_interval(&shares, &covariance, confidence);
        let is_estimated = strengths.iter().all(|strength| *strength >= ENOUGH);
        let says_more = interval.low > bounds.interval.low || interval.high < bounds.interval.high;
        let named = |(stratum, share): &(usize, Interval)| Weak {
            stratum: self.strata[*stratum].clone(),
            share: *share,
        };
        let weak: Vec<Weak> = shares.iter().map(named).collect();
        Ok(Correction {
            corrected: is_estimated
                .then(|| self.post_stratified(interval, weak.is_empty(), &covariance)),
            corrected_between: (!is_estimated && says_more).then_some(interval),
            among_answers: self.among_answers(&all, &covariance, confidence),
            bounds,
            strata: self.strata.clone(),
            assumption: self.assumption(),
            weak,
        })
    }

    /// How many standard deviations the answers of some strata are from none.
    fn strength(&self, strata: &[usize], covariance: &Symmetric) -> f64 {
        let answers = self.weights(strata, |cell| !matches!(cell, Cell::Silent(_)));
        let deviation = covariance.of_weighted_sum(&answers).sqrt();
        let share = dot(&self.release.rates(), &answers);
        if share <= 0.0 { 0.0 } else { share / deviation }
    }

    /// 1 for each bin of these strata that the condition picks.
    fn weights(&self, strata: &[usize], condition: fn(Cell) -> bool) -> Vec<f64> {
        let picks = |cell: &Cell| strata.contains(&cell.stratum()) && condition(*cell);
        self.cells.iter().map(|cell| f64::from(u8::from(picks(cell)))).collect()
    }

    /// The shares of yes that the answers of each weak stratum leave possible, all of them with half of
    /// the probability of error.
    fn possible_shares(&self, weak: &[usize], confidence: Confidence) -> Vec<(usize, Interval)> {
        let level = confidence.each_of(2 * weak.len());
        let share = |stratum: &usize| {
            let yes = self.weights(&[*stratum], |cell| matches!(cell, Cell::Yes(_)));
            let answers = self.weights(&[*stratum], |cell| !matches!(cell, Cell::Silent(_)));
            let figure = ratio(&self.release, &yes, &answers, Scope::Population, level);
            let any = Interval { low: 0.0, high: 1.0 };
            (*stratum, figure.map_or(any, |figure| figure.interval.clamp(0.0, 1.0)))
        };
        weak.iter().map(share).collect()
    }

    /// The values of `Σ_s r_s q_s` that the data does not contradict, where q is a stratum's share of
    /// devices and r its share of yes: known but for the noise, or anything that is possible.
    fn stratified_interval(
        &self,
        weak: &[(usize, Interval)],
        covariance: &Symmetric,
        confidence: Confidence,
    ) -> Interval {
        // What possible shares leave of the probability of error.
        let level = if weak.is_empty() { confidence } else { confidence.each_of(2) };
        let end = |share: fn(&Interval) -> f64| {
            let fixed: Vec<_> = weak.iter().map(|(stratum, of)| (*stratum, share(of))).collect();
            let (value, gradient) = self.stratified(&fixed);
            let variance = covariance.of_weighted_sum(&gradient);
            let half_width = half_width(&self.release, &gradient, variance, level);
            // Recentred on a possible value, which is no further from the truth.
            Interval::around(value.clamp(0.0, 1.0), half_width).clamp(0.0, 1.0)
        };
        Interval { low: end(|share| share.low).low, high: end(|share| share.high).high }
    }

    /// `Σ_s r_s q_s` and its derivative by each rate, with some shares r fixed.
    fn stratified(&self, fixed: &[(usize, f64)]) -> (f64, Vec<f64>) {
        let rates = self.release.rates();
        let mut value = 0.0;
        let mut gradient = vec![0.0; rates.len()];
        for stratum in 0..self.strata.len() {
            let sum = |condition| dot(&rates, &self.weights(&[stratum], condition));
            let yes = sum(|cell| matches!(cell, Cell::Yes(_)));
            let no = sum(|cell| matches!(cell, Cell::No(_)));
            let (devices, answers) = (sum(|_| true), yes + no);
            let fixed = fixed.iter().find(|(other, _)| *other == stratum).map(|(_, share)| *share);
            let share = fixed.unwrap_or(yes / answers);
            let slope = if fixed.is_some() { 0.0 } else { devices / (answers * answers) };
            value += share * devices;
            let bins = self.cells.iter().zip(&mut gradient);
            for (cell, partial) in bins.filter(|(cell, _)| cell.stratum() == stratum) {
                *partial = share
                    + match cell {
                        Cell::Yes(_) => slope * no,
                        Cell::No(_) => -slope * yes,
                        Cell::Silent(_) => 0.0,
                    };
            }
        }
        (value, gradient)
    }

    /// The estimate, with its interval.
    fn post_stratified(
        &self,
        interval: Interval,
        is_delta: bool,
        covariance: &Symmetric,
    ) -> Figure {
        let (value, gradient) = self.stratified(&[]);
        Figure {
            value,
            standard_error: covariance.of_weighted_sum(&gradient).sqrt(),
            interval,
            method: if is_delta { Method::Delta } else { Method::Score },
            aggregators_variance: aggregators_variance(&self.release, &gradient),
        }
    }

    fn among_answers(
        &self,
        all: &[usize],
        covariance: &Symmetric,
        confidence: Confidence,
    ) -> Option<Figure> {
        let yes = self.weights(all, |cell| matches!(cell, Cell::Yes(_)));
        let answers = self.weights(all, |cell| !matches!(cell, Cell::Silent(_)));
        let is_enough = self.strength(all, covariance) >= ENOUGH;
        let ratio = ratio(&self.release, &yes, &answers, Scope::Population, confidence);
        ratio.ok().filter(|_| is_enough)
    }

    /// Each end at the confidence of an end of a two-sided interval, so that the whole is in with
    /// at least the confidence (Imbens and Manski 2004 could shorten it a little).
    fn bounds(&self, confidence: Confidence) -> Result<Bounds, EstimateError> {
        let all: Vec<usize> = (0..self.strata.len()).collect();
        let certain = self.weights(&all, |cell| matches!(cell, Cell::Yes(_)));
        let possible = self.weights(&all, |cell| !matches!(cell, Cell::No(_)));
        let sum =
            |weights: &[f64]| weighted_sum(&self.release, weights, Scope::Population, confidence);
        let (low, high) = (sum(&certain)?, sum(&possible)?);
        let interval = Interval { low: low.interval.low, high: high.interval.high };
        Ok(Bounds { low: low.value, high: high.value, interval: interval.clamp(0.0, 1.0) })
    }

    fn assumption(&self) -> String {
        format!(
            "assumes that among devices of the same stratum ({}) those who did not answer \
             would answer like those who did (missing at random); the data cannot show whether \
             that is so",
            self.strata.join("; ")
        )
    }
}

impl Cell {
    fn stratum(self) -> usize {
        match self {
            Self::Yes(stratum) | Self::No(stratum) | Self::Silent(stratum) => stratum,
        }
    }
}

impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between =
            |interval: &Interval| format!("{} – {}", percent(interval.low), percent(interval.high));
        let among = self.among_answers.map_or(String::new(), |raw| {
            format!(" ({} among those who did)", percent(raw.shown()))
        });
        match (&self.corrected, &self.corrected_between) {
            (Some(corrected), _) => write!(
                f,
                "{} ({}) corrected for those who did not answer{among}; {}",
                percent(corrected.shown()),
                between(&corrected.interval),
                self.assumption
            )?,
            (None, Some(interval)) => write!(
                f,
                "{} corrected for those who did not answer{among}; {}",
                between(interval),
                self.assumption
            )?,
            (None, None) => {
                write!(f, "there are too few answers to correct for those who did not{among}")?;
            }
        }
        for Weak { stratum, share } in &self.weak {
            let share = between(share);
            write!(
                f,
                "; {stratum} has few answers, so its share is taken to be anywhere in {share}"
            )?;
        }
        let Bounds { low, high, interval } = self.bounds;
        write!(
            f,
            "; without any assumption: from {} to {} (with noise: from {} to {})",
            percent(low.clamp(0.0, 1.0)),
            percent(high.clamp(0.0, 1.0)),
            percent(interval.low),
            percent(interval.high)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aggregator_noise::AggregatorNoise, noisy_counts::Channel, number::whole};

    /// Expected counts of a joint with yes, no and silent in each stratum.
    fn joint(shares: &[[f64; 3]], reports: f64, lie: f64) -> Joint {
        let cells: Vec<Cell> =
            (0..shares.len()).flat_map(|s| [Cell::Yes(s), Cell::No(s), Cell::Silent(s)]).collect();
        let channel = Channel::kary(cells.len(), lie).unwrap();
        let response = channel.response(0).unwrap();
        let expected = |share: &f64| whole(response.reported(*share) * reports);
        let mut counts: Vec<i64> = shares.iter().flatten().map(expected).collect();
        let last = counts.len() - 1;
        counts[last] += whole(reports) - counts.iter().sum::<i64>();
        let reports = u64::try_from(whole(reports)).unwrap();
        let release = NoisyCounts::new(counts, reports, channel, AggregatorNoise::None).unwrap();
        let names = ["copied", "left", "asked again"][..shares.len()].iter();
        Joint::new(release, cells, names.map(|&name| name.to_owned()).collect()).unwrap()
    }

    #[test]
    fn the_silent_count_as_their_stratum_does() {
        // Copied: 80 % of answers up, half answered. Left: 20 % up, one in ten answered.
        let joint = joint(&[[0.2, 0.05, 0.25], [0.01, 0.04, 0.45]], 1e7, 0.02);
        let correction = joint.correct(Confidence::USUAL).unwrap();
        let corrected = correction.corrected.unwrap();
        assert!((corrected.value - 0.5).abs() < 1e-4, "{corrected:?}");
        assert!((correction.among_answers.unwrap().value - 0.7).abs() < 1e-4);
        assert!((correction.bounds.low - 0.21).abs() < 1e-4);
        assert!((correction.bounds.high - 0.91).abs() < 1e-4);
        assert!(correction.bounds.interval.low < 0.21 && correction.bounds.interval.high > 0.91);
        let words = correction.to_string();
        assert!(words.starts_with("50.0 % ("), "{words}");
        assert!(words.contains("missing at random") && words.contains("copied; left"), "{words}");
        assert!(words.contains("without any assumption: from 21.0 % to 91.0 %"), "{words}");
    }

    #[test]
    fn a_weak_stratum_widens_the_interval_and_is_named() {
        // The second: 3 % of 0.3 answered, so that its share is all but unknown.
        let shares = [[0.105, 0.105, 0.49], [0.0081, 0.0009, 0.291]];
        let correction = joint(&shares, 3000.0, 0.0168).correct(Confidence::USUAL).unwrap();
        assert!(correction.corrected.is_none());
        let interval = correction.corrected_between.unwrap();
        assert!(interval.contains(0.7 * 0.5 + 0.3 * 0.9), "{interval:?}");
        assert!(interval.half_width() > 0.15 && interval.half_width() < 0.25, "{interval:?}");
        let [weak] = correction.weak.as_slice() else { panic!("{correction}") };
        assert_eq!((weak.stratum.as_str(), weak.share.high), ("left", 1.0));
        assert!(correction.to_string().contains("left has few answers"), "{correction}");
    }

    #[test]
    fn a_stratum_with_some_answers_gives_an_estimate_and_widens() {
        let shares = [[0.2, 0.1, 0.2], [0.02, 0.01, 0.17], [0.05, 0.05, 0.2]];
        let correction = joint(&shares, 3000.0, 0.0063).correct(Confidence::USUAL).unwrap();
        let corrected = correction.corrected.unwrap();
        assert!((corrected.value - (1.0 / 3.0 + 0.4 / 3.0 + 0.15)).abs() < 0.01, "{corrected:?}");
        assert_eq!(corrected.method, Method::Score);
        assert_eq!(correction.weak.len(), 1);
        assert!(corrected.interval.contains(corrected.value));
    }

    #[test]
    fn with_hardly_an_answer_only_the_bounds_are_given() {
        let shares = [[0.001, 0.001, 0.5], [0.001, 0.001, 0.496]];
        let correction = joint(&shares, 3000.0, 0.02).correct(Confidence::USUAL).unwrap();
        assert!(correction.corrected.is_none() && correction.among_answers.is_none());
        let words = correction.to_string();
        assert!(words.starts_with("there are too few answers"), "{words}");
        assert!(words.contains("without any assumption"), "{words}");
    }

    #[test]
    fn cells_that_make_no_joint_are_refused() {
        let channel = || Channel::kary(3, 0.01).unwrap();
        let release =
            || NoisyCounts::new(vec![1, 1, 1], 3, channel(), AggregatorNoise::None).unwrap();
        let strata = || vec!["all".to_owned()];
        let cells = vec![Cell::Yes(0), Cell::No(0), Cell::Silent(1)];
        let error = Joint::new(release(), cells, strata()).unwrap_err();
        assert!(error.to_string().contains("stratum 1 has no name"), "{error}");
        let cells = vec![Cell::Yes(0), Cell::Silent(0), Cell::Silent(0)];
        let error = Joint::new(release(), cells, strata()).unwrap_err();
        assert!(error.to_string().contains("no cell for one of the answers"), "{error}");
        assert!(Joint::new(release(), vec![Cell::Yes(0)], strata()).is_err());
        assert!(Joint::new(release(), vec![Cell::Yes(0); 3], vec![]).is_err());
    }
}
