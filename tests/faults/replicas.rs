//! Two leaders and two helpers over one PostgreSQL each, behind balancers; any of them dies.

use crate::{
    reports::Reports,
    stage::{Setting, Stage, databases, postgres},
    support::{
        impostor::{Impostor, Received, Reply},
        server::{Server, free_port},
        task::{HISTOGRAM, TaskSpec},
        world::seeded,
    },
    tally::first_seed,
};
use rand::RngExt;
use sottovoce::dap::task::{BatchMode, VdafConfig};
use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

#[test]
fn replicas_take_over_from_one_another_and_lose_nothing() {
    let Some(server) = postgres() else { return };
    let seed = first_seed(5000);
    let mut rng = seeded(seed);
    let of = |vdaf, mode| TaskSpec { min_batch_size: 100, ..TaskSpec::new(vdaf, mode) };
    let tasks = vec![
        of(HISTOGRAM, BatchMode::TimeInterval),
        of(VdafConfig::Prio3Count, BatchMode::LeaderSelected),
    ];
    let seen_at = [free_port(), free_port()];
    let stage = Stage::start(Setting {
        tasks,
        postgres: Some(databases(&server, seed)),
        replicas: 2,
        seen_at: seen_at.map(Some),
        ..Setting::default()
    });
    let _balancers = [balance(seen_at[0], &stage.leaders), balance(seen_at[1], &stage.helpers)];
    let mut reports = Reports::draw(&stage, &[3000, 1000], 3, &mut rng);
    reports.repeated = true;
    let mut kills = 0;
    reports.upload(|| {
        for moment in [reports.uploads() / 4, reports.uploads() / 2] {
            reports.wait_for(moment);
            kills += strike(&stage, &mut rng);
        }
    });
    thread::scope(|scope| {
        scope.spawn(|| reports.expect(&stage));
        kills += strike(&stage, &mut rng);
    });
    reports.replay();
    // Every replica has worked, not the same one all the time.
    for leader in &stage.leaders {
        assert!(leader.log().contains("listening"));
    }
    println!("{kills} kills, {} uploads without an answer", reports.unanswered());
}

/// Kills one leader and one helper, and starts them again when the others have done without them
/// for a while.
fn strike(stage: &Stage, rng: &mut rand::rngs::StdRng) -> u32 {
    let victims = [&stage.leaders, &stage.helpers].map(|servers| &servers[rng.random_range(0..2)]);
    for victim in victims {
        victim.kill();
    }
    thread::sleep(Duration::from_millis(rng.random_range(200..1500)));
    for victim in victims {
        victim.start();
    }
    2
}

/// Asks one server after the other; one that does not answer, the next.
fn balance(port: u16, servers: &[Server]) -> Impostor {
    let ports: Vec<u16> = servers.iter().map(|server| server.port).collect();
    let turn = AtomicUsize::new(0);
    Impostor::start(port, move |request: &Received| {
        let first = turn.fetch_add(1, SeqCst);
        let mut answers = (0..ports.len())
            .filter_map(|next| request.pass_on(ports[(first + next) % ports.len()]).ok());
        answers.next().map_or(Reply::HangUp, Reply::from)
    })
}
