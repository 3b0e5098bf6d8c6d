//! The helper's side of an aggregation job (§4.5.3.2).
//!
//! A job is opened and verified on all cores, then committed as one: bucket shards, replay IDs
//! and the response. Whether a report is a replay is known only then, so if the store refuses
//! some reports the job is done once more without them; nothing of it was kept.

use super::Helper;
use crate::{
    batch::{Buckets, Placement},
    http::{Failure, database_answers},
    keyring::Keys,
    metrics::Stage,
    open::{check_time, open_share},
    parallel,
    store::{BucketKey, HelperJob, HelperOutcome, LostReports, Timestamp},
    task::{HelperTask, Task, VERIFICATION_KEY_ID, Windows},
};
use sha2::{Digest, Sha256};
use sottovoce_dap::{
    aggregate::{
        AggregationJobInitReq, AggregationJobResp, VerifyAnswer, VerifyInit, VerifyResp,
        read_batch_id,
    },
    codec::{Decode, Encode, Opaque},
    ids::{AggregationJobId, ReportId, content_derived},
    problem::ProblemType,
    task::BatchMode,
    time::Time,
    upload::{PlaintextInputShare, ReportError},
    vdaf::verify::{OpenReport, Sums, VerifyError},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// Takes on a job, or finds it again: gives its ID and the encoded response.
pub(super) fn create(
    helper: &Helper,
    task: &HelperTask,
    body: &[u8],
    now: Timestamp,
) -> Result<(AggregationJobId, Vec<u8>), Failure> {
    let id = task.task.id;
    let job = AggregationJobId::new(content_derived("aggregation job", &id, body));
    let request_digest: [u8; 32] = Sha256::digest(body).into();
    if let Some(stored) = helper.store.replay_job(&id, &job).map_err(Failure::from)? {
        return Ok((job, stored.response.into_bytes()));
    }
    let request =
        AggregationJobInitReq::from_bytes(body).map_err(|e| Failure::malformed(&id, &e))?;
    let placement = check(&task.task, &request)?;
    if request.verification_key_id != VERIFICATION_KEY_ID {
        return Ok((job, reject_for_key(helper, &task.task, &request)));
    }

    let mut refused = HashMap::new();
    loop {
        let (outcomes, buckets, parts) =
            verify(helper, &task.task, placement, &request, &refused, now);
        let accepted = accepted(&request, &outcomes);
        let rejected: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err().copied()).collect();
        let response = respond(&request, outcomes);
        let shards = buckets.into_shards(&task.task.vdaf, &parts).map_err(Failure::fault)?;
        let commit = HelperJob {
            task: &id,
            id: &job,
            request_digest: &request_digest,
            reports: &accepted,
            shards: &shards,
            response: &response,
            lost: &lost(&rejected),
        };
        match helper.store.commit_helper_job(now, &commit).map_err(Failure::from)? {
            HelperOutcome::Committed(_) => {
                database_answers();
                helper.metrics.accepted(&task.task, request.verify_inits.len());
                helper.metrics.aggregated(&task.task, accepted.len());
                helper.metrics.rejected(&task.task, Stage::Aggregation, rejected);
                return Ok((job, response));
            }
            HelperOutcome::AlreadyDone(stored) => {
                return Ok((job, stored.response.into_bytes()));
            }
            HelperOutcome::OtherTime(_) => {
                let detail = "the batch has reports of another window, and a leader-selected batch must be of one";
                return Err(Failure::problem(ProblemType::InvalidMessage, Some(&id), detail));
            }
            HelperOutcome::Conflict { replayed, collected } => {
                let before = refused.len();
                mark_refused(&request, placement, &replayed, &collected, &mut refused);
                if refused.len() == before {
                    return Err(Failure::fault(
                        "the store refused the job without naming a report",
                    ));
                }
            }
        }
    }
}

/// Rejects all reports of a job under a verification key that the task does not have (§4.5.3.2). Nothing
/// is kept, so they count in a later job under a key that is known, and the same job is judged anew.
fn reject_for_key(helper: &Helper, task: &Task, request: &AggregationJobInitReq) -> Vec<u8> {
    let rejected = vec![ReportError::UnknownVerificationKeyId; request.verify_inits.len()];
    helper.metrics.rejected(task, Stage::Aggregation, rejected.iter().copied());
    respond(request, rejected.into_iter().map(Err).collect())
}

/// Rejected reports as the store counts them, by their reason. Those that were aggregated in another job are not
/// lost, nor are those that the leader tries again.
fn lost(rejected: &[ReportError]) -> Vec<LostReports> {
    let come_again = [
        ReportError::ReportReplayed,
        ReportError::ReportTooEarly,
        ReportError::UnknownVerificationKeyId,
    ];
    let mut counts = BTreeMap::new();
    for error in rejected.iter().filter(|error| !come_again.contains(error)) {
        *counts.entry(*error as u8).or_insert(0_u64) += 1;
    }
    counts.into_iter().map(|(reason, reports)| LostReports { reason, reports }).collect()
}

/// The response of a job that was taken on before.
pub(super) fn poll(
    helper: &Helper,
    task: &HelperTask,
    job: AggregationJobId,
) -> Result<Vec<u8>, Failure> {
    let stored = helper.store.replay_job(&task.task.id, &job).map_err(Failure::from)?;
    stored.map(|stored| stored.response.into_bytes()).ok_or_else(|| unknown_job(&task.task, job))
}

/// Forgets a job's response, but none of what was aggregated (§4.5.5).
pub(super) fn delete(
    helper: &Helper,
    task: &HelperTask,
    job: AggregationJobId,
) -> Result<(), Failure> {
    helper.store.delete_job(&task.task.id, &job).map_err(Failure::from)
}

fn unknown_job(task: &Task, job: AggregationJobId) -> Failure {
    Failure::problem(
        ProblemType::UnrecognizedAggregationJob,
        Some(&task.id),
        format!("there is no aggregation job {job}: it was never created, or it was deleted"),
    )
}

/// The conditions on the request as a whole (§4.5.3.2), whatever its verification key.
fn check(task: &Task, request: &AggregationJobInitReq) -> Result<Placement, Failure> {
    let refuse = |kind, detail: String| Failure::problem(kind, Some(&task.id), detail);
    let invalid = |detail: &str| refuse(ProblemType::InvalidMessage, detail.to_owned());
    if !request.agg_param.as_bytes().is_empty() {
        return Err(refuse(
            ProblemType::InvalidAggregationParameter,
            "the aggregation parameter must be empty for Prio3".to_owned(),
        ));
    }
    let mut distinct = HashSet::with_capacity(request.verify_inits.len());
    let ids = request.verify_inits.iter().map(|init| init.report_share.report_metadata.report_id);
    if !ids.into_iter().all(|id| distinct.insert(id)) {
        return Err(invalid("a report ID appears twice"));
    }
    let mut times = request.verify_inits.iter().map(|i| i.report_share.report_metadata.time);
    let one_window = times.next().is_none_or(|first| times.all(|time| time == first));
    let placement = placement(task, request)?;
    match (placement, task.terms.windows) {
        (Placement::Batch(_), Windows::Full) if !one_window => Err(invalid(
            "a leader-selected batch must be of one window, and the job's reports are of several",
        )),
        _ => Ok(placement),
    }
}

/// Reads the job's extensions: they must be those of the batch mode, and no others (§4.5.1, §5.2.2).
fn placement(task: &Task, request: &AggregationJobInitReq) -> Result<Placement, Failure> {
    let extensions =
        request.extensions.check().map_err(|error| Failure::malformed(&task.id, &error))?;
    let leader_selected = task.configuration.batch_mode == BatchMode::LeaderSelected;
    let (mut batch_id, mut unsupported) = (None, Vec::new());
    for extension in extensions {
        match read_batch_id(extension) {
            Some(id) if leader_selected => batch_id = Some(id),
            _ => unsupported.push(extension.extension_type),
        }
    }
    if !unsupported.is_empty() {
        return Err(Failure::unsupported_extensions(&task.id, unsupported));
    }
    match batch_id {
        Some(Ok(id)) => Ok(Placement::Batch(id)),
        Some(Err(error)) => Err(Failure::malformed(&task.id, &error)),
        None if leader_selected => Err(Failure::problem(
            ProblemType::InvalidMessage,
            Some(&task.id),
            "a job of a leader-selected task needs the extension leader_selected_batch_id",
        )),
        None => Ok(Placement::ByTime),
    }
}

type Outcome = Result<Vec<u8>, ReportError>;

/// Opens and verifies all reports but those already refused, on all cores.
fn verify(
    helper: &Helper,
    task: &Task,
    placement: Placement,
    request: &AggregationJobInitReq,
    refused: &HashMap<ReportId, ReportError>,
    now: Timestamp,
) -> (Vec<Outcome>, Buckets, Vec<Sums>) {
    let inits = &request.verify_inits;
    let mut buckets = Buckets::new(placement);
    let numbers: Vec<usize> =
        inits.iter().map(|init| buckets.number(init.report_share.report_metadata.time)).collect();
    let sums = buckets.buckets();
    let opener = ShareOpener { keys: helper.keyring.keys(), oldest: helper.retention.reports, now };
    let parts = parallel::map_parts(inits, |range, inits| {
        verify_part(&opener, task, inits, &numbers[range], sums, refused)
    });
    let (outcomes, sums): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    for ((init, outcome), number) in inits.iter().zip(&outcomes).zip(numbers) {
        if outcome.is_ok() {
            let metadata = &init.report_share.report_metadata;
            buckets.count(number, &metadata.report_id, metadata.time);
        }
    }
    (outcomes, buckets, sums)
}

/// What report shares of a job are opened with.
struct ShareOpener {
    keys: Arc<Keys>,
    oldest: Duration,
    now: Timestamp,
}

fn verify_part(
    opener: &ShareOpener,
    task: &Task,
    inits: &[VerifyInit],
    numbers: &[usize],
    sums: usize,
    refused: &HashMap<ReportId, ReportError>,
) -> (Vec<Outcome>, Sums) {
    let mut aad = Vec::new();
    let opened: Vec<Result<PlaintextInputShare, ReportError>> =
        inits.iter().map(|init| open(opener, task, init, refused, &mut aad)).collect();
    let mut reports = Vec::with_capacity(inits.len());
    for ((init, opened), number) in inits.iter().zip(&opened).zip(numbers) {
        if let Ok(share) = opened {
            let open_report = OpenReport {
                report_id: init.report_share.report_metadata.report_id,
                public_share: init.report_share.public_share.as_bytes(),
                input_share: share.payload.as_bytes(),
            };
            reports.push((open_report, init.payload.as_bytes(), *number));
        }
    }
    let (answers, sums) = task.vdaf.answer(task.verification(), &reports, sums);
    let mut answers = answers.into_iter();
    let verdict = |opened: Result<_, ReportError>| {
        opened.and_then(|_| match answers.next() {
            Some(Ok(message)) => Ok(message),
            Some(Err(VerifyError::Malformed)) => Err(ReportError::InvalidMessage),
            Some(Err(VerifyError::Invalid)) | None => Err(ReportError::VdafVerifyError),
        })
    };
    (opened.into_iter().map(verdict).collect(), sums)
}

fn open(
    opener: &ShareOpener,
    task: &Task,
    init: &VerifyInit,
    refused: &HashMap<ReportId, ReportError>,
    aad: &mut Vec<u8>,
) -> Result<PlaintextInputShare, ReportError> {
    let share = &init.report_share;
    let metadata = &share.report_metadata;
    if let Some(error) = refused.get(&metadata.report_id) {
        return Err(*error);
    }
    check_time(task, metadata.time, opener.now, opener.oldest)?;
    let sealed = &share.encrypted_input_share;
    open_share(task, &opener.keys, metadata, share.public_share.as_bytes(), sealed, aad)
}

/// The reports whose output shares were added up.
fn accepted(request: &AggregationJobInitReq, outcomes: &[Outcome]) -> Vec<(ReportId, Time)> {
    let metadata = request.verify_inits.iter().map(|init| &init.report_share.report_metadata);
    let accepted = metadata.zip(outcomes).filter(|(_, outcome)| outcome.is_ok());
    accepted.map(|(metadata, _)| (metadata.report_id, metadata.time)).collect()
}

fn respond(request: &AggregationJobInitReq, outcomes: Vec<Outcome>) -> Vec<u8> {
    let answer = |outcome: Outcome| match outcome.map(Opaque::try_from) {
        Ok(Ok(payload)) => VerifyAnswer::Continue(payload),
        Ok(Err(_)) => VerifyAnswer::Reject(ReportError::VdafVerifyError),
        Err(error) => VerifyAnswer::Reject(error),
    };
    let ids = request.verify_inits.iter().map(|init| init.report_share.report_metadata.report_id);
    let verify_resps = ids
        .zip(outcomes)
        .map(|(report_id, outcome)| VerifyResp { report_id, answer: answer(outcome) });
    AggregationJobResp { verify_resps: verify_resps.collect() }.to_bytes()
}

/// Notes which reports the store will not have, and why (§4.5.4.3).
fn mark_refused(
    request: &AggregationJobInitReq,
    placement: Placement,
    replayed: &[ReportId],
    collected: &[BucketKey],
    refused: &mut HashMap<ReportId, ReportError>,
) {
    let replayed: HashSet<_> = replayed.iter().collect();
    let collected: HashSet<_> = collected.iter().collect();
    for init in &request.verify_inits {
        let metadata = &init.report_share.report_metadata;
        if collected.contains(&placement.key(metadata.time)) {
            refused.insert(metadata.report_id, ReportError::BatchCollected);
        } else if replayed.contains(&metadata.report_id) {
            refused.insert(metadata.report_id, ReportError::ReportReplayed);
        }
    }
}
