//! Aggregators that add noise to their shares: each its own, and once for a batch.

use super::{
    impostor::{Impostor, Reply},
    server::{free_port, poll},
    task::{HISTOGRAM, Task, TaskSpec, VDAFS, sample, total},
    windows::upload,
    world::{Collected, World, WorldOptions, seeded},
};
use reqwest::Method;
use serde_json::json;
use sottovoce_dap::{
    task::{BatchMode, VdafConfig},
    vdaf::unshard::AggregateResult,
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering::SeqCst},
};

const SIGMA: i128 = 1000;

fn noisy(spec: &TaskSpec) -> TaskSpec {
    TaskSpec {
        noise: Some(json!({ "kind": "discrete-gaussian", "sigma": 1000.0 })),
        ..spec.clone()
    }
}

/// How far each element is from the truth.
fn distances(task: &Task, truth: &AggregateResult, collected: &Collected) -> Vec<i128> {
    assert_eq!(collected.count, 30, "{}", task.id);
    let (found, truth) = (collected.result.signed(), truth.signed());
    assert_eq!(found.len(), truth.len());
    found.iter().zip(truth).map(|(found, truth)| found - truth).collect()
}

#[test]
fn every_vdaf_gets_noise_on_every_element_in_both_batch_modes() {
    let mut rng = seeded(91);
    let modes = [BatchMode::TimeInterval, BatchMode::LeaderSelected];
    let tasks: Vec<_> = modes
        .iter()
        .flat_map(|mode| VDAFS.map(|vdaf| noisy(&TaskSpec::new(vdaf, *mode))))
        .collect();
    let world = World::start(WorldOptions { tasks, ..Default::default() });
    let mut all = Vec::new();
    for task in &world.tasks {
        let vdaf = task.configuration.vdaf;
        let measurements = sample(&vdaf, 30, &mut rng);
        let reports: Vec<_> = measurements.iter().map(|m| world.report_of(task, m)).collect();
        assert_eq!(world.upload_to(task, &reports), []);
        let query = match task.configuration.batch_mode {
            BatchMode::TimeInterval => world.query(),
            BatchMode::LeaderSelected => sottovoce_dap::collect::Query::LeaderSelected,
        };
        let collected = world.collect_of(task, query).unwrap_or_else(|a| panic!("{}", a.text()));
        all.extend(distances(task, &total(&vdaf, &measurements), &collected));
    }
    // 40 sums of two draws each: the chance that one is beyond 8 σ, or that one in four is within
    // σ/10, is below one in a million.
    assert_eq!(all.len(), 40);
    assert!(all.iter().all(|distance| distance.abs() < 8 * SIGMA), "{all:?}");
    let small = all.iter().filter(|distance| distance.abs() < SIGMA / 10).count();
    assert!(small < 10, "{all:?}");
    let both_signs = all.iter().any(|d| *d < 0) && all.iter().any(|d| *d > 0);
    assert!(both_signs, "{all:?}");
}

#[test]
fn noise_is_drawn_once_however_often_the_batch_is_asked_for_and_whoever_dies() {
    let mut rng = seeded(92);
    let port = free_port();
    let real_port = Arc::new(AtomicU16::new(0));
    let shares = Arc::new(Mutex::new(Vec::new()));
    let impostor = {
        let (real_port, shares) = (Arc::clone(&real_port), Arc::clone(&shares));
        Impostor::start(port, move |request| {
            let Ok(answer) = request.pass_on(real_port.load(SeqCst)) else {
                return Reply::HangUp;
            };
            if request.method == Method::POST && request.path.contains("aggregate_shares") {
                let mut shares = shares.lock().unwrap();
                shares.push(answer.body.clone());
                // The leader never hears of the first three.
                if shares.len() <= 3 {
                    return Reply::HangUp;
                }
            }
            answer.into()
        })
    };
    let tasks = vec![noisy(&TaskSpec::default())];
    let world =
        World::start(WorldOptions { tasks, helper_seen_at: Some(port), ..Default::default() });
    real_port.store(world.helper.port, SeqCst);
    let measurements = sample(&HISTOGRAM, 30, &mut rng);
    world.upload_all(&world.reports(&measurements));
    let request = sottovoce_collector::collect::request(world.query());
    world.ask_collection(&request).send().ok();
    for lost in 1..=2 {
        poll("a share that is lost", || (shares.lock().unwrap().len() >= lost).then_some(()));
        world.kill_both();
        world.start_both();
    }
    let collected = world.collect(world.query());
    let shares = shares.lock().unwrap();
    assert!(shares.len() > 3 && shares.iter().all(|share| *share == shares[0]), "another draw");
    drop(shares);
    // The same again, also after both have started anew.
    assert_eq!(world.collect(world.query()), collected);
    world.kill_both();
    world.start_both();
    assert_eq!(world.collect(world.query()), collected);
    let truth = total(&HISTOGRAM, &measurements);
    let distances = distances(world.task(), &truth, &collected);
    assert!(distances.iter().any(|distance| *distance != 0), "there is no noise");
    assert!(distances.iter().all(|distance| distance.abs() < 8 * SIGMA), "{distances:?}");
    drop(impostor);
}

#[test]
fn each_window_of_an_interval_has_noise_of_its_own() {
    let vdaf = VdafConfig::Prio3Histogram { length: 200, chunk_length: 15 };
    let spec = noisy(&TaskSpec::new(vdaf, BatchMode::TimeInterval));
    let world = World::with_task(spec);
    let task = world.task();
    let measurements: Vec<_> = (0..9).flat_map(|at| upload(&world, task, at, 5)).collect();
    let collected = world.collect(world.query_of(0, 9));
    assert_eq!(collected.count, 45);
    let truth = total(&vdaf, &measurements).signed();
    let squares = collected.result.signed().into_iter().zip(truth).map(|(a, b)| (a - b).pow(2));
    // The mean of 200 squares is within a half of what is expected but once in a million times; that of one
    // window is a ninth.
    let ratio = squares.sum::<i128>() / 200 * 100 / (9 * 2 * SIGMA * SIGMA);
    assert!((50..150).contains(&ratio), "{ratio} %");
}

#[test]
fn noise_that_there_is_not_is_refused() {
    let world = World::with_task(TaskSpec::default());
    for (number, (noise, words)) in [
        (json!({ "kind": "discrete-gaussian", "sigma": 0.1 }), "0.5 to 10000"),
        (json!({ "kind": "discrete-gaussian", "scale": 3.0 }), "sigma"),
        (json!({ "kind": "gaussian", "sigma": 3.0 }), "discrete-gaussian"),
    ]
    .into_iter()
    .enumerate()
    {
        let spec = TaskSpec { noise: Some(noise), ..TaskSpec::default() };
        let task = Task::new(&spec, "http://127.0.0.1:1/", "http://127.0.0.1:2/");
        let file = world.folder.path().join(format!("noisy-{number}.json"));
        std::fs::write(&file, task.file(true)).unwrap();
        let config = world.leader.config.to_str().unwrap();
        let output = world.leader.run(&["tasks", "add", "-c", config, file.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
