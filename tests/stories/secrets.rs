//! What is secret stays out of logs, and out of the database unless it is sealed.

use super::{
    device::spoiled,
    http::Ask,
    leaks::{expect_none, secrets},
    task::{TaskSpec, VDAFS, sample},
    world::{World, WorldOptions, seeded},
};
use sottovoce_dap::{collect::Query, task::BatchMode};
use std::fs;

/// Whatever servers do that might tempt them to log.
fn eventful_life(log: &'static str) -> World {
    let mut rng = seeded(90);
    let mut tasks = VDAFS.map(|vdaf| TaskSpec::new(vdaf, BatchMode::TimeInterval)).to_vec();
    tasks.push(TaskSpec::new(VDAFS[0], BatchMode::LeaderSelected));
    let world = World::start(WorldOptions { tasks, log, ..Default::default() });
    for task in &world.tasks {
        let measurements = sample(&task.configuration.vdaf, 8, &mut rng);
        let mut reports: Vec<_> = measurements.iter().map(|m| world.report_of(task, m)).collect();
        let share = &mut reports[0].leader_encrypted_input_share;
        *share = spoiled(share);
        let share = &mut reports[1].helper_encrypted_input_share;
        *share = spoiled(share);
        assert_eq!(world.upload_to(task, &reports), []);
        world.upload_to(task, &reports);
        let query = match task.configuration.batch_mode {
            BatchMode::TimeInterval => world.query(),
            BatchMode::LeaderSelected => Query::LeaderSelected,
        };
        let collected = world.collect_of(task, query).unwrap();
        world.delete(task, &collected);
        let wrong = format!("{}-wrong", task.collector_token);
        assert_eq!(Ask::get(&collected.location).token(&wrong).send().status, 401);
    }
    world.helper.kill();
    let task = world.task();
    let measurements = sample(&task.configuration.vdaf, 3, &mut rng);
    let late = measurements.iter().map(|m| {
        let shares = super::device::Shares::new(task, m, super::task::now());
        shares.seal(task, world.keys())
    });
    assert_eq!(world.upload(&late.collect::<Vec<_>>()), []);
    world.leader.wait_for_log("outage begins: the helper fails");
    world.leader.kill();
    world.start_both();
    world
}

#[test]
fn no_secret_is_in_a_log_or_a_database() {
    let world = eventful_life("debug");
    let secrets = secrets(&world);
    assert!(world.leader.log().contains(" DEBUG "), "the filter works");
    for server in [&world.leader, &world.helper] {
        expect_none(&secrets, "a log", server.log().as_bytes());
        server.kill();
    }
    let mut databases = 0;
    for entry in fs::read_dir(world.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.contains(".db") {
            expect_none(&secrets, name, &fs::read(&path).unwrap());
            databases += 1;
        }
    }
    assert!(databases >= 2);
}

#[cfg(unix)]
#[test]
fn keys_and_databases_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::with_task(TaskSpec::default());
    for name in ["leader.key", "leader.db", "helper.key", "helper.db"] {
        let mode = fs::metadata(world.folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
