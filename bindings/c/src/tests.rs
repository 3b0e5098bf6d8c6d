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

const PROGRAM: &std::ffi::CStr = c"name = \"chat\"
    leader = \"https://leader.example/\"
    helper = \"https://helper.example/\"
    collector = \"AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\"
    window = \"1 day\"
    min_batch_size = 5000
    [metrics.helpful]
    kind = \"thumbs\"
    question = \"Did it help?\"";

fn text_of(text: *mut std::ffi::c_char) -> String {
    // SAFETY: what was given out is read, and given back once.
    unsafe {
        let read = std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned();
        sv_string_free(text);
        read
    }
}

#[test]
fn where_a_damaged_state_was_put_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    std::fs::write(&path, b"damaged").unwrap();
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let (mut engine, mut found, mut place) = (ptr::null_mut(), SvFound::Nothing, ptr::null_mut());
    // SAFETY: strings and places; the engine is closed once.
    unsafe {
        let (program, path, key) = (PROGRAM.as_ptr(), path.as_ptr(), ptr::null());
        let opened = sv_open(program, path, key, false, NOW, &raw mut engine, &raw mut found);
        assert_eq!(opened, SvStatus::Ok);
        assert!(matches!(found, SvFound::SetAside));
        assert_eq!(sv_set_aside(engine, &raw mut place), SvStatus::Ok);
        sv_close(engine);
    }
    assert_eq!(std::fs::read(text_of(place)).unwrap(), b"damaged");
}

#[test]
fn an_engine_whose_state_the_app_keeps_hands_out_nothing_before_it_is_saved() {
    let (mut engine, mut step, mut request) = (ptr::null_mut(), SvStep::Idle, ptr::null_mut());
    let (mut save, mut until) = (ptr::null_mut(), 0);
    // SAFETY: strings and places; all that is given out is given back once.
    unsafe {
        let (program, key, found) = (PROGRAM.as_ptr(), ptr::null(), ptr::null_mut());
        let opened = sv_open_blob(program, ptr::null(), 0, key, false, NOW, &raw mut engine, found);
        assert_eq!(opened, SvStatus::Ok);
        assert_eq!(sv_consent(engine, true, NOW), SvStatus::Ok);
        let next = |step: *mut SvStep, request, until, now| {
            assert_eq!(sv_next(engine, now, step, request, until), SvStatus::Ok);
        };
        for _ in 0..2 {
            next(&raw mut step, &raw mut request, &raw mut until, NOW + 90_000);
            assert_eq!(step, SvStep::Save);
        }
        #[cfg(feature = "courier")]
        assert_eq!(sv_deliver(engine, 1000, ptr::null_mut(), ptr::null_mut()), SvStatus::Argument);
        while {
            assert_eq!(sv_to_save(engine, &raw mut save), SvStatus::Ok);
            !save.is_null()
        } {
            assert_eq!(sv_saved(engine, save), SvStatus::Ok);
            next(&raw mut step, &raw mut request, &raw mut until, NOW + 90_000);
        }
        assert_eq!(sv_saved(engine, ptr::null_mut()), SvStatus::Argument);
        assert!(step != SvStep::Save);
        sv_request_free(request);
        sv_close(engine);
    }
}
