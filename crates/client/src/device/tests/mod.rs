mod assignment;
mod crashes;
mod older;
mod participation;
mod personal;
mod proofs;
mod resealing;
mod saves;
mod servers;
mod unseen;
mod weeks;

use super::*;
use crate::{
    engine::{Engine, EngineError, Found, Step},
    logged::NotLogged,
    storage::{MemoryStorage, Storage, StorageError},
};
use servers::Servers;
use sottovoce_program::answer::{Given, Thumb};
use std::sync::Mutex;

const DAY: u64 = 86_400;
/// A day begins.
const NOW: u64 = 20_780 * DAY;

/// Three metrics: with a private dimension, with a public one, and signals. What each guarantees
/// is worked out once.
fn program_with(tables: &str) -> Arc<Program> {
    static KNOWN: Mutex<BTreeMap<String, Arc<Program>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap();
    Arc::clone(known.entry(tables.to_owned()).or_insert_with(|| parse(tables)))
}

fn parse(tables: &str) -> Arc<Program> {
    let text = format!(
        r#"
        name = "assistant"
        leader = "https://leader.example/"
        helper = "https://helper.example/"
        collector = "AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
        window = "1 day"
        grace = "6 hours"
        min_batch_size = 5000
        {tables}
        [dimensions.segment]
        kind = "private"
        values = ["new", "returning"]
        [dimensions.arm]
        kind = "public"
        values = ["control", "candidate"]
        [metrics.helpful]
        kind = "thumbs"
        question = "Did this answer help?"
        dimensions = ["segment"]
        [metrics.quality]
        kind = "rating"
        question = "How good was it?"
        stars = 5
        dimensions = ["arm"]
        [metrics.behaviour]
        kind = "signals"
        question = "What did the user do?"
        signals = ["copied", "edited"]
        "#
    );
    Arc::new(Program::parse("assistant.toml", &text).unwrap())
}

fn program() -> Arc<Program> {
    program_with("")
}

fn engine() -> Engine<MemoryStorage> {
    let (mut engine, found) =
        Engine::open(program(), MemoryStorage::default(), Options::default(), NOW).unwrap();
    assert_eq!(found, Found::Nothing);
    engine.give_consent(NOW).unwrap();
    engine
}

fn thumb(thumb: Thumb) -> Event {
    Event::answer("helpful", Given::Thumbs(thumb)).with("segment", "new")
}

/// What is kept of a metric, in order of rank.
fn kept<S: Storage>(engine: &Engine<S>, metric: &str) -> Vec<Given> {
    let pending = engine.device.state.pending.get(metric);
    let items = pending.map(|pending| pending.items().to_vec()).unwrap_or_default();
    items.into_iter().map(|item| item.given).collect()
}

fn fates<S: Storage>(engine: &Engine<S>, metric: &str) -> Vec<(Fate, u64)> {
    let lines = engine.device.lines().into_iter().filter(|line| line.metric == metric);
    lines.map(|line| (line.fate, line.reports)).collect()
}

#[test]
fn nothing_is_recorded_before_consent_and_nothing_kept_after_it_is_withdrawn() {
    let (mut engine, _) =
        Engine::open(program(), MemoryStorage::default(), Options::default(), NOW).unwrap();
    let refused = engine.record(thumb(Thumb::Up), NOW).unwrap_err();
    assert!(matches!(refused, EngineError::Device(DeviceError::NoConsent)));
    assert!(matches!(engine.next(NOW + 9 * DAY).unwrap(), Step::Idle));
    assert_eq!(engine.storage().blob(), None, "not even a file");

    engine.give_consent(NOW).unwrap();
    engine.record(thumb(Thumb::Up), NOW).unwrap();
    engine.next(NOW + DAY).unwrap();
    assert_eq!(engine.device.state.outbox.entries.len(), 2);
    engine.record(thumb(Thumb::Up), NOW + DAY).unwrap();
    engine.withdraw_consent(NOW + DAY).unwrap();
    assert!(
        engine.device.state.outbox.entries.is_empty() && engine.device.state.pending.is_empty()
    );
    assert_eq!(fates(&engine, "helpful"), [(Fate::Withdrawn, 1)]);
    assert!(engine.record(thumb(Thumb::Up), NOW + DAY).is_err());
}

#[test]
fn what_the_program_does_not_ask_is_refused_by_name_and_changes_nothing() {
    let mut engine = engine();
    let rating = |level: &str| Event::answer("quality", Given::Rating(level.into()));
    for event in [rating("5 stars"), rating("5 stars").with("arm", "control")] {
        let error = engine.record(event, NOW).unwrap_err().to_string();
        assert!(error.contains("this device has no value for it; `assign` one before"), "{error}");
    }
    engine.assign("arm", "control", NOW).unwrap();
    let before = engine.storage().blob().unwrap().to_vec();
    for (event, words) in [
        (Event::answer("tone", Given::Thumbs(Thumb::Up)), "it has: helpful, quality, behaviour"),
        (Event::answer("helpful", Given::Thumbs(Thumb::Up)), "needs a value of the dimension"),
        (Event::answer("helpful", Given::Count(1)).with("segment", "new"), "another kind"),
        (thumb(Thumb::Up).with("segment", "old"), "it has: new, returning"),
        (thumb(Thumb::Up).with("region", "eu"), "those are: segment"),
        (
            rating("5 stars").with("arm", "candidate"),
            "arm = candidate, and this device is assigned control",
        ),
        (rating("6 stars").with("arm", "control"), "\"6 stars\" is not one of"),
        (rating("5 stars").with("arm", "c"), "it has: control, candidate"),
        (Event::signal("behaviour", "shared"), "not one of: copied, edited"),
        (Event::signal("helpful", "copied").with("segment", "new"), "another kind"),
    ] {
        let error = engine.record(event, NOW).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    for (dimension, value, words) in [
        ("segment", "new", "give a private dimension `with` each event"),
        ("arm", "c", "it has: control, candidate"),
        ("region", "eu", "those are: segment, arm"),
    ] {
        let error = engine.assign(dimension, value, NOW).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(matches!(
        engine.withdraw("tone", "r1", NOW),
        Err(EngineError::Device(DeviceError::UnknownMetric { .. }))
    ));
    assert_eq!(engine.storage().blob().unwrap(), before);
}

#[test]
fn a_clock_at_1970_or_2100_is_refused_and_the_state_is_intact() {
    let mut engine = engine();
    engine.record(thumb(Thumb::Up), NOW).unwrap();
    let before = engine.storage().blob().unwrap().to_vec();
    for wrong in [0, 1, 4_102_444_800, u64::MAX] {
        for outcome in [
            engine.record(thumb(Thumb::Down), wrong).map(drop),
            engine.next(wrong).map(drop),
            engine.history(wrong).map(drop),
            engine.withdraw_consent(wrong),
            engine.forget(wrong),
        ] {
            assert!(
                matches!(outcome, Err(EngineError::Device(DeviceError::Clock { .. }))),
                "{wrong}: {outcome:?}"
            );
        }
    }
    assert_eq!(engine.storage().blob().unwrap(), before);
    assert_eq!(kept(&engine, "helpful").len(), 1);
}

#[test]
fn a_vote_that_changes_counts_once_and_a_withdrawn_one_not_at_all() {
    let mut engine = engine();
    engine.record(thumb(Thumb::Up).on("r1"), NOW).unwrap();
    engine.record(thumb(Thumb::Down).on("r1"), NOW + 5).unwrap();
    assert_eq!(kept(&engine, "helpful"), [Given::Thumbs(Thumb::Down)]);
    assert_eq!(engine.withdraw("helpful", "r1", NOW).unwrap(), Withdrawn::Forgotten);
    assert_eq!(engine.withdraw("helpful", "r1", NOW).unwrap(), Withdrawn::Unknown);
    assert_eq!(kept(&engine, "helpful"), []);

    engine.record(thumb(Thumb::Up).on("r2"), NOW).unwrap();
    engine.next(NOW + DAY).unwrap();
    let again = engine.record(thumb(Thumb::Down).on("r2"), NOW + DAY).unwrap();
    assert_eq!(again, Recorded::Drawn, "it was drawn, and counts as it was");
    assert_eq!(engine.withdraw("helpful", "r2", NOW + DAY).unwrap(), Withdrawn::Drawn);
    assert_eq!(kept(&engine, "helpful"), []);
}

#[test]
fn signals_of_a_response_come_together_and_others_are_about_the_window() {
    let mut engine = engine();
    engine.record(Event::signal("behaviour", "copied").on("r1"), NOW).unwrap();
    engine.record(Event::signal("behaviour", "edited").on("r1"), NOW).unwrap();
    engine.record(Event::signal("behaviour", "edited"), NOW).unwrap();
    engine.record(Event::signal("behaviour", "edited"), NOW).unwrap();
    assert_eq!(kept(&engine, "behaviour").len(), 2);
}

#[test]
fn every_metric_is_reported_once_a_window_with_or_without_an_answer() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    for number in 0..100 {
        engine.record(thumb(Thumb::Up).on(&format!("r{number}")), NOW).unwrap();
    }
    engine.assign("arm", "control", NOW).unwrap();
    for day in 1..=3 {
        servers.serve(&mut engine, NOW + day * DAY + DAY / 8);
    }
    let tasks: Vec<_> =
        program().tasks().iter().map(|task| (task.name.clone(), task.task_id)).collect();
    for (name, task) in &tasks {
        let expected = if name == "quality/arm=candidate" { 0 } else { 3 };
        assert_eq!(servers.windows(*task).len(), expected, "{name}");
    }
    assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 3)]);
    assert_eq!(engine.device.state.epoch, 3);
}

#[test]
fn reports_wait_for_a_moment_that_says_nothing() {
    let mut dues = Vec::new();
    for _ in 0..300 {
        let mut engine = engine();
        engine.next(NOW + DAY + 60).unwrap();
        dues.extend(
            engine.device.state.outbox.entries.iter().map(|entry| entry.due - (NOW + DAY + 60)),
        );
    }
    // Half of the grace, in three parts.
    let jitter = 3 * 3600 - 30;
    let counts =
        [0, 1, 2].map(|third| dues.iter().filter(|due| *due / (jitter / 3) == third).count());
    assert!(dues.iter().all(|due| *due <= jitter), "{dues:?}");
    assert!(counts.iter().all(|count| (150..=250).contains(count)), "{counts:?}");
}

#[test]
fn a_device_that_comes_back_after_the_grace_carries_its_answers_on() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    engine.record(thumb(Thumb::Up), NOW).unwrap();
    servers.serve(&mut engine, NOW + 2 * DAY);
    assert_eq!(kept(&engine, "helpful").len(), 1, "the window's batch may be over");
    assert_eq!(engine.device.state.ledger.accounts(), [], "and nothing is spent on it");
    servers.serve(&mut engine, NOW + 3 * DAY + DAY / 4);
    assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 1)]);
}

#[test]
fn a_clock_that_jumps_ahead_and_back_loses_nothing_and_repeats_nothing() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    servers.serve(&mut engine, NOW + DAY + DAY / 4);
    engine.record(thumb(Thumb::Up), NOW + DAY + DAY / 4).unwrap();
    for jump in [NOW + 40 * 365 * DAY, NOW + 39 * 365 * DAY, NOW, NOW + DAY + DAY / 3] {
        engine.next(jump).unwrap();
        assert_eq!(kept(&engine, "helpful").len(), 1);
    }
    servers.serve(&mut engine, NOW + 2 * DAY + DAY / 4);
    assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 2)]);
    // Back in a window that was reported already, another answer waits for the next one.
    engine.record(thumb(Thumb::Down), NOW + DAY).unwrap();
    servers.serve(&mut engine, NOW + 2 * DAY + DAY / 3);
    assert_eq!(kept(&engine, "helpful").len(), 1);
    servers.serve(&mut engine, NOW + 3 * DAY + DAY / 4);
    assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 3)]);
    assert_eq!(kept(&engine, "helpful").len(), 0);
}

#[test]
fn what_the_budget_does_not_cover_is_not_made_and_a_new_period_begins_anew() {
    let program = program_with("[budget]\nperiod = \"10 days\"\nwindows = 2");
    let storage = MemoryStorage::default();
    let (mut engine, _) = Engine::open(program, storage, Options::default(), NOW).unwrap();
    let mut servers = Servers::new();
    engine.give_consent(NOW).unwrap();
    for day in 1..=9 {
        servers.serve(&mut engine, NOW + day * DAY + DAY / 4);
    }
    // 20,780 is the first day of a period of ten; a renamed metric would find the same account.
    let delivered = |engine: &Engine<_>, metric: &str| -> u64 {
        fates(engine, metric)
            .into_iter()
            .map(|(fate, reports)| {
                assert_eq!(fate, Fate::Delivered);
                reports
            })
            .sum()
    };
    let before = delivered(&engine, "helpful");
    assert!(before <= 2);
    servers.serve(&mut engine, NOW + 10 * DAY + DAY / 4);
    assert_eq!((delivered(&engine, "helpful"), delivered(&engine, "behaviour")), (2, 2));
    let budget = |engine: &Engine<_>, day| engine.history(NOW + day * DAY - 1).unwrap();
    let history = budget(&engine, 10);
    assert_eq!((history.budget.windows, history.budget.windows_left), (Some(2), Some(0)));
    let words = history.to_string();
    assert!(words.contains("0 of 2 windows are left"), "{words}");
    assert!(words.contains("reports in 2 of the 10 windows of each period"), "{words}");
    assert!(words.contains("The next window that it reports is 2026-"), "{words}");
    for day in 11..=20 {
        servers.serve(&mut engine, NOW + day * DAY + DAY / 4);
    }
    assert_eq!(delivered(&engine, "helpful"), 4);
}

#[test]
fn a_metric_under_another_name_finds_the_windows_of_the_period_spent() {
    let renamed = |name: &str| {
        let text = format!(
            "[budget]\nperiod = \"10 days\"\nwindows = 3\n[metrics.{name}]\nkind = \"thumbs\"\n\
             question = \"Was it {name}?\"\n"
        );
        program_with(&text)
    };
    let mut storage = MemoryStorage::default();
    let mut servers = Servers::new();
    for (update, name) in ["good", "fine", "well"].into_iter().enumerate() {
        let options = Options { adopt: true, ..Options::default() };
        let (mut engine, _) = Engine::open(renamed(name), storage, options, NOW).unwrap();
        engine.give_consent(NOW).unwrap();
        // What was spent in the period is spent whatever it was called: here it is all charged anew.
        for window in 0..10 {
            engine.device.state.open = Some(20_780 + window);
            engine.device.state.secret = DeviceSecret::new([u8::try_from(update).unwrap(); 32]);
            servers.serve(&mut engine, NOW + (window + 1) * DAY + 60);
        }
        let windows = engine.device.state.ledger.windows_since(20_780);
        assert!(windows <= 3, "{windows} windows of a period that allows three");
        storage = engine.storage().clone();
    }
    let mut windows: Vec<_> = servers.tasks_and_windows().into_iter().map(|(_, w)| w).collect();
    windows.dedup();
    assert!(windows.len() <= 3, "{windows:?}");
}

#[test]
fn history_says_what_was_sent_when_and_under_which_guarantee() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    servers.serve(&mut engine, NOW + DAY + DAY / 4);
    engine.record(thumb(Thumb::Up), NOW + DAY + DAY / 4).unwrap();
    let history = engine.history(NOW + DAY + DAY / 4).unwrap();
    let words = history.to_string();
    for part in [
        "You have taken part since 2026-",
        "1 answers are kept",
        "\"Did this answer help?\": 1 delivered",
        "epsilon 4.000, delta 0 (OC: even if both aggregators collude",
        "8.000 spent (no limit)",
    ] {
        assert!(words.contains(part), "{part:?} is not in {words}");
    }
    let json = serde_json::to_value(&history).unwrap();
    assert_eq!(json["lines"][0]["fate"], "delivered");
    assert_eq!(json["lines"][0]["guarantees"][0]["trust"], "OC");
    assert!(history.budget.spent_central < history.budget.spent_local);
}

#[test]
fn the_app_is_given_the_text_to_show() {
    let words = engine().explain();
    assert!(
        words.contains("Did this answer help?") && words.contains("stop at any time"),
        "{words}"
    );
}

#[test]
fn forgetting_leaves_nothing_but_a_silence_until_the_next_account() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    engine.forget(NOW).unwrap();
    assert_eq!(engine.storage().blob(), None, "nothing was spent");
    engine.give_consent(NOW).unwrap();
    servers.serve(&mut engine, NOW + DAY + DAY / 4);
    engine.record(thumb(Thumb::Up), NOW + DAY + DAY / 4).unwrap();
    let secret = engine.device.state.secret.clone();
    engine.forget(NOW + DAY + DAY / 4).unwrap();
    assert!(engine.device.state.secret != secret && !engine.consent().is_given());
    assert_eq!(engine.device.state.silent_until, NOW + 2 * DAY);
    assert_eq!(engine.device.lines().len() + engine.device.state.pending.len(), 0);
    // Starting over in the same window makes no second report for it.
    engine.give_consent(NOW + DAY + DAY / 4).unwrap();
    servers.serve(&mut engine, NOW + 2 * DAY + DAY / 4);
    assert_eq!(fates(&engine, "helpful"), [(Fate::Silent, 1)]);
    servers.serve(&mut engine, NOW + 3 * DAY + DAY / 4);
    assert_eq!(fates(&engine, "helpful"), [(Fate::Silent, 1), (Fate::Delivered, 1)]);
}

#[test]
fn forgetting_twice_or_after_damage_makes_no_fresh_budget() {
    let program = program_with("[budget]\nperiod = \"10 days\"\nwindows = 10");
    let open = |storage, now| {
        Engine::open(Arc::clone(&program), storage, Options::default(), now).unwrap().0
    };
    let mut engine = open(MemoryStorage::default(), NOW);
    let mut servers = Servers::new();
    engine.give_consent(NOW).unwrap();
    servers.serve(&mut engine, NOW + DAY + 60);
    let next_period = NOW + 10 * DAY;
    // Again and again, also by a clock that is years ahead or behind.
    for moment in [NOW + DAY, NOW + DAY, NOW + 800 * DAY, NOW, NOW + DAY] {
        engine.forget(moment).unwrap();
        assert_eq!(engine.device.state.silent_until, next_period);
        engine = open(engine.storage().clone(), moment);
        assert_eq!(engine.device.state.silent_until, next_period);
    }
    engine.give_consent(NOW + DAY).unwrap();
    for day in 2..=11 {
        servers.serve(&mut engine, NOW + day * DAY + 60);
    }
    assert_eq!(fates(&engine, "helpful"), [(Fate::Silent, 9), (Fate::Delivered, 1)]);

    // A clock that was ahead when something was drawn, and one that is ahead when it is forgotten.
    let mut engine = open(MemoryStorage::default(), NOW);
    engine.give_consent(NOW).unwrap();
    servers.serve(&mut engine, NOW + DAY + 60);
    engine.forget(NOW + 3000 * DAY).unwrap();
    assert_eq!(engine.device.state.silent_until, next_period, "the account that was charged");

    // After damage nobody knows what was spent; forgetting does not make it less.
    let damaged = MemoryStorage::with(b"SVSTATE, and nonsense".to_vec());
    let mut engine = open(damaged, NOW + DAY);
    assert_eq!(engine.storage().aside().len(), 1);
    engine.forget(NOW + DAY).unwrap();
    assert_eq!(
        (engine.device.state.silent_until, engine.storage().aside().len()),
        (next_period, 0)
    );
    engine.forget(NOW + DAY).unwrap();
    assert_eq!(engine.device.state.silent_until, next_period);
}

#[test]
fn a_damaged_or_newer_state_is_kept_aside_and_the_device_is_silent_for_the_window() {
    for (at, reason) in [(7, "newer version"), (40, "checksum")] {
        let mut blob = engine().storage().blob().unwrap().to_vec();
        blob[at] ^= 0x40;
        let storage = MemoryStorage::with(blob.clone());
        let (mut engine, found) =
            Engine::open(program(), storage, Options::default(), NOW).unwrap();
        let Found::SetAside { reason: told, .. } = found else { panic!("{found:?}") };
        assert!(told.contains(reason), "{told}");
        assert_eq!(engine.storage().aside(), [blob]);
        engine.give_consent(NOW).unwrap();
        engine.next(NOW + DAY).unwrap();
        assert_eq!(fates(&engine, "helpful"), [(Fate::Silent, 1)]);
        assert!(engine.history(NOW).unwrap().to_string().contains("Until "));
    }
}

#[test]
fn a_sealed_state_is_opened_with_its_key_only_and_never_set_aside_for_lack_of_it() {
    let key = |byte| Options { key: Some(StateKey::new([byte; 32])), ..Options::default() };
    let (mut engine, _) = Engine::open(program(), MemoryStorage::default(), key(1), NOW).unwrap();
    engine.give_consent(NOW).unwrap();
    let storage = engine.storage().clone();
    for options in [Options::default(), key(2)] {
        let refused = Engine::open(program(), storage.clone(), options, NOW).unwrap_err();
        assert!(matches!(refused, EngineError::Device(DeviceError::Key(_))), "{refused}");
    }
    let (engine, found) = Engine::open(program(), storage, key(1), NOW).unwrap();
    assert!(found == Found::State && engine.consent().is_given());
}

#[test]
fn another_program_is_refused_until_it_is_adopted_and_what_was_spent_stays_spent() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    engine.assign("arm", "control", NOW).unwrap();
    servers.serve(&mut engine, NOW + DAY + DAY / 4);
    engine.record(thumb(Thumb::Up), NOW + DAY + DAY / 4).unwrap();
    engine.next(NOW + 2 * DAY).unwrap();
    let storage = engine.storage().clone();

    let changed = program_with("[privacy]\nepsilon0 = 3.0\n");
    let open = |adopt| {
        let options = Options { adopt, ..Options::default() };
        Engine::open(Arc::clone(&changed), storage.clone(), options, NOW + 2 * DAY)
    };
    let refused = open(false).unwrap_err();
    assert!(matches!(refused, EngineError::Device(DeviceError::OtherProgram { .. })), "{refused}");
    let (mut engine, found) = open(true).unwrap();
    assert_eq!(found, Found::Adopted);
    assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 1), (Fate::Expired, 1)]);
    assert!(engine.device.state.outbox.entries.is_empty(), "its tasks are gone");
    let spent = engine.history(NOW + 2 * DAY).unwrap().budget.spent_local;
    servers.serve(&mut engine, NOW + 3 * DAY + DAY / 4);
    let after = engine.history(NOW + 3 * DAY + DAY / 4).unwrap().budget.spent_local;
    assert!((after - spent - 9.0).abs() < 1e-6, "{spent} {after}");
}

#[test]
fn a_composed_limit_holds_over_an_update_that_is_adopted_by_a_clock_that_is_ahead() {
    let with = |more: &str| {
        program_with(&format!(
            "{more}\n[budget]\nperiod = \"10 days\"\nwindows = 6\n\
             central = {{ epsilon = 9.0, delta = 1e-6 }}\n"
        ))
    };
    let (before, after) = (with(""), with("[privacy]\nepsilon0 = 3.0"));
    let storage = MemoryStorage::default();
    let (mut engine, _) = Engine::open(before, storage, Options::default(), NOW).unwrap();
    engine.give_consent(NOW).unwrap();
    for day in 1..=6 {
        engine.next(NOW + day * DAY).unwrap();
    }
    let last = engine.device.state.ledger.last_charged().unwrap() * DAY;
    let end = (last / (10 * DAY) + 1) * 10 * DAY;
    for ahead in [0, 400] {
        let options = Options { adopt: true, ..Options::default() };
        let now = last + DAY + ahead * DAY;
        let storage = engine.storage().clone();
        let (engine, found) = Engine::open(Arc::clone(&after), storage, options, now).unwrap();
        assert_eq!(found, Found::Adopted);
        assert!(
            engine.device.state.silent_until >= end,
            "{ahead}: {} {end}",
            engine.device.state.silent_until
        );
    }
}

#[test]
fn a_task_that_is_not_the_programs_is_refused_with_what_differs() {
    let engine = engine();
    let task = engine.program().task("helpful").unwrap().configuration.clone();
    engine.check_task("helpful", &task).unwrap();
    let smaller = TaskConfiguration { min_batch_size: 10, ..task };
    let error = engine.check_task("helpful", &smaller).unwrap_err().to_string();
    assert!(error.contains("min_batch_size differs"), "{error}");
    assert!(engine.check_task("tone", &smaller).is_err());
}

#[test]
fn keys_that_may_not_be_kept_are_fetched_once_for_the_reports_at_hand() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    servers.lifetime = "no-store";
    servers.serve(&mut engine, NOW + DAY + DAY / 4);
    assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 1)]);
    assert!(servers.key_requests <= 6, "{}", servers.key_requests);
}

#[test]
fn servers_that_answer_nonsense_are_asked_again_later_and_less_often() {
    let (mut engine, mut servers) = (engine(), Servers::new());
    servers.nonsense = true;
    let mut now = NOW + DAY + DAY / 8;
    let mut requests = 0;
    while now < NOW + DAY + DAY / 2 {
        match engine.next(now).unwrap() {
            Step::Send(outgoing) => {
                requests += 1;
                let response = servers.answer(&outgoing.http);
                engine.answered(outgoing.id, Arrived::Response(response), now).unwrap();
            }
            Step::Wait { until } => now = until.max(now + 1),
            Step::Idle => panic!("reports are waiting"),
        }
    }
    assert!((4..40).contains(&requests), "{requests}");
    servers.nonsense = false;
    servers.serve(&mut engine, now);
    assert_eq!(engine.device.state.outbox.entries, [], "one attempt at least, then it is over");
}

#[test]
fn a_full_disk_refuses_the_event_and_keeps_what_was_there() {
    struct Full(MemoryStorage, bool);
    impl Storage for Full {
        fn load(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
            self.0.load()
        }
        fn store(&mut self, blob: &[u8]) -> Result<(), StorageError> {
            if self.1 {
                return Err(StorageError::Full { place: "disk".into() });
            }
            self.0.store(blob)
        }
        fn set_aside(&mut self) -> Result<String, StorageError> {
            self.0.set_aside()
        }
        fn discard_aside(&mut self) -> Result<(), StorageError> {
            self.0.discard_aside()
        }
        fn erase(&mut self) -> Result<(), StorageError> {
            self.0.erase()
        }
    }
    let storage = Full(MemoryStorage::default(), false);
    let (mut engine, _) = Engine::open(program(), storage, Options::default(), NOW).unwrap();
    engine.give_consent(NOW).unwrap();
    engine.record(thumb(Thumb::Up).on("r1"), NOW).unwrap();
    engine.storage.1 = true;
    let refused = engine.record(thumb(Thumb::Up).on("r2"), NOW).unwrap_err();
    assert!(matches!(refused, EngineError::Storage(StorageError::Full { .. })), "{refused}");
    assert!(engine.next(NOW + DAY).is_err(), "nothing is drawn that is not stored");
    assert_eq!(kept(&engine, "helpful").len(), 1);
    engine.storage.1 = false;
    engine.next(NOW + DAY).unwrap();
    assert_eq!(engine.device.state.outbox.entries.len(), 2);
}

#[test]
fn a_year_of_ten_metrics_is_small() {
    let metrics: Vec<_> = (0..9)
        .map(|n| {
            format!("[metrics.m{n}]\nkind = \"thumbs\"\nquestion = \"Did it help, number {n}?\"\n")
        })
        .collect();
    let metrics = metrics.concat();
    let text = format!(
        "name = \"ten\"\nleader = \"https://l.example/\"\nhelper = \"https://h.example/\"\n\
         collector = \"AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\"\n\
         window = \"1 day\"\nmin_batch_size = 5000\n[budget]\nperiod = \"90 days\"\nwindows = 45\n\
         [metrics.behaviour]\nkind = \"signals\"\nquestion = \"What?\"\nsignals = [\"a\", \"b\"]\n\
         {metrics}"
    );
    let program = Arc::new(Program::parse("ten.toml", &text).unwrap());
    let storage = MemoryStorage::default();
    let (mut engine, _) = Engine::open(program, storage, Options::default(), NOW).unwrap();
    let mut servers = Servers::new();
    engine.give_consent(NOW).unwrap();
    let mut largest = 0;
    for day in 0..365 {
        for response in 0..20 {
            for metric in 0..9 {
                let event = Event::answer(&format!("m{metric}"), Given::Thumbs(Thumb::Up));
                engine.record(event.on(&format!("{day} {response}")), NOW + day * DAY).unwrap();
            }
        }
        largest = largest.max(engine.storage().blob().unwrap().len());
        // Every third day the network is down.
        if day % 3 != 0 {
            servers.serve(&mut engine, NOW + (day + 1) * DAY + DAY / 4);
        }
    }
    println!("largest state: {largest} bytes");
    assert!(largest < 64 << 10, "{largest}");
}

#[test]
fn a_joint_takes_what_was_said_of_one_response_and_a_cohort_is_the_devices_own() {
    let program = program_with(
        r#"
        [dimensions.cohort]
        kind = "held-out"
        share = 0.5
        salt = "autumn"
        [metrics.both]
        kind = "joint"
        joins = ["helpful", "behaviour.copied"]
        [metrics.asked]
        kind = "thumbs"
        question = "Was it?"
        dimensions = ["cohort"]
        "#,
    );
    let mut held_out = 0;
    for _ in 0..200 {
        let storage = MemoryStorage::default();
        let (mut engine, _) =
            Engine::open(Arc::clone(&program), storage, Options::default(), NOW).unwrap();
        engine.give_consent(NOW).unwrap();
        let vote = Event::answer("asked", Given::Thumbs(Thumb::Up));
        let chosen = engine.record(vote.clone().with("cohort", "rest"), NOW).unwrap_err();
        assert!(
            matches!(chosen, EngineError::Device(DeviceError::NotAssignable { .. })),
            "{chosen}"
        );
        engine.record(vote, NOW).unwrap();
        let item = &engine.device.state.pending["asked"].items()[0];
        let is_held_out = item.segments["cohort"] == "held-out";
        held_out += i32::from(is_held_out);
        assert_eq!(engine.is_held_out("cohort"), Some(is_held_out), "the app can know");
        assert_eq!(engine.is_held_out("arm"), None);

        engine.record(thumb(Thumb::Up).on("r1"), NOW).unwrap();
        engine.record(Event::signal("behaviour", "copied").on("r1"), NOW).unwrap();
        engine.record(Event::signal("behaviour", "edited").on("r2"), NOW).unwrap();
        let given = window::answer_of(&program, &engine.device.state, "both", NOW).unwrap();
        let signals = |signal: &str| Some(Box::new(Given::Signals([signal.to_owned()].into())));
        let up = Some(Box::new(Given::Thumbs(Thumb::Up)));
        let of_one = Given::Joint { first: up, second: signals("copied") };
        let of_other = Given::Joint { first: None, second: signals("edited") };
        assert!(given == of_one || given == of_other, "{given:?}");
        engine.next(NOW + DAY).unwrap();
        assert_eq!(fates(&engine, "both"), [(Fate::Waiting, 1)]);
    }
    assert!((70..=130).contains(&held_out), "{held_out}");
}
