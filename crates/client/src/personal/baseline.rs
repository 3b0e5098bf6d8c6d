//! What is usual for this user, and what it means when it is not.
//!
//! Some users copy every response and some never do, so *copied* says much about the one and
//! little about the other. The baseline keeps two things for each signal of a `signals` metric,
//! both counted with a half-life (the program's `profile.half_life`):
//!
//! - **How often it was observed**: weight s of n responses. Its rate is `p = (s + ½)/(n + 1)`, the
//!   mean of a Beta posterior under Jeffreys' prior Beta(½, ½), and it is trusted by
//!   `t = n/(n + 10)`.
//! - **How it went with explicit answers**: a table of signal or not by satisfied or not.
//!
//! # The reading
//!
//! With x = 1 if the signal was observed and 0 if not, a [`Reading`] has `against = x − t·p`, what is
//! left of it beside the user's habit, and `unusual = t·(x − p)/√(p(1 − p))`, in standard
//! deviations, from -3 to 3. Without evidence `against` is x itself, and nothing is unusual.
//!
//! # The calibration
//!
//! A program's weight is a guess, for the average user, at the log-odds ratio of being satisfied
//! with the signal against without it. [`Baseline::weight`] moves it by the user's own table. To
//! each cell is added its share, by the smoothed margins, of 2 pseudo-counts, which pull towards
//! independence (Fienberg and Holland 1973): so a signal that was never seen says nothing, however
//! satisfied the user is. Of the result a′, b′, c′, d′ the log-odds ratio is
//! `λ = ln(a′d′/(b′c′))`, its variance about `v = 1/a′ + 1/b′ + 1/c′ + 1/d′` (Woolf 1955). Guess
//! and evidence are averaged by their precision, with the guess's standard deviation taken as 1:
//!
//! ```text
//! e = g/v                    g rises from 0 at 5 explicit answers to 1 at 10
//! weight = (guess + e·λ)/(1 + e)
//! ```
//!
//! So with few explicit answers it is the program's weight and nothing else. Correlation between
//! signals is not modelled: two that always come together both get their own full weight.

use super::{
    Key,
    clock::{Clock, decay},
};
use serde::{Deserialize, Serialize};
use sottovoce_program::{
    answer::Given, kind::MetricKind, profile::ProfilePolicy, score::MOST_WEIGHT,
};
use std::collections::BTreeSet;

/// The most signals that are kept, over all metrics; the one that was heard of longest ago makes
/// way.
pub const MOST_SIGNALS: usize = 40;

/// At so many responses the user's own rate is trusted by half.
const HALF_TRUST: f64 = 10.0;
/// So many explicit answers change nothing, and at twice as many they count in full.
const FEW: f64 = 5.0;
/// Pseudo-counts in a table.
const PSEUDO: f64 = 2.0;
/// Readings in standard deviations go no further.
const MOST_UNUSUAL: f64 = 3.0;
/// No table weighs more: keeps it finite.
const MOST_COUNTED: f64 = 1e4;

/// The user's habits: no texts, at most about 2.5 KB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    clock: Clock,
    /// By when they were heard of last, latest last.
    signals: Vec<Habit>,
    /// Explicit answers by whether they were satisfied.
    answers: [f64; 2],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Habit {
    key: Key,
    /// Responses with the signal, and all.
    observed: f64,
    responses: f64,
    /// Explicit answers about responses with the signal and without it, each by whether they were
    /// satisfied.
    explained: [[f64; 2]; 2],
}

/// One signal of one response beside the user's habit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// How often the user's responses have the signal, from 0 to 1.
    pub rate: f64,
    /// How far this rate is trusted, from 0 towards 1.
    pub trust: f64,
    /// What the signal says beside the habit, from -1 to 1.
    pub against: f64,
    /// How unusual that is for this user, in standard deviations, from -3 to 3.
    pub unusual: f64,
}

/// What an explicit answer says about satisfaction: up or the better half of the levels is yes,
/// down or the worse half no; the middle, and other kinds of answer, do not say. Of several
/// aspects it is the mean.
pub fn satisfied(kind: &MetricKind, given: &Given) -> Option<bool> {
    kind.as_kind().satisfied(given)
}

impl Baseline {
    /// One response, with those of the metric's `declared` signals that were observed. To be called
    /// once per response, when its signals are complete, and after its score was worked out.
    pub fn observe(
        &mut self,
        policy: ProfilePolicy,
        metric: &str,
        declared: &[String],
        observed: &BTreeSet<String>,
        now: u64,
    ) {
        self.pass(policy, now);
        for signal in declared.iter().take(MOST_SIGNALS) {
            let habit = self.habit(metric, signal);
            habit.responses = (habit.responses + 1.0).min(MOST_COUNTED);
            let more = f64::from(u8::from(observed.contains(signal)));
            habit.observed = (habit.observed + more).min(habit.responses);
        }
    }

    /// The user said explicitly, once, whether a response with these signals was
    /// [`satisfied`]-making.
    pub fn explain(
        &mut self,
        policy: ProfilePolicy,
        metric: &str,
        declared: &[String],
        observed: &BTreeSet<String>,
        satisfied: bool,
        now: u64,
    ) {
        self.pass(policy, now);
        let column = usize::from(!satisfied);
        self.answers[column] = (self.answers[column] + 1.0).min(MOST_COUNTED);
        for signal in declared.iter().take(MOST_SIGNALS) {
            let row = usize::from(!observed.contains(signal));
            let cell = &mut self.habit(metric, signal).explained[row][column];
            *cell = (*cell + 1.0).min(MOST_COUNTED);
        }
    }

    /// What it says that a signal was observed, or was not.
    pub fn reading(
        &self,
        policy: ProfilePolicy,
        metric: &str,
        signal: &str,
        observed: bool,
        now: u64,
    ) -> Reading {
        let kept = decay(self.clock.since(now), policy.half_life);
        let known = self.known(metric, signal);
        let (hits, n) = known.map_or((0.0, 0.0), |h| (h.observed * kept, h.responses * kept));
        let (rate, trust) = ((hits + 0.5) / (n + 1.0), n / (n + HALF_TRUST));
        let x = f64::from(u8::from(observed));
        let deviations = trust * (x - rate) / (rate * (1.0 - rate)).sqrt();
        let unusual = deviations.clamp(-MOST_UNUSUAL, MOST_UNUSUAL);
        Reading { rate, trust, against: x - trust * rate, unusual }
    }

    /// A program's weight of a signal, moved by what this user explained; from -10 to 10.
    pub fn weight(
        &self,
        policy: ProfilePolicy,
        metric: &str,
        signal: &str,
        guess: f64,
        now: u64,
    ) -> f64 {
        let Some(known) = self.known(metric, signal) else { return guess };
        let kept = decay(self.clock.since(now), policy.half_life);
        let counts = known.explained.map(|row| row.map(|cell| cell * kept));
        let table = towards_independence(counts);
        let log_odds = ((table[0][0] * table[1][1]) / (table[0][1] * table[1][0])).ln();
        let variance: f64 = table.as_flattened().iter().map(|cell| 1.0 / cell).sum();
        let evidence = gate(counts.as_flattened().iter().sum()) / variance;
        let moved = (guess + evidence * log_odds) / (1.0 + evidence);
        moved.clamp(-MOST_WEIGHT, MOST_WEIGHT)
    }

    /// How satisfied the user usually is, in log-odds: 0 with few explicit answers. It is shrunk
    /// like a weight, towards 0.
    pub fn usually(&self, policy: ProfilePolicy, now: u64) -> f64 {
        let kept = decay(self.clock.since(now), policy.half_life);
        let [yes, no] = self.answers.map(|count| count * kept);
        let evidence = gate(yes + no) / (1.0 / (yes + 1.0) + 1.0 / (no + 1.0));
        ((yes + 1.0) / (no + 1.0)).ln() * evidence / (1.0 + evidence)
    }

    fn pass(&mut self, policy: ProfilePolicy, now: u64) {
        let kept = decay(self.clock.advance(now), policy.half_life);
        self.answers = self.answers.map(|count| count * kept);
        for habit in &mut self.signals {
            habit.observed *= kept;
            habit.responses *= kept;
            habit.explained = habit.explained.map(|row| row.map(|cell| cell * kept));
        }
    }

    fn known(&self, metric: &str, signal: &str) -> Option<&Habit> {
        let key = Key::of(&[metric, signal]);
        self.signals.iter().find(|habit| habit.key == key)
    }

    /// The habit, as the one heard of last.
    fn habit(&mut self, metric: &str, signal: &str) -> &mut Habit {
        let key = Key::of(&[metric, signal]);
        let habit = match self.signals.iter().position(|habit| habit.key == key) {
            Some(index) => self.signals.remove(index),
            None => Habit { key, observed: 0.0, responses: 0.0, explained: [[0.0; 2]; 2] },
        };
        if self.signals.len() >= MOST_SIGNALS {
            self.signals.drain(..=self.signals.len() - MOST_SIGNALS);
        }
        self.signals.push(habit);
        let last = self.signals.len() - 1;
        &mut self.signals[last]
    }
}

/// A table with its pseudo-counts.
fn towards_independence(counts: [[f64; 2]; 2]) -> [[f64; 2]; 2] {
    let [[a, b], [c, d]] = counts;
    let n = a + b + c + d;
    let share = |count: f64| (count + 1.0) / (n + 2.0);
    let (rows, columns) = ([share(a + b), share(c + d)], [share(a + c), share(b + d)]);
    [0, 1]
        .map(|row| [0, 1].map(|column| counts[row][column] + PSEUDO * rows[row] * columns[column]))
}

/// From 0 at few explicit answers to 1 at twice as many.
fn gate(answers: f64) -> f64 {
    ((answers - FEW) / FEW).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sottovoce_program::{
        answer::Thumb,
        kind::{Rating, Ratings, Thumbs},
    };

    const NOW: u64 = 1_795_417_761;
    const DAY: u64 = 86_400;
    const POLICY: ProfilePolicy = ProfilePolicy { half_life: 30 * DAY };

    fn names(signals: &[&str]) -> Vec<String> {
        signals.iter().map(|signal| (*signal).to_owned()).collect()
    }

    fn set(signals: &[&str]) -> BTreeSet<String> {
        names(signals).into_iter().collect()
    }

    /// A user whose responses were copied `with` times and were not `without` times.
    fn user(with: usize, without: usize) -> Baseline {
        let mut baseline = Baseline::default();
        for index in 0..with + without {
            let observed = if index < with { set(&["copied"]) } else { set(&[]) };
            baseline.observe(POLICY, "m", &names(&["copied"]), &observed, NOW);
        }
        baseline
    }

    fn copied(baseline: &Baseline, observed: bool) -> Reading {
        baseline.reading(POLICY, "m", "copied", observed, NOW)
    }

    /// A user who explained so many responses: copied and satisfied, copied and not, and so on.
    fn explained(counts: [usize; 4]) -> Baseline {
        let mut baseline = Baseline::default();
        for (cell, count) in counts.into_iter().enumerate() {
            let observed = if cell < 2 { set(&["copied"]) } else { set(&[]) };
            for _ in 0..count {
                let declared = names(&["copied"]);
                baseline.explain(POLICY, "m", &declared, &observed, cell % 2 == 0, NOW);
            }
        }
        baseline
    }

    fn weight(counts: [usize; 4], guess: f64) -> f64 {
        explained(counts).weight(POLICY, "m", "copied", guess, NOW)
    }

    #[test]
    fn without_evidence_a_signal_is_what_it_is() {
        for (observed, against) in [(false, 0.0), (true, 1.0)] {
            let reading = copied(&Baseline::default(), observed);
            let expected = Reading { rate: 0.5, trust: 0.0, against, unusual: 0.0 };
            assert_eq!(reading, expected);
        }
        assert!((Baseline::default().weight(POLICY, "m", "copied", -1.5, NOW) + 1.5).abs() < 1e-12);
        assert!(Baseline::default().usually(POLICY, NOW).abs() < 1e-12);
    }

    #[test]
    fn a_habit_says_little_and_a_break_with_it_much() {
        let (often, never) = (user(40, 0), user(0, 40));
        assert!(copied(&often, true).against < 0.25 && copied(&often, true).unusual < 0.2);
        assert!(copied(&never, true).against > 0.98);
        let (out, back) = (copied(&never, true).unusual, copied(&often, false).unusual);
        assert!((out - 3.0).abs() < 1e-12 && (back + 3.0).abs() < 1e-12, "{out} {back}");
        let reading = copied(&user(5, 5), true);
        assert!((reading.rate - 0.5).abs() < 1e-12 && (reading.trust - 0.5).abs() < 1e-12);
        assert!((reading.against - 0.75).abs() < 1e-12 && (reading.unusual - 0.5).abs() < 1e-12);
    }

    #[test]
    fn metrics_do_not_share_their_signals() {
        let other = user(40, 0).reading(POLICY, "other", "copied", true, NOW);
        assert!(other.trust.abs() < 1e-12);
    }

    #[test]
    fn few_explanations_leave_the_programs_weight_alone() {
        for counts in [[0, 0, 0, 0], [5, 0, 0, 0], [0, 3, 2, 0]] {
            assert!((weight(counts, 1.25) - 1.25).abs() < 1e-12, "{counts:?}");
        }
    }

    #[test]
    fn a_signal_that_was_never_there_is_not_learnt_about() {
        // Nearly always satisfied, never copied: no reason to think that copying is bad or good.
        assert!((weight([0, 0, 90, 10], 0.0)).abs() < 0.05);
    }

    #[test]
    fn explanations_move_a_weight_to_what_it_is_for_this_user() {
        // λ of the table is ln(9·9/(1·1)) = 4.4 before it is pulled to independence.
        let moved = weight([90, 10, 10, 90], -1.0);
        assert!((3.0..4.4).contains(&moved), "{moved}");
        let mirrored = weight([10, 90, 90, 10], 1.0);
        assert!((moved + mirrored).abs() < 1e-9, "{mirrored}");
        let early = weight([5, 1, 1, 5], -1.0);
        assert!(-1.0 < early && early < moved, "{early}");
    }

    #[test]
    fn how_satisfied_a_user_usually_is_shows_after_some_answers() {
        let usually = |yes, no| explained([yes, no, 0, 0]).usually(POLICY, NOW);
        assert!(usually(5, 0).abs() < 1e-12);
        let expected = 3.0_f64.ln() * (1.0 / (1.0 / 60.0 + 1.0 / 20.0));
        let shrunk = expected / (1.0 + 15.0);
        assert!((usually(59, 19) - shrunk).abs() < 1e-9);
        assert!((usually(19, 59) + shrunk).abs() < 1e-9);
    }

    #[test]
    fn old_habits_fade() {
        let baseline = user(40, 0);
        let reading = baseline.reading(POLICY, "m", "copied", true, NOW + 60 * DAY);
        assert!((reading.trust - 0.5).abs() < 1e-12, "{reading:?}");
        let back_in_time = baseline.reading(POLICY, "m", "copied", true, NOW - 60 * DAY);
        assert!((back_in_time.trust - 0.8).abs() < 1e-12);
    }

    #[test]
    fn signals_that_are_no_longer_declared_make_way() {
        let mut baseline = user(40, 0);
        let many: Vec<_> = (0..MOST_SIGNALS + 5).map(|signal| signal.to_string()).collect();
        (0..3).for_each(|_| baseline.observe(POLICY, "m", &many, &BTreeSet::new(), NOW));
        assert_eq!(baseline.signals.len(), MOST_SIGNALS);
        assert!(copied(&baseline, true).trust.abs() < 1e-12);
        assert!(baseline.reading(POLICY, "m", "0", true, NOW).trust > 0.2);
    }

    #[test]
    fn answers_say_whether_they_are_content() {
        let levels = names(&["bad", "so-so", "good"]);
        let rating = Rating { levels: levels.clone() }.into();
        let rated = |level: &str| satisfied(&rating, &Given::Rating(level.to_owned()));
        assert_eq!(["bad", "so-so", "good", "?"].map(rated), [Some(false), None, Some(true), None]);
        let ratings = Ratings { aspects: names(&["a", "b"]), levels }.into();
        let pair = |a: &str, b: &str| {
            let rated = [("a", a), ("b", b)].map(|(x, y)| (x.to_owned(), y.to_owned()));
            satisfied(&ratings, &Given::Ratings(rated.into()))
        };
        assert_eq!(pair("good", "so-so"), Some(true));
        assert_eq!((pair("good", "bad"), pair("bad", "so-so")), (None, Some(false)));
        let thumb = |thumb| satisfied(&Thumbs.into(), &Given::Thumbs(thumb));
        assert_eq!((thumb(Thumb::Up), thumb(Thumb::Down)), (Some(true), Some(false)));
        assert_eq!(satisfied(&Thumbs.into(), &Given::Count(3)), None);
    }

    proptest! {
        #[test]
        fn whatever_happens_readings_stay_in_range_and_the_state_small(
            events in proptest::collection::vec(
                (0_u8..60, any::<bool>(), any::<Option<bool>>(), any::<u64>()), 1..150),
            half_life: u64, guess in -10.0..10.0,
        ) {
            let policy = ProfilePolicy { half_life };
            let mut baseline = Baseline::default();
            for (signal, observed, satisfied, now) in events {
                let declared = vec![signal.to_string(), "always".to_owned()];
                let seen = if observed { set(&[&declared[0]]) } else { set(&[]) };
                match satisfied {
                    Some(yes) => baseline.explain(policy, "m", &declared, &seen, yes, now),
                    None => baseline.observe(policy, "m", &declared, &seen, now),
                }
                for name in &declared {
                    let reading = baseline.reading(policy, "m", name, observed, now);
                    prop_assert!((0.0..=1.0).contains(&reading.rate), "{:?}", reading);
                    prop_assert!((-1.0..=1.0).contains(&reading.against), "{:?}", reading);
                    prop_assert!((-3.0..=3.0).contains(&reading.unusual), "{:?}", reading);
                    let weight = baseline.weight(policy, "m", name, guess, now);
                    prop_assert!((-10.0..=10.0).contains(&weight));
                    prop_assert!(baseline.usually(policy, now).abs() < 12.0);
                }
            }
            let bytes = bincode::serde::encode_to_vec(&baseline, bincode::config::standard()).unwrap();
            prop_assert!(bytes.len() <= 2400, "{} bytes", bytes.len());
        }
    }
}
