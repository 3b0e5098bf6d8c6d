//! Opening and checking one report share (§4.5.3.3, §4.5.3.4): the same at both aggregators.

use super::{clock, keyring::Keys, store::Timestamp, task::Task};
use sottovoce_dap::{
    codec::Decode,
    hpke::HpkeCiphertext,
    time::{Time, TimePrecision},
    upload::{PlaintextInputShare, ReportError, ReportMetadata, check_extensions},
    vdaf::lengths::ShareLengths,
};
use std::time::Duration;

/// How far ahead of ours a client's clock may be (§4.5.3.4: "a few minutes").
pub const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Whether a public share and a sealed input share, of so many bytes when it is open, are of lengths that the
/// task's VDAF makes. Told from outside, so that what nobody can use is neither stored nor worked on.
pub fn fits(lengths: &ShareLengths, opened: usize, public_share: &[u8], sealed: &[u8]) -> bool {
    let longest = lengths.leader_input_share.max(lengths.helper_input_share) + MOST_SEALING;
    let sealed_fits = (opened + LEAST_SEALING..=longest).contains(&sealed.len());
    public_share.len() == lengths.public_share && sealed_fits
}

/// Whether an encapsulated secret is as long as those to our own keys are.
pub fn encapsulates_for_us(sealed: &HpkeCiphertext) -> bool {
    sealed.enc.as_bytes().len() == ENCAPSULATED
}

/// Whether an encapsulated secret is no longer than any key has: the other aggregator's key may be of a kind
/// that is not ours.
pub fn encapsulates_for_some(sealed: &HpkeCiphertext) -> bool {
    sealed.enc.as_bytes().len() <= LONGEST_ENCAPSULATED
}

/// Bytes that a sealed input share has beyond the VDAF's: the lengths of a list of extensions and of the
/// share, and the tag of any AEAD of RFC 9180.
const LEAST_SEALING: usize = 2 + 4 + 16;
/// The same with private extensions, which only whoever opens it can name.
const MOST_SEALING: usize = 1024;
/// Bytes of a secret that is encapsulated for X25519, the KEM of all our keys.
const ENCAPSULATED: usize = 32;
/// The longest of RFC 9180.
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
    let opener = keys.opener(sealed.config_id).ok_or(ReportError::HpkeUnknownConfigId)?;
    let payload = sealed.payload.as_bytes();
    if !fits(&task.share_lengths, task.own_input_share, public_share, payload) {
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

/// The oldest window that reports may be uploaded for. Where the leader selects batches, each of one
/// window, one with too few reports stays open for good: so there are at most so many of them.
pub fn oldest_window(task: &Task, now: Timestamp) -> Time {
    if !task.selects_windows() {
        return Time(0);
    }
    oldest_open(task.configuration.time_precision, now)
}

fn oldest_open(precision: TimePrecision, now: Timestamp) -> Time {
    let now = clock::seconds(now);
    let by_number = precision.time_at(now).0.saturating_sub(OPEN_WINDOWS);
    Time(by_number.min(precision.time_at(now.saturating_sub(OPEN_FOR.as_secs())).0))
}

/// Windows that may be open at the same time: eleven years of days, half a year of hours.
const OPEN_WINDOWS: u64 = 4096;
/// A device may be away for so long, however short the windows are.
const OPEN_FOR: Duration = Duration::from_secs(30 * 86_400);

/// Checks a report's time against the clock, the task's interval, and what we still remember: the
/// IDs of reports older than `oldest` may be forgotten (§4.5.3.3).
///
/// A week that begins on another day than DAP's has a time of its own, see [`Calendar`]: it is ahead while the week
/// has not begun by that.
///
/// [`Calendar`]: sottovoce_program::Calendar
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
    if time > task.window.time_at(latest) {
        return Err(ReportError::ReportTooEarly);
    }
    match configuration.task_interval {
        Some(interval) if time < interval.start() || time >= interval.end() => {
            Err(ReportError::ReportDropped)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_dap::{
        codec::Encode,
        extension::UncheckedExtensions,
        hpke::{HpkeConfigId, Suite, native},
    };

    const LENGTHS: ShareLengths =
        ShareLengths { public_share: 32, leader_input_share: 100, helper_input_share: 32 };

    /// What a device seals has the least length there is.
    #[test]
    fn a_sealed_share_without_extensions_is_as_long_as_must_be() {
        let key = native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap().config;
        let share = PlaintextInputShare {
            private_extensions: UncheckedExtensions::default(),
            payload: vec![7; 100].try_into().unwrap(),
        };
        let sealed = native::seal(&key, b"", b"", &share.to_bytes()).unwrap();
        assert_eq!(sealed.payload.as_bytes().len(), 100 + LEAST_SEALING);
        assert!(encapsulates_for_us(&sealed) && encapsulates_for_some(&sealed));
        assert!(fits(&LENGTHS, 100, &[0; 32], sealed.payload.as_bytes()));
    }

    #[test]
    fn so_many_windows_are_open_and_those_of_a_month() {
        let oldest = |seconds: u64, now: u64| {
            oldest_open(TimePrecision::from_seconds(seconds).unwrap(), Timestamp(now * 1000)).0
        };
        let now = 86_400 * 20_000;
        assert_eq!(oldest(86_400, now), 20_000 - OPEN_WINDOWS);
        assert_eq!(oldest(60, now), (20_000 - 30) * 1440);
        assert_eq!(oldest(86_400 * 365, now), 0);
    }

    #[test]
    fn what_is_too_short_or_too_long_does_not_fit() {
        let fits = |opened, public: usize, sealed: usize| {
            super::fits(&LENGTHS, opened, &vec![0; public], &vec![0; sealed])
        };
        assert!(fits(100, 32, 122) && fits(32, 32, 54) && fits(32, 32, 100 + 1024));
        assert!(!fits(100, 32, 121) && !fits(32, 32, 53) && !fits(32, 32, 100 + 1025));
        assert!(!fits(100, 31, 122) && !fits(100, 33, 122) && !fits(100, 0, 122));
    }
}
