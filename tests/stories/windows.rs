//! What a batch may be of: windows that are over, and each full by itself. Each aggregator sees to it,
//! whatever the other one does.

use super::{
    device::Shares,
    log::Log,
    peer,
    task::{HISTOGRAM, Task, TaskSpec, now, sample, total},
    world::{World, WorldOptions, seeded},
};
use sottovoce_dap::{
    aggregate::{AggregationJobInitReq, VerifyInit, leader_selected_batch_id},
    collect::Query,
    extension::UncheckedExtensions,
    ids::{BatchId, ReportId},
    problem::ProblemType::{BatchInvalid, InvalidBatchSize, InvalidMessage},
    task::{BatchMode, VdafConfig},
    time::{Interval, Time},
    upload::Report,
    vdaf::{shard::Measurement, unshard::AggregateResult},
};
use sottovoce_log::entry::{Event, windows_setting};
use sottovoce_program::format_moment;

/// Reports of a window, counted from the world's.
fn reports_at(
    world: &World,
    task: &Task,
    offset: u64,
    measurements: &[Measurement],
) -> Vec<Report> {
    let time = Time(world.window.0 + offset);
    let seal = |measurement| Shares::new(task, measurement, time).seal(task, world.keys());
    measurements.iter().map(seal).collect()
}

/// Uploads so many reports of a window; gives what they say.
pub(super) fn upload(world: &World, task: &Task, offset: u64, count: usize) -> Vec<Measurement> {
    let measurements = sample(&task.configuration.vdaf, count, &mut seeded(600 + offset));
    assert_eq!(world.upload_to(task, &reports_at(world, task, offset, &measurements)), []);
    measurements
}

#[test]
fn a_small_window_keeps_an_interval_from_being_collected_and_spoils_nothing() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    // Of the minimum of 5: full, small, full, empty, full.
    let mut all: Vec<_> = [(0, 6), (1, 2), (2, 7), (4, 5)]
        .map(|(at, count)| upload(&world, task, at, count))
        .to_vec();
    for (start, duration) in [(0, 2), (0, 5), (1, 4), (0, 50)] {
        let refusal = world.collect_of(task, world.query_of(start, duration)).unwrap_err();
        refusal.refused_as(InvalidBatchSize);
        let detail = refusal.problem().detail.as_str().to_owned();
        let small = format_moment((world.window.0 + 1) * super::task::PRECISION);
        assert!(detail.contains(&small) && detail.contains("one by one"), "{detail}");
        assert!(!detail.contains("has 2") && !detail.contains("20 reports"), "no count: {detail}");
    }
    // By itself, a window is as good as ever; and with more reports, so is the rest as a whole.
    assert_eq!(world.collect(world.query_of(2, 1)).count, 7);
    all.remove(2);
    all.push(upload(&world, task, 1, 3));
    let united = world.collect(world.query_of(0, 2));
    let expected: Vec<_> = [&all[0], &all[1], &all[3]].into_iter().flatten().cloned().collect();
    assert_eq!((united.count, united.result), (11, total(&HISTOGRAM, &expected)));
    let last = world.collect(world.query_of(3, 40));
    assert_eq!((last.count, last.result), (5, total(&HISTOGRAM, &all[2])));
}

/// Reports of a window as a leader hands them to the helper.
fn inits(world: &World, offset: u64, count: usize) -> (Vec<VerifyInit>, Vec<ReportId>) {
    let task = world.task();
    let time = Time(world.window.0 + offset);
    let init = |measurement| {
        let shares = Shares::new(task, &measurement, time);
        let report = shares.seal(task, world.keys());
        (peer::verify_init(task, &shares, &report), shares.metadata.report_id)
    };
    sample(&HISTOGRAM, count, &mut seeded(700 + offset)).into_iter().map(init).unzip()
}

#[test]
fn the_helper_by_itself_gives_out_no_share_of_an_interval_with_a_small_window() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let (mut jobs, mut ids) = (Vec::new(), Vec::new());
    for (offset, count) in [(0, 6), (1, 4), (2, 5)] {
        let (inits, of_window) = inits(&world, offset, count);
        jobs.extend(inits);
        ids.push(of_window);
    }
    assert_eq!(peer::verdicts(peer::ask_job(task, &peer::job(jobs)).send()), [None; 15]);
    for (start, duration, windows) in [(0, 2, 0..2), (1, 2, 1..3), (0, 3, 0..3)] {
        let request = peer::share_request(world.query_of(start, duration), &ids[windows].concat());
        let answer = peer::ask_share(task, &request).send();
        answer.refused_as(InvalidBatchSize);
        let detail = answer.problem().detail.as_str().to_owned();
        assert!(detail.contains("each window") && !detail.contains(" 4 "), "{detail}");
    }
    for (start, window) in [(0, 0), (2, 2)] {
        let request = peer::share_request(world.query_of(start, 1), &ids[window]);
        peer::ask_share(task, &request).send().ok();
    }
}

#[test]
fn what_is_not_over_is_refused_by_both_and_stays_open() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let current = now().0;
    let query =
        |start, duration| Query::TimeInterval(Interval::new(Time(start), duration).unwrap().into());
    let (inits, ids) = inits(&world, 0, 6);
    peer::ask_job(task, &peer::job(inits)).send().ok();
    let to_come =
        [query(0, 1 << 62), query(current + 1, 1), query(world.window.0, 1000), query(0, u64::MAX)];
    for query in to_come {
        world.collection_refused(query, BatchInvalid);
        let answer = peer::ask_share(task, &peer::share_request(query, &ids)).send();
        if answer.status == 503 {
            // Nearly over: a leader whose clock is ahead of ours comes back.
            assert!(answer.header("retry-after").is_some());
        } else {
            answer.refused_as(BatchInvalid);
        }
    }
    // What was asked for in between is none the worse.
    peer::ask_share(task, &peer::share_request(world.query(), &ids)).send().ok();
    let measurements = upload(&world, task, 3, 5);
    assert_eq!(world.collect(world.query_of(3, 1)).result, total(&HISTOGRAM, &measurements));
}

#[test]
fn a_leader_a_little_ahead_is_asked_to_come_again_and_one_far_ahead_is_refused() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let current = now().0;
    let answer = |start, duration| {
        let query = Query::TimeInterval(Interval::new(Time(start), duration).unwrap().into());
        peer::ask_share(task, &peer::share_request(query, &[])).send()
    };
    let soon = answer(current + 1, 1);
    assert_eq!(soon.status, 503, "over in two minutes at most");
    let wait: u64 = soon.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=120).contains(&wait), "{wait}");
    answer(current + 10, 1).refused_as(BatchInvalid);
}

#[test]
fn reports_of_two_windows_never_share_a_leader_selected_batch() {
    let spec = TaskSpec::new(VdafConfig::Prio3Count, BatchMode::LeaderSelected);
    let world = World::with_task(spec);
    let task = world.task();
    let mut rng = seeded(620);
    // Interleaved within each upload; window 3 never gets enough, and holds up nobody.
    let mut expected = 0;
    for round in 0..5 {
        let mut mixed = Vec::new();
        for offset in 0..if round == 0 { 4 } else { 3 } {
            let measurements = sample(&VdafConfig::Prio3Count, 2, &mut rng);
            if offset < 3 {
                let AggregateResult::Integer(sum) = total(&VdafConfig::Prio3Count, &measurements)
                else {
                    panic!("a count is an integer")
                };
                expected += sum;
            }
            mixed.extend(reports_at(&world, task, offset, &measurements));
        }
        assert_eq!(world.upload_to(task, &mixed), []);
    }
    let (mut count, mut sum) = (0, 0);
    while count < 30 {
        let collected = world.collect(Query::LeaderSelected);
        assert_eq!(collected.interval.duration(), 1, "{:?}", collected.interval);
        assert!(collected.count >= 5);
        count += collected.count;
        let AggregateResult::Integer(part) = collected.result else { panic!("{collected:?}") };
        sum += part;
        world.delete(task, &collected);
    }
    assert_eq!((count, sum), (30, expected));
}

#[test]
fn the_helper_refuses_to_mix_windows_in_a_leader_selected_batch() {
    let world = World::with_task(TaskSpec::new(HISTOGRAM, BatchMode::LeaderSelected));
    let task = world.task();
    let [first, second] = [0, 1].map(|offset| inits(&world, offset, 3).0);
    let ask = |batch: BatchId, inits: &[VerifyInit]| {
        let extensions = UncheckedExtensions::new(vec![leader_selected_batch_id(batch)]).unwrap();
        let job = AggregationJobInitReq { extensions, ..peer::job(inits.to_vec()) };
        peer::ask_job(task, &job).send()
    };
    let [one, other] = [(); 2].map(|()| BatchId::random().unwrap());
    let both = [&first[..], &second[..]].concat();
    ask(one, &both).refused_as(InvalidMessage);
    assert_eq!(peer::verdicts(ask(one, &first[..2])), [None; 2]);
    ask(one, &second).refused_as(InvalidMessage);
    ask(one, &both[2..]).refused_as(InvalidMessage);
    // None of the reports lost its place by that.
    assert_eq!(peer::verdicts(ask(one, &first[2..])), [None]);
    assert_eq!(peer::verdicts(ask(other, &second)), [None; 3]);
}

#[test]
fn the_rule_can_be_switched_off_for_a_plain_task_and_the_log_says_so() {
    let tasks = [BatchMode::TimeInterval, BatchMode::LeaderSelected]
        .map(|mode| TaskSpec { windows: Some("unchecked"), ..TaskSpec::new(HISTOGRAM, mode) });
    let world = World::start(WorldOptions {
        tasks: [&tasks[..], &[TaskSpec::default()]].concat(),
        ..Default::default()
    });
    let queries = [world.query_of(0, 3), Query::LeaderSelected];
    for (task, query) in world.tasks.iter().zip(queries) {
        let counts = [(0, 2), (1, 2), (2, 2)];
        let windows =
            counts.map(|(offset, count)| sample(&HISTOGRAM, count, &mut seeded(640 + offset)));
        let reports: Vec<_> = (0..)
            .zip(&windows)
            .flat_map(|(offset, measurements)| reports_at(&world, task, offset, measurements))
            .collect();
        assert_eq!(world.upload_to(task, &reports), []);
        let collected = world.collect_of(task, query).unwrap();
        assert_eq!((collected.count, collected.interval.duration()), (6, 3));
        assert_eq!(collected.result, total(&HISTOGRAM, &windows.concat()));
    }
    for (server, path) in [(&world.leader, "/"), (&world.helper, "/dap/v19/")] {
        let said: Vec<_> = Log::of(server, path)
            .entries()
            .into_iter()
            .filter_map(|entry| match entry.event {
                Event::Settings(settings) => Some(settings),
                _ => None,
            })
            .flatten()
            .filter(|(name, _)| name.starts_with("task "))
            .collect();
        let unchecked = world.tasks[..2].iter().map(|task| windows_setting(&task.id));
        let expected: Vec<_> = unchecked.map(|name| (name, "unchecked".to_owned())).collect();
        assert_eq!(said, expected, "and nothing of the third task");
        let listed = server.run(&["tasks", "list", "--config", server.config.to_str().unwrap()]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        let weakened: Vec<_> = listed.lines().map(|line| line.contains("WEAKENED")).collect();
        assert_eq!(weakened, [true, true, false], "{listed}");
    }
}

#[test]
fn a_rule_that_is_switched_on_again_is_logged_and_kept() {
    let spec = TaskSpec { windows: Some("unchecked"), ..TaskSpec::default() };
    let world = World::with_task(spec);
    let task = world.task();
    upload(&world, task, 0, 6);
    upload(&world, task, 1, 2);
    world.wait_until_aggregated();
    world.kill_both();
    for role in ["leader", "helper"] {
        let path = world.folder.path().join(format!("{role}.task-0.json"));
        let file = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, file.replace("unchecked", "full")).unwrap();
    }
    world.start_both();
    world.collection_refused(world.query_of(0, 2), InvalidBatchSize);
    assert_eq!(world.collect(world.query()).count, 6);
    let settings = Log::of(&world.leader, "/").entries().into_iter().filter_map(|entry| {
        let Event::Settings(settings) = entry.event else { return None };
        settings.into_iter().find(|(name, _)| *name == windows_setting(&task.id))
    });
    let values: Vec<_> = settings.map(|(_, value)| value).collect();
    assert_eq!(values, ["unchecked", "full"]);
}
