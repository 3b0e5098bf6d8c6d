//! One draw has one report ID for life, and the leader never gets it under another.

use super::{super::*, *};
use crate::report::Drawn;
use sottovoce_dap::upload::Report;

/// Everything that is due is sent, answers to uploads get lost or not, until nothing is left to do at this moment.
fn exchange(engine: &mut Engine<MemoryStorage>, servers: &mut Servers, now: u64, lost: bool) {
    for entry in &mut engine.device.state.outbox.entries {
        entry.due = entry.due.min(now);
    }
    while let Step::Send(outgoing) = engine.next(now).unwrap() {
        let response = servers.answer(&outgoing.http);
        let is_lost = lost && !outgoing.http.body.is_empty();
        let arrived = if is_lost { Arrived::Nothing } else { Arrived::Response(response) };
        engine.answered(outgoing.id, arrived, now).unwrap();
    }
}

/// All reports of a task that the leader ever saw.
fn seen<'a>(servers: &'a Servers, task: &CompiledTask) -> Vec<&'a Report> {
    let of_task = servers.seen.iter().filter(|(id, _)| *id == task.task_id);
    of_task.map(|(_, report)| report).collect()
}

fn drawn(engine: &Engine<MemoryStorage>) -> Vec<Drawn> {
    engine.device.state.outbox.entries.iter().filter_map(|entry| entry.drawn.clone()).collect()
}

#[test]
fn a_leader_that_keeps_what_it_calls_outdated_gets_the_same_shares_under_the_same_id() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    engine.assign("arm", "control", NOW).unwrap();
    engine.next(NOW + DAY).unwrap();
    let before = drawn(&engine);
    servers.lies = true;
    exchange(&mut engine, &mut servers, NOW + DAY + DAY / 8, false);
    assert_eq!(before.len(), 3);
    for task in program().tasks() {
        let [first, again] = seen(&servers, task)[..] else {
            assert_eq!(task.name, "quality/arm=candidate");
            continue;
        };
        assert!(before.iter().any(|drawn| drawn.id() == first.report_metadata.report_id));
        assert_eq!(first.report_metadata, again.report_metadata);
        assert_eq!(first.public_share, again.public_share);
        assert_ne!(first.leader_encrypted_input_share, again.leader_encrypted_input_share);
        assert_eq!(servers.opened(task, first), servers.opened(task, again), "{}", task.name);
    }
    // The second answer was that it has it already.
    assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 1)]);
    assert_eq!(servers.most_per_window(), 1);
}

#[test]
fn an_outdated_key_is_sealed_to_afresh_once() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    engine.next(NOW + DAY).unwrap();
    servers.outdated = true;
    exchange(&mut engine, &mut servers, NOW + DAY + DAY / 8, false);
    assert_eq!(fates(&engine, "helpful"), [(Fate::Refused, 1)], "twice outdated is enough");
    assert_eq!(servers.seen.len(), 4, "two reports, twice");
}

#[test]
fn a_report_in_doubt_is_sealed_afresh_under_its_id_and_counted_once() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    engine.next(NOW + DAY).unwrap();
    let before = drawn(&engine);
    // The leader takes them, and its answer gets lost.
    exchange(&mut engine, &mut servers, NOW + DAY + DAY / 8, true);
    assert!(engine.device.state.outbox.entries.iter().all(|entry| entry.in_doubt));
    // Then it cannot read them any more, and once they are sealed afresh it can.
    let now = NOW + DAY + DAY / 6;
    for entry in &mut engine.device.state.outbox.entries {
        entry.due = now;
    }
    let mut uploads = std::collections::BTreeSet::new();
    while let Step::Send(outgoing) = engine.next(now).unwrap() {
        servers.outdated = uploads.insert(outgoing.http.url.clone());
        let response = servers.answer(&outgoing.http);
        engine.answered(outgoing.id, Arrived::Response(response), now).unwrap();
        assert!(engine.device.state.outbox.entries.iter().all(|entry| entry.in_doubt), "still");
    }
    assert_eq!(drawn(&engine), [], "both are delivered");
    assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 1)]);
    assert_eq!(servers.most_per_window(), 1);
    let ids = servers.seen.iter().map(|(_, report)| report.report_metadata.report_id);
    assert!(ids.into_iter().all(|id| before.iter().any(|drawn| drawn.id() == id)));

    // A leader that never reads them: nobody knows whether it has them.
    let (mut engine, mut servers) = (super::engine(), Servers::new());
    engine.next(NOW + DAY).unwrap();
    exchange(&mut engine, &mut servers, NOW + DAY + DAY / 8, true);
    servers.outdated = true;
    exchange(&mut engine, &mut servers, NOW + DAY + DAY / 6, false);
    assert_eq!(fates(&engine, "helpful"), [(Fate::Unknown, 1)]);
}

#[test]
fn an_answer_to_an_attempt_before_the_last_is_understood() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    let mut now = NOW + DAY + DAY / 8;
    engine.next(NOW + DAY).unwrap();
    engine.device.state.outbox.entries.truncate(1);
    engine.device.state.outbox.entries[0].due = now;
    let mut uploads = Vec::new();
    while uploads.len() < 2 {
        let Step::Send(outgoing) = engine.next(now).unwrap() else { panic!("it is due") };
        if outgoing.http.body.is_empty() {
            let response = servers.answer(&outgoing.http);
            engine.answered(outgoing.id, Arrived::Response(response), now).unwrap();
        } else {
            uploads.push(outgoing);
        }
    }
    let [first, second]: [Request; 2] = uploads.try_into().unwrap();
    let taken = servers.answer(&first.http);
    servers.outdated = true;
    let outdated = servers.answer(&second.http);
    engine.answered(second.id, Arrived::Response(outdated), now).unwrap();
    assert!(engine.device.state.outbox.entries[0].sealed.is_none(), "to be sealed afresh");
    now += 1;
    engine.answered(first.id, Arrived::Response(taken), now).unwrap();
    assert_eq!(engine.device.state.outbox.entries, []);
    let of = &engine.device.state.ledger.accounts()[0];
    assert_eq!(of.runs()[0].fate, Fate::Delivered);
}
