//! The servers' databases during a load, and how full they are.

use crate::{command_line::write_secret, local_servers::Usage};
use anyhow::{Context, ensure};
use rusqlite::{Connection, OpenFlags};
use sottovoce_aggregator::{
    store::{Datastore, postgres::PostgresStore, sealed::DatabaseKey, sqlite::SqliteStore},
    test_support::postgres::TemporaryPostgres,
};
use sottovoce_dap::ids::TaskId;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The databases of the leader and of the helper.
pub(super) enum Storage {
    /// A file each.
    Sqlite([PathBuf; 2]),
    /// A database each on one server of our own.
    Postgres(Box<TemporaryPostgres>),
}

const PARTIES: [&str; 2] = ["leader", "helper"];

impl Storage {
    pub(super) fn sqlite(folder: &Path) -> Self {
        Self::Sqlite(PARTIES.map(|party| folder.join(format!("{party}.sqlite"))))
    }

    /// Starts a PostgreSQL server and makes both databases, with a key for each in `folder`.
    pub(super) fn postgres(folder: &Path) -> anyhow::Result<Self> {
        let server = TemporaryPostgres::start()?;
        let server = server.context("PostgreSQL is not installed: initdb was not found")?;
        for party in PARTIES {
            let url = server.create_database(party)?;
            PostgresStore::migrate(&url, party)?;
            let key = DatabaseKey::random()?.to_text();
            write_secret(&folder.join(format!("{party}.key")), &format!("{}\n", *key))?;
        }
        Ok(Self::Postgres(Box::new(server)))
    }

    /// As configurations name them.
    pub(super) fn names(&self) -> [String; 2] {
        match self {
            Self::Sqlite(paths) => paths.each_ref().map(|path| path.display().to_string()),
            Self::Postgres(server) => PARTIES.map(|party| server.url(party)),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// CPU time of the database server, all its processes together; none of an embedded one.
    pub(super) fn cpu(&self) -> Duration {
        match self {
            Self::Sqlite(_) => Duration::ZERO,
            Self::Postgres(server) => Usage::of_family(server.pid()),
        }
    }

    /// Waits until no report of the task waits at the leader.
    pub(super) async fn wait_until_aggregated(
        &self,
        task: &TaskId,
        at_most: Duration,
    ) -> anyhow::Result<()> {
        let store = self.leader()?;
        let until = Instant::now() + at_most;
        loop {
            let counts = tokio::task::block_in_place(|| store.counts(task))?;
            if counts.waiting_reports + counts.in_flight_reports == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < until, "reports are not aggregated in time: {counts:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn leader(&self) -> anyhow::Result<Box<dyn Datastore>> {
        Ok(match self {
            Self::Sqlite([leader, _]) => Box::new(SqliteStore::open(leader, PARTIES[0])?),
            Self::Postgres(server) => {
                Box::new(PostgresStore::open(&server.url(PARTIES[0]), PARTIES[0], 1)?)
            }
        })
    }

    /// Bytes in use at the leader and at the helper, without free pages.
    pub(super) fn bytes(&self) -> anyhow::Result<[u64; 2]> {
        match self {
            Self::Sqlite([leader, helper]) => Ok([pages(leader)?, pages(helper)?]),
            Self::Postgres(server) => {
                let [leader, helper] = PARTIES.map(|party| relations(&server.url(party)));
                Ok([leader?, helper?])
            }
        }
    }
}

/// An SQLite file's pages without the free ones.
fn pages(path: &Path) -> anyhow::Result<u64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| path.display().to_string())?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(u64::try_from(pages * number("page_size")?)?)
}

/// Tables, indexes and what is stored beside them, once dead rows are cleaned away.
fn relations(url: &str) -> anyhow::Result<u64> {
    tokio::task::block_in_place(|| {
        let mut client = postgres::Client::connect(url, postgres::NoTls)?;
        client.batch_execute("VACUUM")?;
        let sql = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
                   JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE n.nspname = 'sottovoce' AND c.relkind = 'r'";
        let bytes: i64 = client.query_one(sql, &[])?.get(0);
        Ok(u64::try_from(bytes)?)
    })
}
