//! What an aggregator writes in its log, byte for byte.
//!
//! In the presentation language of TLS, as DAP's messages are:
//!
//! ```text
//! struct {
//!   uint8 version = 1;
//!   uint64 time;              // seconds since the Epoch, by the aggregator's clock
//!   EventKind kind;           // one byte
//!   select (kind) {
//!     case started(1):  opaque software<1..2^8-1>;
//!     case task(2):     TaskID; TaskConfiguration<1..2^16-1>; HpkeConfig collector;
//!                       Noise; Claim claims<0..2^16-1>; opaque manifest<0..2^16-1>;
//!     case release(3):  TaskID; BatchSelector; uint64 report_count; opaque checksum[32];
//!                       Interval; Noise; Claim charged<0..2^16-1>; opaque share[32];
//!     case refused(4):  TaskID; BatchSelector batch<0..2^16-1>; opaque problem<1..2^8-1>;
//!                       opaque detail<0..2^16-1>;
//!     case hpke_key(5): KeyChange; HpkeConfig;
//!     case log_key(6):  KeyChange; opaque verifier_key<1..2^16-1>;
//!     case settings(7): { opaque name<1..2^8-1>; opaque value<0..2^8-1>; } <0..2^16-1>;
//!     case repaired(8): TaskID; BatchSelector; uint64 kept; uint64 dropped; opaque plan[32];
//!   };
//! } Entry;
//!
//! struct { uint8 kind; /* 0 none, 1 discrete Laplace, 2 discrete Gaussian */
//!          uint32 thousandths; /* but for 0 */ } Noise;
//! struct { uint8 trust; /* 0 OC, 1 OAOC, 2 OAMC */ uint64 epsilon; uint64 delta; } Claim;
//! enum { added(1), retired(2), (255) } KeyChange;
//! ```
//!
//! ε and δ are the bits of IEEE 754 binary64. Text is UTF-8. `Interval`, `BatchSelector`,
//! `TaskConfiguration` and `HpkeConfig` are DAP's.

pub use super::claim::Claim;
use super::{
    claim::{decode_claims, decode_noise, encode_claims, encode_noise},
    note::VerifierKey,
    tiles::MAX_ENTRY,
};
use sha2::{Digest, Sha256};
use sottovoce_dap::{
    aggregate::Checksum,
    codec::{Decode, DecodeError, Encode, Reader, U8, U16, encode_vector},
    collect::BatchSelector,
    hpke::{HpkeCiphertext, HpkeConfig},
    ids::TaskId,
    task::TaskConfiguration,
    time::Interval,
};
use sottovoce_privacy::noise::AggregatorNoise;
use std::fmt;
use thiserror::Error;

/// Something that the public may know of, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Seconds since the Epoch, by the aggregator's clock.
    pub time: u64,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A server started, with this software: name and version.
    Started(String),
    /// A task was taken on.
    Task(Box<TaskTaken>),
    /// A share of a batch was handed over, or was about to be.
    Release(Release),
    /// A batch was asked for and not handed over.
    Refused(Refused),
    /// A key that devices seal to came or went.
    HpkeKey(KeyChange, HpkeConfig),
    /// A key that signs the log came or went.
    LogKey(KeyChange, VerifierKey),
    /// The settings that guarantees depend on, by name, as they are from now on.
    Settings(Vec<(String, String)>),
    /// Reports of a batch were dropped that the other aggregator does not hold.
    Repaired(Repaired),
}

/// The setting by which an aggregator says what it releases, and what it then says: batches of windows
/// that are each full, and over. Logs of before say nothing of it.
pub const RELEASES_SETTING: &str = "releases";
/// See [`RELEASES_SETTING`].
pub const FULL_AND_OVER: &str = "windows that are full and over";

/// The setting by which an aggregator says that for one task its windows need not be full: then its
/// value is anything but [`FULL_WINDOWS`].
pub fn windows_setting(task: &TaskId) -> String {
    format!("task {task} windows")
}

/// See [`windows_setting`].
pub const FULL_WINDOWS: &str = "full";

/// A task with all that it promises.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskTaken {
    /// Its ID.
    pub task: TaskId,
    /// What all DAP parties agree on.
    pub configuration: TaskConfiguration,
    /// Whom aggregate shares are sealed to.
    pub collector: HpkeConfig,
    /// What this aggregator adds to its share of each batch.
    pub noise: Option<AggregatorNoise>,
    /// What one report in one batch costs its device, under each trust model; nothing for a
    /// plain DAP task.
    pub claims: Vec<Claim>,
    /// The canonical manifest, whose digest `task_info` names; empty for a plain DAP task.
    pub manifest: Vec<u8>,
}

/// A batch whose share was handed over.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// The batch's task.
    pub task: TaskId,
    /// The batch.
    pub batch: BatchSelector,
    /// Reports in it.
    pub report_count: u64,
    /// Over their IDs.
    pub checksum: Checksum,
    /// The smallest interval with the times of all of them.
    pub interval: Interval,
    /// What this aggregator added to its share.
    pub noise: Option<AggregatorNoise>,
    /// What the release costs each device in the batch, under each trust model.
    pub charged: Vec<Claim>,
    /// Which share it was.
    pub share: ShareDigest,
}

/// SHA-256 of an encrypted aggregate share, in DAP's encoding: whoever holds the share can tell
/// that this is the one that was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareDigest(pub [u8; 32]);

impl ShareDigest {
    /// Of a share.
    pub fn of(share: &HpkeCiphertext) -> Self {
        Self(Sha256::digest(share.to_bytes()).into())
    }
}

/// A batch that was not handed over.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The batch's task.
    pub task: TaskId,
    /// The batch, if one was named.
    pub batch: Option<BatchSelector>,
    /// The draft's token for the problem, such as `invalidBatchSize`.
    pub problem: String,
    /// In words.
    pub detail: String,
}

/// A batch that the two aggregators held differently, and agreed to hold alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Repaired {
    /// The batch's task.
    pub task: TaskId,
    /// The batch.
    pub batch: BatchSelector,
    /// Reports that both hold.
    pub kept: u64,
    /// Reports that this aggregator held alone.
    pub dropped: u64,
    /// Digest of what both agreed to keep: the same in both logs.
    pub plan: [u8; 32],
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// It is used from now on.
    Added,
    /// It is not used any more.
    Retired,
}

/// By what an entry is found, and known as the same. Each aggregator logs a task once, each share
/// once, each refusal of a batch for one reason once; other entries as often as they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey(pub [u8; 32]);

impl EntryKey {
    /// Of the entry by which a task was taken on.
    pub fn task(task: &TaskId) -> Self {
        Self::over("task", task.as_bytes())
    }

    /// Of the release of a share.
    pub fn release(share: &ShareDigest) -> Self {
        Self::over("release", &share.0)
    }

    /// Of the entry by which a key came that devices seal to.
    pub fn hpke_key(config: &HpkeConfig) -> Self {
        let event = Event::HpkeKey(KeyChange::Added, config.clone());
        Entry { time: 0, event }.key()
    }

    /// From lowercase hexadecimal digits, as in URLs.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let bytes: Option<Vec<_>> =
            pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        bytes?.try_into().ok().map(Self)
    }

    fn over(kind: &str, content: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(kind).chain_update([0]).chain_update(content);
        Self(hash.finalize().into())
    }
}

/// Lowercase hexadecimal digits.
impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An entry longer than a log can hold.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "the log entry has {len} bytes, and the maximum is {MAX_ENTRY}; shorten the program's questions, labels and \
     rules"
)]
pub struct EntryTooLong {
    len: usize,
}

impl Entry {
    /// By what it is found.
    pub fn key(&self) -> EntryKey {
        match &self.event {
            Event::Task(taken) => EntryKey::task(&taken.task),
            Event::Release(release) => EntryKey::release(&release.share),
            Event::Refused(_) | Event::HpkeKey(..) | Event::LogKey(..) => {
                let timeless = Self { time: 0, event: self.event.clone() };
                EntryKey::over("event", &timeless.to_bytes())
            }
            Event::Started(_) | Event::Settings(_) | Event::Repaired(_) => {
                EntryKey::over("entry", &self.to_bytes())
            }
        }
    }

    /// Its bytes, if the log can hold them.
    pub fn to_log(&self) -> Result<Vec<u8>, EntryTooLong> {
        let bytes = self.to_bytes();
        if bytes.len() > MAX_ENTRY { Err(EntryTooLong { len: bytes.len() }) } else { Ok(bytes) }
    }
}

const VERSION: u8 = 1;
const STARTED: u8 = 1;
const TASK: u8 = 2;
const RELEASE: u8 = 3;
const REFUSED: u8 = 4;
const HPKE_KEY: u8 = 5;
const LOG_KEY: u8 = 6;
const SETTINGS: u8 = 7;
const REPAIRED: u8 = 8;

impl Encode for Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        VERSION.encode(out);
        self.time.encode(out);
        match &self.event {
            Event::Started(software) => {
                STARTED.encode(out);
                encode_text(software, U8, out);
            }
            Event::Task(taken) => {
                TASK.encode(out);
                taken.encode(out);
            }
            Event::Release(release) => {
                RELEASE.encode(out);
                release.encode(out);
            }
            Event::Refused(refused) => {
                REFUSED.encode(out);
                refused.encode(out);
            }
            Event::HpkeKey(change, config) => {
                HPKE_KEY.encode(out);
                change.encode(out);
                config.encode(out);
            }
            Event::LogKey(change, key) => {
                LOG_KEY.encode(out);
                change.encode(out);
                encode_text(&key.to_string(), U16, out);
            }
            Event::Settings(settings) => {
                SETTINGS.encode(out);
                encode_vector(out, U16, |out| {
                    for (name, value) in settings {
                        encode_text(name, U8, out);
                        encode_text(value, U8, out);
                    }
                });
            }
            Event::Repaired(repaired) => {
                REPAIRED.encode(out);
                repaired.encode(out);
            }
        }
    }
}

impl Decode for Entry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.u8("entry's version")?;
        if version != VERSION {
            return Err(DecodeError::Unknown { field: "entry's version", value: version.into() });
        }
        let time = reader.u64("time")?;
        let event = match reader.u8("entry's kind")? {
            STARTED => Event::Started(text(reader, "software", 1, U8)?),
            TASK => Event::Task(Box::new(TaskTaken::decode(reader)?)),
            RELEASE => Event::Release(Release::decode(reader)?),
            REFUSED => Event::Refused(Refused::decode(reader)?),
            HPKE_KEY => Event::HpkeKey(KeyChange::decode(reader)?, HpkeConfig::decode(reader)?),
            LOG_KEY => Event::LogKey(KeyChange::decode(reader)?, verifier_key(reader)?),
            SETTINGS => Event::Settings(settings(reader)?),
            REPAIRED => Event::Repaired(Repaired::decode(reader)?),
            value => {
                return Err(DecodeError::Unknown { field: "entry's kind", value: value.into() });
            }
        };
        Ok(Self { time, event })
    }
}

impl Encode for TaskTaken {
    fn encode(&self, out: &mut Vec<u8>) {
        self.task.encode(out);
        encode_vector(out, U16, |out| self.configuration.encode(out));
        self.collector.encode(out);
        encode_noise(self.noise, out);
        encode_claims(&self.claims, out);
        encode_bytes(&self.manifest, U16, out);
    }
}

impl Decode for TaskTaken {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            task: TaskId::decode(reader)?,
            configuration: TaskConfiguration::from_bytes(reader.vector(
                "configuration",
                1,
                U16,
            )?)?,
            collector: HpkeConfig::decode(reader)?,
            noise: decode_noise(reader)?,
            claims: decode_claims(reader)?,
            manifest: reader.vector("manifest", 0, U16)?.to_vec(),
        })
    }
}

impl Encode for Release {
    fn encode(&self, out: &mut Vec<u8>) {
        self.task.encode(out);
        self.batch.encode(out);
        self.report_count.encode(out);
        self.checksum.encode(out);
        self.interval.encode(out);
        encode_noise(self.noise, out);
        encode_claims(&self.charged, out);
        out.extend_from_slice(&self.share.0);
    }
}

impl Decode for Release {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            task: TaskId::decode(reader)?,
            batch: BatchSelector::decode(reader)?,
            report_count: reader.u64("report count")?,
            checksum: Checksum::decode(reader)?,
            interval: Interval::decode(reader)?,
            noise: decode_noise(reader)?,
            charged: decode_claims(reader)?,
            share: ShareDigest(reader.array("share")?),
        })
    }
}

impl Encode for Refused {
    fn encode(&self, out: &mut Vec<u8>) {
        self.task.encode(out);
        encode_vector(out, U16, |out| {
            if let Some(batch) = &self.batch {
                batch.encode(out);
            }
        });
        encode_text(&self.problem, U8, out);
        encode_text(&self.detail, U16, out);
    }
}

impl Decode for Refused {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let task = TaskId::decode(reader)?;
        let batch = reader.vector("batch", 0, U16)?;
        let batch = (!batch.is_empty()).then(|| BatchSelector::from_bytes(batch)).transpose()?;
        let problem = text(reader, "problem", 1, U8)?;
        Ok(Self { task, batch, problem, detail: text(reader, "detail", 0, U16)? })
    }
}

impl Encode for Repaired {
    fn encode(&self, out: &mut Vec<u8>) {
        self.task.encode(out);
        self.batch.encode(out);
        self.kept.encode(out);
        self.dropped.encode(out);
        out.extend_from_slice(&self.plan);
    }
}

impl Decode for Repaired {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            task: TaskId::decode(reader)?,
            batch: BatchSelector::decode(reader)?,
            kept: reader.u64("kept")?,
            dropped: reader.u64("dropped")?,
            plan: reader.array("plan")?,
        })
    }
}

impl Encode for KeyChange {
    fn encode(&self, out: &mut Vec<u8>) {
        let change: u8 = match self {
            Self::Added => 1,
            Self::Retired => 2,
        };
        change.encode(out);
    }
}

impl Decode for KeyChange {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("key change")? {
            1 => Ok(Self::Added),
            2 => Ok(Self::Retired),
            value => Err(DecodeError::Unknown { field: "key change", value: value.into() }),
        }
    }
}

fn settings(reader: &mut Reader<'_>) -> Result<Vec<(String, String)>, DecodeError> {
    let mut pairs = Reader::new(reader.vector("settings", 0, U16)?);
    let mut settings = Vec::new();
    while !pairs.is_empty() {
        settings.push((text(&mut pairs, "name", 1, U8)?, text(&mut pairs, "value", 0, U8)?));
    }
    Ok(settings)
}

fn verifier_key(reader: &mut Reader<'_>) -> Result<VerifierKey, DecodeError> {
    let field = "verifier key";
    let text = text(reader, field, 1, U16)?;
    text.parse().map_err(|_| DecodeError::Invalid { field, reason: "is not valid" })
}

fn text(
    reader: &mut Reader<'_>,
    field: &'static str,
    min: usize,
    max: usize,
) -> Result<String, DecodeError> {
    String::from_utf8(reader.vector(field, min, max)?.to_vec())
        .map_err(|_| DecodeError::Invalid { field, reason: "is not UTF-8" })
}

/// Text that is longer than its field is cut at a character.
fn encode_text(text: &str, max: usize, out: &mut Vec<u8>) {
    let mut ends = (0..=text.len().min(max)).rev();
    let end = ends.find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    encode_bytes(&text.as_bytes()[..end], max, out);
}

/// A manifest that is longer than its field is refused as a whole by [`Entry::to_log`].
fn encode_bytes(bytes: &[u8], max: usize, out: &mut Vec<u8>) {
    encode_vector(out, max, |out| out.extend_from_slice(&bytes[..bytes.len().min(max)]));
}

#[cfg(test)]
mod tests;
