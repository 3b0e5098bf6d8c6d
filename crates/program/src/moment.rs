//! Durations and moments as people write them.

/// Seconds in `"1 day"`, `"90 minutes"`, `"30 seconds"`.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("{text:?} must be a number and a unit: seconds, minutes, hours, days or weeks");
    let (number, unit) = text.trim().split_once(' ').ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit.trim().trim_end_matches('s') {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        "week" => 604_800,
        _ => return Err(wrong()),
    };
    let total = number.checked_mul(seconds).filter(|total| *total <= LONGEST);
    total.ok_or_else(|| format!("{text:?} is longer than a hundred years"))
}

const LONGEST: u64 = 100 * 366 * 86_400;

/// A duration in the largest unit that fits, as [`parse_duration`] reads it.
pub fn format_duration(seconds: u64) -> String {
    match largest_unit(seconds) {
        (1, name) => format!("1 {name}"),
        (count, name) => format!("{count} {name}s"),
    }
}

/// How many of the largest unit that fits, and its name.
pub(super) fn largest_unit(seconds: u64) -> (u64, &'static str) {
    let units = [(604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    // Periods are given in days, as programs have them.
    let units = if seconds > 604_800 { &units[1..] } else { &units[..] };
    let fits = |unit: &&(u64, &str)| seconds >= unit.0 && seconds.is_multiple_of(unit.0);
    let (length, name) = units.iter().find(fits).copied().unwrap_or((1, "second"));
    (seconds / length, name)
}

/// Seconds since the Epoch at `"2026-11-01T00:00:00Z"` (RFC 3339, in UTC).
pub fn parse_moment(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} must be a moment in UTC, such as 2026-11-01T00:00:00Z");
    let bytes = text.as_bytes();
    let shape = bytes.len() == 20
        && bytes.iter().zip(b"0000-00-00T00:00:00Z").all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            fixed => byte == fixed,
        });
    if !shape {
        return Err(wrong());
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u64>().map_err(|_| wrong());
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month_index = usize::try_from(month.wrapping_sub(1)).unwrap_or(usize::MAX);
    let length = lengths.get(month_index).ok_or_else(wrong)?;
    if year < 1970 || !(1..=*length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(wrong());
    }
    let years = year - 1970;
    let leap_days = (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 - 477;
    let days = years * 365 + leap_days + lengths[..month_index].iter().sum::<u64>() + day - 1;
    Ok(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// The moment `seconds` after the Epoch as [`parse_moment`] reads it.
pub fn format_moment(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, so that a leap day is the last (Hinnant, "chrono-compatible
    // low-level date algorithms", civil_from_days).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// In seconds.
pub(super) const WEEK: u64 = 7 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(parse_duration("1 day"), Ok(86_400));
        assert_eq!(parse_duration("90 minutes"), Ok(5400));
        assert_eq!(parse_duration("0 seconds"), Ok(0));
        for bad in ["", "day", "1", "-1 day", "1 month", "1.5 hours", "99999999999999 weeks"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_count_leap_years() {
        assert_eq!(parse_moment("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(parse_moment("2000-02-29T00:00:00Z"), Ok(951_782_400));
        assert_eq!(parse_moment("2026-11-23T07:09:21Z"), Ok(1_795_417_761));
        for seconds in (0..5_000_000_000).step_by(12_345_677) {
            assert_eq!(parse_moment(&format_moment(seconds)), Ok(seconds));
        }
        for bad in
            ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-11-01", "2026-11-01T24:00:00Z"]
        {
            assert!(parse_moment(bad).is_err(), "{bad}");
        }
    }
}
