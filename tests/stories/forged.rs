//! A forged report, one that the two aggregators would judge differently, costs nobody anything.

use super::{
    forger::{FORGEABLE, Wrong, forge},
    task::{TaskSpec, sample, total},
    world::{World, WorldOptions, seeded},
};
use sottovoce_dap::{collect::Query, task::BatchMode};

#[test]
fn a_report_with_two_faces_is_refused_alone_by_both_and_its_batch_is_collected() {
    let mut rng = seeded(30);
    let modes = [BatchMode::TimeInterval, BatchMode::LeaderSelected];
    let specs = modes.iter().flat_map(|mode| FORGEABLE.map(|vdaf| TaskSpec::new(vdaf, *mode)));
    let tasks = specs.collect();
    let world = World::start(WorldOptions { tasks, ..Default::default() });
    for task in &world.tasks {
        let vdaf = task.configuration.vdaf;
        let good = sample(&vdaf, 6, &mut rng);
        let mut reports: Vec<_> = good.iter().map(|m| world.report_of(task, m)).collect();
        for (at, wrong) in [(1, Wrong::Helpers), (4, Wrong::Leaders), (7, Wrong::Helpers)] {
            let forged = forge(task, world.window, wrong).seal(task, world.keys());
            reports.insert(at, forged);
        }
        assert_eq!(world.upload_to(task, &reports), []);
        let query = match task.configuration.batch_mode {
            BatchMode::LeaderSelected => Query::LeaderSelected,
            BatchMode::TimeInterval => world.query(),
        };
        let collected = world.collect_of(task, query);
        let collected = collected.unwrap_or_else(|answer| {
            panic!("{} {:?}: {}", vdaf.name(), task.configuration.batch_mode, answer.text())
        });
        assert_eq!(collected.count, good.len() as u64, "{}", vdaf.name());
        assert_eq!(collected.result, total(&vdaf, &good), "{}", vdaf.name());
    }
}
