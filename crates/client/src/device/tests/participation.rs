//! Each device reports in windows of its own.

use super::{super::*, *};
use crate::state;

fn with_windows(windows: u64) -> Engine<MemoryStorage> {
    let program = program_with(&format!("[budget]\nperiod = \"10 days\"\nwindows = {windows}"));
    let storage = MemoryStorage::default();
    let (mut engine, _) = Engine::open(program, storage, Options::default(), NOW).unwrap();
    engine.give_consent(NOW).unwrap();
    engine
}

#[test]
fn every_window_of_a_period_has_its_share_of_the_devices() {
    let mut windows = [0_u32; 10];
    for device in 0..300_u64 {
        let mut engine = with_windows(4);
        let bytes = [device.to_le_bytes(); 4].concat();
        engine.device.state.secret = DeviceSecret::new(bytes.try_into().unwrap());
        engine.device.state.open = None;
        // A third comes when half of the period is over.
        let first = if device % 3 == 0 { 5 } else { 0 };
        engine.give_consent(NOW + first * DAY).unwrap();
        engine.next(NOW + first * DAY).unwrap();
        let mut drawn = 0;
        for day in first + 1..=10 {
            engine.next(NOW + day * DAY).unwrap();
            for entry in
                engine.device.state.outbox.entries.drain(..).filter(|e| e.metric == "helpful")
            {
                windows[usize::try_from(entry.window - 20_780).unwrap()] += 1;
                drawn += 1;
            }
        }
        assert!(drawn <= 4 && (first > 0 || drawn == 4), "{drawn}");
    }
    // 200 devices have 80 reports of each window; those that come late add 40 to each that is left.
    for (day, count) in windows.into_iter().enumerate() {
        let expected = if day < 5 { 80 } else { 120 };
        assert!(u32::abs_diff(count, expected) < 35, "{windows:?}");
    }
}

#[test]
fn what_is_said_between_own_windows_waits_for_the_next_and_one_of_all_is_drawn() {
    let mut drawn = [0_u32; 10];
    for device in 0..400_u64 {
        let mut engine = with_windows(1);
        let bytes = [device.to_le_bytes(); 4].concat();
        engine.device.state.secret = DeviceSecret::new(bytes.try_into().unwrap());
        engine.device.state.open = None;
        engine.give_consent(NOW).unwrap();
        let (from, to) = engine.next_window().unwrap();
        let own = from / DAY - 20_780;
        let mut moments = 0;
        for day in 0..10 {
            let now = NOW + day * DAY + 60;
            match engine.next(now).unwrap() {
                Step::Wait { until } if day <= own => assert_eq!(until, to),
                _ => {}
            }
            if day <= own {
                // Signals of each window are a response of its own.
                engine.record(Event::signal("behaviour", "copied"), now).unwrap();
                engine.record(thumb(Thumb::Up).on(&day.to_string()), now).unwrap();
                moments += 1;
                assert_eq!(kept(&engine, "behaviour").len(), moments);
            }
            if own == 9 && day == 9 {
                engine.next(to).unwrap();
            }
        }
        engine.next(to.max(NOW + 9 * DAY + 90)).unwrap();
        assert_eq!(engine.device.state.drawn["helpful"].len(), 1, "one draw over all that waited");
        assert_eq!((kept(&engine, "helpful").len(), kept(&engine, "behaviour").len()), (0, 0));
        if own == 9 {
            let was = |day: u64| {
                engine
                    .device
                    .state
                    .was_drawn("helpful", engine.device.state.place(&day.to_string()).response)
            };
            let day = (0..10).find(|day| was(*day)).unwrap();
            drawn[usize::try_from(day).unwrap()] += 1;
        }
    }
    // Of about 40 devices whose own window is the last, each day is as likely.
    assert!(drawn.iter().sum::<u32>() > 20 && drawn.iter().all(|count| *count < 15), "{drawn:?}");
}

#[test]
fn a_program_without_a_budget_or_with_all_windows_reports_in_every_one() {
    for mut engine in [with_windows(10), engine()] {
        let mut servers = Servers::new();
        for day in 1..=10 {
            assert_eq!(engine.next_window(), Some((NOW + (day - 1) * DAY, NOW + day * DAY)));
            servers.serve(&mut engine, NOW + day * DAY + 60);
        }
        assert_eq!(fates(&engine, "helpful"), [(Fate::Delivered, 10)]);
        assert!(!engine.history(NOW + DAY).unwrap().to_string().contains("windows of each period"));
    }
}

#[test]
fn a_device_is_silent_in_its_own_windows_until_the_silence_is_over() {
    let mut engine = with_windows(4);
    engine.device.state.silent_until = NOW + 20 * DAY;
    let mut servers = Servers::new();
    for day in 1..=30 {
        servers.serve(&mut engine, NOW + day * DAY + 60);
    }
    let of = |fate| {
        let all = fates(&engine, "helpful").into_iter().filter(|(other, _)| *other == fate);
        all.map(|(_, reports)| reports).sum::<u64>()
    };
    assert_eq!((of(Fate::Silent), of(Fate::Delivered), of(Fate::OverBudget)), (8, 4, 0));
}

#[test]
fn a_state_of_an_older_version_or_another_budget_waits_for_a_window_of_its_own() {
    let mut engine = with_windows(2);
    let own = engine.device.state.open.unwrap();
    let other = (20_780..20_790).find(|window| {
        let participation = crate::participation::Participation::of(engine.program());
        participation.next(&engine.device.state.secret, *window) != *window
    });
    let open = |blob: Vec<u8>| {
        let program = program_with("[budget]\nperiod = \"10 days\"\nwindows = 2");
        let options = Options { adopt: true, ..Options::default() };
        Engine::open(program, MemoryStorage::with(blob), options, NOW).unwrap().0
    };
    engine.device.state.open = other;
    let older = open(crate::state::older_blob(&engine.device.state));
    assert_eq!(older.device.state.open, Some(own));
    let newer = open(state::encode(&engine.device.state, None).unwrap());
    assert_eq!(
        newer.device.state.open,
        Some(own),
        "before any call, which may be that something was said"
    );
}
