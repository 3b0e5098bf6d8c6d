//! Which batch to ask for, and when: a batch can be collected only once, so not before its
//! reports have had time to arrive.

use crate::dap::time::{Interval, IntervalError, Time, TimePrecision};
use crate::program::{format_moment, starts_near};
use thiserror::Error;

/// A window that should not be collected now.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WindowError {
    /// Late reports may still come.
    #[error(
        "the window that starts at {} closes at {} and then waits {grace} seconds for late \
         reports; ask again {wait} seconds from now, since a batch is collected only once",
        format_moment(*start), format_moment(*closes)
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
        "{} is not the start of a window; {}", format_moment(*start), starts_near(*window, *start)
    )]
    Misaligned {
        /// Seconds since the Epoch.
        start: u64,
        /// The windows.
        window: TimePrecision,
    },
    /// Not an interval.
    #[error(transparent)]
    Interval(#[from] IntervalError),
    /// No window has closed yet.
    #[error("no window has closed yet since the Epoch; is the clock right?")]
    None,
}

/// The `count` windows from `start`, or those that closed last with their grace over.
///
/// All moments are in seconds since the Epoch.
pub fn choose(
    window: TimePrecision,
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

fn aligned(window: TimePrecision, start: u64) -> Result<Time, WindowError> {
    let time = window.time_at(start);
    let found = window.start_of(time) == start;
    if found { Ok(time) } else { Err(WindowError::Misaligned { start, window }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour() -> TimePrecision {
        TimePrecision::from_seconds(3600).unwrap()
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
    fn a_start_between_windows_is_refused_with_the_nearest() {
        let error = choose(hour(), 0, Some(3601), 1, 1 << 40).unwrap_err();
        assert_eq!(error, WindowError::Misaligned { start: 3601, window: hour() });
        let words = "1970-01-01T01:00:00Z and 1970-01-01T02:00:00Z";
        assert!(error.to_string().contains(words), "{error}");
    }
}
