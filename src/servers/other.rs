//! The other aggregator of a task: where it is, and what its refusals mean.

use sottovoce_aggregator::task::Task;
use sottovoce_dap::{exchange::ExchangeError, problem::ProblemType, role::Role, task::Url};
use sottovoce_transport::error::TransportError;

/// The other aggregator of a task and its endpoint.
pub(super) fn peer(task: &Task, role: Role) -> (Role, &Url) {
    match role {
        Role::Helper => (Role::Leader, &task.configuration.leader_aggregator_endpoint),
        _ => (Role::Helper, &task.configuration.helper_aggregator_endpoint),
    }
}

pub(super) fn at(endpoint: &Url, path: &str) -> String {
    format!("{}/{path}", endpoint.as_str().trim_end_matches('/'))
}

pub(super) fn in_words(role: Role) -> &'static str {
    if role == Role::Helper { "the helper" } else { "the leader" }
}

pub(super) fn explain(error: &TransportError) -> String {
    match error {
        TransportError::Exchange { source: ExchangeError::Problem { problem, .. }, .. } => {
            match (problem.status, problem.kind()) {
                (401, _) => {
                    "its verify key differs; set the same verify_key_seed on both sides".to_owned()
                }
                (_, Some(ProblemType::UnrecognizedTask)) => {
                    "it does not have this task; its operator has to add the same program"
                        .to_owned()
                }
                _ => error.to_string(),
            }
        }
        _ => error.to_string(),
    }
}
