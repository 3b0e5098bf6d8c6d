use super::*;
use sottovoce_privacy::units::TrustModel;
use sottovoce_program::{
    ProgramKind,
    template::{template, without_budget},
};

fn feedback() -> String {
    template(ProgramKind::Feedback, "support").unwrap()
}

fn program(text: &str) -> Program {
    Program::parse("program.toml", text).unwrap()
}

fn wanted(devices: u64, precision: &str) -> Wanted {
    Wanted { devices, precision: precision.parse().unwrap(), window: None }
}

fn find(program: &Program, wanted: Wanted) -> Result<Proposal, PlanError> {
    Proposal::find(program, wanted, |_| ())
}

/// A program with a proposal's numbers, as if they had been pasted.
fn settled(program: &Program, wanted: Wanted, proposal: &Proposal) -> Program {
    let search = Search::new(program, wanted).unwrap();
    let attempt = search
        .attempt(proposal.window_seconds, proposal.period.windows, wanted)
        .unwrap()
        .expect("the proposal does");
    program.with_settings(&search.settings(&attempt).unwrap()).unwrap()
}

fn central(cost: &PeriodCost) -> f64 {
    cost.under(TrustModel::Oamc).unwrap().epsilon.get()
}

#[test]
fn a_hundred_thousand_devices_keep_an_epsilon_of_one_a_quarter_over_all_metrics() {
    let program = program(&feedback());
    let wanted = wanted(100_000, "3pp");
    let proposal = find(&program, wanted).unwrap();
    assert!(central(&proposal.period) <= 1.0, "{proposal:?}");
    assert_eq!(proposal.period.seconds, 91 * DAY);
    assert!(proposal.all_batches >= 0.99, "{}", proposal.all_batches);
    for metric in &proposal.metrics {
        assert!(metric.half_width <= 0.03, "{metric:?}");
    }
    let settled = settled(&program, wanted, &proposal);
    settled.certify_budget().unwrap();
    assert_eq!(settled.period_cost().unwrap(), proposal.period);
    let as_it_is = crate::plan::Plan::new(&settled, Some(100_000)).unwrap();
    assert_eq!(as_it_is.period, proposal.period);
    assert!((as_it_is.all_batches - proposal.all_batches).abs() < 1e-12);
}

#[test]
fn no_fewer_windows_and_no_smaller_budget_would_do() {
    let program = program(&feedback());
    // Windows of a day need several of each device.
    let wanted = Wanted { window: Some(DAY), ..wanted(100_000, "2pp") };
    let proposal = find(&program, wanted).unwrap();
    let windows = proposal.period.windows;
    let search = Search::new(&program, wanted).unwrap();
    assert!(windows > 1, "{windows}");
    assert!(search.attempt(DAY, windows - 1, wanted).unwrap().is_none());
    for (metric, proposed) in program.metrics().into_iter().zip(&proposal.metrics) {
        let less = Epsilon::new(proposed.epsilon0.get() - 0.001).unwrap();
        let law = law_of(&metric.randomizer_with(less).unwrap().mechanism, AggregatorNoise::None);
        let half_width = law.unwrap().half_width(proposed.reports, Confidence::USUAL);
        assert!(half_width > wanted.precision.half_width(), "{proposed:?}");
    }
}

#[test]
fn what_cannot_be_reached_is_refused_with_devices_and_a_precision_that_do() {
    let program = program(&feedback());
    let asked = wanted(3000, "0.5pp");
    let error = find(&program, asked).unwrap_err();
    let words = error.to_string();
    let PlanError::Unreachable { more: Some(more), coarser: Some(coarser), .. } = error else {
        panic!("{words}")
    };
    assert!(words.contains("3000 devices") && words.contains("0.50 pp"), "{words}");
    assert!(more > 3000 && coarser > asked.precision);
    find(&program, Wanted { devices: more, ..asked }).unwrap();
    find(&program, Wanted { precision: coarser, ..asked }).unwrap();
}

#[test]
fn budgets_are_looked_for_up_to_the_largest_that_a_randomizer_takes() {
    let largest = from_steps(MOST_STEPS);
    assert!((largest - sottovoce_privacy::randomizer::MAX_EPSILON).abs() < 1e-12, "{largest}");
}

#[test]
fn a_window_that_is_no_part_of_the_period_is_refused() {
    let asked = Wanted { window: Some(2 * DAY), ..wanted(100_000, "3pp") };
    let words = find(&program(&feedback()), asked).unwrap_err().to_string();
    assert!(words.contains("2 days") && words.contains("91 days"), "{words}");
}

#[test]
fn a_program_without_a_budget_is_given_one() {
    let program = program(&without_budget(&feedback()));
    let proposal = find(&program, wanted(100_000, "3pp")).unwrap();
    assert_eq!(proposal.promise.0, Epsilon::new(1.0).unwrap());
    for line in ["[budget]", "period = \"91 days\"", "central = { epsilon = 1.0, delta = 1e-6 }"] {
        assert!(proposal.toml.contains(line), "{line} is not in {}", proposal.toml);
    }
}
