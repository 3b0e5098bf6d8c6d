//! All goes well: every VDAF in both batch modes, to the last digit.

use super::{
    http::Ask,
    server::poll,
    task::{Task, TaskSpec, VDAFS, sample, total},
    world::{World, WorldOptions, seeded},
};
use sottovoce_dap::{
    collect::Query,
    media_type::MediaType,
    task::{BatchMode, VdafConfig},
    vdaf::unshard::AggregateResult,
};

#[test]
fn every_vdaf_adds_up_exactly_over_an_interval() {
    let mut rng = seeded(1);
    let tasks = VDAFS.map(|vdaf| TaskSpec::new(vdaf, BatchMode::TimeInterval)).to_vec();
    let world = World::start(WorldOptions { tasks, ..Default::default() });
    for task in &world.tasks {
        let vdaf = task.configuration.vdaf;
        let measurements = sample(&vdaf, 23, &mut rng);
        let reports: Vec<_> = measurements.iter().map(|m| world.report_of(task, m)).collect();
        assert_eq!(world.upload_to(task, &reports[..10]), []);
        assert_eq!(world.upload_to(task, &reports[10..]), []);
        let collected = world.collect_of(task, world.query()).unwrap();
        assert_eq!(collected.result, total(&vdaf, &measurements), "{}", vdaf.name());
        assert_eq!(collected.count, 23);
        assert_eq!((collected.interval.start(), collected.interval.duration()), (world.window, 1));
    }
}

#[test]
fn leader_selected_batches_come_in_turn_and_each_once() {
    let mut rng = seeded(2);
    let histogram = super::task::HISTOGRAM;
    let tasks = [histogram, VdafConfig::Prio3Count]
        .map(|vdaf| TaskSpec::new(vdaf, BatchMode::LeaderSelected));
    let world = World::start(WorldOptions { tasks: tasks.to_vec(), ..Default::default() });
    for task in &world.tasks {
        let vdaf = task.configuration.vdaf;
        for count in [5, 8, 6] {
            let measurements = sample(&vdaf, count, &mut rng);
            let reports: Vec<_> = measurements.iter().map(|m| world.report_of(task, m)).collect();
            assert_eq!(world.upload_to(task, &reports), []);
            let collected = world.collect_of(task, Query::LeaderSelected).unwrap();
            assert_eq!(collected.result, total(&vdaf, &measurements));
            let again = world.collect_of(task, Query::LeaderSelected).unwrap();
            assert_eq!(again, collected, "not deleted yet: the same batch");
            world.delete(task, &collected);
            let gone = Ask::get(&collected.location).token(&task.collector_token).send();
            assert_eq!(gone.status, 404);
        }
    }
}

#[test]
fn leader_selected_batches_that_pile_up_are_all_collected() {
    let mut rng = seeded(3);
    let world = World::with_task(TaskSpec::new(VdafConfig::Prio3Count, BatchMode::LeaderSelected));
    let measurements = sample(&VdafConfig::Prio3Count, 40, &mut rng);
    for reports in world.reports(&measurements).chunks(5) {
        world.upload_all(reports);
    }
    let (mut count, mut sum) = (0, 0);
    while count < 40 {
        let collected = world.collect(Query::LeaderSelected);
        assert!(collected.count >= 5);
        count += collected.count;
        let AggregateResult::Integer(part) = collected.result else { panic!("{collected:?}") };
        sum += part;
        world.delete(world.task(), &collected);
    }
    assert_eq!(
        (count, AggregateResult::Integer(sum)),
        (40, total(&VdafConfig::Prio3Count, &measurements))
    );
}

#[test]
fn windows_are_apart_and_an_interval_may_have_several_full_ones() {
    let mut rng = seeded(4);
    let world = World::with_task(TaskSpec::default());
    let vdaf = world.task().configuration.vdaf;
    let mut expected = Vec::new();
    for offset in [0, 0, 1, 2, 2, 2, 5] {
        let measurements = sample(&vdaf, 5, &mut rng);
        let reports: Vec<_> = measurements
            .iter()
            .map(|measurement| {
                let time = sottovoce_dap::time::Time(world.window.0 + offset);
                super::device::Shares::new(world.task(), measurement, time)
                    .seal(world.task(), world.keys())
            })
            .collect();
        world.upload_all(&reports);
        if offset < 3 {
            expected.extend(measurements);
        }
    }
    let collected = world.collect(world.query_of(0, 4));
    assert_eq!(collected.result, total(&vdaf, &expected));
    // The smallest interval with all reports, not the one that was asked for.
    assert_eq!((collected.interval.start(), collected.interval.duration()), (world.window, 3));
}

#[test]
fn tasks_without_task_info_are_added_agreed_on_and_collected_each_by_its_id() {
    let spec = TaskSpec { task_info: b"", ..TaskSpec::default() };
    let world = World::with_task(spec.clone());
    let same = &world.task().configuration;
    let endpoints = [&same.leader_aggregator_endpoint, &same.helper_aggregator_endpoint];
    let [leader, helper] = endpoints.map(sottovoce_dap::task::Url::as_str);
    let added = Task::new(&spec, leader, helper);
    assert_eq!(added.configuration, *same);
    for (server, is_leader) in [(&world.leader, true), (&world.helper, false)] {
        let file = server.config.with_extension("new.json");
        std::fs::write(&file, added.file(is_leader)).unwrap();
        let output = server.tell(&["tasks", "add", file.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
    }
    for server in [&world.leader, &world.helper] {
        let output = server.tell(&["doctor"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(said.matches("has the same draft, clock").count(), 2, "{said}");
    }
    let nothing = Ask::post(&added.at_leader("reports"), MediaType::UploadReq, Vec::new());
    poll("the task", || (nothing.clone().send().status != 404).then_some(()));
    for (task, seed) in [(world.task(), 5), (&added, 6)] {
        let measurements = sample(&spec.vdaf, 7, &mut seeded(seed));
        let reports: Vec<_> = measurements.iter().map(|m| world.report_of(task, m)).collect();
        assert_eq!(world.upload_to(task, &reports), []);
        let collected = world.collect_of(task, world.query()).unwrap();
        assert_eq!(collected.result, total(&spec.vdaf, &measurements));
    }
}
