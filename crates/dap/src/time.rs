//! Times, durations and intervals (§4.1.1), all counted in a task's time precision.

use super::codec::{Decode, DecodeError, Encode, Reader};
use thiserror::Error;

/// Seconds in one unit of a task's times (`TimePrecision`); never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimePrecision(std::num::NonZeroU64);

impl TimePrecision {
    /// From a number of seconds; `None` for zero.
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        std::num::NonZeroU64::new(seconds).map(Self)
    }

    /// The unit in seconds.
    pub fn seconds(self) -> u64 {
        self.0.get()
    }

    /// The time that contains a moment given in seconds since the Epoch.
    pub fn time_at(self, unix_seconds: u64) -> Time {
        Time(unix_seconds / self.seconds())
    }

    /// The first second of `time`, since the Epoch; the largest number of seconds if it is later.
    pub fn start_of(self, time: Time) -> u64 {
        time.0.saturating_mul(self.seconds())
    }
}

impl Encode for TimePrecision {
    fn encode(&self, out: &mut Vec<u8>) {
        self.seconds().encode(out);
    }
}

impl Decode for TimePrecision {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let seconds = reader.u64("time precision")?;
        Self::from_seconds(seconds)
            .ok_or(DecodeError::Invalid { field: "time precision", reason: "must not be zero" })
    }
}

/// A moment: a number of time precisions since the Epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Encode for Time {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for Time {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u64("time").map(Self)
    }
}

/// Times that cannot be an interval.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum IntervalError {
    /// The interval holds no time at all.
    #[error("an interval must last at least one time precision")]
    Empty,
    /// The end is past the largest time.
    #[error("an interval that starts at {start} and lasts {duration} ends after the largest time")]
    Overflow {
        /// The start given.
        start: u64,
        /// The duration given.
        duration: u64,
    },
}

/// Half-open and never empty: `start` is inside, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    start: Time,
    end: Time,
}

impl Interval {
    /// The interval that starts at `start` and lasts `duration` time precisions.
    pub fn new(start: Time, duration: u64) -> Result<Self, IntervalError> {
        if duration == 0 {
            return Err(IntervalError::Empty);
        }
        let end = start
            .0
            .checked_add(duration)
            .ok_or(IntervalError::Overflow { start: start.0, duration })?;
        Ok(Self { start, end: Time(end) })
    }

    /// The smallest interval that contains both times; `None` if it would end past the largest.
    pub fn spanning(first: Time, last: Time) -> Option<Self> {
        let (start, last) = (first.min(last), first.max(last));
        let end = Time(last.0.checked_add(1)?);
        Some(Self { start, end })
    }

    /// First time inside.
    pub fn start(&self) -> Time {
        self.start
    }

    /// First time after.
    pub fn end(&self) -> Time {
        self.end
    }

    /// Length in time precisions.
    pub fn duration(&self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Whether `time` falls inside.
    pub fn contains(&self, time: Time) -> bool {
        self.start <= time && time < self.end
    }

    /// Whether all of `other` is inside.
    pub fn covers(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

impl Encode for Interval {
    fn encode(&self, out: &mut Vec<u8>) {
        self.start.encode(out);
        self.duration().encode(out);
    }
}

impl Decode for Interval {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let start = Time::decode(reader)?;
        let duration = reader.u64("duration")?;
        Self::new(start, duration).map_err(|error| DecodeError::Invalid {
            field: "interval",
            reason: match error {
                IntervalError::Empty => "must last at least one time precision",
                IntervalError::Overflow { .. } => "must not end after the largest time",
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_precisions_since_the_epoch() {
        let ten_seconds = TimePrecision::from_seconds(10).unwrap();
        let time = ten_seconds.time_at(1_234_567_890);
        assert_eq!(time, Time(123_456_789));
        assert_eq!(ten_seconds.start_of(time), 1_234_567_890);
        assert_eq!(ten_seconds.time_at(1_234_567_899), time);
    }

    #[test]
    fn intervals_are_half_open() {
        let interval = Interval::new(Time(5), 2).unwrap();
        let inside = (4..8).map(|t| interval.contains(Time(t))).collect::<Vec<_>>();
        assert_eq!(inside, [false, true, true, false]);
    }

    #[test]
    fn empty_and_endless_intervals_are_refused() {
        assert_eq!(Interval::new(Time(5), 0), Err(IntervalError::Empty));
        assert!(Interval::new(Time(u64::MAX), 1).is_err());
        assert!(Interval::from_bytes(&[0; 16]).is_err());
        assert!(TimePrecision::from_bytes(&[0; 8]).is_err());
    }
}
