//! A state of the first version goes on: what was spent is spent, and no report gets a second ID.

use super::{super::*, *};
use crate::{engine::Found, state::older_blob};

#[test]
fn reports_of_an_older_state_are_delivered_once_and_those_it_sealed_are_never_sealed_afresh() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    engine.assign("arm", "control", NOW).unwrap();
    servers.serve(&mut engine, NOW + DAY + DAY / 4);
    let now = NOW + 2 * DAY + DAY / 8;
    engine.next(NOW + 2 * DAY).unwrap();
    // One is sealed and sent, and the answer is lost.
    let first = engine.device.state.outbox.entries[0].task_id;
    for entry in &mut engine.device.state.outbox.entries {
        entry.due = if entry.task_id == first { now } else { now + 600 };
    }
    while engine.device.state.outbox.entries.iter().all(|entry| !entry.in_doubt) {
        let Step::Send(outgoing) = engine.next(now).unwrap() else { panic!("one is due") };
        let response = servers.answer(&outgoing.http);
        let is_upload = !outgoing.http.body.is_empty();
        let arrived = if is_upload { Arrived::Nothing } else { Arrived::Response(response) };
        engine.answered(outgoing.id, arrived, now).unwrap();
    }
    let sealed = engine.device.state.outbox.entries[0].sealed.clone().unwrap();
    let blob = older_blob(&engine.device.state);
    for outdated in [false, true] {
        let storage = MemoryStorage::with(blob.clone());
        let (mut engine, found) =
            Engine::open(program(), storage, Options::default(), now).unwrap();
        assert_eq!(found, Found::State);
        assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 1), (Fate::Waiting, 1)]);
        assert_eq!(engine.device.state.outbox.entries.len(), 3);
        assert_eq!(engine.device.state.counted, program().window().into());
        let shared =
            engine.device.state.outbox.entries.iter().filter(|entry| entry.drawn.is_some());
        assert_eq!(shared.count(), 2, "what was only drawn has its ID now");
        servers.outdated = outdated;
        servers.serve(&mut engine, now + 1200);
        let metric = program()
            .tasks()
            .iter()
            .find(|task| task.task_id == first)
            .unwrap()
            .metric
            .name
            .clone();
        let fate = if outdated { Fate::Unknown } else { Fate::Delivered };
        assert_eq!(fates(&engine, &metric).last().unwrap().0, fate, "outdated: {outdated}");
        let of_it = servers.seen.iter().filter(|(task, _)| *task == first);
        let ids: Vec<_> = of_it.map(|(_, report)| report.report_metadata.report_id).collect();
        assert!(ids[1..].iter().all(|id| *id == sealed.id()), "no other ID");
    }
    assert_eq!(servers.most_per_window(), 1);
}

#[test]
fn a_report_that_an_older_version_sent_and_was_to_seal_afresh_is_not_sent_under_another_id() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    engine.assign("arm", "control", NOW).unwrap();
    let now = NOW + DAY + DAY / 8;
    engine.next(NOW + DAY).unwrap();
    let sent = engine.device.state.outbox.entries[0].clone();
    for (entry, left) in engine.device.state.outbox.entries.iter_mut().zip(0..) {
        // Of the first the leader said that it could not read it; it may have kept it all the same.
        (entry.sealed, entry.resealed, entry.due) = (None, left == 0, now);
        entry.attempts = u32::from(left == 0);
    }
    let storage = MemoryStorage::with(older_blob(&engine.device.state));
    let (mut engine, _) = Engine::open(program(), storage, Options::default(), now).unwrap();
    assert_eq!(fates(&engine, &sent.metric), [(Fate::Unknown, 1)]);
    servers.serve(&mut engine, now + 1200);
    assert!(servers.seen.iter().all(|(task, _)| *task != sent.task_id) && !servers.seen.is_empty());
}
