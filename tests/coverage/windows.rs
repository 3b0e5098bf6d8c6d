//! Batches, and series of batches, in which devices report several times.

use crate::{Share, simulate::Simulator};
use sottovoce_estimate::{
    confidence::Confidence,
    estimates,
    figure::ratio,
    interval::Scope,
    noisy_counts::{Channel, NoisyCounts},
    preference::{Ballot, Outcome, strengths},
};
use sottovoce_privacy::{randomizer::KaryRandomizer, units::Epsilon};

const RUNS: u32 = 2000;
/// Windows of a batch, and devices that report in each.
const BATCHES: [(u64, u64); 2] = [(7, 3000), (30, 1500)];
const SCALES: [f64; 2] = [0.0, 7.07];

fn kary(bins: u32) -> Channel {
    Channel::of(&KaryRandomizer::new(bins, Epsilon::new(4.0).unwrap()).unwrap())
}

/// How devices answer in several windows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answers {
    /// As they always did.
    Alike,
    /// Each time anew.
    Anew,
}

/// A batch of so many windows, with reports of the same devices in each.
fn batch(
    simulator: &mut Simulator,
    (windows, devices): (u64, u64),
    shares: &[f64],
    answers: Answers,
    scale: f64,
) -> NoisyCounts {
    let truth: Vec<u64> = match answers {
        Answers::Alike => {
            let devices = simulator.multinomial(devices, shares);
            devices.into_iter().map(|devices| devices * windows).collect()
        }
        Answers::Anew => simulator.multinomial(devices * windows, shares),
    };
    let channel = kary(shares.len() as u32);
    simulator.release(&truth, &channel, scale).with_repeats(windows)
}

fn check(share: Share, answers: Answers, name: &str) {
    match answers {
        Answers::Alike => share.check_between(name, 0.935, 0.975),
        // There is more to learn from these than is counted on.
        Answers::Anew => share.check_between(name, 0.95, 1.0),
    }
}

#[test]
fn rates_of_device_windows_hold_the_truth_even_if_devices_answer_alike() {
    let mut simulator = Simulator::new(31);
    for (size, scale) in BATCHES.into_iter().flat_map(|size| SCALES.map(|scale| (size, scale))) {
        for answers in [Answers::Alike, Answers::Anew] {
            for rate in [0.01, 0.5, 0.99] {
                let shares = [rate, 0.4 * (1.0 - rate), 0.6 * (1.0 - rate)];
                let share = Share::of(RUNS, || {
                    let release = batch(&mut simulator, size, &shares, answers, scale);
                    let figure = estimates(&release, Confidence::USUAL)[0];
                    (figure.rate_low..=figure.rate_high).contains(&rate)
                });
                let (windows, devices) = size;
                let name = format!(
                    "{windows} windows of {devices} devices, rate={rate} {answers:?} noise={scale}"
                );
                check(share, answers, &name);
            }
        }
    }
}

#[test]
fn shares_among_answers_of_device_windows_hold_the_truth() {
    let mut simulator = Simulator::new(32);
    let (up, answered) = ([1.0, 0.0, 0.0], [1.0, 1.0, 0.0]);
    for size in BATCHES {
        for answers in [Answers::Alike, Answers::Anew] {
            for rate in [0.1, 0.7, 0.97] {
                let shares = [0.3 * rate, 0.3 * (1.0 - rate), 0.7];
                let share = Share::of(RUNS, || {
                    let release = batch(&mut simulator, size, &shares, answers, 0.0);
                    let (scope, confidence) = (Scope::Population, Confidence::USUAL);
                    let figure = ratio(&release, &up, &answered, scope, confidence).unwrap();
                    figure.interval.contains(rate)
                });
                check(share, answers, &format!("{size:?} up={rate} {answers:?}"));
            }
        }
    }
}

/// Two candidates, of whom the first wins 60 % of decided comparisons.
const PAIR: [f64; 3] = [0.3, 0.2, 0.5];

#[test]
fn pooled_strengths_hold_the_truth_whoever_is_in_several_batches() {
    let mut simulator = Simulator::new(33);
    let names = ["A", "B"].map(str::to_owned);
    let outcomes = [Outcome::Preferred(0, 1), Outcome::Preferred(1, 0), Outcome::Nothing];
    let truth = (PAIR[0] / PAIR[1]).ln() / 2.0;
    let windows = 7;
    for answers in [Answers::Alike, Answers::Anew] {
        let share = Share::of(300, || {
            let devices = simulator.multinomial(1000, &PAIR);
            let ballots: Vec<Ballot> = (0..windows)
                .map(|_| {
                    let truth = match answers {
                        Answers::Alike => devices.clone(),
                        Answers::Anew => simulator.multinomial(1000, &PAIR),
                    };
                    let release = simulator.release(&truth, &kary(3), 0.0).with_repeats(windows);
                    Ballot::new(release, outcomes.to_vec()).unwrap()
                })
                .collect();
            let found = strengths(&names, &ballots, Confidence::USUAL).unwrap();
            found.candidates[0].interval.contains(truth)
        });
        let name = format!("strengths of {windows} batches of the same devices, {answers:?}");
        // Three standard errors of 300 runs.
        share.check_between(&name, if answers == Answers::Alike { 0.91 } else { 0.96 }, 1.0);
    }
}
