//! Servers are killed (SIGKILL) at points drawn from a seed: every report that was acknowledged
//! counts exactly once.

use super::{
    device::request,
    impostor::{Impostor, Reply},
    server::{Server, free_port, poll},
    task::{HISTOGRAM, TaskSpec, sample, total},
    world::{World, WorldOptions, seeded},
};
use rand::{RngExt, rngs::StdRng};
use reqwest::Method;
use sottovoce_collector::collect::request as collection;
use sottovoce_dap::{
    codec::Decode,
    collect::Query,
    task::BatchMode,
    upload::{Report, ReportError::ReportReplayed, UploadErrors},
    vdaf::{shard::Measurement, unshard::AggregateResult},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

const REPORTS: usize = 2000;
const LEAST_KILLS: u32 = 10;

/// Uploads everything in many requests while servers die; gives the number of kills.
fn upload_under_fire(world: &World, reports: &[Report], rng: &mut StdRng) -> u32 {
    let (mut rest, mut kills) = (reports, 0);
    while !rest.is_empty() {
        let (chunk, others) = rest.split_at(rng.random_range(1..=60).min(rest.len()));
        rest = others;
        let body = request(chunk);
        match rng.random_range(0..10) {
            // Somewhere between the request's first byte and the acknowledgement's last.
            0 | 1 => {
                let delay = Duration::from_micros(rng.random_range(0..15_000));
                kills += 1;
                thread::scope(|scope| {
                    let uploading = scope.spawn(|| world.ask_upload(body.clone()).try_send());
                    thread::sleep(delay);
                    world.leader.kill();
                    world.leader.start();
                    match uploading.join().unwrap() {
                        Ok(answer) => assert!(answer.ok().is_empty(), "all are acknowledged"),
                        Err(_) => acknowledged(&world.ask_upload(body.clone()).send().ok()),
                    }
                });
            }
            2 => {
                world.upload_all(chunk);
                kills += kill(&world.helper, rng);
            }
            3 => {
                world.upload_all(chunk);
                world.helper.kill();
                kills += 1 + kill(&world.leader, rng);
                world.helper.start();
            }
            _ => world.upload_all(chunk),
        }
    }
    kills
}

/// A report that had been kept before the leader died is kept, and only once.
fn acknowledged(body: &[u8]) {
    let errors = UploadErrors::from_bytes(body).unwrap().status;
    println!("after a kill, {} reports had been kept", errors.len());
    assert!(errors.iter().all(|status| status.error == ReportReplayed), "{errors:?}");
}

/// Kills a server after a moment, during which it may be in the middle of a job.
fn kill(server: &Server, rng: &mut StdRng) -> u32 {
    thread::sleep(Duration::from_millis(rng.random_range(0..300)));
    server.kill();
    server.start();
    1
}

/// Kills both while what is left is aggregated, and once more between the leader's closing of a
/// batch and the helper's share of it.
fn close_under_fire(world: &World, query: Query, rng: &mut StdRng) -> u32 {
    let kills = kill(&world.leader, rng) + kill(&world.helper, rng) + kill(&world.leader, rng);
    world.wait_until_aggregated();
    world.helper.kill();
    world.ask_collection(&collection(query)).send().ok();
    world.leader.wait_for_log("retrying a collection job later");
    world.leader.kill();
    world.leader.start();
    world.helper.start();
    // And right after the share is asked for.
    kills + 2 + kill(&world.leader, rng)
}

fn world_and_reports(mode: BatchMode, rng: &mut StdRng) -> (World, Vec<Measurement>, Vec<Report>) {
    let spec = TaskSpec { min_batch_size: 100, ..TaskSpec::new(HISTOGRAM, mode) };
    let world = World::with_task(spec);
    let measurements = sample(&HISTOGRAM, REPORTS, rng);
    let reports = world.reports(&measurements);
    (world, measurements, reports)
}

fn over_an_interval(seed: u64) {
    let mut rng = seeded(seed);
    let (world, measurements, reports) = world_and_reports(BatchMode::TimeInterval, &mut rng);
    let mut kills = upload_under_fire(&world, &reports, &mut rng);
    kills += close_under_fire(&world, world.query(), &mut rng);
    println!("{kills} kills");
    assert!(kills >= LEAST_KILLS, "only {kills} kills");
    world.expect(&measurements);
}

/// The helper has done its part, and the leader never learns of it: it died while it waited.
#[test]
fn a_leader_that_dies_while_the_helper_answers_asks_again_in_the_same_words() {
    let mut rng = seeded(73);
    let port = free_port();
    let (real_port, hold) = (Arc::new(AtomicU16::new(0)), Arc::new(AtomicBool::new(true)));
    let impostor = {
        let (real_port, hold) = (Arc::clone(&real_port), Arc::clone(&hold));
        Impostor::start(port, move |request| {
            let answer = request.pass_on(real_port.load(SeqCst)).unwrap();
            if request.method == Method::POST && hold.load(SeqCst) {
                poll("the leader's death", || (!hold.load(SeqCst)).then_some(()));
                return Reply::HangUp;
            }
            answer.into()
        })
    };
    let world = World::start(WorldOptions { helper_seen_at: Some(port), ..Default::default() });
    real_port.store(world.helper.port, SeqCst);
    let measurements = sample(&HISTOGRAM, 30, &mut rng);
    let dies_before_the_answer_to = |path: &str| {
        poll(path, || impostor.seen().iter().any(|r| r.path.ends_with(path)).then_some(()));
        world.leader.kill();
        hold.store(false, SeqCst);
        world.leader.start();
    };
    world.upload_all(&world.reports(&measurements));
    dies_before_the_answer_to("/aggregation_jobs");
    world.wait_until_aggregated();
    hold.store(true, SeqCst);
    world.ask_collection(&collection(world.query())).send().ok();
    dies_before_the_answer_to("/aggregate_shares");
    world.expect(&measurements);
    for path in ["/aggregation_jobs", "/aggregate_shares"] {
        let seen = impostor.seen();
        let bodies: Vec<_> = seen.iter().filter(|r| r.path.ends_with(path)).collect();
        assert_eq!(bodies.len(), 2, "{path}");
        assert_eq!(bodies[0].body, bodies[1].body, "{path}");
    }
}

#[test]
fn every_acknowledged_report_counts_once_whoever_dies() {
    over_an_interval(70);
}

#[test]
fn every_acknowledged_report_counts_once_whoever_dies_otherwise() {
    over_an_interval(71);
}

#[test]
fn leader_selected_batches_have_every_acknowledged_report_once_whoever_dies() {
    let mut rng = seeded(72);
    let (world, mut measurements, reports) = world_and_reports(BatchMode::LeaderSelected, &mut rng);
    let mut kills = upload_under_fire(&world, &reports, &mut rng);
    // Fills the last batch, whatever was left over.
    let more = sample(&HISTOGRAM, 100, &mut rng);
    world.upload_all(&world.reports(&more));
    measurements.extend(more);
    kills += close_under_fire(&world, Query::LeaderSelected, &mut rng);
    println!("{kills} kills");
    assert!(kills >= LEAST_KILLS, "only {kills} kills");

    let (mut count, mut sums) = (0, vec![0; 6]);
    while count < measurements.len() as u64 {
        let collected = world.collect(Query::LeaderSelected);
        count += collected.count;
        let AggregateResult::Vector(bins) = &collected.result else { panic!("{collected:?}") };
        sums.iter_mut().zip(bins).for_each(|(sum, bin)| *sum += bin);
        world.delete(world.task(), &collected);
    }
    assert_eq!(count, measurements.len() as u64);
    assert_eq!(AggregateResult::Vector(sums), total(&HISTOGRAM, &measurements));
}
