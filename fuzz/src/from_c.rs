//! An engine behind the interface for C: any strings, bytes and handles that C code may pass.

use crate::helper::Input;
use sottovoce_c::{
    SvEngine, SvFound, SvHeldOut, SvKept, SvRequest, SvResponse, SvSave, SvStatus, SvStep,
    sv_answered, sv_assign, sv_close, sv_consent, sv_decide, sv_explain, sv_forget, sv_history,
    sv_is_held_out, sv_last_error, sv_last_error_json, sv_leanings, sv_next, sv_not_saved,
    sv_not_shown, sv_open, sv_open_blob, sv_preferred, sv_prove, sv_record, sv_request_body,
    sv_request_content_type, sv_request_free, sv_request_max_response, sv_request_method,
    sv_request_url, sv_save_aside, sv_save_blob, sv_save_free, sv_saved, sv_score, sv_set_leaning,
    sv_string_free, sv_tasks, sv_to_save, sv_triage, sv_withdraw,
};
use std::{
    ffi::{CStr, CString, c_char},
    ptr,
};

const DAY: u64 = 86_400;
const BEGIN: u64 = 20_780 * DAY;

/// First a byte that says who keeps the state. Then each step is a byte of kind, one of hours that pass, one of
/// length, and as much text; zero bytes part what a call takes.
pub fn from_c(data: &[u8]) {
    let mut input = Input(data);
    let Some(keeps) = input.byte().map(|byte| byte & 1 == 1) else { return };
    let Some(mut play) = Play::open(keeps) else { return };
    for _ in 0..256 {
        if play.step(&mut input).is_none() {
            break;
        }
    }
}

/// An engine, a request that it handed out and that was not answered, and a save that nothing is said of.
struct Play {
    engine: *mut SvEngine,
    request: *mut SvRequest,
    save: *mut SvSave,
    /// Whether the app keeps the state.
    keeps: bool,
    now: u64,
}

impl Drop for Play {
    fn drop(&mut self) {
        // SAFETY: all are ours, and given back once; null is ignored.
        unsafe {
            sv_save_free(self.save);
            sv_request_free(self.request);
            sv_close(self.engine);
        }
    }
}

/// A string, or null where `text` begins with 0xff. It is valid UTF-8 or not.
struct Text(Option<CString>);

impl Text {
    fn of(text: &[u8]) -> Self {
        Self(if text.first() == Some(&0xff) { None } else { CString::new(text).ok() })
    }

    fn as_ptr(&self) -> *const c_char {
        self.0.as_ref().map_or(ptr::null(), |text| text.as_ptr())
    }
}

/// No call may have met a panic: the library would say that it broke.
fn well(status: SvStatus) -> bool {
    if status == SvStatus::Ok {
        return true;
    }
    // SAFETY: the last error lives until the next call.
    let words = unsafe {
        let words = sv_last_error();
        assert!(!words.is_null(), "{status:?} without words");
        let json = CStr::from_ptr(sv_last_error_json()).to_bytes();
        let error: serde_json::Value = serde_json::from_slice(json).expect("an error in JSON");
        assert!(
            error["kind"].is_string()
                && error["message"].is_string()
                && error["fields"].is_object()
        );
        CStr::from_ptr(words).to_string_lossy().into_owned()
    };
    assert_ne!(status, SvStatus::Broken, "{words}");
    assert!(!words.is_empty());
    false
}

/// Reads a string that was given out, and gives it back.
fn taken(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: it was just given out.
    unsafe {
        let taken = CStr::from_ptr(text).to_str().expect("what is given out is UTF-8").to_owned();
        sv_string_free(text);
        Some(taken)
    }
}

impl Play {
    fn open(keeps: bool) -> Option<Self> {
        let program = CString::new(include_str!("c.toml")).expect("no zero byte");
        let (mut engine, mut found) = (ptr::null_mut(), SvFound::Nothing);
        // SAFETY: a string, nulls where they are allowed, and places.
        let opened = unsafe {
            let (program, path, key) = (program.as_ptr(), ptr::null(), ptr::null());
            let (place, found) = (&raw mut engine, &raw mut found);
            if keeps {
                sv_open_blob(program, ptr::null(), 0, key, false, BEGIN, place, found)
            } else {
                sv_open(program, path, key, false, BEGIN, place, found)
            }
        };
        let (request, save) = (ptr::null_mut(), ptr::null_mut());
        well(opened).then_some(Self { engine, request, save, keeps, now: BEGIN })
    }

    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        let kind = input.byte()?;
        self.now += u64::from(input.byte()?) * 3600;
        let text = input.bytes(255)?;
        let mut parts = text.split(|byte| *byte == 0).map(Text::of);
        let mut part = || parts.next().unwrap_or(Text(None));
        let (first, second) = (part(), part());
        // SAFETY: an engine, strings that live as long as the calls or null, and places.
        unsafe {
            match kind % 20 {
                0 => drop(well(sv_consent(self.engine, true, self.now))),
                1 => drop(well(sv_consent(self.engine, false, self.now))),
                2..=4 => self.record(&first, kind & 16 != 0),
                5 => self.withdraw(&first, &second),
                6 => {
                    let from = ptr::null_mut();
                    let (dimension, value) = (first.as_ptr(), second.as_ptr());
                    well(sv_assign(self.engine, dimension, value, self.now, from));
                }
                7 => self.decide(&first),
                8 => self.triage(&first),
                9 => drop(well(sv_prove(self.engine, first.as_ptr()))),
                10 => drop(well(sv_forget(self.engine, self.now))),
                11 | 12 => self.next(),
                13 => self.answered(text),
                14 => self.history(kind & 16 != 0),
                15 => self.open_another(text),
                16 => self.to_save(),
                17 => self.saved(text.is_empty()),
                18 => self.personal(&first, &second, text.len()),
                _ => self.open_blob(text),
            }
        }
        Some(())
    }

    unsafe fn record(&self, event: &Text, null: bool) {
        let mut kept = SvKept::Unknown;
        let place = if null { ptr::null_mut() } else { &raw mut kept };
        // SAFETY: as `step` says.
        if well(unsafe { sv_record(self.engine, event.as_ptr(), self.now, place) }) {
            assert!(null || !matches!(kept, SvKept::Unknown));
        }
    }

    unsafe fn withdraw(&self, metric: &Text, response: &Text) {
        let mut kept = SvKept::Done;
        // SAFETY: as `step` says.
        unsafe {
            let (metric, response) = (metric.as_ptr(), response.as_ptr());
            well(sv_withdraw(self.engine, metric, response, self.now, &raw mut kept));
        }
    }

    unsafe fn decide(&self, moment: &Text) {
        let (mut ask, mut why) = (false, ptr::null_mut());
        // SAFETY: as `step` says.
        let status = unsafe {
            sv_decide(self.engine, moment.as_ptr(), self.now, &raw mut ask, &raw mut why)
        };
        assert_eq!(well(status), taken(why).is_some());
    }

    unsafe fn triage(&self, comment: &Text) {
        let mut category = ptr::null_mut();
        // SAFETY: as `step` says.
        let status =
            unsafe { sv_triage(self.engine, comment.as_ptr(), self.now, &raw mut category) };
        let category = taken(category);
        assert!(well(status) || category.is_none());
    }

    unsafe fn next(&mut self) {
        let (mut step, mut request, mut until) = (SvStep::Idle, ptr::null_mut(), 0);
        // SAFETY: as `step` says.
        unsafe {
            let (step, until) = (&raw mut step, &raw mut until);
            if !well(sv_next(self.engine, self.now, step, &raw mut request, until)) {
                return;
            }
        }
        match step {
            SvStep::Send => self.read_request(request),
            SvStep::Wait => assert!(until > self.now, "it waits for what is over"),
            SvStep::Idle => {}
            SvStep::Save => assert!(self.keeps, "the library keeps the state"),
        }
    }

    fn read_request(&mut self, request: *mut SvRequest) {
        // SAFETY: the request was just handed out; the one before it is given back.
        unsafe {
            for text in [sv_request_method(request), sv_request_url(request)] {
                assert!(CStr::from_ptr(text).to_str().is_ok_and(|text| !text.is_empty()));
            }
            let mut len = 0;
            let body = sv_request_body(request, &raw mut len);
            let body = std::slice::from_raw_parts(body, len);
            assert_eq!(body.is_empty(), sv_request_content_type(request).is_null());
            assert!(sv_request_max_response(request) > 0);
            sv_request_free(std::mem::replace(&mut self.request, request));
        }
    }

    /// Two bytes of status, three headers that end with a zero byte each, and the body.
    unsafe fn answered(&mut self, text: &[u8]) {
        let request = std::mem::replace(&mut self.request, ptr::null_mut());
        let Some((status, rest)) = text.split_first_chunk::<2>() else {
            // SAFETY: the request is given back here; null is refused.
            well(unsafe { sv_answered(self.engine, request, ptr::null(), self.now) });
            return;
        };
        let mut parts = rest.splitn(4, |byte| *byte == 0);
        let mut header = || Text::of(parts.next().unwrap_or(b"\xff"));
        let (content_type, retry_after, cache_control) = (header(), header(), header());
        let body = parts.next().unwrap_or_default();
        let response = SvResponse {
            status: u16::from_be_bytes(*status),
            content_type: content_type.as_ptr(),
            retry_after: retry_after.as_ptr(),
            cache_control: cache_control.as_ptr(),
            body: body.as_ptr(),
            body_len: body.len(),
        };
        // SAFETY: the request is given back here, with a response that lives as long as the call.
        well(unsafe { sv_answered(self.engine, request, &raw const response, self.now) });
    }

    unsafe fn history(&self, json: bool) {
        let mut text = ptr::null_mut();
        // SAFETY: as `step` says.
        unsafe {
            assert!(well(sv_history(self.engine, json, self.now, &raw mut text)));
            let text = taken(text).expect("a history");
            assert!(!json || serde_json::from_str::<serde_json::Value>(&text).is_ok());
            let mut text = ptr::null_mut();
            assert!(well(sv_explain(self.engine, &raw mut text)));
            assert!(taken(text).is_some());
        }
    }

    /// Another engine, for a program that is the text.
    unsafe fn open_another(&self, text: &[u8]) {
        let (program, mut engine) = (Text::of(text), ptr::null_mut());
        // SAFETY: as `step` says; the engine is given back.
        unsafe {
            let (path, key, found) = (ptr::null(), ptr::null(), ptr::null_mut());
            let place = &raw mut engine;
            well(sv_open(program.as_ptr(), path, key, true, self.now, place, found));
            sv_close(engine);
        }
    }

    unsafe fn to_save(&mut self) {
        let mut save = ptr::null_mut();
        // SAFETY: as `step` says; the save before is given back.
        unsafe {
            assert!(well(sv_to_save(self.engine, &raw mut save)));
            assert!(self.keeps || save.is_null());
            let mut len = 0;
            let blob = sv_save_blob(save, &raw mut len);
            assert_eq!(blob.is_null(), len == 0);
            let _ = sv_save_aside(save);
            sv_save_free(std::mem::replace(&mut self.save, save));
        }
    }

    unsafe fn saved(&mut self, is_saved: bool) {
        let save = std::mem::replace(&mut self.save, ptr::null_mut());
        // SAFETY: as `step` says; the save is given back here, and null is refused or ignored.
        unsafe {
            if is_saved {
                well(sv_saved(self.engine, save));
            } else {
                assert!(well(sv_not_saved(self.engine, save)));
            }
        }
    }

    unsafe fn personal(&self, first: &Text, second: &Text, number: usize) {
        let (first, second) = (first.as_ptr(), second.as_ptr());
        let (mut text, mut held_out) = (ptr::null_mut(), SvHeldOut::No);
        // SAFETY: as `step` says.
        unsafe {
            well(sv_not_shown(self.engine, self.now));
            well(sv_preferred(self.engine, first, self.now));
            let value = number as f64 / 100.0 - 1.0;
            let value = if number % 7 == 0 { ptr::null() } else { &raw const value };
            well(sv_set_leaning(self.engine, first, value, self.now));
            assert!(well(sv_leanings(self.engine, self.now, &raw mut text)));
            assert!(taken(text).is_some());
            let mut text = ptr::null_mut();
            if well(sv_score(self.engine, first, second, self.now, &raw mut text)) {
                drop(taken(text));
            }
            well(sv_is_held_out(self.engine, first, &raw mut held_out));
            let mut text = ptr::null_mut();
            assert!(well(sv_tasks(self.engine, &raw mut text)));
            assert!(taken(text).is_some());
        }
    }

    /// Another device, from a state that is the text.
    unsafe fn open_blob(&self, text: &[u8]) {
        let program = CString::new(include_str!("c.toml")).expect("no zero byte");
        let mut engine = ptr::null_mut();
        // SAFETY: as `step` says; the engine is given back.
        unsafe {
            let (program, key, found) = (program.as_ptr(), ptr::null(), ptr::null_mut());
            let place = &raw mut engine;
            well(sv_open_blob(
                program,
                text.as_ptr(),
                text.len(),
                key,
                true,
                self.now,
                place,
                found,
            ));
            sv_close(engine);
        }
    }
}
