//! The counts of a batch, with all that is public about their noise, and about whose reports they are.

use crate::{
    EstimateError,
    aggregator_noise::AggregatorNoise,
    noisy_counts::{Channel, NoisyCounts},
};
use sottovoce_program::{Program, compile::CompiledTask};

/// The counts of a task's batch over a period, in seconds since the Epoch.
pub fn noisy_counts(
    program: &Program,
    task: &CompiledTask,
    counts: Vec<i64>,
    reports: u64,
    period: (u64, u64),
) -> Result<NoisyCounts, EstimateError> {
    let channel = Channel::of_mechanism(&task.randomizer().mechanism)?;
    // Each window that has reports has noise of its own, and as many reports as a batch must have.
    let full = reports / program.min_batch_size().max(1);
    let noise =
        AggregatorNoise::of_both_over(task.noise(), windows(program, period).min(full.max(1)));
    let counts = NoisyCounts::new(counts, reports, channel, noise)?;
    Ok(counts.with_repeats(reports_of_one_device(program, &[period])))
}

/// The windows that a period has, at least 1.
pub fn windows(program: &Program, (start, end): (u64, u64)) -> u64 {
    end.saturating_sub(start).div_ceil(program.window().seconds()).max(1)
}

/// The most reports of one metric that a device has in some periods together: one in each window and,
/// with a budget, no more than its windows in each of its periods.
pub fn reports_of_one_device(program: &Program, periods: &[(u64, u64)]) -> u64 {
    let merged = merged(periods);
    let windows = merged.iter().map(|period| windows(program, *period));
    let windows = windows.fold(0, u64::saturating_add).max(1);
    let Some(budget) = program.budget() else { return windows };
    let periods_of_budget = program.window().periods(budget.period());
    let (mut touched, mut next) = (0_u64, 0);
    for (start, end) in merged {
        let period_of = |moment| periods_of_budget.time_at(moment).0;
        let first = period_of(start).max(next);
        next = period_of(end.saturating_sub(1).max(start)).saturating_add(1);
        touched = touched.saturating_add(next.saturating_sub(first));
    }
    windows.min(touched.saturating_mul(budget.windows())).max(1)
}

/// In order, and without overlaps.
fn merged(periods: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut sorted = periods.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (start, end) in sorted {
        match merged.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn program(budget: &str) -> Program {
        let text = include_str!("../../../../examples/support-assistant.toml");
        let start = text.find("[budget]").unwrap_or(text.len());
        let end = text[start..].find("\n[").map_or(text.len(), |length| start + length);
        let rest = format!("{}{}", &text[..start], &text[end.min(text.len())..]);
        Program::parse("program.toml", &format!("{rest}\n{budget}")).unwrap()
    }

    #[test]
    fn without_a_budget_a_device_reports_in_every_window() {
        let program = program("");
        let window = program.window().seconds();
        let of = |periods: &[(u64, u64)]| reports_of_one_device(&program, periods);
        assert_eq!(of(&[(0, window)]), 1);
        assert_eq!(of(&[(0, 7 * window)]), 7);
        // Two batches of one window are no two windows.
        assert_eq!(of(&[(0, window), (0, window), (window, 2 * window)]), 2);
        assert_eq!(of(&[]), 1);
        assert_eq!(of(&[(0, u64::MAX)]), u64::MAX.div_ceil(window));
    }

    #[test]
    fn periods_begin_with_the_day_that_weeks_begin_on() {
        let budget = "[budget]\nperiod = \"14 days\"\nwindows = 1\n";
        let text = include_str!("../../../../examples/support-assistant.toml");
        let (head, rest) = text.split_once("[budget]\n").unwrap();
        let (_, tables) = rest.split_once("\n[").unwrap();
        let weekly = "window = \"1 week\"\nweek_begins = \"monday\"";
        let text = format!("{head}{budget}[{tables}").replace("window = \"1 day\"", weekly);
        let program = Program::parse("program.toml", &text).unwrap();
        // The period that DAP counts from day 14,000 on begins on the Monday before.
        let monday = (14_000 - 3) * DAY;
        let of = |from: u64, to: u64| {
            let period = (monday + from * DAY, monday + to * DAY);
            reports_of_one_device(&program, &[period])
        };
        assert_eq!((of(0, 14), of(0, 7), of(7, 14)), (1, 1, 1));
        assert_eq!((of(7, 21), of(0, 28)), (2, 2));
        assert_eq!(windows(&program, (monday, monday + 14 * DAY)), 2);
    }

    #[test]
    fn a_budget_limits_them_in_each_of_its_periods() {
        let program = program("[budget]\nperiod = \"10 days\"\nwindows = 2\n");
        let of = |periods: &[(u64, u64)]| reports_of_one_device(&program, periods);
        assert_eq!(of(&[(0, 7 * DAY)]), 2);
        assert_eq!(of(&[(0, DAY)]), 1);
        assert_eq!(of(&[(5 * DAY, 15 * DAY)]), 4);
        assert_eq!(of(&[(0, 3 * DAY), (6 * DAY, 9 * DAY)]), 2);
        assert_eq!(of(&[(0, 3 * DAY), (16 * DAY, 19 * DAY)]), 4);
    }
}
