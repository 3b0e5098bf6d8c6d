//! All that a device remembers, and the blob that it is kept in.
//!
//! A blob is `SVSTATE`, a version, and then either a checksum and the state, or, with a key, what
//! tells the key, a nonce and the state sealed by XChaCha20-Poly1305. The state is in bincode, whose
//! format is frozen; a change of [`State`] is a new version, and [`version_1`] is how the first is read.

mod counted;
mod version_1;

pub(super) use counted::Counted;
pub(super) use version_1::Unsharded;
#[cfg(test)]
pub(super) use version_1::tests::blob as older_blob;

use super::{
    assignment::Assignments,
    consent::Consent,
    ledger::Ledger,
    outbox::Outbox,
    pending::{Pending, Place, ResponseMark},
    personal::Personal,
    storage::MOST_BYTES,
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sottovoce_program::Program;
use std::{collections::BTreeMap, fmt};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// All that a device remembers.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) program: ProgramMark,
    /// By what all numbers of windows here are counted.
    pub(super) counted: Counted,
    /// What own windows, cohorts, ranks and marks are drawn from; never sent.
    pub(super) secret: DeviceSecret,
    pub(super) consent: Consent,
    /// No report is made for windows that begin before this moment.
    pub(super) silent_until: u64,
    /// The window of its own that the device reports next, once it is over: this one or one to come.
    pub(super) open: Option<u64>,
    /// Counts closed windows, so that ranks are drawn anew for each.
    pub(super) epoch: u64,
    /// What the device is assigned of public dimensions.
    pub(super) assigned: Assignments,
    pub(super) pending: BTreeMap<String, Pending>,
    /// The responses whose answers were drawn last, by metric.
    pub(super) drawn: BTreeMap<String, Vec<ResponseMark>>,
    pub(super) ledger: Ledger,
    pub(super) outbox: Outbox,
    /// What never leaves the device in any form.
    pub(super) personal: Personal,
}

/// Which program a state belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProgramMark {
    pub(super) name: String,
    /// Of all task IDs.
    digest: [u8; 32],
}

impl ProgramMark {
    pub(super) fn of(program: &Program) -> Self {
        Self { name: program.name().to_owned(), digest: program.tasks_digest() }
    }
}

/// A secret of this installation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct DeviceSecret([u8; 32]);

impl DeviceSecret {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A keyed hash for one purpose.
    pub(super) fn hash(&self, purpose: &str, what: &[u8]) -> u64 {
        let digest = Sha256::new()
            .chain_update(self.0)
            .chain_update((purpose.len() as u64).to_le_bytes())
            .chain_update(purpose)
            .chain_update(what)
            .finalize();
        let [a, b, c, d, e, f, g, h, ..] = digest.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Answers that are remembered as drawn, for each metric: a change after that many windows with
/// answers counts as another answer.
const MOST_DRAWN: usize = 64;

impl State {
    pub(super) fn new(program: &Program, secret: DeviceSecret) -> Self {
        Self {
            program: ProgramMark::of(program),
            counted: program.window().into(),
            secret,
            consent: Consent::NotAsked,
            silent_until: 0,
            open: None,
            epoch: 0,
            assigned: Assignments::default(),
            pending: BTreeMap::new(),
            drawn: BTreeMap::new(),
            ledger: Ledger::default(),
            outbox: Outbox::default(),
            personal: Personal::default(),
        }
    }

    /// The place of a response that the app has a name for.
    pub(super) fn place(&self, response: &str) -> Place {
        self.place_of(ResponseMark(self.secret.hash("response", response.as_bytes())))
    }

    /// The place of all that is about no response in particular, in a window: of each window by itself, as
    /// several may wait for the device's next own one.
    pub(super) fn place_of_window(&self, window: u64) -> Place {
        self.place_of(ResponseMark(self.secret.hash("window", &window.to_le_bytes())))
    }

    /// The place of a response without a name.
    pub(super) fn place_of(&self, response: ResponseMark) -> Place {
        let rank = [self.epoch.to_le_bytes(), response.0.to_le_bytes()].concat();
        Place { response, rank: self.secret.hash("rank", &rank) }
    }

    /// Whether a response's answer to a metric was drawn already.
    pub(super) fn was_drawn(&self, metric: &str, response: ResponseMark) -> bool {
        self.drawn.get(metric).is_some_and(|drawn| drawn.contains(&response))
    }

    pub(super) fn remember_drawn(&mut self, metric: &str, response: ResponseMark) {
        let drawn = self.drawn.entry(metric.to_owned()).or_default();
        if drawn.len() >= MOST_DRAWN {
            drawn.remove(0);
        }
        drawn.push(response);
    }
}

/// Says how much there is, and nothing of what.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("program", &self.program).finish_non_exhaustive()
    }
}

/// A key of the app that seals states.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StateKey([u8; 32]);

impl StateKey {
    /// From 32 random bytes that the app keeps, best in the system's keychain.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Tells one key from another, and nothing of either.
    fn mark(&self) -> [u8; MARK] {
        let digest = Sha256::new().chain_update("sottovoce state key").chain_update(self.0);
        let [a, b, c, d, e, f, g, h, ..] = digest.finalize().0;
        [a, b, c, d, e, f, g, h]
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateKey(..)")
    }
}

/// A blob that is not read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum BlobError {
    #[error(
        "it was written by a newer version of this library (format {0}; this version reads up to {VERSION})"
    )]
    Newer(u8),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error(
        "the state is encrypted, and no key was given; open it with the key that it was encrypted with"
    )]
    NoKey,
    #[error("the state is encrypted with another key; open it with that one")]
    OtherKey,
    #[error("the operating system gave no randomness to encrypt the state")]
    Randomness,
    #[error("it has {0} bytes, and the limit is {MOST_BYTES}")]
    TooLong(usize),
}

const MAGIC: &[u8; 7] = b"SVSTATE";
const VERSION: u8 = 2;
/// The oldest that is still read.
const OLDEST: u8 = 1;
const PLAIN: u8 = 0;
const SEALED: u8 = 1;
const HEADER: usize = MAGIC.len() + 2;
const CHECKSUM: usize = 16;
const MARK: usize = 8;
const NONCE: usize = 24;

/// A fixed limit, so that a length in a damaged blob reserves nothing.
#[expect(clippy::cast_possible_truncation, reason = "4 MB")]
fn format() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<{ MOST_BYTES as usize }>()
}

pub(super) fn encode(state: &State, key: Option<&StateKey>) -> Result<Vec<u8>, BlobError> {
    let mut blob = Vec::with_capacity(4096);
    blob.extend_from_slice(MAGIC);
    blob.extend_from_slice(&[VERSION, if key.is_some() { SEALED } else { PLAIN }]);
    let payload = bincode::serde::encode_to_vec(state, format())
        .map_err(|_| BlobError::TooLong(usize::MAX))?;
    match key {
        None => {
            blob.extend_from_slice(&Sha256::digest(&payload)[..CHECKSUM]);
            blob.extend_from_slice(&payload);
        }
        Some(key) => {
            blob.extend_from_slice(&key.mark());
            let mut nonce = [0; NONCE];
            SysRng.try_fill_bytes(&mut nonce).map_err(|_| BlobError::Randomness)?;
            let sealed = XChaCha20Poly1305::new(&key.0.into())
                .encrypt(&XNonce::from(nonce), Payload { msg: &payload, aad: &blob })
                .map_err(|_| BlobError::TooLong(payload.len()))?;
            blob.extend_from_slice(&nonce);
            blob.extend_from_slice(&sealed);
        }
    }
    if blob.len() as u64 > MOST_BYTES {
        return Err(BlobError::TooLong(blob.len()));
    }
    Ok(blob)
}

/// A state, and what of an older one has to be made ready for the program first.
#[derive(PartialEq)]
pub(super) struct Decoded {
    pub(super) state: State,
    pub(super) unsharded: Vec<Unsharded>,
}

pub(super) fn decode(blob: &[u8], key: Option<&StateKey>) -> Result<Decoded, BlobError> {
    let (header, body) =
        blob.split_at_checked(HEADER).ok_or(BlobError::Damaged("it is truncated"))?;
    let (magic, kind) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(BlobError::Damaged("it does not begin with the header of a state"));
    }
    match (kind, key) {
        ([OLDEST..=VERSION, PLAIN], _) => decode_payload(kind[0], checked(body)?),
        ([OLDEST..=VERSION, SEALED], Some(key)) => {
            decode_payload(kind[0], &zeroize::Zeroizing::new(open(header, body, key)?))
        }
        ([OLDEST..=VERSION, SEALED], None) => Err(BlobError::NoKey),
        ([version, _], _) if *version > VERSION => Err(BlobError::Newer(*version)),
        _ => Err(BlobError::Damaged("its format is unknown")),
    }
}

fn checked(body: &[u8]) -> Result<&[u8], BlobError> {
    let (checksum, payload) =
        body.split_at_checked(CHECKSUM).ok_or(BlobError::Damaged("it is truncated"))?;
    if Sha256::digest(payload)[..CHECKSUM] != *checksum {
        return Err(BlobError::Damaged("its checksum is wrong"));
    }
    Ok(payload)
}

fn open(header: &[u8], body: &[u8], key: &StateKey) -> Result<Vec<u8>, BlobError> {
    let cut_off = BlobError::Damaged("it is truncated");
    let (mark, rest) = body.split_first_chunk::<MARK>().ok_or(cut_off.clone())?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(cut_off)?;
    if *mark != key.mark() {
        return Err(BlobError::OtherKey);
    }
    let aad = [header, mark].concat();
    XChaCha20Poly1305::new(&key.0.into())
        .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
        .map_err(|_| {
            BlobError::Damaged("it was changed after it was encrypted (authentication failed)")
        })
}

fn decode_payload(version: u8, payload: &[u8]) -> Result<Decoded, BlobError> {
    if version == VERSION {
        let state = whole(bincode::serde::decode_from_slice(payload, format()), payload)?;
        return Ok(Decoded { state, unsharded: Vec::new() });
    }
    let state: version_1::State =
        whole(bincode::serde::decode_from_slice(payload, format()), payload)?;
    Ok(state.into())
}

fn whole<T>(
    decoded: Result<(T, usize), bincode::error::DecodeError>,
    payload: &[u8],
) -> Result<T, BlobError> {
    match decoded {
        Ok((state, read)) if read == payload.len() => Ok(state),
        Ok(_) => Err(BlobError::Damaged("there are bytes after the state")),
        Err(_) => Err(BlobError::Damaged("its content is not that of a state")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> State {
        let text = include_str!("../../../examples/support-assistant.toml");
        let program = Program::parse("support-assistant.toml", text).unwrap();
        let mut state = State::new(&program, DeviceSecret::new([7; 32]));
        state.remember_drawn("helpful", ResponseMark(9));
        state
    }

    fn key(byte: u8) -> StateKey {
        StateKey::new([byte; 32])
    }

    #[test]
    fn a_state_comes_back_plain_and_sealed() {
        for key in [None, Some(key(1))] {
            let blob = encode(&state(), key.as_ref()).unwrap();
            assert!(decode(&blob, key.as_ref()).unwrap().state == state());
        }
    }

    #[test]
    fn a_plain_state_is_read_with_a_key_too_and_sealed_from_then_on() {
        let blob = encode(&state(), None).unwrap();
        assert!(decode(&blob, Some(&key(1))).is_ok());
    }

    #[test]
    fn a_sealed_state_needs_its_own_key_and_shows_nothing() {
        let blob = encode(&state(), Some(&key(1))).unwrap();
        assert_eq!(decode(&blob, None).map(drop), Err(BlobError::NoKey));
        assert_eq!(decode(&blob, Some(&key(2))).map(drop), Err(BlobError::OtherKey));
        let name = b"support-assistant";
        assert!(!blob.windows(name.len()).any(|part| part == name));
        assert_eq!(format!("{:?}", key(1)), "StateKey(..)");
        assert!(!format!("{:?}", state()).contains("[7, 7"));
    }

    #[test]
    fn a_newer_state_is_told_from_a_damaged_one() {
        let mut blob = encode(&state(), None).unwrap();
        blob[MAGIC.len()] = 3;
        assert_eq!(decode(&blob, None).map(drop), Err(BlobError::Newer(3)));
        assert!(matches!(decode(b"", None), Err(BlobError::Damaged(_))));
        assert!(matches!(decode(b"not a state at all", None), Err(BlobError::Damaged(_))));
    }

    #[test]
    fn answers_that_were_drawn_are_remembered_up_to_a_number() {
        let mut state = state();
        for mark in 0..100 {
            state.remember_drawn("helpful", ResponseMark(mark));
        }
        assert!(state.was_drawn("helpful", ResponseMark(99)));
        assert!(!state.was_drawn("helpful", ResponseMark(35)));
        assert!(!state.was_drawn("quality", ResponseMark(99)));
    }

    proptest! {
        #[test]
        fn a_blob_with_any_byte_changed_or_its_end_cut_off_is_refused(
            sealed in any::<bool>(), at in any::<prop::sample::Index>(), flip in 1_u8..,
        ) {
            let key = sealed.then(|| key(1));
            let blob = encode(&state(), key.as_ref()).unwrap();
            let at = at.index(blob.len());
            let mut changed = blob.clone();
            changed[at] ^= flip;
            prop_assert!(decode(&changed, key.as_ref()).is_err());
            prop_assert!(decode(&blob[..at], key.as_ref()).is_err());
        }

        #[test]
        fn garbage_is_refused(garbage in prop::collection::vec(any::<u8>(), 0..2000)) {
            for version in [OLDEST, VERSION] {
                let checksum = Sha256::digest(&garbage);
                let blob = [MAGIC.as_slice(), &[version, PLAIN], &checksum[..CHECKSUM], &garbage];
                // A right checksum over nonsense: whatever bincode makes of it, nothing panics.
                let _ = decode(&blob.concat(), None);
            }
        }
    }
}
