//! `database`: its schema, and the key that encrypts its secrets.

use super::{
    ConfigArgs, ConfigOption,
    instance::{Instance, existing, read_config},
    trail,
};
use crate::command_line;
use anyhow::{bail, ensure};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use sottovoce_aggregator::{
    config::{Config, database::Database},
    keyring, log,
    store::{
        KeyRecord, KeyUse, Secret,
        sealed::{DatabaseKey, Place},
        sqlite::{SqliteStore, backup::backup},
    },
    task::{self, StoredTask},
    task_file::FromFile,
};
use std::path::{Path, PathBuf};

/// Commands for the database.
#[derive(Debug, Subcommand)]
pub enum DatabaseCommand {
    /// Print a new database key. To rotate: insert it before the old one in the key file (one key per line) on
    /// every replica, restart them, run `reseal`, then remove the old key.
    NewKey,
    /// Create the tables of a new database, or migrate older ones. SQLite files are migrated automatically when a
    /// server opens them.
    Migrate(ConfigArgs),
    /// Back up the database to a new file while servers run, and verify the copy. SQLite only; for PostgreSQL,
    /// this prints the command to use.
    Backup {
        /// Where the server's configuration is.
        #[command(flatten)]
        config: ConfigOption,
        /// The file to create, readable only by its owner; it must not exist.
        file: PathBuf,
    },
    /// Encrypt all secrets again with the newest database key, and verify that no older key is needed.
    Reseal(ConfigArgs),
}

pub(super) fn run<T: StoredTask + FromFile>(command: &DatabaseCommand) -> anyhow::Result<()> {
    match command {
        DatabaseCommand::NewKey => command_line::print(&*DatabaseKey::random()?.to_text()),
        DatabaseCommand::Migrate(args) => migrate::<T>(&read_config(&args.path)?),
        DatabaseCommand::Backup { config, file } => {
            back_up::<T>(&read_config(&config.config)?, file)
        }
        DatabaseCommand::Reseal(args) => reseal(&Instance::<T>::open(&args.path)?),
    }
}

fn migrate<T: StoredTask>(config: &Config) -> anyhow::Result<()> {
    match &config.database {
        Database::Sqlite(path) => {
            existing(path)?;
            SqliteStore::open(path, T::ROLE)?;
            command_line::print(format_args!("{} has the current schema", path.display()))
        }
        #[cfg(feature = "postgres")]
        Database::Postgres(url) => {
            use sottovoce_aggregator::store::postgres::PostgresStore;
            let done = PostgresStore::migrate(url, T::ROLE)?;
            command_line::print(format_args!(
                "migrated the schema from version {} to version {}",
                done.from, done.to
            ))
        }
        #[cfg(not(feature = "postgres"))]
        Database::Postgres(_) => {
            anyhow::bail!("this binary was built without the feature `postgres`")
        }
    }
}

fn back_up<T: StoredTask>(config: &Config, to: &Path) -> anyhow::Result<()> {
    let Database::Sqlite(path) = &config.database else {
        bail!(
            "{} is a PostgreSQL database; back it up while servers run with `pg_dump --format=custom --file={} NAME`, \
             where NAME is the database, and restore it with `pg_restore`",
            config.database,
            to.display()
        );
    };
    existing(path)?;
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let bytes = backup(path, T::ROLE, to, |progress| {
        bar.set_length(progress.expected);
        bar.set_position(progress.written);
    })?;
    bar.finish_and_clear();
    let key =
        config.database_key.as_ref().map_or(String::new(), |key| format!(" {}", key.display()));
    command_line::print(format_args!(
        "{} is a complete copy of {bytes} bytes; store it separately from the database key{key}, which is needed to \
         restore it",
        to.display()
    ))
}

fn reseal<T: StoredTask>(opened: &Instance<T>) -> anyhow::Result<()> {
    trail::write(opened.store.as_ref())?;
    let mut changed = 0;
    for row in opened.store.tasks()? {
        let place = task::place(&row.id);
        changed += anew(opened, Secret::Task(&row.id), place, &row.sealed)?;
    }
    for (of, row) in key_rows(opened)? {
        let place = key_place(of, std::slice::from_ref(&row.id));
        changed += anew(opened, Secret::Key(of, row.id), place, &row.sealed)?;
    }
    let opens = prove(opened)?;
    let key = opened.keys.current().id();
    command_line::print(format_args!(
        "{changed} secrets were encrypted again; all {opens} decrypt with key {key} alone: older keys can be removed"
    ))
}

/// Seals one secret under the newest key; 1 if that was needed.
fn anew<T>(
    opened: &Instance<T>,
    secret: Secret<'_>,
    place: Place<'_>,
    sealed: &[u8],
) -> anyhow::Result<u64> {
    let Some(anew) = opened.keys.reseal(place, sealed)? else { return Ok(0) };
    let replaced = opened.store.replace_sealed(secret, sealed, &anew)?;
    ensure!(replaced, "{secret:?} was changed by another process; run this command again");
    Ok(1)
}

/// Opens every secret with the newest key and no other.
fn prove<T>(opened: &Instance<T>) -> anyhow::Result<usize> {
    let only = opened.keys.current();
    let (tasks, keys) = (opened.store.tasks()?, key_rows(opened)?);
    for row in &tasks {
        only.open(task::place(&row.id), &row.sealed)?;
    }
    for (of, row) in &keys {
        only.open(key_place(*of, &[row.id]), &row.sealed)?;
    }
    Ok(tasks.len() + keys.len())
}

/// All key pairs, with what they are for.
fn key_rows<T>(opened: &Instance<T>) -> anyhow::Result<Vec<(KeyUse, KeyRecord)>> {
    let mut rows = Vec::new();
    for of in [KeyUse::Hpke, KeyUse::Log] {
        rows.extend(opened.store.keys(of)?.into_iter().map(|row| (of, row)));
    }
    Ok(rows)
}

fn key_place(of: KeyUse, id: &[u8]) -> Place<'_> {
    match of {
        KeyUse::Hpke => keyring::place(id),
        KeyUse::Log => log::keys::place(id),
    }
}
