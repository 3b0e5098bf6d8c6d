use super::*;
use sottovoce_privacy::{randomizer::Bin, rng::SimulationRng, units::Epsilon};

fn randomizer(bins: u32, epsilon: f64) -> KaryRandomizer {
    KaryRandomizer::new(bins, Epsilon::new(epsilon).unwrap()).unwrap()
}

fn release(randomizer: &KaryRandomizer, truth: &[u64], rng: &mut SimulationRng) -> Vec<u64> {
    let mut counts = vec![0; truth.len()];
    for (bin, devices) in (0..).zip(truth) {
        for _ in 0..*devices {
            counts[randomizer.simulate(Bin::new(bin), rng).unwrap().index()] += 1;
        }
    }
    counts
}

#[test]
fn impossible_counts_are_refused() {
    let randomizer = randomizer(3, 4.0);
    let error = |counts: &[u64]| estimate(&randomizer, counts, 0.95).unwrap_err();
    assert!(matches!(error(&[1, 2]), EstimateError::Length { given: 2, needed: 3, .. }));
    assert!(error(&[0, 0, 0]).to_string().starts_with("reports = 0"));
    assert!(error(&[u64::MAX, 1, 0]).to_string().starts_with("reports = "));
    let confidence = estimate(&randomizer, &[1, 1, 1], 1.0).unwrap_err();
    assert!(confidence.to_string().starts_with("confidence = 1"));
}

#[test]
fn estimates_add_up_to_the_batch() {
    let figures = estimate(&randomizer(4, 2.0), &[10, 20, 30, 940], 0.95).unwrap();
    let sum: f64 = figures.iter().map(|figure| figure.estimate).sum();
    assert!((sum - 1000.0).abs() < 1e-9);
    assert!(figures.iter().all(|figure| figure.low <= figure.high));
}

/// The share of releases whose interval holds the truth, over seeds that are printed.
fn coverage(bins: u32, epsilon: f64, truth: &[u64], releases: u64) -> (f64, f64) {
    let randomizer = randomizer(bins, epsilon);
    let mut rng = SimulationRng::from_seed(7);
    let (mut covered, mut error) = (0_u64, 0.0);
    for _ in 0..releases {
        let counts = release(&randomizer, truth, &mut rng);
        let figure = estimate(&randomizer, &counts, 0.95).unwrap()[1];
        covered += u64::from(figure.low <= truth[1] as f64 && truth[1] as f64 <= figure.high);
        error += figure.estimate - truth[1] as f64;
    }
    (covered as f64 / releases as f64, error / releases as f64)
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say_at_any_rate() {
    const RELEASES: u64 = 1000;
    for (bins, epsilon, truth) in [
        (3, 4.0, vec![285, 0, 15]),
        (3, 4.0, vec![150, 150, 0]),
        (5, 4.0, vec![900, 50, 20, 20, 10]),
        (5, 2.0, vec![10, 980, 5, 3, 2]),
        (9, 4.0, vec![100; 9]),
    ] {
        let (coverage, _) = coverage(bins, epsilon, &truth, RELEASES);
        assert!((0.925..=0.98).contains(&coverage), "seed 7: {coverage} for {truth:?}");
    }
}

#[test]
fn estimates_are_unbiased() {
    let (_, bias) = coverage(5, 2.0, &[300, 40, 30, 20, 10], 2000);
    // Standard error of the mean: sqrt(n·t(1-t)…)/(s·sqrt(releases)), about 0.2.
    assert!(bias.abs() < 0.8, "seed 7: {bias}");
}
