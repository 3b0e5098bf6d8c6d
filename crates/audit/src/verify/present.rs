//! The outcome of an audit, for people: what a period can have cost a device first.

use super::Outcome;
use crate::{finding::Severity, rules::budget::Spent};
use sottovoce_privacy::units::Guarantee;
use sottovoce_program::{format_duration, format_moment};
use std::fmt::Write;

/// In lines; notes only if they are asked for.
pub fn text(outcome: &Outcome, notes: bool) -> String {
    let mut out = String::new();
    outcome.spent.iter().for_each(|spent| period(&mut out, spent));
    for read in &outcome.logs {
        let witnesses = match read.witnesses.as_slice() {
            [] => "no witness".to_owned(),
            names => names.join(", "),
        };
        let _ = writeln!(
            out,
            "{} log {}: {} entries ({} new, {} of {} earlier ones read again), {} releases; cosigned by {witnesses}",
            read.log,
            read.origin,
            read.size,
            read.new,
            read.reread,
            read.size - read.new,
            read.releases
        );
    }
    let shown = outcome.findings.iter().filter(|f| notes || f.severity > Severity::Note);
    shown.for_each(|finding| {
        let _ = writeln!(out, "{finding}");
    });
    if outcome.left_out > 0 {
        let _ = writeln!(out, "and {} more findings", outcome.left_out);
    }
    let hidden = outcome.findings.iter().filter(|f| f.severity == Severity::Note).count();
    if !notes && hidden > 0 {
        let _ = writeln!(out, "{hidden} notes are hidden; show them with --notes");
    }
    out.push_str(if outcome.holds {
        "No violation found."
    } else {
        "At least one promise is broken: see the violations above."
    });
    out
}

/// What a period can have cost a device.
fn period(out: &mut String, spent: &Spent) {
    let _ = writeln!(
        out,
        "{}, {} from {}: one device reported in at most {} of {} released windows, with a privacy loss of at most",
        spent.program,
        format_duration(spent.seconds),
        format_moment(spent.start),
        spent.own,
        spent.windows
    );
    for Guarantee { trust, epsilon, delta, pointwise, .. } in &spent.guarantees {
        let delta = match delta.get() {
            0.0 => String::new(),
            _ => format!(", δ = {}; pointwise ε = {}", delta.shown(2), pointwise.shown(3)),
        };
        let _ = writeln!(out, "  {:<45}  ε = {}{delta}", trust.named(), epsilon.shown(3));
    }
}
