use super::{report::Figure, scenario::example, *};
use sottovoce_estimate::interval::Scope;
use std::sync::LazyLock;

/// 2027-01-04.
const START: u64 = 1_799_020_800;

/// Every kind of metric, in batches that are small.
fn program(tables: &str) -> Program {
    Program::parse("small.toml", &program_text(tables)).unwrap()
}

fn program_text(tables: &str) -> String {
    format!(
        r#"
        name = "small"
        leader = "https://leader.example/"
        helper = "https://helper.example/"
        collector = "AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
        window = "1 day"
        grace = "6 hours"
        min_batch_size = 100
        [privacy]
        epsilon0 = 4.0
        epsilon = 5.0
        {tables}
        "#
    )
}

static THUMBS: LazyLock<Arc<Program>> = LazyLock::new(|| {
    Arc::new(program(
        r#"
        [dimensions.arm]
        kind = "public"
        values = ["control", "candidate"]
        [dimensions.segment]
        kind = "private"
        values = ["new", "returning"]
        [metrics.helpful]
        kind = "thumbs"
        question = "Did it help?"
        dimensions = ["segment"]
        [metrics.quality]
        kind = "rating"
        question = "How good was it?"
        stars = 3
        dimensions = ["arm"]
        "#,
    ))
});

static KINDS: LazyLock<Arc<Program>> = LazyLock::new(|| {
    Arc::new(program(
        r#"
        [dimensions.cohort]
        kind = "held-out"
        share = 0.5
        salt = "autumn"
        [metrics.helpful]
        kind = "thumbs"
        question = "Did it help?"
        dimensions = ["cohort"]
        [metrics.aspects]
        kind = "ratings"
        question = "How was it?"
        aspects = ["tone", "accuracy"]
        levels = ["bad", "good"]
        [metrics.three]
        kind = "preference"
        question = "Which is better?"
        candidates = ["a", "b", "c"]
        [metrics.five]
        kind = "preference"
        question = "Which is better?"
        candidates = ["a", "b", "c", "d", "e"]
        [metrics.behaviour]
        kind = "signals"
        question = "What happened?"
        signals = ["copied", "edited", "regenerated"]
        [metrics.turns]
        kind = "count"
        question = "How many turns?"
        max = 3
        [metrics.mood]
        kind = "score"
        question = "How well did it go?"
        buckets = [0, 0.4, 0.6]
        of = "behaviour"
        weights = { copied = 1, regenerated = -1.5 }
        [metrics.problem]
        kind = "triage"
        question = "What is wrong?"
        categories = ["bug", "idea"]
        [metrics.both]
        kind = "joint"
        joins = ["helpful", "behaviour.copied"]
        "#,
    ))
});

fn simulated(program: &Arc<Program>, scenario: &str, devices: u64, windows: u64) -> Outcome {
    let scenario = Scenario::parse("scenario.toml", scenario, program).unwrap();
    let options = Options { devices, windows, seed: 7, start: START };
    run(program, &scenario, options, &|_| ()).unwrap()
}

fn truths(outcome: &Outcome) -> Vec<(Option<f64>, Option<f64>)> {
    let bins = outcome.releases.iter().flat_map(|release| &release.bins);
    bins.map(|Figure { truth, everybody, .. }| (*truth, *everybody)).collect()
}

fn share(outcome: &Outcome, release: usize, label: &str) -> (f64, f64) {
    let bins = &outcome.releases[release].bins;
    let bin = bins.iter().find(|bin| bin.label == label).unwrap();
    (bin.truth.unwrap(), bin.everybody.unwrap())
}

#[test]
fn a_report_of_many_votes_is_refused_by_its_proof_and_moves_nothing() {
    let dishonest = "[dishonest]\nforged = 0.2\nmetric = \"helpful\"\nbin = \"new · up\"";
    let outcome = simulated(&THUMBS, dishonest, 400, 1);
    let forged = outcome.counts.forged;
    assert!((50..=110).contains(&forged), "{forged}");
    assert_eq!(outcome.counts.refused, forged);
    assert_eq!(outcome.problems, Vec::<String>::new());
    let helpful = &outcome.releases[0];
    assert_eq!((helpful.reports, helpful.honest), (400 - forged, 400 - forged));
    assert!(outcome.least_held.is_some(), "judged, for what was refused moved nothing");
}

#[test]
fn liars_move_the_figures_with_noise_a_little_and_without_it_more() {
    let with = |how: &str| {
        let lie = format!("[dishonest]\n{how} = 0.5\nmetric = \"helpful\"\nbin = \"new · up\"");
        let outcome = simulated(&THUMBS, &lie, 400, 1);
        assert_eq!(outcome.least_held, None, "not judged");
        let helpful = &outcome.releases[0];
        let bin = &helpful.bins[1];
        (outcome.counts, helpful.honest, bin.estimate - bin.truth.unwrap())
    };
    let (counts, honest, moved) = with("answer");
    // A liar who runs the engine reports to the other metric too.
    assert_eq!(counts.lies, 2 * (400 - honest));
    assert!(moved > 0.25, "{moved}");
    let (counts, honest, bare) = with("bare");
    assert_eq!((counts.bare, counts.refused), (400 - honest, 0), "a proof of one vote holds");
    assert!(bare > moved, "{bare} {moved}");
}

#[test]
fn a_seed_gives_the_same_truth_and_another_one_another() {
    let scenario = "consent = 0.8\noffline = 0.1\nleave = 0.1\njoin = 0.3\npresent = 0.7\n\
                    changed = 0.2\nwithdrawn = 0.1\nresponses = 3";
    let parsed = Scenario::parse("scenario.toml", scenario, &THUMBS).unwrap();
    let with = |seed| {
        let options = Options { devices: 700, windows: 2, seed, start: START };
        run(&THUMBS, &parsed, options, &|_| ()).unwrap()
    };
    let (one, same, other) = (with(1), with(1), with(2));
    assert!(one.releases.len() > 4, "{one}");
    assert_eq!(truths(&one), truths(&same));
    assert_ne!(truths(&one), truths(&other));
    let estimates = |outcome: &Outcome| outcome.releases[0].bins[0].estimate;
    assert!((estimates(&one) - estimates(&same)).abs() > 0.0, "the noise is never the same");
}

#[test]
fn weeks_begin_on_the_day_that_the_program_says_and_nothing_comes_too_early_or_late() {
    let text = program_text("[metrics.helpful]\nkind = \"thumbs\"\nquestion = \"Did it help?\"\n");
    // START is a Monday, three days before the week of DAP that its number is.
    let weekly = "window = \"1 week\"\nweek_begins = \"monday\"";
    let text = text.replace("window = \"1 day\"", weekly);
    let program = Arc::new(Program::parse("weekly.toml", &text).unwrap());
    let outcome = simulated(&program, "responses = 2", 300, 2);
    assert_eq!(outcome.counts.accepted, 600);
    assert_eq!((outcome.counts.late, outcome.problems.len()), (0, 0), "{outcome}");
    let windows: Vec<_> = outcome.releases.iter().map(|release| &release.window[..]).collect();
    assert_eq!(windows, ["2027-01-04T00:00:00Z", "2027-01-11T00:00:00Z"]);
}

#[test]
fn mishaps_change_nothing_of_what_people_think_and_count_nobody_twice() {
    let calm = "responses = 2\nchanged = 0.2";
    let storm = format!("{calm}\ncrash = 0.5\nlost_request = 0.2\nlost_answer = 0.3");
    let [calm, storm] = [calm, &storm].map(|scenario| simulated(&THUMBS, scenario, 600, 2));
    let thoughts = |outcome: &Outcome| -> Vec<_> {
        truths(outcome).into_iter().map(|(_, everybody)| everybody).collect()
    };
    assert_eq!(thoughts(&calm), thoughts(&storm));
    assert_eq!((calm.counts.lost, calm.counts.crashes), (0, 0));
    let Outcome { counts, .. } = storm;
    assert!(counts.lost > 500 && counts.crashes > 500 && counts.replayed > 100, "{counts:?}");
    // Each device reports each metric in each window, and nearly all of it arrives in the end.
    assert_eq!(calm.counts.accepted, 600 * 2 * 2);
    assert!((2300..=2400).contains(&counts.accepted), "{counts:?}");
    assert_eq!(storm.problems, Vec::<String>::new());
}

#[test]
fn silence_of_the_satisfied_shows_between_everybody_and_what_was_said() {
    let scenario = "satisfied = 0.8\n\
        [metrics.helpful.satisfied]\nrate = 0.1\nsays = { up = 1.0 }\n\
        [metrics.helpful.unsatisfied]\nrate = 0.9\nsays = { down = 1.0 }\n";
    let outcome = simulated(&THUMBS, scenario, 1000, 1);
    let measure = outcome.releases[0].measure.as_ref().unwrap();
    let (everybody, said) = (measure.everybody.unwrap(), measure.truth.unwrap());
    assert!((everybody - 0.8).abs() < 0.05, "{everybody}");
    // 0.08 of all say up, 0.18 down.
    assert!((said - 0.08 / 0.26).abs() < 0.08, "{said}");
    let rates = "[metrics.helpful.satisfied]\nrate = 0.0\nrates = { up = 1.0 }\n\
                 says = { up = 0.5, down = 0.5 }\n[metrics.helpful.unsatisfied]\nrate = 0.0\n";
    let measure = simulated(&THUMBS, rates, 400, 1).releases.remove(0).measure.unwrap();
    assert_eq!(measure.truth, Some(1.0), "only those speak who think it helped");
}

#[test]
fn segments_arms_and_shifts_are_what_the_scenario_says() {
    let scenario = "satisfied = 0.0\n\
        [[segments]]\nshare = 3.0\nvalues = { segment = \"new\" }\n\
        [[segments]]\nshare = 1.0\nsatisfied = 1.0\nvalues = { segment = \"returning\" }\n\
        [arms]\narm = { control = 1.0, candidate = 3.0 }\n\
        [[shifts]]\nfrom = 1\nsatisfied = 1.0\n\
        [metrics.helpful.satisfied]\nrate = 1.0\nsays = { up = 1.0 }\n\
        [metrics.helpful.unsatisfied]\nrate = 1.0\nsays = { down = 1.0 }\n";
    let outcome = simulated(&THUMBS, scenario, 1000, 2);
    assert_eq!(outcome.releases[0].task, "helpful");
    assert_eq!(
        (share(&outcome, 0, "new · up"), share(&outcome, 0, "returning · down")),
        ((0.0, 0.0), (0.0, 0.0))
    );
    let (new, everybody) = share(&outcome, 0, "new · down");
    assert!((new - 0.75).abs() < 0.05 && (new - everybody).abs() < 1e-9, "{new} {everybody}");
    assert_eq!(share(&outcome, 1, "new · down"), (0.0, 0.0), "from window 1 on all are satisfied");
    let reports =
        |task: &str| outcome.releases.iter().find(|release| release.task == task).unwrap().reports;
    assert_eq!(reports("quality/arm=control") + reports("quality/arm=candidate"), 1000);
    assert!((700..=800).contains(&reports("quality/arm=candidate")), "{outcome}");
}

#[test]
fn every_kind_of_metric_is_said_reported_and_known_even_what_devices_work_out() {
    let scenario = "responses = 2\noffline = 0.1";
    let outcome = simulated(&KINDS, scenario, 600, 3);
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!(outcome.releases.len(), 9 * 3, "{outcome}");
    for release in &outcome.releases {
        let known = release.bins.iter().all(|bin| bin.truth.is_some());
        assert!(known && release.honest == release.reports, "{}", release.task);
        let one: f64 = release.bins.iter().filter_map(|bin| bin.truth).sum();
        assert!(release.task == "behaviour" || (one - 1.0).abs() < 1e-6, "{} {one}", release.task);
        // Two responses: the engine's choice is its own.
        assert_eq!(release.scope, Scope::Population, "{}", release.task);
        // Held out, only the device knows; scores, only its engine works out.
        let hidden = ["helpful", "mood"].contains(&release.task.as_str());
        assert_eq!(release.bins[0].everybody.is_none(), hidden, "{}", release.task);
    }
    let mood = outcome.releases.iter().find(|release| release.task == "mood").unwrap();
    assert!(mood.bins.iter().skip(1).all(|bin| bin.truth > Some(0.01)), "{outcome}");
}

#[test]
fn reporters_of_a_red_team_find_what_the_scenario_says() {
    let channel = include_str!("../../crates/program/src/template/red-team.toml");
    let channel = Program::parse("red-team.toml", channel).unwrap();
    let says = "[metrics.harm.satisfied]\nrate = 1.0\nsays = { \"jailbreak: grave\" = 1.0 }\n\
                [metrics.harm.unsatisfied]\nrate = 1.0\nsays = { \"bias: mild\" = 1.0 }\n";
    let outcome = simulated(&Arc::new(channel), says, 300, 1);
    let (grave, everybody) = share(&outcome, 0, "jailbreak: grave");
    assert!((grave - 0.7).abs() < 0.1 && (grave - everybody).abs() < 1e-9, "{outcome}");
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let outcome = simulated(&THUMBS, "", 400, 12);
    let accuracy = outcome.accuracy.unwrap();
    assert_eq!(accuracy.figures, 12 * (5 + 4 + 4));
    assert!(outcome.releases.iter().all(|release| release.scope == Scope::Cohort));
    assert!(accuracy.coverage > 0.88, "{accuracy:?}");
    // The error is what the intervals say, and no more than the plan does.
    let (error, stated) = (accuracy.rms_error, accuracy.stated_error);
    assert!((0.75..=1.3).contains(&(error / stated)), "{accuracy:?}");
    assert!(stated < accuracy.planned_error, "{accuracy:?}");
}

#[test]
fn noise_of_the_aggregators_is_in_the_figures() {
    let noisy = r#"
        aggregator_noise = { kind = "discrete-gaussian", sigma = 40.0 }
        [metrics.helpful]
        kind = "thumbs"
        question = "Did it help?"
        "#;
    let outcome = simulated(&Arc::new(program(noisy)), "", 300, 6);
    let accuracy = outcome.accuracy.unwrap();
    assert!(accuracy.rms_error > 0.08 && accuracy.coverage > 0.6, "{accuracy:?}");
}

#[test]
fn what_is_too_small_is_not_released_and_what_is_not_asked_not_simulated() {
    let outcome = simulated(&THUMBS, "consent = 0.1", 500, 1);
    assert_eq!((outcome.releases.len(), outcome.too_small.len()), (0, 3));
    assert_eq!((outcome.accuracy, outcome.least_held), (None, None));
    let text = outcome.to_string();
    assert!(text.contains("are too few for a release"), "{text}");

    let limited = "ends = \"2027-01-05T00:00:00Z\"\n";
    let text = r#"
        [metrics.helpful]
        kind = "thumbs"
        question = "Did it help?"
        "#;
    let text = format!("x{text}");
    let limited = Program::parse(
        "limited.toml",
        &format!(
            "starts = \"2027-01-04T00:00:00Z\"\n{limited}name = \"limited\"\n\
             leader = \"https://leader.example/\"\nhelper = \"https://helper.example/\"\n\
             collector = \"AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\"\n\
             window = \"1 day\"\nmin_batch_size = 100\n[privacy]\nepsilon = 5.0\n{}",
            &text[1..]
        ),
    );
    let limited = Arc::new(limited.unwrap());
    let scenario = Scenario::parse("scenario.toml", "", &limited).unwrap();
    let options = Options { devices: 10, windows: 2, seed: 1, start: START };
    let refused = run(&limited, &scenario, options, &|_| ()).unwrap_err().to_string();
    assert!(refused.contains("2027-01-05T00:00:00Z") && refused.contains("--windows"), "{refused}");
}

#[test]
fn the_example_of_any_program_is_a_scenario() {
    for program in [&*THUMBS, &*KINDS] {
        let text = example(program);
        let scenario = Scenario::parse("example.toml", &text, program).unwrap();
        assert_eq!(scenario.responses, 2);
        // What is only shown can be meant, too.
        let all: Vec<_> = text
            .lines()
            .map(|line| {
                let bare = line.strip_prefix("# ").unwrap_or(line);
                let is_shown = bare.starts_with('[') || bare.contains(" = ");
                if is_shown { bare } else { "" }
            })
            .collect();
        let all = all.join("\n");
        let scenario = Scenario::parse("example.toml", &all, program);
        let scenario = scenario.unwrap_or_else(|error| panic!("{error}\n{all}"));
        assert!(scenario.dishonest.lie.is_some(), "{text}");
        assert_eq!((scenario.shifts.len(), scenario.effects.len()), (1, scenario.arms.len()));
    }
}
