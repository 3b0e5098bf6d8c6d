//! A release: that it is large enough, costs what was promised, and gives out nothing twice.

use super::{Judge, agreement};
use crate::{
    audit::finding::{At, Severity},
    dap::{
        codec::Encode,
        collect::BatchSelector,
        role::Role,
        time::{Interval, TimePrecision},
    },
    log::entry::Release,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What has been released of a task: spans of seconds that never overlap, or batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    /// Start and end of each span; those that touch are one.
    spans: BTreeMap<u64, u64>,
    /// Beginnings of batch IDs.
    batches: BTreeSet<Mark>,
}

impl Ranges {
    /// Adds a span, unless a part of it is there: then gives that.
    fn add(&mut self, start: u64, end: u64) -> Result<(), (u64, u64)> {
        if let Some((&from, &to)) = self.spans.range(..end).next_back()
            && to > start
        {
            return Err((from.max(start), to.min(end)));
        }
        let (mut start, mut end) = (start, end);
        if let Some((&from, &to)) = self.spans.range(..=start).next_back()
            && to == start
        {
            start = from;
        }
        if let Some(to) = self.spans.remove(&end) {
            end = to;
        }
        self.spans.insert(start, end);
        Ok(())
    }
}

/// A release that the other log has to have too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRelease {
    pub(in crate::audit) entry: u64,
    pub(in crate::audit) time: u64,
    pub(in crate::audit) task: crate::dap::ids::TaskId,
    pub(in crate::audit) report_count: u64,
    pub(in crate::audit) checksum: Mark,
    /// In windows.
    pub(in crate::audit) interval: (u64, u64),
}

impl Judge<'_> {
    pub(super) fn release(&mut self, at: At, time: u64, release: &Release) {
        self.facts.releases += 1;
        let name = self.known.name(&release.task);
        let Some(task) = self.facts.tasks.get(&release.task) else {
            let message = format!("a batch of {name} was released, which was never taken on");
            return self.violation(at, "unknown-task", message);
        };
        let least = task.min_batch_size;
        let count = release.report_count;
        let small = count < least;
        let charged = super::task::encoded(&release.charged) == task.claims;
        let noise = release.noise == task.noise;
        if small {
            let message = format!(
                "a batch of {name} with {count} reports was released; {least} is the least"
            );
            self.violation(at, "batch-size", message);
        }
        if !charged {
            let message =
                format!("a release of {name} charges another privacy loss than the task claims");
            self.violation(at, "charge", message);
        }
        if !noise {
            let message = format!("a release of {name} has other noise than the task promises");
            self.violation(at, "noise", message);
        }
        self.once(at, time, &name, release);
        let (batch, release) = (batch_mark(release), open(at, time, release));
        match self.others.as_deref_mut().map(|others| others.remove(&batch)) {
            // Only one log is read: nobody has to have it too.
            None => {}
            Some(Some(theirs)) => {
                let (leader, helper) = match self.role {
                    Role::Helper => (&theirs, &release),
                    _ => (&release, &theirs),
                };
                agreement::pair(self.known, leader, helper, self.findings);
            }
            Some(None) => drop(self.facts.open.insert(batch, release)),
        }
    }

    /// Whether no report of the batch was released before.
    fn once(&mut self, at: At, time: u64, name: &str, release: &Release) {
        let period = self.known.task(&release.task).and_then(|(program, _)| program.budget());
        let Some(task) = self.facts.tasks.get_mut(&release.task) else { return };
        let Some(window) = TimePrecision::from_seconds(task.window) else { return };
        let mut found = Vec::new();
        let span = match &release.batch {
            BatchSelector::TimeInterval(batch) => match batch.interval() {
                Some(batch) => {
                    let (start, end) =
                        (window.start_of(batch.start()), window.start_of(batch.end()));
                    if !batch.covers(&release.interval) {
                        found.push((
                            Severity::Violation,
                            "interval",
                            format!("a release of {name} has reports from outside of its batch"),
                        ));
                    }
                    if let Err((from, to)) = task.released.add(start, end) {
                        found.push((
                            Severity::Violation,
                            "released-twice",
                            format!(
                                "reports of {name} from {} were released before",
                                Ranges::label(from, to)
                            ),
                        ));
                    }
                    if time.saturating_add(super::TOLERANCE) < end {
                        found.push((Severity::Warning, "too-early", format!(
                            "a batch of {name} was released {} seconds before its last window was over",
                            end - time
                        )));
                    }
                    Some(batch)
                }
                None => {
                    let message = format!("a release of {name} names a batch that is no interval");
                    found.push((Severity::Violation, "interval", message));
                    None
                }
            },
            BatchSelector::LeaderSelected(id) => {
                if !task.released.batches.insert(Mark::of(id.as_bytes())) {
                    let message = format!("batch {id} of {name} was released before");
                    found.push((Severity::Violation, "released-twice", message));
                }
                Some(release.interval)
            }
        };
        if let (Some(span), Some(budget)) = (span, period) {
            count_windows(&mut task.periods, span, window, budget.period());
        }
        for (severity, rule, message) in found {
            self.findings.add(severity, rule, at, message);
        }
    }
}

/// Counts the windows of a batch into the periods that they begin in. A batch of a malicious log may
/// claim to last for ages: what is beyond a period's worth of periods is counted in the last.
fn count_windows(
    periods: &mut BTreeMap<u64, u64>,
    span: Interval,
    window: TimePrecision,
    period: u64,
) {
    const MOST_PERIODS: u64 = 64;
    let (start, end) = (window.start_of(span.start()), window.start_of(span.end()));
    let (first, last) = (start / period, end.saturating_sub(1) / period);
    for at in first..=last.min(first + MOST_PERIODS) {
        let from = start.max(at.saturating_mul(period));
        let to = end.min(at.saturating_add(1).saturating_mul(period));
        *periods.entry(at).or_insert(0) += to.saturating_sub(from).div_ceil(window.seconds());
    }
}

fn open(at: At, time: u64, release: &Release) -> OpenRelease {
    OpenRelease {
        entry: at.entry.unwrap_or(0),
        time,
        task: release.task,
        report_count: release.report_count,
        checksum: Mark::of(release.checksum.as_bytes()),
        interval: (release.interval.start().0, release.interval.end().0),
    }
}

/// Names a batch of a task in both logs alike.
fn batch_mark(release: &Release) -> Mark {
    let mut bytes = release.task.to_bytes();
    release.batch.encode(&mut bytes);
    Mark::of(&Sha256::digest(bytes).into())
}

/// The beginning of something as long as a hash: enough to know it again, of millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark([u8; 16]);

impl Mark {
    fn of(bytes: &[u8; 32]) -> Self {
        let mut mark = [0; 16];
        mark.copy_from_slice(&bytes[..16]);
        Self(mark)
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(String::deserialize(deserializer)?).ok();
        let mark = bytes.and_then(|bytes| bytes.try_into().ok());
        mark.map(Self).ok_or_else(|| serde::de::Error::custom("16 bytes in base64url are expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_are_released_once_whatever_their_order(spans in proptest::collection::vec((0u64..40, 1u64..6), 1..25)) {
            let (mut ranges, mut seconds) = (Ranges::default(), BTreeSet::new());
            for (start, length) in spans {
                let fresh = (start..start + length).all(|second| !seconds.contains(&second));
                let added = ranges.add(start, start + length);
                prop_assert_eq!(added.is_ok(), fresh);
                match added {
                    Ok(()) => seconds.extend(start..start + length),
                    Err((from, to)) => prop_assert!(from < to),
                }
            }
            let listed: BTreeSet<_> = ranges.spans.iter().flat_map(|(from, to)| *from..*to).collect();
            prop_assert_eq!(listed, seconds);
        }

        #[test]
        fn any_span_is_counted_in_bounded_time(start in 0u64..u64::MAX / 8000, length in 1u64..u64::MAX / 8000, period in 1u64..1000) {
            let span = Interval::new(crate::dap::time::Time(start), length).unwrap();
            let window = TimePrecision::from_seconds(3600).unwrap();
            let mut periods = BTreeMap::new();
            count_windows(&mut periods, span, window, period * 3600);
            prop_assert!(periods.len() <= 65);
        }
    }
}
