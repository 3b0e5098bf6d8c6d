//! Verdicts: how often something is said that is not so, and whether corrections hold the truth.

use crate::{Share, rates::RELEASES, simulate::Simulator};
use sottovoce::{
    estimate::{
        change::{Cusum, Window, change_point},
        compare::{Arm, Question, Unit, Verdict, all_pairs, compare},
        confidence::Confidence,
        disparity::Segments,
        figure::{Figure, weighted_sum},
        interval::Scope,
        noisy_counts::Channel,
        nonresponse::{Cell, Joint},
        normal::upper_quantile,
        planning::{Test, VarianceLaw},
    },
    privacy::{randomizer::KaryRandomizer, units::Epsilon},
};

const QUESTION: Question = Question { test: Test::USUAL, worth: 0.02, unit: Unit::Rate };

fn kary(bins: u32) -> Channel {
    Channel::of(&KaryRandomizer::new(bins, Epsilon::new(4.0).unwrap()).unwrap())
}

/// The share of up in one arm of `n` devices.
fn rate(simulator: &mut Simulator, n: u64, rate: f64, scale: f64) -> Figure {
    let devices = simulator.multinomial(n, &[rate, 1.0 - rate, 0.0]);
    let release = simulator.release(&devices, &kary(3), scale);
    weighted_sum(&release, &[1.0, 0.0, 0.0], Scope::Population, Confidence::USUAL).unwrap()
}

fn arms(simulator: &mut Simulator, n: u64, rates: &[f64], scale: f64) -> Vec<Arm> {
    rates.iter().map(|p| Arm::new("arm", &rate(simulator, n, *p, scale), n).unwrap()).collect()
}

#[test]
fn equal_arms_are_seldom_called_different() {
    let mut simulator = Simulator::new(21);
    for scale in [0.0, 7.07] {
        for p in [0.01, 0.5, 0.99] {
            let share = Share::of(RELEASES, || {
                let arms = arms(&mut simulator, 3000, &[p, p], scale);
                let comparison = &compare(&all_pairs(&arms), QUESTION).unwrap()[0];
                comparison.verdict == Verdict::CannotTell
            });
            share.check(&format!("two equal arms, rate={p} noise={scale}"));
        }
    }
    // One false verdict in any of ten is as rare; Holm's procedure errs to the safe side.
    let share = Share::of(RELEASES, || {
        let arms = arms(&mut simulator, 3000, &[0.5; 5], 0.0);
        let comparisons = compare(&all_pairs(&arms), QUESTION).unwrap();
        comparisons.iter().all(|comparison| comparison.verdict == Verdict::CannotTell)
    });
    share.check_between("five equal arms, ten comparisons", 0.94, 0.98);
    let share = Share::of(RELEASES, || {
        let arms = arms(&mut simulator, 3000, &[0.5; 5], 0.0);
        let segments = Segments::apart(&arms, Unit::Rate).unwrap();
        !segments.largest_gap(Confidence::USUAL).is_supported
    });
    share.check_between("largest gap of five equal segments", 0.94, 0.98);
}

#[test]
fn as_many_devices_as_planned_find_the_difference_as_often_as_planned() {
    let mut simulator = Simulator::new(22);
    let channel = kary(3);
    for scale in [0.0, 7.07] {
        let aggregators = crate::simulate::aggregators(scale);
        let response = channel.response(0).unwrap();
        let law = VarianceLaw::of_rate(response, aggregators, 0.5, Scope::Population).unwrap();
        let n = law.devices_per_arm(0.05, Test::USUAL).unwrap();
        let share = Share::of(RELEASES, || {
            let arms = arms(&mut simulator, n, &[0.525, 0.475], scale);
            let comparison = &compare(&all_pairs(&arms), QUESTION).unwrap()[0];
            comparison.verdict == Verdict::FirstHigher
        });
        share.check_between(&format!("power with {n} per arm, noise={scale}"), 0.785, 0.815);
    }
}

#[test]
fn corrections_for_silence_hold_the_truth() {
    let mut simulator = Simulator::new(23);
    // Copied, left, asked again: yes, no and silent, missing at random within each.
    let shares = [0.12, 0.03, 0.25, 0.03, 0.07, 0.25, 0.06, 0.06, 0.13];
    let truth = 0.8 * 0.40 + 0.3 * 0.35 + 0.5 * 0.25;
    let cells: Vec<Cell> =
        (0..3).flat_map(|s| [Cell::Yes(s), Cell::No(s), Cell::Silent(s)]).collect();
    let strata = ["copied", "left", "asked again"].map(str::to_owned).to_vec();
    for scale in [0.0, 7.07] {
        let [mut corrected, mut bounds] = [0, 0];
        for _ in 0..RELEASES / 2 {
            let devices = simulator.multinomial(10_000, &shares);
            let release = simulator.release(&devices, &kary(9), scale);
            let joint = Joint::new(release, cells.clone(), strata.clone()).unwrap();
            let correction = joint.correct(Confidence::USUAL).unwrap();
            corrected += u32::from(correction.corrected.unwrap().interval.contains(truth));
            bounds += u32::from(correction.bounds.interval.contains(truth));
        }
        let of = RELEASES / 2;
        Share { inside: corrected, of }.check(&format!("corrected for silence, noise={scale}"));
        Share { inside: bounds, of }.check_between("Manski's bounds", 0.95, 1.0);
    }
}

/// A window whose figure is as uncertain as it says.
fn window(simulator: &mut Simulator, mean: f64) -> Window {
    let uniform = simulator.uniform().clamp(1e-15, 1.0 - 1e-15);
    Window::new("w", mean + upper_quantile(uniform), 1.0).unwrap()
}

#[test]
fn false_alarms_come_once_in_465_windows() {
    let mut simulator = Simulator::new(24);
    let (runs, mut windows) = (2000, 0_u32);
    for _ in 0..runs {
        let mut cusum = Cusum::new(Window::new("reference", 0.0, 1e-9).unwrap());
        while cusum.alarm().is_none() {
            cusum.push(&window(&mut simulator, 0.0));
            windows += 1;
        }
    }
    let length = f64::from(windows) / f64::from(runs);
    println!("{length:.1} windows to a false alarm");
    // A run length is about exponential: a standard error of 465/√2000 = 10.4.
    assert!((length - 465.0).abs() < 35.0, "{length}");
}

#[test]
fn a_series_without_a_change_is_seldom_given_one() {
    let mut simulator = Simulator::new(25);
    for length in [4, 30] {
        let share = Share::of(RELEASES / 2, || {
            let windows: Vec<Window> = (0..length).map(|_| window(&mut simulator, 0.0)).collect();
            change_point(&windows, Confidence::USUAL).unwrap().verdict.is_none()
        });
        // Neighbouring splits go together, which Bonferroni does not use.
        share.check_between(&format!("no change in {length} windows"), 0.94, 0.995);
    }
}
