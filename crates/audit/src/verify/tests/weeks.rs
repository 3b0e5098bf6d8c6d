//! Weeks that begin on the day that the program says: when they are over, and that both aggregators say the same.

use super::{super::present, stage::*};
use crate::finding::Severity;
use sha2::{Digest, Sha256};
use sottovoce_dap::{
    collect::BatchSelector,
    time::{Interval, Time},
};
use sottovoce_log::entry::{Event, FULL_AND_OVER, RELEASES_SETTING, Release};
use sottovoce_program::{Program, Weekday};

fn weekly(day: Weekday) -> String {
    let window = format!("window = \"1 week\"\nweek_begins = \"{}\"", day.word());
    without_budget().replacen("window = \"1 day\"", &window, 1)
}

fn monday() -> Stage {
    let mut stage = Stage::of(&weekly(Weekday::Monday));
    let time = stage.now - 28 * DAY;
    let promise = vec![(RELEASES_SETTING.to_owned(), FULL_AND_OVER.to_owned())];
    stage.both(|log| log.add(time, Event::Settings(promise.clone())));
    stage
}

/// The last week that is over, and its real end.
fn last_week(stage: &Stage) -> (Release, u64) {
    let window = stage.program.window();
    let number = window.time_at(stage.now).0 - 1;
    let interval = Interval::new(Time(number), 1).unwrap();
    let batch = BatchSelector::TimeInterval(interval.into());
    let release = Release { batch, interval, ..stage.released(10) };
    (release, window.start_of(interval.end()))
}

#[test]
fn a_monday_week_may_be_released_from_its_real_end_on_and_not_a_second_before() {
    let mut stage = monday();
    let (release, end) = last_week(&stage);
    // By DAP alone it would not be over yet.
    assert_eq!(end + 3 * DAY, (release.interval.end().0) * 7 * DAY);
    stage.both(|log| log.add(end, Event::Release(release.clone())));
    stage.holds();
    // What is remembered goes on to know the day.
    let state = serde_json::to_string(&stage.state).unwrap();
    assert!(state.contains("\"week_begins\":\"monday\""), "{state}");
    let mut stage = monday();
    stage.both(|log| log.add(end - 1, Event::Release(release.clone())));
    let message = stage.violated("too-early");
    assert!(message.contains("1 seconds before the end of its last window"), "{message}");
}

#[test]
fn weeks_are_shown_by_their_real_days() {
    let mut stage = monday();
    let (release, end) = last_week(&stage);
    stage.both(|log| {
        log.add(end, Event::Release(release.clone()));
        log.add(end + 60, Event::Release(release.clone()));
    });
    let message = stage.violated("released-twice");
    let real = sottovoce_program::format_moment(end - 7 * DAY);
    assert!(message.contains(&real), "{message}");
}

#[test]
fn tasks_with_another_day_than_the_programs_are_found_and_told_apart() {
    let mut stage = monday();
    let logs = [stage.leader.audited(), stage.helper.audited()];
    let other = Program::parse("program.toml", &weekly(Weekday::Sunday)).unwrap();
    let outcome = stage.verify_of(&logs, &[other], false).unwrap();
    assert!(violation(&outcome, "not-taken-on").contains("in no log"));
    let told = outcome.findings.iter().find(|finding| finding.rule == "program-missing").unwrap();
    assert_eq!(told.severity, Severity::Warning);
    for words in ["with weeks that begin on Mondays", "the program's begin on Sundays"] {
        assert!(told.message.contains(words), "{}", present::text(&outcome, true));
    }
}

#[test]
fn an_aggregator_that_logs_another_day_under_the_same_task_is_found() {
    let mut stage = monday();
    let time = stage.now - 30 * DAY;
    let tasks: Vec<_> = stage.program.tasks().iter().map(|task| stage.taken(task)).collect();
    stage.helper.restart();
    for (mut taken, task) in tasks.into_iter().zip(stage.program.tasks()) {
        taken.manifest = task.manifest.beginning(Weekday::Tuesday).to_bytes();
        stage.helper.add(time, Event::Task(Box::new(taken)));
    }
    stage.helper.write();
    let outcome = stage.verify().unwrap();
    assert!(violation(&outcome, "manifest").contains("not the one that its reports are bound to"));
    assert!(violation(&outcome, "program").contains("another"));
    let all = present::text(&outcome, true);
    for words in [
        "is served with another first day of the week than the program's",
        "with a different first day of the week",
    ] {
        assert!(all.contains(words), "{all}");
    }
}

#[test]
fn a_manifest_without_a_day_that_its_windows_can_begin_on_is_a_violation() {
    for (day, window) in [("\"someday\"", 7 * DAY), ("\"monday\"", DAY)] {
        let mut stage = Stage::new();
        let mut taken = stage.taken(&stage.program.tasks()[0]);
        let manifest = String::from_utf8(taken.manifest).unwrap();
        let manifest = manifest.replacen('{', &format!("{{\"week_begins\":{day},"), 1);
        let digest: [u8; 32] = Sha256::digest(&manifest).into();
        let info = [b"sottovoce/1 sha256:", &digest[..]].concat();
        taken.configuration.task_info = info.try_into().unwrap();
        taken.configuration.time_precision =
            sottovoce_dap::time::TimePrecision::from_seconds(window).unwrap();
        taken.manifest = manifest.into_bytes();
        taken.task = taken.configuration.task_id();
        let time = stage.now - DAY;
        stage.both(|log| log.add(time, Event::Task(Box::new(taken.clone()))));
        assert!(stage.violated("week").contains("no valid first day of its windows"), "{day}");
    }
}
