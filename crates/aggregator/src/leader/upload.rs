//! The upload interaction (§4.4.2.2): every report is accepted, discarded as a replay, or refused
//! with a reason of its own.

use super::{
    Leader,
    group_commit::{CommitError, PIECE},
};
use crate::{
    http::{Failure, database_answers},
    keyring::Keys,
    metrics::Stage,
    open::{check_time, encapsulates_for_some, encapsulates_for_us, fits, oldest_window},
    serve::memory::MemoryPermit,
    store::{Refusal, Timestamp, UploadBatch},
    task::{LeaderTask, Task},
};
use sottovoce_dap::{
    codec::Encode,
    hpke::HpkeCiphertext,
    ids::ReportId,
    upload::{Report, ReportError, ReportUploadStatus, UploadErrors, UploadRequest},
};
use std::time::Duration;

/// Checks and stores the reports of one request; gives those that failed, in their order.
///
/// The client may hang up: the memory of the reports is free once they are stored, not before.
pub(super) async fn upload(
    leader: &Leader,
    task: &LeaderTask,
    request: UploadRequest,
    memory: MemoryPermit,
    now: Timestamp,
) -> Result<UploadErrors, Failure> {
    let task = &task.task;
    let reports = request.reports;
    let keys = leader.keyring.keys();
    let mut verdicts: Vec<Result<(), ReportError>> = reports
        .iter()
        .map(|report| check(&keys, task, report, now, leader.retention.reports))
        .collect();

    let pieces = pack(task, &reports, &mut verdicts);
    let ids: Vec<ReportId> =
        reports.iter().map(|report| report.report_metadata.report_id).collect();
    // Packed they are small; as they were read, they take several times their bytes.
    drop(reports);
    let (acceptances, stored) = leader.commits.store(pieces, memory).await;
    // Also if a later piece failed: these are durable, and known when they come again.
    let accepted = acceptances.iter().filter(|acceptance| acceptance.is_ok()).count();
    if accepted > 0 {
        leader.reports.notify_one();
        leader.metrics.accepted(task, accepted);
        database_answers();
    }
    stored.map_err(failure)?;

    let mut acceptances = acceptances.into_iter();
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.is_ok()) {
        *verdict = match acceptances.next() {
            Some(Ok(_durable)) => Ok(()),
            Some(Err(Refusal::Replayed)) => Err(ReportError::ReportReplayed),
            Some(Err(Refusal::BatchCollected)) => Err(ReportError::BatchCollected),
            None => return Err(Failure::fault("the store has no verdict for some reports")),
        };
    }
    let refused = verdicts.iter().filter_map(|verdict| verdict.err());
    leader.metrics.rejected(task, Stage::Upload, refused);
    let failed = ids
        .into_iter()
        .zip(verdicts)
        .filter_map(|(id, verdict)| verdict.err().map(|error| ReportUploadStatus { id, error }));
    Ok(UploadErrors { status: failed.collect() })
}

/// What can be checked of a report without opening it.
fn check(
    keys: &Keys,
    task: &Task,
    report: &Report,
    now: Timestamp,
    oldest: Duration,
) -> Result<(), ReportError> {
    let metadata = &report.report_metadata;
    if keys.opener(report.leader_encrypted_input_share.config_id).is_none() {
        return Err(ReportError::HpkeUnknownConfigId);
    }
    check_time(task, metadata.time, now, oldest)?;
    if metadata.time < oldest_window(task, now) {
        return Err(ReportError::ReportDropped);
    }
    if !is_as_long_as_must_be(task, report) {
        return Err(ReportError::InvalidMessage);
    }
    match metadata.public_extensions.check() {
        Err(_) => Err(ReportError::InvalidMessage),
        Ok([]) => Ok(()),
        // None is known here.
        Ok(_) => Err(ReportError::UnsupportedExtension),
    }
}

/// Whether all parts of a report have lengths that the task's VDAF and HPKE make.
fn is_as_long_as_must_be(task: &Task, report: &Report) -> bool {
    let (lengths, public_share) = (&task.share_lengths, report.public_share.as_bytes());
    let (ours, theirs) =
        (&report.leader_encrypted_input_share, &report.helper_encrypted_input_share);
    let fits = |opened, sealed: &HpkeCiphertext| {
        fits(lengths, opened, public_share, sealed.payload.as_bytes())
    };
    fits(lengths.leader_input_share, ours)
        && fits(lengths.helper_input_share, theirs)
        && encapsulates_for_us(ours)
        && encapsulates_for_some(theirs)
}

/// The reports that passed so far, as they are stored: in pieces, in their order.
fn pack(
    task: &Task,
    reports: &[Report],
    verdicts: &mut [Result<(), ReportError>],
) -> Vec<UploadBatch> {
    let mut pieces: Vec<UploadBatch> = Vec::new();
    let mut encoded = Vec::new();
    for (report, verdict) in reports.iter().zip(verdicts) {
        if verdict.is_err() {
            continue;
        }
        let metadata = &report.report_metadata;
        encoded.clear();
        report.encode(&mut encoded);
        if pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            pieces.push(UploadBatch::new(task.id));
        }
        if let Some(piece) = pieces.last_mut() {
            let pushed = piece.push(metadata.report_id, metadata.time, &encoded);
            *verdict = pushed.map_err(|_| ReportError::InvalidMessage);
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn failure(error: CommitError) -> Failure {
    match error {
        CommitError::Full | CommitError::Stopped => Failure::Busy,
        CommitError::Store(error) => (*error).clone().into(),
    }
}
