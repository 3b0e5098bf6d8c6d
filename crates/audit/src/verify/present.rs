//! The outcome of an audit, for people: what a period can have cost a device first.

use super::Outcome;
use crate::{
    finding::{Severity, count},
    rules::budget::Spent,
};
use sottovoce_privacy::units::Guarantee;
use sottovoce_program::{format_duration, format_moment};
use std::fmt::Write;

/// In lines; notes only if they are asked for.
pub fn text(outcome: &Outcome, notes: bool) -> String {
    let mut out = String::new();
    for (index, spent) in outcome.spent.iter().enumerate() {
        period(&mut out, spent, index == 0);
    }
    for read in &outcome.logs {
        let witnesses = match read.witnesses.as_slice() {
            [] => "no witness".to_owned(),
            names => names.join(", "),
        };
        let _ = writeln!(
            out,
            "{} log {}: {} ({} new, {} of {} earlier ones read again), {}; cosigned by {witnesses}",
            read.log,
            read.origin,
            if read.size == 1 { "1 entry".to_owned() } else { format!("{} entries", read.size) },
            read.new,
            read.reread,
            read.size - read.new,
            count(read.releases, "release")
        );
    }
    let shown = outcome.findings.iter().filter(|f| notes || f.severity > Severity::Note);
    shown.for_each(|finding| {
        let _ = writeln!(out, "{finding}");
    });
    if outcome.left_out > 0 {
        let _ = writeln!(out, "and {}", count(outcome.left_out, "more finding"));
    }
    let hidden = outcome.findings.iter().filter(|f| f.severity == Severity::Note).count();
    if !notes && hidden > 0 {
        let (notes, verb) = (count(hidden as u64, "note"), if hidden == 1 { "is" } else { "are" });
        let _ = writeln!(out, "{notes} {verb} hidden; show with --notes");
    }
    out.push_str(if outcome.holds {
        "No violation found."
    } else {
        "At least one promise is broken: see the violations above."
    });
    out
}

/// What a period can have cost a device; with the short names of the trust models if it is the first.
fn period(out: &mut String, spent: &Spent, first: bool) {
    let _ = writeln!(
        out,
        "{}, {} from {}: one device reported in at most {} of {}, with a privacy loss of at most",
        spent.program,
        format_duration(spent.seconds),
        format_moment(spent.start),
        spent.own,
        count(spent.windows, "released window")
    );
    for Guarantee { trust, epsilon, delta, pointwise, .. } in &spent.guarantees {
        let delta = match delta.get() {
            0.0 => String::new(),
            _ => format!(", δ = {}; pointwise ε = {}", delta.shown(2), pointwise.shown(3)),
        };
        let who = if first { trust.named() } else { trust.in_words().to_owned() };
        let _ = writeln!(out, "  {who:<45}  ε = {}{delta}", epsilon.shown(3));
    }
}
