use super::*;
use crate::parse_moment;
use proptest::prelude::*;

fn precision(days: u64) -> TimePrecision {
    TimePrecision::from_seconds(days * DAY).unwrap()
}

fn weeks(begins: Weekday) -> Calendar {
    Calendar::weeks(precision(7), begins).unwrap()
}

fn at(moment: &str) -> u64 {
    parse_moment(moment).unwrap()
}

#[test]
fn what_is_no_day_is_refused_and_those_that_are_come_back() {
    for word in ["", "Monday", "MONDAY", "mon", "montag", "thursday ", "1", "donderdag"] {
        let error = word.parse::<Weekday>().unwrap_err().to_string();
        assert!(error.contains(&format!("{word:?}")) && error.contains("\"monday\" to"), "{error}");
    }
    for (number, day) in (0..).zip(Weekday::ALL) {
        assert_eq!(day.word().parse(), Ok(day));
        assert_eq!((day.number(), Weekday::from_number(number)), (number, Some(day)));
        assert_eq!(serde_json::to_value(day).unwrap(), day.word());
        assert_eq!(day.to_string().to_lowercase(), day.word());
    }
    assert_eq!(Weekday::from_number(7), None);
}

#[test]
fn only_weeks_begin_on_a_day() {
    let hours = |hours: u64| TimePrecision::from_seconds(hours * 3600).unwrap();
    for window in [hours(1), precision(1), precision(8), hours(7 * 24 + 1)] {
        let error = Calendar::weeks(window, Weekday::Monday).unwrap_err().to_string();
        let length = format_duration(window.seconds());
        assert!(error.contains(&length) && error.contains("whole weeks"), "{error}");
        assert_eq!(Calendar::from(window).week_begins(), None);
        assert!(Calendar::weeks(window, Weekday::Thursday).is_err(), "not even on DAP's");
        assert_eq!(weeks(Weekday::Monday).with_length(window), window.into());
    }
    assert_eq!(
        weeks(Weekday::Monday).with_length(precision(14)).week_begins(),
        Some(Weekday::Monday)
    );
}

#[test]
fn a_monday_week_is_that_of_the_calendar_and_has_the_number_of_its_thursday() {
    let calendar = weeks(Weekday::Monday);
    let (from, to) = (at("2026-11-02T00:00:00Z"), at("2026-11-09T00:00:00Z"));
    let number = calendar.time_at(from);
    assert_eq!(precision(7).start_of(number), at("2026-11-05T00:00:00Z"));
    assert_eq!(calendar.start_of(number), from);
    assert_eq!(calendar.start_of(Time(number.0 + 1)), to);
    assert_eq!(calendar.time_at(to - 1), number);
    assert_eq!(calendar.time_at(from - 1), Time(number.0 - 1));
    assert_eq!(calendar.time_at(to), Time(number.0 + 1));
}

#[test]
fn where_windows_begin_is_said_with_the_reason() {
    let near = |calendar: Calendar, moment| calendar.starts_near(at(moment));
    let thursdays = near(precision(7).into(), "2026-11-02T00:00:00Z");
    for words in [
        "windows of 1 week",
        "on Thursdays unless the program has week_begins",
        "2026-10-29T00:00:00Z and 2026-11-05T00:00:00Z",
    ] {
        assert!(thursdays.contains(words), "{thursdays}");
    }
    let mondays = near(weeks(Weekday::Monday), "2026-11-05T00:00:00Z");
    assert_eq!(
        mondays,
        "windows of 1 week begin on Mondays, as week_begins says: the nearest starts are \
         2026-11-02T00:00:00Z and 2026-11-09T00:00:00Z"
    );
    let noon = near(precision(1).into(), "2026-11-02T12:00:00Z");
    assert!(noon.ends_with("2026-11-02T00:00:00Z and 2026-11-03T00:00:00Z"), "{noon}");
    assert!(!noon.contains("day,"), "{noon}");
    assert!(near(precision(14).into(), "2026-11-02T00:00:00Z").contains("on Thursdays"));
}

#[test]
fn without_a_day_everything_is_as_dap_counts() {
    for calendar in [Calendar::from(precision(7)), weeks(Weekday::Thursday), precision(1).into()] {
        for moment in [0, 1, DAY, 1_795_417_761, u64::MAX] {
            let time = calendar.precision().time_at(moment);
            assert_eq!(calendar.time_at(moment), time);
            assert_eq!(calendar.start_of(time), calendar.precision().start_of(time));
        }
    }
}

#[test]
fn before_the_epoch_and_after_the_last_second_nothing_panics() {
    for day in Weekday::ALL {
        let calendar = weeks(day);
        assert_eq!(calendar.time_at(0), Time(0));
        assert!(calendar.is_start(0), "there is nothing before the Epoch");
        let _ = (calendar.time_at(u64::MAX), calendar.start_of(Time(u64::MAX)));
        let _ = calendar.starts_near(u64::MAX);
    }
}

fn any_day() -> impl Strategy<Value = Weekday> {
    prop::sample::select(Weekday::ALL.to_vec())
}

/// Moments around the edges of weeks, by a second and by days, and any others.
fn moments() -> impl Strategy<Value = u64> {
    let around = (1_u64..10_000, -2_i64..=2, 0_u64..7).prop_map(|(week, seconds, days)| {
        (week * WEEK + days * DAY).saturating_add_signed(seconds)
    });
    prop_oneof![around, 0_u64..10_000_000_000]
}

proptest! {
    #[test]
    fn windows_follow_each_other_and_begin_on_the_day(
        day in any_day(), count in 1_u64..6, moment in moments()
    ) {
        let calendar = Calendar::weeks(precision(7 * count), day).unwrap();
        let time = calendar.time_at(moment);
        let (start, end) = (calendar.start_of(time), calendar.start_of(Time(time.0 + 1)));
        prop_assert!(start <= moment && moment < end);
        prop_assert_eq!(calendar.time_at(start), time);
        prop_assert_eq!(calendar.time_at(end), Time(time.0 + 1));
        prop_assert!(calendar.is_start(start) && (moment == start || !calendar.is_start(moment)));
        prop_assert!(time.0 == 0 || end - start == calendar.seconds());
        // 1970-01-05 was a Monday.
        prop_assert!(time.0 == 0 || (start / DAY + 3) % 7 == u64::from(day.number()));
    }

    /// What lets an aggregator that counts by DAP alone take part, too.
    #[test]
    fn its_time_on_the_wire_is_within_the_window_and_its_interval_ends_no_sooner(
        day in any_day(), count in 1_u64..6, moment in moments()
    ) {
        let calendar = Calendar::weeks(precision(7 * count), day).unwrap();
        let Time(number) = calendar.time_at(moment);
        let (start, end) = (calendar.start_of(Time(number)), calendar.start_of(Time(number + 1)));
        let wire = [number, number + 1].map(|number| calendar.precision().start_of(Time(number)));
        prop_assert!(start <= wire[0] && wire[0] + DAY <= end, "dated ahead");
        prop_assert!(end <= wire[1] && wire[1] < end + WEEK, "released before its end");
    }

    #[test]
    fn periods_are_whole_windows(
        day in any_day(), count in 1_u64..4, windows in 1_u64..14, moment in moments()
    ) {
        let calendar = Calendar::weeks(precision(7 * count), day).unwrap();
        let periods = calendar.periods(windows * calendar.seconds());
        let period = periods.time_at(moment);
        prop_assert_eq!(period.0, calendar.time_at(moment).0 / windows);
        prop_assert_eq!(periods.start_of(period), calendar.start_of(Time(period.0 * windows)));
    }
}
