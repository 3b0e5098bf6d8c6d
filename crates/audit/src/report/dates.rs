//! Dates as people write them, in UTC.

/// A date and time for people, in UTC.
pub(super) fn moment(seconds: u64) -> String {
    sottovoce_program::format_moment(seconds).replace('T', " ").replace('Z', " UTC")
}

/// A date for people, in UTC.
pub(super) fn date(seconds: u64) -> String {
    sottovoce_program::format_moment(seconds).chars().take(10).collect()
}
