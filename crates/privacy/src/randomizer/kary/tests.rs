use super::*;
use proptest::prelude::*;

fn randomizer(bins: u32, epsilon: f64) -> KaryRandomizer {
    KaryRandomizer::new(bins, Epsilon::new(epsilon).unwrap()).unwrap()
}

#[test]
fn every_boundary_of_a_draw_falls_where_the_integers_say() {
    for bins in [2, 3, 6, 21] {
        let randomizer = randomizer(bins, 4.0);
        let (truth, lie) = (randomizer.truth_weight(), u128::from(randomizer.lie_weight()));
        let last = |offset: u32| u64::try_from(truth + u128::from(offset) * lie - 1).unwrap();
        for bin in 0..bins {
            let respond = |draw| randomizer.respond(Bin(bin), draw).0;
            assert_eq!(respond(0), bin);
            for offset in 0..bins {
                assert_eq!(respond(last(offset)), (bin + offset) % bins, "the last draw of a lie");
                if let Some(next) = last(offset).checked_add(1) {
                    assert_eq!(respond(next), (bin + offset + 1) % bins, "the first of the next");
                }
            }
            assert_eq!(last(bins - 1), u64::MAX, "the weights add up to 2^64");
        }
    }
}

proptest! {
    #[test]
    fn the_realised_loss_is_at_most_the_nominal_and_next_to_it(bins in 2_u32..200, epsilon in 0.01..12.0) {
        let randomizer = randomizer(bins, epsilon);
        let realised = randomizer.epsilon().get();
        prop_assert!(realised <= epsilon && realised > epsilon - 1e-9);
        // The smallest weight that is enough, up to what a float resolves.
        let smaller = randomizer.lie_weight() - (randomizer.lie_weight() >> 45).max(2);
        let leaner = KaryRandomizer::from_parts(bins, smaller).unwrap();
        prop_assert!(leaner.epsilon().get() > epsilon);
    }

    #[test]
    fn any_two_answers_are_at_most_epsilon_apart(bins in 2_u32..50, epsilon in 0.1..8.0) {
        let randomizer = randomizer(bins, epsilon);
        let ratio = randomizer.truth_probability() / randomizer.lie_probability();
        prop_assert!(ratio.ln() <= randomizer.epsilon().get() + 1e-12);
    }

    #[test]
    fn a_manifests_integers_give_the_same_randomizer(bins in 2_u32..50, epsilon in 0.1..8.0) {
        let one = randomizer(bins, epsilon);
        let other = KaryRandomizer::from_parts(bins, one.lie_weight()).unwrap();
        prop_assert!(other.epsilon().get() >= one.epsilon().get());
        prop_assert_eq!(one.truth_weight(), other.truth_weight());
    }
}

#[test]
fn impossible_parameters_are_refused() {
    let epsilon = Epsilon::new(1.0).unwrap();
    assert_eq!(KaryRandomizer::new(1, epsilon), Err(RandomizerError::Bins(1)));
    assert!(KaryRandomizer::new(5, Epsilon::new(0.0).unwrap()).is_err());
    assert!(KaryRandomizer::new(5, Epsilon::new(21.0).unwrap()).is_err());
    assert!(KaryRandomizer::from_parts(5, 0).is_err());
    assert!(KaryRandomizer::from_parts(3, u64::MAX / 2).is_err());
    let error = randomizer(3, 1.0).simulate(Bin(3), &mut SimulationRng::from_seed(1));
    assert_eq!(error, Err(RandomizerError::NoSuchBin { bin: 3, bins: 3 }));
}

/// χ² of observed against expected counts.
fn chi_square(observed: &[u64], expected: &[f64]) -> f64 {
    let term = |(o, e): (&u64, &f64)| (*o as f64 - e).powi(2) / e;
    observed.iter().zip(expected).map(term).sum()
}

#[test]
fn draws_follow_the_weights() {
    const DRAWS: u32 = 200_000;
    let randomizer = randomizer(6, 2.0);
    let seed = 20_261_123;
    let mut rng = SimulationRng::from_seed(seed);
    for bin in 0..6 {
        let mut counts = [0_u64; 6];
        for _ in 0..DRAWS {
            counts[randomizer.simulate(Bin(bin), &mut rng).unwrap().index()] += 1;
        }
        let weight = |other| {
            if other == bin { randomizer.truth_probability() } else { randomizer.lie_probability() }
        };
        let expected: Vec<_> = (0..6).map(|other| weight(other) * f64::from(DRAWS)).collect();
        // 99.99 % quantile with 5 degrees of freedom.
        assert!(chi_square(&counts, &expected) < 25.74, "seed {seed}: {counts:?} {expected:?}");
    }
}

/// OpenDP's own k-ary randomized response, with the same probability of the truth, must draw from
/// the same distribution.
#[test]
fn opendp_draws_from_the_same_distribution() {
    use opendp::measurements::make_randomized_response;
    const DRAWS: u32 = 100_000;
    let ours = randomizer(5, 1.5);
    let categories = (0..5_i32).collect();
    let theirs = make_randomized_response(categories, ours.truth_probability()).unwrap();
    assert!((theirs.map(&1).unwrap() - ours.epsilon().get()).abs() < 1e-9);
    let mut rng = DeviceRng::new().unwrap();
    let (mut our_counts, mut their_counts) = ([0_u64; 5], [0_u64; 5]);
    for _ in 0..DRAWS {
        our_counts[ours.randomize(Bin(2), &mut rng).unwrap().bin().index()] += 1;
        their_counts[usize::try_from(theirs.invoke(&2).unwrap()).unwrap()] += 1;
    }
    // Homogeneity of two samples of one size: Σ (a-b)²/(a+b); fails once in a million runs.
    let distance: f64 = our_counts
        .iter()
        .zip(&their_counts)
        .map(|(a, b)| (*a as f64 - *b as f64).powi(2) / (a + b) as f64)
        .sum();
    assert!(distance < 33.4, "{our_counts:?} {their_counts:?}");
}
