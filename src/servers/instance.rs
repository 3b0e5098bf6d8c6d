//! A configuration with its database.

use super::report_added;
use anyhow::Context;
use sottovoce_aggregator::{
    clock,
    config::{
        Config,
        database::Database,
        environment::{self, DATABASE_KEYS},
        key_command::KEY_COMMAND_TIME,
        no_secrets, read,
    },
    log::{PublicLog, entries},
    store::{
        Datastore,
        sealed::{DatabaseKey, DatabaseKeys},
        sqlite::SqliteStore,
    },
    task::{StoredTask, Windows},
    task_file::FromFile,
    tasks::Tasks,
};
use sottovoce_dap::{ids::TaskId, task::Url};
use sottovoce_log::note::KeyName;
use sottovoce_program::Program;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// What a command works on.
pub(super) struct Instance<T> {
    pub(super) config: Config,
    pub(super) store: Arc<dyn Datastore>,
    /// The embedded database, which belongs to one server alone.
    pub(super) embedded: Option<Arc<SqliteStore>>,
    pub(super) keys: DatabaseKeys,
    pub(super) tasks: Tasks<T>,
    /// The program of each task that was added of one.
    pub(super) programs: Mutex<HashMap<TaskId, String>>,
}

impl<T: StoredTask + FromFile> Instance<T> {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        Self::with(Config::read(path)?)
    }

    /// The database of a configuration.
    pub(super) fn with(config: Config) -> anyhow::Result<Self> {
        let keys = database_keys(&config)?;
        let (store, embedded) = open_store(&config, T::ROLE)?;
        let tasks = Tasks::new(Arc::clone(&store), keys.clone());
        Ok(Self { config, store, embedded, keys, tasks, programs: Mutex::default() })
    }

    /// Adds the tasks that the configuration names.
    pub(super) fn add_configured_tasks(&self) -> anyhow::Result<()> {
        self.config.programs.iter().try_for_each(|program| self.add_program(program))?;
        self.config.tasks.iter().try_for_each(|task| self.add_task_file(task))
    }

    pub(super) fn add_program(&self, path: &Path) -> anyhow::Result<()> {
        let program = Program::read(path)?;
        let secrets = self.config.secrets.as_ref().with_context(|| no_secrets(path))?;
        let secrets = read::<T::Secrets>(secrets)?;
        for task in T::from_program(&program, &secrets)? {
            self.add(&task)?;
            let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
            programs.insert(task.task().id, program.name().to_string());
        }
        Ok(())
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

/// Checks the files that a configuration names, without a database.
pub(super) fn check_files<T: StoredTask + FromFile>(config: &Config) -> anyhow::Result<()> {
    let secrets = config.secrets.as_deref().map(read::<T::Secrets>).transpose()?;
    for path in &config.programs {
        let secrets = secrets.as_ref().with_context(|| no_secrets(path))?;
        T::from_program(&Program::read(path)?, secrets)?;
    }
    for path in &config.tasks {
        T::from_task_file(path)?;
    }
    match (given_keys(config)?, &config.database_key) {
        (None, Some(path)) if path.exists() => read_keys(path).map(drop)?,
        _ => {}
    }
    Ok(())
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
    if let Some(keys) = given_keys(config)? {
        return Ok(keys);
    }
    let path = config.database_key.as_ref().context("the configuration names no database key")?;
    if path.exists() {
        return read_keys(path);
    }
    match &config.database {
        Database::Sqlite(database) => anyhow::ensure!(
            !database.exists(),
            "the database {} exists, but its key {} is missing; restore the key, or move the database away to start \
             with an empty one",
            database.display(),
            path.display()
        ),
        Database::Postgres(_) => anyhow::bail!(
            "the database key {} is missing; all replicas share one key, so it is not created automatically: create \
             it with `database new-key`, or set {DATABASE_KEYS}",
            path.display()
        ),
    }
    let key = DatabaseKey::random()?;
    crate::command_line::write_secret(path, &format!("{}\n", *key.to_text()))?;
    Ok(key.to_text().parse()?)
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
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.with_context(|| format!("{} cannot be read", path.display()))?;
    text.parse().with_context(|| path.display().to_string())
}
