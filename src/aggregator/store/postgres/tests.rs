//! The suite on PostgreSQL, and what is this backend's own.

mod database;
mod races;
mod schema;

use super::*;
use crate::aggregator::store::suite::{Bench, conformance};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// A database that goes when it is dropped.
struct Database {
    server: &'static TemporaryPostgres,
    name: String,
    url: String,
}

impl Database {
    /// A database of the leader's; `None` where PostgreSQL is not installed.
    fn new() -> Option<Self> {
        let server = server()?;
        let name = new_name();
        let url = server.copy_database(TEMPLATE, &name).unwrap();
        Some(Self { server, name, url })
    }

    /// A database without any table.
    fn empty() -> Option<Self> {
        let server = server()?;
        let name = new_name();
        let url = server.create_database(&name).unwrap();
        Some(Self { server, name, url })
    }

    /// As another replica does: with a pool of its own.
    fn store(&self) -> PostgresStore {
        PostgresStore::open(&self.url, "leader", 4).unwrap()
    }

    /// Tells the database something behind the store's back.
    fn tell(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap();
    }

    fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.url, postgres::NoTls).unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.server.drop_database(&self.name);
    }
}

/// Where the suite runs.
pub(in super::super) enum Place {
    Postgres(Database),
    /// In SQLite's stead where PostgreSQL is not installed: the suite cannot leave a test out.
    Elsewhere(crate::aggregator::store::sqlite::tests::Scratch),
}

impl Bench for Place {
    fn open(&self) -> Arc<dyn Datastore> {
        match self {
            Self::Postgres(database) => Arc::new(database.store()),
            Self::Elsewhere(scratch) => scratch.open(),
        }
    }
}

fn bench() -> Place {
    let elsewhere = || Place::Elsewhere(crate::aggregator::store::sqlite::tests::bench());
    Database::new().map_or_else(elsewhere, Place::Postgres)
}

conformance!(crate::aggregator::store::postgres::tests::bench);

/// One server for all tests of the process; its watchdog ends it with us.
fn server() -> Option<&'static TemporaryPostgres> {
    static SERVER: OnceLock<Option<TemporaryPostgres>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        // No test of this server cuts the power.
        let server = TemporaryPostgres::start_with(&[("fsync", "off")]).unwrap()?;
        let url = server.create_database(TEMPLATE).unwrap();
        PostgresStore::migrate(&url, "leader").unwrap();
        Some(server)
    });
    present(server.as_ref())
}

/// Says so if there is no PostgreSQL; not having it is a failure where it was asked for.
fn present<T>(server: Option<T>) -> Option<T> {
    if server.is_none() {
        let required = std::env::var_os("SOTTOVOCE_REQUIRE_POSTGRES").is_some();
        assert!(!required, "PostgreSQL is not installed, and SOTTOVOCE_REQUIRE_POSTGRES is set");
        println!("skipped: PostgreSQL is not installed");
    }
    server
}

fn new_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

const TEMPLATE: &str = "migrated";
