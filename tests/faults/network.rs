//! The network between leader and helper loses requests and responses, delays them, tears them
//! and repeats them.

use crate::{
    reports::Reports,
    stage::{Setting, Stage},
    support::{
        impostor::{Impostor, Received, Reply},
        server::free_port,
        task::{HISTOGRAM, TaskSpec},
        world::seeded,
    },
    tally::{first_seed, rounds},
};
use rand::RngExt;
use sottovoce::dap::task::{BatchMode, VdafConfig};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Arrives,
    LosesRequest,
    LosesResponse,
    TearsResponse,
    Delays(u64),
    Repeats,
}

/// Of ten requests, about four meet a fault.
fn fate(drawn: u32, milliseconds: u64) -> Fate {
    match drawn {
        0 => Fate::LosesRequest,
        1 => Fate::LosesResponse,
        2 => Fate::TearsResponse,
        3 => Fate::Delays(milliseconds),
        4 => Fate::Repeats,
        _ => Fate::Arrives,
    }
}

fn suffer(fate: Fate, request: &Received, port: u16) -> Reply {
    let pass = || request.pass_on(port).map_or(Reply::HangUp, Reply::from);
    match fate {
        Fate::Arrives => pass(),
        Fate::LosesRequest => Reply::HangUp,
        Fate::LosesResponse => {
            pass();
            Reply::HangUp
        }
        Fate::TearsResponse => pass().torn(),
        Fate::Delays(milliseconds) => {
            thread::sleep(Duration::from_millis(milliseconds));
            pass()
        }
        Fate::Repeats => {
            pass();
            pass()
        }
    }
}

#[test]
fn every_report_counts_once_whatever_the_network_does() {
    let first = first_seed(4000);
    let mut met = BTreeMap::<&str, u32>::new();
    for seed in first..first + rounds(2) {
        for (fate, times) in round(seed) {
            *met.entry(fate).or_default() += times;
        }
    }
    println!("met: {met:?}");
    assert_eq!(met.len(), 6, "each fate is met: {met:?}");
}

fn round(seed: u64) -> BTreeMap<&'static str, u32> {
    let mut rng = seeded(seed);
    let of = |vdaf, mode| TaskSpec { min_batch_size: 100, ..TaskSpec::new(vdaf, mode) };
    let tasks = vec![
        of(HISTOGRAM, BatchMode::TimeInterval),
        of(VdafConfig::Prio3Count, BatchMode::LeaderSelected),
    ];
    let port = free_port();
    let stage = Stage::start(Setting { tasks, seen_at: [None, Some(port)], ..Setting::default() });
    let helper = stage.helper().port;
    let (fates, met) = (Mutex::new(seeded(seed ^ 1)), Arc::new(Mutex::new(BTreeMap::new())));
    let between = {
        let met = Arc::clone(&met);
        Impostor::start(port, move |request| {
            let fate = {
                let mut rng = fates.lock().unwrap();
                fate(rng.random_range(0..10), rng.random_range(0..600))
            };
            let name = match fate {
                Fate::Arrives => "arrives",
                Fate::LosesRequest => "loses the request",
                Fate::LosesResponse => "loses the response",
                Fate::TearsResponse => "tears the response",
                Fate::Delays(_) => "delays",
                Fate::Repeats => "repeats",
            };
            *met.lock().unwrap().entry(name).or_default() += 1;
            suffer(fate, request, helper)
        })
    };
    let reports = Reports::draw(&stage, &[1500, 500], 3, &mut rng);
    reports.upload(|| ());
    reports.expect(&stage);
    reports.replay();
    drop(stage);
    drop(between);
    Arc::try_unwrap(met).unwrap().into_inner().unwrap()
}
