//! What the audit found: violations, which come first, and all else at the end.

use super::{
    super::block::{Block, heading, text},
    Audited,
};
use crate::{
    finding::{Finding, Severity, count},
    verify::Outcome,
};
use sottovoce_dap::role::Role;

/// What is broken, and what could not be looked at.
pub(super) fn violations(Audited { outcome, unverified, .. }: Audited<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let violations = listed(outcome, Severity::Violation);
    if !violations.is_empty() {
        blocks.extend([heading("Violations"), Block::List(violations)]);
    }
    if !unverified.is_empty() {
        blocks.push(heading("What could not be read"));
        blocks.push(Block::List(unverified.iter().map(ToString::to_string).collect()));
    }
    blocks
}

/// Warnings and notes.
pub(super) fn others(outcome: &Outcome) -> Vec<Block> {
    let mut blocks = vec![heading("Other findings")];
    for (severity, none) in [(Severity::Warning, "No warnings."), (Severity::Note, "No notes.")] {
        let listed = listed(outcome, severity);
        blocks.push(if listed.is_empty() { text(none) } else { Block::List(listed) });
    }
    if outcome.left_out > 0 {
        let more = count(outcome.left_out, "more finding");
        let verb = if outcome.left_out == 1 { "is" } else { "are" };
        blocks.push(text(format!("{more} {verb} not listed.")));
    }
    blocks
}

fn listed(outcome: &Outcome, severity: Severity) -> Vec<String> {
    // What could not be read has a part of its own.
    let of = |finding: &&Finding| finding.severity == severity && finding.rule != "unverified";
    let found = outcome.findings.iter().filter(of);
    let (starts, others): (Vec<_>, Vec<_>) = found.partition(|finding| finding.rule == STARTED);
    let folded = [Role::Leader, Role::Helper].into_iter().filter_map(|role| folded(&starts, role));
    others.into_iter().map(ToString::to_string).chain(folded).collect()
}

/// A server that starts says so in its log; one line tells of all.
const STARTED: &str = "started";

fn folded(starts: &[&Finding], role: Role) -> Option<String> {
    let own: Vec<_> = starts.iter().filter(|finding| finding.log == Some(role)).collect();
    let last = own.last()?;
    let times = match own.len() {
        1 => "once".to_owned(),
        many => format!("{many} times"),
    };
    let entry = last.entry.map_or_else(String::new, |entry| format!(", entry {entry}"));
    Some(format!(
        "note  {STARTED} ({role}): the server started {times}; the last time{entry}: {}",
        last.message
    ))
}
