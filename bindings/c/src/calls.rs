//! Calls that record events and consent, and calls that read what the app can show its user.

use super::{
    engine::{SvEngine, with},
    status::SvStatus,
    text::{give, required, to_json, write},
};
use sottovoce_bindings::{Recorded, Withdrawn};
use std::ffi::c_char;

/// What became of an event, or of a withdrawal.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum SvKept {
    /// The event is kept until a window of this device's own closes; or the answer is forgotten.
    Done = 0,
    /// The answer about this response was drawn already, and counts as it was then.
    Drawn = 1,
    /// There was nothing to withdraw.
    Unknown = 2,
}

/// The user agrees to take part, or changes their mind: then what was not sent is deleted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_consent(engine: *const SvEngine, given: bool, now: u64) -> SvStatus {
    // SAFETY: the caller passes an engine or NULL.
    unsafe { with(engine, |held| held.change(|device| device.consent(given, now))) }
}

/// Whether the user agreed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_has_consent(engine: *const SvEngine, given: *mut bool) -> SvStatus {
    // SAFETY: the caller passes an engine and a place to write to, or NULL.
    unsafe {
        with(engine, |held| {
            write(given, held.device.has_consent());
            Ok(())
        })
    }
}

/// Takes the proofs that come with the program, from `sottovoce-auditor prove`: that both aggregators'
/// logs have its tasks. A program that demands them of devices needs this after each `sv_open`; before
/// it, `sv_next` sends nothing and what was said waits. For such a program `sv_next` also hands out requests
/// for the proofs of the aggregators' keys; while a key is not in its log, it fails with `NotLogged`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_prove(engine: *const SvEngine, proofs: *const c_char) -> SvStatus {
    // SAFETY: the caller passes an engine and a string, or null.
    unsafe { with(engine, |held| Ok(held.device.prove(required("proofs", proofs)?)?)) }
}

/// Tells the device its value of a public dimension, such as its experiment arm. Without one, nothing is
/// reported of metrics with that dimension. A first value holds at once, a change from the next window on:
/// `from` is that moment, or 0 if it holds now; it may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_assign(
    engine: *const SvEngine,
    dimension: *const c_char,
    value: *const c_char,
    now: u64,
    from: *mut u64,
) -> SvStatus {
    // SAFETY: the caller passes an engine, strings and a place to write to, or null.
    unsafe {
        with(engine, |held| {
            let (dimension, value) = (required("dimension", dimension)?, required("value", value)?);
            let holds = held.change(|device| device.assign(dimension, value, now))?;
            write(from, holds);
            Ok(())
        })
    }
}

/// Records what a user said or did, in JSON:
/// `{"metric": "helpful", "answer": {"thumbs": "up"}, "response": "r17", "dimensions": {"segment": "new"}}`,
/// where `"signal": "copied"` or `"more": 1` may stand in place of `answer`. Of a public dimension an event
/// can only repeat what `sv_assign` said last. `kept` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_record(
    engine: *const SvEngine,
    event: *const c_char,
    now: u64,
    kept: *mut SvKept,
) -> SvStatus {
    // SAFETY: the caller passes an engine, a string and a place to write to, or null.
    unsafe {
        with(engine, |held| {
            let event = required("event", event)?;
            let recorded = match held.change(|device| device.record(event, now))? {
                Recorded::Kept => SvKept::Done,
                Recorded::Drawn => SvKept::Drawn,
            };
            write(kept, recorded);
            Ok(())
        })
    }
}

/// Takes back what was said of a response. `kept` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_withdraw(
    engine: *const SvEngine,
    metric: *const c_char,
    response: *const c_char,
    now: u64,
    kept: *mut SvKept,
) -> SvStatus {
    // SAFETY: the caller passes an engine, strings and a place to write to, or null.
    unsafe {
        with(engine, |held| {
            let (metric, response) = (required("metric", metric)?, required("response", response)?);
            let what = match held.change(|device| device.withdraw(metric, response, now))? {
                Withdrawn::Forgotten => SvKept::Done,
                Withdrawn::Drawn => SvKept::Drawn,
                Withdrawn::Unknown => SvKept::Unknown,
            };
            write(kept, what);
            Ok(())
        })
    }
}

/// What the device did, for its user: in words, or in JSON. To be given back to `sv_string_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_history(
    engine: *const SvEngine,
    json: bool,
    now: u64,
    text: *mut *mut c_char,
) -> SvStatus {
    // SAFETY: the caller passes an engine and a place to write to, or null.
    unsafe {
        with(engine, |held| {
            let device = &held.device;
            let history = if json { device.history_json(now)? } else { device.history(now)? };
            give("text", text, &history)
        })
    }
}

/// What to show to the user before they agree, and whenever they want to know. To be given back to
/// `sv_string_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_explain(engine: *const SvEngine, text: *mut *mut c_char) -> SvStatus {
    // SAFETY: the caller passes an engine and a place to write to, or null.
    unsafe { with(engine, |held| give("text", text, &held.device.explain())) }
}

/// The program's tasks, in JSON: `{"name": "task ID", …}`. To be given back to `sv_string_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_tasks(engine: *const SvEngine, json: *mut *mut c_char) -> SvStatus {
    // SAFETY: the caller passes an engine and a place to write to, or NULL.
    unsafe { with(engine, |held| give("json", json, &to_json(&held.device.tasks())?)) }
}

/// Erases all that the device remembers, but for until when it is silent if anything was ever drawn: in one
/// step, so that a crash never makes the device new.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_forget(engine: *const SvEngine, now: u64) -> SvStatus {
    // SAFETY: the caller passes an engine or null.
    unsafe { with(engine, |held| held.change(|device| device.forget(now))) }
}
