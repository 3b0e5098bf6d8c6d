//! What leader and helper do alike when a batch is collected (§4.6).

use super::{http::Failure, task::Task};
use crate::dap::{
    collect::{CollectionJobReq, Query, aggregate_share_aad, aggregate_share_info},
    hpke::{HpkeCiphertext, HpkeError, native},
    problem::ProblemType,
    role::Role,
    task::BatchMode,
};

/// Checks a collector's request by itself, in the order of §4.6.1: batch mode, aggregation
/// parameter, extensions.
pub fn check_request(task: &Task, request: &CollectionJobReq) -> Result<(), Failure> {
    let refuse = |kind, detail: &str| Err(Failure::problem(kind, Some(&task.id), detail));
    match (&request.query, task.configuration.batch_mode) {
        (Query::TimeInterval(_), BatchMode::TimeInterval)
        | (Query::LeaderSelected, BatchMode::LeaderSelected) => {}
        _ => {
            let detail = "the batch mode of the query is not that of the task";
            return refuse(ProblemType::InvalidMessage, detail);
        }
    }
    if !request.agg_param.as_bytes().is_empty() {
        let detail = "Prio3 takes the empty aggregation parameter only";
        return refuse(ProblemType::InvalidAggregationParameter, detail);
    }
    let extensions = request
        .extensions
        .check()
        .map_err(|error| Failure::problem(ProblemType::InvalidExtension, Some(&task.id), error))?;
    let unsupported: Vec<u16> = extensions.iter().map(|e| e.extension_type).collect();
    if !unsupported.is_empty() {
        return Err(Failure::unsupported_extensions(&task.id, unsupported));
    }
    Ok(())
}

/// Seals an aggregate share to the collector (§4.6.7).
pub fn seal_aggregate_share(
    task: &Task,
    role: Role,
    request: &CollectionJobReq,
    share: &[u8],
) -> Result<HpkeCiphertext, HpkeError> {
    let aad = aggregate_share_aad(&task.id, &task.configuration, request);
    native::seal(&task.collector_hpke_config, &aggregate_share_info(role), &aad, share)
}
