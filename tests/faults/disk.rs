//! The disk under a server's database is full for a while, in the middle of a write.

use crate::{
    reports::Reports,
    shim::Shim,
    stage::{Setting, Stage, two_modes},
    support::{server::poll, world::seeded},
    tally::{first_seed, rounds},
};
use rand::{RngExt, rngs::StdRng};
use rusqlite::Connection;
use std::{fs, thread, time::Duration};

const REPORTS: [usize; 2] = [2400, 1200];
const EPISODES: usize = 6;
/// Those of them that are the leader's.
const LEADERS: usize = 4;
const ROUNDS: u64 = 3;

#[test]
fn a_full_disk_puts_uploads_off_and_harms_nothing() {
    let first_seed = first_seed(6000);
    for seed in first_seed..first_seed + rounds(ROUNDS) {
        let mut rng = seeded(seed);
        let setting = Setting { tasks: two_modes(100), shimmed: true, ..Setting::default() };
        let stage = Stage::start(&setting);
        let mut reports = Reports::draw(&stage, &REPORTS, 4, &mut rng);
        reports.pause = Duration::from_millis(100);
        // Early enough for reports to be left.
        let moments = (0..EPISODES).map(|number| number * reports.uploads() / (2 * EPISODES));
        reports.upload(|| {
            for (number, moment) in moments.enumerate() {
                reports.wait_for(moment);
                // The helper's turn may outlast the uploads, which the leader's needs.
                if number < LEADERS {
                    leader_is_full(&stage, &reports, &mut rng);
                } else {
                    helper_is_full(&stage, &mut rng);
                }
            }
        });
        println!("after seed {seed}: {} uploads put off", reports.refused());
        assert!(reports.refused() >= LEADERS * 3, "only {}", reports.refused());
        stage.wait_until_aggregated();
        reports.expect(&stage);
        reports.replay();
        check(&stage);
    }
}

fn leader_is_full(stage: &Stage, reports: &Reports, rng: &mut StdRng) {
    let before = reports.refused();
    let shim = fill(stage, 0, rng);
    poll("a refusal", || (reports.refused() >= before + 3).then_some(()));
    // Jobs run into it too.
    thread::sleep(Duration::from_millis(rng.random_range(0..1000)));
    end(stage, 0, shim, rng);
}

fn helper_is_full(stage: &Stage, rng: &mut StdRng) {
    let said = || stage.helper().log().matches("requests are answered with 503").count();
    let before = said();
    let shim = fill(stage, 1, rng);
    poll("the helper's refusal", || (said() > before).then_some(()));
    end(stage, 1, shim, rng);
}

/// Lets the log of a database grow by less than a transaction.
fn fill<'a>(stage: &'a Stage, role: usize, rng: &mut StdRng) -> &'a Shim {
    let log = stage.folder.path().join(["leader.db-wal", "helper.db-wal"][role]);
    let length = fs::metadata(log).unwrap().len();
    let shim = &stage.shims.as_ref().unwrap()[role];
    shim.fill_disk(length + rng.random_range(0..10_000));
    shim
}

/// Makes room; half of the time the server was killed before.
fn end(stage: &Stage, role: usize, shim: &Shim, rng: &mut StdRng) {
    let server = stage.server(role);
    let killed = rng.random();
    if killed {
        server.kill();
    }
    shim.free_disk();
    if killed {
        server.start();
    }
}

/// Asks both databases whether they are sound.
fn check(stage: &Stage) {
    for role in [0, 1] {
        stage.server(role).kill();
        let path = stage.folder.path().join(["leader.db", "helper.db"][role]);
        let database = Connection::open(path).unwrap();
        let verdict: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }
}
