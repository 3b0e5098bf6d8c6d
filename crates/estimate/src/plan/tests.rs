use super::*;
use proptest::prelude::*;
use sottovoce_privacy::units::TrustModel;
use sottovoce_program::template::without_budget;

/// The example, in which every device reports in every window.
fn program(change: impl Fn(String) -> String) -> Program {
    let text = without_budget(include_str!("../../../../examples/support-assistant.toml"));
    Program::parse("program.toml", &change(text)).unwrap()
}

fn epsilon(guarantees: &[Guarantee], trust: TrustModel) -> f64 {
    guarantees.iter().find(|guarantee| guarantee.trust == trust).unwrap().epsilon.get()
}

#[test]
fn a_plan_expects_what_privacy_md_tabulates() {
    let plan = Plan::new(&program(|text| text), Some(10_000)).unwrap();
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
fn without_a_budget_the_period_is_a_year_of_all_windows() {
    let plan = Plan::new(&program(|text| text), Some(10_000)).unwrap();
    // Three metrics, one of them in two tasks of which a device has one.
    assert!((epsilon(&plan.window_budget, TrustModel::Oc) - 12.0).abs() < 1e-6);
    let period = &plan.period;
    assert_eq!((period.windows, period.of_windows, period.limited), (366, 366, false));
    assert!((epsilon(&period.guarantees, TrustModel::Oc) - 12.0 * 366.0).abs() < 1e-3);
    let (window, year) = (
        epsilon(&plan.window_budget, TrustModel::Oamc),
        epsilon(&period.guarantees, TrustModel::Oamc),
    );
    let one = epsilon(&plan.metrics[0].guarantees, TrustModel::Oamc);
    assert!(window > one && window < 3.0 * one, "{window} {one}");
    assert!(year > window && year < 366.0 * window, "{year} {window}");
    assert_eq!(plan.year_budget, period.guarantees);
}

/// One thumb in batches of so many honest reports, and so many of 90 windows.
fn thumb(batch: u64, windows: u64) -> Program {
    program(|text| {
        let head = &text[..text.find("[dimensions").unwrap()];
        let text = head
            .replacen("min_batch_size = 3000", &format!("min_batch_size = {batch}"), 1)
            .replacen("reserve = 0.2", "reserve = 0.0", 1);
        format!(
            "{text}[budget]\nperiod = \"90 days\"\nwindows = {windows}\n[metrics.helpful]\nkind = \"thumbs\"\n\
             question = \"Did it help?\"\n"
        )
    })
}

/// From PRIVACY.md, section 9, and `reference_values.csv`.
#[test]
fn a_period_costs_what_privacy_md_tabulates() {
    for (batch, windows, known) in [(10_000, 4, 0.8455), (2400, 1, 0.9332)] {
        let period = thumb(batch, windows).period_cost().unwrap();
        let found = epsilon(&period.guarantees, TrustModel::Oamc);
        assert!((found / known - 1.0).abs() < 0.005, "{found} {known}");
        assert_eq!((period.windows, period.of_windows), (windows, 90));
    }
}

#[test]
fn a_window_has_its_share_of_the_devices_and_a_year_its_share_of_the_periods() {
    let plan = Plan::new(&thumb(2400, 3), Some(80_000)).unwrap();
    assert!((plan.metrics[0].fill.expected - 80_000.0 / 30.0).abs() < 1e-6);
    assert_eq!((plan.metrics[0].reports, plan.windows_per_year), (2666, 13));
    assert!(plan.all_batches > 0.999 && plan.devices_needed < 80_000);
    let needed = plan.devices_needed;
    let with = |devices| Plan::new(&thumb(2400, 3), Some(devices)).unwrap().all_batches;
    assert!(with(needed) >= 0.99 && with(needed - 200) < 0.99, "{needed}");
    assert_eq!(Plan::new(&thumb(2400, 3), None).unwrap().devices, needed);
}

#[test]
fn a_program_whose_windows_never_fill_is_told_with_the_devices_that_would_do() {
    let error = Plan::new(&thumb(2400, 3), Some(60_000)).unwrap_err();
    let words = error.to_string();
    let PlanError::NeverFills { expected, least, needed, .. } = error else { panic!("{words}") };
    assert!((expected - 2000.0).abs() < 1e-6 && least == 2400 && needed > 72_000);
    for part in
        ["helpful", "60000 devices", "3 of the 90 windows of 90 days", "2000 reports", "2400"]
    {
        assert!(words.contains(part), "{part:?} is not in {words:?}");
    }
}

#[test]
fn nothing_is_amplified_where_no_report_is_sure_to_be_honest() {
    let alone = program(|text| {
        text.replacen("min_batch_size = 3000", "min_batch_size = 2", 1)
            .replacen("reserve = 0.2", "reserve = 0.9", 1)
            .replacen("epsilon = 1.0", "epsilon = 4.0", 1)
    });
    let plan = Plan::new(&alone, Some(40)).unwrap();
    for guarantee in &plan.window_budget {
        assert!(guarantee.epsilon.get() >= 12.0 - 1e-6, "{guarantee:?}");
    }
}

#[test]
fn noise_of_the_aggregators_widens_and_protects() {
    let noise = "aggregator_noise = { kind = \"discrete-gaussian\", sigma = 20.0 }\nreserve =";
    let quiet = Plan::new(&program(|text| text), None).unwrap();
    let noisy = Plan::new(&program(|text| text.replacen("reserve =", noise, 1)), None).unwrap();
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
    fn more_devices_are_never_less_precise_and_fill_no_fewer_batches(
        devices in 7000_u64..100_000, more in 1_u64..100_000,
    ) {
        let program = program(|text| text);
        let [few, many] = [devices, devices + more].map(|n| {
            let batches = Batches::new(&program, n, 1, 1);
            let tasks = program.tasks().iter();
            let metrics = tasks.map(|task| metric(task, batches.fill(task, 3000)).unwrap());
            (batches.all_fill(3000), metrics.collect::<Vec<_>>())
        });
        prop_assert!(many.0 >= few.0);
        for (few, many) in few.1.iter().zip(&many.1) {
            prop_assert!(many.half_width <= few.half_width);
            prop_assert!(many.detectable_difference <= few.detectable_difference);
        }
    }
}
