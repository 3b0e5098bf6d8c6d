//! Whether somebody answered does not show: what the leader gets of a device with the same secret at the same
//! times is the same whatever was said, down to the moments at which the app is to ask again.

use super::{super::*, *};
use proptest::prelude::*;

/// Derived metrics, parts with and without a public dimension, and a budget of a few windows.
const TABLES: &str = r#"
    [budget]
    period = "10 days"
    windows = 4
    [metrics.mood]
    kind = "score"
    question = "How well did it go?"
    buckets = [0, 0.5]
    of = "behaviour"
    weights = { copied = 2, edited = -2 }
    [metrics.both]
    kind = "joint"
    joins = ["helpful", "behaviour.copied"]
    [metrics.armed]
    kind = "joint"
    joins = ["quality", "behaviour.edited"]
    dimensions = ["arm"]
    [metrics.turns]
    kind = "count"
    question = "How many turns?"
    max = 3
"#;

#[derive(Clone, Debug)]
enum Do {
    /// What is said: only one of the two devices hears it.
    Say(u8, u8),
    Assign(bool),
    Pass(u16),
    Jump(i16),
    Next,
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Do>> {
    let one = prop_oneof![
        8 => (0_u8..9, 0_u8..6).prop_map(|(what, response)| Do::Say(what, response)),
        1 => any::<bool>().prop_map(Do::Assign),
        6 => (1_u16..30).prop_map(Do::Pass),
        1 => (-20_i16..200).prop_map(Do::Jump),
        8 => Just(Do::Next),
        1 => Just(Do::Restart),
    ];
    prop::collection::vec(one, 1..50)
}

fn said(what: u8, response: u8) -> Option<Event> {
    let response = response.to_string();
    let rating = |level: &str| Event::answer("quality", Given::Rating(level.into()));
    Some(match what {
        0 => thumb(Thumb::Up).on(&response),
        1 => thumb(Thumb::Down),
        2 => Event::signal("behaviour", "copied").on(&response),
        3 => Event::signal("behaviour", "edited"),
        4 => rating("5 stars").on(&response),
        5 => rating("1 star").with("arm", "candidate").on(&response),
        6 => Event::more("turns", 2),
        7 => Event::more("turns", 1).on(&response),
        _ => return None,
    })
}

/// The tasks and windows of what waits to be sent, and when to come again.
type Seen = (Vec<(String, u64)>, Option<u64>);

/// A device and what the leader has of it.
struct Device {
    engine: Engine<MemoryStorage>,
    servers: Servers,
    /// After each call: what is drawn and for when, and when to come again.
    seen: Vec<Seen>,
}

impl Device {
    fn new(program: &Arc<Program>) -> Self {
        let storage = MemoryStorage::default();
        let (mut engine, _) =
            Engine::open(Arc::clone(program), storage, Options::default(), NOW).unwrap();
        engine.device.state.secret = DeviceSecret::new([5; 32]);
        engine.give_consent(NOW).unwrap();
        Self { engine, servers: Servers::new(), seen: Vec::new() }
    }

    fn next(&mut self, now: u64) {
        self.engine.next(now).unwrap();
        let entries = self.engine.device.state.outbox.entries.iter();
        let drawn = entries.map(|entry| (entry.task.clone(), entry.window)).collect();
        self.servers.serve(&mut self.engine, now);
        let until = match self.engine.next(now).unwrap() {
            Step::Wait { until } => Some(until),
            Step::Idle => None,
            Step::Send(_) => panic!("all is sent"),
        };
        self.seen.push((drawn, until));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_leader_gets_the_same_whatever_is_said(steps in events()) {
        let program = program_with(TABLES);
        let mut devices = [Device::new(&program), Device::new(&program)];
        let mut now = NOW;
        for step in steps {
            match step {
                Do::Say(8, response) => {
                    let response = response.to_string();
                    devices[1].engine.withdraw("helpful", &response, now).unwrap();
                }
                // Refused or not.
                Do::Say(what, response) => {
                    let event = said(what, response).unwrap();
                    let _ = devices[1].engine.record(event, now);
                }
                Do::Assign(control) => for device in &mut devices {
                    let arm = if control { "control" } else { "candidate" };
                    device.engine.assign("arm", arm, now).unwrap();
                },
                Do::Pass(hours) => now += u64::from(hours) * 3600,
                Do::Jump(days) => {
                    now = now.saturating_add_signed(i64::from(days) * 86_400).max(NOW - 30 * DAY);
                }
                Do::Next => devices.iter_mut().for_each(|device| device.next(now)),
                Do::Restart => for device in &mut devices {
                    let storage = device.engine.storage().clone();
                    let options = Options::default();
                    device.engine = Engine::open(Arc::clone(&program), storage, options, now).unwrap().0;
                },
            }
        }
        let [silent, talking] = &devices;
        prop_assert_eq!(&silent.seen, &talking.seen);
        prop_assert_eq!(silent.servers.tasks_and_windows(), talking.servers.tasks_and_windows());
        let fates = |device: &Device| {
            let lines = device.engine.device.lines().into_iter();
            lines.map(|line| (line.metric, line.from, line.reports, line.fate)).collect::<Vec<_>>()
        };
        prop_assert_eq!(fates(silent), fates(talking));
    }
}

/// An answer that is recorded when its window is over, and before the app has asked what to do, closes nothing: the
/// window is closed when the app asks, or not at all, as if nothing had been said.
#[test]
fn recording_draws_nothing() {
    for asks in [NOW + DAY + 60, NOW + DAY + DAY / 2] {
        let mut engines = [engine(), engine()];
        engines[1].record(thumb(Thumb::Up).on("r1"), NOW + DAY + 30).unwrap();
        assert_eq!(engines[1].device.state.outbox.entries.len(), 0);
        let drawn = engines.each_mut().map(|engine| {
            engine.next(asks).unwrap();
            engine.device.state.outbox.entries.len()
        });
        assert_eq!(drawn[0], drawn[1]);
        assert_eq!(
            kept(&engines[1], "helpful").len(),
            1,
            "it belongs to the window it was said in"
        );
    }
}
