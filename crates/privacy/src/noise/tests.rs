use super::*;
use opendp::traits::samplers::{sample_discrete_gaussian, sample_discrete_laplace};

fn laplace(scale: f64) -> AggregatorNoise {
    AggregatorNoise::DiscreteLaplace { scale: Thousandths::new(scale).unwrap() }
}

fn gaussian(sigma: f64) -> AggregatorNoise {
    AggregatorNoise::DiscreteGaussian { sigma: Thousandths::new(sigma).unwrap() }
}

/// The probability of each value from -reach to reach, by the definition.
fn probabilities(noise: AggregatorNoise, reach: i32) -> Vec<f64> {
    let weight = |x: i32| match noise {
        AggregatorNoise::DiscreteLaplace { scale } => (-f64::from(x.abs()) / scale.counts()).exp(),
        AggregatorNoise::DiscreteGaussian { sigma } => {
            (-f64::from(x).powi(2) / (2.0 * sigma.counts().powi(2))).exp()
        }
    };
    let total: f64 = (-100_000..=100_000).map(weight).sum();
    (-reach..=reach).map(|x| weight(x) / total).collect()
}

/// χ² of draws against the definition, what is further out in one cell, in units of its own
/// standard deviation from its mean.
fn surprise(noise: AggregatorNoise, reach: i32, draws: &[i64]) -> f64 {
    let expected = probabilities(noise, reach);
    let mut counts = vec![0_u32; expected.len() + 1];
    for draw in draws {
        let index = usize::try_from(draw + i64::from(reach)).unwrap_or(usize::MAX);
        counts[index.min(expected.len())] += 1;
    }
    let outside = (1.0 - expected.iter().sum::<f64>()).max(0.0);
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let n = draws.len() as f64;
    let cells = expected.iter().copied().chain([outside]).zip(counts);
    let cells: Vec<_> = cells.filter(|(p, _)| p * n >= 5.0).collect();
    let chi: f64 = cells.iter().map(|(p, c)| (f64::from(*c) - p * n).powi(2) / (p * n)).sum();
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let freedom = (cells.len() - 1) as f64;
    (chi - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn draws_have_the_distribution_that_is_promised() {
    for (noise, reach) in [
        (laplace(0.5), 4),
        (laplace(1.7), 12),
        (laplace(20.0), 90),
        (gaussian(0.5), 3),
        (gaussian(1.0), 4),
        (gaussian(3.25), 12),
        (gaussian(10.0), 35),
    ] {
        let mut rng = SimulationRng::from_seed(11);
        let draws: Vec<i64> = (0..40_000).map(|_| noise.simulate(1, &mut rng)).collect();
        let surprise = surprise(noise, reach, &draws);
        assert!(surprise.abs() < 4.5, "{noise}: {surprise} standard deviations");
    }
}

#[test]
fn a_slightly_different_distribution_is_noticed() {
    let mut rng = SimulationRng::from_seed(12);
    let draws: Vec<i64> = (0..40_000).map(|_| gaussian(3.25).simulate(1, &mut rng)).collect();
    assert!(surprise(gaussian(3.4), 12, &draws) > 4.5);
    assert!(surprise(laplace(2.3), 12, &draws) > 4.5);
}

#[test]
fn opendp_draws_from_the_same_distribution() {
    let draws = |sample: &dyn Fn() -> i64| (0..20_000).map(|_| sample()).collect::<Vec<_>>();
    let from_opendp = draws(&|| {
        let scale = "13/4".parse().unwrap();
        sample_discrete_gaussian(scale).unwrap().try_into().unwrap()
    });
    assert!(surprise(gaussian(3.25), 12, &from_opendp).abs() < 4.5);
    let from_opendp = draws(&|| {
        let scale = "17/10".parse().unwrap();
        sample_discrete_laplace(scale).unwrap().try_into().unwrap()
    });
    assert!(surprise(laplace(1.7), 12, &from_opendp).abs() < 4.5);
}

#[test]
fn the_largest_parameters_neither_overflow_nor_hang() {
    let mut rng = SimulationRng::from_seed(13);
    let most = Thousandths::MOST.counts();
    for noise in [laplace(most), gaussian(most), laplace(0.5), gaussian(0.5)] {
        let draws: Vec<i64> = (0..300).map(|_| noise.simulate(1, &mut rng)).collect();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let mean_square = draws.iter().map(|x| (*x as f64).powi(2)).sum::<f64>() / 300.0;
        let ratio = mean_square / noise.variance();
        assert!((0.5..2.0).contains(&ratio), "{noise}: {ratio}");
    }
}

#[test]
fn parameters_that_no_noise_has_are_refused_with_the_nearest() {
    for (given, nearest) in [
        (0.0, 0.5),
        (-3.0, 0.5),
        (0.499, 0.5),
        (20_000.0, 10_000.0),
        (1.2345, 1.235),
        (f64::INFINITY, 10_000.0),
    ] {
        let error = Thousandths::new(given).unwrap_err();
        assert!((error.nearest.counts() - nearest).abs() < 2e-3, "{error}");
        assert_eq!(Thousandths::new(error.nearest.counts()), Ok(error.nearest));
    }
    assert!(Thousandths::new(f64::NAN).is_err());
    for fine in [0.5, 0.7, 1.3, 14.142, 9999.999, 10_000.0] {
        assert!((Thousandths::new(fine).unwrap().counts() - fine).abs() < 1e-9);
    }
}

#[test]
fn a_batch_of_several_windows_has_the_noise_of_each() {
    for noise in [laplace(4.0), gaussian(12.5)] {
        let mut rng = SimulationRng::from_seed(12);
        assert_eq!(noise.simulate(0, &mut rng), 0);
        for windows in [1_u32, 7, 30] {
            let draws = 4000_u32;
            let squares = (0..draws).map(|_| {
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let draw = noise.simulate(windows.into(), &mut rng) as f64;
                draw * draw
            });
            let ratio =
                squares.sum::<f64>() / f64::from(draws) / noise.variance() / f64::from(windows);
            assert!((0.85..1.15).contains(&ratio), "{noise} {windows}: {ratio}");
        }
    }
}
