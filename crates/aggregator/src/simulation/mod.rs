//! Deterministic simulation: leaders, helpers, their databases, clocks and network, devices and a
//! collector, in one thread and in no time.
//!
//! A seed draws a [`plan`]: what is uploaded and asked for when, which requests get lost, doubled or stuck,
//! when a disk fails and a process ends in the middle of its work, whose clock is wrong. [`run`](run::run) carries
//! it out on a [`world`]: the parts are those that serve in production, but for what [`crate::clock`],
//! [`crate::blocking`] and [`sottovoce_transport::wire`] put in place of time, threads and sockets.
//! Each honest report has a bin of its own in its task's histogram, so that results name all that was counted:
//! [`tally`] says whether it may be. A seed that fails is made smaller and printed.
//!
//! `SIMULATION_SEEDS` says how many seeds are tried, `SIMULATION_SEED` the only one.

mod collector;
mod device;
mod network;
mod plan;
mod run;
mod server;
mod tally;
mod task;
mod world;

use crate::store::faulty::{Verb, When};
use plan::{Plan, Server};
use run::run;
use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Seeds that are tried each time.
const SEEDS: u64 = 200;

fn from_environment(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn whatever_happens_reports_count_once_and_work_goes_on() {
    if let Some(seed) = from_environment("SIMULATION_SEED") {
        return explain(seed);
    }
    let seeds = from_environment("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                while failed.load(Ordering::Relaxed) == u64::MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    if !run(&Plan::of(seed)).wrong.is_empty() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    match failed.into_inner() {
        u64::MAX => {}
        seed => explain(seed),
    }
}

/// Says what goes wrong with a seed, and with how little.
fn explain(seed: u64) {
    let plan = Plan::of(seed);
    if run(&plan).wrong.is_empty() {
        return;
    }
    let least = plan.shrunk(|plan| !run(plan).wrong.is_empty());
    let outcome = run(&least);
    panic!(
        "SIMULATION_SEED={seed}\n{}\n\nwith only:\n{least:#?}\n\n{}",
        outcome.wrong.join("\n"),
        outcome.trace.join("\n")
    );
}

/// Verbs that the leader calls on a report's way and a collection's, and those that the helper calls.
const OF_LEADER: [Verb; 10] = [
    Verb::Task,
    Verb::AcceptReports,
    Verb::LeaseJobs,
    Verb::CommitLeaderJob,
    Verb::StartCollection,
    Verb::PendingCollections,
    Verb::CloseBatch,
    Verb::FinishCollection,
    Verb::Collection,
    Verb::Publish,
];
const OF_HELPER: [Verb; 7] = [
    Verb::Task,
    Verb::ReplayJob,
    Verb::CommitHelperJob,
    Verb::DeleteJob,
    Verb::CloseBatch,
    Verb::Collection,
    Verb::Publish,
];

#[test]
fn both_roles_recover_from_each_verb_that_fails_before_or_after_its_commit() {
    let leader = OF_LEADER.map(|verb| (Server::Leader(0), verb));
    let helper = OF_HELPER.map(|verb| (Server::Helper(0), verb));
    for (server, verb) in leader.into_iter().chain(helper) {
        for when in [When::BeforeCommit, When::AfterCommit] {
            let outcome = run(&Plan::with_one_fault(server, verb, when));
            let case = format!("{server:?}, {verb:?}, {when:?}");
            let wrong = outcome.wrong.join("\n");
            assert!(wrong.is_empty(), "{case}\n{wrong}\n{}", outcome.trace.join("\n"));
            assert_eq!(outcome.unspent, 0, "{case}: nobody called it");
        }
    }
}

#[test]
fn a_seed_leads_to_the_same_run_each_time() {
    for seed in 1000..1030 {
        let runs = [(); 2].map(|()| run(&Plan::of(seed)).trace.join("\n"));
        let at = runs[0].lines().zip(runs[1].lines()).find(|(one, other)| one != other);
        assert!(runs[0] == runs[1], "seed {seed}: {at:?}");
    }
}
