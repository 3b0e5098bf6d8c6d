//! What a witness has cosigned and refused: counted for its metrics, and said in its log, by reason.

use sottovoce_log::{contradiction::Contradiction, witness::Refusal};
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Why a request got no cosignature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The log was forked, which is proved.
    Fork,
    /// The log was rolled back, or an old checkpoint of it was sent again.
    Rollback,
    /// The proof does not hold.
    BadProof,
    /// A root of no entries that is none.
    EmptyRoot,
    /// None of the log's keys has signed.
    Signature,
    /// The log did not know which checkpoint was cosigned last, and is told.
    OldSize,
    /// The witness's clock is not set.
    Clock,
    /// The witness could not write its records.
    NotKept,
    /// A log that is not witnessed here.
    UnknownLog,
    /// Bytes that are no request, or too many.
    Form,
    /// A request that took too long to arrive.
    Timeout,
    /// One address has asked too often.
    RateLimit,
}

/// Those that are counted for each log: its name is known, and it has signed or should have.
const OF_A_LOG: [Reason; 8] = [
    Reason::Fork,
    Reason::Rollback,
    Reason::BadProof,
    Reason::EmptyRoot,
    Reason::Signature,
    Reason::OldSize,
    Reason::Clock,
    Reason::NotKept,
];
/// Those of requests that are of no log that is witnessed.
const OF_NONE: [Reason; 4] = [Reason::UnknownLog, Reason::Form, Reason::Timeout, Reason::RateLimit];

impl Reason {
    /// Of a refusal, and what was found to contradict what had been cosigned.
    pub fn of(refusal: &Refusal, found: Option<Contradiction>) -> Self {
        match (found, refusal) {
            (Some(found), _) if found.is_proof() => Self::Fork,
            (Some(Contradiction::Shorter), _) => Self::Rollback,
            (_, Refusal::Inconsistent(_)) => Self::BadProof,
            (_, Refusal::Forked(_)) => Self::Fork,
            (_, Refusal::Root) => Self::EmptyRoot,
            (_, Refusal::Signature(_)) => Self::Signature,
            (_, Refusal::Conflict { .. }) => Self::OldSize,
            (_, Refusal::Clock) => Self::Clock,
            (_, Refusal::UnknownLog(_)) => Self::UnknownLog,
            _ => Self::Form,
        }
    }

    /// Its name in metrics, which does not change.
    pub fn token(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Rollback => "rollback",
            Self::BadProof => "bad_proof",
            Self::EmptyRoot => "empty_root",
            Self::Signature => "signature",
            Self::OldSize => "old_size",
            Self::Clock => "clock",
            Self::NotKept => "not_kept",
            Self::UnknownLog => "unknown_log",
            Self::Form => "form",
            Self::Timeout => "timeout",
            Self::RateLimit => "rate_limit",
        }
    }

    /// Whether it is more than a log that asks what was cosigned last, as each does after its start.
    fn is_worth_a_line(self) -> bool {
        self != Self::OldSize
    }
}

/// Counts of one witness, all from 0 since its start.
#[derive(Debug)]
pub struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// By the log's name, or none, and the reason.
    refused: BTreeMap<(String, Reason), Count>,
    cosigned: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Count {
    all: u64,
    /// Those that no line has told of.
    untold: u64,
    told: Option<Instant>,
}

/// A reason is said this often at most, with the number of refusals since.
const SAY_EVERY: Duration = Duration::from_secs(60);

impl Tally {
    /// Of these logs. Requests of others are counted together.
    pub fn new<'a>(logs: impl IntoIterator<Item = &'a str>) -> Self {
        let mut counts = Counts::default();
        for log in logs {
            counts.cosigned.insert(log.to_owned(), 0);
            for reason in OF_A_LOG {
                counts.refused.insert((log.to_owned(), reason), Count::default());
            }
        }
        for reason in OF_NONE {
            counts.refused.insert((String::new(), reason), Count::default());
        }
        Self { counts: Mutex::new(counts) }
    }

    /// One more cosignature of a log.
    pub fn cosigned(&self, log: &str) {
        if let Some(count) = self.counts().cosigned.get_mut(log) {
            *count += 1;
        }
    }

    /// One more refusal, of a log or of nobody's; the line that the witness's log should have of it at `now`, if any.
    pub fn refused(&self, log: &str, reason: Reason, why: &str, now: Instant) -> Option<String> {
        let mut counts = self.counts();
        let log = if OF_NONE.contains(&reason) { "" } else { log };
        // What is not there is not of ours: a stranger cannot make a series.
        let count = counts.refused.get_mut(&(log.to_owned(), reason))?;
        (count.all, count.untold) = (count.all + 1, count.untold + 1);
        let due = count.told.is_none_or(|told| now.duration_since(told) >= SAY_EVERY);
        if !due || !reason.is_worth_a_line() {
            return None;
        }
        count.told = Some(now);
        let more = match std::mem::take(&mut count.untold) {
            1 => String::new(),
            untold => format!(" ({untold} times since this was last said)"),
        };
        let of = if log.is_empty() { String::new() } else { format!(" of {log}") };
        Some(format!("refused a request{of}: {why}{more}"))
    }

    /// The series, in Prometheus's text format.
    pub fn prometheus(&self) -> String {
        let (counts, mut out) = (self.counts(), String::new());
        out.push_str(
            "# HELP sottovoce_witness_cosignatures_total Checkpoints cosigned since the start, by log.\n\
             # TYPE sottovoce_witness_cosignatures_total counter\n",
        );
        for (log, count) in &counts.cosigned {
            let _ = writeln!(
                out,
                "sottovoce_witness_cosignatures_total{{log=\"{}\"}} {count}",
                label(log)
            );
        }
        out.push_str(
            "# HELP sottovoce_witness_refusals_total Requests refused since the start, by log and reason; log=\"\" for \
             requests of no log that is witnessed.\n# TYPE sottovoce_witness_refusals_total counter\n",
        );
        for ((log, reason), count) in &counts.refused {
            let _ = writeln!(
                out,
                "sottovoce_witness_refusals_total{{log=\"{}\",reason=\"{}\"}} {}",
                label(log),
                reason.token(),
                count.all
            );
        }
        out
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        // Counting panics nowhere, and a count is whole whenever the lock is free.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A label's value. Names of keys have no control characters.
pub(super) fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "leader.example/log";

    #[test]
    fn all_series_are_there_from_the_start_and_strangers_add_none() {
        let tally = Tally::new([LOG, "a\"b"]);
        let before = tally.prometheus();
        assert_eq!(
            before.lines().filter(|line| line.ends_with(" 0")).count(),
            2 * 9 + 4,
            "{before}"
        );
        assert!(before.contains("{log=\"a\\\"b\",reason=\"fork\"} 0"), "{before}");
        let now = Instant::now();
        assert!(
            tally.refused("stranger.example", Reason::UnknownLog, "unknown log", now).is_some()
        );
        assert!(tally.refused("stranger.example", Reason::Fork, "fork", now).is_none());
        tally.cosigned("stranger.example");
        tally.cosigned(LOG);
        let after = tally.prometheus();
        assert_eq!(after.lines().count(), before.lines().count());
        assert!(after.contains("{log=\"\",reason=\"unknown_log\"} 1"), "{after}");
        assert!(after.contains("cosignatures_total{log=\"leader.example/log\"} 1"), "{after}");
    }

    #[test]
    fn a_reason_is_said_once_a_minute_with_its_number() {
        let (tally, start) = (Tally::new([LOG]), Instant::now());
        let refused = |seconds| {
            tally.refused(LOG, Reason::Fork, "it was forked", start + Duration::from_secs(seconds))
        };
        let first = refused(0).unwrap();
        assert_eq!(first, "refused a request of leader.example/log: it was forked");
        assert_eq!((refused(1), refused(59)), (None, None));
        let later = refused(60).unwrap();
        assert!(later.ends_with("(3 times since this was last said)"), "{later}");
        let other = tally.refused(LOG, Reason::Rollback, "rolled back", start);
        assert!(other.is_some(), "each reason by itself");
        assert_eq!(tally.refused(LOG, Reason::OldSize, "prove from 3", start), None);
    }
}
