//! Two leaders and two helpers over one PostgreSQL: one of each dies in the middle of its work and
//! stays dead.

use crate::{
    proxy::balance,
    reports::Reports,
    stage::{Setting, Stage, databases, postgres, two_modes},
    support::{server::poll, world::seeded},
    tally::{first_seed, rounds},
};
use rand::RngExt;
use std::sync::{Arc, OnceLock};

const REPORTS: [usize; 2] = [2800, 1200];
const ROUNDS: u64 = 3;

#[test]
fn the_other_replica_finishes_what_a_killed_one_began() {
    let Some(server) = postgres() else { return };
    let first_seed = first_seed(10_000);
    for seed in first_seed..first_seed + rounds(ROUNDS) {
        let mut rng = seeded(seed);
        let ports = [(); 2].map(|()| Arc::new(OnceLock::new()));
        let stage = Stage::start(&Setting {
            tasks: two_modes(100),
            postgres: Some(databases(&server, seed)),
            replicas: 2,
            seen_at: [0, 1].map(|role| Some(balance(Arc::clone(&ports[role])))),
            ..Setting::default()
        });
        for (ports, servers) in ports.iter().zip([&stage.leaders, &stage.helpers]) {
            ports.set(servers.iter().map(|server| server.port).collect()).unwrap();
        }
        let reports = Reports::draw(&stage, &REPORTS, 4, &mut rng);
        let moments = [3, 6].map(|tenths| reports.uploads() * tenths / 10);
        let [leader, helper] = [(); 2].map(|()| rng.random_range(0..2));
        reports.upload(|| {
            reports.wait_for(moments[0]);
            poll("a job under way", || stage.under_way().filter(|left| left.jobs > 0));
            stage.leaders[leader].kill();
            reports.wait_for(moments[1]);
            stage.helpers[helper].kill();
        });
        println!("after seed {seed}: {} uploads without an answer", reports.unanswered());
        reports.expect(&stage);
        reports.replay();
    }
}
