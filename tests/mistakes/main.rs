//! What operators and collectors get wrong, mistake by mistake: what they are told, and the exit code.
//!
//! A [`Stage`] is an installation without mistakes. Each [`Mistake`] of the tables puts one into a copy of it and runs a
//! command, whose message has to name the cause and the cure. No message shows a secret.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

mod stage;

mod commands;
mod configurations;
mod files;

use stage::{Edit, Mistake, Stage};

/// `serve --check-config` of the leader.
const CHECK: &[&str] = &["leader", "serve", "leader.toml", "--check-config"];

/// A mistake that `--check-config` finds.
const fn found(
    name: &'static str,
    edits: &'static [Edit],
    says: &'static [&'static str],
) -> Mistake {
    Mistake { name, edits, variables: &[], command: CHECK, code: 1, says }
}

/// Runs each mistake in an installation of its own.
#[track_caller]
fn expect_all(stage: &Stage, mistakes: &[Mistake]) {
    let wrong: Vec<_> = mistakes.iter().filter_map(|mistake| stage.wrong(mistake)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), mistakes.len(), wrong.join("\n"));
}

#[test]
fn without_a_mistake_nothing_is_said() {
    let stage = Stage::new();
    for edits in [&[][..], &[stage::TLS], &[stage::TLS, stage::IDENTITY]] {
        let (code, said) = stage.run(edits, &[], CHECK);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.ends_with("leader.toml is valid\n"), "{said}");
    }
}

#[test]
fn there_are_enough_mistakes_and_each_has_a_name_of_its_own() {
    let tables = [
        configurations::VALUES,
        configurations::ADDRESSES,
        files::SECRETS,
        files::CERTIFICATES,
        files::PROGRAMS,
        commands::DATABASES,
        commands::LINES,
        commands::COLLECTING,
    ];
    let mut names: Vec<_> = tables.iter().flat_map(|table| table.iter().map(|m| m.name)).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(count >= 40 && names.len() == count, "{count} mistakes, {} names", names.len());
}
