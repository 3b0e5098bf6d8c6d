//! Where tasks come from: a program, or a plain DAP task file.
//!
//! The task file is JSON, each value in the draft's own encoding, so that any party that speaks
//! the same draft can be the other side.

use super::{
    config::{
        ConfigError, read_text,
        secrets::{HelperSecrets, LeaderSecrets, VerifyKeySeed},
    },
    task::{Claim, HelperTask, LeaderTask, Task, TaskError, Terms, Windows},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hkdf;
use serde::Deserialize;
use sottovoce_dap::{
    bearer_token::BearerToken,
    codec::Decode,
    hpke::HpkeConfig,
    ids::TaskId,
    role::Role,
    task::TaskConfiguration,
    vdaf::{VERIFY_KEY_SIZE, VerifyKey},
};
use sottovoce_privacy::noise::AggregatorNoise;
use sottovoce_program::{Program, Weekday};
use std::path::Path;
use thiserror::Error;
use zeroize::Zeroizing;

/// A task that could not be taken from a file.
#[derive(Debug, Error)]
pub enum TaskFileError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// The program contradicts itself.
    #[error(transparent)]
    Program(#[from] sottovoce_program::ProgramError),
    /// The task is one that this aggregator refuses.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// An aggregator's task, which can be made from either kind of file.
pub trait FromFile: Sized {
    /// What this aggregator shares with the others.
    type Secrets: serde::de::DeserializeOwned;

    /// All tasks of a program.
    fn from_program(program: &Program, secrets: &Self::Secrets) -> Result<Vec<Self>, TaskError> {
        program
            .tasks()
            .iter()
            .map(|compiled| {
                let seed = Self::seed(secrets);
                let agreed = Agreed {
                    name: compiled.name.clone(),
                    claims: compiled.guarantees().iter().map(Claim::from).collect(),
                    manifest: compiled.manifest.to_bytes(),
                    terms: Terms { grace: program.grace(), windows: Windows::Full },
                    begins: compiled.window().week_begins().unwrap_or_default(),
                    id: compiled.task_id,
                    configuration: compiled.configuration.clone(),
                    collector_hpke_config: program.collector().clone(),
                    noise: program.privacy().aggregator_noise,
                    verify_key: verify_key(seed, &compiled.task_id),
                };
                Self::from_agreed(agreed, secrets)
            })
            .collect()
    }

    /// The one task of a task file.
    fn from_task_file(path: &Path) -> Result<Self, TaskFileError> {
        Self::from_task_text(path, &read_text(path)?)
    }

    /// The one task of a task file that says `text`; errors name `path`.
    fn from_task_text(path: &Path, text: &str) -> Result<Self, TaskFileError>;

    /// What verify keys are derived from.
    fn seed(secrets: &Self::Secrets) -> &VerifyKeySeed;

    /// A task whose tokens are those of the configuration.
    fn from_agreed(agreed: Agreed, secrets: &Self::Secrets) -> Result<Self, TaskError>;
}

/// What both aggregators agree on.
pub struct Agreed {
    name: String,
    claims: Vec<Claim>,
    manifest: Vec<u8>,
    terms: Terms,
    begins: Weekday,
    id: TaskId,
    configuration: TaskConfiguration,
    collector_hpke_config: HpkeConfig,
    noise: Option<AggregatorNoise>,
    verify_key: VerifyKey,
}

impl Agreed {
    fn task(self, role: Role) -> Result<Task, TaskError> {
        let Self {
            name,
            claims,
            manifest,
            terms,
            begins,
            id,
            configuration,
            collector_hpke_config,
            noise,
            verify_key,
        } = self;
        let task = Task::new(role, id, configuration, collector_hpke_config, noise, verify_key)?;
        Ok(task.described(&name, claims, manifest).under(terms).beginning(begins))
    }
}

impl FromFile for LeaderTask {
    type Secrets = LeaderSecrets;

    fn from_task_text(path: &Path, text: &str) -> Result<Self, TaskFileError> {
        let file = TaskFile::parse(path, text)?;
        let collector_token = file.collector_token.as_ref().ok_or_else(|| {
            let reason = "collector_token is missing; the leader needs it".to_owned();
            ConfigError::Invalid { path: path.to_owned(), reason }
        })?;
        Ok(Self {
            collector_token: collector_token.hash(),
            helper_token: file.leader_token.clone(),
            task: file.agreed(path)?.task(Role::Leader)?,
        })
    }

    fn seed(secrets: &LeaderSecrets) -> &VerifyKeySeed {
        &secrets.verify_key_seed
    }

    fn from_agreed(agreed: Agreed, secrets: &LeaderSecrets) -> Result<Self, TaskError> {
        Ok(Self {
            task: agreed.task(Role::Leader)?,
            helper_token: secrets.leader_token.clone(),
            collector_token: secrets.collector_token.hash(),
        })
    }
}

impl FromFile for HelperTask {
    type Secrets = HelperSecrets;

    fn from_task_text(path: &Path, text: &str) -> Result<Self, TaskFileError> {
        let file = TaskFile::parse(path, text)?;
        Ok(Self {
            leader_token: file.leader_token.hash(),
            task: file.agreed(path)?.task(Role::Helper)?,
        })
    }

    fn seed(secrets: &HelperSecrets) -> &VerifyKeySeed {
        &secrets.verify_key_seed
    }

    fn from_agreed(agreed: Agreed, secrets: &HelperSecrets) -> Result<Self, TaskError> {
        let leader_token = secrets.leader_token.hash();
        Ok(Self { task: agreed.task(Role::Helper)?, leader_token })
    }
}

/// A task's verify key, from the seed that both aggregators share (§8.6.2).
fn verify_key(seed: &VerifyKeySeed, task: &TaskId) -> VerifyKey {
    struct VerifyKeySize;
    impl hkdf::KeyType for VerifyKeySize {
        fn len(&self) -> usize {
            VERIFY_KEY_SIZE
        }
    }
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"verify_key");
    let mut key = Zeroizing::new([0; VERIFY_KEY_SIZE]);
    salt.extract(seed.secret_bytes())
        .expand(&[task.as_bytes()], VerifyKeySize)
        .and_then(|key_material| key_material.fill(key.as_mut()))
        .expect("HKDF-SHA256 gives 32 bytes");
    VerifyKey::new(*key)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    task_id: TaskId,
    task_configuration: String,
    vdaf_verify_key: Zeroizing<String>,
    collector_hpke_config: String,
    leader_token: BearerToken,
    collector_token: Option<BearerToken>,
    /// Ours, not the draft's: what this aggregator adds to its shares.
    aggregator_noise: Option<AggregatorNoise>,
    /// Ours too: `unchecked` switches off, for this task, that each window of a batch must be full.
    #[serde(default)]
    windows: Windows,
}

impl TaskFile {
    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        serde_json::from_str(text).map_err(|error| ConfigError::Invalid {
            path: path.to_owned(),
            reason: format!("line {}: {error}", error.line()),
        })
    }

    fn agreed(self, path: &Path) -> Result<Agreed, ConfigError> {
        let invalid = |key: &str, reason: String| ConfigError::Invalid {
            path: path.to_owned(),
            reason: format!("{key} {reason}"),
        };
        let bytes = |key: &str, text: &str| {
            let decoded = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new);
            decoded.map_err(|_| invalid(key, "is not URL-safe Base 64 without padding".to_owned()))
        };
        let key = "task_configuration";
        let configuration = TaskConfiguration::from_bytes(&bytes(key, &self.task_configuration)?)
            .map_err(|error| invalid(key, format!("does not decode: {error}")))?;
        let key = "collector_hpke_config";
        let collector_hpke_config =
            HpkeConfig::from_bytes(&bytes(key, &self.collector_hpke_config)?)
                .map_err(|error| invalid(key, format!("does not decode: {error}")))?;
        let key = "vdaf_verify_key";
        let verify_key = bytes(key, &self.vdaf_verify_key)?;
        let verify_key = <[u8; VERIFY_KEY_SIZE]>::try_from(verify_key.as_slice())
            .map_err(|_| invalid(key, format!("must be {VERIFY_KEY_SIZE} bytes")))?;
        Ok(Agreed {
            name: String::new(),
            claims: Vec::new(),
            manifest: Vec::new(),
            terms: Terms { grace: 0, windows: self.windows },
            begins: Weekday::default(),
            id: self.task_id,
            configuration,
            collector_hpke_config,
            noise: self.aggregator_noise,
            verify_key: VerifyKey::new(verify_key),
        })
    }
}
