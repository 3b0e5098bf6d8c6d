//! Requests to send, and their responses.

use super::{
    engine::{SvEngine, with},
    status::{Failure, SvStatus, guarded},
    text::{bytes, optional, write},
};
use sottovoce_bindings::{Next, Request, Response};
use std::{
    ffi::{CString, c_char},
    ptr,
};

/// A request for the app to send.
pub struct SvRequest {
    request: Request,
    url: CString,
    content_type: Option<CString>,
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

/// What to do now.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SvStep {
    /// Send the request, and tell `sv_answered`.
    Send = 0,
    /// Call again at the moment that is given, whether or not something was recorded in the meantime.
    Wait = 1,
    /// Nothing, until the user agrees to take part.
    Idle = 2,
    /// Save what `sv_to_save` gives, then call again: only where the app keeps the state.
    Save = 3,
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
        with(engine, |held| {
            for (name, is_null) in [
                ("step", step.is_null()),
                ("request", request.is_null()),
                ("until", until.is_null()),
            ] {
                if is_null {
                    return Err(Failure::null(name));
                }
            }
            match held.next(now)? {
                Next::Save(_) => step.write(SvStep::Save),
                Next::Send(next) => {
                    request.write(Box::into_raw(Box::new(SvRequest::new(next)?)));
                    step.write(SvStep::Send);
                }
                Next::Wait { until: moment } => {
                    until.write(moment);
                    step.write(SvStep::Wait);
                }
                Next::Idle => step.write(SvStep::Idle),
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
    match request.request.method {
        "GET" => c"GET".as_ptr(),
        "POST" => c"POST".as_ptr(),
        _ => c"DELETE".as_ptr(),
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
    let content_type =
        unsafe { request.as_ref() }.and_then(|request| request.content_type.as_ref());
    content_type.map_or(ptr::null(), |content_type| content_type.as_ptr())
}

/// The body of a request, and its length; lives as long as the request. Of no request: null, and 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_request_body(request: *const SvRequest, len: *mut usize) -> *const u8 {
    // SAFETY: the caller passes a request and a place, or null.
    unsafe {
        let body = request.as_ref().map(|request| &request.request.body);
        write(len, body.map_or(0, Vec::len));
        body.map_or(ptr::null(), Vec::as_ptr)
    }
}

/// The longest response in bytes that makes sense; read no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sv_request_max_response(request: *const SvRequest) -> usize {
    // SAFETY: the caller passes a request or null.
    unsafe { request.as_ref() }.map_or(0, |request| request.request.max_response_len)
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
        return guarded(|| Err(Failure::null("request")));
    }
    // SAFETY: the caller gives back what `sv_next` gave out, once, with a response or NULL.
    unsafe {
        let id = Box::from_raw(request).request.id;
        with(engine, |held| {
            let response = response.as_ref().map(|response| response.read()).transpose()?;
            held.change(|device| device.answered(id, response, now))
        })
    }
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
        with(engine, |held| {
            let Some(mut stored) = held.stored() else {
                return Err(Failure::argument(
                    "the app keeps this engine's state: send what `sv_next` hands out",
                ));
            };
            let timeout = std::time::Duration::from_millis(timeout_ms);
            let courier = sottovoce_courier::Courier::new(timeout)?;
            let rounds = courier.deliver(&mut stored)?;
            write(again, rounds.again.unwrap_or(0));
            write(unanswered, u32::try_from(rounds.unanswered.len()).unwrap_or(u32::MAX));
            Ok(())
        })
    }
}

impl SvRequest {
    fn new(request: Request) -> Result<Self, Failure> {
        let text = |text: String| {
            CString::new(text).map_err(|_| Failure::argument("a zero byte in a request"))
        };
        let url = text(request.url.clone())?;
        let content_type = request.content_type.clone().map(text).transpose()?;
        Ok(Self { request, url, content_type })
    }
}

impl SvResponse {
    unsafe fn read(&self) -> Result<Response, Failure> {
        // SAFETY: the caller of `sv_answered` promises strings and a body of that length, or NULL.
        let header = |text| unsafe { optional(text) }.map(|text| text.map(str::to_owned));
        Ok(Response {
            status: self.status,
            content_type: header(self.content_type)?,
            retry_after: header(self.retry_after)?,
            cache_control: header(self.cache_control)?,
            // SAFETY: the same promise.
            body: unsafe { bytes(self.body, self.body_len)? }.to_vec(),
        })
    }
}
