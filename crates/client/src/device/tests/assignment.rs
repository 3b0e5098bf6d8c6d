//! The task of a window is what was assigned when it began.

use super::{super::*, *};

fn rating() -> Event {
    Event::answer("quality", Given::Rating("5 stars".into()))
}

/// The arm and the day of each report, in order of days.
fn arms(servers: &Servers) -> Vec<(String, u64)> {
    let program = program();
    let name = |id| program.tasks().iter().find(|task| task.task_id == id).unwrap().name.clone();
    let all = servers.tasks_and_windows().into_iter().map(|(id, window)| (name(id), window));
    let arms = all.filter_map(|(name, window)| {
        Some((name.strip_prefix("quality/arm=")?.to_owned(), window - NOW / DAY))
    });
    arms.collect()
}

#[test]
fn a_change_holds_from_the_next_window_on_whether_or_not_something_was_said() {
    for says in [false, true] {
        let (mut engine, mut servers) = (engine(), Servers::new());
        assert_eq!(engine.assign("arm", "control", NOW + 60).unwrap(), Holds::Now);
        if says {
            engine.record(rating().on("r1"), NOW + 70).unwrap();
        }
        let next = Holds::From(NOW + DAY);
        assert_eq!(engine.assign("arm", "candidate", NOW + 80).unwrap(), next);
        assert_eq!(engine.assign("arm", "candidate", NOW + 90).unwrap(), next);
        let history = engine.history(NOW + 90).unwrap();
        assert_eq!(history.assigned[0].value, "candidate");
        assert!(history.assigned[0].from.is_some());
        if says {
            engine.record(rating().on("r2").with("arm", "candidate"), NOW + 100).unwrap();
            let other = engine.record(rating().with("arm", "control"), NOW + 100).unwrap_err();
            assert!(
                matches!(&other, EngineError::Device(DeviceError::OtherAssignment { dimension, assigned, given })
                if dimension == "arm" && assigned == "candidate" && given == "control")
            );
        }
        servers.serve(&mut engine, NOW + DAY + DAY / 8);
        let drawn = |engine: &Engine<_>, response: &str| {
            engine.device.state.was_drawn("quality", engine.device.state.place(response).response)
        };
        assert_eq!((drawn(&engine, "r1"), drawn(&engine, "r2")), (says, false));
        servers.serve(&mut engine, NOW + 2 * DAY + DAY / 8);
        assert_eq!(drawn(&engine, "r2"), says, "what was said under the new value waited for it");
        let expected = [("control".to_owned(), 0), ("candidate".to_owned(), 1)];
        assert_eq!(arms(&servers), expected, "says: {says}");
    }
}

#[test]
fn the_window_that_waits_keeps_its_task_when_the_app_assigns_before_it_asks() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    engine.assign("arm", "control", NOW).unwrap();
    engine.record(rating(), NOW).unwrap();
    let changed = engine.assign("arm", "candidate", NOW + DAY + 60).unwrap();
    assert_eq!(changed, Holds::From(NOW + 2 * DAY));
    for day in 1..=3 {
        servers.serve(&mut engine, NOW + day * DAY + DAY / 8);
    }
    let [control, candidate] = ["control", "candidate"].map(str::to_owned);
    assert_eq!(arms(&servers), [(control.clone(), 0), (control, 1), (candidate, 2)]);
}

#[test]
fn a_device_without_an_assignment_contributes_to_no_arm_and_says_so() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    for day in 1..=60 {
        servers.serve(&mut engine, NOW + day * DAY + DAY / 8);
    }
    assert_eq!(arms(&servers), []);
    assert_eq!(fates(&engine, "quality"), [(Fate::Unassigned, 60)], "one line");
    let history = engine.history(NOW + 60 * DAY + DAY / 8).unwrap();
    assert_eq!(history.unassigned, ["quality"]);
    let words = history.to_string();
    for part in [
        "Nothing is reported to quality: the app has not assigned this device",
        "\"How good was it?\": 60 not made, because the app had not assigned this device",
    ] {
        assert!(words.contains(part), "{words}");
    }
    let now = NOW + 60 * DAY + DAY / 4;
    assert_eq!(engine.assign("arm", "control", now).unwrap(), Holds::Now);
    servers.serve(&mut engine, NOW + 61 * DAY + DAY / 8);
    assert_eq!(arms(&servers), [("control".to_owned(), 60)]);
    assert!(engine.history(now + DAY).unwrap().unassigned.is_empty());
}

#[test]
fn what_was_said_under_a_value_that_never_holds_again_is_forgotten() {
    let mut engine = engine();
    engine.assign("arm", "control", NOW).unwrap();
    engine.assign("arm", "candidate", NOW).unwrap();
    engine.record(rating().on("r1"), NOW).unwrap();
    assert_eq!(kept(&engine, "quality").len(), 1);
    assert_eq!(engine.assign("arm", "control", NOW).unwrap(), Holds::Now);
    assert_eq!(kept(&engine, "quality").len(), 0, "the candidate is not to come any more");
}
