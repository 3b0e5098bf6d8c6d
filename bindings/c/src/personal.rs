//! Personalization on the device: when to ask, what the user likes. Nothing of it is sent.

use super::{
    engine::{SvEngine, with},
    status::{Failure, SvStatus},
    text::{give, give_optional, required, to_json, write},
};
use std::ffi::c_char;

/// Whether a device is held out by a dimension.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SvHeldOut {
    /// It is not.
    No = 0,
    /// It is: the app leaves it as it is.
    Yes = 1,
    /// The program has no such dimension of that kind.
    NoSuchDimension = 2,
}

/// Whether to ask the user now about one of several responses. `candidates` is a JSON list of
/// `{"response": "r17", "confidence": 0.3, "contradiction": 0.1, "novelty": 0.5, "aspect": "tone"}`,
/// where all but `response` can be left out. `decision` is JSON: `{"ask": true, "response": "r17", "why": "…"}`, to be
/// given back to `sv_string_free`. A decision to ask counts as asked; a NULL place for either is refused before
/// anything counts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_decide(
    engine: *const SvEngine,
    candidates: *const c_char,
    now: u64,
    ask: *mut bool,
    decision: *mut *mut c_char,
) -> SvStatus {
    // SAFETY: the caller passes an engine, a string and places to write to, or NULL.
    unsafe {
        with(engine, |held| {
            let candidates = required("candidates", candidates)?;
            // A decision to ask that nobody hears of would count as asked.
            if ask.is_null() || decision.is_null() {
                return Err(Failure::null(if ask.is_null() { "ask" } else { "decision" }));
            }
            let decided = held.change(|device| device.decide(candidates, now))?;
            write(ask, decided.ask);
            give("decision", decision, &to_json(&decided)?)
        })
    }
}

/// The question that `sv_decide` decided on last was not shown: it does not count.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_not_shown(engine: *const SvEngine, now: u64) -> SvStatus {
    // SAFETY: the caller passes an engine or NULL.
    unsafe { with(engine, |held| held.change(|device| device.not_shown(now))) }
}

/// Sorts a comment by the rules of a `triage` metric and records the category. `comment` is JSON:
/// `{"metric": "problem", "text": "It crashed", "response": "r17", "dimensions": {"segment": "new"},
/// "guess": {"category": "bug", "turn": "after_rules"}}`, where all but `metric` and `text` can be left out, and
/// `guess` is what a classifier of the app's own found, which counts `"before_rules"` or `"after_rules"`. The text
/// is read here and kept nowhere. `category` is to be given back to `sv_string_free`; it is NULL if no rule
/// matches. A NULL place for it is refused before anything is recorded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_triage(
    engine: *const SvEngine,
    comment: *const c_char,
    now: u64,
    category: *mut *mut c_char,
) -> SvStatus {
    // SAFETY: the caller passes an engine, a string and a place to write to, or NULL.
    unsafe {
        with(engine, |held| {
            let comment = required("comment", comment)?;
            if category.is_null() {
                return Err(Failure::null("category"));
            }
            let found = held.change(|device| device.triage(comment, now))?;
            give_optional("category", category, found.as_deref())
        })
    }
}

/// What the user leans to, in JSON, from the surest:
/// `[{"aspect": "tone", "value": 0.4, "confidence": 0.7}]`. To be given back to `sv_string_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_leanings(
    engine: *const SvEngine,
    now: u64,
    json: *mut *mut c_char,
) -> SvStatus {
    // SAFETY: the caller passes an engine and a place to write to, or NULL.
    unsafe { with(engine, |held| give("json", json, &held.device.leanings(now)?)) }
}

/// The user sets a leaning by hand, from -1 to 1; with a NULL `value` it is forgotten.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_set_leaning(
    engine: *const SvEngine,
    aspect: *const c_char,
    value: *const f64,
    now: u64,
) -> SvStatus {
    // SAFETY: the caller passes an engine, a string and a number, or NULL.
    unsafe {
        with(engine, |held| {
            let (aspect, value) = (required("aspect", aspect)?, value.as_ref().copied());
            held.change(|device| device.set_leaning(aspect, value, now))
        })
    }
}

/// The user compared two responses whose traits the app knows, in JSON:
/// `{"left": {"tone": 0.5}, "right": {"tone": -1}, "outcome": "left"}`, or `"right"`, or `"tie"`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_preferred(
    engine: *const SvEngine,
    compared: *const c_char,
    now: u64,
) -> SvStatus {
    // SAFETY: the caller passes an engine and a string, or NULL.
    unsafe {
        with(engine, |held| {
            let compared = required("compared", compared)?;
            held.change(|device| device.preferred(compared, now))
        })
    }
}

/// The score so far of a response, in JSON, for a `score` metric with weights; NULL for one without. To be given
/// back to `sv_string_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_score(
    engine: *const SvEngine,
    metric: *const c_char,
    response: *const c_char,
    now: u64,
    json: *mut *mut c_char,
) -> SvStatus {
    // SAFETY: the caller passes an engine, strings and a place to write to, or NULL.
    unsafe {
        with(engine, |held| {
            let (metric, response) = (required("metric", metric)?, required("response", response)?);
            let score = held.device.score(metric, response, now)?;
            give_optional("json", json, score.as_deref())
        })
    }
}

/// Whether this device is held out by a dimension, so that the app leaves it as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_is_held_out(
    engine: *const SvEngine,
    dimension: *const c_char,
    held_out: *mut SvHeldOut,
) -> SvStatus {
    // SAFETY: the caller passes an engine, a string and a place to write to, or NULL.
    unsafe {
        with(engine, |held| {
            let is_held_out = held.device.is_held_out(required("dimension", dimension)?);
            write(
                held_out,
                match is_held_out {
                    Some(true) => SvHeldOut::Yes,
                    Some(false) => SvHeldOut::No,
                    None => SvHeldOut::NoSuchDimension,
                },
            );
            Ok(())
        })
    }
}
