//! What leader and helper do alike when a batch is collected (§4.6).

use super::{http::Failure, task::Task};
use crate::{
    dap::{
        collect::{CollectionJobReq, Query, aggregate_share_aad, aggregate_share_info},
        hpke::{HpkeCiphertext, HpkeError, native},
        problem::ProblemType,
        role::Role,
        task::BatchMode,
        vdaf::merge::MergeError,
    },
    privacy::rng::{DeviceRng, NoRandomness},
};
use thiserror::Error;

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

/// Our share of a batch with our noise, if the task has some.
///
/// Drawn once for a batch: within the transaction that closes it, and stored with the share or
/// the seal around it. Two draws for one batch could be averaged. A batch that is opened again
/// without its share having left gets new noise, which nobody can compare with the old.
pub fn noisy_share(task: &Task, share: Vec<u8>) -> Result<Vec<u8>, ShareError> {
    let Some(noise) = task.noise else { return Ok(share) };
    let mut rng = DeviceRng::new()?;
    Ok(task.vdaf.offset(&share, &mut || noise.draw(&mut rng))?)
}

/// A share of a batch that cannot be given out.
#[derive(Debug, Error)]
pub enum ShareError {
    /// The batch's sums do not add up.
    #[error("the batch cannot be added up: {0}")]
    Merge(#[from] MergeError),
    /// There is no noise.
    #[error(transparent)]
    Noise(#[from] NoRandomness),
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
