//! The device engine for C, and for what calls C.
//!
//! The rules, for every function:
//!
//! - Strings are UTF-8 and end with a zero byte. What is passed in is read during the call only.
//! - A handle that a function gives out is the caller's, to be given back once: an engine to
//!   [`sv_close`], a request to [`sv_answered`] or [`sv_request_free`], a string to
//!   [`sv_string_free`]. A null handle is refused where one is used, and ignored where it is freed.
//! - A function that fails says why by its status and in words by [`sv_last_error`], and changes
//!   nothing. Out-parameters are written only by functions that succeed.
//! - An engine may be used from any thread; calls on one engine wait for each other. A request and
//!   a string belong to one thread at a time.
//! - No panic leaves this library. An engine that panicked answers [`SvStatus::Broken`] from then
//!   on; its state is as it was stored.
//! - `now` is in seconds since 1970-01-01 UTC.

mod status;
mod text;

use sottovoce_client::{
    StateKey,
    engine::{Arrived, Engine, Found, Holds, Options, Outgoing, Recorded, Step, Withdrawn},
    event::Event,
    personal::asking::{Candidate, Decision},
    storage::{MemoryStorage, Storage},
};
use sottovoce_dap::exchange::{Method, Response};
use sottovoce_program::Program;
use status::{Failure, guarded};
pub use status::{SvStatus, sv_last_error};
use std::{
    ffi::{CString, c_char},
    ptr,
    sync::{Arc, Mutex},
};
pub use text::sv_string_free;
use text::{bytes, give, optional, required};
use zeroize::Zeroizing;

/// One device's engine for one program.
pub struct SvEngine(Mutex<Engine<Box<dyn Storage + Send>>>);

/// A request for the app to send.
pub struct SvRequest {
    outgoing: Outgoing,
    url: CString,
    media_type: Option<CString>,
}

/// What a response was, if there was one.
#[repr(C)]
pub struct SvResponse {
    /// The HTTP status.
    pub status: u16,
    /// The header `Content-Type`, or null.
    pub content_type: *const c_char,
    /// The header `Retry-After`, or null.
    pub retry_after: *const c_char,
    /// The header `Cache-Control`, or null.
    pub cache_control: *const c_char,
    /// The body; may be null if it is empty.
    pub body: *const u8,
    /// Its length in bytes.
    pub body_len: usize,
}

/// What `sv_open` found.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum SvFound {
    /// Nothing: the device is new.
    Nothing = 0,
    /// Its state.
    State = 1,
    /// The state of another program, which was adopted.
    Adopted = 2,
    /// A state that is not read; it is kept aside, and the device is silent for a while.
    SetAside = 3,
}

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

/// What to do now.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum SvStep {
    /// Send the request, and tell `sv_answered`.
    Send = 0,
    /// Ask again at the moment that is given, whether or not something was recorded in the meantime.
    Wait = 1,
    /// Nothing, until the user agrees to take part.
    Idle = 2,
}

/// Opens the state of a device, or begins one.
///
/// `program` is the text of the program file. `state_path` names the state's file; without one the
/// state ends with the process. `key` are 32 bytes that the state is sealed with, or null. With
/// `adopt`, the state of another program goes on with this one. `found` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_open(
    program: *const c_char,
    state_path: *const c_char,
    key: *const u8,
    adopt: bool,
    now: u64,
    engine: *mut *mut SvEngine,
    found: *mut SvFound,
) -> SvStatus {
    guarded(|| {
        // SAFETY: the caller passes strings, 32 bytes and places to write to, or null.
        let (program, path) = unsafe { (required(program)?, optional(state_path)?) };
        if engine.is_null() {
            return Err(Failure::argument("there is no place for the engine"));
        }
        let key = (!key.is_null()).then(|| {
            // SAFETY: the caller promises 32 bytes.
            let bytes = Zeroizing::new(unsafe { *key.cast::<[u8; 32]>() });
            StateKey::new(*bytes)
        });
        let program =
            Program::parse("program", program).map_err(|error| Failure::program(&error))?;
        let storage: Box<dyn Storage + Send> = match path {
            Some(path) => open_file(path)?,
            None => Box::new(MemoryStorage::default()),
        };
        let options = Options { key, adopt };
        let (opened, what) = Engine::open(Arc::new(program), storage, options, now)?;
        // SAFETY: `engine` was checked, and `found` is a place or null.
        unsafe {
            engine.write(Box::into_raw(Box::new(SvEngine(Mutex::new(opened)))));
            write(found, found_of(&what));
        }
        Ok(())
    })
}

/// Closes an engine. Its state is stored already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_close(engine: *mut SvEngine) {
    if !engine.is_null() {
        let _ = guarded(|| {
            // SAFETY: the caller gives back what `sv_open` gave out, once.
            drop(unsafe { Box::from_raw(engine) });
            Ok(())
        });
    }
}

/// The user agrees to take part, or changes their mind: then what was not sent is deleted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_consent(engine: *const SvEngine, given: bool, now: u64) -> SvStatus {
    // SAFETY: the caller passes an engine or null.
    unsafe {
        with(engine, |engine| {
            if given {
                engine.give_consent(now)?;
            } else {
                engine.withdraw_consent(now)?;
            }
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
    unsafe { with(engine, |engine| Ok(engine.prove(required(proofs)?)?)) }
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
        with(engine, |engine| {
            let holds = engine.assign(required(dimension)?, required(value)?, now)?;
            write(from, if let Holds::From(moment) = holds { moment } else { 0 });
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
        with(engine, |engine| {
            let event: Event =
                serde_json::from_str(required(event)?).map_err(|error| Failure::event(&error))?;
            let recorded = match engine.record(event, now)? {
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
        with(engine, |engine| {
            let withdrawn = engine.withdraw(required(metric)?, required(response)?, now)?;
            let what = match withdrawn {
                Withdrawn::Forgotten => SvKept::Done,
                Withdrawn::Drawn => SvKept::Drawn,
                Withdrawn::Unknown => SvKept::Unknown,
            };
            write(kept, what);
            Ok(())
        })
    }
}

/// What to do now: `step` says it, `request` is what to send, `until` the moment to wait for. Only this closes
/// a window; call it when it said, and not because something was recorded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_next(
    engine: *const SvEngine,
    now: u64,
    step: *mut SvStep,
    request: *mut *mut SvRequest,
    until: *mut u64,
) -> SvStatus {
    // SAFETY: the caller passes an engine and places to write to, or null.
    unsafe {
        with(engine, |engine| {
            if step.is_null() || request.is_null() || until.is_null() {
                return Err(Failure::argument("`step`, `request` and `until` must be places"));
            }
            match engine.next(now)? {
                Step::Send(outgoing) => {
                    request.write(Box::into_raw(Box::new(SvRequest::new(outgoing)?)));
                    step.write(SvStep::Send);
                }
                Step::Wait { until: moment } => {
                    until.write(moment);
                    step.write(SvStep::Wait);
                }
                Step::Idle => step.write(SvStep::Idle),
            }
            Ok(())
        })
    }
}

/// The method of a request: `GET` or `POST`. Lives as long as the library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_request_method(request: *const SvRequest) -> *const c_char {
    // SAFETY: the caller passes a request or null.
    let Some(request) = (unsafe { request.as_ref() }) else { return ptr::null() };
    match request.outgoing.request().method {
        Method::Get => c"GET".as_ptr(),
        Method::Post => c"POST".as_ptr(),
        Method::Delete => c"DELETE".as_ptr(),
    }
}

/// The URL of a request; lives as long as the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_request_url(request: *const SvRequest) -> *const c_char {
    // SAFETY: the caller passes a request or null.
    unsafe { request.as_ref() }.map_or(ptr::null(), |request| request.url.as_ptr())
}

/// The `Content-Type` of a request, or null if it has no body; lives as long as the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_request_content_type(request: *const SvRequest) -> *const c_char {
    // SAFETY: the caller passes a request or null.
    let media_type = unsafe { request.as_ref() }.and_then(|request| request.media_type.as_ref());
    media_type.map_or(ptr::null(), |media_type| media_type.as_ptr())
}

/// The body of a request, and its length; lives as long as the request. Of no request: null, and 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_request_body(request: *const SvRequest, len: *mut usize) -> *const u8 {
    // SAFETY: the caller passes a request and a place, or null.
    unsafe {
        let body = request.as_ref().map(|request| &request.outgoing.request().body);
        write(len, body.map_or(0, Vec::len));
        body.map_or(ptr::null(), Vec::as_ptr)
    }
}

/// The longest response in bytes that makes sense; read no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_request_max_response(request: *const SvRequest) -> usize {
    // SAFETY: the caller passes a request or null.
    unsafe { request.as_ref() }.map_or(0, |request| request.outgoing.max_response_len())
}

/// Gives back a request that was not sent. The engine will hand it out again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_request_free(request: *mut SvRequest) {
    if !request.is_null() {
        // SAFETY: the caller gives back what `sv_next` gave out, once.
        drop(unsafe { Box::from_raw(request) });
    }
}

/// Tells what came of a request, and gives it back, whatever is returned. `response` is null if none
/// came: then it is not known whether the request arrived.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_answered(
    engine: *const SvEngine,
    request: *mut SvRequest,
    response: *const SvResponse,
    now: u64,
) -> SvStatus {
    if request.is_null() {
        return guarded(|| Err(Failure::argument("there is no request")));
    }
    // SAFETY: the caller gives back what `sv_next` gave out, once, with a response or null.
    unsafe {
        let request = Box::from_raw(request);
        with(engine, |engine| {
            let arrived = match response.as_ref() {
                Some(response) => Arrived::Response(response.read()?),
                None => Arrived::Nothing,
            };
            Ok(engine.answered(request.outgoing, arrived, now)?)
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
        with(engine, |engine| {
            let history = engine.history(now)?;
            give(text, &if json { to_json(&history)? } else { history.to_string() })
        })
    }
}

/// What to show to the user before they agree, and whenever they want to know. To be given back to
/// `sv_string_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_explain(engine: *const SvEngine, text: *mut *mut c_char) -> SvStatus {
    // SAFETY: the caller passes an engine and a place to write to, or null.
    unsafe { with(engine, |engine| give(text, &engine.explain())) }
}

/// Whether to ask the user now about a response, and why, in words. `moment` is JSON:
/// `{"response": "r17", "confidence": 0.3, "contradiction": 0.1, "novelty": 0.5, "aspect": "tone"}`,
/// where all but `response` can be left out. A decision to ask counts as asked. `why` is to be given
/// back to `sv_string_free`. A null place for either is refused before anything counts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_decide(
    engine: *const SvEngine,
    moment: *const c_char,
    now: u64,
    ask: *mut bool,
    why: *mut *mut c_char,
) -> SvStatus {
    // SAFETY: the caller passes an engine, a string and places to write to, or null.
    unsafe {
        with(engine, |engine| {
            let candidate: Candidate =
                serde_json::from_str(required(moment)?).map_err(|error| Failure::event(&error))?;
            // A decision to ask that nobody hears of would count as asked.
            if ask.is_null() || why.is_null() {
                return Err(Failure::argument("there is no place for the decision, or its reason"));
            }
            let decision = engine.decide(&candidate.into(), now)?;
            write(ask, matches!(decision, Decision::Ask(_)));
            give(why, &decision.to_string())
        })
    }
}

/// Sorts a comment by the rules of a `triage` metric and records the category, about a response or
/// none. The comment is read here and kept nowhere. `category` is to be given back to
/// `sv_string_free`; it is null if no rule matches. A null place for it is refused before anything is
/// recorded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_triage(
    engine: *const SvEngine,
    metric: *const c_char,
    comment: *const c_char,
    response: *const c_char,
    now: u64,
    category: *mut *mut c_char,
) -> SvStatus {
    // SAFETY: the caller passes an engine, strings and a place to write to, or null.
    unsafe {
        with(engine, |engine| {
            let (metric, comment) = (required(metric)?, required(comment)?);
            let response = optional(response)?;
            if category.is_null() {
                return Err(Failure::argument("there is no place for the category"));
            }
            let about = |event: Event| match response {
                Some(response) => event.on(response),
                None => event,
            };
            let sorted = engine.triage(metric, comment, None, about, now)?;
            if let Some(sorted) = sorted {
                return give(category, &sorted.category);
            }
            write(category, ptr::null_mut());
            Ok(())
        })
    }
}

/// Erases all that the device remembers, but for until when it is silent if anything was ever drawn: in one
/// step, so that a crash never makes the device new.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_forget(engine: *const SvEngine, now: u64) -> SvStatus {
    // SAFETY: the caller passes an engine or null.
    unsafe { with(engine, |engine| Ok(engine.forget(now)?)) }
}

/// Sends what is due by the system's clock, and waits for the answers: up to `timeout_ms` for each
/// request. `again` is when to come again, or 0; `unanswered` how many requests had no answer. Both
/// may be null.
#[cfg(feature = "courier")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_deliver(
    engine: *const SvEngine,
    timeout_ms: u64,
    again: *mut u64,
    unanswered: *mut u32,
) -> SvStatus {
    // SAFETY: the caller passes an engine and places to write to, or null.
    unsafe {
        with(engine, |engine| {
            let timeout = std::time::Duration::from_millis(timeout_ms);
            let courier = sottovoce_courier::Courier::new(timeout)?;
            let rounds = courier.deliver(engine)?;
            write(again, rounds.again.unwrap_or(0));
            write(unanswered, u32::try_from(rounds.unanswered.len()).unwrap_or(u32::MAX));
            Ok(())
        })
    }
}

impl SvRequest {
    fn new(outgoing: Outgoing) -> Result<Self, Failure> {
        let request = outgoing.request();
        let text = |text: String| {
            CString::new(text).map_err(|_| Failure::argument("a zero byte in a request"))
        };
        let url = text(request.url.clone())?;
        let media_type = request.media_type.map(|media_type| text(media_type.to_string()));
        Ok(Self { media_type: media_type.transpose()?, url, outgoing })
    }
}

impl SvResponse {
    unsafe fn read(&self) -> Result<Response, Failure> {
        // SAFETY: the caller of `sv_answered` promises strings and a body of that length, or null.
        let header = |text| unsafe { optional(text) }.map(|text| text.map(str::to_owned));
        Ok(Response {
            status: self.status,
            content_type: header(self.content_type)?,
            retry_after: header(self.retry_after)?,
            cache_control: header(self.cache_control)?,
            // SAFETY: the same promise.
            body: unsafe { bytes(self.body, self.body_len)? }.to_vec(),
            ..Response::default()
        })
    }
}

#[cfg(not(target_family = "wasm"))]
fn open_file(path: &str) -> Result<Box<dyn Storage + Send>, Failure> {
    Ok(Box::new(sottovoce_client::storage::FileStorage::open(path)?))
}

#[cfg(target_family = "wasm")]
fn open_file(_: &str) -> Result<Box<dyn Storage + Send>, Failure> {
    Err(Failure::argument("there are no files here; pass no path"))
}

fn found_of(found: &Found) -> SvFound {
    match found {
        Found::Nothing => SvFound::Nothing,
        Found::State => SvFound::State,
        Found::Adopted => SvFound::Adopted,
        Found::SetAside { .. } => SvFound::SetAside,
    }
}

fn to_json(what: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(what).map_err(|_| Failure::argument("it cannot be written in JSON"))
}

/// Does something with an engine, one call at a time.
unsafe fn with(
    engine: *const SvEngine,
    work: impl FnOnce(&mut Engine<Box<dyn Storage + Send>>) -> Result<(), Failure>,
) -> SvStatus {
    guarded(|| {
        // SAFETY: the caller passes what `sv_open` gave out and `sv_close` did not take, or null.
        let engine = unsafe { engine.as_ref() }.ok_or(Failure::argument("there is no engine"))?;
        let mut engine = engine.0.lock().map_err(|_| Failure::broken())?;
        work(&mut engine)
    })
}

/// Writes to a place that may be null.
unsafe fn write<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: the caller passes a place to write to.
        unsafe { place.write(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_392_000;

    /// An engine that may record, for a program that sorts comments.
    fn engine() -> *mut SvEngine {
        let program = c"name = \"chat\"
            leader = \"https://leader.example/\"
            helper = \"https://helper.example/\"
            collector = \"AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\"
            window = \"1 day\"
            min_batch_size = 10
            [privacy]
            epsilon0 = 18.0
            epsilon = 18.0
            [metrics.problem]
            kind = \"triage\"
            question = \"What went wrong?\"
            categories = [\"bug\", \"idea\"]
            rules = [{ category = \"bug\", words = [\"crash\"] }]";
        let mut engine = ptr::null_mut();
        // SAFETY: a program's text, and a place for the engine.
        let opened = unsafe {
            let found = ptr::null_mut();
            sv_open(program.as_ptr(), ptr::null(), ptr::null(), false, NOW, &raw mut engine, found)
        };
        assert_eq!(opened, SvStatus::Ok);
        // SAFETY: the engine that was just opened.
        assert_eq!(unsafe { sv_consent(engine, true, NOW) }, SvStatus::Ok);
        engine
    }

    /// How many answers are kept.
    fn kept(engine: *const SvEngine) -> u64 {
        let mut text = ptr::null_mut();
        // SAFETY: an engine, and a place for the text, which is read and given back.
        let history = unsafe {
            assert_eq!(sv_history(engine, true, NOW, &raw mut text), SvStatus::Ok);
            let history = std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned();
            sv_string_free(text);
            history
        };
        let history: serde_json::Value = serde_json::from_str(&history).unwrap_or_default();
        history["kept"].as_u64().unwrap_or(u64::MAX)
    }

    #[test]
    fn a_comment_without_a_place_for_its_category_changes_nothing() {
        let engine = engine();
        let (metric, comment) = (c"problem".as_ptr(), c"It had a crash".as_ptr());
        let triage = |category| {
            // SAFETY: an engine, strings, and a place or null.
            unsafe { sv_triage(engine, metric, comment, ptr::null(), NOW, category) }
        };
        assert_eq!(triage(ptr::null_mut()), SvStatus::Argument);
        assert_eq!(kept(engine), 0);
        let mut category = ptr::null_mut();
        assert_eq!(triage(&raw mut category), SvStatus::Ok);
        assert_eq!(kept(engine), 1);
        // SAFETY: what was given out is given back, once.
        unsafe {
            sv_string_free(category);
            sv_close(engine);
        }
    }

    #[test]
    fn a_decision_that_nobody_hears_of_does_not_count_as_asked() {
        let engine = engine();
        let moment = c"{\"response\": \"r1\", \"confidence\": 0.1}".as_ptr();
        let (mut ask, mut why) = (false, ptr::null_mut());
        // SAFETY: an engine, a string, and places or null; what was given out is given back, once.
        unsafe {
            let nowhere = sv_decide(engine, moment, NOW, ptr::null_mut(), &raw mut why);
            assert_eq!(nowhere, SvStatus::Argument);
            let unsaid = sv_decide(engine, moment, NOW, &raw mut ask, ptr::null_mut());
            assert_eq!(unsaid, SvStatus::Argument);
            assert!(why.is_null() && !ask);
            let decided = sv_decide(engine, moment, NOW, &raw mut ask, &raw mut why);
            assert_eq!((decided, ask), (SvStatus::Ok, true));
            sv_string_free(why);
            sv_close(engine);
        }
    }

    #[test]
    fn the_body_of_no_request_has_no_length() {
        let mut len = 7;
        // SAFETY: no request, and a place or null.
        unsafe {
            assert!(sv_request_body(ptr::null(), &raw mut len).is_null());
            assert!(sv_request_body(ptr::null(), ptr::null_mut()).is_null());
        }
        assert_eq!(len, 0);
    }
}
