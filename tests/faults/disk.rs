//! The disk is full, of the leader and of the helper: refused, not broken, and well again when
//! there is room.

use crate::{
    reports::Reports,
    stage::{Setting, Stage},
    support::{
        device::{Shares, request},
        http::{Answer, Ask},
        server::poll,
        task::{HISTOGRAM, TaskSpec, sample},
        world::seeded,
    },
    tally::first_seed,
};
use sottovoce::dap::{media_type::MediaType, task::BatchMode};

#[test]
fn a_full_disk_is_refused_with_503_and_nothing_is_lost_or_broken() {
    let mut rng = seeded(first_seed(6000));
    let spec =
        TaskSpec { min_batch_size: 100, ..TaskSpec::new(HISTOGRAM, BatchMode::TimeInterval) };
    let stage = Stage::start(Setting { tasks: vec![spec], machines: true, ..Setting::default() });
    let reports = Reports::draw(&stage, &[1200], 2, &mut rng);
    // It counts in no batch that is expected: were it kept, the sums would tell.
    let task = &stage.tasks[0];
    let measurement = sample(&task.configuration.vdaf, 1, &mut rng).remove(0);
    let stranger =
        request(&[Shares::new(task, &measurement, stage.window).seal(task, stage.keys())]);
    let upload = || {
        let url = task.at_leader("reports");
        Ask::post(&url, MediaType::UploadReq, stranger.clone()).send()
    };
    reports.upload(|| {
        reports.wait_for(reports.uploads() / 3);
        stage.machines[0].fill(true);
        for _ in 0..3 {
            let refused = upload();
            refused_for_now(&refused);
        }
        // What only reads goes on.
        assert!(stage.under_way().is_some());
        assert_eq!(Ask::get(&keys_of(stage.leader().port)).send().status, 200);
        stage.machines[0].fill(false);
        reports.wait_for(2 * reports.uploads() / 3);
        stage.machines[1].fill(true);
        stage.leader().wait_for_log("an aggregation job is put off");
        stage.machines[1].fill(false);
    });
    reports.expect(&stage);
    reports.replay();
    // Also after all that, the files are sound.
    for server in [stage.leader(), stage.helper()] {
        assert!(server.terminate().success());
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
    for database in stage.databases() {
        let database = rusqlite::Connection::open(database).unwrap();
        let said: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(said, "ok");
    }
}

fn keys_of(port: u16) -> String {
    format!("http://127.0.0.1:{port}/hpke_config")
}

#[track_caller]
fn refused_for_now(refused: &Answer) {
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.problem().status, 503);
}

#[test]
fn a_server_that_starts_on_a_full_disk_says_so_and_starts_again() {
    let spec = TaskSpec::new(HISTOGRAM, BatchMode::TimeInterval);
    let stage = Stage::prepare(Setting { tasks: vec![spec], machines: true, ..Setting::default() });
    stage.machines[0].fill(true);
    stage.leader().launch();
    let ended = poll("the end of a server without a disk", || stage.leader().ended());
    assert_eq!(ended.code(), Some(1), "{}", stage.leader().log());
    stage.machines[0].fill(false);
    stage.leader().kill();
    stage.leader().start();
}
