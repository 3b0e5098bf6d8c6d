//! The verdict, and of what.

use super::{
    super::{
        block::{Block, Mood, head, heading, text},
        dates::{date, moment},
    },
    Audited,
};
use crate::finding::{Severity, count};

/// The title, and whether all holds.
pub(super) fn verdict(audited: Audited<'_>) -> Vec<Block> {
    let name = audited.program.name();
    let (mood, words) = words(audited);
    vec![Block::Title(format!("Audit of {name}")), Block::Verdict(mood, words)]
}

fn words(Audited { outcome, unverified, .. }: Audited<'_>) -> (Mood, String) {
    let violations =
        outcome.findings.iter().filter(|finding| finding.severity == Severity::Violation).count();
    if !outcome.holds {
        let words = match violations {
            1 => "A promise is broken: there is 1 violation, listed below.".to_owned(),
            many => format!("Promises are broken: there are {many} violations, listed below."),
        };
        return (Mood::Bad, words);
    }
    if !unverified.is_empty() {
        let read = count(outcome.logs.len() as u64, "log");
        let words = format!(
            "This audit is incomplete: {} could not be verified, for the reasons below. In what could be read ({read}), no \
             violation was found; that is not a verdict on the whole.",
            count(unverified.len() as u64, "log")
        );
        return (Mood::Open, words);
    }
    let words = if outcome.logs.len() < 2 {
        "No violation was found in one log: it is complete and append-only, no batch was too small, no report was \
         released twice, and the guarantees are those that the program's parameters give. The other aggregator's log \
         was not read, so this verdict holds only if this aggregator is honest."
    } else {
        "No violation was found: both logs are complete and append-only, they agree on every release, no batch was \
         too small, no report was released twice, and the guarantees are those that the program's parameters give."
    };
    (Mood::Good, words.to_owned())
}

/// When, by which tool, of which program and of which state of the logs.
pub(super) fn what_was_audited(audited: Audited<'_>) -> Vec<Block> {
    let made = audited.made;
    let who = made.auditor.clone().unwrap_or_else(|| "to be filled in under \"Signed\"".to_owned());
    let rows = [
        ("date of this audit", moment(made.at)),
        ("audited by", who),
        ("tool", concat!("sottovoce-auditor ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("program", format!("{}, file {}", audited.program.name(), made.file)),
        ("SHA-256 of the program's file", made.digest.clone()),
        ("period that is covered", covered(audited)),
    ];
    let rows = rows.map(|(what, value)| vec![what.to_owned(), value]).to_vec();
    let mut blocks = vec![heading("What was audited"), Block::Table(head(["", ""]), rows)];
    if audited.outcome.logs.is_empty() {
        blocks.push(text("No log could be read as far as its checkpoint."));
        return blocks;
    }
    blocks.push(text(
        "The state of each log that was read, which anybody can compare with a copy of it: its number of entries and the \
         root hash that its checkpoint signs.",
    ));
    let logs = audited.outcome.logs.iter().map(|read| {
        let witnesses =
            if read.witnesses.is_empty() { "nobody".to_owned() } else { read.witnesses.join(", ") };
        vec![
            read.log.to_string(),
            read.origin.clone(),
            read.size.to_string(),
            read.releases.to_string(),
            read.root.clone(),
            witnesses,
        ]
    });
    let columns = head(["log", "name", "entries", "releases", "root hash", "cosigned by"]);
    blocks.push(Block::Table(columns, logs.collect()));
    blocks
}

/// From the first release to the last, and the periods of the budget that they are in.
fn covered(Audited { program, outcome, .. }: Audited<'_>) -> String {
    let Some(released) = outcome.released.get(program.name()) else {
        return "nothing of this program was released yet".to_owned();
    };
    format!(
        "{} from {} to {}",
        count(released.count, "release"),
        date(released.first),
        date(released.last)
    )
}
