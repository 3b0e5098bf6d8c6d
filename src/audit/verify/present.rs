//! The outcome of an audit, for people.

use super::Outcome;
use crate::{audit::finding::Severity, program::format_moment};
use std::fmt::Write;

/// In lines; notes only if they are asked for.
pub fn text(outcome: &Outcome, notes: bool) -> String {
    let mut out = String::new();
    for read in &outcome.logs {
        let witnesses = match read.witnesses.as_slice() {
            [] => "no witness".to_owned(),
            names => names.join(", "),
        };
        let _ = writeln!(
            out,
            "{} {}: {} entries, {} of them new, {} releases; cosigned by {witnesses}",
            read.log, read.origin, read.size, read.new, read.releases
        );
    }
    for spent in &outcome.spent {
        let _ = write!(
            out,
            "{} in the {} days from {}: {} windows released, at most",
            spent.program,
            spent.seconds / 86_400,
            format_moment(spent.start),
            spent.windows
        );
        for guarantee in &spent.guarantees {
            let epsilon = (guarantee.epsilon.get() * 1000.0).ceil() / 1000.0;
            let _ = write!(out, " ε = {epsilon:.3} ({})", guarantee.trust);
        }
        out.push('\n');
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
        let _ = writeln!(out, "{hidden} notes are not shown; --notes shows them");
    }
    out.push_str(if outcome.holds {
        "All that can be seen from outside holds."
    } else {
        "A promise is broken: see the violations above."
    });
    out
}
