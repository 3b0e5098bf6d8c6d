//! The engine is stopped after every step of its storage and of the network, and goes on from what
//! was stored. Whatever happens, each window of a metric is drawn once, paid for once, and taken by
//! the leader at most once; what was recorded is kept.

use super::{super::*, DAY, NOW, program_with, servers::Servers};
use crate::{
    engine::{Engine, EngineError, Found, Step},
    report::Drawn,
    storage::{Storage, StorageError},
};
use proptest::prelude::*;
use sottovoce_program::answer::{Given, Thumb};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// What outlives a crash, and when the next one is.
#[derive(Default)]
struct Disk {
    blob: Option<Vec<u8>>,
    steps: u32,
    crash: Option<Crash>,
}

#[derive(Clone, Copy, Debug)]
struct Crash {
    at: u32,
    /// Whether what was being stored is there afterwards.
    stored: bool,
}

#[derive(Clone, Default)]
struct FragileStorage(Rc<RefCell<Disk>>);

impl FragileStorage {
    /// Takes a step of the network; says whether it is the last.
    fn step(&self) -> bool {
        let mut disk = self.0.borrow_mut();
        disk.steps += 1;
        disk.crash.is_some_and(|crash| crash.at == disk.steps)
    }
}

fn killed() -> StorageError {
    StorageError::Other { place: "here".into(), reason: "killed".into() }
}

impl Storage for FragileStorage {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.borrow().blob.clone())
    }

    fn store(&mut self, blob: &[u8]) -> Result<(), StorageError> {
        let crashed = self.step();
        let mut disk = self.0.borrow_mut();
        if !crashed || disk.crash.is_some_and(|crash| crash.stored) {
            disk.blob = Some(blob.to_vec());
        }
        if crashed { Err(killed()) } else { Ok(()) }
    }

    fn set_aside(&mut self) -> Result<String, StorageError> {
        if self.step() { Err(killed()) } else { Ok("here".to_owned()) }
    }

    fn discard_aside(&mut self) -> Result<(), StorageError> {
        if self.step() { Err(killed()) } else { Ok(()) }
    }

    fn erase(&mut self) -> Result<(), StorageError> {
        let crashed = self.step();
        let mut disk = self.0.borrow_mut();
        if !crashed || disk.crash.is_some_and(|crash| crash.stored) {
            disk.blob = None;
        }
        if crashed { Err(killed()) } else { Ok(()) }
    }
}

#[derive(Clone, Copy, Debug)]
enum Do {
    Vote {
        response: u8,
        up: bool,
    },
    Withdraw {
        response: u8,
    },
    Signal {
        response: u8,
    },
    Pass {
        hours: u8,
    },
    /// The clock goes wrong.
    Jump {
        days: i16,
    },
    /// As many requests as there are, each with a fate of its own.
    Network {
        fates: [Wire; 4],
    },
    Restart,
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wire {
    Fine,
    RequestLost,
    AnswerLost,
    Busy,
    Outdated,
    KilledBeforeAnswer,
}

fn wire() -> impl Strategy<Value = Wire> {
    prop_oneof![
        4 => Just(Wire::Fine),
        1 => Just(Wire::RequestLost),
        2 => Just(Wire::AnswerLost),
        1 => Just(Wire::Busy),
        1 => Just(Wire::Outdated),
        1 => Just(Wire::KilledBeforeAnswer),
    ]
}

fn events() -> impl Strategy<Value = Vec<Do>> {
    let one = prop_oneof![
        4 => (0_u8..6, any::<bool>()).prop_map(|(response, up)| Do::Vote { response, up }),
        1 => (0_u8..6).prop_map(|response| Do::Withdraw { response }),
        1 => (0_u8..6).prop_map(|response| Do::Signal { response }),
        4 => (1_u8..30).prop_map(|hours| Do::Pass { hours }),
        1 => (-40_i16..400).prop_map(|days| Do::Jump { days }),
        5 => prop::array::uniform4(wire()).prop_map(|fates| Do::Network { fates }),
        1 => Just(Do::Restart),
        1 => Just(Do::Forget),
    ];
    prop::collection::vec(one, 1..25)
}

/// A device, the servers, and what an observer of everything noted.
struct World {
    program: Arc<Program>,
    disk: FragileStorage,
    engine: Engine<FragileStorage>,
    servers: Servers,
    now: u64,
    /// The draw that was handed out for each metric and window.
    handed_out: BTreeMap<(String, u64), Drawn>,
    /// What was charged, at the last look.
    charged: BTreeSet<(String, u64)>,
    /// What was charged before the device forgot it.
    forgotten: BTreeSet<(String, u64)>,
    /// Tells the device from the one it was before it forgot.
    secret: DeviceSecret,
    /// The last votes that are sure to be recorded, or sure to be withdrawn.
    votes: BTreeMap<u8, Option<Thumb>>,
}

impl World {
    fn new(crash: Option<Crash>) -> Self {
        let program = program_with("[budget]\nperiod = \"10 days\"\nwindows = 6");
        let disk = FragileStorage::default();
        let (mut engine, _) =
            Engine::open(Arc::clone(&program), disk.clone(), Options::default(), NOW).unwrap();
        engine.give_consent(NOW).unwrap();
        disk.0.borrow_mut().steps = 0;
        disk.0.borrow_mut().crash = crash;
        Self {
            program,
            disk,
            secret: engine.device.state.secret.clone(),
            engine,
            servers: Servers::new(),
            now: NOW,
            handed_out: BTreeMap::new(),
            charged: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            votes: BTreeMap::new(),
        }
    }

    /// Returns how many steps the events took.
    fn run(&mut self, events: &[Do]) -> u32 {
        for event in events {
            if self.perform(*event).is_err() {
                self.restart();
            }
            self.look();
        }
        // In the end everything works, and half a day goes by.
        let steps = self.disk.0.borrow().steps;
        self.disk.0.borrow_mut().crash = None;
        for _ in 0..2 {
            self.now = self.now.max(NOW) + DAY / 4;
            self.servers.serve(&mut self.engine, self.now);
            self.look();
        }
        steps
    }

    /// An error is a crash: only an injected one makes the engine fail here.
    fn perform(&mut self, event: Do) -> Result<(), EngineError> {
        match event {
            Do::Vote { response, up } => {
                let thumb = if up { Thumb::Up } else { Thumb::Down };
                self.votes.remove(&response);
                let event = Event::answer("helpful", Given::Thumbs(thumb)).with("segment", "new");
                let kept = self.engine.record(event.on(&response.to_string()), self.now)?;
                if kept == Recorded::Kept {
                    self.votes.insert(response, Some(thumb));
                }
            }
            Do::Withdraw { response } => {
                self.votes.remove(&response);
                self.engine.withdraw("helpful", &response.to_string(), self.now)?;
                self.votes.insert(response, None);
            }
            Do::Signal { response } => {
                let event = Event::signal("behaviour", "copied").on(&response.to_string());
                self.engine.record(event, self.now)?;
            }
            Do::Pass { hours } => self.now += u64::from(hours) * 3600,
            Do::Jump { days } => {
                let days = i64::from(days) * i64::try_from(DAY).unwrap();
                self.now = self.now.saturating_add_signed(days).max(NOW - 30 * DAY);
            }
            Do::Network { fates } => return self.network(fates),
            Do::Restart => self.restart(),
            Do::Forget => {
                self.engine.forget(self.now)?;
                self.engine.give_consent(self.now)?;
            }
        }
        Ok(())
    }

    fn network(&mut self, fates: [Wire; 4]) -> Result<(), EngineError> {
        for fate in fates {
            let Step::Send(outgoing) = self.engine.next(self.now)? else { return Ok(()) };
            self.note_handed_out();
            if self.disk.step() {
                self.restart();
                return Ok(());
            }
            self.servers.outdated = fate == Wire::Outdated;
            let arrived = match fate {
                Wire::RequestLost => Arrived::Nothing,
                Wire::Busy => Arrived::Response(sottovoce_dap::exchange::Response {
                    status: 503,
                    ..Default::default()
                }),
                _ => Arrived::Response(self.servers.answer(&outgoing.http)),
            };
            self.servers.outdated = false;
            if fate == Wire::KilledBeforeAnswer || self.disk.step() {
                self.restart();
                return Ok(());
            }
            let arrived = if fate == Wire::AnswerLost { Arrived::Nothing } else { arrived };
            self.engine.answered(outgoing.id, arrived, self.now)?;
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.disk.0.borrow_mut().crash = None;
        let now = self.now;
        let (engine, found) =
            Engine::open(Arc::clone(&self.program), self.disk.clone(), Options::default(), now)
                .unwrap();
        // Nothing is left of a device only if it forgot before it spent anything.
        assert!(found == Found::State || self.charged.is_empty() && self.forgotten.is_empty());
        self.engine = engine;
        // Killed while it forgot, it is asked again.
        self.engine.give_consent(now).unwrap();
        // What was being recorded when it was killed may be there or not.
        let pending: Vec<_> = self.kept_votes();
        self.votes.retain(|response, vote| {
            pending.iter().find(|(kept, _)| kept == response).map(|(_, given)| *given) == *vote
        });
    }

    fn note_handed_out(&mut self) {
        for entry in self.engine.device.state.outbox.entries.iter().filter(|entry| entry.in_doubt) {
            let key = (entry.metric.clone(), entry.window);
            let drawn = entry.drawn.clone().unwrap();
            let before = self.handed_out.insert(key, drawn.clone());
            assert!(before.is_none_or(|before| before == drawn), "two draws of one window");
        }
    }

    fn kept_votes(&self) -> Vec<(u8, Thumb)> {
        let state = &self.engine.device.state;
        let items = state.pending.get("helpful").map(|p| p.items().to_vec()).unwrap_or_default();
        let name = |item: &crate::pending::Item| {
            (0..6).find(|n: &u8| state.place(&n.to_string()).response == item.response).unwrap()
        };
        let thumb = |item: &crate::pending::Item| match item.given {
            Given::Thumbs(thumb) => thumb,
            ref other => panic!("{other:?}"),
        };
        items.iter().map(|item| (name(item), thumb(item))).collect()
    }

    fn look(&mut self) {
        if self.engine.device.state.secret != self.secret {
            // A new life: it must not spend again what an earlier one did, and knows nothing of what was said.
            self.secret = self.engine.device.state.secret.clone();
            self.forgotten.append(&mut self.charged);
            self.votes.clear();
        }
        let state = &self.engine.device.state;
        let mut charged = BTreeSet::new();
        let mut waiting = BTreeSet::new();
        for account in state.ledger.accounts() {
            for run in account.runs() {
                for window in run.windows() {
                    let key = (account.metric.clone(), window);
                    if run.fate.is_charged() {
                        assert!(charged.insert(key.clone()), "charged twice: {key:?}");
                    }
                    if run.fate == Fate::Waiting {
                        waiting.insert(key);
                    }
                }
            }
        }
        let entries = state.outbox.entries.iter().map(|e| (e.metric.clone(), e.window));
        let entries: Vec<_> = entries.collect();
        let in_outbox: BTreeSet<_> = entries.iter().cloned().collect();
        assert_eq!(entries.len(), in_outbox.len(), "a window is in the outbox twice");
        assert_eq!(waiting, in_outbox, "what waits is what is in the outbox");
        assert!(self.charged.is_subset(&charged), "a charge was taken back");
        assert!(charged.is_disjoint(&self.forgotten), "spent again what was forgotten");
        let ever: BTreeSet<_> = charged.union(&self.forgotten).cloned().collect();
        assert!(self.handed_out.keys().all(|key| ever.contains(key)), "sent and not charged");
        let mut periods: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for (_, window) in &ever {
            periods.entry(window / 10).or_default().insert(*window);
        }
        let most = periods.values().map(BTreeSet::len).max().unwrap_or(0);
        assert!(most <= 6, "more than the budget allows: {periods:?}");
        self.charged = charged;
        assert!(self.servers.most_per_window() <= 1, "the leader took a window twice");
        let drawn = state.drawn.get("helpful").map(Vec::as_slice).unwrap_or_default();
        let distinct: BTreeSet<_> = drawn.iter().map(|mark| mark.0).collect();
        assert_eq!(distinct.len(), drawn.len(), "a response was drawn twice");
        for (response, kept) in self.kept_votes() {
            let told = self.votes.get(&response);
            assert!(told.is_none_or(|told| *told == Some(kept)), "{response}: {told:?} {kept:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_at_any_moment_draws_nothing_twice_and_spends_nothing_twice(
        events in events(), at in 1_u32..60, stored in any::<bool>(),
    ) {
        World::new(Some(Crash { at, stored })).run(&events);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_step_can_be_the_last(events in events()) {
        for at in 1..=World::new(None).run(&events) {
            for stored in [false, true] {
                World::new(Some(Crash { at, stored })).run(&events);
            }
        }
    }
}

/// Without crashes nothing recorded is lost: the leader has a report of every window in which the
/// device was there, and the vote that was drawn is one that was kept.
#[test]
fn without_crashes_every_window_is_delivered() {
    let mut world = World::new(None);
    let day = [
        Do::Vote { response: 1, up: true },
        Do::Pass { hours: 24 },
        Do::Network { fates: [Wire::Fine; 4] },
    ];
    world.run(&[day; 10].concat());
    let task = world.program.task("helpful").unwrap().task_id;
    assert_eq!(world.servers.windows(task).len(), 6, "all of its own in a period of ten");
}

#[test]
fn a_device_with_a_damaged_state_is_silent_wherever_its_opening_is_killed() {
    let program = program_with("[budget]\nperiod = \"10 days\"\nwindows = 6");
    for (at, stored) in [(1, false), (2, false), (2, true), (3, false)] {
        let disk = FragileStorage::default();
        disk.0.borrow_mut().blob = Some(b"damaged".to_vec());
        disk.0.borrow_mut().crash = Some(Crash { at, stored });
        let open = || Engine::open(Arc::clone(&program), disk.clone(), Options::default(), NOW);
        assert_eq!(open().is_err(), at <= 2, "set aside, then stored");
        let (engine, _) = open().unwrap();
        assert!(engine.device.state.silent_until > NOW, "{at} {stored}");
    }
}
