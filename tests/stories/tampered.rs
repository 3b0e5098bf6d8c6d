//! A report that was tampered with is dropped alone; all others count.

use super::{
    device::{Keys, Shares, extensions, spoiled},
    task::{HISTOGRAM, Task, TaskSpec, VDAFS, sample, total},
    world::{World, WorldOptions, seeded},
};
use sottovoce_dap::{
    ids::ReportId,
    problem::ProblemType::InvalidBatchSize,
    task::BatchMode,
    time::Time,
    upload::{Report, ReportError},
};

type Spoil = fn(&Task, &Keys, Shares) -> Report;

/// Each way to spoil a report, of which the leader can see at upload only that a share has not the length
/// that it must have.
const WAYS: [(&str, Spoil); 12] = [
    ("the leader's ciphertext is changed", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.leader_encrypted_input_share = spoiled(&report.leader_encrypted_input_share);
        report
    }),
    ("the helper's ciphertext is changed", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.helper_encrypted_input_share = spoiled(&report.helper_encrypted_input_share);
        report
    }),
    ("the helper's share is sealed to a key it never had", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.helper_encrypted_input_share.config_id.0 ^= 1;
        report
    }),
    ("the shares are swapped", |task, keys, mut shares| {
        std::mem::swap(&mut shares.leader, &mut shares.helper);
        shares.seal(task, keys)
    }),
    ("the leader's share lies", |task, keys, mut shares| {
        shares.leader[0] ^= 1;
        shares.seal(task, keys)
    }),
    ("the helper's share lies", |task, keys, mut shares| {
        shares.helper[0] ^= 1;
        shares.seal(task, keys)
    }),
    ("the leader's share is cut short", |task, keys, mut shares| {
        shares.leader.pop();
        shares.seal(task, keys)
    }),
    ("the helper's share is too long", |task, keys, mut shares| {
        shares.helper.push(0);
        shares.seal(task, keys)
    }),
    ("the public share is changed on the way", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        let mut public_share = report.public_share.as_bytes().to_vec();
        match public_share.last_mut() {
            Some(byte) => *byte ^= 1,
            None => public_share.push(1),
        }
        report.public_share = public_share.try_into().unwrap();
        report
    }),
    ("the public share is sealed in, but is none", |task, keys, mut shares| {
        shares.public_share.push(7);
        shares.seal(task, keys)
    }),
    ("the ID is changed on the way", |task, keys, shares| {
        let mut report = shares.seal(task, keys);
        report.report_metadata.report_id = ReportId::random().unwrap();
        report
    }),
    ("the helper finds an extension in its share", |task, keys, mut shares| {
        shares.helper_extensions = extensions(&[0x7777]);
        shares.seal(task, keys)
    }),
];

#[test]
fn each_way_to_spoil_a_report_drops_it_alone() {
    let mut rng = seeded(20);
    let tasks = VDAFS.map(|vdaf| TaskSpec::new(vdaf, BatchMode::TimeInterval)).to_vec();
    let world = World::start(WorldOptions { tasks, ..Default::default() });
    for task in &world.tasks {
        let vdaf = task.configuration.vdaf;
        let good = sample(&vdaf, 2 * WAYS.len(), &mut rng);
        let bad = sample(&vdaf, WAYS.len(), &mut rng);
        let mut reports: Vec<_> = good.iter().map(|m| world.report_of(task, m)).collect();
        for (i, ((_, spoil), measurement)) in WAYS.iter().zip(&bad).enumerate() {
            let shares = Shares::new(task, measurement, world.window);
            reports.insert(3 * i, spoil(task, world.keys(), shares));
        }
        upload(&world, task, &reports, &reports[1]);
        let collected = world.collect_of(task, world.query()).unwrap();
        assert_eq!(collected.count, good.len() as u64, "{}", vdaf.name());
        assert_eq!(collected.result, total(&vdaf, &good), "{}", vdaf.name());
    }
}

/// Uploads reports, of which those are refused at once whose public share is of another length than that of
/// one, or whose sealed shares are shorter.
fn upload(world: &World, task: &Task, reports: &[Report], like: &Report) {
    let lengths = |report: &Report| {
        let sealed = [&report.leader_encrypted_input_share, &report.helper_encrypted_input_share];
        (report.public_share.as_bytes().len(), sealed.map(|sealed| sealed.payload.as_bytes().len()))
    };
    let (public, [leader, helper]) = lengths(like);
    let wrong = reports.iter().map(lengths).filter(|(its_public, [its_leader, its_helper])| {
        *its_public != public || *its_leader < leader || *its_helper < helper
    });
    assert_eq!(world.upload_to(task, reports), vec![ReportError::InvalidMessage; wrong.count()]);
}

#[test]
fn a_batch_of_bad_reports_only_is_empty() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let measurements = sample(&HISTOGRAM, WAYS.len(), &mut seeded(21));
    let spoil = |((_, spoil), m): (&(&str, Spoil), _)| {
        spoil(task, world.keys(), Shares::new(task, m, world.window))
    };
    let reports: Vec<_> = WAYS.iter().zip(&measurements).map(spoil).collect();
    upload(&world, task, &reports, &reports[0]);
    world.collection_refused(world.query(), InvalidBatchSize);
}

#[test]
fn a_report_of_another_task_or_time_counts_nowhere() {
    let tasks = vec![TaskSpec::default(), TaskSpec::default()];
    let world = World::start(WorldOptions { tasks, ..Default::default() });
    let [ours, theirs] = &world.tasks[..] else { panic!("two tasks") };
    let mut rng = seeded(22);
    let measurements = sample(&HISTOGRAM, 6, &mut rng);
    let mut strange: Vec<_> =
        sample(&HISTOGRAM, 3, &mut rng).iter().map(|m| world.report_of(theirs, m)).collect();
    let mut moved = world.report_of(ours, &measurements[0]);
    moved.report_metadata.time = Time(world.window.0 + 1);
    strange.push(moved);
    world.upload_all(&strange);
    world.upload_all(&world.reports(&measurements));
    let collected = world.collect(world.query_of(0, 2));
    assert_eq!(collected.result, total(&HISTOGRAM, &measurements));
    // Too few to be collected where they belong, but they are taken there.
    assert_eq!(world.upload_to(theirs, &strange[..3]), []);
    world.collect_of(theirs, world.query()).unwrap_err().refused_as(InvalidBatchSize);
}
