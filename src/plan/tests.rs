use super::*;
use crate::{plan::precision::Precision, privacy::units::TrustModel};
use proptest::prelude::*;

fn program(change: impl Fn(String) -> String) -> Program {
    let text = include_str!("../../examples/support-assistant.toml");
    Program::parse("program.toml", &change(text.to_owned())).unwrap()
}

fn epsilon(guarantees: &[Guarantee], trust: TrustModel) -> f64 {
    guarantees.iter().find(|guarantee| guarantee.trust == trust).unwrap().epsilon.get()
}

#[test]
fn a_plan_expects_what_privacy_md_tabulates() {
    let plan = Plan::new(&program(|text| text), 10_000).unwrap();
    let quality = plan.metrics.iter().find(|metric| metric.name == "quality").unwrap();
    assert_eq!((quality.bins, quality.randomizer), (5, MechanismKind::Krr));
    // λ(1-λ)/(n s²) at λ = a + s/2, worked out by hand for k = 5 and ε0 = 4.
    let (a, s) = (1.0 / (4.0_f64.exp() + 4.0), 1.0 - 5.0 / (4.0_f64.exp() + 4.0));
    let lambda = a + s / 2.0;
    let expected = 1.959_964 * (lambda * (1.0 - lambda) / 1e4).sqrt() / s;
    assert!((quality.half_width - expected).abs() < 1e-6, "{}", quality.half_width);
    assert!((quality.half_width_without_noise - 0.0098).abs() < 1e-4);
    assert!(quality.detectable_difference > 2.0 * quality.half_width_without_noise);
    assert!((300..1500).contains(&quality.bytes_per_report), "{}", quality.bytes_per_report);
}

#[test]
fn budgets_add_up_over_metrics_and_windows() {
    let plan = Plan::new(&program(|text| text), 3000).unwrap();
    // Three metrics, one of them in two tasks of which a device has one.
    assert!((epsilon(&plan.window_budget, TrustModel::Oc) - 12.0).abs() < 1e-6);
    assert_eq!(plan.windows_per_year, 366);
    assert!((epsilon(&plan.year_budget, TrustModel::Oc) - 12.0 * 366.0).abs() < 1e-3);
    let (window, year) = (
        epsilon(&plan.window_budget, TrustModel::Oamc),
        epsilon(&plan.year_budget, TrustModel::Oamc),
    );
    let one = epsilon(&plan.metrics[0].guarantees, TrustModel::Oamc);
    assert!(window > one && window < 3.0 * one, "{window} {one}");
    assert!(year > window && year < 366.0 * window, "{year} {window}");
}

#[test]
fn nothing_is_amplified_where_no_report_is_sure_to_be_honest() {
    let alone = program(|text| {
        text.replacen("min_batch_size = 3000", "min_batch_size = 2", 1)
            .replacen("reserve = 0.2", "reserve = 0.9", 1)
            .replacen("epsilon = 1.0", "epsilon = 4.0", 1)
    });
    let plan = Plan::new(&alone, 2).unwrap();
    for guarantee in &plan.window_budget {
        assert!(guarantee.epsilon.get() >= 12.0 - 1e-6, "{guarantee:?}");
    }
}

#[test]
fn a_wanted_precision_is_reached_and_no_better_than_needed() {
    let program = program(|text| text);
    let wanted: Precision = "2pp".parse().unwrap();
    let plan = Plan::with_precision(&program, 5000, wanted).unwrap();
    for metric in &plan.metrics {
        let reached = metric.precision.as_ref().unwrap();
        let mechanism = |epsilon0: f64| {
            Mechanism::new(metric.randomizer, metric.bins, Epsilon::new(epsilon0).unwrap()).unwrap()
        };
        let half_width = |epsilon0| {
            let law = law_of(&mechanism(epsilon0), AggregatorNoise::None).unwrap();
            law.half_width(5000, Confidence::USUAL)
        };
        assert!(half_width(reached.epsilon0.get()) <= 0.02 + 1e-9, "{}", metric.name);
        assert!(half_width(reached.epsilon0.get() - 0.01) > 0.02, "{}", metric.name);
        assert!(epsilon(&reached.guarantees, TrustModel::Oamc) <= 1.0, "{}", metric.name);
        assert_eq!(reached.windows, reached.devices.div_ceil(5000));
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_can() {
    let program = program(|text| text);
    let few = Plan::new(&program, 10).unwrap_err().to_string();
    assert!(few.contains("3000"), "{few}");
    let fine: Precision = "0.1pp".parse().unwrap();
    let error = Plan::with_precision(&program, 3000, fine).unwrap_err();
    let PlanError::Unreachable { needed, windows, .. } = error else { panic!("{error}") };
    assert!(needed > 900_000 && windows == needed.div_ceil(3000));
}

#[test]
fn noise_of_the_aggregators_widens_and_protects() {
    let noise = "aggregator_noise = { kind = \"discrete-gaussian\", sigma = 20.0 }\nreserve =";
    let quiet = Plan::new(&program(|text| text), 3000).unwrap();
    let noisy = Plan::new(&program(|text| text.replacen("reserve =", noise, 1)), 3000).unwrap();
    for (quiet, noisy) in quiet.metrics.iter().zip(&noisy.metrics) {
        assert!(noisy.half_width > quiet.half_width);
        let [quiet, noisy] =
            [quiet, noisy].map(|metric| epsilon(&metric.guarantees, TrustModel::Oaoc));
        assert!(noisy < 0.28 && quiet > 3.9, "{noisy} {quiet}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn more_devices_are_never_less_precise(devices in 3000_u64..100_000, more in 1_u64..100_000) {
        let program = program(|text| text);
        let [few, many] = [devices, devices + more].map(|n| Plan::new(&program, n).unwrap());
        for (few, many) in few.metrics.iter().zip(&many.metrics) {
            prop_assert!(many.half_width <= few.half_width);
            prop_assert!(many.detectable_difference <= few.detectable_difference);
        }
    }
}
