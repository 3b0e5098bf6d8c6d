//! The helper's aggregate share, given out once for a batch (§4.6.4).
//!
//! The check, the sealed share and the mark that the batch is collected are one transaction: a
//! batch is either untouched or its one share is stored, and the same request finds it again.

use super::Helper;
use crate::{
    collection::{
        FullBatch, NotReleased, check_request, full_batch, noisy_share, not_over,
        seal_aggregate_share, until_over,
    },
    http::Failure,
    log::{Covered, entries},
    open::CLOCK_SKEW,
    store::{BucketRange, BucketShard, Closed, Closing, CollectionState, Kept, Then, Timestamp},
    task::{HelperTask, Task},
};
use sottovoce_dap::{
    codec::{Decode, Encode},
    collect::{AggregateShare, AggregateShareReq, BatchSelector, Query},
    ids::{AggregateShareId, content_derived},
    problem::ProblemType,
    role::Role,
};
use std::time::Duration;

/// Gives out the share of a batch, or finds it again: its ID and the encoded response.
///
/// The log's entry commits with the share. Killed before it is published: whoever asks again finds
/// the share, and it is published then.
pub(super) fn create(
    helper: &Helper,
    task: &HelperTask,
    body: &[u8],
    now: Timestamp,
) -> Result<(AggregateShareId, Covered<Vec<u8>>), Failure> {
    let task = &task.task;
    let id = AggregateShareId::new(content_derived("aggregate share", &task.id, body));
    if let Some(share) = stored(helper, task, id)? {
        return Ok((id, helper.log.cover(share)?));
    }
    let request =
        AggregateShareReq::from_bytes(body).map_err(|e| Failure::malformed(&task.id, &e))?;
    check_parameter(task, &request)?;
    check_request(task, &request.collection_job_req)?;
    let range = batch(task, &request)?;
    if let Some(early) = early(task, &request, now) {
        return refuse(helper, task, &request, early, now);
    }

    let mut refusal = None;
    let mut decide = |shards: &mut dyn Iterator<Item = BucketShard>| {
        release(task, &request, shards, now).map_err(|failure| refusal = Some(failure)).ok()
    };
    let closing =
        Closing { task: &task.id, id: id.into(), request: body, range: &range, then: Then::Finish };
    let closed = helper.store.close_batch(now, &closing, &mut decide).map_err(Failure::from)?;
    if matches!(closed, Closed::Kept(_)) {
        helper.metrics.released(task);
    }
    match closed {
        Closed::Kept(share) | Closed::Over(CollectionState::Finished(share)) => {
            Ok((id, helper.log.cover(share.into_bytes())?))
        }
        Closed::Refused => refuse(helper, task, &request, refusal.unwrap_or(Failure::Busy), now),
        // The second: the share was given out and deleted, which makes the batch no less collected.
        Closed::Overlap | Closed::Over(_) => {
            let detail =
                "reports of this batch were already collected; a batch can be collected only once";
            let failure = Failure::problem(ProblemType::BatchOverlap, Some(&task.id), detail);
            refuse(helper, task, &request, failure, now)
        }
        Closed::Busy => Err(Failure::Busy),
    }
}

/// Says no, and says so in the log.
fn refuse<T>(
    helper: &Helper,
    task: &Task,
    request: &AggregateShareReq,
    failure: Failure,
    now: Timestamp,
) -> Result<T, Failure> {
    if let Failure::Refused(problem) = &failure {
        helper.log.refuse(task, Some(request.batch_selector), problem, now)?;
    }
    Err(failure)
}

/// A share that was given out before.
pub(super) fn poll(
    helper: &Helper,
    task: &HelperTask,
    id: AggregateShareId,
) -> Result<Covered<Vec<u8>>, Failure> {
    let share = stored(helper, &task.task, id)?.ok_or(Failure::NotFound)?;
    Ok(helper.log.cover(share)?)
}

/// Forgets a share, but never that its batch was collected (§4.6.5).
pub(super) fn delete(
    helper: &Helper,
    task: &HelperTask,
    id: AggregateShareId,
) -> Result<(), Failure> {
    helper.store.delete_collection(&task.task.id, id.into()).map_err(Failure::from)
}

fn stored(helper: &Helper, task: &Task, id: AggregateShareId) -> Result<Option<Vec<u8>>, Failure> {
    match helper.store.collection(&task.id, id.into()).map_err(Failure::from)? {
        Some(CollectionState::Finished(share)) => Ok(Some(share.into_bytes())),
        _ => Ok(None),
    }
}

/// Checks that the aggregation parameter is the one that the batch was aggregated with: what is an
/// invalid parameter from the collector is an invalid message from the leader (§4.6.4).
fn check_parameter(task: &Task, request: &AggregateShareReq) -> Result<(), Failure> {
    if request.collection_job_req.agg_param.as_bytes().is_empty() {
        return Ok(());
    }
    let detail = "the aggregation parameter must be empty for this task";
    Err(Failure::problem(ProblemType::InvalidMessage, Some(&task.id), detail))
}

/// The batch that the leader selected, if it is one that the collector asked for (§5.1.2, §5.2.3).
fn batch(task: &Task, request: &AggregateShareReq) -> Result<BucketRange, Failure> {
    let invalid =
        |detail: &str| Failure::problem(ProblemType::BatchInvalid, Some(&task.id), detail);
    match (&request.collection_job_req.query, &request.batch_selector) {
        (Query::TimeInterval(query), BatchSelector::TimeInterval(selected)) => {
            let query =
                query.interval().ok_or_else(|| invalid("the query's interval is not valid"))?;
            let selected = selected
                .interval()
                .ok_or_else(|| invalid("the batch selector's interval is not valid"))?;
            if !query.covers(&selected) {
                return Err(invalid("the batch selector's interval is not within the query's"));
            }
            Ok(BucketRange::interval(&selected))
        }
        (Query::LeaderSelected, BatchSelector::LeaderSelected(id)) => Ok(BucketRange::batch(id)),
        _ => Err(Failure::problem(
            ProblemType::InvalidMessage,
            Some(&task.id),
            "the batch selector's batch mode is not the task's",
        )),
    }
}

/// Why the share of an interval is not given out yet, if what the collector asked for is not over.
///
/// A leader whose clock is a little ahead of ours comes back; one that is far ahead, or asked for what
/// is to come, is refused.
fn early(task: &Task, request: &AggregateShareReq, now: Timestamp) -> Option<Failure> {
    let Query::TimeInterval(query) = request.collection_job_req.query else { return None };
    let interval = query.interval()?;
    let left = until_over(task, &interval, now)?;
    if left <= CLOCK_SKEW.as_secs() {
        return Some(Failure::NotYet(Duration::from_secs(left)));
    }
    Some(Failure::Refused(Box::new(not_over(task, &interval, left))))
}

/// Checks the batch against what the leader says of it, and seals our share of it.
fn release(
    task: &Task,
    request: &AggregateShareReq,
    shards: &mut dyn Iterator<Item = BucketShard>,
    now: Timestamp,
) -> Result<Kept, Failure> {
    let refuse = |kind, detail: String| Failure::problem(kind, Some(&task.id), detail);
    let FullBatch { total, interval } =
        full_batch(task, shards).map_err(|reason| match reason {
            NotReleased::TooFew(problem) | NotReleased::Mixed(problem) => Failure::Refused(problem),
            NotReleased::Broken(error) => Failure::fault(error),
        })?;
    if total.count != request.report_count || total.checksum != request.checksum {
        // No count of ours: whoever asks is not to learn how many reports a batch has.
        let detail = if total.count == request.report_count {
            "leader and helper aggregated the same number of reports, but different ones"
        } else {
            "leader and helper aggregated different numbers of reports"
        };
        return Err(refuse(ProblemType::BatchMismatch, detail.to_owned()));
    }
    let batch = entries::Batch {
        selector: request.batch_selector,
        report_count: total.count,
        checksum: total.checksum,
        interval,
    };
    let share = noisy_share(task, total.share, total.windows).map_err(Failure::fault)?;
    let encrypted_aggregate_share =
        seal_aggregate_share(task, Role::Helper, &request.collection_job_req, &share)
            .map_err(Failure::fault)?;
    let entry = entries::release(task, &batch, &encrypted_aggregate_share, now);
    let share = AggregateShare { encrypted_aggregate_share }.to_bytes();
    Ok(Kept { blob: share.into(), entry: Some(entry.map_err(Failure::fault)?) })
}
