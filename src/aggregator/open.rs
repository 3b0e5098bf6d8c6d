//! Opening and checking one report share (§4.5.3.3, §4.5.3.4): the same at both aggregators.

use super::{clock, keyring::Keys, store::Timestamp, task::Task};
use crate::dap::{
    codec::Decode,
    hpke::HpkeCiphertext,
    time::Time,
    upload::{PlaintextInputShare, ReportError, ReportMetadata, check_extensions},
};
use std::time::Duration;

/// How far ahead of ours a client's clock may be (§4.5.3.4: "a few minutes").
pub const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Whether a public share or a sealed input share is longer than any that the task's VDAF makes, whosever it
/// is. Told from outside, so that what nobody can use is neither stored nor worked on.
pub fn is_too_long(task: &Task, public_share: &[u8], sealed: &HpkeCiphertext) -> bool {
    let lengths = &task.share_lengths;
    let longest = lengths.leader_input_share.max(lengths.helper_input_share) + SEALING;
    public_share.len() > lengths.public_share || sealed.payload.as_bytes().len() > longest
}

/// Whether an encapsulated secret is longer than any key has.
pub fn encapsulates_too_much(sealed: &HpkeCiphertext) -> bool {
    sealed.enc.as_bytes().len() > LONGEST_ENCAPSULATED
}

/// Bytes that a sealed input share may have beyond the VDAF's: a tag, lengths, and some for private
/// extensions, which only whoever opens it can name.
const SEALING: usize = 1024;
/// Bytes of an encapsulated secret: the longest of RFC 9180, since the other aggregator's key may be
/// of a kind that is not ours.
const LONGEST_ENCAPSULATED: usize = 133;

/// Opens our share of a report and checks all that can be checked without the VDAF.
///
/// `aad` is a buffer that is used again from report to report.
pub fn open_share(
    task: &Task,
    keys: &Keys,
    metadata: &ReportMetadata,
    public_share: &[u8],
    sealed: &HpkeCiphertext,
    aad: &mut Vec<u8>,
) -> Result<PlaintextInputShare, ReportError> {
    let opener = keys.opener(sealed.config_id).ok_or(ReportError::HpkeDecryptError)?;
    if is_too_long(task, public_share, sealed) {
        return Err(ReportError::InvalidMessage);
    }
    task.aad.with(metadata, public_share, aad);
    let plaintext = opener
        .open(sealed, &task.input_share_info, aad)
        .map_err(|_| ReportError::HpkeDecryptError)?;
    let share =
        PlaintextInputShare::from_bytes(&plaintext).map_err(|_| ReportError::InvalidMessage)?;
    check_extensions(&metadata.public_extensions, &share.private_extensions)?;
    Ok(share)
}

/// The first time of reports that are not older than `oldest`, which is zero for any age.
pub fn horizon(task: &Task, now: Timestamp, oldest: Duration) -> Time {
    if oldest.is_zero() {
        return Time(0);
    }
    let seconds = clock::seconds(now).saturating_sub(oldest.as_secs());
    task.configuration.time_precision.time_at(seconds)
}

/// Checks a report's time against the clock, the task's interval, and what we still remember: the
/// IDs of reports older than `oldest` may be forgotten (§4.5.3.3).
///
/// All of it as DAP counts: a week that begins on another day has a time of its own, see [`Calendar`], so that a report
/// that is sent after its window is never ahead.
///
/// [`Calendar`]: crate::program::Calendar
pub fn check_time(
    task: &Task,
    time: Time,
    now: Timestamp,
    oldest: Duration,
) -> Result<(), ReportError> {
    let configuration = &task.configuration;
    if time < horizon(task, now, oldest) {
        return Err(ReportError::ReportDropped);
    }
    let latest = clock::seconds(now).saturating_add(CLOCK_SKEW.as_secs());
    if time > configuration.time_precision.time_at(latest) {
        return Err(ReportError::ReportTooEarly);
    }
    match configuration.task_interval {
        Some(interval) if time < interval.start() => Err(ReportError::TaskNotStarted),
        Some(interval) if time >= interval.end() => Err(ReportError::TaskExpired),
        _ => Ok(()),
    }
}
