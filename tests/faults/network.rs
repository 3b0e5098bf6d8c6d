//! The network between leader and helper loses, delays, cuts and repeats requests and responses.

use crate::{
    proxy::{FAULTS, Proxy},
    reports::Reports,
    stage::{Setting, Stage, databases, postgres, two_modes},
    support::world::seeded,
    tally::{first_seed, rounds},
};
use sottovoce_aggregator::test_support::postgres::TemporaryPostgres;
use std::{collections::BTreeMap, time::Instant};

const REPORTS: [usize; 2] = [1800, 700];
const ROUNDS: u64 = 2;

#[test]
fn whatever_the_network_does_every_report_counts_once_on_sqlite() {
    trouble_in_rounds(None, first_seed(4000));
}

#[test]
fn whatever_the_network_does_every_report_counts_once_on_postgres() {
    if let Some(server) = postgres() {
        trouble_in_rounds(Some(&server), first_seed(5000));
    }
}

fn trouble_in_rounds(postgres: Option<&TemporaryPostgres>, first_seed: u64) {
    let (started, mut hits, rounds) = (Instant::now(), BTreeMap::new(), rounds(ROUNDS));
    for seed in first_seed..first_seed + rounds {
        let proxy = round(postgres, seed);
        for (fault, times) in proxy.hits() {
            *hits.entry(fault).or_insert(0) += times;
        }
        println!("after seed {seed}: {hits:?} in {:.0?}", started.elapsed());
    }
    for fault in FAULTS {
        assert!(hits.get(&fault).is_some_and(|times| *times > 0), "no {fault:?}: {hits:?}");
    }
}

fn round(postgres: Option<&TemporaryPostgres>, seed: u64) -> Proxy {
    let (mut rng, proxy) = (seeded(seed), Proxy::start(seed));
    let stage = Stage::start(&Setting {
        tasks: two_modes(100),
        postgres: postgres.map(|server| databases(server, seed)),
        seen_at: [None, Some(proxy.port)],
        ..Setting::default()
    });
    proxy.lead_to(stage.helper().port);
    let reports = Reports::draw(&stage, &REPORTS, 4, &mut rng);
    proxy.trouble(true);
    reports.upload(|| ());
    reports.expect(&stage);
    proxy.trouble(false);
    reports.replay();
    proxy
}
