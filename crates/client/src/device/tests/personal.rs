//! What the engine does for its user alone.

use super::{super::*, DAY, NOW, kept, program_with, servers::Servers, thumb};
use crate::{
    engine::{Engine, EngineError},
    personal::{
        asking::{Candidate, Decision, Moment},
        triage::{Guess, Turn},
    },
    storage::MemoryStorage,
};
use sottovoce_program::answer::{Given, Outcome, Thumb};

const PERSONAL: &str = r#"
    [asking]
    low_confidence = 0.4
    sample = 0.0
    cool_down = "1 hour"
    per_day = 2
    [metrics.aspects]
    kind = "ratings"
    question = "How was it?"
    aspects = ["tone", "length"]
    levels = ["bad", "good"]
    [metrics.well]
    kind = "score"
    question = "How well did it go?"
    buckets = [0, 0.5]
    of = "behaviour"
    weights = { copied = 2, edited = -2 }
    [metrics.problem]
    kind = "triage"
    question = "What went wrong?"
    categories = ["bug", "retrieval gap"]
    rules = [{ category = "bug", words = ["crash"] }]
"#;

fn engine() -> Engine<MemoryStorage> {
    let program = program_with(PERSONAL);
    let storage = MemoryStorage::default();
    let (mut engine, _) = Engine::open(program, storage, Options::default(), NOW).unwrap();
    engine.give_consent(NOW).unwrap();
    engine
}

fn reopened(engine: &Engine<MemoryStorage>, now: u64) -> Engine<MemoryStorage> {
    let storage = engine.storage().clone();
    Engine::open(program_with(PERSONAL), storage, Options::default(), now).unwrap().0
}

fn unsure(response: &str) -> Moment {
    let response = response.to_owned();
    Candidate { response, confidence: Some(0.2), ..Candidate::default() }.into()
}

#[test]
fn a_decision_to_ask_is_remembered_across_a_crash() {
    let mut engine = engine();
    let Decision::Ask(ask) = engine.decide(&unsure("r1"), NOW).unwrap() else { panic!() };
    assert_eq!(ask.response, "r1");
    let mut engine = reopened(&engine, NOW + 60);
    let again = engine.decide(&unsure("r2"), NOW + 60).unwrap();
    assert!(matches!(again, Decision::NotNow(_)), "{again}");
    engine.not_shown(NOW + 61).unwrap();
    assert!(matches!(engine.decide(&unsure("r2"), NOW + 62).unwrap(), Decision::Ask(_)));
}

#[test]
fn nothing_is_decided_or_learnt_before_consent() {
    let storage = MemoryStorage::default();
    let program = program_with(PERSONAL);
    let (mut engine, _) = Engine::open(program, storage, Options::default(), NOW).unwrap();
    let nothing = BTreeMap::new();
    for refused in [
        engine.decide(&unsure("r1"), NOW).map(drop),
        engine.preferred(&nothing, &nothing, Outcome::Tie, NOW),
        engine.set_leaning("tone", Some(1.0), NOW),
        engine.triage(&Comment::new("problem", "crash"), NOW).map(drop),
    ] {
        assert!(matches!(refused, Err(EngineError::Device(DeviceError::NoConsent))), "{refused:?}");
    }
}

#[test]
fn ratings_of_aspects_are_heard_once_and_outlive_the_window_on_the_device_only() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    let rated = |level: &str| {
        let ratings = [("tone".to_owned(), level.to_owned())].into();
        Event::answer("aspects", Given::Ratings(ratings)).on("r1")
    };
    for level in ["good", "good", "bad"] {
        engine.record(rated(level), NOW).unwrap();
    }
    let heard = engine.leanings(NOW)[0].value;
    assert!(heard > 0.0, "the first that was said of a response");
    servers.serve(&mut engine, NOW + DAY + DAY / 4);
    let leanings = reopened(&engine, NOW + 2 * DAY).leanings(NOW + 2 * DAY);
    assert_eq!(leanings[0].aspect, "tone");
    assert!(leanings[0].value > 0.9 * heard && leanings[0].value < heard);
    engine.set_leaning("tone", None, NOW + 2 * DAY).unwrap();
    assert!(engine.leanings(NOW + 2 * DAY).is_empty());
}

#[test]
fn a_score_is_worked_out_from_signals_and_reported_as_an_answer() {
    let mut engine = engine();
    engine.record(Event::signal("behaviour", "copied").on("r1"), NOW).unwrap();
    let score = engine.score("well", "r1", NOW).unwrap().unwrap();
    assert!((score.value - 1.0 / (1.0 + (-2.0_f64).exp())).abs() < 1e-12, "{score:?}");
    assert_eq!(engine.score("helpful", "r1", NOW).unwrap(), None);
    engine.next(NOW + DAY).unwrap();
    let mark = engine.device.state.place("r1").response;
    assert!(engine.device.state.was_drawn("well", mark), "the score of that response was drawn");
    let late = Event::answer("well", Given::Score(0.1)).on("r1");
    assert_eq!(engine.record(late, NOW + DAY).unwrap(), Recorded::Drawn);
}

#[test]
fn habits_are_learnt_when_a_window_closes_and_calibrated_by_explicit_answers() {
    let mut engine = engine();
    let score = |engine: &mut Engine<MemoryStorage>, now| {
        engine.record(Event::signal("behaviour", "copied").on("probe"), now).unwrap();
        engine.score("well", "probe", now).unwrap().unwrap()
    };
    let before = score(&mut engine, NOW);
    for day in 0..30 {
        let now = NOW + day * DAY + 60;
        // This user copies what is bad.
        for (response, up) in [("a", true), ("b", false)] {
            let response = format!("{day} {response}");
            let signal = if up { "edited" } else { "copied" };
            engine.record(Event::signal("behaviour", signal).on(&response), now).unwrap();
            let vote = if up { Thumb::Up } else { Thumb::Down };
            engine.record(thumb(vote).on(&response), now).unwrap();
        }
    }
    let now = NOW + 30 * DAY;
    engine.next(now).unwrap();
    let after = score(&mut engine, now);
    assert!(before.value > 0.8 && after.value < before.value - 0.1, "{before:?} {after:?}");
    assert!(after.parts[0].weight < before.parts[0].weight);
}

#[test]
fn a_comment_becomes_a_category_and_is_kept_nowhere() {
    let mut engine = engine();
    let text = "It says CRASH and my name is Grete";
    let sorted = engine.triage(&Comment::new("problem", text).on("r1"), NOW).unwrap();
    assert_eq!(sorted.unwrap().category, "bug");
    assert_eq!(kept(&engine, "problem"), [Given::Triage("bug".into())]);
    let well = || Comment::new("problem", "all is well");
    assert_eq!(engine.triage(&well(), NOW).unwrap(), None);
    let guess = Guess { category: "retrieval gap".to_owned(), turn: Turn::AfterRules };
    engine.triage(&well().on("r2").guessed(guess), NOW).unwrap();
    assert_eq!(kept(&engine, "problem").len(), 2);
    let blob = engine.storage().blob().unwrap();
    assert!(!blob.windows(5).any(|part| part == b"Grete" || part == b"CRASH"));
    assert!(!format!("{:?}", Comment::new("problem", text)).contains("Grete"));
    assert!(engine.triage(&Comment::new("helpful", text), NOW).is_err());
}
