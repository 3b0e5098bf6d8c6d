//! A device's engine: whatever its storage holds, and whatever is said and answers then, in any order.

use crate::{choice, responses::response};
use sottovoce::{
    client::{
        engine::{Arrived, Engine, Options, Outgoing, Step},
        event::Event,
        storage::MemoryStorage,
    },
    program::Program,
};
use std::sync::{Arc, LazyLock};

const DAY: u64 = 86_400;
const BEGIN: u64 = 20_780 * DAY;

static PROGRAM: LazyLock<Arc<Program>> = LazyLock::new(|| {
    let text = include_str!("device.toml");
    Arc::new(Program::parse("device.toml", text).expect("the program is valid"))
});

/// The first bit says whether the rest is what the storage holds, or what happens.
pub fn device(data: &[u8]) {
    let Some((kind, rest)) = choice(data) else { return };
    if kind % 2 == 0 {
        opened(MemoryStorage::with(rest.to_vec()), BEGIN, kind & 2 != 0);
    } else {
        happens(rest);
    }
}

fn opened(storage: MemoryStorage, now: u64, adopt: bool) -> Option<Engine<MemoryStorage>> {
    let options = Options { key: None, adopt };
    Engine::open(Arc::clone(&PROGRAM), storage, options, now).ok().map(|(engine, _)| engine)
}

/// Each step is a byte of kind, one of time, one of length, and as much text.
fn happens(mut rest: &[u8]) {
    let mut engine = opened(MemoryStorage::default(), BEGIN, false).expect("nothing is stored");
    let (mut now, mut sent) = (BEGIN, None);
    while let Some(([kind, hours, len], after)) = rest.split_first_chunk::<3>() {
        let (text, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        now += u64::from(*hours) * 3600;
        step(&mut engine, &mut sent, *kind, text, now);
    }
    let stored = engine.storage().clone();
    assert!(opened(stored, now, false).is_some(), "what it stored, it opens");
}

fn step(
    engine: &mut Engine<MemoryStorage>,
    sent: &mut Option<Outgoing>,
    kind: u8,
    text: &[u8],
    now: u64,
) {
    let words = String::from_utf8_lossy(text);
    match kind % 8 {
        0 => drop(engine.give_consent(now)),
        1 => drop(engine.withdraw_consent(now)),
        2 => {
            if let Ok(event) = serde_json::from_str::<Event>(&words) {
                let _ = engine.record(event, now);
            }
        }
        3 => drop(engine.withdraw("helpful", &words, now)),
        4 => drop(engine.assign("arm", &words, now)),
        5 => drop(engine.forget(now)),
        6 => {
            if let Ok(Step::Send(outgoing)) = engine.next(now) {
                *sent = Some(outgoing);
            }
        }
        _ => {
            if let Some(outgoing) = sent.take() {
                let arrived = response(text).map_or(Arrived::Nothing, Arrived::Response);
                let _ = engine.answered(outgoing, arrived, now);
            }
        }
    }
}
