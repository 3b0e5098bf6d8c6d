//! Clocks that are put ahead and back, on one side or both.

use crate::{
    reports::Reports,
    stage::{Setting, Stage},
    support::{
        server::poll,
        task::{HISTOGRAM, PRECISION, TaskSpec},
        world::seeded,
    },
    tally::first_seed,
};
use sottovoce::dap::task::{BatchMode, VdafConfig};
use std::{thread, time::Duration};

const HOUR: i64 = 3600;

#[test]
fn clocks_that_jump_lose_no_report_and_count_none_twice() {
    let seed = first_seed(7000);
    let mut rng = seeded(seed);
    let of = |vdaf, mode| TaskSpec { min_batch_size: 100, ..TaskSpec::new(vdaf, mode) };
    let tasks = vec![
        of(HISTOGRAM, BatchMode::TimeInterval),
        of(VdafConfig::Prio3Count, BatchMode::LeaderSelected),
    ];
    let stage = Stage::start(Setting { tasks, machines: true, ..Setting::default() });
    let reports = Reports::draw(&stage, &[1500, 500], 3, &mut rng);
    // Leases run out at once when a clock jumps ahead, and not for long when it jumps back.
    let steps = [(0, 2 * HOUR), (1, -HOUR), (0, -HOUR / 60), (1, 5 * HOUR), (0, 0), (1, 0)];
    reports.upload(|| {
        for (number, (machine, seconds)) in steps.into_iter().enumerate() {
            reports.wait_for((number + 1) * reports.uploads() / (steps.len() + 1));
            stage.machines[machine].step(seconds);
        }
    });
    reports.expect(&stage);
    reports.replay();
}

#[test]
fn a_helper_whose_clock_is_behind_puts_reports_off_and_loses_none() {
    let mut rng = seeded(first_seed(7100));
    let spec =
        TaskSpec { min_batch_size: 100, ..TaskSpec::new(HISTOGRAM, BatchMode::TimeInterval) };
    let stage = Stage::start(Setting { tasks: vec![spec], machines: true, ..Setting::default() });
    let reports = Reports::draw(&stage, &[300], 1, &mut rng);
    // So far that all reports are from its future.
    let behind = -i64::try_from(400 * PRECISION).unwrap();
    stage.machines[1].step(behind);
    reports.upload(|| ());
    poll("the helper's refusals", || {
        let left = stage.under_way()?;
        // They wait to be tried again, in no job.
        (left.reports == 300 && left.jobs == 0).then_some(())
    });
    thread::sleep(Duration::from_millis(500));
    assert_eq!(stage.under_way().unwrap().reports, 300);
    stage.machines[1].step(0);
    // They are tried again after a while by the leader's clock.
    stage.machines[0].step(60);
    reports.expect(&stage);
    reports.replay();
}

#[test]
fn what_was_forgotten_is_a_replay_even_when_the_clock_is_put_back() {
    let mut rng = seeded(first_seed(7200));
    let spec =
        TaskSpec { min_batch_size: 100, ..TaskSpec::new(HISTOGRAM, BatchMode::TimeInterval) };
    let lines = "[retention]\nreport_days = 1\n";
    let setting = Setting { tasks: vec![spec], machines: true, lines, ..Setting::default() };
    let stage = Stage::start(setting);
    let reports = Reports::draw(&stage, &[300], 1, &mut rng);
    reports.upload(|| ());
    stage.wait_until_aggregated();
    let known = stage.known();
    assert!(known >= 300, "{known}");
    // Years later the IDs are forgotten, on both sides; then the clocks are right again.
    for machine in &stage.machines {
        machine.step(40 * 365 * 24 * HOUR);
    }
    poll("the IDs to be forgotten", || (stage.known() == 0).then_some(()));
    for machine in &stage.machines {
        machine.step(0);
    }
    reports.replay();
    reports.expect(&stage);
}
