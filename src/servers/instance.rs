//! A configuration with its database.

use super::report_added;
use anyhow::Context;
use sottovoce_aggregator::{
    clock,
    config::{
        Config,
        database::Database,
        environment::{self, DATABASE_KEYS, PREFIX},
        key_command::KEY_COMMAND_TIME,
        no_secrets, read, read_text,
    },
    keyring,
    log::{PublicLog, entries},
    serve::tls::Certificates,
    store::{
        Datastore, KeyUse,
        sealed::{DatabaseKey, DatabaseKeys, SealedError},
        sqlite::SqliteStore,
    },
    task::{self, StoredTask, Windows},
    task_file::FromFile,
    tasks::Tasks,
};
use sottovoce_dap::{ids::TaskId, task::Url};
use sottovoce_log::note::KeyName;
use sottovoce_program::Program;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;

/// A configuration without mistakes, and the tasks of the files that it names.
pub(super) struct Checked<T> {
    pub(super) config: Config,
    pub(super) tasks: Vec<T>,
    /// The program of each task that is of one.
    pub(super) programs: HashMap<TaskId, String>,
    pub(super) certificates: Option<Certificates>,
}

/// What a command works on.
pub(super) struct Instance<T> {
    pub(super) config: Config,
    pub(super) store: Arc<dyn Datastore>,
    /// The embedded database, which belongs to one server alone.
    pub(super) embedded: Option<Arc<SqliteStore>>,
    pub(super) keys: DatabaseKeys,
    pub(super) tasks: Tasks<T>,
    /// The program of each task that was added of one.
    pub(super) programs: HashMap<TaskId, String>,
    /// What a server shows to others; commands show nothing.
    pub(super) certificates: Option<Arc<Certificates>>,
}

impl<T: StoredTask + FromFile> Instance<T> {
    /// For a server that starts: makes the database and its key, if there are none, and adds the tasks of its files.
    pub(super) fn create(
        Checked { config, tasks, programs, certificates }: Checked<T>,
    ) -> anyhow::Result<Self> {
        let keys = database_keys(&config)?;
        let certificates = certificates.map(Arc::new);
        let opened = Self { programs, certificates, ..Self::with(config, keys)? };
        tasks.iter().try_for_each(|task| opened.add(task))?;
        Ok(opened)
    }

    /// For a command: only a database that a server has made, with its key.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let config = read_config(path)?;
        let keys = existing_keys(&config)?;
        Self::with(config, keys)
    }

    fn with(config: Config, keys: DatabaseKeys) -> anyhow::Result<Self> {
        let (store, embedded) = open_store(&config, T::ROLE)?;
        check_keys(&config, store.as_ref(), &keys)?;
        let tasks = Tasks::new(Arc::clone(&store), keys.clone());
        let programs = HashMap::new();
        Ok(Self { config, store, embedded, keys, tasks, programs, certificates: None })
    }

    pub(super) fn add_program(&self, path: &Path) -> anyhow::Result<()> {
        let program = Program::read(path)?;
        let secrets = self.config.secrets.as_ref().with_context(|| no_secrets(path))?;
        let secrets = read::<T::Secrets>(secrets)?;
        T::from_program(&program, &secrets)?.iter().try_for_each(|task| self.add(task))
    }

    pub(super) fn add_task_file(&self, path: &Path) -> anyhow::Result<()> {
        self.add(&T::from_task_file(path)?)
    }

    /// The log, with a first key if its name is known.
    pub(super) fn public_log(&self) -> anyhow::Result<PublicLog> {
        let log = PublicLog::new(Arc::clone(&self.store), self.keys.clone());
        let tasks = self.tasks.all()?;
        let endpoint = tasks.first().and_then(|task| log_name(task.task().endpoint(T::role())));
        if let Some(name) = self.config.public_log.name.clone().or(endpoint) {
            log.begin(&name)?;
        }
        Ok(log)
    }

    fn add(&self, task: &T) -> anyhow::Result<()> {
        // Said first: killed in between, the log has a task of which nothing is ever released.
        let mut said = vec![entries::task(task.task(), clock::now())?];
        let before = self.tasks.find(&task.task().id)?;
        let before = before.map_or(Windows::Full, |before| before.task().terms.windows);
        if before != task.task().terms.windows {
            said.push(entries::windows(task.task(), clock::now())?);
        }
        self.store.log(&said)?;
        report_added(task.task().id, self.tasks.add(task)?);
        Ok(())
    }
}

/// What the log of an aggregator is called: its endpoint without the scheme, and `/log`.
fn log_name(endpoint: &Url) -> Option<KeyName> {
    let (_, place) = endpoint.as_str().split_once("://")?;
    KeyName::new(&format!("{}/log", place.trim_end_matches('/'))).ok()
}

/// The configuration for a command. What is missing in it may be in the environment of the service.
pub(super) fn read_config(path: &Path) -> anyhow::Result<Config> {
    Config::read(path).map_err(|error| {
        let is_missing = error.to_string().contains("missing field");
        let hint = if is_missing { Missing::hint() } else { String::new() };
        anyhow::anyhow!("{error}{hint}")
    })
}

/// What a command needs, and only `serve` makes.
#[derive(Debug, Error)]
pub(super) enum Missing {
    /// No server has run with this configuration.
    #[error(
        "there is no database {}, and only `serve` creates one: start the server first, or correct `database`{}",
        .0.display(), Self::hint()
    )]
    Database(PathBuf),
    /// There is a database, and nothing opens it.
    #[error(
        "the database {} exists, but its key {} is missing; restore the key, or move the database away to start with \
         an empty one{}", .database.display(), .key.display(), Self::hint()
    )]
    Key { database: PathBuf, key: PathBuf },
    /// Replicas have to share a key that somebody makes.
    #[error(
        "the database key {} is missing; all replicas share one key, so it is not created automatically: create it with \
         `database new-key`, or set {}{}", .0.display(), DATABASE_KEYS, Self::hint()
    )]
    SharedKey(PathBuf),
}

impl Missing {
    /// Where else settings may be, unless the environment has some.
    pub(super) fn hint() -> String {
        if std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with(PREFIX)) {
            return String::new();
        }
        "; if the service takes settings from an environment file, no variable of it is set here: load it first, such as \
         `set -a; . /etc/sottovoce/leader.env; set +a`"
            .to_owned()
    }
}

/// Refuses to work on a database that is not there.
pub(super) fn existing(database: &Path) -> Result<(), Missing> {
    if database.exists() { Ok(()) } else { Err(Missing::Database(database.to_owned())) }
}

/// Whether a server would find its keys, or make them rightly.
pub(super) fn look_for_keys(config: &Config) -> anyhow::Result<()> {
    keys_of(config).map(|_| ())
}

/// Whether the keys are those of this database: its first secret tells.
fn check_keys(config: &Config, store: &dyn Datastore, keys: &DatabaseKeys) -> anyhow::Result<()> {
    let opened = match (store.tasks()?.first(), store.keys(KeyUse::Hpke)?.first()) {
        (Some(task), _) => keys.open(task::place(&task.id), &task.sealed),
        (None, Some(key)) => keys.open(keyring::place(&[key.id]), &key.sealed),
        (None, None) => return Ok(()),
    };
    let Err(SealedError::WrongKey { found, given, .. }) = opened else { return Ok(()) };
    let place = key_place(config)?;
    anyhow::bail!(
        "wrong database key: this database needs {found}, and {place} holds {given}; restore the key of this database{}",
        Missing::hint()
    )
}

/// Where the keys are, in words.
fn key_place(config: &Config) -> anyhow::Result<String> {
    if environment::database_keys().map_err(anyhow::Error::msg)?.is_some() {
        return Ok(DATABASE_KEYS.to_owned());
    }
    Ok(match (&config.database_key, &config.database_key_command) {
        (Some(path), None) => path.display().to_string(),
        _ => "what database_key_command printed".to_owned(),
    })
}

type Opening = (Arc<dyn Datastore>, Option<Arc<SqliteStore>>);

fn open_store(config: &Config, role: &str) -> anyhow::Result<Opening> {
    match &config.database {
        Database::Sqlite(path) => {
            let store = Arc::new(SqliteStore::open(path, role)?);
            Ok((Arc::clone(&store) as Arc<dyn Datastore>, Some(store)))
        }
        #[cfg(feature = "postgres")]
        Database::Postgres(url) => {
            use sottovoce_aggregator::store::postgres::PostgresStore;
            let store = PostgresStore::open(url, role, config.database_connections)?;
            Ok((Arc::new(store), None))
        }
        #[cfg(not(feature = "postgres"))]
        Database::Postgres(_) => {
            anyhow::bail!(
                "this binary was built without the feature `postgres`; configure an SQLite file"
            )
        }
    }
}

/// The keys that secrets are sealed under: the environment's, the command's, the file's, or a new one
/// for a database that is to be made, for its owner's eyes only.
fn database_keys(config: &Config) -> anyhow::Result<DatabaseKeys> {
    if let Some(keys) = keys_of(config)? {
        return Ok(keys);
    }
    let key = DatabaseKey::random()?;
    crate::command_line::write_secret(key_file(config)?, &format!("{}\n", *key.to_text()))?;
    Ok(key.to_text().parse()?)
}

/// The keys of a database that is there.
fn existing_keys(config: &Config) -> anyhow::Result<DatabaseKeys> {
    if let Database::Sqlite(database) = &config.database {
        existing(database)?;
    }
    match keys_of(config)? {
        Some(keys) => Ok(keys),
        None => anyhow::bail!("{} is missing", key_file(config)?.display()),
    }
}

/// The keys that are there; none if both the database and its key are to be made.
fn keys_of(config: &Config) -> anyhow::Result<Option<DatabaseKeys>> {
    if let Some(keys) = given_keys(config)? {
        return Ok(Some(keys));
    }
    let key = key_file(config)?;
    if key.exists() {
        return read_keys(key).map(Some);
    }
    match &config.database {
        Database::Sqlite(database) if database.exists() => {
            Err(Missing::Key { database: database.clone(), key: key.to_owned() }.into())
        }
        Database::Sqlite(_) => Ok(None),
        Database::Postgres(_) => Err(Missing::SharedKey(key.to_owned()).into()),
    }
}

fn key_file(config: &Config) -> anyhow::Result<&Path> {
    config.database_key.as_deref().context("the configuration names no database key")
}

/// Keys from outside: of the environment, or of a file that it names, or else of the command.
fn given_keys(config: &Config) -> anyhow::Result<Option<DatabaseKeys>> {
    let given = environment::database_keys().map_err(anyhow::Error::msg)?;
    let (text, of) = match (given, &config.database_key_command) {
        (Some(text), _) => (text, DATABASE_KEYS.to_owned()),
        (None, Some(command)) => {
            let printed = command.run(KEY_COMMAND_TIME)?;
            (printed, format!("what database_key_command ({}) printed", command.program()))
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(text.parse().context(of)?))
}

fn read_keys(path: &Path) -> anyhow::Result<DatabaseKeys> {
    read_text(path)?.parse().with_context(|| path.display().to_string())
}
