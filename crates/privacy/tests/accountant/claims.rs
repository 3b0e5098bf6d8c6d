//! Every claim against an exact reference: all answers of the others in small batches, for each
//! mechanism and each noise; and one data set of a large batch, which the truth is never below.

use super::{
    delta, epsilon,
    exact::{Batch, Entry, Totals, divergence, exceeds, mechanism, worst_pair},
    kary,
    large::{in_a_crowd, in_noise},
};
use sottovoce_privacy::{
    guarantee::{Mechanism, MechanismKind, Release, composed},
    noise::{AggregatorNoise, Thousandths},
    units::{Guarantee, TrustModel},
};

fn gaussian(sigma: f64) -> AggregatorNoise {
    AggregatorNoise::DiscreteGaussian { sigma: Thousandths::new(sigma).unwrap() }
}

fn laplace(scale: f64) -> AggregatorNoise {
    AggregatorNoise::DiscreteLaplace { scale: Thousandths::new(scale).unwrap() }
}

/// Each mechanism with as many other devices as can all be tried.
fn mechanisms() -> Vec<(Mechanism, usize)> {
    vec![
        (mechanism(MechanismKind::Krr, 2, 1.0), 5),
        (mechanism(MechanismKind::Krr, 3, 1.5), 3),
        (mechanism(MechanismKind::Krr, 4, 2.0), 1),
        (mechanism(MechanismKind::Bits, 2, 1.2), 3),
        (mechanism(MechanismKind::Bits, 3, 0.7), 2),
        (mechanism(MechanismKind::Signals, 1, 1.0), 5),
        (mechanism(MechanismKind::Signals, 2, 0.8), 3),
    ]
}

/// No noise, and for few enough counts both kinds.
fn noises(counts: u32) -> Vec<Option<AggregatorNoise>> {
    let with = [(0.7, 0.5), (1.3, 1.5)]
        .into_iter()
        .flat_map(|(sigma, scale)| [Some(gaussian(sigma)), Some(laplace(scale))]);
    let small = |noise: &Option<AggregatorNoise>| {
        counts <= 2 || (counts == 3 && *noise == Some(gaussian(0.7)))
    };
    std::iter::once(None).chain(with.filter(small)).collect()
}

/// Whatever the others answered, no pair of answers is told apart better than a guarantee says: not
/// by any set of outcomes, nor, pointwise, by outcomes that come about with more than δ.
fn check(guarantee: &Guarantee, figures: impl Fn(&dyn Fn(&Totals, &Totals) -> f64) -> f64) {
    let Guarantee { epsilon, delta, pointwise, .. } = *guarantee;
    let allowed = delta.get() + 1e-11;
    let truth = figures(&|one, other| divergence(one, other, epsilon.get()));
    assert!(truth <= allowed, "{guarantee:?}: {truth}");
    let above = figures(&|one, other| exceeds(one, other, pointwise.get()));
    assert!(above <= allowed, "{guarantee:?}: the loss is above the pointwise one with {above}");
}

#[test]
fn no_guarantee_is_below_the_truth_of_any_small_batch() {
    for (mechanism, others) in mechanisms() {
        for noise in noises(mechanism.bins()) {
            let honest = others as u64 + 1;
            let release = Release { mechanism: mechanism.clone(), noise, honest };
            for at in [1e-2, 1e-4] {
                let [oc, oaoc, oamc] = release.guarantees(delta(at)).unwrap().try_into().unwrap();
                // Who colludes with both aggregators sees the report itself; who has one honest
                // aggregator before them and knows all other reports, the report and its noise.
                let alone =
                    |noise| Batch { mechanism: &mechanism, noise, others: 0, entry: Entry::Once };
                check(&oc, |figure| alone(None).worst(figure));
                check(&oaoc, |figure| alone(noise).worst(figure));
                let all = Batch { others, ..alone(noise) };
                check(&oamc, |figure| all.worst(figure));
            }
        }
    }
}

#[test]
fn no_composition_of_two_full_batches_is_below_the_truth() {
    for (kind, bins, epsilon0, others, noise) in [
        (MechanismKind::Krr, 2, 1.0, 4, None),
        (MechanismKind::Krr, 3, 1.5, 2, None),
        (MechanismKind::Krr, 2, 1.0, 1, Some(laplace(0.5))),
        (MechanismKind::Krr, 2, 1.0, 1, Some(gaussian(0.7))),
        (MechanismKind::Signals, 2, 0.8, 2, None),
    ] {
        let mechanism = mechanism(kind, bins, epsilon0);
        let honest = others as u64 + 1;
        let release = Release { mechanism: mechanism.clone(), noise, honest };
        for at in [1e-2, 1e-3] {
            let [.., oaoc, oamc] = composed(&[(release.clone(), 2)], delta(at)).unwrap()[..] else {
                panic!()
            };
            let batch = Batch { mechanism: &mechanism, noise, others, entry: Entry::Once };
            let both = |batch: &Batch<'_>, figure: &dyn Fn(&Totals, &Totals) -> f64| {
                let all = batch.all();
                let mut worst = 0.0_f64;
                for first in &all {
                    for second in &all {
                        let pairs = first.iter().zip(second).map(|(one, two)| one.and(two));
                        worst = worst.max(worst_pair(&pairs.collect::<Vec<_>>(), figure));
                    }
                }
                worst
            };
            check(&oamc, |figure| both(&batch, figure));
            if noise.is_some() {
                check(&oaoc, |figure| both(&Batch { others: 0, ..batch }, figure));
            }
        }
    }
}

/// A choice of two reported as a histogram shows exactly what one bit does.
#[test]
fn a_choice_of_two_is_one_bit() {
    for (epsilon0, others) in [(0.5, 6), (1.0, 9), (2.5, 12)] {
        let two = mechanism(MechanismKind::Krr, 2, epsilon0);
        let bit = mechanism(MechanismKind::Signals, 1, epsilon0);
        for at in [0.1, 0.3] {
            let worst = |mechanism| {
                let batch = Batch { mechanism, noise: None, others, entry: Entry::Once };
                batch.worst(|one, other| divergence(one, other, at))
            };
            let (two, bit) = (worst(&two), worst(&bit));
            assert!((two - bit).abs() < 1e-12, "{epsilon0} {at}: {two} {bit}");
        }
    }
    let honest = 10_000;
    let release = Release { mechanism: mechanism(MechanismKind::Krr, 2, 4.0), noise: None, honest };
    let oamc = release.guarantees(delta(1e-6)).unwrap()[2];
    // The blanket gives .411.
    assert!((0.3147..0.3152).contains(&oamc.epsilon.get()), "{oamc:?}");
}

/// What one device's reports show in *one* batch is not what [`composed`] covers: the total moves by
/// their number. Small batches, of which all are tried.
#[test]
fn several_reports_in_one_small_batch_can_show_more_than_their_composition() {
    for (noise, epsilon0, reports, others) in
        [(None, 2.0, 2, 10), (Some(gaussian(2.0)), 4.0, 6, 1), (Some(laplace(2.0)), 4.0, 6, 1)]
    {
        let mechanism = mechanism(MechanismKind::Krr, 2, epsilon0);
        let honest = (others + reports) as u64;
        let release = Release { mechanism: mechanism.clone(), noise, honest };
        let several = composed(&[(release.clone(), reports as u64)], delta(1e-2)).unwrap()[2];
        let one = release.guarantees(delta(1e-2)).unwrap()[2];
        let shown = |entry, guarantee: &Guarantee| {
            let batch = Batch { mechanism: &mechanism, noise, others, entry };
            batch.worst(|one, other| divergence(one, other, guarantee.epsilon.get()))
        };
        let drawn = shown(Entry::Drawn(reports), &several);
        assert!(drawn > several.delta.get(), "{noise:?}: {several:?} covers {drawn}");
        let counted = shown(Entry::Counted(2), &one);
        assert!(counted > one.delta.get(), "{noise:?}: {one:?} covers {counted}");
    }
}

const AT: f64 = 1e-6;

fn thumbs(noise: Option<AggregatorNoise>, honest: u64) -> Release {
    Release { mechanism: mechanism(MechanismKind::Krr, 3, 4.0), noise, honest }
}

fn together(release: &Release, times: u64, trust: TrustModel) -> Guarantee {
    let all = composed(&[(release.clone(), times)], delta(AT)).unwrap();
    all.into_iter().find(|guarantee| guarantee.trust == trust).unwrap()
}

fn near(value: f64, expected: f64) -> bool {
    (value / expected - 1.0).abs() < 6e-3
}

#[test]
fn several_reports_in_one_batch_are_a_group_and_not_a_composition() {
    let kary = kary(3, 4.0);
    for (reports, crowd) in [(1, 0.933), (2, 2.000), (7, 8.55), (12, 17.1), (30, 62.1)] {
        let attained = in_a_crowd(&kary, 2400, reports, 1).epsilon(AT);
        assert!(near(attained, crowd), "{reports}: {attained} for {crowd}");
        let claimed = together(&thumbs(None, 2400), reports as u64, TrustModel::Oamc).epsilon.get();
        assert_eq!(attained > claimed, reports > 1, "{reports}: {attained} and {claimed}");
    }
    for (reports, noisy) in [(1, 0.427), (2, 0.897), (7, 3.52), (30, 19.7)] {
        let attained = in_noise(&kary, gaussian(12.5), reports, 1).epsilon(AT);
        assert!(near(attained, noisy), "{reports}: {attained} for {noisy}");
        let release = thumbs(Some(gaussian(12.5)), 2400);
        let claimed = together(&release, reports as u64, TrustModel::Oaoc).epsilon.get();
        assert_eq!(attained > claimed, reports > 1, "{reports}: {attained} and {claimed}");
    }
}

/// The sum of full batches is post-processing of them all, so that their composition covers it, closely.
#[test]
fn the_sum_of_full_batches_is_covered_by_their_composition() {
    let kary = kary(3, 4.0);
    for (windows, expected) in [(1, 0.933), (2, 1.302), (7, 2.505)] {
        let attained = in_a_crowd(&kary, 2400 * windows, windows, 1).epsilon(AT);
        let claimed = together(&thumbs(None, 2400), windows as u64, TrustModel::Oamc).epsilon.get();
        assert!(near(attained, expected), "{windows}: {attained} for {expected}");
        assert!(
            attained <= claimed && attained > 0.98 * claimed,
            "{windows}: {attained} {claimed}"
        );
    }
}

#[test]
fn a_draw_that_is_counted_twice_shows_twice_as_much() {
    let kary = kary(3, 4.0);
    for (honest, expected) in [(2400, 1.924), (8000, 0.963)] {
        let attained = in_a_crowd(&kary, honest, 1, 2).epsilon(AT);
        let release = thumbs(None, honest as u64);
        assert!(near(attained, expected), "{honest}: {attained} for {expected}");
        assert!(attained > together(&release, 1, TrustModel::Oamc).epsilon.get());
        // Not even the composition of two reports covers it.
        assert!(attained > together(&release, 2, TrustModel::Oamc).epsilon.get());
    }
    for (sigma, expected) in [(12.5, 0.892), (6.0, 1.919)] {
        let attained = in_noise(&kary, gaussian(sigma), 1, 2).epsilon(AT);
        let release = thumbs(Some(gaussian(sigma)), 2400);
        assert!(near(attained, expected), "{sigma}: {attained} for {expected}");
        assert!(attained > together(&release, 2, TrustModel::Oaoc).epsilon.get());
    }
}

/// ε is exceeded with far more than δ; the pointwise figure is not, and is close.
#[test]
fn the_loss_exceeds_epsilon_more_often_than_delta_and_the_pointwise_figure_less() {
    for (epsilon0, honest, expected) in [(4.0, 2400, 1.8e-5), (3.0, 8000, 6.6e-5)] {
        let pair = in_a_crowd(&kary(3, epsilon0), honest, 1, 1);
        let mechanism = mechanism(MechanismKind::Krr, 3, epsilon0);
        let release = Release { mechanism, noise: None, honest: honest as u64 };
        let oamc = release.guarantees(delta(AT)).unwrap()[2];
        let above = pair.exceeds(oamc.epsilon.get());
        assert!((above / expected - 1.0).abs() < 0.05, "{above} for {expected}");
        let [attained, claimed] = [pair.pointwise(AT), oamc.pointwise.get()];
        assert!(attained <= claimed && claimed < 1.06 * attained, "{attained} {claimed}");
    }
}

/// The pointwise figure of a search in few steps is that of a search in many.
#[test]
fn the_pointwise_figure_is_the_best_that_the_curve_proves() {
    use sottovoce_privacy::amplification::{bits, blanket};
    for (bins, epsilon0, honest, at) in [
        (3, 4.0, 2400, 1e-6),
        (2, 4.0, 900, 1e-6),
        (6, 3.0, 800, 1e-8),
        (3, 2.0, 100, 1e-6),
        (4, 1.0, 50_000, 1e-3),
    ] {
        let mechanism = mechanism(MechanismKind::Krr, bins, epsilon0);
        let release = Release { mechanism: mechanism.clone(), noise: None, honest };
        let claimed = release.guarantees(delta(at)).unwrap()[2];
        let curve = |value: f64| match &mechanism {
            Mechanism::Krr(kary) if bins > 2 => blanket::delta_upper(kary, honest, epsilon(value)),
            _ => bits::coordinate_delta_upper(&super::vector(1, epsilon0), honest, epsilon(value)),
        };
        let tried = (0..400).map(|i| claimed.epsilon.get() * (1.0 + f64::from(i) / 60.0));
        let proved = tried.map(|value| value - (1.0 - curve(value) / at).max(1e-300).ln());
        let best = proved.fold(mechanism.local_epsilon().get(), f64::min);
        let pointwise = claimed.pointwise.get();
        assert!(pointwise <= best * 1.001, "k = {bins}, n = {honest}: {pointwise} {best}");
        assert!(pointwise > claimed.epsilon.get() && claimed.delta.get() > 0.0);
    }
}

/// 30 windows with discrete Laplace noise: two counts of each lose exactly what randomized response on
/// a bit does.
#[test]
fn discrete_laplace_noise_composes_by_its_exact_losses() {
    let one = |windows| together(&thumbs(Some(laplace(4.0)), 2), windows, TrustModel::Oaoc);
    let all = one(30).epsilon.get();
    assert!((9.98..9.99).contains(&all), "{all}");
    // 60 losses of ±1/4, by their definition.
    let up = 1.0 / (1.0 + (-0.25_f64).exp());
    let mut ways = 1.0;
    let mut exact = 0.0;
    for ups in 0..=60_i32 {
        if ups > 0 {
            ways *= f64::from(61 - ups) / f64::from(ups);
        }
        let loss = 0.25 * f64::from(2 * ups - 60);
        let probability = ways * up.powi(ups) * (1.0 - up).powi(60 - ups);
        exact += probability * (1.0 - (all - loss).exp()).max(0.0);
    }
    assert!(exact <= AT && exact > 0.999 * AT, "{exact}");
    // One batch keeps the pure bound: a δ would buy nothing.
    let single = thumbs(Some(laplace(4.0)), 2).guarantees(delta(AT)).unwrap()[1];
    assert_eq!((single.delta, single.pointwise), (delta(0.0), single.epsilon));
    assert_eq!(single.epsilon.shown(5).to_string(), "0.50000");
    // Many bits seldom all tell the same: there it does.
    let mechanism = mechanism(MechanismKind::Signals, 40, 4.0);
    let many = Release { mechanism, noise: Some(laplace(4.0)), honest: 2 };
    let many = many.guarantees(delta(AT)).unwrap()[1];
    assert!(many.epsilon.get() < 9.0 && many.delta == delta(AT), "{many:?}");
}
