use super::*;
use crate::{
    aggregator_noise::AggregatorNoise,
    compare::Verdict,
    noisy_counts::{Channel, NoisyCounts},
};
use sottovoce_privacy::rng::SimulationRng;
use sottovoce_program::{Program, compile::CompiledTask};

fn program() -> Program {
    let text = include_str!("../../../../examples/support-assistant.toml");
    Program::parse("program.toml", text).unwrap()
}

const DAY: u64 = 86_400;

/// What devices report whose answers are in the bins as often as said, through the task's own
/// randomizer.
fn batch<'a>(task: &'a CompiledTask, answers: &[u32], start: u64, seed: u64) -> Batch<'a> {
    let sottovoce_privacy::guarantee::Mechanism::Krr(randomizer) = &task.randomizer().mechanism
    else {
        panic!("not a choice")
    };
    let mut rng = SimulationRng::from_seed(seed);
    let mut counts = vec![0; answers.len()];
    for (bin, devices) in (0..).zip(answers) {
        for _ in 0..*devices {
            let bin = sottovoce_privacy::randomizer::Bin::new(bin);
            counts[randomizer.simulate(bin, &mut rng).unwrap().index()] += 1;
        }
    }
    let reports = answers.iter().copied().map(u64::from).sum();
    let channel = Channel::of_mechanism(&task.randomizer().mechanism).unwrap();
    let noise = AggregatorNoise::of_both(task.noise());
    let counts = NoisyCounts::new(counts, reports, channel, noise).unwrap();
    Batch { task, counts, start, end: start + DAY, id: None }
}

/// no answer | new up | new down | returning up | returning down
fn thumbs<'a>(program: &'a Program, arm: &str, up: u32, start: u64, seed: u64) -> Batch<'a> {
    let task = program.task(&format!("helpful/arm={arm}")).unwrap();
    batch(task, &[2000, up, 2000 - up, up, 2000 - up], start, seed)
}

#[test]
fn arms_that_differ_are_told_apart_and_others_are_not() {
    let program = program();
    let different =
        vec![thumbs(&program, "control", 1000, 0, 1), thumbs(&program, "candidate", 1200, 0, 2)];
    let findings = Findings::of(&program, different).unwrap();
    let [arms] = findings.metrics[0].arms.as_slice() else { panic!("{findings}") };
    let [comparison] = arms.comparisons.as_slice() else { panic!("{findings}") };
    let higher = match comparison.verdict {
        Verdict::FirstHigher => &comparison.first,
        Verdict::SecondHigher => &comparison.second,
        Verdict::CannotTell => panic!("{findings}"),
    };
    assert_eq!(higher, "candidate");
    let alike =
        vec![thumbs(&program, "control", 1000, 0, 3), thumbs(&program, "candidate", 1005, 0, 4)];
    let findings = Findings::of(&program, alike).unwrap();
    assert_eq!(findings.metrics[0].arms[0].comparisons[0].verdict, Verdict::CannotTell);
    assert!(findings.to_string().contains("cannot tell"), "{findings}");
}

#[test]
fn figures_are_close_to_what_devices_answered() {
    let program = program();
    let findings = Findings::of(&program, vec![thumbs(&program, "control", 1500, 0, 5)]).unwrap();
    let batch = &findings.metrics[0].batches[0];
    let [answered, up] = batch.figures.as_slice() else { panic!("{findings}") };
    assert!(answered.figure.interval.contains(2.0 / 3.0), "{findings}");
    assert!(up.figure.interval.contains(0.75), "{findings}");
    assert!(!batch.disparity.as_ref().unwrap().is_supported, "{findings}");
    assert!(batch.shift_by_one_percent_dishonest.unwrap() > 0.01);
    assert!(findings.metrics[0].refused.is_empty(), "{findings}");
}

#[test]
fn a_gap_between_segments_is_found() {
    let program = program();
    let task = program.task("helpful/arm=control").unwrap();
    let findings =
        Findings::of(&program, vec![batch(task, &[2000, 1500, 500, 900, 1100], 0, 6)]).unwrap();
    let disparity = findings.metrics[0].batches[0].disparity.as_ref().unwrap();
    assert!(disparity.is_supported && disparity.highest == "new", "{findings}");
}

#[test]
fn a_change_over_windows_is_dated() {
    let program = program();
    let quiet: Vec<_> =
        (0..6).map(|day| thumbs(&program, "control", 1000, day * DAY, 10 + day)).collect();
    let findings = Findings::of(&program, quiet).unwrap();
    assert_eq!(findings.metrics[0].changes[0].change.verdict, None, "{findings}");
    let up = |day| if day < 3 { 1000 } else { 1300 };
    let changed =
        (0..6).rev().map(|day| thumbs(&program, "control", up(day), day * DAY, 20 + day)).collect();
    let findings = Findings::of(&program, changed).unwrap();
    let change = &findings.metrics[0].changes[0];
    assert!(change.change.verdict.is_some() && change.alarm.is_some(), "{findings}");
    assert_eq!(change.change.after, "1970-01-04T00:00:00Z", "{findings}");
}

#[test]
fn the_strongest_candidate_is_named() {
    let program = program();
    let task = program.task("preferred").unwrap();
    // a>b a<b a=b, a>c a<c a=c, b>c b<c b=c
    let answers = [3000, 900, 300, 100, 1000, 200, 100, 600, 500, 200];
    let findings = Findings::of(&program, vec![batch(task, &answers, 0, 30)]).unwrap();
    let strengths = &findings.metrics[0].strengths[0];
    let best =
        strengths.strengths.candidates.iter().max_by(|a, b| a.strength.total_cmp(&b.strength));
    assert_eq!(best.unwrap().candidate, "model-a", "{findings}");
    assert_eq!(strengths.comparisons[0].verdict, Verdict::FirstHigher, "{findings}");
}

#[test]
fn too_few_answers_are_refused_in_words() {
    let program = program();
    let task = program.task("helpful/arm=control").unwrap();
    let findings = Findings::of(&program, vec![batch(task, &[3000, 0, 0, 0, 0], 0, 40)]).unwrap();
    let refused = &findings.metrics[0].refused;
    assert!(refused.iter().any(|reason| reason.contains("distinguished from 0")), "{findings}");
}

#[test]
fn batches_of_one_window_are_told_apart_by_their_ids() {
    let program = program();
    let selected = |arm, up, seed: u64, id: &str| Batch {
        id: Some(id.to_owned()),
        ..thumbs(&program, arm, up, 0, seed)
    };
    let three = || {
        vec![
            selected("control", 1000, 1, "aaaaaaaa-1"),
            selected("control", 1010, 2, "bbbbbbbb-2"),
            selected("candidate", 1300, 3, "cccccccc-3"),
        ]
    };
    let findings = Findings::of(&program, three()).unwrap();
    assert_eq!(findings.metrics[0].batches.len(), 3);
    // The two of one arm are not compared with each other.
    let comparisons = &findings.metrics[0].arms[0].comparisons;
    assert_eq!(comparisons.len(), 2, "{findings}");
    assert!(comparisons.iter().all(|one| one.verdict != Verdict::CannotTell), "{findings}");
    assert!(findings.to_string().contains("(batch bbbbbbbb)"), "{findings}");
    let again = [three(), vec![selected("control", 1000, 1, "aaaaaaaa-1")]].concat();
    assert!(matches!(Findings::of(&program, again), Err(FindingsError::Twice { .. })));
}

#[test]
fn batches_that_overlap_are_refused() {
    let program = program();
    let week = Batch { end: 7 * DAY, ..thumbs(&program, "control", 1000, 0, 1) };
    let day = thumbs(&program, "control", 1000, 3 * DAY, 2);
    let error = Findings::of(&program, vec![week, day]).unwrap_err();
    assert!(error.to_string().contains("overlap"), "{error}");
}

/// Nobody answered.
fn nothing<'a>(program: &'a Program, arm: &str, start: u64, seed: u64) -> Batch<'a> {
    batch(program.task(&format!("helpful/arm={arm}")).unwrap(), &[6000, 0, 0, 0, 0], start, seed)
}

#[test]
fn an_empty_window_is_left_out_of_a_series_and_named() {
    let program = program();
    let up = |day| if day < 3 { 1000 } else { 1300 };
    let days = (0..7).map(|day| match day {
        2 => nothing(&program, "control", 2 * DAY, 50),
        day => thumbs(&program, "control", up(day), day * DAY, 20 + day),
    });
    let findings = Findings::of(&program, days.collect()).unwrap();
    let [change] = findings.metrics[0].changes.as_slice() else { panic!("{findings}") };
    assert_eq!((change.change.windows, change.change.verdict.is_some()), (6, true), "{findings}");
    assert_eq!(change.left_out[0].label, "1970-01-03T00:00:00Z", "{findings}");
    assert!(findings.to_string().contains("1970-01-03T00:00:00Z is left out: "), "{findings}");
}

#[test]
fn an_empty_arm_is_left_out_of_a_comparison_and_named() {
    let text = include_str!("../../../../examples/support-assistant.toml");
    let values =
        text.replace("\"control\", \"candidate\"", "\"control\", \"candidate\", \"third\"");
    assert_ne!(text, values);
    let program = Program::parse("program.toml", &values).unwrap();
    let arms = vec![
        thumbs(&program, "control", 1000, 0, 1),
        thumbs(&program, "candidate", 1300, 0, 2),
        nothing(&program, "third", 0, 3),
    ];
    let findings = Findings::of(&program, arms).unwrap();
    let arms = &findings.metrics[0].arms[0];
    assert_eq!((arms.comparisons.len(), arms.left_out[0].label.as_str()), (1, "third"));
    assert!(findings.to_string().contains("third is left out: "), "{findings}");
}

#[test]
fn no_figure_is_outside_its_interval_in_words_and_no_zero_has_a_sign() {
    let program = program();
    let task = program.task("helpful/arm=control").unwrap();
    for seed in 0..20 {
        // All who answer say up, and all answer.
        let findings =
            Findings::of(&program, vec![batch(task, &[0, 1500, 0, 1500, 0], 0, seed)]).unwrap();
        for figure in &findings.metrics[0].batches[0].figures {
            let crate::interval::Interval { low, high } = figure.figure.interval;
            assert!(figure.figure.interval.contains(figure.figure.shown()), "{findings}");
            assert!(low < high && high <= 1.0, "{findings}");
        }
        let words = findings.to_string();
        assert!(!words.contains("-0.0 ") && !words.contains("100.0 % – 100.0 %"), "{words}");
        assert!(!words.contains(" 101."), "{words}");
    }
}

#[test]
fn a_batch_of_several_windows_counts_device_windows() {
    let program = program();
    let one = thumbs(&program, "control", 1000, 0, 1);
    let several = Batch { counts: one.counts.clone().with_repeats(7), end: 7 * DAY, ..one.clone() };
    let half_width = |batch: Batch<'_>| {
        let findings = Findings::of(&program, vec![batch]).unwrap();
        let found = &findings.metrics[0].batches[0];
        (found.figures[1].figure.interval.half_width(), findings.to_string())
    };
    let ((narrow, words), (wide, of_several)) = (half_width(one), half_width(several));
    assert!(wide > 2.0 * narrow && wide < 7.0_f64.sqrt() * narrow, "{narrow} {wide}");
    assert!(words.contains("6000 reports"), "{words}");
    assert!(of_several.contains("6000 device-windows (one device counts up to 7 times)"));
    assert!(of_several.contains("share of device-windows with an answer"), "{of_several}");
}

/// The example with other metrics.
fn asking(metrics: &str) -> Program {
    let text = include_str!("../../../../examples/support-assistant.toml");
    let head = &text[..text.find("[metrics").unwrap()];
    Program::parse("program.toml", &format!("{head}{metrics}")).unwrap()
}

#[test]
fn those_who_are_silent_are_spoken_for_by_those_who_did_the_same() {
    let program = asking(
        "[metrics.helpful]\nkind = \"thumbs\"\nquestion = \"Did it help?\"\n\
         [metrics.did]\nkind = \"signals\"\nquestion = \"What?\"\nsignals = [\"copied\"]\n\
         [metrics.both]\nkind = \"joint\"\njoins = [\"helpful\", \"did.copied\"]\n",
    );
    let task = program.task("both").unwrap();
    // Who copies is content: 90 in 100 against 30. But only one in ten of those who did not copy
    // answers, and half of the others.
    // no answer | nothing · copied | up · nothing | up · copied | down · nothing | down · copied
    let answers = [27_000, 10_000, 900, 9_000, 2_100, 1_000];
    let findings = Findings::of(&program, vec![batch(task, &answers, 0, 5)]).unwrap();
    let correction = findings.metrics[0].batches[0].correction.as_ref().unwrap();
    let truth = (20_000.0 * 0.9 + 30_000.0 * 0.3) / 50_000.0;
    let (raw, corrected) = (correction.among_answers.unwrap(), correction.corrected.unwrap());
    assert!((corrected.value - truth).abs() < 0.03, "{findings}");
    assert!(raw.value > truth + 0.15, "those who answer are the content ones: {findings}");
    let words = findings.to_string();
    assert!(words.contains("share of up to helpful among all devices"), "{words}");
    assert!(words.contains("missing at random"), "{words}");
}

#[test]
fn segments_and_cohorts_are_each_compared_across_the_other() {
    let program = asking(
        "[dimensions.cohort]\nkind = \"held-out\"\nshare = 0.2\nsalt = \"a\"\n\
         [metrics.helpful]\nkind = \"thumbs\"\nquestion = \"?\"\n\
         dimensions = [\"segment\", \"cohort\"]\n",
    );
    // no answer, and for new and returning: rest up, down; held-out up, down. Who returns is more
    // content; whether one is held out makes no difference.
    let answers = [2_000, 3_000, 3_000, 600, 600, 4_000, 1_000, 800, 200];
    let task = program.task("helpful").unwrap();
    let findings = Findings::of(&program, vec![batch(task, &answers, 0, 8)]).unwrap();
    let found = &findings.metrics[0].batches[0];
    let segments = found.disparity.as_ref().unwrap();
    assert_eq!((segments.pairs, segments.highest.as_str()), (1, "returning"), "{findings}");
    assert!(segments.is_supported && (segments.gap - 0.3).abs() < 0.05, "{findings}");
    let cohorts = &found.held_out[0].gap;
    assert!(!cohorts.is_supported && cohorts.gap < 0.05, "{findings}");
    let words = findings.to_string();
    assert!(words.contains("cohort: the data cannot tell"), "{words}");
}

#[test]
fn held_out_devices_are_compared_with_the_rest_and_findings_are_graded() {
    let program = asking(
        "[dimensions.cohort]\nkind = \"held-out\"\nshare = 0.2\nsalt = \"a\"\n\
         [metrics.helpful]\nkind = \"thumbs\"\nquestion = \"?\"\ndimensions = [\"cohort\"]\n",
    );
    // no answer | rest up | rest down | held-out up | held-out down
    let tuned_on = [2_000, 6_000, 2_000, 1_000, 1_000];
    let findings =
        Findings::of(&program, vec![batch(program.task("helpful").unwrap(), &tuned_on, 0, 6)])
            .unwrap();
    let found = &findings.metrics[0].batches[0];
    assert!(found.disparity.is_none(), "nobody is asked about a segment: {findings}");
    let gap = &found.held_out[0].gap;
    assert!(gap.is_supported && gap.highest == "rest" && gap.lowest == "held-out", "{findings}");
    assert!((gap.gap - 0.25).abs() < 0.05, "{findings}");
    let words = "cohort: share of up among answers is higher for rest than for held-out, by 2";
    assert!(findings.to_string().contains(words), "{findings}");

    let text = include_str!("../../../../examples/support-assistant.toml");
    let head = &text[..text.find("[dimensions").unwrap()];
    let channel = format!(
        "kind = \"red-team\"\n{head}[metrics.harm]\nkind = \"finding\"\nquestion = \"?\"\n\
         categories = [\"bias\", \"leak\"]\nseverities = [\"mild\", \"serious\", \"grave\"]\n"
    );
    let program = Program::parse("channel.toml", &channel).unwrap();
    // no answer | bias: mild, serious, grave | leak: mild, serious, grave
    let found = [3_000, 2_000, 500, 500, 500, 500, 1_000];
    let findings =
        Findings::of(&program, vec![batch(program.task("harm").unwrap(), &found, 0, 7)]).unwrap();
    let figures = &findings.metrics[0].batches[0].figures;
    for (name, truth) in [
        ("share of grave among findings", 0.3),
        ("share of bias among findings", 0.6),
        ("share of leak among findings", 0.4),
    ] {
        let found = figures.iter().find(|figure| figure.name == name);
        let value = found.unwrap_or_else(|| panic!("{findings}")).figure.value;
        assert!((value - truth).abs() < 0.04, "{name}: {value}");
    }
}
