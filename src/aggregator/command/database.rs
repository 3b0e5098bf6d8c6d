//! `database`: its schema, and the key that its secrets are sealed under.

use super::{ConfigArgs, opened::Opened};
use crate::{
    aggregator::{
        config::{Config, database::Database},
        keyring,
        store::{
            Secret,
            sealed::{DatabaseKey, Place},
            sqlite::SqliteStore,
        },
        task::{self, StoredTask},
        task_file::FromFile,
    },
    command_line,
};
use anyhow::ensure;
use clap::Subcommand;

/// What can be done with the database.
#[derive(Debug, Subcommand)]
pub enum DatabaseCommand {
    /// Print a new key. To rotate: put it before the old one in the key file (a line each) on every
    /// replica, restart them, run `reseal`, then take the old one out.
    NewKey,
    /// Make the tables of a new database, or bring older ones up to date. SQLite files migrate by
    /// themselves when a server opens them.
    Migrate(ConfigArgs),
    /// Seal all secrets under the newest key, and prove that no other is needed any more.
    Reseal(ConfigArgs),
}

pub(super) fn run<T: StoredTask + FromFile>(command: &DatabaseCommand) -> anyhow::Result<()> {
    match command {
        DatabaseCommand::NewKey => command_line::print(&*DatabaseKey::random()?.to_text()),
        DatabaseCommand::Migrate(args) => migrate::<T>(&Config::read(&args.config)?),
        DatabaseCommand::Reseal(args) => reseal(&Opened::<T>::open(&args.config)?),
    }
}

fn migrate<T: StoredTask>(config: &Config) -> anyhow::Result<()> {
    match &config.database {
        Database::Sqlite(path) => {
            SqliteStore::open(path, T::ROLE)?;
            command_line::print(format_args!("{} has the current schema", path.display()))
        }
        #[cfg(feature = "postgres")]
        Database::Postgres(url) => {
            use crate::aggregator::store::postgres::PostgresStore;
            let done = PostgresStore::migrate(url, T::ROLE)?;
            command_line::print(format_args!(
                "the schema was version {} and is version {}",
                done.from, done.to
            ))
        }
        #[cfg(not(feature = "postgres"))]
        Database::Postgres(_) => anyhow::bail!("this program was built without PostgreSQL"),
    }
}

fn reseal<T: StoredTask>(opened: &Opened<T>) -> anyhow::Result<()> {
    let mut changed = 0;
    for row in opened.store.tasks()? {
        let place = task::place(&row.id);
        changed += anew(opened, Secret::Task(&row.id), place, &row.sealed)?;
    }
    for row in opened.store.keys()? {
        let place = keyring::place(std::slice::from_ref(&row.id));
        changed += anew(opened, Secret::HpkeKey(row.id), place, &row.sealed)?;
    }
    let opens = prove(opened)?;
    let key = opened.keys.current().id();
    command_line::print(format_args!(
        "{changed} secrets were sealed anew; all {opens} open under key {key} alone: older keys \
         are no longer needed and may be taken out"
    ))
}

/// Seals one secret under the newest key; 1 if that was needed.
fn anew<T>(
    opened: &Opened<T>,
    secret: Secret<'_>,
    place: Place<'_>,
    sealed: &[u8],
) -> anyhow::Result<u64> {
    let Some(anew) = opened.keys.reseal(place, sealed)? else { return Ok(0) };
    let replaced = opened.store.replace_sealed(secret, sealed, &anew)?;
    ensure!(replaced, "{secret:?} changed meanwhile; run this again");
    Ok(1)
}

/// Opens every secret with the newest key and no other.
fn prove<T>(opened: &Opened<T>) -> anyhow::Result<usize> {
    let only = opened.keys.current();
    let (tasks, keys) = (opened.store.tasks()?, opened.store.keys()?);
    for row in &tasks {
        only.open(task::place(&row.id), &row.sealed)?;
    }
    for row in &keys {
        only.open(keyring::place(&[row.id]), &row.sealed)?;
    }
    Ok(tasks.len() + keys.len())
}
