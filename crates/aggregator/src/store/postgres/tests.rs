//! The suite on PostgreSQL, and what is this backend's own.

mod database;
mod pooler;
mod races;
mod schema;
mod tls;

use super::*;
use crate::{
    store::suite::{Bench, conformance},
    test_support::postgres::TemporaryPostgres,
};
use sottovoce_dap::ids::ReportId;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A database of one test's own.
pub(in super::super) struct Database {
    name: String,
    url: String,
    /// Whether another test may have it: it was not tampered with.
    reusable: bool,
}

impl Database {
    /// A database of the leader's, as good as new; `None` where PostgreSQL is not installed.
    fn new() -> Option<Self> {
        let server = server()?;
        if let Some(name) = lock(&FREE).pop() {
            let url = server.url(&name);
            let database = Self { name, url, reusable: true };
            database.tell(EMPTY);
            return Some(database);
        }
        let mut database = Self::empty()?;
        PostgresStore::migrate(&database.url, "leader").unwrap();
        database.reusable = true;
        Some(database)
    }

    /// A database without any table.
    fn empty() -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let server = server()?;
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let url = server.create_database(&name).unwrap();
        Some(Self { name, url, reusable: false })
    }

    /// A database that the test will spoil for others.
    fn to_spoil() -> Option<Self> {
        let mut database = Self::new()?;
        database.reusable = false;
        Some(database)
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
        if self.reusable {
            lock(&FREE).push(std::mem::take(&mut self.name));
        }
    }
}

/// Where the suite runs.
pub(in super::super) enum Place {
    Postgres(Database),
    /// In SQLite's stead where PostgreSQL is not installed: the suite cannot leave a test out.
    Elsewhere(crate::store::sqlite::tests::Scratch),
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
    let elsewhere = || Place::Elsewhere(crate::store::sqlite::tests::bench());
    Database::new().map_or_else(elsewhere, Place::Postgres)
}

conformance!(crate::store::postgres::tests::bench);

/// One server for all tests of the process; its watchdog ends it with us.
fn server() -> Option<&'static TemporaryPostgres> {
    static SERVER: OnceLock<Option<TemporaryPostgres>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        // No test of this server cuts the power.
        TemporaryPostgres::start_with(&[("fsync", "off")]).unwrap()
    });
    present(server.as_ref())
}

/// Says so if there is no PostgreSQL; not having it is a failure where it was asked for.
pub(super) fn present<T>(server: Option<T>) -> Option<T> {
    if server.is_none() {
        let required = std::env::var_os("SOTTOVOCE_REQUIRE_POSTGRES").is_some();
        assert!(!required, "PostgreSQL is not installed, and SOTTOVOCE_REQUIRE_POSTGRES is set");
        println!("skipped: PostgreSQL is not installed");
    }
    server
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store with one time-interval task.
fn with_task(database: &Database) -> (PostgresStore, TaskId) {
    let store = database.store();
    let id = put(&store, 1, BatchingMode::TimeInterval);
    (store, id)
}

fn put(store: &PostgresStore, byte: u8, mode: BatchingMode) -> TaskId {
    let id = TaskId::new([byte; 32]);
    let task = TaskRecord { id, mode, public: Blob::default(), sealed: Blob::default() };
    store.put_task(&task).unwrap();
    id
}

/// One upload of reports given as (number, time); a report's bytes are its number.
fn upload(task: TaskId, reports: &[(u64, u64)]) -> UploadBatch {
    let mut batch = UploadBatch::new(task);
    for (number, time) in reports {
        let id = ReportId::new(u128::from(*number).to_le_bytes());
        batch.push(id, Time(*time), &number.to_be_bytes()).unwrap();
    }
    batch
}

/// Leases up to so many jobs of 4 reports, lingering or not.
fn lease(store: &PostgresStore, limit: usize) -> Vec<LeasedJob> {
    let policy = LeasePolicy {
        lease_for: Duration::from_secs(10),
        max_reports: 4,
        max_bytes: 1 << 20,
        linger: Duration::ZERO,
        limit,
        new_first: false,
        quotas: Vec::new(),
    };
    store.lease_jobs(NOW, &policy).unwrap()
}

const NOW: Timestamp = Timestamp(1_000_000);

/// Databases that no test uses any more: emptying one is ten times as quick as making one.
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());

const EMPTY: &str = "
    TRUNCATE sottovoce.log_entries, sottovoce.log_pages, sottovoce.log_head, sottovoce.log_keys,
        sottovoce.tasks, sottovoce.dropped, sottovoce.lost, sottovoce.horizons, sottovoce.hpke_keys, sottovoce.fresh_runs,
        sottovoce.parted_runs, sottovoce.parted, sottovoce.jobs, sottovoce.segments, sottovoce.batches,
        sottovoce.shards, sottovoce.collected, sottovoce.collections, sottovoce.helper_jobs
    RESTART IDENTITY";

#[test]
fn statements_are_cut_up_by_bytes_and_lose_nothing() {
    let sizes = [AT_ONCE, 1, AT_ONCE - 1, 1, AT_ONCE * 3, 0, 7];
    let slices: Vec<_> = in_slices(&sizes, |size| *size).collect();
    assert_eq!(slices.concat(), sizes);
    assert_eq!(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>(), [1, 2, 1, 1, 2]);
    assert_eq!(in_slices(&[] as &[usize], |size| *size).count(), 0);
}
