//! Programs that demand proofs of devices.

use super::*;

#[test]
fn a_device_that_insists_on_the_logs_sends_and_spends_nothing_without_their_proof() {
    use crate::client::logged::tests::{proofs, table};
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
    assert!(matches!(error, EngineError::NotLogged(NotLogged::Missing)), "{error}");
    assert!(matches!(engine.prove("{}"), Err(EngineError::NotLogged(NotLogged::Form(_)))));
    assert_eq!(kept(&engine, "helpful"), [Given::Thumbs(Thumb::Up)], "nothing was drawn");
    let history = engine.history(later).unwrap();
    assert!(history.waits_for_proofs && history.kept == 1 && history.waiting == 0, "{history:?}");
    assert!(history.to_string().contains("All of it is held back"), "{history}");
    let proofs = serde_json::to_string(&proofs(&program, false)).unwrap();
    engine.prove(&proofs).unwrap();
    engine.next(later).unwrap();
    assert_eq!(kept(&engine, "helpful"), [], "what was said is on its way");
    let history = engine.history(later).unwrap();
    assert!(!history.waits_for_proofs && !history.to_string().contains("held back"), "{history}");
}

#[test]
fn proof_is_asked_for_when_something_would_be_sent_and_not_before() {
    use crate::client::logged::tests::{proofs, table};
    let program = program_with(&table("required_by = [\"devices\"]"));
    let open = |storage| {
        Engine::open(Arc::clone(&program), storage, Options::default(), NOW + DAY).unwrap().0
    };
    let mut engine = open(MemoryStorage::default());
    assert!(matches!(engine.next(NOW + DAY).unwrap(), Step::Idle), "nobody has agreed");
    engine.give_consent(NOW + DAY).unwrap();
    let next = |engine: &mut Engine<_>, now| match engine.next(now) {
        Ok(Step::Wait { until }) => Some(until),
        Err(EngineError::NotLogged(NotLogged::Missing)) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(next(&mut engine, NOW + DAY + 5), Some(NOW + 2 * DAY), "the window is open");
    assert_eq!(next(&mut engine, NOW + 2 * DAY), None, "it is over");
    // What is too late for its window is carried, and sent with the next.
    assert_eq!(next(&mut engine, NOW + 3 * DAY - 1), Some(NOW + 3 * DAY));
    engine.prove(&serde_json::to_string(&proofs(&program, false)).unwrap()).unwrap();
    engine.next(NOW + 3 * DAY).unwrap();
    assert_eq!(fates(&engine, "helpful"), [(Fate::Waiting, 1)]);
    let due = engine.state.outbox.due().unwrap();
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
    use crate::client::logged::tests::{proofs, table};
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
    assert!(engine.state.outbox.entries.is_empty() && fates(&engine, "helpful").is_empty());
    engine.prove(&serde_json::to_string(&proofs(&program, false)).unwrap()).unwrap();
    engine.next(later).unwrap();
    assert_eq!(fates(&engine, "helpful"), [(Fate::Waiting, 1)]);
    assert_eq!(kept(&engine, "helpful"), [], "its window was over, and not too late");
    assert_eq!(kept(&engine, "behaviour").len(), 1, "this one's is not");
}
