//! What fails for a while: said in the log once when it begins, hourly while it lasts, and once when it is over,
//! with how often it failed. What fails and recovers again and again is said once a minute at most.

use super::clock;
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Failures of one kind, by what failed: a peer, a task, a part of the work. Never by what a stranger sends, since
/// all are remembered.
#[derive(Debug)]
pub struct Outages {
    what: &'static str,
    all: Mutex<Option<HashMap<String, Outage>>>,
}

/// A failure that goes on, or that was over a moment ago.
#[derive(Clone, Copy, Debug)]
struct Outage {
    since: Instant,
    times: u64,
    said: Instant,
    over: Option<Instant>,
}

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    Nothing,
    Begins,
    GoesOn(Outage),
    Over(Outage),
}

impl PartialEq for Outage {
    fn eq(&self, other: &Self) -> bool {
        (self.since, self.times) == (other.since, other.times)
    }
}

impl Eq for Outage {}

/// How often something that goes on is said again.
const AGAIN: Duration = Duration::from_secs(3600);
/// What fails again so soon is the same outage; and how often ends are said at most.
const APART: Duration = Duration::from_secs(60);

impl Outages {
    /// None yet; `what` says in the log what failed: "an aggregation job".
    pub const fn new(what: &'static str) -> Self {
        Self { what, all: Mutex::new(None) }
    }

    /// It failed, once more or for the first time. Gives since when it has.
    pub fn fails(&self, subject: &str, error: &dyn fmt::Display) -> Duration {
        let now = clock::instant();
        let (say, since) = self.count(subject, now);
        let what = self.what;
        match say {
            Say::Begins => tracing::warn!(subject, %error, "outage begins: {what}; it is retried"),
            Say::GoesOn(Outage { times, .. }) => {
                let seconds = now.saturating_duration_since(since).as_secs();
                tracing::warn!(subject, %error, times, seconds, "outage goes on: {what}");
            }
            Say::Nothing | Say::Over(_) => tracing::debug!(subject, %error, "{what}"),
        }
        now.saturating_duration_since(since)
    }

    /// It went well.
    pub fn ends(&self, subject: &str) {
        if let Say::Over(Outage { times, since, .. }) = self.settle(subject, clock::instant()) {
            let seconds = clock::instant().saturating_duration_since(since).as_secs();
            let what = self.what;
            tracing::info!(subject, times, seconds, "outage is over: {what}");
        }
    }

    fn count(&self, subject: &str, now: Instant) -> (Say, Instant) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let all = all.get_or_insert_default();
        let is_old = |outage: &Outage| outage.over.is_some_and(|over| is_past(over, APART, now));
        if all.get(subject).is_none_or(is_old) {
            let begun = Outage { since: now, times: 1, said: now, over: None };
            all.insert(subject.to_owned(), begun);
            return (Say::Begins, now);
        }
        let Some(outage) = all.get_mut(subject) else { return (Say::Nothing, now) };
        outage.times += 1;
        outage.over = None;
        if !is_past(outage.said, AGAIN, now) {
            return (Say::Nothing, outage.since);
        }
        outage.said = now;
        (Say::GoesOn(*outage), outage.since)
    }

    fn settle(&self, subject: &str, now: Instant) -> Say {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let outage = all.as_mut().and_then(|all| all.get_mut(subject));
        let Some(outage) = outage.filter(|outage| outage.over.is_none()) else {
            return Say::Nothing;
        };
        outage.over = Some(now);
        // One that flaps has had its end said a moment ago.
        if outage.said != outage.since && !is_past(outage.said, APART, now) {
            return Say::Nothing;
        }
        // Never the moment of the beginning, which says that no end was said yet.
        outage.said = now.max(outage.since + Duration::from_nanos(1));
        Say::Over(*outage)
    }
}

fn is_past(then: Instant, time: Duration, now: Instant) -> bool {
    now.saturating_duration_since(then) >= time
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of failures (`f`) and successes (`s`) at seconds, with the number of failures.
    fn said(events: &[(char, u64)]) -> Vec<(u64, &'static str, u64)> {
        let (outages, begin) = (Outages::new("a test"), Instant::now());
        let mut said = Vec::new();
        for &(event, second) in events {
            let now = begin + Duration::from_secs(second);
            let say = match event {
                'f' => outages.count("it", now).0,
                _ => outages.settle("it", now),
            };
            match say {
                Say::Nothing => {}
                Say::Begins => said.push((second, "begins", 1)),
                Say::GoesOn(outage) => said.push((second, "goes on", outage.times)),
                Say::Over(outage) => said.push((second, "over", outage.times)),
            }
        }
        said
    }

    #[test]
    fn an_outage_is_said_when_it_begins_and_when_it_is_over_with_how_often_it_failed() {
        let failures = (10..140).map(|second| ('f', second));
        let events: Vec<_> =
            [('s', 0)].into_iter().chain(failures).chain([('s', 140), ('s', 141)]).collect();
        assert_eq!(said(&events), [(10, "begins", 1), (140, "over", 130)]);
    }

    #[test]
    fn one_that_lasts_is_said_hourly() {
        let events: Vec<_> = (0..=1440).map(|number| ('f', number * 5)).collect();
        let expected = [(0, "begins", 1), (3600, "goes on", 721), (7200, "goes on", 1441)];
        assert_eq!(said(&events), expected);
    }

    #[test]
    fn one_that_flaps_is_said_once_a_minute_and_nothing_is_left_out_of_the_count() {
        let events: Vec<_> =
            (0..90).flat_map(|number| [('f', number * 2), ('s', number * 2 + 1)]).collect();
        let expected = [(0, "begins", 1), (1, "over", 1), (61, "over", 31), (121, "over", 61)];
        assert_eq!(said(&events), expected);
    }

    #[test]
    fn what_fails_again_later_is_another_outage_and_subjects_are_apart() {
        let events = [('f', 0), ('s', 1), ('f', 100), ('s', 101)];
        let expected = [(0, "begins", 1), (1, "over", 1), (100, "begins", 1), (101, "over", 1)];
        assert_eq!(said(&events), expected);
        let (outages, now) = (Outages::new("a test"), Instant::now());
        assert_eq!(outages.count("one", now).0, Say::Begins);
        assert_eq!(outages.count("other", now).0, Say::Begins);
        assert_eq!(outages.settle("third", now), Say::Nothing);
    }
}
