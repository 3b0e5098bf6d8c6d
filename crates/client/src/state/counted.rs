//! By which calendar the windows in a state are numbered.

use serde::{Deserialize, Serialize};
use sottovoce_dap::time::TimePrecision;
use sottovoce_program::{Calendar, Weekday};

/// A calendar in one number, so that states of before there were days of the week stay as they are: the seconds
/// of a window, and above them, if weeks do not begin on Thursdays, the day's number in the week and one. Zero if it
/// is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Counted(u64);

impl Counted {
    /// Of a state whose version did not say.
    pub(crate) const UNKNOWN: Self = Self(0);

    /// The calendar, if it is known.
    pub(crate) fn calendar(self) -> Option<Calendar> {
        let seconds = self.0 & ((1 << DAY_AT) - 1);
        let precision = TimePrecision::from_seconds(seconds)?;
        let day = u8::try_from(self.0 >> DAY_AT).ok()?.checked_sub(1);
        let day = day.and_then(Weekday::from_number);
        Some(Calendar::from(precision).beginning(day.unwrap_or_default()))
    }
}

impl From<Calendar> for Counted {
    fn from(calendar: Calendar) -> Self {
        let day = calendar.week_begins().filter(|day| !day.is_thursday());
        let day = day.map_or(0, |day| u64::from(day.number()) + 1);
        // No program has windows of more than a hundred years.
        Self((day << DAY_AT) | (calendar.seconds() & ((1 << DAY_AT) - 1)))
    }
}

/// The first bit of the day.
const DAY_AT: u32 = 56;

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: u64 = 7 * 86_400;

    #[test]
    fn calendars_come_back_and_those_of_before_are_seconds() {
        for seconds in [1, 60, 86_400, WEEK, 4 * WEEK] {
            let plain = Calendar::from(TimePrecision::from_seconds(seconds).unwrap());
            assert_eq!(Counted::from(plain), Counted(seconds));
            for day in Weekday::ALL {
                let calendar = plain.beginning(day);
                assert_eq!(Counted::from(calendar).calendar(), Some(calendar), "{day}");
                let same = seconds % WEEK != 0 || day.is_thursday();
                assert_eq!(Counted::from(calendar) == Counted(seconds), same, "{seconds} {day}");
            }
        }
        assert_eq!(Counted::UNKNOWN.calendar(), None);
        // A day that there is not, or one without weeks, in a blob that nobody wrote, is no panic.
        for odd in [u64::MAX, 200 << DAY_AT, (1 << DAY_AT) + 86_400] {
            let _ = Counted(odd).calendar();
        }
    }
}
