//! Logs that are whole, and say that a promise was broken.

use super::stage::*;
use crate::finding::Severity;
use sottovoce_dap::{
    aggregate::Checksum,
    collect::BatchSelector,
    ids::{BatchId, TaskId},
    role::Role,
    task::BatchMode,
    time::{Interval, Time},
};
use sottovoce_log::{
    checkpoint::TestKey,
    entry::{
        Event, FULL_AND_OVER, KeyChange, RELEASES_SETTING, Refused, Release, Repaired, TaskTaken,
        windows_setting,
    },
    note::KeyKind,
};
use sottovoce_program::{Program, ProgramKind, template::template};
use std::fs;

#[test]
fn reports_that_are_released_twice_are_told_by_their_windows() {
    let mut stage = Stage::new();
    stage.release(20);
    stage.holds();
    let mut again = stage.released(20);
    let window = stage.program.tasks()[0].configuration.time_precision.seconds();
    let wider = Interval::new(again.interval.start(), 3 * DAY.div_ceil(window)).unwrap();
    again.batch = BatchSelector::TimeInterval(wider.into());
    stage.release_both(17, &again, &again);
    let message = stage.violated("released-twice");
    assert!(message.contains(" to "), "{message}");
}

/// A rule, and what breaks it.
type Change = (&'static str, fn(&mut Release));

#[test]
fn a_batch_too_small_or_of_another_price_or_noise_is_told() {
    let mut stage = Stage::new();
    stage.holds();
    let changes: [Change; 5] = [
        ("batch-size", |release| release.report_count -= 1),
        ("charge", |release| release.charged.clear()),
        ("unknown-task", |release| release.task = sottovoce_dap::ids::TaskId::new([1; 32])),
        ("batch-mode", |release| {
            release.batch =
                BatchSelector::LeaderSelected(sottovoce_dap::ids::BatchId::new([1; 32]));
        }),
        ("interval", |release| {
            release.interval = Interval::new(Time(1), 1).unwrap();
        }),
    ];
    for (rule, change) in changes {
        let mut stage = Stage::new();
        let mut release = stage.released(20);
        change(&mut release);
        stage.release_both(20, &release, &release);
        stage.violated(rule);
    }
}

#[test]
fn logs_that_contradict_each_other_are_told_by_what_they_differ_in() {
    let mut stage = Stage::new();
    let release = stage.released(20);
    let other = Release { checksum: Checksum::new([8; 32]), ..release.clone() };
    stage.release_both(20, &release, &other);
    assert!(stage.violated("sides-differ").contains("checksum"));
    let mut stage = Stage::new();
    let more = Release { report_count: release.report_count + 5, ..release.clone() };
    stage.release_both(20, &more, &release);
    assert!(stage.violated("sides-differ").contains("number of reports"));
}

#[test]
fn a_release_in_one_log_only_is_a_warning_first_and_then_a_violation() {
    let mut stage = Stage::new();
    let release = stage.released(2);
    stage.helper.add(stage.now - 60, Event::Release(release.clone()));
    stage.helper.write();
    let outcome = stage.holds();
    assert!(outcome.findings.iter().any(|f| f.rule == "one-sided-release"));
    stage.now += 2 * DAY;
    assert!(stage.violated("one-sided-release").contains("not in the leader's log"));
    // Once the other log has it too, it is settled.
    stage.leader.add(stage.now, Event::Release(release));
    stage.leader.write();
    let outcome = stage.verify().unwrap();
    assert!(outcome.findings.iter().all(|f| f.rule != "one-sided-release"));
}

#[test]
fn a_task_of_other_promises_than_the_programs_is_told() {
    let mut stage = Stage::new();
    let changed = without_budget().replacen("question = \"", "question = \"Really: ", 1);
    stage.program = Program::parse("program.toml", &changed).unwrap();
    let outcome = stage.verify().unwrap();
    let rules: Vec<_> = outcome.findings.iter().map(|finding| finding.rule).collect();
    assert!(rules.contains(&"not-taken-on") && rules.contains(&"program-missing"), "{rules:?}");
    let mut stage = Stage::new();
    let mut taken = stage.taken(&stage.program.tasks()[0]);
    taken.task = sottovoce_dap::ids::TaskId::new([3; 32]);
    stage.both(|log| log.add(20_000 * DAY, Event::Task(Box::new(taken.clone()))));
    stage.violated("task-id");
    let mut stage = Stage::new();
    let mut taken = stage.taken(&stage.program.tasks()[0]);
    taken.claims.pop();
    let key = TestKey::new("leader.example/log", KeyKind::Log, 1);
    stage.leader = Log { key, ..Log::new(Role::Leader, stage.leader.folder.clone(), 1) };
    fs::remove_dir_all(&stage.leader.folder).unwrap();
    stage.leader.add(stage.now - DAY, Event::Task(Box::new(taken)));
    stage.leader.write();
    stage.violated("program");
    stage.violated("claims");
}

#[test]
fn entries_that_do_not_decode_and_clocks_that_jump_are_told_and_never_panic() {
    let mut stage = Stage::new();
    stage.leader.edge.push(b"\xff nonsense").unwrap();
    stage.leader.write();
    stage.violated("entry-encoding");
    let mut stage = Stage::new();
    stage.leader.add(5, Event::Started("from long ago".to_owned()));
    stage.leader.add(u64::MAX, Event::Started("from far ahead".to_owned()));
    stage.leader.write();
    let outcome = stage.verify().unwrap();
    for rule in ["time-goes-back", "time-to-come"] {
        assert!(outcome.findings.iter().any(|f| f.rule == rule), "{rule}");
    }
}

#[test]
fn what_was_refused_and_what_weakens_is_pointed_out() {
    let mut stage = Stage::new();
    let (now, task) = (stage.now, stage.program.tasks()[0].task_id);
    stage.both(|log| {
        let settings = vec![("plain_http".to_owned(), "true".to_owned())];
        log.add(now, Event::Settings(settings));
        let problem = "invalidBatchSize".to_owned();
        let detail = "\u{1b}[31mthe batch has 2 reports".to_owned();
        log.add(now, Event::Refused(Refused { task, batch: None, problem, detail }));
        let batch = BatchSelector::LeaderSelected(BatchId::new([4; 32]));
        let repaired = Repaired { task, batch, kept: 3000, dropped: 12, plan: [6; 32] };
        log.add(now, Event::Repaired(repaired));
    });
    let outcome = stage.holds();
    let finding = |rule| outcome.findings.iter().find(|f| f.rule == rule).unwrap();
    assert_eq!(finding("settings").severity, Severity::Warning);
    let repaired = finding("repaired");
    assert_eq!(repaired.severity, Severity::Note);
    assert!(repaired.message.contains("12 that the other"), "{}", repaired.message);
    assert!(!finding("refused").message.contains('\u{1b}'), "others' words are made printable");
}

#[test]
fn a_release_of_one_side_cannot_hide_in_the_future() {
    let mut stage = Stage::new();
    let release = stage.released(2);
    stage.helper.add(stage.now + 400 * DAY, Event::Release(release));
    stage.helper.write();
    assert!(stage.violated("one-sided-release").contains("in the future"));
}

#[test]
fn a_clock_that_runs_ahead_does_not_hide_that_a_server_went_silent() {
    let mut stage = Stage::new();
    stage.leader.add(u64::MAX, Event::Started("from far ahead".to_owned()));
    stage.leader.write();
    stage.holds();
    stage.now += 60 * DAY;
    let outcome = stage.holds();
    assert!(outcome.findings.iter().any(|f| f.rule == "gap" && f.log == Some(Role::Leader)));
}

#[test]
fn a_log_out_of_reach_hides_no_violation_of_the_other() {
    let mut stage = Stage::new();
    let mut small = stage.released(20);
    small.report_count = 1;
    stage.release_both(20, &small, &small);
    fs::remove_dir_all(&stage.helper.folder).unwrap();
    let outcome = stage.verify().unwrap();
    violation(&outcome, "batch-size");
    let unverified = outcome.findings.iter().find(|f| f.rule == "unverified").unwrap();
    assert_eq!((unverified.severity, unverified.log), (Severity::Warning, Some(Role::Helper)));
    assert!(outcome.findings.iter().all(|f| f.rule != "one-log" && f.rule != "one-sided-release"));
}

#[test]
fn a_program_that_neither_log_has_is_told_whether_one_is_read_or_both() {
    let mut stage = Stage::new();
    let other = without_budget().replacen("question = \"", "question = \"Really: ", 1);
    let other = [Program::parse("program.toml", &other).unwrap()];
    for logs in [vec![stage.leader.audited()], vec![stage.leader.audited(), stage.helper.audited()]]
    {
        let outcome = stage.verify_of(&logs, &other, false).unwrap();
        assert!(violation(&outcome, "not-taken-on").contains("no aggregator serves it"));
    }
}

#[test]
fn windows_of_several_tasks_of_a_metric_count_once_each() {
    let text = template(ProgramKind::Feedback, "support").unwrap();
    let mut stage = Stage::of(&text);
    let tasks = stage.program.tasks();
    let first = &tasks[0];
    let second = tasks[1..].iter().find(|task| task.metric.name == first.metric.name).unwrap();
    let released =
        [(first, 20), (second, 20), (second, 19)].map(|(task, days)| stage.released_of(task, days));
    for release in &released {
        stage.release_both(15, release, release);
    }
    let spent = stage.holds().spent;
    assert_eq!(spent.iter().map(|spent| spent.windows).sum::<u64>(), 2, "{spent:?}");
}

#[test]
fn a_batch_that_claims_to_last_for_ages_is_told_in_bounded_time() {
    let text = template(ProgramKind::Feedback, "support").unwrap();
    let mut stage = Stage::of(&text);
    let mut release = stage.released(20);
    let ages = Interval::new(Time(1), u64::MAX - 2).unwrap();
    (release.batch, release.interval) = (BatchSelector::TimeInterval(ages.into()), ages);
    stage.release_both(15, &release, &release);
    assert!(stage.violated("budget").contains("periods of its budget"));
}

/// Both logs say, from `days` ago on, that they release full windows only, and only those over.
fn promise(stage: &mut Stage, days: u64) {
    let time = stage.now - days * DAY;
    let setting = (RELEASES_SETTING.to_owned(), FULL_AND_OVER.to_owned());
    stage.both(|log| log.add(time, Event::Settings(vec![setting.clone()])));
}

/// The severities of the findings of a rule.
fn severities(stage: &mut Stage, rule: &str) -> Vec<Severity> {
    let findings = stage.verify().unwrap().findings;
    findings.iter().filter(|finding| finding.rule == rule).map(|f| f.severity).collect()
}

/// A batch of the first task over several windows, too small for two full ones.
fn of_two_windows(stage: &Stage) -> Release {
    let mut release = stage.released(20);
    let interval = Interval::new(release.interval.start(), 2).unwrap();
    (release.batch, release.interval) = (BatchSelector::TimeInterval(interval.into()), interval);
    release.report_count = 2 * stage.program.tasks()[0].configuration.min_batch_size - 1;
    release
}

#[test]
fn an_interval_with_too_few_reports_for_its_first_and_last_window_breaks_a_promise_once_made() {
    let mut stage = Stage::new();
    let release = of_two_windows(&stage);
    stage.release_both(17, &release, &release);
    assert_eq!(severities(&mut stage, "windows-not-full"), [Severity::Warning; 2]);
    stage.holds();
    let mut stage = Stage::new();
    promise(&mut stage, 25);
    let enough = Release { report_count: release.report_count + 1, ..release.clone() };
    stage.release_both(17, &enough, &enough);
    stage.holds();
    let mut stage = Stage::new();
    promise(&mut stage, 25);
    stage.release_both(17, &release, &release);
    assert!(stage.violated("windows-not-full").contains("first and last window"));
}

/// Both logs take on a plain DAP task whose leader selects its batches; gives a batch of two windows.
fn leader_selected(stage: &mut Stage) -> Release {
    let mut configuration = stage.program.tasks()[0].configuration.clone();
    configuration.batch_mode = BatchMode::LeaderSelected;
    configuration.task_info = b"plain".to_vec().try_into().unwrap();
    let task = TaskId::new([9; 32]);
    let taken = stage.taken(&stage.program.tasks()[0]);
    let (noise, least) = (taken.noise, configuration.min_batch_size);
    let taken =
        TaskTaken { task, configuration, claims: Vec::new(), manifest: Vec::new(), ..taken };
    let time = stage.now - 24 * DAY;
    stage.both(|log| log.add(time, Event::Task(Box::new(taken.clone()))));
    let release = stage.released(20);
    let interval = Interval::new(release.interval.start(), 2).unwrap();
    let batch = BatchSelector::LeaderSelected(BatchId::new([7; 32]));
    Release { task, batch, interval, noise, report_count: least, charged: Vec::new(), ..release }
}

#[test]
fn a_leader_selected_batch_of_several_windows_breaks_a_promise_once_made() {
    let mut stage = Stage::new();
    let release = leader_selected(&mut stage);
    stage.release_both(17, &release, &release);
    assert_eq!(severities(&mut stage, "windows-not-full"), [Severity::Warning; 2]);
    let mut stage = Stage::new();
    promise(&mut stage, 25);
    let release = leader_selected(&mut stage);
    let one = Interval::new(release.interval.start(), 1).unwrap();
    let kept = Release { interval: one, ..release.clone() };
    stage.release_both(18, &kept, &kept);
    stage.holds();
    let other = BatchSelector::LeaderSelected(BatchId::new([8; 32]));
    let mixed = Release { batch: other, ..release };
    stage.release_both(17, &mixed, &mixed);
    assert!(stage.violated("windows-not-full").contains("2 windows"));
}

#[test]
fn a_weakened_window_rule_is_told_and_is_not_for_programs() {
    let mut stage = Stage::new();
    promise(&mut stage, 25);
    let release = leader_selected(&mut stage);
    let (time, name) = (stage.now - 23 * DAY, windows_setting(&release.task));
    let unchecked = vec![(name, "unchecked".to_owned())];
    stage.both(|log| log.add(time, Event::Settings(unchecked.clone())));
    stage.release_both(17, &release, &release);
    assert_eq!(severities(&mut stage, "windows"), [Severity::Warning; 2]);
    stage.holds();
    let mut stage = Stage::new();
    let (time, task) = (stage.now - DAY, stage.program.tasks()[0].task_id);
    let unchecked = vec![(windows_setting(&task), "unchecked".to_owned())];
    stage.both(|log| log.add(time, Event::Settings(unchecked.clone())));
    stage.violated("windows");
}

#[test]
fn a_release_before_its_interval_is_over_breaks_a_promise_once_made() {
    for promised in [false, true] {
        let mut stage = Stage::new();
        if promised {
            promise(&mut stage, 25);
        }
        let release = stage.released(20);
        let window = stage.program.tasks()[0].configuration.time_precision.seconds();
        let over = release.interval.end().0 * window;
        for log in [&mut stage.leader, &mut stage.helper] {
            log.add(over - 1, Event::Release(release.clone()));
            log.write();
        }
        if promised {
            assert!(stage.violated("too-early").contains("1 seconds before"));
        } else {
            stage.holds();
        }
    }
    let mut stage = Stage::new();
    promise(&mut stage, 25);
    let release = stage.released(20);
    let window = stage.program.tasks()[0].configuration.time_precision.seconds();
    let over = release.interval.end().0 * window;
    stage.both(|log| log.add(over, Event::Release(release.clone())));
    stage.holds();
}

#[test]
fn a_server_with_a_key_for_each_device_is_pointed_out() {
    let mut stage = Stage::new();
    let (now, config) = (stage.now, stage.program.collector().clone());
    let keys = |stage: &mut Stage, change, ids: std::ops::Range<u8>| {
        for id in ids {
            let mut config = config.clone();
            config.id.0 = id;
            stage.helper.add(now - 20 * DAY, Event::HpkeKey(change, config));
        }
        stage.helper.write();
    };
    let pointed_out = |stage: &mut Stage| {
        let findings = stage.holds().findings;
        findings.iter().filter(|finding| finding.rule == "many-keys").count()
    };
    keys(&mut stage, KeyChange::Added, 0..8);
    assert_eq!(pointed_out(&mut stage), 0);
    keys(&mut stage, KeyChange::Retired, 0..4);
    keys(&mut stage, KeyChange::Added, 8..12);
    assert_eq!(pointed_out(&mut stage), 0, "keys come and go");
    keys(&mut stage, KeyChange::Added, 12..13);
    assert_eq!(pointed_out(&mut stage), 1, "and what came before is remembered");
}
