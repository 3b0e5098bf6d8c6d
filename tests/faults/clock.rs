//! The clocks of servers jump ahead and are put back, by an hour and by days.

use crate::{
    reports::Reports,
    stage::{Setting, Stage, databases, postgres, two_modes},
    support::{
        http::Ask,
        server::poll,
        task::{PRECISION, TaskSpec},
        world::seeded,
    },
    tally::{first_seed, rounds},
};
use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
use rusqlite::Connection;
use sottovoce_aggregator::test_support::postgres::TemporaryPostgres;
use sottovoce_collector::collect::request;
use sottovoce_dap::{codec::Encode, media_type::MediaType, problem::ProblemType};
use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const REPORTS: [usize; 2] = [1600, 800];
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const JUMPS: [i64; 4] = [-10 * DAY, -HOUR, HOUR, 10 * DAY];
const ROUNDS: u64 = 2;

#[test]
fn a_clock_that_jumps_loses_and_repeats_no_report_on_sqlite() {
    jump_in_rounds(None, first_seed(7000));
}

#[test]
fn a_clock_that_jumps_loses_and_repeats_no_report_on_postgres() {
    if let Some(server) = postgres() {
        jump_in_rounds(Some(&server), first_seed(8000));
    }
}

fn jump_in_rounds(postgres: Option<&TemporaryPostgres>, first_seed: u64) {
    for seed in first_seed..first_seed + rounds(ROUNDS) {
        let mut rng = seeded(seed);
        let stage = Stage::start(&Setting {
            // A leader-selected batch that closes before a late report could leave too few behind.
            tasks: vec![TaskSpec { min_batch_size: 100, ..TaskSpec::default() }; 2],
            postgres: postgres.map(|server| databases(server, seed)),
            shimmed: true,
            ..Setting::default()
        });
        let mut reports = Reports::draw(&stage, &REPORTS, 4, &mut rng);
        reports.pause = Duration::from_millis(200);
        let mut jumps = [0, 1].map(|role| JUMPS.map(|ahead| (role, ahead))).concat();
        // The first meets uploads for certain: a leader that is behind. The others come in any order.
        jumps[1..].shuffle(&mut rng);
        reports.upload(|| {
            for (number, jump_of) in jumps.iter().enumerate() {
                reports.wait_for(number * reports.uploads() / jumps.len());
                jump(&stage, *jump_of, &mut rng);
            }
        });
        assert!(reports.too_early() > 0, "no upload met a clock that was behind");
        jumps.shuffle(&mut rng);
        thread::scope(|scope| {
            scope.spawn(|| reports.expect(&stage));
            jumps[..4].iter().for_each(|jump_of| jump(&stage, *jump_of, &mut rng));
        });
        reports.replay();
        println!("after seed {seed}: {} uploads too early for a while", reports.too_early());
    }
}

/// A jump and, a moment later, the jump back; now and then with a restart in between, so that
/// whatever the server had in hand was put down at a time yet to come.
fn jump(stage: &Stage, (role, ahead): (usize, i64), rng: &mut StdRng) {
    let (shim, server) = (&stage.shims.as_ref().unwrap()[role], stage.server(role));
    shim.set_clock(ahead);
    thread::sleep(Duration::from_millis(rng.random_range(100..900)));
    let killed = rng.random_bool(0.4);
    if killed {
        server.kill();
    }
    shim.set_clock(0);
    if killed {
        server.start();
    }
}

#[test]
fn a_replay_is_not_taken_after_a_clock_that_was_ahead_is_put_back() {
    let mut rng = seeded(first_seed(9000));
    let stage = Stage::start(&Setting {
        tasks: two_modes(100),
        shimmed: true,
        lines: "[retention]\nreport_days = 2",
        ..Setting::default()
    });
    let reports = Reports::draw(&stage, &[600, 300], 4, &mut rng);
    reports.upload(|| ());
    stage.wait_until_aggregated();
    set_both(&stage, 10 * DAY);
    poll("the IDs of reports to be forgotten", || {
        let left = |role| remembered(&stage, role) > 0;
        (!left("leader") && !left("helper")).then_some(())
    });
    reports.replay();
    set_both(&stage, 0);
    reports.replay();
    // What was aggregated before is still there, once.
    reports.expect(&stage);
    reports.replay();
}

#[test]
fn a_helper_whose_clock_is_a_little_behind_is_waited_for_and_one_far_behind_refuses() {
    let mut rng = seeded(first_seed(9500));
    let tasks = vec![TaskSpec { min_batch_size: 100, ..TaskSpec::default() }];
    let stage = Stage::start(&Setting { tasks, shimmed: true, ..Setting::default() });
    let reports = Reports::draw(&stage, &[300], 1, &mut rng);
    reports.upload(|| ());
    stage.wait_until_aggregated();
    let end = i64::try_from((stage.window.0 + 1) * PRECISION).unwrap();
    let helper_at = |before_end: i64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let ahead = end - before_end - i64::try_from(now).unwrap();
        stage.shims.as_ref().unwrap()[1].set_clock(ahead);
    };
    let task = &stage.tasks[0];
    let ask = || {
        let request = request(Stage::query(stage.window)).to_bytes();
        let url = task.at_leader("collection_jobs");
        Ask::post(&url, MediaType::CollectionJobReq, request).token(&task.collector_token).send()
    };
    helper_at(1000);
    // Asked for in the same words, it would be tried again.
    let location = ask().location();
    let refused = poll("the helper's refusal", || {
        let answer = Ask::get(&location).token(&task.collector_token).send();
        (answer.status != 200).then_some(answer)
    });
    refused.refused_as(ProblemType::BatchInvalid);
    assert!(refused.text().contains("the helper refused"), "{}", refused.text());
    helper_at(100);
    assert_eq!((ask().status, ask().body.len()), (200, 0));
    poll("the leader's patience", || {
        stage.leader().log().contains("retrying a collection job later").then_some(())
    });
    let answer = Ask::get(&location).token(&task.collector_token).send();
    assert_eq!((answer.status, answer.body.len()), (200, 0), "put off, and not given up");
    stage.shims.as_ref().unwrap()[1].set_clock(0);
    reports.expect(&stage);
}

/// Puts both clocks this far ahead and starts the servers again, which begin by forgetting.
fn set_both(stage: &Stage, ahead: i64) {
    for role in [1, 0] {
        stage.server(role).kill();
        stage.shims.as_ref().unwrap()[role].set_clock(ahead);
        stage.server(role).start();
    }
}

/// Rows of report IDs in a server's database.
fn remembered(stage: &Stage, role: &str) -> i64 {
    let database = Connection::open(stage.folder.path().join(format!("{role}.db"))).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    let sql = "SELECT (SELECT count(*) FROM fresh_runs) + (SELECT count(*) FROM parted_runs)";
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}
