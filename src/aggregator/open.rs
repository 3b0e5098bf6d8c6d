//! Opening and checking one report share (§4.5.3.3, §4.5.3.4): the same at both aggregators.

use super::{clock, keyring::Keyring, store::Timestamp, task::Task};
use crate::dap::{
    codec::Decode,
    hpke::HpkeCiphertext,
    time::Time,
    upload::{PlaintextInputShare, ReportError, ReportMetadata, check_extensions},
};
use std::time::Duration;

/// How far ahead of ours a client's clock may be (§4.5.3.4: "a few minutes").
pub const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Opens our share of a report and checks all that can be checked without the VDAF.
///
/// `aad` is a buffer that is used again from report to report.
pub fn open_share(
    task: &Task,
    keyring: &Keyring,
    metadata: &ReportMetadata,
    public_share: &[u8],
    sealed: &HpkeCiphertext,
    aad: &mut Vec<u8>,
) -> Result<PlaintextInputShare, ReportError> {
    let opener = keyring.opener(sealed.config_id).ok_or(ReportError::HpkeDecryptError)?;
    task.aad.with(metadata, public_share, aad);
    let plaintext = opener
        .open(sealed, &task.input_share_info, aad)
        .map_err(|_| ReportError::HpkeDecryptError)?;
    let share =
        PlaintextInputShare::from_bytes(&plaintext).map_err(|_| ReportError::InvalidMessage)?;
    check_extensions(&metadata.public_extensions, &share.private_extensions)?;
    Ok(share)
}

/// Checks a report's time against the clock and the task's interval.
pub fn check_time(task: &Task, time: Time, now: Timestamp) -> Result<(), ReportError> {
    let configuration = &task.configuration;
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
