//! The collector: asks for batches, at good times and bad ones, and opens what it gets.

use super::{task::window_start, world::World};
use crate::clock::simulated::elapsed;
use sottovoce_dap::{
    codec::{Encode, Opaque},
    collect::{
        BatchInterval, CollectionJobReq, CollectionJobResp, Query, aggregate_share_aad,
        aggregate_share_info,
    },
    exchange::{Create, Delete, ExchangeError},
    extension::UncheckedExtensions,
    hpke::{HpkeCiphertext, native::Opener},
    problem::ProblemType,
    role::Role,
    time::Interval,
    vdaf::{Vdaf, unshard::AggregateResult},
};
use sottovoce_transport::{
    error::TransportError,
    exchange::{Completed, IncompleteError, Patience, complete},
};
use std::time::Duration;

/// How a question ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Released,
    Refused(ProblemType),
    /// Not in time, or not in a way that says anything.
    Nothing,
}

const PATIENCE: Patience = Patience {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(5),
    total: Duration::from_secs(40),
    through_failures: true,
};

/// Asks for windows of a time-interval task.
pub(super) async fn collect(world: &World, task: usize, windows: std::ops::Range<u64>) -> Answer {
    world.tally(task).asked(windows.clone(), elapsed());
    let interval = Interval::new(window_start(windows.start), windows.end - windows.start).unwrap();
    let answer = ask(world, task, Query::TimeInterval(BatchInterval::from(interval))).await;
    world.note(&format!("task {task}, windows {windows:?}: {:?}", answer.0));
    answer.0
}

/// Asks for the next batch of a leader-selected task, and makes room for the one after it.
pub(super) async fn collect_next(world: &World, task: usize) -> Answer {
    let (answer, job) = ask(world, task, Query::LeaderSelected).await;
    world.note(&format!("task {task}, next batch: {answer:?}"));
    if let Some(job) = job {
        // If this is lost, the same batch is the answer to the same question.
        let token = Some(&world.tasks[task].collector_token);
        let _ = world.collector.perform(&Delete::new(&job), token).await;
    }
    answer
}

async fn ask(world: &World, task: usize, query: Query) -> (Answer, Option<String>) {
    let parts = &world.tasks[task];
    let request = CollectionJobReq {
        query,
        agg_param: Opaque::default(),
        extensions: UncheckedExtensions::default(),
    };
    let endpoint = &parts.configuration.leader_aggregator_endpoint;
    let create = Create::<CollectionJobResp>::new(endpoint, &parts.id, request.to_bytes());
    let token = Some(&parts.collector_token);
    match complete(&world.collector, &create, token, &PATIENCE, |_, _| ()).await {
        Ok(Completed { value, location }) => {
            let bins = open(world, task, &request, &value);
            let job = location.unwrap_or_default();
            world.note(&format!("{job} is {bins:?}"));
            world.check_published(task, &value);
            world.tally(task).released(&job, value.report_count, bins);
            (Answer::Released, Some(job))
        }
        Err(IncompleteError::Transport(TransportError::Exchange {
            source: ExchangeError::Problem { problem, .. },
            ..
        })) => (problem.kind().map_or(Answer::Nothing, Answer::Refused), None),
        Err(_) => (Answer::Nothing, None),
    }
}

/// Opens and combines both shares.
fn open(
    world: &World,
    task: usize,
    request: &CollectionJobReq,
    response: &CollectionJobResp,
) -> Vec<u128> {
    let task = &world.tasks[task];
    let opener = Opener::new(&task.collector).unwrap();
    let aad = aggregate_share_aad(&task.id, &task.configuration, request);
    let share = |role, sealed: &HpkeCiphertext| {
        opener.open(sealed, &aggregate_share_info(role), &aad).unwrap()
    };
    let leader = share(Role::Leader, &response.leader_encrypted_agg_share);
    let helper = share(Role::Helper, &response.helper_encrypted_agg_share);
    let vdaf = Vdaf::new(&task.configuration.vdaf).unwrap();
    match vdaf.unshard(&leader, &helper, response.report_count).unwrap() {
        AggregateResult::Vector(bins) => bins,
        AggregateResult::Integer(_) => Vec::new(),
    }
}
