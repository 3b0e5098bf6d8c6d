//! What people and apps write: programs, events, saved releases, and what the wire has as text.

use crate::choice;
use sottovoce_client::event::Event;
use sottovoce_collector::document::ReleaseDocument;
use sottovoce_dap::{ids::TaskId, media_type::MediaType, printable, problem::ProblemDocument};
use sottovoce_program::Program;

/// One text of the kind that the first byte names.
pub fn texts(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match kind % 7 {
        0 => {
            let _ = Program::parse("program.toml", text);
        }
        1 => event(text),
        2 => problem(text),
        3 => {
            let _ = MediaType::UploadReq.check(text);
        }
        4 => identifier(text),
        5 => shown(text),
        _ => {
            let _ = ReleaseDocument::read(text);
        }
    }
}

fn event(text: &str) {
    if let Ok(event) = serde_json::from_str::<Event>(text) {
        let written = serde_json::to_string(&event).expect("an event is JSON");
        assert_eq!(serde_json::from_str::<Event>(&written).ok(), Some(event));
    }
}

fn problem(text: &str) {
    if let Ok(problem) = serde_json::from_str::<ProblemDocument>(text) {
        let written = serde_json::to_string(&problem).expect("a problem is JSON");
        assert_eq!(serde_json::from_str::<ProblemDocument>(&written).ok(), Some(problem.clone()));
        assert!(!problem.to_string().contains('\n'), "one line: {problem}");
    }
}

fn identifier(text: &str) {
    if let Ok(id) = text.parse::<TaskId>() {
        assert_eq!(id.to_string(), text, "an ID has one spelling");
    }
}

fn shown(text: &str) {
    assert!(!printable::one_line(text).contains(['\n', '\r', '\u{1b}']));
    assert!(!printable::lines(text).contains(['\r', '\u{1b}']));
}
