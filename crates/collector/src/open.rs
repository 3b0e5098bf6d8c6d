//! Opening a collected batch (§4.6.6, §4.6.7).

use sottovoce_dap::{
    collect::{CollectionJobReq, CollectionJobResp, aggregate_share_aad, aggregate_share_info},
    hpke::{HpkeCiphertext, HpkeError, native::Opener},
    ids::TaskId,
    role::Role,
    task::TaskConfiguration,
    vdaf::{
        UnsupportedVdaf, Vdaf,
        unshard::{AggregateResult, UnshardError},
    },
};
use thiserror::Error;

/// A collected batch that gives no aggregate.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The task's VDAF cannot be set up.
    #[error(transparent)]
    Vdaf(#[from] UnsupportedVdaf),
    /// A share was not sealed to this collector, for this task and this request.
    #[error(
        "the {role}'s aggregate share does not decrypt: {source}; check that the secrets are this program's collector's"
    )]
    Share {
        /// Whose share it is.
        role: Role,
        /// Why it does not open.
        source: HpkeError,
    },
    /// The shares do not fit together.
    #[error(transparent)]
    Unshard(#[from] UnshardError),
    /// The aggregators gave out a batch that the task does not allow.
    #[error("the batch has {count} reports; the task's minimum is {least}")]
    TooFew {
        /// Reports in the batch.
        count: u64,
        /// The task's minimum.
        least: u64,
    },
}

/// Opens both aggregate shares and combines them.
pub fn open(
    task: &TaskId,
    configuration: &TaskConfiguration,
    request: &CollectionJobReq,
    response: &CollectionJobResp,
    opener: &Opener,
) -> Result<AggregateResult, OpenError> {
    let (count, least) = (response.report_count, configuration.min_batch_size);
    if count < least {
        return Err(OpenError::TooFew { count, least });
    }
    let aad = aggregate_share_aad(task, configuration, request);
    let share = |role, sealed: &HpkeCiphertext| {
        opener
            .open(sealed, &aggregate_share_info(role), &aad)
            .map_err(|source| OpenError::Share { role, source })
    };
    let leader = share(Role::Leader, &response.leader_encrypted_agg_share)?;
    let helper = share(Role::Helper, &response.helper_encrypted_agg_share)?;
    Ok(Vdaf::new(&configuration.vdaf)?.unshard(&leader, &helper, count)?)
}
