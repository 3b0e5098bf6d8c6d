//! A report counts once, a batch is collected once, whatever is sent again and whoever restarts.

use super::{
    device::Shares,
    peer,
    task::{HISTOGRAM, TaskSpec, sample},
    world::{World, seeded},
};
use sottovoce_dap::{
    problem::ProblemType,
    upload::ReportError::{BatchCollected, ReportReplayed},
};

#[test]
fn a_replayed_report_is_refused_and_counted_once() {
    let world = World::with_task(TaskSpec::default());
    let measurements = sample(&HISTOGRAM, 8, &mut seeded(10));
    let reports = world.reports(&measurements);
    world.upload_all(&reports);
    assert_eq!(world.upload(&reports[2..4]), [ReportReplayed; 2]);
    world.leader.kill();
    world.leader.start();
    assert_eq!(world.upload(&reports), [ReportReplayed; 8]);
    world.wait_until_aggregated();
    assert_eq!(world.upload(&reports[..1]), [ReportReplayed]);
    world.expect(&measurements);
}

#[test]
fn a_report_twice_in_one_upload_counts_once() {
    let world = World::with_task(TaskSpec::default());
    let measurements = sample(&HISTOGRAM, 5, &mut seeded(11));
    let mut reports = world.reports(&measurements);
    reports.insert(3, reports[0].clone());
    assert_eq!(world.upload(&reports), [ReportReplayed]);
    world.expect(&measurements);
}

#[test]
fn the_helper_refuses_a_report_that_it_aggregated_before() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let measurements = sample(&HISTOGRAM, 7, &mut seeded(12));
    let shares: Vec<_> = measurements.iter().map(|m| Shares::new(task, m, world.window)).collect();
    let reports: Vec<_> = shares.iter().map(|s| s.seal(task, world.keys())).collect();
    let init = |i: usize| peer::verify_init(task, &shares[i], &reports[i]);

    let first = peer::ask_job(task, &peer::job(vec![init(0)])).send();
    assert_eq!(peer::verdicts(first), [None]);
    world.helper.kill();
    world.helper.start();
    let second = peer::ask_job(task, &peer::job(vec![init(0), init(1)])).send();
    assert_eq!(peer::verdicts(second), [Some(ReportReplayed), None]);

    // The leader takes all of them; of two the helper has had enough.
    world.upload_all(&reports);
    world.wait_until_aggregated();
    // Its own batch now has two reports that the leader's has not.
    world.collection_refused(world.query(), ProblemType::BatchMismatch);
}

#[test]
fn what_the_leader_aggregated_the_helper_takes_from_nobody_else() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let measurements = sample(&HISTOGRAM, 6, &mut seeded(13));
    let shares: Vec<_> = measurements.iter().map(|m| Shares::new(task, m, world.window)).collect();
    let reports: Vec<_> = shares.iter().map(|s| s.seal(task, world.keys())).collect();
    world.upload_all(&reports);
    world.wait_until_aggregated();
    let again = || {
        let inits = shares.iter().zip(&reports).rev().map(|(s, r)| peer::verify_init(task, s, r));
        peer::job(inits.collect())
    };
    assert_eq!(peer::verdicts(peer::ask_job(task, &again()).send()), [Some(ReportReplayed); 6]);
    world.expect(&measurements);
    let late = peer::job(again().verify_inits.into_iter().skip(1).collect());
    assert_eq!(peer::verdicts(peer::ask_job(task, &late).send()), [Some(BatchCollected); 5]);
}

#[test]
fn a_collected_window_stays_as_it_was_collected() {
    let world = World::with_task(TaskSpec::default());
    let mut rng = seeded(14);
    let measurements = sample(&HISTOGRAM, 9, &mut rng);
    world.upload_all(&world.reports(&measurements));
    let first = world.expect(&measurements);

    let late = world.reports(&sample(&HISTOGRAM, 3, &mut rng));
    assert_eq!(world.upload(&late), [BatchCollected; 3]);
    assert_eq!(world.expect(&measurements), first, "the same job with the same bytes");
    world.collection_refused(world.query_of(0, 2), ProblemType::BatchOverlap);

    world.kill_both();
    world.start_both();
    assert_eq!(world.upload(&late), [BatchCollected; 3]);
    assert_eq!(world.expect(&measurements), first);
    world.collection_refused(world.query_of(0, 2), ProblemType::BatchOverlap);

    // What was deleted is gone, and was collected all the same.
    world.delete(world.task(), &first);
    world.collection_refused(world.query(), ProblemType::BatchOverlap);
    assert_eq!(world.upload(&late), [BatchCollected; 3]);
}

#[test]
fn too_small_a_batch_is_refused_until_it_has_grown() {
    let world = World::with_task(TaskSpec { min_batch_size: 10, ..TaskSpec::default() });
    let measurements = sample(&HISTOGRAM, 10, &mut seeded(15));
    let reports = world.reports(&measurements);
    world.collection_refused(world.query(), ProblemType::InvalidBatchSize);
    world.upload_all(&reports[..9]);
    world.collection_refused(world.query(), ProblemType::InvalidBatchSize);
    world.kill_both();
    world.start_both();
    world.collection_refused(world.query(), ProblemType::InvalidBatchSize);
    world.upload_all(&reports[9..]);
    world.expect(&measurements);
}

#[test]
fn an_abandoned_collection_collects_nothing() {
    let world = World::with_task(TaskSpec::default());
    let measurements = sample(&HISTOGRAM, 6, &mut seeded(16));
    let reports = world.reports(&measurements);
    let request = sottovoce_collector::collect::request(world.query());
    // The helper is away, so that the job cannot end.
    world.keys();
    world.helper.kill();
    world.upload_all(&reports);
    let answer = world.ask_collection(&request).send();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let location = answer.location();
    let token = &world.task().collector_token;
    super::http::Ask::delete(&location).token(token).send().ok();
    assert_eq!(super::http::Ask::get(&location).token(token).send().status, 404);
    world.helper.start();
    let again = world.expect(&measurements);
    assert_ne!(again.location, location);
}
