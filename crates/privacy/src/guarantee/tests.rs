use super::*;
use crate::noise::Thousandths;

fn mechanism(kind: MechanismKind, bins: u32, epsilon0: f64) -> Mechanism {
    Mechanism::new(kind, bins, Epsilon::new(epsilon0).unwrap()).unwrap()
}

fn release(kind: MechanismKind, bins: u32, epsilon0: f64, honest: u64) -> Release {
    Release { mechanism: mechanism(kind, bins, epsilon0), noise: None, honest }
}

fn delta(value: f64) -> Delta {
    Delta::new(value).unwrap()
}

const KINDS: [MechanismKind; 3] = [MechanismKind::Krr, MechanismKind::Bits, MechanismKind::Signals];

#[test]
fn what_guarantees_nothing_is_refused_with_what_would_work() {
    let some = release(MechanismKind::Krr, 3, 1.0, 100);
    for honest in [0, 1] {
        let error = Release { honest, ..some.clone() }.guarantees(delta(1e-6)).unwrap_err();
        assert!(error.to_string().contains("at least 2"), "{error}");
    }
    let error = some.guarantees(Delta::ZERO).unwrap_err();
    assert!(error.to_string().contains("delta = 0") && error.to_string().contains("0.000001"));
    for bad in [1.0, 2.0, f64::NAN, -1e-9, 0.0] {
        assert!(usable_delta(bad).is_err(), "{bad}");
    }
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(usable_epsilon(bad).is_err(), "{bad}");
    }
}

#[test]
fn without_noise_one_honest_aggregator_adds_nothing() {
    for kind in KINDS {
        let release = release(kind, 3, 1.0, 200);
        let [oc, oaoc, oamc] = release.guarantees(delta(1e-6)).unwrap().try_into().unwrap();
        assert_eq!(oc.epsilon, release.mechanism.local_epsilon());
        assert_eq!((oc.epsilon, oc.delta, oc.theorem), (oaoc.epsilon, oaoc.delta, oaoc.theorem));
        assert!(oamc.epsilon < oc.epsilon && oamc.delta == delta(1e-6));
        assert_eq!(
            (oc.trust, oaoc.trust, oamc.trust),
            (TrustModel::Oc, TrustModel::Oaoc, TrustModel::Oamc)
        );
    }
}

#[test]
fn what_amplifies_nothing_costs_no_delta() {
    let [.., oamc] = release(MechanismKind::Krr, 3, 8.0, 2).guarantees(delta(1e-9)).unwrap()[..]
    else {
        panic!()
    };
    assert_eq!((oamc.epsilon.get(), oamc.delta), (8.0, Delta::ZERO));
    assert_eq!(oamc.theorem, THEOREM_KARY);
}

#[test]
fn the_better_of_noise_and_amplification_counts() {
    let counts = |counts| Thousandths::new(counts).unwrap();
    let gaussian = |sigma| Some(AggregatorNoise::DiscreteGaussian { sigma: counts(sigma) });
    let laplace = |scale| Some(AggregatorNoise::DiscreteLaplace { scale: counts(scale) });
    let few = release(MechanismKind::Krr, 6, 4.0, 50);
    let with = |noise| Release { noise, ..few.clone() }.guarantees(delta(1e-6)).unwrap();
    let strong = with(gaussian(10.0));
    assert!((strong[1].epsilon.get() - 0.575).abs() < 1e-3);
    assert_eq!(strong[1].theorem, THEOREM_GAUSSIAN);
    assert_eq!(strong[2].epsilon, strong[1].epsilon);
    assert_eq!(strong[0].epsilon, few.mechanism.local_epsilon());
    let pure = with(laplace(4.0));
    assert!((pure[1].epsilon.get() - 0.5).abs() < 1e-9 && pure[1].delta == Delta::ZERO);
    // 2/0.5 = 4: no better than the randomizer.
    let weak = with(laplace(0.5));
    assert_eq!(weak[1].theorem, THEOREM_KARY);
    let many = Release { noise: gaussian(1.0), ..release(MechanismKind::Krr, 6, 1.0, 1000) };
    assert_eq!(many.guarantees(delta(1e-6)).unwrap()[2].theorem, THEOREM_BLANKET);
}

#[test]
fn the_smallest_batch_meets_the_target_and_a_smaller_one_does_not() {
    for (kind, slack) in [(MechanismKind::Krr, 1), (MechanismKind::Bits, 1)] {
        let mechanism = mechanism(kind, 3, 1.0);
        let target = Epsilon::new(0.6).unwrap();
        let batch = smallest_batch(&mechanism, target, delta(1e-4)).unwrap();
        let oamc = |honest| {
            let release = Release { mechanism: mechanism.clone(), noise: None, honest };
            release.guarantees(delta(1e-4)).unwrap()[2].epsilon
        };
        assert!(oamc(batch) <= target, "{kind}: {batch}");
        assert!(oamc(batch - slack) > target, "{kind}: {batch}");
    }
    let local = mechanism(MechanismKind::Krr, 3, 1.0);
    assert_eq!(smallest_batch(&local, Epsilon::new(1.0).unwrap(), delta(1e-6)), Ok(2));
}

#[test]
fn a_target_that_no_batch_meets_is_refused_with_the_nearest_that_is() {
    let mechanism = mechanism(MechanismKind::Krr, 3, 20.0);
    let target = Epsilon::new(0.5).unwrap();
    let error = smallest_batch(&mechanism, target, delta(1e-6)).unwrap_err();
    let GuaranteeError::NoBatch { nearest, .. } = error else { panic!("{error}") };
    let nearest = Epsilon::new(nearest).unwrap();
    assert!(nearest > target);
    assert!(smallest_batch(&mechanism, nearest, delta(1e-6)).unwrap() <= LARGEST_BATCH);
}

#[test]
fn the_largest_budget_meets_the_target_and_a_larger_one_does_not() {
    for kind in [MechanismKind::Krr, MechanismKind::Signals] {
        let target = Epsilon::new(0.5).unwrap();
        let found = largest_epsilon0(kind, 2, 60, target, delta(1e-4)).unwrap();
        let oamc = |mechanism: Mechanism| {
            let release = Release { mechanism, noise: None, honest: 60 };
            release.guarantees(delta(1e-4)).unwrap()[2].epsilon
        };
        let epsilon0 = found.epsilon0().get();
        assert!(oamc(found) <= target, "{kind}: {epsilon0}");
        assert!(oamc(mechanism(kind, 2, epsilon0 * 1.001)) > target, "{kind}: {epsilon0}");
    }
    let nothing =
        largest_epsilon0(MechanismKind::Krr, 1, 60, Epsilon::new(0.5).unwrap(), delta(1e-4));
    assert!(matches!(nothing, Err(GuaranteeError::Randomizer(_))));
}

#[test]
fn several_releases_cost_at_most_their_sum() {
    let one = release(MechanismKind::Krr, 4, 1.0, 100);
    let two = release(MechanismKind::Krr, 3, 0.5, 100);
    let together = composed(&[(one.clone(), 5), (two.clone(), 2)], delta(1e-6)).unwrap();
    assert!((together[0].epsilon.get() - 6.0).abs() < 1e-9);
    assert_eq!(together[1].theorem, THEOREM_SUM);
    let single = |release: &Release| release.guarantees(delta(1e-6)).unwrap()[2].epsilon.get();
    let sum = 5.0 * single(&one) + 2.0 * single(&two);
    let oamc = together[2].epsilon.get();
    assert!(oamc < sum && oamc > single(&one), "{oamc} {sum}");
    assert!(composed(&[], delta(1e-6)).unwrap()[2].epsilon.get() <= 0.0);
}

#[test]
fn a_release_is_stored_by_its_integers() {
    for kind in KINDS {
        let release = release(kind, 3, 1.0, 200);
        let stored = serde_json::to_string(&release).unwrap();
        let restored: Release = serde_json::from_str(&stored).unwrap();
        assert_eq!(serde_json::to_string(&restored).unwrap(), stored);
    }
}
