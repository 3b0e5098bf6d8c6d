//! Weeks that begin on another day than DAP's own: what a device closes, when, and under which time.

use super::{super::*, *};
use sottovoce_program::{Weekday, format_moment};

/// A Monday begins; the Thursday in its week is the first of DAP's.
const MONDAY: u64 = NOW;

fn weekly(day: Option<Weekday>, more: &str) -> Arc<Program> {
    static KNOWN: Mutex<BTreeMap<String, Arc<Program>>> = Mutex::new(BTreeMap::new());
    let begins = day.map_or_else(String::new, |day| format!("week_begins = \"{}\"", day.word()));
    let mut known = KNOWN.lock().unwrap();
    let program = known.entry(format!("{begins}{more}")).or_insert_with(|| {
        let text = format!(
            r#"
            name = "assistant"
            leader = "https://leader.example/"
            helper = "https://helper.example/"
            collector = "AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
            window = "1 week"
            grace = "2 days"
            min_batch_size = 5000
            {begins}
            [device]
            jitter = "0 seconds"
            {more}
            [metrics.helpful]
            kind = "thumbs"
            question = "Did this answer help?"
            "#
        );
        Arc::new(Program::parse("assistant.toml", &text).unwrap())
    });
    Arc::clone(program)
}

fn open(program: &Arc<Program>, storage: MemoryStorage, now: u64) -> Engine<MemoryStorage> {
    let options = Options { adopt: true, ..Options::default() };
    let (mut engine, _) = Engine::open(Arc::clone(program), storage, options, now).unwrap();
    engine.give_consent(now).unwrap();
    engine
}

#[test]
fn a_monday_week_closes_on_monday_and_is_reported_under_the_thursday_in_it() {
    let program = weekly(Some(Weekday::Monday), "");
    let task = program.tasks()[0].task_id;
    let mut servers = Servers::new();
    let mut engine = open(&program, MemoryStorage::default(), MONDAY);
    assert_eq!(engine.next_window(), Some((MONDAY, MONDAY + 7 * DAY)));
    engine.record(Event::answer("helpful", Given::Thumbs(Thumb::Up)), MONDAY + 3 * DAY).unwrap();
    // Past the Thursday that DAP counts from, and to the last second of Sunday, nothing is drawn.
    for now in [MONDAY, MONDAY + 3 * DAY, MONDAY + 4 * DAY, MONDAY + 7 * DAY - 1] {
        servers.serve(&mut engine, now);
        assert!(engine.device.state.outbox.entries.is_empty() && servers.windows(task).is_empty());
    }
    servers.serve(&mut engine, MONDAY + 7 * DAY);
    let thursday = (MONDAY + 3 * DAY) / (7 * DAY);
    assert_eq!((MONDAY + 3 * DAY) % (7 * DAY), 0);
    assert_eq!(servers.windows(task).into_iter().collect::<Vec<_>>(), [thursday]);
    let line = &engine.device.lines()[0];
    assert_eq!(
        (line.from.as_str(), line.to.as_str()),
        (&format_moment(MONDAY)[..], &format_moment(MONDAY + 7 * DAY)[..]),
        "people are shown its real days"
    );
    assert_eq!(engine.next_window(), Some((MONDAY + 7 * DAY, MONDAY + 14 * DAY)));
    // At the end of the next one's grace it is still reported, and not after.
    servers.serve(&mut engine, MONDAY + 16 * DAY);
    assert_eq!(servers.windows(task).len(), 2);
    servers.serve(&mut engine, MONDAY + 23 * DAY + 1);
    assert_eq!(servers.windows(task).len(), 2, "its batch may be over");
}

#[test]
fn a_period_begins_with_the_week_and_is_not_spent_twice_around_its_edge() {
    let budget = "[budget]\nperiod = \"14 days\"\nwindows = 1\n";
    let program = weekly(Some(Weekday::Friday), budget);
    let mut engine = open(&program, MemoryStorage::default(), MONDAY);
    for day in 0..70 {
        engine.next(MONDAY + day * DAY).unwrap();
    }
    let mut per_period = BTreeMap::<u64, u64>::new();
    let periods = program.window().periods(14 * DAY);
    for run in engine.device.state.ledger.accounts()[0].runs() {
        for window in run.windows().filter(|_| run.fate.is_charged()) {
            let start = program.window().start_of(Time(window));
            *per_period.entry(periods.time_at(start).0).or_default() += 1;
        }
    }
    assert!(per_period.len() >= 4, "{per_period:?}");
    assert!(per_period.values().all(|charged| *charged == 1), "{per_period:?}");
}

#[test]
fn weeks_that_come_to_begin_on_another_day_buy_no_second_report() {
    let budget = "[budget]\nperiod = \"14 days\"\nwindows = 2\n";
    for (before, after) in [
        (None, Some(Weekday::Monday)),
        (Some(Weekday::Monday), None),
        (Some(Weekday::Friday), Some(Weekday::Saturday)),
    ] {
        let (before, after) = (weekly(before, budget), weekly(after, budget));
        let mut engine = open(&before, MemoryStorage::default(), MONDAY);
        for day in 0..=15 {
            engine.next(MONDAY + day * DAY).unwrap();
        }
        let charged = engine.device.state.ledger.last_charged().unwrap();
        let end = before.window().start_of(Time(charged + 1));
        let engine = open(&after, engine.storage().clone(), MONDAY + 15 * DAY);
        assert_eq!(engine.device.state.counted, after.window().into());
        let silent = engine.device.state.silent_until;
        assert!(silent >= end, "{silent} {end}");
        assert!(after.window().periods(14 * DAY).is_start(silent));
        // The state goes on under the same calendar, without another silence.
        let again = open(&after, engine.storage().clone(), MONDAY + 16 * DAY);
        assert_eq!(again.device.state.silent_until, silent);
    }
}
