//! What is found of clients whose draws are simulated here, from a seed: each test says the same whenever it
//! is run.

use super::{
    inputs::Input,
    judge::{Judgement, judge},
    reader::Opened,
    tally::Tally,
};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use sottovoce_privacy::{
    guarantee::{Mechanism, MechanismKind},
    units::Epsilon,
};
use sottovoce_program::answer::Answer;

const ALPHA: f64 = 1e-6;

fn bits(bins: u32) -> Mechanism {
    Mechanism::new(MechanismKind::Bits, bins, Epsilon::new(2.0).unwrap()).unwrap()
}

fn choice(bins: u32) -> Mechanism {
    Mechanism::new(MechanismKind::Krr, bins, Epsilon::new(3.0).unwrap()).unwrap()
}

/// As many answers of one bin as are compared at most.
fn inputs(mechanism: &Mechanism) -> Vec<Input> {
    let bins = mechanism.bins() as usize;
    let one_hot = |on: usize| (0..bins).map(|bin| bin == on).collect();
    (0..bins.min(6)).map(|on| Input { answer: Answer::none(), bits: one_hot(on) }).collect()
}

/// A draw: of each bin a number below one, as an honest client draws it.
type Draw = Vec<f64>;

/// What an honest client makes of an answer and a draw.
fn randomized(mechanism: &Mechanism, input: &[bool], draw: &[f64]) -> Vec<bool> {
    match mechanism {
        Mechanism::Krr(kary) => {
            let lie = (draw[0] - kary.truth_probability()) / kary.lie_probability();
            let truth = input.iter().position(|bit| *bit).unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few bins")]
            let offset = if lie < 0.0 { 0 } else { 1 + lie as usize };
            one_of(input.len(), truth + offset)
        }
        Mechanism::Bits(bits) | Mechanism::Signals(bits) => {
            let flip = bits.flip_probability();
            input.iter().zip(draw).map(|(bit, draw)| *bit ^ (*draw < flip)).collect()
        }
    }
}

fn one_of(bins: usize, on: usize) -> Vec<bool> {
    (0..bins).map(|bin| bin == on % bins).collect()
}

/// The rules that are broken in as many reports. The client is told the number of the report, the answer, and a fresh draw.
fn found(
    mechanism: &Mechanism,
    reports: usize,
    client: impl FnMut(usize, &[bool], Draw) -> Vec<bool>,
) -> Vec<&'static str> {
    judged(mechanism, reports, client).faults.iter().map(|fault| fault.rule).collect()
}

fn judged(
    mechanism: &Mechanism,
    reports: usize,
    mut client: impl FnMut(usize, &[bool], Draw) -> Vec<bool>,
) -> Judgement {
    let (inputs, mut rng) = (inputs(mechanism), ChaCha8Rng::seed_from_u64(7));
    let mut tally = Tally::new(mechanism, &inputs);
    let draws = if matches!(mechanism, Mechanism::Krr(_)) { 1 } else { mechanism.bins() };
    for report in 0..reports {
        let draw = (0..draws).map(|_| rng.random()).collect();
        let turn = (report >> 1) % inputs.len();
        let bits = client(report, &inputs[turn].bits, draw);
        let fresh = vec![report.to_be_bytes().to_vec()];
        tally.report(turn, &inputs, &Opened { bits, fresh });
    }
    judge(mechanism, &inputs, &tally, ALPHA)
}

#[test]
fn honest_draws_are_right() {
    for mechanism in [bits(2), bits(8), bits(40), choice(2), choice(5), choice(40)] {
        let honest = |_, input: &[bool], draw: Draw| randomized(&mechanism, input, &draw);
        assert_eq!(found(&mechanism, 40_000, honest), [""; 0], "{mechanism:?}");
    }
}

#[test]
fn a_bin_that_is_turned_too_seldom_does_not_hide_behind_another() {
    let mechanism = bits(8);
    let uneven = |_, input: &[bool], mut draw: Draw| {
        draw[3] /= 0.95;
        draw[6] /= 1.05;
        randomized(&mechanism, input, &draw)
    };
    let rules = found(&mechanism, 250_000, uneven);
    assert!(rules.contains(&"flips-uneven") && !rules.contains(&"flip-probability"), "{rules:?}");
}

#[test]
fn a_bin_that_is_off_by_more_than_is_said_to_show_shows() {
    let mechanism = bits(8);
    let honest = |_, input: &[bool], draw: Draw| randomized(&mechanism, input, &draw);
    let shows = judged(&mechanism, 40_000, honest).bin_shows_from;
    assert!((0.05..0.15).contains(&shows), "{shows}");
    for (factor, found) in [(1.5, true), (0.5, false)] {
        let uneven = |_, input: &[bool], mut draw: Draw| {
            draw[7] /= 1.0 + factor * shows;
            randomized(&mechanism, input, &draw)
        };
        assert_eq!(!judged(&mechanism, 40_000, uneven).faults.is_empty(), found, "{factor}");
    }
}

#[test]
fn an_answer_that_is_changed_too_seldom_does_not_hide_behind_another() {
    for mechanism in [bits(6), choice(6)] {
        let uneven = |_, input: &[bool], draw: Draw| {
            let factor = if input[1] {
                0.9
            } else if input[2] {
                1.1
            } else {
                1.0
            };
            let draw = match mechanism {
                Mechanism::Krr(_) => draw.iter().map(|draw| 1.0 - (1.0 - draw) / factor).collect(),
                _ => draw.iter().map(|draw| draw / factor).collect::<Vec<_>>(),
            };
            let draw: Vec<f64> = draw.iter().map(|draw| draw.max(0.0)).collect();
            randomized(&mechanism, input, &draw)
        };
        let rules = found(&mechanism, 150_000, uneven);
        assert!(["flips-uneven", "lies-uneven"].contains(&rules[0]), "{rules:?}");
    }
}

#[test]
fn a_bit_that_is_turned_only_when_it_is_on_is_found() {
    // As often as promised over all answers, and so says little of those who did not choose it.
    let mechanism = bits(2);
    let uneven = |_, input: &[bool], mut draw: Draw| {
        draw[0] *= if input[0] { 0.9 } else { 1.0 / 0.9 };
        randomized(&mechanism, input, &draw)
    };
    assert!(found(&mechanism, 150_000, uneven).contains(&"flips-uneven"));
}

#[test]
fn a_client_that_always_tells_the_same_lie_is_found() {
    let mechanism = choice(5);
    let same = |_, input: &[bool], draw: Draw| {
        let honest = randomized(&mechanism, input, &draw);
        let truth = input.iter().position(|bit| *bit).unwrap();
        if honest == input { honest } else { one_of(5, truth + 1) }
    };
    assert!(found(&mechanism, 10_000, same).contains(&"lies-uneven"));
}

#[test]
fn bits_that_are_turned_by_one_draw_are_found() {
    let mechanism = bits(8);
    for (from, share) in [(4, 1.0), (1, 0.2)] {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let correlated = |_, input: &[bool], mut draw: Draw| {
            if rng.random_bool(share) {
                draw[5] = draw[from];
            }
            randomized(&mechanism, input, &draw)
        };
        assert_eq!(found(&mechanism, 40_000, correlated), ["bits-dependent"]);
    }
}

#[test]
fn a_pool_of_draws_is_found() {
    for mechanism in [bits(8), choice(5)] {
        for size in [16_usize, 300] {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let pool: Vec<Draw> =
                (0..size).map(|_| (0..8).map(|_| rng.random()).collect()).collect();
            let pooled = |_, input: &[bool], _| {
                randomized(&mechanism, input, &pool[rng.random_range(..size)])
            };
            assert_ne!(found(&mechanism, 130_000, pooled), [""; 0], "{size} {mechanism:?}");
        }
    }
}

#[test]
fn draws_that_come_again_are_found_at_any_distance() {
    for mechanism in [bits(8), bits(40), choice(5)] {
        // Each draw once more, so far later; the rates are right.
        for lag in [1, 2, 7, 64, 999, 4096, 8192] {
            let mut drawn: Vec<Draw> = Vec::new();
            let again = |report: usize, input: &[bool], draw: Draw| {
                let draw = if (report / lag).is_multiple_of(2) {
                    draw
                } else {
                    drawn[report - lag].clone()
                };
                let bits = randomized(&mechanism, input, &draw);
                drawn.push(draw);
                bits
            };
            let rules = found(&mechanism, 20_000, again);
            assert!(rules.contains(&"dependent"), "{lag} {rules:?} {mechanism:?}");
        }
    }
}

#[test]
fn a_few_draws_that_come_again_are_found() {
    let mechanism = choice(5);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut drawn: Vec<Draw> = Vec::new();
    let again = |report: usize, input: &[bool], draw: Draw| {
        let draw =
            if report >= 5 && rng.random_bool(0.15) { drawn[report - 5].clone() } else { draw };
        let bits = randomized(&mechanism, input, &draw);
        drawn.push(draw);
        bits
    };
    assert_eq!(found(&mechanism, 40_000, again), ["dependent"]);
}
