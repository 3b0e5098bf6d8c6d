//! What an audit remembers, and what the next one makes of it.

use super::{
    super::{Outcome, state::State},
    stage::*,
};
use crate::finding::Severity;
use sottovoce_log::{
    checkpoint::{Signer, TestKey},
    entry::{Event, KeyChange},
    note::KeyKind,
};
use sottovoce_privacy::noise::{AggregatorNoise, Thousandths};
use sottovoce_program::{ProgramKind, template::template};
use std::{fs, path::Path};

#[test]
fn honest_logs_hold_and_each_audit_reads_what_is_new_only() {
    let text = template(ProgramKind::Feedback, "support").unwrap();
    let mut stage = Stage::of(&text);
    stage.release(20);
    let first = stage.holds();
    assert!(first.findings.iter().all(|f| f.severity == Severity::Note), "{:?}", first.findings);
    assert_eq!((first.logs[0].releases, first.logs[0].new), (1, first.logs[0].size));
    stage.release(19);
    stage.release(18);
    let second = stage.holds();
    assert_eq!(second.logs.iter().map(|read| read.new).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(second.logs[0].releases, 3);
    let spent = &second.spent;
    assert!(spent.iter().map(|spent| spent.windows).sum::<u64>() >= 3, "{spent:?}");
    // And from the beginning, all the same.
    stage.state = State::default();
    assert_eq!(stage.holds().logs[0].releases, 3);
}

#[test]
fn what_is_remembered_survives_its_file() {
    let mut stage = Stage::new();
    stage.release(20);
    stage.holds();
    let file = stage.leader.folder.join("state.json");
    stage.state.write(&file).unwrap();
    assert_eq!(State::read(&file).unwrap().leader, stage.state.leader);
    assert_eq!(State::read(Path::new("/nowhere")).unwrap(), State::default());
    for text in ["{}", "{\"version\":1,\"leader\":null,\"helper\":null}", "nonsense"] {
        fs::write(&file, text).unwrap();
        assert!(State::read(&file).unwrap_err().to_string().contains("move it away"));
    }
}

fn rules(outcome: &Outcome) -> Vec<&'static str> {
    outcome.findings.iter().map(|finding| finding.rule).collect()
}

#[test]
fn what_another_program_let_pass_is_judged_again_by_the_right_one() {
    let mut stage = Stage::new();
    let task = &stage.program.tasks()[0];
    let mut taken = stage.taken(task);
    taken.noise = Some(AggregatorNoise::DiscreteLaplace { scale: Thousandths::new(2.0).unwrap() });
    stage.leader.restart();
    stage.leader.add(stage.now - DAY, Event::Task(Box::new(taken)));
    stage.leader.write();
    // By no program at all this is a task that nobody can say anything about.
    let logs = [stage.leader.audited()];
    let outcome = stage.verify_of(&logs, &[], false).unwrap();
    assert!(outcome.holds && rules(&outcome).contains(&"program-missing"));
    let outcome = stage.verify_of(&logs, &[stage.program.clone()], false).unwrap();
    violation(&outcome, "program");
}

#[test]
fn a_log_that_is_read_anew_still_has_to_have_its_past() {
    let mut stage = Stage::new();
    stage.release(20);
    stage.holds();
    let late = files(&stage.leader.folder);
    let kept = stage.leader.edge.frontier().size();
    stage.leader.restart();
    for index in 0..kept + 3 {
        stage.leader.add(index, Event::Started("another".to_owned()));
    }
    stage.leader.write();
    // By another program, and alone: nothing of the last audit counts but what the log was.
    let logs = [stage.leader.audited()];
    let outcome = stage.verify_of(&logs, &[], false).unwrap();
    assert!(violation(&outcome, "log").contains("rewritten or forked"));
    stage.leader.restart();
    stage.leader.add(1, Event::Started("short".to_owned()));
    stage.leader.write();
    let outcome = stage.verify_of(&logs, &[], false).unwrap();
    assert!(violation(&outcome, "log").contains("rolled back"));
    put(&stage.leader.folder, &late);
    assert!(stage.verify_of(&logs, &[], false).unwrap().holds);
}

#[test]
fn one_log_that_becomes_two_is_read_anew_and_keeps_its_keys() {
    let mut stage = Stage::new();
    let next = TestKey::new("leader.example/log", KeyKind::Log, 7);
    let added = Event::LogKey(KeyChange::Added, next.verifier_key().clone());
    stage.leader.add(stage.now - DAY, added);
    stage.leader.write_signed(&[&next]);
    let alone = stage.released(20);
    stage.leader.add(stage.now - 18 * DAY, Event::Release(alone));
    stage.leader.write_signed(&[&next]);
    let (logs, programs) = ([stage.leader.audited()], [stage.program.clone()]);
    assert!(stage.verify_of(&logs, &programs, false).unwrap().holds);
    // Signed by the key that was announced, and compared with the other log from the first entry on.
    let trusted = std::mem::replace(&mut stage.leader.key, next);
    stage.leader.write();
    stage.leader.key = trusted;
    assert!(stage.violated("one-sided-release").contains("not in the helper's log"));
}

#[test]
fn a_whole_audit_says_again_what_was_found_before() {
    let mut stage = Stage::new();
    let now = stage.now;
    let settings = |value: &str| Event::Settings(vec![("plain_http".to_owned(), value.to_owned())]);
    stage.leader.add(now, settings("true"));
    stage.leader.write();
    assert!(rules(&stage.holds()).contains(&"settings"));
    assert!(!rules(&stage.holds()).contains(&"settings"), "it is not new any more");
    let logs = [stage.leader.audited(), stage.helper.audited()];
    let outcome = stage.verify_of(&logs, &[stage.program.clone()], true).unwrap();
    assert!(outcome.holds && rules(&outcome).contains(&"settings"));
    assert_eq!(outcome.logs[0].new, 0);
}

#[test]
fn another_log_than_the_remembered_one_is_pointed_out() {
    let mut stage = Stage::new();
    stage.holds();
    stage.leader.key = TestKey::new("moved.example/log", KeyKind::Log, 1);
    stage.leader.write();
    let outcome = stage.holds();
    let finding = outcome.findings.iter().find(|f| f.rule == "another-log").unwrap();
    assert!(finding.message.contains("leader.example/log"), "{}", finding.message);
}
