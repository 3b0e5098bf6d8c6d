//! How far the other aggregator's clock is from ours, by the `Date` of its messages (RFC 9110 §6.6.1): of the
//! helper's responses at the leader, of the leader's requests at the helper.
//!
//! Nobody authenticates a date more than the message that it came with, and nothing is decided by it: an operator
//! is told, since neither side could tell from reports alone whose clock is wrong.

use super::{metrics::Metrics, outages::Outages, store::Timestamp};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What is known of the clocks of others.
pub struct Skew {
    metrics: Arc<Metrics>,
    outages: Outages,
}

/// How far clocks may be apart, in seconds, before it is said: as `doctor` has it.
pub const MOST_SKEW: i64 = 30;

impl Skew {
    /// Nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, outages: Outages::new("the clocks of both aggregators differ") }
    }

    /// A message of whoever `url` leads to came just now and has this date. One that is no date says nothing.
    pub fn note(&self, url: &str, date: &str, now: Timestamp) {
        let (peer, Some(seconds)) = (origin(url), ahead(date, now)) else { return };
        #[expect(clippy::cast_precision_loss, reason = "clocks of this age")]
        self.metrics.clock_skew(peer, seconds as f64);
        if seconds.abs() <= MOST_SKEW {
            self.outages.ends(peer);
        } else {
            let which = if seconds > 0 { "ahead of" } else { "behind" };
            let error = format!(
                "the other clock is {} s {which} ours, and at most {MOST_SKEW} s are all right: synchronise both with NTP",
                seconds.abs()
            );
            self.outages.fails(peer, &error);
        }
    }
}

/// A URL without its path: all of a peer's tasks and jobs are with one clock.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |end| &url[..host + end])
}

/// Seconds by which a date is ahead of our clock, which says `now`.
fn ahead(date: &str, now: Timestamp) -> Option<i64> {
    let date = httpdate::parse_http_date(date).ok()?;
    let theirs = i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    theirs.checked_sub(i64::try_from(now.0 / 1000).ok()?)
}

/// Our time, for a message of ours.
pub fn date(now: Timestamp) -> String {
    // HTTP has no dates after the year 9999.
    let seconds = (now.0 / 1000).min(253_402_300_799);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Format;

    const NOW: Timestamp = Timestamp(1_800_000_000_500);

    #[test]
    fn a_clock_is_compared_by_the_seconds_of_its_date() {
        let later = |seconds: u64| date(Timestamp(NOW.0 + seconds * 1000));
        let earlier = |seconds: u64| date(Timestamp(NOW.0 - seconds * 1000));
        assert_eq!(later(0), "Fri, 15 Jan 2027 08:00:00 GMT");
        assert_eq!(ahead(&later(0), NOW), Some(0));
        assert_eq!(ahead(&later(600), NOW), Some(600));
        assert_eq!(ahead(&earlier(600), NOW), Some(-600));
    }

    #[test]
    fn what_is_no_date_says_nothing() {
        for text in ["", "now", "Fri, 15 Jan 2027", "Thu, 01 Jan 1960 00:00:00 GMT", "1800000000"] {
            assert_eq!(ahead(text, NOW), None, "{text}");
        }
        assert!(date(Timestamp(u64::MAX)).ends_with("9999 23:59:59 GMT"));
    }

    #[test]
    fn either_direction_is_in_the_metrics() {
        let metrics = Arc::new(Metrics::new());
        let skew = Skew::new(Arc::clone(&metrics));
        skew.note("https://behind.example/tasks/1/reports", &date(Timestamp(NOW.0 - 600_000)), NOW);
        skew.note("https://ahead.example", &date(Timestamp(NOW.0 + 600_000)), NOW);
        let text = metrics.text(Format::Prometheus);
        for (peer, seconds) in [("behind", "-600"), ("ahead", "600")] {
            let line = format!(
                "sottovoce_peer_clock_skew_seconds{{peer=\"https://{peer}.example\"}} {seconds}"
            );
            assert!(
                text.lines().any(|found| found == format!("{line}.0") || *found == line),
                "{text}"
            );
        }
    }
}
