//! Which batch to ask for, and when: a batch can be collected only once, so not before its
//! reports have had time to arrive.

use sottovoce_dap::time::{Interval, IntervalError, Time};
use sottovoce_program::{Calendar, format_moment};
use thiserror::Error;

/// A window that should not be collected now.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WindowError {
    /// Late reports may still come.
    #[error(
        "the window from {} ends at {}, and its grace for late reports is {grace} seconds; since a batch is collected \
         only once, it can be collected from {}",
        format_moment(*start), format_moment(*closes), format_moment(closes.saturating_add(*grace))
    )]
    TooEarly {
        /// Start in seconds since the Epoch.
        start: u64,
        /// End in seconds since the Epoch.
        closes: u64,
        /// Declared grace in seconds.
        grace: u64,
        /// Seconds until it may be collected.
        wait: u64,
    },
    /// The start is not one of a window.
    #[error(
        "{} is not the start of a window; {}", format_moment(*start), window.starts_near(*start)
    )]
    Misaligned {
        /// Seconds since the Epoch.
        start: u64,
        /// The windows.
        window: Calendar,
    },
    /// Not an interval.
    #[error(transparent)]
    Interval(#[from] IntervalError),
    /// No window has closed yet.
    #[error("no window has ended since 1970-01-01; check the clock")]
    None,
}

/// The `count` windows from `start`, or those that closed last with their grace over.
///
/// All moments are in seconds since the Epoch.
pub fn choose(
    window: Calendar,
    grace: u64,
    start: Option<u64>,
    count: u64,
    now: u64,
) -> Result<Interval, WindowError> {
    let start = match start {
        Some(start) => aligned(window, start)?,
        None => {
            let closed = window.time_at(now.saturating_sub(grace));
            Time(closed.0.checked_sub(count).ok_or(WindowError::None)?)
        }
    };
    let interval = Interval::new(start, count)?;
    let closes = window.start_of(interval.end());
    let ready = closes.saturating_add(grace);
    if now < ready {
        let start = window.start_of(start);
        return Err(WindowError::TooEarly { start, closes, grace, wait: ready - now });
    }
    Ok(interval)
}

fn aligned(window: Calendar, start: u64) -> Result<Time, WindowError> {
    let found = window.is_start(start);
    if found { Ok(window.time_at(start)) } else { Err(WindowError::Misaligned { start, window }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_dap::time::TimePrecision;
    use sottovoce_program::{Weekday, parse_moment};

    fn hour() -> Calendar {
        TimePrecision::from_seconds(3600).unwrap().into()
    }

    fn mondays() -> Calendar {
        let week = TimePrecision::from_seconds(7 * 86_400).unwrap();
        Calendar::weeks(week, Weekday::Monday).unwrap()
    }

    #[test]
    fn the_last_window_whose_grace_is_over_is_chosen() {
        let choose = |now| choose(hour(), 600, None, 1, now).unwrap().start();
        assert_eq!(choose(7200 + 599), Time(0));
        assert_eq!(choose(7200 + 600), Time(1));
    }

    #[test]
    fn a_window_is_refused_until_its_grace_is_over() {
        let error = choose(hour(), 600, Some(3600), 1, 7500).unwrap_err();
        assert_eq!(
            error,
            WindowError::TooEarly { start: 3600, closes: 7200, grace: 600, wait: 300 }
        );
    }

    #[test]
    fn a_monday_week_is_chosen_by_its_real_days_and_is_that_of_its_thursday_on_the_wire() {
        let at = |day: u64| parse_moment(&format!("2026-11-{day:02}T00:00:00Z")).unwrap();
        let thursday = mondays().precision().time_at(at(5));
        let choose = |start, now| choose(mondays(), 600, start, 1, now);
        // From Monday the 2nd to Monday the 9th; by DAP alone it would last to Thursday the 12th.
        let early = choose(Some(at(2)), at(9) + 599).unwrap_err();
        let WindowError::TooEarly { start, closes, wait, .. } = early else { panic!("{early}") };
        assert_eq!((start, closes, wait), (at(2), at(9), 1));
        assert!(early.to_string().contains("2026-11-09T00:00:00Z"), "{early}");
        for asked in [Some(at(2)), None] {
            let interval = choose(asked, at(9) + 600).unwrap();
            assert_eq!((interval.start(), interval.duration()), (thursday, 1));
        }
        assert_eq!(choose(None, at(9) + 599).unwrap().start(), Time(thursday.0 - 1));
        let error = choose(Some(at(5)), at(30)).unwrap_err().to_string();
        for words in ["begin on Mondays", "2026-11-02T00:00:00Z and 2026-11-09T00:00:00Z"] {
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_start_between_windows_is_refused_with_the_nearest() {
        let error = choose(hour(), 0, Some(3601), 1, 1 << 40).unwrap_err();
        assert_eq!(error, WindowError::Misaligned { start: 3601, window: hour() });
        let words = "1970-01-01T01:00:00Z and 1970-01-01T02:00:00Z";
        assert!(error.to_string().contains(words), "{error}");
    }
}
