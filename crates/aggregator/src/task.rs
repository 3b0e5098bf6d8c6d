//! A task as an aggregator holds it: what is public, what is secret, and what can be worked out
//! once and used for every report.

use super::store::{
    BatchingMode, TaskRecord,
    sealed::{DatabaseKeys, Place, SealedError},
};
use serde::Deserialize;
use sottovoce_dap::{
    bearer_token::{BearerToken, TokenHash},
    codec::{Decode, DecodeError, Encode, Reader, U16, encode_vector},
    hpke::HpkeConfig,
    ids::TaskId,
    role::Role,
    task::{BatchMode, TaskConfiguration, Url},
    upload::{AadPrefix, InputShareAad, input_share_info, vdaf_context},
    vdaf::{
        UnsupportedVdaf, VERIFY_KEY_SIZE, Vdaf, VerifyKey, lengths::ShareLengths,
        verify::Verification,
    },
};
use sottovoce_log::{
    claim::{decode_claims, decode_noise, encode_claims, encode_noise},
    entry::FULL_WINDOWS,
};
use sottovoce_privacy::noise::AggregatorNoise;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

pub use sottovoce_log::claim::Claim;
pub use sottovoce_program::{Calendar, Weekday};

/// The ID of a task's verification key, of which there is one (§4.5.3.1).
pub const VERIFICATION_KEY_ID: u8 = 0;

/// What both aggregators hold of a task.
#[derive(Debug)]
pub struct Task {
    /// The task's ID.
    pub id: TaskId,
    /// What all parties agree on.
    pub configuration: TaskConfiguration,
    /// Whom aggregate shares are sealed to.
    pub collector_hpke_config: HpkeConfig,
    /// What we add to our share of each batch.
    pub noise: Option<AggregatorNoise>,
    /// What the program calls it; empty for a plain DAP task.
    pub name: String,
    /// What the program claims of one batch; nothing for a plain DAP task.
    pub claims: Vec<Claim>,
    /// What we keep to by ourselves when it is collected.
    pub terms: Terms,
    /// When its windows begin and end. The program says it, and the task's ID fixes it, by the manifest; those of a plain
    /// DAP task are as DAP counts them.
    pub window: Calendar,
    /// The program's canonical manifest, while the program is at hand: for the log, which is where it
    /// is kept.
    pub manifest: Vec<u8>,
    /// The VDAF of the configuration.
    pub vdaf: Vdaf,
    /// How long the shares of a report are.
    pub share_lengths: ShareLengths,
    /// How long our input share of a report is.
    pub own_input_share: usize,
    verify_key: VerifyKey,
    vdaf_context: Vec<u8>,
    /// What a report share of ours was sealed under, up to the report's own part.
    pub aad: AadPrefix,
    /// The HPKE info of our input shares.
    pub input_share_info: Vec<u8>,
    /// The path of this task at our endpoint, with a slash at its end.
    path: String,
}

/// What an aggregator keeps to by itself, beside what all parties agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Seconds after an interval's end before it is collected: for late reports.
    pub grace: u64,
    /// What a batch may be of.
    pub windows: Windows,
}

/// Which windows a batch may be of. A device may have a report in each: only if each is a full batch
/// by itself does what they reveal together compose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Windows {
    /// An interval of windows that are each empty or full; a leader-selected batch of one window.
    #[default]
    Full,
    /// Any: an operator has switched the rule off for a plain DAP task.
    Unchecked,
}

impl Windows {
    /// As task files and the log have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => FULL_WINDOWS,
            Self::Unchecked => "unchecked",
        }
    }
}

/// A task at the leader.
#[derive(Debug)]
pub struct LeaderTask {
    /// What the helper holds too.
    pub task: Task,
    /// Presented to the helper.
    pub helper_token: BearerToken,
    /// Recognizes the collector.
    pub collector_token: TokenHash,
}

/// A task at the helper.
#[derive(Debug)]
pub struct HelperTask {
    /// What the leader holds too.
    pub task: Task,
    /// Recognizes the leader.
    pub leader_token: TokenHash,
}

/// A task that this aggregator cannot take part in, or does not understand from its database.
#[derive(Debug, Error)]
pub enum TaskError {
    /// The VDAF cannot be set up.
    #[error("task {task}: {source}")]
    Vdaf {
        /// The task.
        task: TaskId,
        /// What is wrong with its VDAF.
        source: UnsupportedVdaf,
    },
    /// The collector's key has a suite that nothing can be sealed with.
    #[error("task {task}: {source}")]
    CollectorKey {
        /// The task.
        task: TaskId,
        /// What is wrong with the key.
        source: sottovoce_dap::hpke::HpkeError,
    },
    /// A batch of this size hides nobody.
    #[error("task {task} has a minimum batch size of {size}; it must be at least {least}")]
    BatchSize {
        /// The task.
        task: TaskId,
        /// The size asked for.
        size: u64,
        /// The least that is accepted.
        least: u64,
    },
    /// The stored row is not one that this version wrote.
    #[error(
        "the stored task {task} does not decode ({source}); restore the database from a backup"
    )]
    Stored {
        /// The task.
        task: TaskId,
        /// Where decoding failed.
        source: DecodeError,
    },
    /// The secrets cannot be sealed or opened.
    #[error("the secrets of task {task} are not valid: {source}")]
    Secrets {
        /// The task.
        task: TaskId,
        /// Why not.
        source: SealedError,
    },
}

/// The smallest batch that an aggregator takes part in (§8.6.3).
pub const LEAST_BATCH_SIZE: u64 = 2;

impl Task {
    /// Sets up a task for `role`.
    pub fn new(
        role: Role,
        id: TaskId,
        configuration: TaskConfiguration,
        collector_hpke_config: HpkeConfig,
        noise: Option<AggregatorNoise>,
        verify_key: VerifyKey,
    ) -> Result<Self, TaskError> {
        let vdaf = Vdaf::new(&configuration.vdaf)
            .map_err(|source| TaskError::Vdaf { task: id, source })?;
        collector_hpke_config
            .suite
            .check()
            .map_err(|source| TaskError::CollectorKey { task: id, source })?;
        let size = configuration.min_batch_size;
        if size < LEAST_BATCH_SIZE {
            return Err(TaskError::BatchSize { task: id, size, least: LEAST_BATCH_SIZE });
        }
        let share_lengths = vdaf.share_lengths();
        Ok(Self {
            id,
            name: String::new(),
            claims: Vec::new(),
            terms: Terms::default(),
            window: configuration.time_precision.into(),
            manifest: Vec::new(),
            own_input_share: match role {
                Role::Leader => share_lengths.leader_input_share,
                _ => share_lengths.helper_input_share,
            },
            share_lengths,
            vdaf,
            verify_key,
            vdaf_context: vdaf_context(&id),
            aad: InputShareAad::prefix(&id, &configuration),
            input_share_info: input_share_info(role),
            path: format!("{}tasks/{id}/", endpoint_path(role, &configuration)),
            configuration,
            collector_hpke_config,
            noise,
        })
    }

    /// The same task with what its program says of it.
    #[must_use]
    pub fn described(mut self, name: &str, claims: Vec<Claim>, manifest: Vec<u8>) -> Self {
        name.clone_into(&mut self.name);
        self.claims = claims;
        self.manifest = manifest;
        self
    }

    /// The same task under these terms.
    #[must_use]
    pub fn under(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    /// The same task with weeks that begin on this day, if its windows are whole weeks.
    #[must_use]
    pub fn beginning(self, day: Weekday) -> Self {
        Self { window: self.window.beginning(day), ..self }
    }

    /// The endpoint of an aggregator.
    pub fn endpoint(&self, role: Role) -> &Url {
        endpoint_of(role, &self.configuration)
    }

    /// What the VDAF verifies with: the key that jobs name by [`VERIFICATION_KEY_ID`].
    pub fn verification(&self) -> Verification<'_> {
        Verification { key: &self.verify_key, context: &self.vdaf_context }
    }

    /// The context string of the VDAF.
    pub fn vdaf_context(&self) -> &[u8] {
        &self.vdaf_context
    }

    /// The path of one of this task's resources, for a `Location` (§3.2).
    pub fn resource_path(&self, kind: &str, id: impl std::fmt::Display) -> String {
        format!("{}{kind}/{id}", self.path)
    }

    /// How the store gathers reports for this task.
    fn batching(&self) -> BatchingMode {
        let target = self.configuration.min_batch_size;
        match (self.configuration.batch_mode, self.terms.windows) {
            (BatchMode::TimeInterval, _) => BatchingMode::TimeInterval,
            (BatchMode::LeaderSelected, Windows::Full) => BatchingMode::LeaderSelected { target },
            (BatchMode::LeaderSelected, Windows::Unchecked) => {
                BatchingMode::LeaderSelectedAnyTime { target }
            }
        }
    }

    /// Whether the leader selects batches, each of one window.
    pub fn selects_windows(&self) -> bool {
        matches!(self.batching(), BatchingMode::LeaderSelected { .. })
    }

    fn record(&self, key: &DatabaseKeys, secrets: &[u8]) -> Result<TaskRecord, TaskError> {
        let day = self.window.week_begins().filter(|day| !day.is_thursday());
        let version = match (day, self.terms == Terms::default()) {
            (Some(_), _) => WITH_DAY,
            (None, true) => WITHOUT_TERMS,
            (None, false) => WITH_TERMS,
        };
        let mut public = vec![version];
        encode_vector(&mut public, U16, |out| self.configuration.encode(out));
        self.collector_hpke_config.encode(&mut public);
        encode_noise(self.noise, &mut public);
        encode_vector(&mut public, U16, |out| out.extend_from_slice(self.name.as_bytes()));
        encode_claims(&self.claims, &mut public);
        if version >= WITH_TERMS {
            self.terms.grace.encode(&mut public);
            public.push(u8::from(self.terms.windows == Windows::Unchecked));
        }
        public.extend(day.map(Weekday::number));
        let mut plaintext = Zeroizing::new(self.verify_key.secret_bytes().to_vec());
        plaintext.extend_from_slice(secrets);
        let sealed = key
            .seal(place(&self.id), &plaintext)
            .map_err(|source| TaskError::Secrets { task: self.id, source })?;
        Ok(TaskRecord {
            id: self.id,
            mode: self.batching(),
            public: public.into(),
            sealed: sealed.into(),
        })
    }

    /// Reads a stored task; gives it with the secrets that follow the verify key.
    fn from_record(
        role: Role,
        record: &TaskRecord,
        key: &DatabaseKeys,
    ) -> Result<(Self, Zeroizing<Vec<u8>>), TaskError> {
        let task = record.id;
        let stored = |source| TaskError::Stored { task, source };
        let public = decode_public(&record.public).map_err(stored)?;
        let secrets = key
            .open(place(&record.id), &record.sealed)
            .map_err(|source| TaskError::Secrets { task, source })?;
        let mut reader = Reader::new(&secrets);
        let verify_key = reader.array::<VERIFY_KEY_SIZE>("verify key").map_err(stored)?;
        let rest = Zeroizing::new(reader.rest().to_vec());
        let verify_key = VerifyKey::new(verify_key);
        let Public { configuration, collector, noise, name, claims, terms, begins } = public;
        let task = Self::new(role, task, configuration, collector, noise, verify_key)?;
        Ok((task.described(&name, claims, Vec::new()).under(terms).beginning(begins), rest))
    }
}

fn endpoint_of(role: Role, configuration: &TaskConfiguration) -> &Url {
    match role {
        Role::Helper => &configuration.helper_aggregator_endpoint,
        _ => &configuration.leader_aggregator_endpoint,
    }
}

/// The path of our own endpoint, with a slash at its end.
fn endpoint_path(role: Role, configuration: &TaskConfiguration) -> String {
    let endpoint = endpoint_of(role, configuration);
    let without_scheme = endpoint.as_str().split_once("://").map_or("", |(_, rest)| rest);
    let path = without_scheme.split_once('/').map_or("", |(_, path)| path);
    let path = path.trim_matches('/');
    if path.is_empty() { "/".to_owned() } else { format!("/{path}/") }
}

/// A stored task under the usual terms, as all were before there were others; with terms; and with the day that its
/// weeks begin on too, which a version that does not know of days refuses.
const WITHOUT_TERMS: u8 = 1;
const WITH_TERMS: u8 = 2;
const WITH_DAY: u8 = 3;

/// Where a task's secrets are sealed for.
pub fn place(task: &TaskId) -> Place<'_> {
    Place { table: "task", row: task.as_bytes() }
}

/// Whether two records are of one task, under other terms, or with claims that another version worked out.
pub fn differ_in_terms(one: &TaskRecord, other: &TaskRecord) -> Result<bool, TaskError> {
    let read = |record: &TaskRecord| {
        let task = record.id;
        decode_public(&record.public).map_err(|source| TaskError::Stored { task, source })
    };
    let (one, other) = (read(one)?, read(other)?);
    // A program's claims are bound into its task's ID, in fewer digits than are kept here.
    let both_claim = !one.claims.is_empty() && !other.claims.is_empty();
    let claims = if both_claim { other.claims.clone() } else { one.claims.clone() };
    let differ = one.terms != other.terms || one.claims != claims;
    Ok(differ && Public { terms: other.terms, claims, ..one } == other)
}

/// What of a stored task may be read by anyone.
#[derive(PartialEq)]
struct Public {
    configuration: TaskConfiguration,
    collector: HpkeConfig,
    noise: Option<AggregatorNoise>,
    name: String,
    claims: Vec<Claim>,
    terms: Terms,
    begins: Weekday,
}

fn decode_public(public: &[u8]) -> Result<Public, DecodeError> {
    let mut reader = Reader::new(public);
    let version = reader.u8("version of the stored task")?;
    if !(WITHOUT_TERMS..=WITH_DAY).contains(&version) {
        let field = "version of the stored task";
        return Err(DecodeError::Unknown { field, value: version.into() });
    }
    let configuration = TaskConfiguration::from_bytes(reader.vector("configuration", 1, U16)?)?;
    let collector = HpkeConfig::decode(&mut reader)?;
    let noise = decode_noise(&mut reader)?;
    let field = "name of the stored task";
    let name = String::from_utf8(reader.vector(field, 0, U16)?.to_vec())
        .map_err(|_| DecodeError::Invalid { field, reason: "is not UTF-8" })?;
    let claims = decode_claims(&mut reader)?;
    let terms = if version >= WITH_TERMS { decode_terms(&mut reader)? } else { Terms::default() };
    let begins = if version == WITH_DAY { decode_day(&mut reader)? } else { Weekday::default() };
    reader.finish()?;
    Ok(Public { configuration, collector, noise, name, claims, terms, begins })
}

fn decode_terms(reader: &mut Reader<'_>) -> Result<Terms, DecodeError> {
    let grace = reader.u64("grace of the stored task")?;
    let field = "windows of the stored task";
    let windows = match reader.u8(field)? {
        0 => Windows::Full,
        1 => Windows::Unchecked,
        value => return Err(DecodeError::Unknown { field, value: value.into() }),
    };
    Ok(Terms { grace, windows })
}

fn decode_day(reader: &mut Reader<'_>) -> Result<Weekday, DecodeError> {
    let field = "day of the stored task";
    let number = reader.u8(field)?;
    Weekday::from_number(number).ok_or(DecodeError::Unknown { field, value: number.into() })
}

/// A task that can be stored and loaded by the aggregator whose it is.
pub trait StoredTask: Sized + Send + Sync + 'static {
    /// Whose task it is, in a word; a database is one role's only.
    const ROLE: &'static str;

    /// Whose task it is.
    fn role() -> Role;

    /// What is shown to the other aggregator, if it asks for something.
    fn peer_token(&self) -> Option<&BearerToken>;

    /// For the database.
    fn to_record(&self, key: &DatabaseKeys) -> Result<TaskRecord, TaskError>;

    /// Whether two records seal the same secrets.
    fn same_secrets(
        one: &TaskRecord,
        other: &TaskRecord,
        key: &DatabaseKeys,
    ) -> Result<bool, TaskError> {
        let open = |record: &TaskRecord| {
            let task = record.id;
            key.open(place(&task), &record.sealed)
                .map_err(|source| TaskError::Secrets { task, source })
        };
        Ok(open(one)?.ct_eq(&open(other)?).into())
    }

    /// From the database.
    fn from_record(record: &TaskRecord, key: &DatabaseKeys) -> Result<Self, TaskError>;

    /// What both aggregators hold.
    fn task(&self) -> &Task;
}

impl StoredTask for LeaderTask {
    const ROLE: &'static str = "leader";

    fn role() -> Role {
        Role::Leader
    }

    fn peer_token(&self) -> Option<&BearerToken> {
        Some(&self.helper_token)
    }

    fn to_record(&self, key: &DatabaseKeys) -> Result<TaskRecord, TaskError> {
        let mut secrets = Zeroizing::new(self.collector_token.as_bytes().to_vec());
        secrets.extend_from_slice(self.helper_token.secret().as_bytes());
        self.task.record(key, &secrets)
    }

    fn from_record(record: &TaskRecord, key: &DatabaseKeys) -> Result<Self, TaskError> {
        let (task, secrets) = Task::from_record(Role::Leader, record, key)?;
        let mut reader = Reader::new(&secrets);
        let collector_token = reader.array("collector token");
        let helper_token = String::from_utf8(reader.rest().to_vec()).ok();
        let helper_token = helper_token.and_then(|text| BearerToken::new(text).ok());
        let invalid = DecodeError::Invalid { field: "helper token", reason: "is not a token" };
        let stored = |source| TaskError::Stored { task: record.id, source };
        Ok(Self {
            task,
            helper_token: helper_token.ok_or_else(|| stored(invalid))?,
            collector_token: TokenHash::new(collector_token.map_err(stored)?),
        })
    }

    fn task(&self) -> &Task {
        &self.task
    }
}

impl StoredTask for HelperTask {
    const ROLE: &'static str = "helper";

    fn role() -> Role {
        Role::Helper
    }

    fn peer_token(&self) -> Option<&BearerToken> {
        None
    }

    fn to_record(&self, key: &DatabaseKeys) -> Result<TaskRecord, TaskError> {
        self.task.record(key, self.leader_token.as_bytes())
    }

    fn from_record(record: &TaskRecord, key: &DatabaseKeys) -> Result<Self, TaskError> {
        let (task, secrets) = Task::from_record(Role::Helper, record, key)?;
        let mut reader = Reader::new(&secrets);
        let token = reader.array("leader token").and_then(|token| reader.finish().map(|()| token));
        let leader_token = token.map_err(|source| TaskError::Stored { task: record.id, source })?;
        Ok(Self { task, leader_token: TokenHash::new(leader_token) })
    }

    fn task(&self) -> &Task {
        &self.task
    }
}
