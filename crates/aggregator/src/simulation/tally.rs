//! What became of each report, and whether that may be.

use super::{
    plan::{EACH, WINDOWS},
    task::{LEAST, bin, window_of},
};
use sottovoce_dap::upload::ReportError;
use std::collections::{BTreeMap, BTreeSet};

/// What the device that sent a report knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody said so far whether it is taken.
    Unknown,
    /// It is taken: known at this time.
    Acknowledged(u64),
    /// It is not taken; `maybe` if an answer to an earlier attempt may have been lost.
    Refused { why: ReportError, maybe: bool },
}

/// All that is known of one task, from outside.
#[derive(Default)]
pub(super) struct Tally {
    /// By bin.
    verdicts: BTreeMap<usize, Verdict>,
    /// When a window was first asked for.
    asked: BTreeMap<u64, u64>,
    /// Windows that were collected with others when they had no reports.
    empty: BTreeSet<u64>,
    /// Results, by the place of the collection job.
    results: BTreeMap<String, Vec<u128>>,
    /// Reports of the first window that the leader cannot tell from good ones.
    pub(super) refused_by_helper: u64,
    pub(super) wrong: Vec<String>,
}

impl Tally {
    pub(super) fn sent(&mut self, bin: usize) {
        self.verdicts.entry(bin).or_insert(Verdict::Unknown);
    }

    pub(super) fn told(&mut self, bin: usize, verdict: Verdict) {
        let before = self.verdicts.get(&bin);
        match (before, verdict) {
            (None | Some(Verdict::Unknown), _) => {
                self.verdicts.insert(bin, verdict);
            }
            // What comes again keeps its verdict, also if it then comes too late.
            (Some(Verdict::Acknowledged(_)), Verdict::Acknowledged(_))
            | (
                Some(Verdict::Acknowledged(_) | Verdict::Refused { .. }),
                Verdict::Refused { why: ReportError::BatchCollected, .. },
            ) => {}
            (Some(before), _) => {
                self.wrong.push(format!("bin {bin} has two verdicts: {before:?}, {verdict:?}"));
            }
        }
    }

    pub(super) fn asked(&mut self, windows: std::ops::Range<u64>, now: u64) {
        for window in windows {
            self.asked.entry(window).or_insert(now);
        }
    }

    /// Whether any result has the window.
    pub(super) fn is_collected(&self, window: u64) -> bool {
        self.empty.contains(&window)
            || self.windows_of_results().any(|collected| collected == window)
    }

    /// Notes that a window is collected; what it has no result of came too late, if anything did.
    pub(super) fn closed(&mut self, window: u64) {
        self.empty.insert(window);
    }

    fn windows_of_results(&self) -> impl Iterator<Item = u64> {
        let bins = self.results.values().flat_map(|bins| bins.iter().enumerate());
        bins.filter(|(_, count)| **count > 0).filter_map(|(bin, _)| window_of(bin))
    }

    /// Takes a result, and looks whether it may be one.
    pub(super) fn released(&mut self, job: &str, report_count: u64, bins: Vec<u128>) {
        if let Some(before) = self.results.get(job) {
            if *before != bins {
                self.wrong.push(format!("two results of {job}: {before:?}, {bins:?}"));
            }
            return;
        }
        if bins.iter().sum::<u128>() != u128::from(report_count) {
            self.wrong.push(format!("{report_count} reports do not add up to {bins:?}"));
        }
        for window in 0..WINDOWS {
            let range = bin(window, 0)..bin(window, EACH);
            let count = bins[range].iter().sum::<u128>();
            if count != 0 && count < u128::from(LEAST) {
                self.wrong
                    .push(format!("a result has {count} reports of window {window}: {bins:?}"));
            }
        }
        self.results.insert(job.to_owned(), bins);
    }

    /// How often the report of a bin was counted.
    fn counted(&self, bin: usize) -> u128 {
        self.results.values().map(|bins| bins.get(bin).copied().unwrap_or(0)).sum()
    }

    pub(super) fn is_acknowledged(&self, bin: usize) -> bool {
        matches!(self.verdicts.get(&bin), Some(Verdict::Acknowledged(_)))
    }

    /// What is wrong when all is over. Of a time-interval task, `dropped` reports came too late, by the
    /// leader's count; of a leader-selected one some may be in a batch that is not full.
    pub(super) fn check(&mut self, dropped: Option<u64>) {
        let mut lost = Vec::new();
        for (bin, verdict) in self.verdicts.clone() {
            let counted = self.counted(bin);
            let window = window_of(bin).unwrap_or(WINDOWS);
            match verdict {
                _ if counted > 1 => {
                    self.wrong.push(format!("bin {bin} was counted {counted} times"));
                }
                Verdict::Refused { why, maybe: false } if counted > 0 => {
                    self.wrong.push(format!("bin {bin} was counted though refused as {why:?}"));
                }
                Verdict::Acknowledged(at) if counted == 0 && self.is_collected(window) => {
                    lost.push((bin, at));
                }
                _ => {}
            }
        }
        if let Some(dropped) = dropped {
            self.check_lost(&lost, dropped);
        }
        let stray = self.results.values().flatten().sum::<u128>();
        let known: u128 = self.verdicts.keys().map(|bin| self.counted(*bin)).sum();
        if stray != known {
            self.wrong.push(format!("{} reports were counted that nobody sent", stray - known));
        }
    }

    /// A report that is acknowledged after its batch was asked for may come too late, and is counted as
    /// dropped then; none that is acknowledged before.
    fn check_lost(&mut self, lost: &[(usize, u64)], dropped: u64) {
        for (bin, at) in lost {
            let asked = window_of(*bin).and_then(|window| self.asked.get(&window).copied());
            if asked.is_none_or(|asked| *at < asked) {
                self.wrong.push(format!(
                    "bin {bin} is lost: acknowledged at {at}, and its window asked for at {asked:?}"
                ));
            }
        }
        if lost.len() as u64 > dropped {
            let lost = lost.len();
            self.wrong.push(format!("{lost} acknowledged reports are lost, and {dropped} dropped"));
        }
    }

    /// Acknowledged reports of a window that no result has.
    pub(super) fn left(&self, window: u64) -> u64 {
        let bins = bin(window, 0)..bin(window, EACH);
        let left = bins.filter(|bin| self.is_acknowledged(*bin) && self.counted(*bin) == 0);
        left.count() as u64
    }
}
