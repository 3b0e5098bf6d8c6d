//! The device for C, and for what calls C.
//!
//! The rules, for every function:
//!
//! - Strings are UTF-8 and end with a zero byte. What is passed in is read during the call only.
//! - A handle that a function gives out is the caller's, to be given back once: an engine to
//!   [`sv_close`], a request to [`sv_answered`] or [`sv_request_free`], a save to [`sv_saved`],
//!   [`sv_not_saved`] or [`sv_save_free`], a string to [`sv_string_free`]. NULL is refused where a handle is
//!   used, and ignored where it is freed.
//! - A function that fails says why by its status, in words by [`sv_last_error`] and in fields by
//!   [`sv_last_error_json`], and changes nothing. Out-parameters are written only by functions that succeed.
//! - An engine may be used from any thread; calls on one engine wait for each other. A request, a save and
//!   a string belong to one thread at a time.
//! - No panic leaves this library. An engine that panicked answers [`SvStatus::Broken`] from then
//!   on; its state is as it was stored.
//! - `now` is in seconds since 1970-01-01 UTC.
//!
//! Who keeps the state: after [`sv_open`] the library does, in a file, and each call has stored what it changed
//! when it returns. After [`sv_open_blob`] the app does, wherever it likes: each change is in what [`sv_to_save`]
//! gives, and no request is handed out before [`sv_saved`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod calls;
mod delivery;
mod engine;
mod personal;
mod saves;
mod status;
mod text;

pub use calls::{
    SvKept, sv_assign, sv_consent, sv_explain, sv_forget, sv_has_consent, sv_history, sv_prove,
    sv_record, sv_tasks, sv_withdraw,
};
#[cfg(feature = "courier")]
pub use delivery::sv_deliver;
pub use delivery::{
    SvRequest, SvResponse, SvStep, sv_answered, sv_next, sv_request_body, sv_request_content_type,
    sv_request_free, sv_request_max_response, sv_request_method, sv_request_url,
};
pub use engine::{SvEngine, SvFound, sv_close, sv_open, sv_open_blob, sv_set_aside};
pub use personal::{
    SvHeldOut, sv_decide, sv_is_held_out, sv_leanings, sv_not_shown, sv_preferred, sv_score,
    sv_set_leaning, sv_triage,
};
pub use saves::{
    SvAside, SvSave, sv_not_saved, sv_save_aside, sv_save_blob, sv_save_free, sv_saved, sv_to_save,
};
pub use status::{SvStatus, sv_last_error, sv_last_error_json};
pub use text::sv_string_free;

#[cfg(test)]
mod tests;
