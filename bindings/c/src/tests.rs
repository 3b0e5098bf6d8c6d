use super::*;
use std::ptr;

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
    let comment = c"{\"metric\": \"problem\", \"text\": \"It had a crash\"}".as_ptr();
    let triage = |category| {
        // SAFETY: an engine, a string, and a place or NULL.
        unsafe { sv_triage(engine, comment, NOW, category) }
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
    let moment = c"[{\"response\": \"r1\", \"confidence\": 0.1}]".as_ptr();
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
