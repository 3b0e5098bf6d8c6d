//! Programs that demand proofs of devices.

use super::*;
use crate::logged::tests::{proof, proofs, table};
use sottovoce_dap::{hpke::HpkeConfig, role::Role};
use sottovoce_log::entry::{Event as LogEvent, KeyChange};

#[test]
fn a_device_that_insists_on_the_logs_sends_and_spends_nothing_without_their_proof() {
    let program = program_with(&table("required_by = [\"devices\"]"));
    let mut engine =
        Engine::open(Arc::clone(&program), MemoryStorage::default(), Options::default(), NOW)
            .unwrap()
            .0;
    engine.give_consent(NOW).unwrap();
    engine.assign("arm", "control", NOW).unwrap();
    engine.record(thumb(Thumb::Up), NOW).unwrap();
    let later = NOW + DAY + 3600;
    let error = engine.next(later).unwrap_err();
    assert!(
        matches!(error, EngineError::Device(DeviceError::NotLogged(NotLogged::Missing))),
        "{error}"
    );
    assert!(matches!(
        engine.prove("{}"),
        Err(EngineError::Device(DeviceError::NotLogged(NotLogged::Form(_))))
    ));
    assert_eq!(kept(&engine, "helpful"), [Given::Thumbs(Thumb::Up)], "nothing was drawn");
    let history = engine.history(later).unwrap();
    assert!(history.waits_for_proofs && history.kept == 1 && history.waiting == 0, "{history:?}");
    assert!(history.to_string().contains("Everything is held back"), "{history}");
    let proofs = serde_json::to_string(&proofs(&program, false)).unwrap();
    engine.prove(&proofs).unwrap();
    engine.next(later).unwrap();
    assert_eq!(kept(&engine, "helpful"), [], "what was said is on its way");
    let history = engine.history(later).unwrap();
    assert!(!history.waits_for_proofs && !history.to_string().contains("held back"), "{history}");
}

#[test]
fn proof_is_asked_for_when_something_would_be_sent_and_not_before() {
    let program = program_with(&table("required_by = [\"devices\"]"));
    let open = |storage| {
        Engine::open(Arc::clone(&program), storage, Options::default(), NOW + DAY).unwrap().0
    };
    let mut engine = open(MemoryStorage::default());
    assert!(matches!(engine.next(NOW + DAY).unwrap(), Step::Idle), "nobody has agreed");
    engine.give_consent(NOW + DAY).unwrap();
    let next = |engine: &mut Engine<_>, now| match engine.next(now) {
        Ok(Step::Wait { until }) => Some(until),
        Err(EngineError::Device(DeviceError::NotLogged(NotLogged::Missing))) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(next(&mut engine, NOW + DAY + 5), Some(NOW + 2 * DAY), "the window is open");
    assert_eq!(next(&mut engine, NOW + 2 * DAY), None, "it is over");
    // What is too late for its window is carried, and sent with the next.
    assert_eq!(next(&mut engine, NOW + 3 * DAY - 1), Some(NOW + 3 * DAY));
    engine.prove(&serde_json::to_string(&proofs(&program, false)).unwrap()).unwrap();
    engine.next(NOW + 3 * DAY).unwrap();
    assert_eq!(fates(&engine, "helpful"), [(Fate::Waiting, 1)]);
    let due = engine.device.state.outbox.due().unwrap();
    // A report that was drawn under proofs waits for them, once it is due, after a restart.
    let mut engine = open(engine.storage().clone());
    if due > NOW + 3 * DAY {
        assert_eq!(next(&mut engine, due - 1), Some(due), "nothing is due");
    }
    assert_eq!(next(&mut engine, due), None);
    engine.withdraw_consent(due).unwrap();
    assert!(matches!(engine.next(due + DAY).unwrap(), Step::Idle), "nothing is left to send");
}

#[test]
fn what_is_said_to_a_device_that_waits_for_proof_draws_nothing_either() {
    let program = program_with(&table("required_by = [\"devices\"]"));
    let mut engine =
        Engine::open(Arc::clone(&program), MemoryStorage::default(), Options::default(), NOW)
            .unwrap()
            .0;
    engine.give_consent(NOW).unwrap();
    engine.assign("arm", "control", NOW).unwrap();
    engine.record(thumb(Thumb::Up).on("r1"), NOW).unwrap();
    let later = NOW + DAY + 3600;
    engine.record(Event::signal("behaviour", "copied").on("r1"), later).unwrap();
    assert_eq!(kept(&engine, "helpful"), [Given::Thumbs(Thumb::Up)], "it waits");
    assert!(engine.device.state.outbox.entries.is_empty() && fates(&engine, "helpful").is_empty());
    engine.prove(&serde_json::to_string(&proofs(&program, false)).unwrap()).unwrap();
    engine.next(later).unwrap();
    assert_eq!(fates(&engine, "helpful"), [(Fate::Waiting, 1)]);
    assert_eq!(kept(&engine, "helpful"), [], "its window was over, and not too late");
    assert_eq!(kept(&engine, "behaviour").len(), 1, "this one's is not");
}

/// A device that insists on proofs and has those of its tasks, with something to report.
fn insisting() -> Engine<MemoryStorage> {
    let program = program_with(&table("required_by = [\"devices\"]"));
    let mut engine =
        Engine::open(Arc::clone(&program), MemoryStorage::default(), Options::default(), NOW)
            .unwrap()
            .0;
    engine.give_consent(NOW).unwrap();
    engine.prove(&serde_json::to_string(&proofs(&program, false)).unwrap()).unwrap();
    engine.record(thumb(Thumb::Up), NOW).unwrap();
    engine
}

fn logged(role: &str, config: &HpkeConfig) -> String {
    proof(role, LogEvent::HpkeKey(KeyChange::Added, config.clone()), false)
}

/// Carries what is handed out until the engine refuses; why.
fn refused(engine: &mut Engine<MemoryStorage>, servers: &mut Servers, now: u64) -> NotLogged {
    engine.next(now).unwrap();
    engine.device.state.outbox.entries.iter_mut().for_each(|entry| entry.due = now);
    for _ in 0..10 {
        match engine.next(now) {
            Ok(Step::Send(outgoing)) => {
                let response = servers.answer(&outgoing.http);
                engine.answered(outgoing.id, Arrived::Response(response), now).unwrap();
            }
            Err(EngineError::Device(DeviceError::NotLogged(reason))) => return reason,
            other => panic!("{other:?}"),
        }
    }
    panic!("nothing was refused");
}

#[test]
fn nothing_is_sealed_to_a_key_that_is_not_in_the_log_for_all_to_see() {
    let (mut engine, mut servers) = (insisting(), Servers::new());
    let mut now = NOW + DAY + 3600;
    for (log, role) in [
        ((|_, _| None) as fn(&str, &HpkeConfig) -> Option<String>, Role::Leader),
        (|role, config| (role == "leader").then(|| logged(role, config)), Role::Helper),
        // Another key than the one that this device gets.
        (
            |role, config| {
                let mut other = config.clone();
                other.id.0 ^= u8::from(role == "helper");
                Some(logged(role, &other))
            },
            Role::Helper,
        ),
    ] {
        servers.logged = log;
        let reason = refused(&mut engine, &mut servers, now);
        assert!(
            matches!(&reason, NotLogged::Key { role: named, .. } if *named == role),
            "{reason}"
        );
        assert!(servers.seen.is_empty(), "nothing was sent");
        let history = engine.history(now).unwrap().to_string();
        assert!(history.contains("Reports are held back: the "), "{history}");
        assert!(engine.device.state.outbox.entries.iter().all(|entry| entry.sealed.is_none()));
        now += 3600;
    }
    servers.logged = |role, config| Some(logged(role, config));
    servers.serve(&mut engine, now);
    assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 1)]);
    assert_eq!(engine.history(now).unwrap().refused_key, None);
}

#[test]
fn a_key_that_was_rotated_is_proved_like_the_first() {
    let (mut engine, mut servers) = (insisting(), Servers::new());
    servers.logged = |role, config| Some(logged(role, config));
    servers.serve(&mut engine, NOW + DAY + 3600);
    servers.rotate();
    servers.serve(&mut engine, NOW + 2 * DAY + 3 * 3600);
    assert_eq!(servers.key_requests, 4, "both keys, twice");
    assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 2)]);
    servers.rotate();
    servers.logged = |_, _| None;
    let reason = refused(&mut engine, &mut servers, NOW + 3 * DAY + 6 * 3600 - 60);
    assert!(matches!(reason, NotLogged::Key { role: Role::Leader, .. }), "{reason}");
}

#[test]
fn a_proof_that_does_not_come_is_waited_for_and_a_clock_put_back_ends_the_wait() {
    let (mut engine, mut servers) = (insisting(), Servers::new());
    let now = NOW + DAY + 3600;
    engine.next(now).unwrap();
    engine.device.state.outbox.entries.iter_mut().for_each(|entry| entry.due = NOW);
    let Step::Send(keys) = engine.next(now).unwrap() else { panic!("keys are asked for") };
    let response = servers.answer(&keys.http);
    engine.answered(keys.id, Arrived::Response(response), now).unwrap();
    let Step::Send(proof) = engine.next(now).unwrap() else { panic!("so is their proof") };
    assert!(proof.http.url.starts_with("https://leader.example/log/proof/"));
    engine.answered(proof.id, Arrived::Nothing, now).unwrap();
    assert!(matches!(engine.next(now).unwrap(), Step::Wait { until } if until == now + 30));
    assert!(matches!(engine.next(now - 60).unwrap(), Step::Send(_)), "the clock was ahead");
    assert!(matches!(engine.next(now + 30).unwrap(), Step::Send(_)));
}
