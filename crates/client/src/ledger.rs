//! The privacy ledger: what a device has spent in which windows. Each metric is charged once a window.
//!
//! The ledger is stored before anything that it paid for is sent. It keeps neighbouring windows
//! together, so that a year of daily reports is a line, and it never forgets that a window was
//! charged: not even if the clock is set forth by decades and back.

use serde::{Deserialize, Serialize};
use sottovoce_dap::time::Time;
use sottovoce_privacy::guarantee::Release;
use sottovoce_program::Calendar;
use std::ops::RangeInclusive;
use thiserror::Error;

/// All charges of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
}

/// The windows of one metric under one randomizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) metric: String,
    pub(super) release: Release,
    /// In order, without overlap.
    runs: Vec<Run>,
}

/// Neighbouring windows with the same fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    first: u64,
    last: u64,
    pub(super) fate: Fate,
}

/// What became of the report of a metric in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is drawn and not yet delivered.
    Waiting,
    /// The leader has it.
    Delivered,
    /// The leader did not take it.
    Refused,
    /// The window's batch was over before it could be delivered.
    Expired,
    /// It was sent, no answer came, and it was not sent again: the leader may have it.
    Unknown,
    /// Consent was withdrawn before it was sent.
    Withdrawn,
    /// None was made: the budget of the period did not cover it.
    OverBudget,
    /// None was made: the device did not know what it had spent before.
    Silent,
    /// None was made: the device had no value of a public dimension, and so belonged to no task.
    Unassigned,
}

impl Fate {
    /// Whether it cost something.
    pub fn is_charged(self) -> bool {
        !matches!(self, Self::OverBudget | Self::Silent | Self::Unassigned)
    }

    /// In words, after the number of reports.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Waiting => "made and not yet delivered",
            Self::Delivered => "delivered",
            Self::Refused => "rejected by the aggregators",
            Self::Expired => "given up: the window was over before they could be delivered",
            Self::Unknown => "sent, but it is not known whether they were accepted",
            Self::Withdrawn => "deleted before they were sent, because consent was withdrawn",
            Self::OverBudget => "not made, because the budget did not cover them",
            Self::Silent => "not made, because it was not known how much of the budget was spent",
            Self::Unassigned => {
                "not made, because the app had not assigned this device to an arm or a version"
            }
        }
    }
}

/// Proof that a report is paid for. Only [`Ledger::charge`] mints it; drawing an answer takes it.
#[derive(Debug)]
pub(super) struct Spent(());

/// The most runs of an account: three years of windows of which no two neighbours are alike.
const MOST_RUNS: usize = 1100;

/// A charge that is not booked.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum NotCharged {
    #[error("this window is already charged")]
    Twice,
    #[error("the budget of the period does not cover this report")]
    OverBudget,
}

/// What a period allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// The first window of the period.
    pub(super) from: u64,
    /// The most windows in it in which anything is charged, whichever metrics are.
    pub(super) windows: u64,
    /// What all charges in it may sum to, in ε₀; infinity if there is no such limit.
    pub(super) local: f64,
}

impl Ledger {
    /// Pays for a metric's report in a window.
    ///
    /// Charges of later windows than this one count too: they are from a clock that was ahead, and
    /// may well have been made in this period.
    pub(super) fn charge(
        &mut self,
        metric: &str,
        release: &Release,
        window: u64,
        allowance: Option<Allowance>,
    ) -> Result<Spent, NotCharged> {
        if self.is_closed(metric, window) {
            return Err(NotCharged::Twice);
        }
        if let Some(allowance) = allowance {
            let cost = release.mechanism.local_epsilon().get();
            let total = (self.local_since(allowance.from) + cost) * (1.0 - 1e-9);
            // A window that another metric was charged in is paid for; a new one must fit.
            let is_new = !self.accounts.iter().any(|account| account.is_charged(window));
            let windows = self.windows_since(allowance.from).saturating_add(is_new.into());
            if windows > allowance.windows || total > allowance.local {
                self.close(metric, release, window, Fate::OverBudget);
                return Err(NotCharged::OverBudget);
            }
        }
        self.close(metric, release, window, Fate::Waiting);
        Ok(Spent(()))
    }

    /// Closes a window without a report.
    pub(super) fn skip(&mut self, metric: &str, release: &Release, window: u64, fate: Fate) {
        debug_assert!(!fate.is_charged());
        if !self.is_closed(metric, window) {
            self.close(metric, release, window, fate);
        }
    }

    /// Whether a metric's window was decided on.
    pub(super) fn is_closed(&self, metric: &str, window: u64) -> bool {
        self.of(metric).any(|account| account.has(window))
    }

    /// Whether any metric's window was decided on.
    pub(super) fn has(&self, window: u64) -> bool {
        self.accounts.iter().any(|account| account.has(window))
    }

    /// What became of a metric's report.
    pub(super) fn settle(&mut self, metric: &str, window: u64, fate: Fate) {
        let mut accounts = self.accounts.iter_mut();
        if let Some(account) = accounts.find(|a| a.metric == metric && a.has(window)) {
            account.set(window, fate);
        }
    }

    /// Each metric's windows.
    pub(super) fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Counts windows of another length, or that begin on another day: one that anything was charged in, or decided on, is so as a whole. Several
    /// charges may become one, so whoever spent something lately must be silent for the rest of the period.
    pub(super) fn count_anew(&mut self, before: Calendar, now: Calendar) {
        for account in &mut self.accounts {
            account.count_anew(before, now);
        }
    }

    /// In how many windows anything was charged, from a window on: of metrics that are asked now, of those
    /// that were asked before, and under whatever name.
    pub(super) fn windows_since(&self, from: u64) -> u64 {
        let runs = self.accounts.iter().flat_map(|account| &account.runs);
        let charged = runs.filter(|run| run.fate.is_charged() && run.last >= from);
        let mut charged: Vec<_> = charged.map(|run| (run.first.max(from), run.last)).collect();
        charged.sort_unstable();
        let (mut count, mut next) = (0_u64, from);
        for (first, last) in charged {
            if last >= next {
                count = count.saturating_add(last - first.max(next)).saturating_add(1);
                next = last.saturating_add(1);
            }
        }
        count
    }

    /// The last window that was charged.
    pub(super) fn last_charged(&self) -> Option<u64> {
        let runs = self.accounts.iter().flat_map(|account| &account.runs);
        runs.filter(|run| run.fate.is_charged()).map(|run| run.last).max()
    }

    /// The sum of all ε₀ charged from a window on.
    #[expect(clippy::cast_precision_loss, reason = "windows are far fewer than 2^53")]
    pub(super) fn local_since(&self, from: u64) -> f64 {
        let cost = |account: &Account| {
            account.release.mechanism.local_epsilon().get() * account.charged_since(from) as f64
        };
        // A sum of nothing is -0.
        self.accounts.iter().map(cost).sum::<f64>() + 0.0
    }

    fn of(&self, metric: &str) -> impl Iterator<Item = &Account> {
        self.accounts.iter().filter(move |account| account.metric == metric)
    }

    fn close(&mut self, metric: &str, release: &Release, window: u64, fate: Fate) {
        let same = |a: &Account| a.metric == metric && a.release == *release;
        let at = self.accounts.iter().position(same).unwrap_or_else(|| {
            let (metric, release) = (metric.to_owned(), release.clone());
            self.accounts.push(Account { metric, release, runs: Vec::new() });
            self.accounts.len() - 1
        });
        self.accounts[at].set(window, fate);
    }
}

impl Account {
    /// Its windows, neighbours with the same fate together.
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How many windows were charged, from a window on.
    pub(super) fn charged_since(&self, from: u64) -> u64 {
        let charged = self.runs.iter().filter(|run| run.fate.is_charged() && run.last >= from);
        charged.map(|run| run.last - run.first.max(from) + 1).sum()
    }

    fn has(&self, window: u64) -> bool {
        self.run_of(window).is_some()
    }

    fn is_charged(&self, window: u64) -> bool {
        self.run_of(window).is_some_and(|at| self.runs[at].fate.is_charged())
    }

    fn count_anew(&mut self, before: Calendar, now: Calendar) {
        let mut counted: Vec<Run> = Vec::new();
        for run in &self.runs {
            let first = now.time_at(before.start_of(Time(run.first))).0;
            let end = before.start_of(Time(run.last.saturating_add(1)));
            let last = now.time_at(end.saturating_sub(1)).0;
            let mut run = Run { first, last: last.max(first), fate: run.fate };
            if let Some(previous) = counted.last_mut().filter(|p| p.last >= run.first) {
                if run.fate.is_charged() && !previous.fate.is_charged() {
                    // The window that both are in is charged.
                    previous.last = run.first.saturating_sub(1);
                    if previous.last < previous.first || run.first == 0 {
                        counted.pop();
                    }
                } else {
                    run.first = previous.last.saturating_add(1);
                }
            }
            if run.first <= run.last {
                counted.push(run);
            }
        }
        self.runs = counted;
    }

    fn run_of(&self, window: u64) -> Option<usize> {
        let at = self.runs.partition_point(|run| run.last < window);
        self.runs.get(at).filter(|run| run.first <= window).map(|_| at)
    }

    fn set(&mut self, window: u64, fate: Fate) {
        if let Some(at) = self.run_of(window) {
            let run = self.runs.remove(at);
            let after = Run { first: window.saturating_add(1), ..run };
            let before = Run { last: window.saturating_sub(1), ..run };
            if window < run.last {
                self.runs.insert(at, after);
            }
            if window > run.first {
                self.runs.insert(at, before);
            }
        }
        let at = self.runs.partition_point(|run| run.first < window);
        self.runs.insert(at, Run { first: window, last: window, fate });
        self.join(at);
        while self.runs.len() > MOST_RUNS {
            self.join_oldest();
        }
    }

    /// Makes one run of the two oldest, with the gap between them: better than to charge one of its windows
    /// again. If either was charged, all of it is: too much may be charged so, and never too little.
    fn join_oldest(&mut self) {
        let [one, other, ..] = self.runs[..] else { return };
        let fate = if other.fate.is_charged() { other.fate } else { one.fate };
        self.runs[1] = Run { first: one.first, last: other.last, fate };
        self.runs.remove(0);
        self.join(0);
    }

    /// Joins a run with its neighbours of the same fate.
    fn join(&mut self, at: usize) {
        for left in [Some(at), at.checked_sub(1)].into_iter().flatten() {
            if let [one, other, ..] = self.runs[left..]
                && one.fate == other.fate
                && one.last.saturating_add(1) == other.first
            {
                self.runs[left].last = other.last;
                self.runs.remove(left + 1);
            }
        }
    }
}

impl Run {
    /// The windows, both ends included.
    pub(super) fn windows(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sottovoce_privacy::{
        guarantee::{Mechanism, MechanismKind},
        units::Epsilon,
    };
    use std::collections::BTreeMap;

    fn release(epsilon0: f64) -> Release {
        let epsilon0 = Epsilon::new(epsilon0).unwrap();
        let mechanism = Mechanism::new(MechanismKind::Krr, 4, epsilon0).unwrap();
        Release { mechanism, noise: None, honest: 100 }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as it is passed")]
    fn allowance(from: u64, windows: u64) -> Option<Allowance> {
        Some(Allowance { from, windows, local: f64::INFINITY })
    }

    #[test]
    fn a_window_is_charged_once_whatever_the_randomizer_and_its_fate() {
        let mut ledger = Ledger::default();
        ledger.charge("quality", &release(4.0), 7, None).unwrap();
        ledger.settle("quality", 7, Fate::Expired);
        for epsilon0 in [4.0, 1.0] {
            let again = ledger.charge("quality", &release(epsilon0), 7, None).unwrap_err();
            assert_eq!(again, NotCharged::Twice);
        }
        ledger.charge("tone", &release(4.0), 7, None).unwrap();
        assert_eq!(ledger.windows_since(0), 1, "both metrics in one window");
    }

    #[test]
    fn what_the_period_does_not_cover_is_closed_and_not_charged() {
        let mut ledger = Ledger::default();
        for window in [10, 11] {
            ledger.charge("quality", &release(4.0), window, allowance(10, 2)).unwrap();
        }
        let over = ledger.charge("quality", &release(4.0), 12, allowance(10, 2)).unwrap_err();
        assert_eq!(over, NotCharged::OverBudget);
        assert_eq!(ledger.windows_since(0), 2);
        assert!(ledger.is_closed("quality", 12), "a later period does not make up for it");
        ledger.charge("quality", &release(4.0), 20, allowance(20, 2)).unwrap();
        let local = Some(Allowance { from: 20, windows: 9, local: 7.9 });
        let over = ledger.charge("tone", &release(4.0), 20, local).unwrap_err();
        assert_eq!(over, NotCharged::OverBudget);
    }

    #[test]
    fn charges_from_a_clock_that_was_ahead_count_until_then() {
        let mut ledger = Ledger::default();
        ledger.charge("quality", &release(4.0), 27_000, allowance(27_000, 1)).unwrap();
        let over = ledger.charge("quality", &release(4.0), 20, allowance(20, 1)).unwrap_err();
        assert_eq!(over, NotCharged::OverBudget);
    }

    #[test]
    fn nothing_spent_is_nothing_and_not_less() {
        assert!(Ledger::default().local_since(0).is_sign_positive());
    }

    #[test]
    fn a_year_of_daily_reports_is_a_few_lines() {
        let mut ledger = Ledger::default();
        for window in 0..365 {
            ledger.charge("quality", &release(4.0), window, None).unwrap();
            ledger.settle("quality", window, Fate::Delivered);
        }
        assert_eq!(ledger.accounts()[0].runs().len(), 1);
        assert_eq!(ledger.accounts()[0].runs()[0].windows().count(), 365);
    }

    #[test]
    fn windows_count_whatever_the_metric_was_called() {
        let mut ledger = Ledger::default();
        let most = |from| allowance(from, 3);
        let mut made = 0;
        for (name, windows) in [("rating", 10..13), ("stars", 12..17), ("quality", 14..20)] {
            for window in windows {
                made += u32::from(ledger.charge(name, &release(4.0), window, most(10)).is_ok());
            }
        }
        // The three of the first name, and the one of the second in a window that is paid for.
        assert_eq!((made, ledger.windows_since(10)), (4, 3));
        assert_eq!(ledger.last_charged(), Some(12));
        ledger.charge("quality", &release(4.0), 20, most(20)).unwrap();
    }

    #[test]
    fn windows_of_another_length_are_charged_where_any_of_the_old_ones_was() {
        for (before, now) in [(24, 1), (1, 24), (24, 7), (7, 24), (5, 5)] {
            let mut ledger = Ledger::default();
            for window in (30..90).filter(|window| window % 7 < 4) {
                let fate = if window % 3 == 0 { Fate::OverBudget } else { Fate::Delivered };
                ledger.charge("m", &release(4.0), window, None).unwrap();
                ledger.settle("m", window, fate);
            }
            let old = ledger.clone();
            let calendar = |seconds| {
                Calendar::from(sottovoce_dap::time::TimePrecision::from_seconds(seconds).unwrap())
            };
            ledger.count_anew(calendar(before), calendar(now));
            for moment in 30 * before..90 * before {
                let (was, is) = (moment / before, moment / now);
                let [old, new] = [&old.accounts[0], &ledger.accounts[0]];
                assert!(new.is_charged(is) || !old.is_charged(was), "{before} {now} {moment}");
                assert!(new.has(is) || !old.has(was), "{before} {now} {moment}");
            }
            for pair in ledger.accounts[0].runs.windows(2) {
                assert!(pair[0].first <= pair[0].last && pair[0].last < pair[1].first);
            }
        }
    }

    #[test]
    fn weeks_that_begin_on_another_day_are_charged_where_any_of_the_old_ones_was() {
        let week = sottovoce_dap::time::TimePrecision::from_seconds(7 * 86_400).unwrap();
        let days =
            || sottovoce_program::Weekday::ALL.map(|day| Calendar::weeks(week, day).unwrap());
        for (before, now) in days().into_iter().flat_map(|before| days().map(|now| (before, now))) {
            let mut ledger = Ledger::default();
            for window in [2960, 2961, 2965] {
                ledger.charge("m", &release(4.0), window, None).unwrap();
                ledger.settle("m", window, Fate::Delivered);
            }
            let old = ledger.clone();
            ledger.count_anew(before, now);
            for day in (2955 * 7)..(2970 * 7) {
                for moment in [day * 86_400, day * 86_400 + 86_399] {
                    let was = old.accounts[0].is_charged(before.time_at(moment).0);
                    let is = ledger.accounts[0].is_charged(now.time_at(moment).0);
                    assert!(is || !was, "{before:?} {now:?} {moment}");
                }
            }
            assert_eq!(before == now, ledger == old);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn joining_the_oldest_runs_takes_back_no_charge(
            seed in any::<u64>(), windows in 1_200_u64..1_800,
        ) {
            let fates = [
                Fate::Delivered, Fate::OverBudget, Fate::Refused, Fate::Silent, Fate::Unknown,
                Fate::Unassigned, Fate::Expired,
            ];
            let mut random = seed;
            let mut next = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                usize::try_from(random >> 33).unwrap()
            };
            let mut account =
                Account { metric: "m".into(), release: release(4.0), runs: Vec::new() };
            let mut model = BTreeMap::new();
            for window in 0..windows {
                // Now and then a gap, and now and then an old window gets another fate.
                if next() % 8 > 0 {
                    let fate = fates[next() % fates.len()];
                    account.set(3 * window, fate);
                    model.insert(3 * window, fate);
                }
                let before = 3 * window.saturating_sub(next() as u64 % 1_700);
                if let Some(old) = model.get_mut(&before).filter(|fate| fate.is_charged()) {
                    *old = Fate::Expired;
                    account.set(before, Fate::Expired);
                }
                prop_assert!(account.runs.len() <= MOST_RUNS);
            }
            for (window, fate) in &model {
                prop_assert!(account.has(*window));
                prop_assert!(account.is_charged(*window) || !fate.is_charged(), "{}", window);
            }
            for from in (0..3 * windows).step_by(97) {
                let charged = model.range(from..).filter(|(_, fate)| fate.is_charged()).count();
                prop_assert!(account.charged_since(from) >= charged as u64);
            }
        }

        #[test]
        fn runs_say_what_a_map_of_windows_would(
            steps in prop::collection::vec((0_u64..20, 0_u8..4), 0..120),
        ) {
            let mut ledger = Ledger::default();
            let mut model = BTreeMap::new();
            for (window, fate) in steps {
                let fate = [Fate::Waiting, Fate::Delivered, Fate::Unknown, Fate::Refused]
                    [usize::from(fate)];
                match ledger.charge("m", &release(4.0), window, None) {
                    Ok(_) => prop_assert!(model.insert(window, Fate::Waiting).is_none()),
                    Err(_) => prop_assert!(model.contains_key(&window)),
                }
                ledger.settle("m", window, fate);
                model.insert(window, fate);
                let runs = ledger.accounts()[0].runs();
                let told: BTreeMap<_, _> =
                    runs.iter().flat_map(|run| run.windows().map(|w| (w, run.fate))).collect();
                prop_assert_eq!(&told, &model);
                for pair in runs.windows(2) {
                    let joined = pair[0].fate == pair[1].fate && pair[0].last + 1 == pair[1].first;
                    prop_assert!(pair[0].last < pair[1].first && !joined);
                }
                for from in [0, 5, 19] {
                    let count = model.keys().filter(|window| **window >= from).count() as u64;
                    prop_assert_eq!(ledger.windows_since(from), count);
                }
            }
        }
    }
}
