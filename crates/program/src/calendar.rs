//! How long windows are, and where they begin: weeks may begin on the day that the program says.

use super::moment::{WEEK, format_duration, format_moment};
use serde::{Deserialize, Serialize};
use sottovoce_dap::time::{Time, TimePrecision};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// A day of the week, in UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    /// The first of ISO 8601.
    Monday,
    /// The second.
    Tuesday,
    /// The third.
    Wednesday,
    /// The fourth: the day of the Epoch, from which DAP counts, and so the default.
    #[default]
    Thursday,
    /// The fifth.
    Friday,
    /// The sixth.
    Saturday,
    /// The seventh.
    Sunday,
}

impl Weekday {
    /// All seven, as ISO 8601 has them.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// As programs and manifests write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }

    /// Whether it is the day that DAP's own weeks begin on.
    pub fn is_thursday(&self) -> bool {
        *self == Self::Thursday
    }

    /// Its place in the week: 0 is Monday.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The day in that place.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Days from its start to the next start of a Thursday, 0 to 6.
    fn days_to_thursday(self) -> u64 {
        (10 - u64::from(self.number())) % 7
    }
}

/// For the schema: the days, or none.
#[cfg(feature = "schema")]
pub(super) const WORDS: [Option<&str>; 8] = [
    Some("monday"),
    Some("tuesday"),
    Some("wednesday"),
    Some("thursday"),
    Some("friday"),
    Some("saturday"),
    Some("sunday"),
    None,
];

impl fmt::Display for Weekday {
    /// As sentences have it: `Monday`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Monday => "Monday",
            Self::Tuesday => "Tuesday",
            Self::Wednesday => "Wednesday",
            Self::Thursday => "Thursday",
            Self::Friday => "Friday",
            Self::Saturday => "Saturday",
            Self::Sunday => "Sunday",
        })
    }
}

/// A word that is no day.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} must be a day of the week in lower case, \"monday\" to \"sunday\"")]
pub struct NoWeekday(String);

impl FromStr for Weekday {
    type Err = NoWeekday;

    fn from_str(word: &str) -> Result<Self, NoWeekday> {
        let found = Self::ALL.into_iter().find(|day| day.word() == word);
        found.ok_or_else(|| NoWeekday(word.to_owned()))
    }
}

/// Windows that are no whole weeks, of which it is said on which day they begin.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "week_begins needs windows of whole weeks, and these last {}: remove week_begins, or use \
     window = \"1 week\"", format_duration(*.0)
)]
pub struct NoWeeks(u64);

/// How long windows are, and where they begin.
///
/// To DAP a window is one time precision, numbered from the Epoch, which was a Thursday: an interval of weeks
/// can only begin and end on Thursdays. Where weeks begin on another day, **a window has the number of the week
/// of DAP that begins within it**. Its time on the wire is thus its own (first) Thursday, as ISO 8601 names a week by
/// its Thursday: a moment of the window itself, and the same number at the devices, at both aggregators and at
/// the collector. A bucket is a window as ever, so that nothing changes in what a batch may be made of: a device has
/// one report in each, whole windows only are released, and each is full by itself.
///
/// What differs is when a window is over: it ends up to six days before the interval that DAP has for it. So
/// whoever does not know the day can err on one side only. A report, which is sent after its window, is never
/// dated ahead, since its window's Thursday is over by at least a day; and an aggregator that counts by DAP alone
/// releases the window some days late, but never before all of it is over. Ours know the day from the program, which
/// binds it into the task's ID by the manifest, and release the window at its real end and grace.
///
/// The other ways are worse. Numbers that name the week of DAP before the window would let an aggregator that
/// knows nothing release it days before its end, and late reports would be lost. A precision of one day, with
/// intervals of seven, would give each week seven buckets: anybody could put a report into an odd one, and that
/// alone would keep the interval from being full by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    precision: TimePrecision,
    begins: Weekday,
}

impl Calendar {
    /// Windows of whole weeks that begin on a day.
    pub fn weeks(precision: TimePrecision, begins: Weekday) -> Result<Self, NoWeeks> {
        let calendar = Self { precision, begins };
        if calendar.is_weeks() { Ok(calendar) } else { Err(NoWeeks(precision.seconds())) }
    }

    /// Windows of another length that begin like these, if they are whole weeks too: on the same day of the week.
    #[must_use]
    pub fn with_length(self, precision: TimePrecision) -> Self {
        Self::from(precision).beginning(self.begins)
    }

    /// The same windows, beginning on a day if they are whole weeks.
    #[must_use]
    pub fn beginning(self, day: Weekday) -> Self {
        Self::weeks(self.precision, day).unwrap_or_else(|_| self.precision.into())
    }

    /// Periods of so many seconds, of which each begins with the first of its windows if they are whole windows.
    #[must_use]
    pub fn periods(self, seconds: u64) -> Self {
        let precision = TimePrecision::from_seconds(seconds).unwrap_or(self.precision);
        // The same lead, whatever the length.
        Self { precision, begins: self.begins }
    }

    /// What DAP counts in.
    pub fn precision(self) -> TimePrecision {
        self.precision
    }

    /// The length of a window.
    pub fn seconds(self) -> u64 {
        self.precision.seconds()
    }

    /// The day that weeks begin on; nothing if windows are no whole weeks.
    pub fn week_begins(self) -> Option<Weekday> {
        self.is_weeks().then_some(self.begins)
    }

    /// The window that contains a moment in seconds since the Epoch, as its number on the wire.
    pub fn time_at(self, unix_seconds: u64) -> Time {
        self.precision.time_at(unix_seconds.saturating_add(self.lead()))
    }

    /// The first second of a window, since the Epoch; the Epoch itself for one that begins before it.
    pub fn start_of(self, time: Time) -> u64 {
        self.precision.start_of(time).saturating_sub(self.lead())
    }

    /// Whether a window begins at a moment in seconds since the Epoch.
    pub fn is_start(self, unix_seconds: u64) -> bool {
        self.start_of(self.time_at(unix_seconds)) == unix_seconds
    }

    /// Where windows begin around a moment that is no such start, and why there, in words.
    pub fn starts_near(self, moment: u64) -> String {
        let length = format_duration(self.seconds());
        let Time(number) = self.time_at(moment);
        let [before, after] = [number, number.saturating_add(1)]
            .map(|number| format_moment(self.start_of(Time(number))));
        let why = match self.week_begins() {
            None => "are counted from 1970-01-01T00:00:00Z".to_owned(),
            Some(Weekday::Thursday) => {
                "are counted from 1970-01-01T00:00:00Z, a Thursday, so they all begin on \
                 Thursdays unless the program has week_begins"
                    .to_owned()
            }
            Some(day) => format!("begin on {day}s, as week_begins says"),
        };
        format!("windows of {length} {why}: the nearest starts are {before} and {after}")
    }

    /// Seconds by which a window begins before the interval that DAP has for it.
    fn lead(self) -> u64 {
        self.begins.days_to_thursday() * DAY
    }

    fn is_weeks(self) -> bool {
        self.seconds().is_multiple_of(WEEK)
    }
}

impl From<TimePrecision> for Calendar {
    /// Windows as DAP counts them.
    fn from(precision: TimePrecision) -> Self {
        Self { precision, begins: Weekday::Thursday }
    }
}

/// In seconds.
const DAY: u64 = 86_400;

#[cfg(test)]
mod tests;
