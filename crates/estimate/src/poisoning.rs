//! How far dishonest devices could have moved a figure.
//!
//! The proofs keep every report well-formed: one bin, or at most W bits. Within that, a dishonest
//! device reports what it likes, without randomizing, and debiasing makes each report count
//! `1/(ns)` of the rate: more than an honest share, the more so the smaller ε0 (Cheu, Smith and
//! Ullman 2021). So k of them move a k-ary rate by at most `k/(ns)`, and one bit's likewise, but
//! up to W bits at once. What follows are bounds: no coalition of k devices can do more, and what
//! the counts show limits it further, since at most C_j of the reports in bin j can be false.

use super::{
    error::{EstimateError, within},
    figure::{check_weights, dot},
    interval::Interval,
    noisy_counts::{Channel, NoisyCounts},
    number::{Real, devices},
};
use serde::Serialize;

/// Devices that report what they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dishonest {
    /// How many.
    pub devices: u64,
    /// The most bits that the proof lets one report set, at least 1. K-ary reports set one.
    pub weight_bound: usize,
}

/// What dishonest devices could have done to one bin's rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shift {
    /// The furthest that they could have moved the unbiased rate up.
    pub up: f64,
    /// The furthest that they could have moved it down.
    pub down: f64,
    /// The unbiased rates that there could have been without them.
    #[serde(flatten)]
    pub without: Interval,
}

/// What dishonest devices could have done to a release.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Influence {
    /// Who they are.
    pub dishonest: Dishonest,
    /// Bin by bin. Not all of these can be at once.
    pub bins: Vec<Shift>,
    /// The furthest that all rates together could have been moved, up and down added.
    pub in_all: f64,
}

impl Dishonest {
    /// A share of the reports, from 0 to 1, rounded up; of k-ary reports.
    pub fn share(release: &NoisyCounts, share: f64) -> Result<Self, EstimateError> {
        let why = "a share of devices is from 0 to 1";
        let share = within("dishonest", share, 0.0, 1.0, why)?;
        let devices = if share > 0.0 { devices(share * release.n()) } else { 0 };
        Ok(Self { devices, weight_bound: 1 })
    }

    fn check(self, release: &NoisyCounts) -> Result<(), EstimateError> {
        let why = "there are no more dishonest devices than reports";
        within("dishonest", self.devices.real(), 0.0, release.n(), why)?;
        let why = "a report sets at least one bit and no more than there are";
        within("weight_bound", self.weight_bound.real(), 1.0, release.bins().real(), why)?;
        Ok(())
    }

    /// The most bits that one report sets.
    fn weight(self, release: &NoisyCounts) -> usize {
        match release.channel() {
            Channel::Kary { .. } => 1,
            Channel::Bits { .. } => self.weight_bound,
        }
    }
}

/// How far they could have moved each rate, and all of them.
pub fn influence(release: &NoisyCounts, dishonest: Dishonest) -> Result<Influence, EstimateError> {
    dishonest.check(release)?;
    let slack = release.noise_reach();
    let shift = |(_, count, response): (usize, f64, super::debias::Response)| {
        let one = 1.0 / (release.n() * response.contrast());
        let devices = dishonest.devices.real();
        let up = devices.min((count + slack).max(0.0)) * one;
        let down = devices.min((release.n() - count + slack).max(0.0)) * one;
        let rate = response.debias(count, release.n()) / release.n();
        Shift { up, down, without: Interval { low: rate - up, high: rate + down } }
    };
    let bins = release.bins_with_responses().map(shift).collect();
    let each = largest_change(release, dishonest);
    Ok(Influence { dishonest, bins, in_all: dishonest.devices.real() * each })
}

/// The values that `Σ w_j π̂_j / Σ v_j π̂_j` could have had without them: a mean, a share among
/// answers or, if the denominator is 1 for every bin of a k-ary release, a sum.
///
/// Without limit if they could have taken the denominator to 0.
pub fn ratio_without(
    release: &NoisyCounts,
    numerator: &[f64],
    denominator: &[f64],
    dishonest: Dishonest,
) -> Result<Interval, EstimateError> {
    dishonest.check(release)?;
    check_weights(release, numerator)?;
    check_weights(release, denominator)?;
    let rates = release.rates();
    let (top, bottom) = (dot(&rates, numerator), dot(&rates, denominator));
    let k = dishonest.devices.real();
    // R is possible if N - R·D could have been 0: a report changes it by no more than the span.
    let contrast = |r: f64| -> Vec<f64> {
        numerator.iter().zip(denominator).map(|(w, v)| w - r * v).collect()
    };
    let is_possible = |r: f64| {
        (top - r * bottom).abs() <= k * span(release, &contrast(r), dishonest) * (1.0 + 1e-12)
    };
    if bottom <= k * span(release, denominator, dishonest) {
        return Ok(Interval { low: f64::NEG_INFINITY, high: f64::INFINITY });
    }
    let value = top / bottom;
    Ok(Interval {
        low: furthest(value, -1.0, is_possible),
        high: furthest(value, 1.0, is_possible),
    })
}

/// How much one report can change `Σ c_j π̂_j`: from the least that a report can add to the most.
fn span(release: &NoisyCounts, weights: &[f64], dishonest: Dishonest) -> f64 {
    let bins = release.bins_with_responses().zip(weights);
    let mut each: Vec<f64> = bins
        .map(|((_, _, response), weight)| weight / (release.n() * response.contrast()))
        .collect();
    each.sort_by(f64::total_cmp);
    match release.channel() {
        Channel::Kary { .. } => each.last().unwrap_or(&0.0) - each.first().unwrap_or(&0.0),
        Channel::Bits { .. } => {
            let weight = dishonest.weight(release);
            let most: f64 = each.iter().rev().take(weight).filter(|x| **x > 0.0).sum();
            let least: f64 = each.iter().take(weight).filter(|x| **x < 0.0).sum();
            most - least
        }
    }
}

/// How much one report can change all rates together.
///
/// It sets at most W bits instead of at most W others: `2W/(ns)` if there are as many bins.
fn largest_change(release: &NoisyCounts, dishonest: Dishonest) -> f64 {
    let bins = release.bins_with_responses();
    let mut each: Vec<f64> =
        bins.map(|(_, _, response)| 1.0 / (release.n() * response.contrast())).collect();
    each.sort_by(|a, b| b.total_cmp(a));
    each.iter().take(2 * dishonest.weight(release)).sum()
}

/// The last value in a direction that is possible; the possible ones are in one piece.
fn furthest(from: f64, direction: f64, is_possible: impl Fn(f64) -> bool) -> f64 {
    let mut step = from.abs().max(1.0) * 1e-6;
    while is_possible(from + direction * step) {
        step *= 2.0;
        if step > 1e300 {
            return direction * f64::INFINITY;
        }
    }
    let (mut inside, mut outside) = (0.0, step);
    for _ in 0..60 {
        let middle = f64::midpoint(inside, outside);
        if is_possible(from + direction * middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    from + direction * outside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aggregator_noise::AggregatorNoise, debias::Response, noisy_counts::Answers};
    use proptest::prelude::*;

    const NONE: AggregatorNoise = AggregatorNoise::None;

    fn kary(counts: &[i64]) -> NoisyCounts {
        let reports = u64::try_from(counts.iter().sum::<i64>()).unwrap();
        let channel = Channel::kary(counts.len(), 0.05).unwrap();
        NoisyCounts::new(counts.to_vec(), reports, channel, NONE).unwrap()
    }

    fn of(devices: u64) -> Dishonest {
        Dishonest { devices, weight_bound: 1 }
    }

    #[test]
    fn a_report_counts_more_than_a_device() {
        let influence = influence(&kary(&[500, 300, 200]), of(10)).unwrap();
        // s = 0.85: ten of a thousand reports are worth 1.18 % and not 1 %.
        for shift in &influence.bins {
            assert!((shift.up - 0.01 / 0.85).abs() < 1e-12);
            assert!((shift.down - 0.01 / 0.85).abs() < 1e-12);
            assert!((shift.without.half_width() - 0.01 / 0.85).abs() < 1e-12);
        }
        assert!((influence.in_all - 0.02 / 0.85).abs() < 1e-12);
    }

    #[test]
    fn no_more_reports_are_false_than_there_are() {
        let influence = influence(&kary(&[990, 7, 3]), of(10)).unwrap();
        let [one, .., rare] = influence.bins[..] else { panic!() };
        assert!((rare.up - 0.003 / 0.85).abs() < 1e-12);
        assert!((rare.down - 0.01 / 0.85).abs() < 1e-12);
        assert!((one.down - 0.01 / 0.85).abs() < 1e-12);
    }

    #[test]
    fn a_bit_vector_moves_as_many_rates_as_it_has_weight() {
        let responses = vec![Response::flipped(0.1).unwrap(); 8];
        let channel = Channel::Bits { responses, answers: Answers::Free };
        let release = NoisyCounts::new(vec![300; 8], 1000, channel, NONE).unwrap();
        let three = Dishonest { devices: 10, weight_bound: 3 };
        let influence = influence(&release, three).unwrap();
        assert!((influence.bins[0].up - 0.01 / 0.8).abs() < 1e-12);
        assert!((influence.in_all - 6.0 * 0.01 / 0.8).abs() < 1e-12);
    }

    #[test]
    fn a_coalition_larger_than_the_batch_is_refused() {
        let release = kary(&[500, 300, 200]);
        assert!(influence(&release, of(1001)).is_err());
        assert!(influence(&release, Dishonest { devices: 1, weight_bound: 0 }).is_err());
        assert!(Dishonest::share(&release, 1.5).is_err());
        assert!(Dishonest::share(&release, f64::NAN).is_err());
        assert_eq!(Dishonest::share(&release, 0.01).unwrap(), of(10));
        assert_eq!(Dishonest::share(&release, 0.0).unwrap(), of(0));
    }

    #[test]
    fn a_mean_without_answers_could_have_been_anything() {
        let release = kary(&[60, 60, 880]);
        let (up, answered) = ([1.0, 0.0, 0.0], [1.0, 1.0, 0.0]);
        let without = ratio_without(&release, &up, &answered, of(100)).unwrap();
        assert_eq!((without.low, without.high), (f64::NEG_INFINITY, f64::INFINITY));
    }

    proptest! {
        /// Whatever k honest reports were replaced by the reports that arrived.
        #[test]
        fn no_coalition_does_more_than_the_bound(
            counts in prop::array::uniform4(50_i64..500), moved in prop::array::uniform4(0_usize..4)
        ) {
            let release = kary(&counts);
            let (scores, answered) = ([1.0, 2.0, 3.0, 0.0], [1.0, 1.0, 1.0, 0.0]);
            let dishonest = of(40);
            let ratio = |release: &NoisyCounts| {
                dot(&release.rates(), &scores) / dot(&release.rates(), &answered)
            };
            // Ten reports of each bin were another's.
            let mut honest = counts;
            for (from, to) in moved.into_iter().enumerate() {
                honest[from] -= 10;
                honest[to] += 10;
            }
            let honest = kary(&honest);
            let influence = influence(&release, dishonest).unwrap();
            let without = ratio_without(&release, &scores, &answered, dishonest).unwrap();
            prop_assert!(without.contains(ratio(&honest)), "{:?} {}", without, ratio(&honest));
            for (shift, rate) in influence.bins.iter().zip(honest.rates()) {
                prop_assert!(shift.without.low <= rate + 1e-12);
                prop_assert!(rate <= shift.without.high + 1e-12);
            }
        }
    }
}
