//! The leader's side of an aggregation job (§4.5.3.1).
//!
//! Everything up to the request is worked out from the stored reports alone, so that a leader
//! that was killed sends byte for byte the same request again and the helper finds its response
//! again. Killed before the commit: the lease runs out and the job is done once more, with the
//! same result. Killed after it: the job is over, and only the helper's copy of the response is
//! left to be deleted in its own time.

use super::{
    Leader,
    refusals::{Next, Refusal, Size},
};
use crate::{
    batch::{Buckets, Placement},
    blocking, clock,
    keyring::Keys,
    metrics::{JobOutcome, Stage},
    open::open_share,
    parallel,
    store::{
        Again, JobId, LeaderCommit, LeaseToken, LeasedJob, LostReports, StoreError, Timestamp,
        UploadBatch,
    },
    task::{Calendar, LeaderTask, Task, VERIFICATION_KEY_ID},
};
use sottovoce_dap::{
    aggregate::{
        AggregationJobInitReq, AggregationJobResp, ReportShare, VerifyAnswer, VerifyInit,
        leader_selected_batch_id,
    },
    codec::{Decode, Encode, Opaque},
    exchange::{Create, Delete, ExchangeError},
    extension::UncheckedExtensions,
    ids::BatchId,
    problem::ProblemType,
    time::Time,
    upload::{PlaintextInputShare, Report, ReportError},
    vdaf::verify::{LeaderBatch, OpenReport, Sums, VerifyError},
};
use sottovoce_transport::{
    error::TransportError,
    exchange::{Completed, IncompleteError, Patience, complete},
    peers::{Permit, origin},
    retry::Backoff,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::time::timeout;
use tracing::Instrument;

/// Does a leased job to its end, or gives it back: after an error, or when the server stops and
/// `patience` is over.
pub(super) async fn aggregate(
    leader: &Arc<Leader>,
    job: LeasedJob,
    patience: impl Future<Output = ()>,
) {
    let (task, attempt) = (job.task, job.attempt);
    let (id, lease, started) = (job.job, job.lease, clock::instant());
    let span = tracing::debug_span!("aggregation_job", %task, job = %id, attempt);
    let size = Size::of(&job);
    let ended = tokio::select! {
        biased;
        ended = try_aggregate(leader, job).instrument(span) => ended,
        () = patience => Err(JobError::ServerStops),
    };
    let error = match ended {
        Ok(outcome) => {
            leader.outages.tasks.ends(&task.to_string());
            return leader.metrics.job(&task, outcome, started.elapsed());
        }
        Err(error) => error,
    };
    let next = leader.refusals.decide(&task, error.refusal(), attempt, &size);
    let wait = match error {
        // Whoever takes over may begin at once.
        JobError::ServerStops => Duration::ZERO,
        // Nothing is wrong with it: a place may be free in a moment.
        JobError::NoPermit => FIRST_RETRY,
        _ => Backoff::at_attempt(FIRST_RETRY, LONGEST_RETRY, attempt),
    };
    let ending = {
        let leader = Arc::clone(leader);
        blocking::spawn(move || end(&leader, id, lease, next, wait)).await
    };
    let next = match ending {
        Ok(Ok(next)) => next,
        Ok(Err(failure)) => {
            tracing::error!(%task, %failure, "cannot release the aggregation job; it is retried when its lease expires");
            Next::Later
        }
        Err(_) => Next::Later,
    };
    let outcome = match next {
        Next::Later => JobOutcome::PutOff,
        Next::Split => JobOutcome::Split,
        Next::GiveUp => JobOutcome::Abandoned,
    };
    leader.metrics.job(&task, outcome, started.elapsed());
    let Size { reports, one, .. } = size;
    match next {
        Next::Later => {
            tracing::debug!(%task, %error, attempt, ?wait, "retrying an aggregation job later");
            // Of a helper that is down the log has a line already, for all tasks.
            if !error.is_usual() && !error.is_peer_failure() {
                leader.outages.tasks.fails(&task.to_string(), &error);
            }
        }
        Next::Split => {
            tracing::warn!(%task, %error, reports, "splitting an aggregation job in half to find the refused report");
            leader.reports.notify_one();
        }
        Next::GiveUp => {
            let report = one.map_or_else(String::new, |id| id.to_string());
            tracing::warn!(
                %task, %report, %error,
                "the helper refuses this report: it is stuck; see `reports status`"
            );
        }
    }
}

/// Gives a job back; says in which way, since no more may be cut up than there is room for.
fn end(
    leader: &Leader,
    job: JobId,
    lease: LeaseToken,
    next: Next,
    wait: Duration,
) -> Result<Next, StoreError> {
    match next {
        Next::Split if leader.store.split_job(job, lease)? => Ok(next),
        Next::GiveUp => leader.store.abandon_job(job, lease).map(|()| next),
        // Also if so much is cut up already that it is the helper who has to change.
        Next::Later | Next::Split => {
            leader.store.release_job(job, lease, clock::now().after(wait)).map(|()| Next::Later)
        }
    }
}

/// How long to wait for a helper to delete what has served.
const DELETE_PATIENCE: Duration = Duration::from_secs(2);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(300);

#[derive(Debug, Error)]
enum JobError {
    #[error("the database refers to task {0} and does not have it; restore it from a backup")]
    NoTask(sottovoce_dap::ids::TaskId),
    #[error(transparent)]
    Tasks(#[from] crate::tasks::TasksError),
    #[error(transparent)]
    Helper(#[from] IncompleteError),
    #[error("no request slot for the helper: it is in backoff, or busy with other jobs of ours")]
    NoPermit,
    #[error("the helper's response has {answered} reports instead of {asked}, or another order")]
    Answers { asked: usize, answered: usize },
    #[error("the helper's response to report {0} is `finish`, which no one-round VDAF has")]
    Finish(sottovoce_dap::ids::ReportId),
    #[error("the helper does not know our verification key {VERIFICATION_KEY_ID}")]
    VerificationKey,
    #[error("aggregate shares cannot be merged: {0}")]
    Merge(#[from] sottovoce_dap::vdaf::merge::MergeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    TooLong(#[from] sottovoce_dap::codec::LengthError),
    #[error("the server is shutting down; the job is retried after the next start")]
    ServerStops,
    #[error("the worker of the job failed: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

impl JobError {
    /// Whether nothing is wrong: the job comes next, or after the next start.
    fn is_usual(&self) -> bool {
        matches!(self, Self::NoPermit | Self::ServerStops)
    }

    /// Whether the helper is ill, rather than of another opinion about this job.
    fn is_peer_failure(&self) -> bool {
        matches!(self, Self::Helper(error) if error.is_peer_failure())
    }

    /// Whether the helper refuses the job for what is in it. Refusals of who we are, or of how much
    /// we ask for, are not of that kind, nor are troubles of its own.
    fn refusal(&self) -> Option<Refusal> {
        let source = match self {
            Self::Helper(IncompleteError::Transport(TransportError::Exchange {
                source, ..
            })) => source,
            Self::VerificationKey => return Some(Refusal::Content),
            _ => return None,
        };
        let (status, kind) = match source {
            ExchangeError::Problem { status, problem } => (*status, problem.kind()),
            ExchangeError::Status { status, .. } => (*status, None),
            _ => return None,
        };
        // Nobody but the helper says so in the draft's words, and it would find a job that it has
        // committed. What something in between says with a bare status may come after that.
        match kind {
            _ if status == 413 => Some(Refusal::TooLarge),
            Some(
                ProblemType::InvalidMessage
                | ProblemType::UnsupportedExtension
                | ProblemType::InvalidExtension
                | ProblemType::InvalidAggregationParameter,
            ) => Some(Refusal::Content),
            _ => None,
        }
    }
}

async fn try_aggregate(leader: &Arc<Leader>, job: LeasedJob) -> Result<JobOutcome, JobError> {
    let started = {
        let leader = Arc::clone(leader);
        blocking::spawn(move || start(&leader, job)).await??
    };
    let Started { task, permit, job, reports, parts, request } = started;
    let (response, location) = match request {
        Some(request) => {
            let asked = ask_helper(leader, &task, request).await;
            leader.record_answer(&permit, &task.task.id, asked.as_ref().err());
            let Completed { value: response, location } = asked?;
            if lacks_our_key(&response) {
                // Or a helper that remembers requests would say so of the same one for ever.
                delete_response(leader, &task, &permit, location).await;
                return Err(JobError::VerificationKey);
            }
            leader.refusals.record_accepted(&task.task.id);
            (Some(response), location)
        }
        None => (None, None),
    };
    let committed = {
        let (leader, task) = (Arc::clone(leader), Arc::clone(&task));
        blocking::spawn(move || finish(&leader, &task, &job, &reports, parts, response)).await?
    };
    let outcome = committed?;
    // The response has served; a helper that keeps it loses nothing but room.
    delete_response(leader, &task, &permit, location).await;
    // Only now: whoever answers jobs but not this would else hold up ever more of us.
    drop(permit);
    Ok(outcome)
}

/// Whether the helper rejects all reports for the key that the job names: none was looked at, and each
/// may be in a later job (§4.5.3.1).
fn lacks_our_key(response: &AggregationJobResp) -> bool {
    let unknown = VerifyAnswer::Reject(ReportError::UnknownVerificationKeyId);
    let mut answers = response.verify_resps.iter().map(|resp| &resp.answer);
    answers.next() == Some(&unknown) && answers.all(|answer| *answer == unknown)
}

/// Lets the helper forget a job's response (§4.5.5).
async fn delete_response(
    leader: &Leader,
    task: &LeaderTask,
    permit: &Permit,
    location: Option<String>,
) {
    let Some(location) = location else { return };
    let delete = Delete::new(&location);
    let deleted = leader.http.perform(&delete, Some(&task.helper_token));
    match timeout(DELETE_PATIENCE, deleted).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!(%error, "the helper did not delete the response of a finished job");
        }
        Err(_) => {
            tracing::debug!("timeout while the helper deletes the response of a finished job");
            permit.failed(clock::instant());
        }
    }
}

/// A job whose request is ready for the helper.
struct Started {
    task: Arc<LeaderTask>,
    /// At the helper.
    permit: Permit,
    job: LeasedJob,
    reports: Vec<Report>,
    parts: Vec<Part>,
    /// `None` if no report is left to ask about.
    request: Option<Vec<u8>>,
}

/// Consecutive reports of a job, verified together.
struct Part {
    /// For each report: our verdict so far.
    verdicts: Vec<Result<(), ReportError>>,
    batch: Box<dyn LeaderBatch>,
    inits: Vec<VerifyInit>,
}

/// Opens the reports and starts to verify them, on all cores.
fn start(leader: &Leader, job: LeasedJob) -> Result<Started, JobError> {
    let task = leader.tasks.find(&job.task)?.ok_or(JobError::NoTask(job.task))?;
    leader.metrics.watch(&task.task);
    leader.quotas.add_task(&task.task);
    let helper = origin(task.task.configuration.helper_aggregator_endpoint.as_str());
    let permit = leader.quotas.jobs.acquire(helper, clock::instant()).ok_or(JobError::NoPermit)?;
    let (reports, unreadable): (Vec<_>, Vec<_>) =
        job.reports().map(|(_, report)| Report::from_bytes(report)).partition(Result::is_ok);
    if !unreadable.is_empty() {
        let count = unreadable.len();
        tracing::error!(task = %job.task, count, "dropped stored reports that do not decode");
    }
    let reports: Vec<Report> = reports.into_iter().flatten().collect();
    let keys = leader.keyring.keys();
    let mut parts =
        parallel::map_parts(&reports, |_, reports| start_part(&keys, &task.task, reports));
    let inits: Vec<VerifyInit> =
        parts.iter_mut().flat_map(|part| std::mem::take(&mut part.inits)).collect();
    let request = (!inits.is_empty()).then(|| encode_request(job.batch, inits));
    Ok(Started { task, permit, job, reports, parts, request })
}

fn start_part(keys: &Keys, task: &Task, reports: &[Report]) -> Part {
    let mut aad = Vec::new();
    let opened: Vec<Result<PlaintextInputShare, ReportError>> = reports
        .iter()
        .map(|report| {
            let public_share = report.public_share.as_bytes();
            let sealed = &report.leader_encrypted_input_share;
            open_share(task, keys, &report.report_metadata, public_share, sealed, &mut aad)
        })
        .collect();
    let open_reports: Vec<OpenReport<'_>> = reports
        .iter()
        .zip(&opened)
        .filter_map(|(report, opened)| {
            let share = opened.as_ref().ok()?;
            Some(OpenReport {
                report_id: report.report_metadata.report_id,
                public_share: report.public_share.as_bytes(),
                input_share: share.payload.as_bytes(),
            })
        })
        .collect();
    let (messages, batch) = task.vdaf.start_verifying(task.verification(), &open_reports);
    let mut messages = messages.into_iter();
    let mut inits = Vec::with_capacity(reports.len());
    let verdicts = reports.iter().zip(&opened).map(|(report, opened)| {
        opened.as_ref().map_err(|error| *error)?;
        let message = messages.next().unwrap_or(Err(VerifyError::Malformed));
        let payload = message.map_err(report_error)?;
        inits.push(verify_init(report, payload)?);
        Ok(())
    });
    Part { verdicts: verdicts.collect(), batch, inits }
}

fn verify_init(report: &Report, payload: Vec<u8>) -> Result<VerifyInit, ReportError> {
    Ok(VerifyInit {
        report_share: ReportShare {
            report_metadata: report.report_metadata.clone(),
            public_share: report.public_share.clone(),
            encrypted_input_share: report.helper_encrypted_input_share.clone(),
        },
        payload: payload.try_into().map_err(|_| ReportError::InvalidMessage)?,
    })
}

fn report_error(error: VerifyError) -> ReportError {
    match error {
        VerifyError::Malformed => ReportError::InvalidMessage,
        VerifyError::Invalid => ReportError::VdafVerifyError,
    }
}

fn encode_request(batch: Option<BatchId>, verify_inits: Vec<VerifyInit>) -> Vec<u8> {
    let extensions = batch.map(leader_selected_batch_id).into_iter().collect();
    AggregationJobInitReq {
        verification_key_id: VERIFICATION_KEY_ID,
        agg_param: Opaque::default(),
        extensions: UncheckedExtensions::new(extensions).expect("one extension of 32 bytes fits"),
        verify_inits,
    }
    .to_bytes()
}

/// Asks the helper, and asks again until it has an answer (§3.1).
async fn ask_helper(
    leader: &Leader,
    task: &LeaderTask,
    request: Vec<u8>,
) -> Result<Completed<AggregationJobResp>, IncompleteError> {
    let endpoint = &task.task.configuration.helper_aggregator_endpoint;
    let create = Create::new(endpoint, &task.task.id, request);
    let patience = patience(leader.lease);
    complete(&leader.http, &create, Some(&task.helper_token), &patience, |_, _| ()).await
}

/// In all less than a lease, so that a job is not done twice at once.
fn patience(lease: Duration) -> Patience {
    Patience {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(10),
        total: LONGEST_WAIT.min(lease * 2 / 3),
        // The job is given back, and its reports wait in the database.
        through_failures: false,
    }
}

const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Reads the helper's answers, adds up the output shares and commits the job.
fn finish(
    leader: &Leader,
    task: &LeaderTask,
    job: &LeasedJob,
    reports: &[Report],
    parts: Vec<Part>,
    response: Option<AggregationJobResp>,
) -> Result<JobOutcome, JobError> {
    let answers = Answers::new(reports, &parts, response)?;
    let placement = job.batch.map_or(Placement::ByTime, Placement::Batch);
    let mut buckets = Buckets::new(placement);
    let numbers: Vec<usize> =
        reports.iter().map(|report| buckets.number(report.report_metadata.time)).collect();
    let (verdicts, sums) = finish_parts(&task.task, parts, &answers, &numbers, buckets.buckets());

    let first_early = first_too_early(task.task.window, clock::now());
    let waits = |error, time: Time| error == ReportError::ReportTooEarly && time >= first_early;
    let (mut early, mut refused) = (UploadBatch::new(job.task), HashMap::new());
    for ((report, verdict), number) in reports.iter().zip(&verdicts).zip(numbers) {
        let metadata = &report.report_metadata;
        match verdict {
            Ok(()) => buckets.count(number, &metadata.report_id, metadata.time),
            // Our clock is ahead of the helper's: the report was accepted, so it is tried again.
            Err(error) if waits(*error, metadata.time) => {
                early.push(metadata.report_id, metadata.time, &report.to_bytes())?;
            }
            Err(error) => *refused.entry(*error).or_insert(0_u64) += 1,
        }
    }
    // By the job, not by the report: whoever uploads rubbish shall not fill the log with it.
    for (error, count) in &refused {
        tracing::info!(task = %job.task, ?error, count, "reports rejected: they are lost");
    }
    let shards = buckets.into_shards(&task.task.vdaf, &sums)?;
    let from = clock::now().after(EARLY);
    let again = (!early.is_empty()).then_some(Again { reports: &early, from });
    let lost = lost(&refused);
    let (id, lease) = (job.job, job.lease);
    let commit = LeaderCommit { job: id, lease, shards: &shards, again, lost: &lost };
    leader.store.commit_leader_job(&commit)?;
    let verified = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
    leader.metrics.aggregated(&task.task, verified);
    leader.metrics.deferred(&task.task, early.len());
    let refused = reports.iter().zip(&verdicts).filter_map(|(report, verdict)| {
        verdict.err().filter(|error| !waits(*error, report.report_metadata.time))
    });
    leader.metrics.rejected(&task.task, Stage::Aggregation, refused);
    Ok(if verified == 0 && !early.is_empty() { JobOutcome::Deferred } else { JobOutcome::Done })
}

/// Rejected reports as the store counts them. What was aggregated in another job is not lost.
fn lost(refused: &HashMap<ReportError, u64>) -> Vec<LostReports> {
    let lost = refused.iter().filter(|(error, _)| **error != ReportError::ReportReplayed);
    lost.map(|(error, reports)| LostReports { reason: *error as u8, reports: *reports }).collect()
}

/// The first time of which a helper may say that it is too early. A clock can be wrong for a while; a helper
/// that says so of earlier reports refuses them, or it could keep them, and the collections that wait for
/// them, for ever.
fn first_too_early(window: Calendar, now: Timestamp) -> Time {
    window.time_at(clock::seconds(now).saturating_sub(CLOCK_PUT_RIGHT.as_secs()))
}

/// How far behind ours the helper's clock may be for a while.
const CLOCK_PUT_RIGHT: Duration = Duration::from_secs(86_400);

/// When a report that was too early for the helper is tried again.
const EARLY: Duration = Duration::from_secs(30);

/// The helper's answers, given out to the reports in their order.
struct Answers(Vec<Result<Vec<u8>, ReportError>>);

impl Answers {
    /// Checks that each report that was asked about is answered, in the same order (§4.5.3.1).
    fn new(
        reports: &[Report],
        parts: &[Part],
        response: Option<AggregationJobResp>,
    ) -> Result<Self, JobError> {
        let verdicts = parts.iter().flat_map(|part| &part.verdicts);
        let asked = reports.iter().zip(verdicts).filter(|(_, verdict)| verdict.is_ok());
        let asked: Vec<_> = asked.map(|(report, _)| report.report_metadata.report_id).collect();
        let answered = response.map_or_else(Vec::new, |response| response.verify_resps);
        if !asked.iter().eq(answered.iter().map(|answer| &answer.report_id)) {
            return Err(JobError::Answers { asked: asked.len(), answered: answered.len() });
        }
        let answers = answered.into_iter().map(|resp| match resp.answer {
            VerifyAnswer::Continue(payload) => Ok(Ok(payload.into_bytes())),
            VerifyAnswer::Reject(error) => Ok(Err(error)),
            VerifyAnswer::Finish => Err(JobError::Finish(resp.report_id)),
        });
        Ok(Self(answers.collect::<Result<_, _>>()?))
    }
}

fn finish_parts(
    task: &Task,
    parts: Vec<Part>,
    Answers(answers): &Answers,
    numbers: &[usize],
    sums: usize,
) -> (Vec<Result<(), ReportError>>, Vec<Sums>) {
    let (mut answers, mut numbers) = (answers.as_slice(), numbers);
    let work: Vec<_> = parts
        .into_iter()
        .map(|part| {
            let asked = part.verdicts.iter().filter(|verdict| verdict.is_ok()).count();
            let (these, rest) = answers.split_at(asked);
            let (those, others) = numbers.split_at(part.verdicts.len());
            (answers, numbers) = (rest, others);
            (part, these, those)
        })
        .collect();
    let done = parallel::map_owned(work, |(part, answers, numbers)| {
        finish_part(task, part, answers, numbers, sums)
    });
    let (verdicts, sums): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    (verdicts.into_iter().flatten().collect(), sums)
}

fn finish_part(
    task: &Task,
    part: Part,
    answers: &[Result<Vec<u8>, ReportError>],
    numbers: &[usize],
    sums: usize,
) -> (Vec<Result<(), ReportError>>, Sums) {
    let asked = part.verdicts.iter().zip(numbers).filter(|(verdict, _)| verdict.is_ok());
    let messages: Vec<_> =
        asked.zip(answers).map(|((_, number), answer)| (answer.as_deref().ok(), *number)).collect();
    let (verdicts, sums) = part.batch.finish(task.vdaf_context(), &messages, sums);
    let mut ours = verdicts.into_iter().zip(answers);
    let verdict = |verdict: Result<(), ReportError>| {
        verdict?;
        match ours.next() {
            Some((_, Err(refused))) => Err(*refused),
            Some((Err(error), Ok(_))) => Err(report_error(error)),
            Some((Ok(()), Ok(_))) => Ok(()),
            None => Err(ReportError::InvalidMessage),
        }
    };
    (part.verdicts.into_iter().map(verdict).collect(), sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Weekday;
    use sottovoce_dap::{aggregate::VerifyResp, ids::ReportId, time::TimePrecision};

    #[test]
    fn a_helper_without_our_key_says_so_of_each_report_and_of_at_least_one() {
        let response = |answers: &[VerifyAnswer]| {
            let report_id = ReportId::new([1; 16]);
            let answered = |answer: &VerifyAnswer| VerifyResp { report_id, answer: answer.clone() };
            AggregationJobResp { verify_resps: answers.iter().map(answered).collect() }
        };
        let unknown = VerifyAnswer::Reject(ReportError::UnknownVerificationKeyId);
        let replayed = VerifyAnswer::Reject(ReportError::ReportReplayed);
        let finish = VerifyAnswer::Finish;
        for others in [vec![], vec![replayed.clone()], vec![unknown.clone(), finish]] {
            assert!(!lacks_our_key(&response(&others)), "{others:?}");
        }
        assert!(!lacks_our_key(&response(&[replayed, unknown.clone()])));
        assert!(lacks_our_key(&response(std::slice::from_ref(&unknown))));
        assert!(lacks_our_key(&response(&vec![unknown; 3])));
        assert_eq!(JobError::VerificationKey.refusal(), Some(Refusal::Content));
    }

    #[test]
    fn the_wait_for_the_helper_ends_before_the_lease() {
        for (lease, total) in [(3, 2), (30, 20), (120, 60), (3600, 60)] {
            let patience = patience(Duration::from_secs(lease));
            assert_eq!(patience.total, Duration::from_secs(total));
        }
    }

    #[test]
    fn a_helper_may_find_reports_of_the_last_day_too_early_and_no_others() {
        let hour = TimePrecision::from_seconds(3600).unwrap().into();
        let now = Timestamp(1000 * 3_600_000);
        assert_eq!(first_too_early(hour, now), Time(1000 - 24));
        assert_eq!(first_too_early(hour, Timestamp(0)), Time(0));
    }

    #[test]
    fn a_report_of_a_week_may_be_too_early_until_a_day_after_the_week_by_its_own_days() {
        let week = TimePrecision::from_seconds(604_800).unwrap();
        let fridays = Calendar::weeks(week, Weekday::Friday).unwrap();
        let ended = fridays.start_of(Time(3001));
        for (seconds, first) in [(86_399, 3000), (86_400, 3001)] {
            let now = Timestamp((ended + seconds) * 1000);
            assert_eq!(first_too_early(fridays, now), Time(first), "{seconds}");
            assert_eq!(first_too_early(week.into(), now), Time(3000));
        }
    }
}
