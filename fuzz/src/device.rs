//! A device's engine: whatever its storage holds, and whatever is said and answers then, in any order.

use crate::{choice, responses::response};
use sha2::{Digest, Sha256};
use sottovoce_client::{
    engine::{Arrived, Engine, Options, RequestId, Step},
    event::Event,
    storage::MemoryStorage,
};
use sottovoce_dap::exchange::Response;
use sottovoce_program::Program;
use std::sync::{Arc, LazyLock};

const DAY: u64 = 86_400;
const BEGIN: u64 = 20_780 * DAY;

static PROGRAM: LazyLock<Arc<Program>> = LazyLock::new(|| {
    let text = include_str!("device.toml");
    Arc::new(Program::parse("device.toml", text).expect("the program is valid"))
});

/// The first bit says whether the rest is what the storage holds, or what happens; of the former another one
/// says whether it is a state without its head, which is put right, and a third whether it is adopted.
pub fn device(data: &[u8]) {
    let Some((kind, rest)) = choice(data) else { return };
    if kind % 2 == 1 {
        return happens(rest);
    }
    let blob = if kind & 4 == 0 { rest.to_vec() } else { with_head(rest) };
    let storage = MemoryStorage::with(blob);
    if let Some(engine) = opened(storage, BEGIN, kind & 2 != 0) {
        goes_on(engine);
    }
}

/// A blob whose version is the first byte and whose checksum is right, so that the state behind it is read.
fn with_head(rest: &[u8]) -> Vec<u8> {
    let (version, payload) = rest.split_first().unwrap_or((&0, &[]));
    let checksum = Sha256::digest(payload);
    [b"SVSTATE", &[version % 3, 0][..], &checksum[..16], payload].concat()
}

/// Whatever an engine found, it answers, sends what it has, takes more, and forgets.
fn goes_on(mut engine: Engine<MemoryStorage>) {
    let _ = (engine.history(BEGIN), engine.next_window(), engine.leanings(BEGIN));
    let event = r#"{"metric":"helpful","answer":{"thumbs":"up"},"response":"r"}"#;
    let mut now = BEGIN;
    for day in 0..5 {
        now += DAY;
        if day == 3 {
            let _ = engine.assign("arm", "candidate", now);
            let _ = engine.give_consent(now);
        }
        if day > 0 {
            let _ = engine.record(serde_json::from_str(event).expect("an event"), now);
        }
        for _ in 0..4 {
            let Ok(Step::Send(request)) = engine.next(now) else { break };
            let _ = engine.answered(request.id, answer(day), now);
        }
    }
    let stored = engine.storage().clone();
    assert!(opened(stored, now, false).is_some(), "what it stored, it opens");
    let _ = (engine.withdraw("helpful", "r", now), engine.forget(now), engine.next(now));
}

/// Keys, which devices take for an answer to anything, or no answer at all.
fn answer(day: u8) -> Arrived {
    if day % 4 == 2 {
        return Arrived::Nothing;
    }
    let keys = [&[0, 41, 1, 0, 32, 0, 1, 0, 1, 0, 32][..], &[7; 32]].concat();
    let media_type = "application/ppm-dap;message=hpke-config-list";
    Arrived::Response(Response {
        status: 200,
        content_type: Some(media_type.to_owned()),
        body: keys,
        ..Response::default()
    })
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
    sent: &mut Option<RequestId>,
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
            if let Ok(Step::Send(request)) = engine.next(now) {
                *sent = Some(request.id);
            }
        }
        _ => {
            if let Some(id) = sent.take() {
                let arrived = response(text).map_or(Arrived::Nothing, Arrived::Response);
                let _ = engine.answered(id, arrived, now);
            }
        }
    }
}
