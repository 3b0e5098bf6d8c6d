//! Figures made of several rates: ratings, thumbs among those who answered, preferences.

use crate::{Share, rates::RELEASES, simulate::Simulator};
use sottovoce_estimate::{
    confidence::Confidence,
    debias::Response,
    figure::ratio,
    interval::Scope,
    noisy_counts::{Answers, Channel, NoisyCounts},
    preference::{Ballot, Outcome, strengths},
    rating::{Scale, rating},
};
use sottovoce_privacy::{randomizer::KaryRandomizer, units::Epsilon};

/// With a standard deviation of 14.1 counts in all.
const SCALES: [f64; 2] = [0.0, 7.07];

fn kary(bins: u32) -> Channel {
    Channel::of(&KaryRandomizer::new(bins, Epsilon::new(4.0).unwrap()).unwrap())
}

/// One-hot bits with ε0 = 4 for the answer, 2 for each bit.
fn bits(bins: usize) -> Channel {
    let response = Response::flipped(1.0 / (2.0_f64.exp() + 1.0)).unwrap();
    Channel::Bits { responses: vec![response; bins], answers: Answers::OneHot }
}

/// Devices by answer: the truth itself for a cohort, a draw from it for a population.
fn devices(simulator: &mut Simulator, truth: &[u64], scope: Scope) -> Vec<u64> {
    let n: u64 = truth.iter().sum();
    let shares: Vec<f64> = truth.iter().map(|devices| *devices as f64 / n as f64).collect();
    match scope {
        Scope::Cohort => truth.to_vec(),
        Scope::Population => simulator.multinomial(n, &shares),
    }
}

fn each_setting(mut check: impl FnMut(Scope, f64)) {
    for scope in [Scope::Cohort, Scope::Population] {
        for scale in SCALES {
            check(scope, scale);
        }
    }
}

#[test]
fn thumbs_among_those_who_answered() {
    let mut simulator = Simulator::new(11);
    let answered = [1.0, 1.0, 0.0];
    let covers = |release: &NoisyCounts, scope, truth: [u64; 3]| {
        let up = ratio(release, &[1.0, 0.0, 0.0], &answered, scope, Confidence::USUAL);
        // A refusal is Fieller's interval without limits: it contradicts nothing.
        up.is_err() || up.unwrap().interval.contains(truth[0] as f64 / (truth[0] + truth[1]) as f64)
    };
    for (name, channel) in [("k=3", kary(3)), ("bits", bits(3))] {
        // Up rates of .99, .5 and .01 of 30 %, and .7 of 5 %, who answered.
        for truth in [[891, 9, 2100], [450, 450, 2100], [9, 891, 2100], [105, 45, 2850]] {
            each_setting(|scope, scale| {
                let share = Share::of(RELEASES, || {
                    let drawn = devices(&mut simulator, &truth, scope);
                    covers(&simulator.release(&drawn, &channel, scale), scope, truth)
                });
                let name = format!("thumbs {name} {truth:?} {scope:?} noise={scale}");
                // With hardly an answer to divide by, Fieller's interval errs to the safe side.
                let most = if truth[2] > 2500 { 0.975 } else { 0.96 };
                share.check_between(&name, 0.94, most);
            });
        }
    }
}

#[test]
fn means_and_top_two_boxes() {
    let mut simulator = Simulator::new(12);
    let scale_of_five = Scale::levels(5).unwrap();
    for (name, channel) in [("k=6", kary(6)), ("bits", bits(6))] {
        for truth in [[90_u64, 90, 180, 270, 270, 2100], [10, 10, 20, 100, 1360, 1500]] {
            let answered: u64 = truth[..5].iter().sum();
            let mean = (1..).zip(&truth[..5]).map(|(level, n)| level * n).sum::<u64>() as f64
                / answered as f64;
            let top = (truth[3] + truth[4]) as f64 / answered as f64;
            each_setting(|scope, scale| {
                let mut inside = [0_u32; 3];
                for _ in 0..RELEASES {
                    let drawn = devices(&mut simulator, &truth, scope);
                    let release = simulator.release(&drawn, &channel, scale);
                    let figures =
                        rating(&release, &scale_of_five, scope, Confidence::USUAL).unwrap();
                    let rate = answered as f64 / 3000.0;
                    for (inside, (figure, truth)) in inside.iter_mut().zip([
                        (figures.mean, mean),
                        (figures.top_two_box, top),
                        (figures.response_rate, rate),
                    ]) {
                        *inside += u32::from(figure.interval.contains(truth));
                    }
                }
                for (what, inside) in ["mean", "top two", "answered"].into_iter().zip(inside) {
                    let share = Share { inside, of: RELEASES };
                    let name = format!("{what} {name} {truth:?} {scope:?} noise={scale}");
                    // Near an end of the range what is noisier than its distance errs to the safe side.
                    let noisy = scale > 0.0 || name.contains("bits");
                    let most = if noisy && top > 0.95 { 0.98 } else { 0.96 };
                    share.check_between(&name, 0.94, most);
                }
            });
        }
    }
}

#[test]
fn strengths_of_three_candidates() {
    let mut simulator = Simulator::new(13);
    let names = ["A", "B", "C"].map(str::to_owned);
    let truth = [0.4, 0.0, -0.4];
    let mut outcomes = vec![Outcome::Nothing];
    for [i, j] in [[0, 1], [1, 2], [0, 2]] {
        outcomes.extend([Outcome::Preferred(i, j), Outcome::Preferred(j, i), Outcome::Tie(i, j)]);
    }
    let probability = |outcome: &Outcome| match *outcome {
        Outcome::Nothing => 0.4,
        Outcome::Preferred(i, j) => 0.2 * davidson(truth[i] - truth[j])[0],
        Outcome::Tie(i, j) => 0.2 * davidson(truth[i] - truth[j])[1],
    };
    let shares: Vec<f64> = outcomes.iter().map(probability).collect();
    for (name, channel) in [("k=10", kary(10)), ("bits", bits(10))] {
        for scale in SCALES {
            let mut inside = [0_u32; 3];
            // Fitting takes a hundred times as long as a ratio: 10,000 releases in all.
            let releases = RELEASES / 4;
            for _ in 0..releases {
                let drawn = simulator.multinomial(6000, &shares);
                let release = simulator.release(&drawn, &channel, scale);
                let ballot = Ballot::new(release, outcomes.clone()).unwrap();
                let found = strengths(&names, &[ballot], Confidence::USUAL).unwrap();
                for ((inside, truth), found) in inside.iter_mut().zip(truth).zip(found.candidates) {
                    *inside += u32::from(found.interval.contains(truth));
                }
            }
            let share = Share { inside: inside.iter().sum(), of: 3 * releases };
            share.check_between(&format!("strengths {name} noise={scale}"), 0.94, 0.96);
        }
    }
}

/// The first is preferred, and a tie, at ν = 0.5.
fn davidson(difference: f64) -> [f64; 2] {
    let weights = [(difference / 2.0).exp(), 0.5, (-difference / 2.0).exp()];
    let total: f64 = weights.iter().sum();
    [weights[0] / total, weights[1] / total]
}
