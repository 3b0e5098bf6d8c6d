//! A report that the helper will not have in any job, whatever it is, costs no other its place.

use super::{
    impostor::{Impostor, Reply},
    server::free_port,
    task::{HISTOGRAM, TaskSpec, sample, total},
    world::{World, WorldOptions, seeded},
};
use sottovoce_dap::{
    collect::Query, ids::ReportId, problem::ProblemType, task::BatchMode, upload::Report,
};
use std::sync::{Arc, Mutex};

/// Refuses every job that one of these IDs is in; passes on all else.
fn picky(world_port: Arc<Mutex<u16>>, culprits: Arc<Mutex<Vec<ReportId>>>) -> Impostor {
    Impostor::start(free_port(), move |request| {
        let contains = |id: &ReportId| {
            request.body.windows(16).any(|window| window == id.as_bytes().as_slice())
        };
        let is_job = request.path.contains("aggregation_jobs");
        if is_job && culprits.lock().unwrap().iter().any(contains) {
            let problem = format!(
                r#"{{"type":"{}","title":"no","status":400}}"#,
                ProblemType::InvalidMessage.urn()
            );
            let headers = vec![("content-type", "application/problem+json".to_owned())];
            return Reply::Say(400, headers, problem.into_bytes());
        }
        request.pass_on(*world_port.lock().unwrap()).map_or(Reply::HangUp, Reply::from)
    })
}

fn all_but_the_culprits_count(mode: BatchMode, seed: u64) {
    let (port, culprits) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
    let peer = picky(Arc::clone(&port), Arc::clone(&culprits));
    let world = World::start(WorldOptions {
        tasks: vec![TaskSpec::new(HISTOGRAM, mode)],
        helper_seen_at: Some(peer.port()),
        ..Default::default()
    });
    *port.lock().unwrap() = world.helper.port;
    let measurements = sample(&HISTOGRAM, 86, &mut seeded(seed));
    let reports: Vec<Report> = world.reports(&measurements);
    let bad = [17, 60];
    *culprits.lock().unwrap() =
        bad.iter().map(|at| reports[*at].report_metadata.report_id).collect();
    world.upload_all(&reports);
    let good = measurements.iter().enumerate().filter(|(at, _)| !bad.contains(at));
    let good: Vec<_> = good.map(|(_, measurement)| measurement.clone()).collect();
    let expected = total(&HISTOGRAM, &good);
    match mode {
        BatchMode::TimeInterval => {
            let collected = world.collect(world.query());
            assert_eq!((collected.count, collected.result), (84, expected));
        }
        BatchMode::LeaderSelected => {
            world.wait_until_stuck(2);
            for name in ["leader.db", "helper.db"] {
                let database = rusqlite::Connection::open(world.folder.path().join(name)).unwrap();
                let sql = "SELECT sum(reports) FROM shards";
                let verified: i64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
                assert_eq!(verified, 84, "{name}");
            }
            assert!(world.collect(Query::LeaderSelected).count >= 5);
        }
    }
    let log = world.leader.log();
    for at in bad {
        let id = reports[at].report_metadata.report_id;
        assert!(log.contains(&format!("report={id}")), "{log}");
    }
}

#[test]
fn a_job_that_is_refused_for_one_report_loses_that_report_alone() {
    all_but_the_culprits_count(BatchMode::TimeInterval, 50);
}

#[test]
fn likewise_where_the_leader_selects_batches() {
    all_but_the_culprits_count(BatchMode::LeaderSelected, 51);
}
