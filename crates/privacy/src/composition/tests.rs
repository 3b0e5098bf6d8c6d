use super::*;

/// `e^ε/(1+e^ε)` against the rest: T-fold composition of pure ε by its definition.
fn randomized_response(epsilon: f64, times: u32, at: f64) -> f64 {
    let up = epsilon.exp() / (1.0 + epsilon.exp());
    let mut ways = 1.0;
    (0..=times)
        .map(|ups| {
            if ups > 0 {
                ways *= f64::from(times - ups + 1) / f64::from(ups);
            }
            let downs = (times - ups).cast_signed();
            let probability = ways * up.powi(ups.cast_signed()) * (1.0 - up).powi(downs);
            let loss = epsilon * f64::from(ups.cast_signed() - downs);
            probability * (1.0 - (at - loss).exp()).max(0.0)
        })
        .sum()
}

#[test]
fn pure_losses_compose_as_randomized_response_does() {
    for (epsilon, times) in [(0.5, 1), (0.5, 4), (0.1, 30), (2.0, 5)] {
        let loss = PrivacyLoss::pure(epsilon).repeated(times.into());
        for at in [0.0, 0.3, 0.9, 2.5] {
            let exact = randomized_response(epsilon, times, at);
            let bound = loss.delta(at);
            assert!(bound >= exact && bound <= exact * (1.0 + 1e-6) + 1e-9, "{bound} {exact}");
        }
    }
}

#[test]
fn nothing_composed_with_something_is_something() {
    let some = PrivacyLoss::pure(1.0);
    assert_eq!(PrivacyLoss::none().then(&some), some);
    assert_eq!(some.then(&PrivacyLoss::none()), some);
    assert_eq!(some.repeated(0), PrivacyLoss::none());
    assert_eq!(PrivacyLoss::none().epsilon(0.0), Some(0.0));
}

#[test]
fn what_may_be_lost_for_certain_has_no_epsilon() {
    let loss = PrivacyLoss::approximate(1.0, 1e-5);
    assert_eq!(loss.epsilon(1e-6), None);
    assert!(loss.epsilon(1e-4).unwrap() <= 1.0 + 1e-9);
    assert!(loss.repeated(3).delta(3.1) >= 3e-5 * (1.0 - 1e-4));
    assert_eq!(loss.epsilon(f64::NAN), None);
}

#[test]
fn another_grid_reveals_no_less() {
    let loss = discrete_gaussian(5.0, 1, 1e-9).unwrap();
    for factor in [0.37, 1.9, 3.0] {
        let other = loss.on_grid(loss.step * factor);
        for at in [0.0, 0.2, 0.7, 1.1] {
            let (fine, coarse) = (loss.delta(at), other.delta(at));
            assert!(coarse >= fine * (1.0 - 1e-10), "{factor} {at}: {coarse} {fine}");
            assert!(coarse <= fine * 2.0 + 1e-12, "{factor} {at}: {coarse} {fine}");
        }
    }
}

#[test]
fn different_mechanisms_compose_in_any_order() {
    let one = discrete_gaussian(7.0, 1, 1e-9).unwrap();
    let two = PrivacyLoss::pure(0.3);
    let there = one.then(&two).epsilon(1e-6).unwrap();
    let back = two.then(&one).epsilon(1e-6).unwrap();
    assert!((there / back - 1.0).abs() < 1e-9);
    assert!(there > one.epsilon(1e-6).unwrap() && there < one.epsilon(1e-6).unwrap() + 0.3);
}

/// δ(ε) of one count by its definition.
fn gaussian_delta(sigma: f64, epsilon: f64) -> f64 {
    let density = |x: i32| (-f64::from(x).powi(2) / (2.0 * sigma * sigma)).exp();
    let sum: f64 = (-400..=400).map(density).sum();
    (-400..=400).map(|x| (density(x) - epsilon.exp() * density(x - 1)).max(0.0)).sum::<f64>() / sum
}

#[test]
fn the_discrete_gaussian_agrees_with_its_definition() {
    for sigma in [0.4, 1.0, 3.0, 9.0, 20.0] {
        let loss = discrete_gaussian(sigma, 1, 1e-9).unwrap();
        for epsilon in [0.0, 0.1, 0.5, 2.0] {
            let (exact, bound) = (gaussian_delta(sigma, epsilon), loss.delta(epsilon));
            assert!(bound >= exact * (1.0 - 1e-9), "σ = {sigma}, ε = {epsilon}: {bound} {exact}");
            assert!(bound <= exact * 1.05 + 1e-12, "σ = {sigma}, ε = {epsilon}: {bound} {exact}");
        }
    }
}

/// Two counts change when one answer replaces another; the values are those of the literature's
/// formula for L2 sensitivity √2, worked out elsewhere.
#[test]
fn noise_on_two_counts_gives_the_known_values() {
    for (sigma, expected) in
        [(6.0, 0.995), (8.0, 0.731), (10.0, 0.575), (200_f64.sqrt(), 0.397), (20.0, 0.274)]
    {
        let epsilon = discrete_gaussian(sigma, 2, 1e-6).unwrap().epsilon(1e-6).unwrap();
        assert!((epsilon - expected).abs() < 6e-4, "σ = {sigma}: {epsilon} for {expected}");
    }
}

#[test]
fn impossible_noise_is_refused() {
    for bad in [0.0, -1.0, f64::NAN, 1e9] {
        assert!(discrete_gaussian(bad, 2, 1e-6).is_err());
    }
    assert!(discrete_laplace_epsilon(0.0, 1).is_err());
    assert!((discrete_laplace_epsilon(4.0, 2).unwrap() - 0.5).abs() < 1e-12);
}

#[test]
fn connecting_the_dots_of_a_curve_lies_above_it() {
    // The curve of randomized response, and one that rounding made not convex.
    let pure = 1.5;
    let curve = |epsilon: f64| randomized_response(pure, 1, epsilon);
    for noise in [0.0, 1e-6] {
        let loss = PrivacyLoss::from_curve(pure, 1e-12, |epsilons| {
            let wiggle = |i: usize| if i.is_multiple_of(2) { noise } else { 0.0 };
            epsilons.iter().enumerate().map(|(i, e)| curve(*e) + wiggle(i)).collect()
        });
        for i in -30..=30 {
            let at = f64::from(i) * 0.047;
            let (exact, bound) = (curve(at), loss.delta(at));
            assert!(bound >= exact - 1e-15, "{at}: {bound} {exact}");
            assert!(bound <= exact + noise + 1e-9 + 2e-2 * exact, "{at}: {bound} {exact}");
        }
    }
}
