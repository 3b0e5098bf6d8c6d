//! Rates: per bin, in the cohort and in the population, k-ary and bits.

use crate::{
    Share,
    simulate::{Simulator, aggregators},
};
use sottovoce_estimate::{
    Estimate,
    confidence::Confidence,
    debias::Response,
    estimates,
    interval::{CountNoise, Scope},
    noisy_counts::{Answers, Channel},
    simultaneous_estimates,
};
use sottovoce_privacy::{
    randomizer::{Bin, KaryRandomizer},
    rng::SimulationRng,
    units::Epsilon,
};

pub const RELEASES: u32 = 10_000;
const BATCHES: [u64; 2] = [3000, 20_000];
const RATES: [f64; 3] = [0.01, 0.5, 0.99];
/// Of each aggregator's discrete Laplace noise: a standard deviation of 14.1 counts in all.
const SCALES: [f64; 2] = [0.0, 7.07];

fn kary(bins: u32, epsilon: f64) -> KaryRandomizer {
    KaryRandomizer::new(bins, Epsilon::new(epsilon).unwrap()).unwrap()
}

/// One bin's count, drawn by its exact distribution: a sum of two binomials in the cohort, one in
/// the population.
fn count(simulator: &mut Simulator, noise: &CountNoise, rate: f64, scale: f64) -> f64 {
    let reports = noise.reports as u64;
    let drawn = match noise.scope {
        Scope::Cohort => {
            let devices = (rate * noise.reports).round() as u64;
            simulator.binomial(devices, noise.response.truth())
                + simulator.binomial(reports - devices, noise.response.lie())
        }
        Scope::Population => simulator.binomial(reports, noise.response.reported(rate)),
    };
    drawn as f64 + simulator.noise(scale) as f64
}

fn cover(simulator: &mut Simulator, response: Response, name: &str) {
    for reports in BATCHES {
        for scale in SCALES {
            for scope in [Scope::Cohort, Scope::Population] {
                let aggregators = aggregators(scale);
                let reports = reports as f64;
                let noise = CountNoise { response, reports, aggregators, scope, repeats: 1.0 };
                for rate in RATES {
                    let share = Share::of(RELEASES, || {
                        let count = count(simulator, &noise, rate, scale);
                        noise.interval(count, Confidence::USUAL).contains(rate)
                    });
                    share.check(&format!("{name} n={reports} noise={scale} {scope:?} rate={rate}"));
                }
            }
        }
    }
}

#[test]
fn k_ary_intervals_cover_what_they_say() {
    let mut simulator = Simulator::new(2);
    for bins in [3, 6] {
        cover(&mut simulator, Response::of(&kary(bins, 4.0)), &format!("k={bins}"));
    }
}

#[test]
fn intervals_of_bits_cover_what_they_say() {
    let mut simulator = Simulator::new(3);
    // ε0 = 4 for a one-hot answer is 2 a bit; signals spend their ε0 on each.
    for epsilon in [2.0_f64, 4.0] {
        let flip = 1.0 / (epsilon.exp() + 1.0);
        let response = Response::flipped(flip).unwrap();
        cover(&mut simulator, response, &format!("bits eps={epsilon}"));
    }
}

#[test]
fn rates_of_exactly_zero_and_one_are_covered_as_often() {
    let mut simulator = Simulator::new(4);
    let response = Response::of(&kary(6, 4.0));
    for rate in [0.0, 0.001, 0.003, 0.999, 1.0] {
        let aggregators = aggregators(0.0);
        let noise = CountNoise {
            response,
            reports: 3000.0,
            aggregators,
            scope: Scope::Cohort,
            repeats: 1.0,
        };
        let share = Share::of(RELEASES, || {
            let count = count(&mut simulator, &noise, rate, 0.0);
            noise.interval(count, Confidence::USUAL).contains(rate)
        });
        share.check(&format!("cohort rate={rate}"));
    }
}

/// The one test that draws every report with the real randomizer.
#[test]
fn device_by_device_through_the_real_randomizer() {
    println!("seed 5");
    let mut rng = SimulationRng::from_seed(5);
    let (randomizer, truth) = (kary(6, 4.0), [300_u32, 1470, 30, 900, 300, 0]);
    let mut inside = [0_u32; 6];
    let releases = 400;
    for _ in 0..releases {
        let mut counts = [0; 6];
        for (bin, devices) in (0..).zip(truth) {
            for _ in 0..devices {
                counts[randomizer.simulate(Bin::new(bin), &mut rng).unwrap().index()] += 1;
            }
        }
        let release = sottovoce_estimate::estimate(&randomizer, &counts, 0.95).unwrap();
        for ((inside, truth), figure) in inside.iter_mut().zip(truth).zip(release) {
            *inside += u32::from((figure.low..=figure.high).contains(&f64::from(truth)));
        }
    }
    let share = Share { inside: inside.iter().sum(), of: releases * 6 };
    share.check_between("device by device, all bins", 0.93, 0.97);
}

#[test]
fn simultaneous_intervals_hold_all_at_once() {
    let mut simulator = Simulator::new(6);
    let bits = Channel::Bits {
        responses: vec![Response::flipped(0.119_2).unwrap(); 6],
        answers: Answers::OneHot,
    };
    let cases: [(&str, Channel, Vec<u64>); 5] = [
        ("k=2", Channel::of(&kary(2, 4.0)), vec![1500, 1500]),
        ("k=3", Channel::of(&kary(3, 4.0)), vec![1500, 30, 1470]),
        ("k=6", Channel::of(&kary(6, 4.0)), vec![500; 6]),
        ("k=6 skewed", Channel::of(&kary(6, 4.0)), vec![30, 30, 30, 30, 30, 2850]),
        ("bits", bits, vec![500; 6]),
    ];
    for (name, channel, truth) in cases {
        for scale in SCALES {
            let inside = |(figure, truth): (&Estimate, &u64)| {
                (figure.low..=figure.high).contains(&(*truth as f64))
            };
            let share = Share::of(RELEASES, || {
                let release = simulator.release(&truth, &channel, scale);
                let figures = simultaneous_estimates(&release, Confidence::USUAL);
                figures.iter().zip(&truth).all(inside)
            });
            // Bonferroni: never below, and above where bins exclude each other.
            share.check_between(&format!("all bins {name} noise={scale}"), 0.94, 0.98);
        }
    }
}

#[test]
fn estimates_are_unbiased_with_aggregator_noise() {
    let mut simulator = Simulator::new(7);
    let channel = Channel::of(&kary(6, 4.0));
    let truth = [30, 600, 1470, 300, 0, 600];
    let mut sums = [0.0; 6];
    for _ in 0..RELEASES {
        let release = simulator.release(&truth, &channel, 7.07);
        let figures = estimates(&release, Confidence::USUAL);
        sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure.estimate);
    }
    for (sum, truth) in sums.into_iter().zip(truth) {
        // The standard deviation of one estimate is below 20 devices.
        let bias = sum / f64::from(RELEASES) - truth as f64;
        assert!(bias.abs() < 4.0 * 20.0 / f64::from(RELEASES).sqrt(), "{bias} for {truth}");
    }
}
