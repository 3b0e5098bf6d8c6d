use super::*;
use proptest::prelude::*;

fn randomizer(bits: u32, epsilon: f64) -> BitRandomizer {
    BitRandomizer::new(bits, Epsilon::new(epsilon).unwrap()).unwrap()
}

/// Draws that are laid down in advance.
struct Script(Vec<u64>);

impl Uniform for Script {
    fn next_u64(&mut self) -> u64 {
        self.0.remove(0)
    }
}

#[test]
fn a_bit_turns_over_for_exactly_the_draws_below_the_weight() {
    for epsilon in [0.5, 4.0, 8.0] {
        let randomizer = randomizer(1, epsilon);
        let weight = randomizer.flip_weight();
        for (draw, turned) in
            [(0, true), (weight - 1, true), (weight, false), (weight + 1, false), (u64::MAX, false)]
        {
            for bit in [false, true] {
                let out = randomizer.respond(choices(&[bit]), &mut Script(vec![draw]));
                assert_eq!(out, [bit ^ turned], "ε = {epsilon}, draw {draw}");
            }
        }
    }
}

#[test]
fn each_bit_has_a_draw_of_its_own() {
    let randomizer = randomizer(4, 2.0);
    let script = || Script(vec![0, u64::MAX, 0, u64::MAX]);
    let out = randomizer.respond(choices(&[false; 4]), &mut script());
    assert_eq!(out, [true, false, true, false]);
    let one_hot = randomizer.one_hot(Bin::new(2)).unwrap();
    assert_eq!(randomizer.respond(one_hot, &mut script()), [true, false, false, false]);
}

#[test]
fn impossible_parameters_and_answers_are_refused() {
    let epsilon = Epsilon::new(1.0).unwrap();
    assert_eq!(BitRandomizer::new(0, epsilon), Err(RandomizerError::Bits(0)));
    assert!(BitRandomizer::new(5, Epsilon::new(0.0).unwrap()).is_err());
    assert!(BitRandomizer::new(5, Epsilon::new(21.0).unwrap()).is_err());
    assert_eq!(BitRandomizer::from_parts(5, 0), Err(RandomizerError::Flip(0)));
    assert!(BitRandomizer::from_parts(5, (1 << 63) + 1).is_err());
    let randomizer = randomizer(3, 1.0);
    let mut rng = SimulationRng::from_seed(1);
    let short = randomizer.simulate(&[true; 2], &mut rng);
    assert_eq!(short, Err(RandomizerError::Length { given: 2, bits: 3 }));
    let absent = randomizer.simulate_one_hot(Bin::new(3), &mut rng);
    assert_eq!(absent, Err(RandomizerError::NoSuchBin { bin: 3, bins: 3 }));
    for refusal in [0.0, 1.0, f64::NAN] {
        assert!(randomizer.max_weight_for(Changed::Free, refusal).is_err());
    }
}

#[test]
fn a_weight_of_one_half_hides_everything() {
    let coin = BitRandomizer::from_parts(3, 1 << 63).unwrap();
    assert!(coin.epsilon(Changed::Free).get() < 1e-14);
}

proptest! {
    #[test]
    fn the_realised_loss_is_at_most_the_nominal_and_next_to_it(bits in 1_u32..200, epsilon in 0.01..12.0) {
        let randomizer = randomizer(bits, epsilon);
        let realised = randomizer.epsilon_per_bit().get();
        prop_assert!(realised <= epsilon && realised > epsilon - 1e-9);
        let smaller = randomizer.flip_weight() - (randomizer.flip_weight() >> 45).max(2);
        let leaner = BitRandomizer::from_parts(bits, smaller).unwrap();
        prop_assert!(leaner.epsilon_per_bit().get() > epsilon);
    }

    /// The likelihood ratio of each output under any two inputs, bit by bit.
    #[test]
    fn any_two_answers_are_at_most_epsilon_apart(bits in 1_u32..6, epsilon in 0.1..8.0) {
        let randomizer = randomizer(bits, epsilon);
        let (keep, flip) = (randomizer.truth_probability(), randomizer.flip_probability());
        let likelihood = |output: u32, input: u32| {
            let flips = (output ^ input).count_ones();
            (flip.powi(flips.cast_signed()) * keep.powi((bits - flips).cast_signed())).ln()
        };
        let all = 1_u32 << bits;
        for (one, other) in (0..all).flat_map(|one| (0..all).map(move |other| (one, other))) {
            let one_hot = one.is_power_of_two() && other.is_power_of_two();
            for output in 0..all {
                let loss = likelihood(output, one) - likelihood(output, other);
                prop_assert!(loss <= randomizer.epsilon(Changed::Free).get() + 1e-9);
                if one_hot {
                    prop_assert!(loss <= randomizer.epsilon(Changed::OneHot).get() + 1e-9);
                }
            }
        }
    }

    #[test]
    fn a_manifests_integer_gives_the_same_randomizer(bits in 1_u32..50, epsilon in 0.1..8.0) {
        let one = randomizer(bits, epsilon);
        let other = BitRandomizer::from_parts(bits, one.flip_weight()).unwrap();
        prop_assert!(other.epsilon_per_bit().get() >= one.epsilon_per_bit().get());
    }

    /// Against the distribution of the weight, worked out bit by bit.
    #[test]
    fn the_weight_bound_is_the_smallest(bits in 1_u32..40, epsilon in 0.2..6.0, digits in 0.5_f32..24.0) {
        let randomizer = randomizer(bits, epsilon);
        let refusal = 10_f64.powf(-f64::from(digits));
        let exceeds = |on: u32, weight: u32| {
            let mut row = vec![1.0];
            for bit in 0..bits {
                let one = if bit < on { randomizer.truth_probability() } else { randomizer.flip_probability() };
                let mut next = vec![0.0; row.len() + 1];
                for (i, probability) in row.iter().enumerate() {
                    next[i] += probability * (1.0 - one);
                    next[i + 1] += probability * one;
                }
                row = next;
            }
            row[weight as usize + 1..].iter().sum::<f64>()
        };
        for (changed, ons) in [(Changed::OneHot, 1..=1), (Changed::Free, 0..=bits)] {
            let weight = randomizer.max_weight_for(changed, refusal).unwrap();
            let worst = |weight| ons.clone().map(|on| exceeds(on, weight)).fold(0.0, f64::max);
            prop_assert!(worst(weight) < refusal);
            prop_assert!(weight == 1 || worst(weight - 1) >= refusal * (1.0 - 1e-6));
        }
    }
}

#[test]
fn draws_follow_the_weight() {
    const DRAWS: u32 = 100_000;
    let randomizer = randomizer(3, 1.0);
    let seed = 20_261_124;
    let mut rng = SimulationRng::from_seed(seed);
    let mut on = [0_u64; 3];
    for _ in 0..DRAWS {
        let bits = randomizer.simulate(&[true, false, true], &mut rng).unwrap();
        on.iter_mut().zip(bits).for_each(|(on, bit)| *on += u64::from(bit));
    }
    let (keep, flip) = (randomizer.truth_probability(), randomizer.flip_probability());
    for (on, expected) in on.iter().zip([keep, flip, keep]) {
        let deviation =
            (*on as f64 - expected * f64::from(DRAWS)) / (f64::from(DRAWS) * keep * flip).sqrt();
        assert!(deviation.abs() < 4.5, "seed {seed}: {on} for {expected}");
    }
}

/// OpenDP's own bitwise randomized response, with the same probability of turning a bit over, must
/// draw from the same distribution and count the same loss.
#[test]
fn opendp_draws_from_the_same_distribution() {
    use opendp::{
        domains::{BitVector, BitVectorDomain},
        measurements::make_randomized_response_bitvec,
        metrics::DiscreteDistance,
    };
    const DRAWS: u32 = 20_000;
    let ours = randomizer(5, 1.5);
    let domain = BitVectorDomain::new().with_max_weight(1);
    let twice = 2.0 * ours.flip_probability();
    let theirs = make_randomized_response_bitvec(domain, DiscreteDistance, twice, false).unwrap();
    let loss = theirs.map(&1).unwrap();
    assert!((loss - ours.epsilon(Changed::OneHot).get()).abs() < 1e-9);
    let answer: BitVector = [false, false, true, false, false].into_iter().collect();
    let mut rng = DeviceRng::new().unwrap();
    let (mut our_counts, mut their_counts) = ([0_u64; 5], [0_u64; 5]);
    for _ in 0..DRAWS {
        let one = ours.randomize_one_hot(Bin::new(2), &mut rng).unwrap();
        let other = theirs.invoke(&answer).unwrap();
        for (i, bit) in one.bits().iter().enumerate() {
            our_counts[i] += u64::from(*bit);
            their_counts[i] += u64::from(other[i]);
        }
    }
    // Each is a difference of two binomials: 6 standard deviations fail once in 10^8 runs.
    let variance = 2.0 * f64::from(DRAWS) * ours.truth_probability() * ours.flip_probability();
    for (a, b) in our_counts.iter().zip(&their_counts) {
        let deviation = (*a as f64 - *b as f64) / variance.sqrt();
        assert!(deviation.abs() < 6.0, "{our_counts:?} {their_counts:?}");
    }
}
