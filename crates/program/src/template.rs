//! Templates of programs, for `init`.

use super::{ProgramError, ProgramKind, source::Source};

/// A commented program that compiles as it stands. What has to be replaced before it is used is
/// marked in it. A name that no program can have is refused.
pub fn template(kind: ProgramKind, name: &str) -> Result<String, ProgramError> {
    let text = match kind {
        ProgramKind::Feedback => include_str!("template/feedback.toml"),
        ProgramKind::RedTeam => include_str!("template/red-team.toml"),
    };
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if !(1..=64).contains(&name.len()) || !name.chars().all(allowed) {
        let reason = "a name has 1 to 64 characters out of a-z, 0-9, hyphen and underscore";
        return Err(Source { name: &format!("{name:?}"), text: "" }.whole(reason));
    }
    Ok(text.replacen("name = \"my-app\"", &format!("name = \"{name}\""), 1))
}

/// A program's text without its table `[budget]`, for tests.
#[cfg(any(test, feature = "test-util"))]
#[allow(clippy::unwrap_used, reason = "tests only")]
pub fn without_budget(text: &str) -> String {
    let (before, rest) = text.split_once("[budget]\n").unwrap();
    let (_, after) = rest.split_once("\n[").unwrap();
    format!("{before}[{after}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Program;

    #[test]
    fn templates_compile_keep_their_budget_and_say_what_to_replace() {
        for kind in [ProgramKind::Feedback, ProgramKind::RedTeam] {
            let text = template(kind, "support").unwrap();
            let program = Program::parse("program.toml", &text).unwrap();
            assert_eq!((program.name(), program.kind()), ("support", kind));
            program.certify_budget().unwrap();
            assert!(program.budget().unwrap().limits().central.is_some(), "the main promise");
            assert_eq!(text.matches("# REPLACE").count(), 2);
        }
    }

    #[test]
    fn a_name_that_no_program_can_have_is_refused() {
        for name in ["", "My App", "a\"\n[metrics]", &"a".repeat(65)] {
            assert!(template(ProgramKind::Feedback, name).is_err(), "{name:?}");
        }
    }
}
