//! The suite on `SQLite`, and what is this backend's own.

use super::*;
use crate::store::{
    Blob, BucketKey, BucketRange, BucketShard, Then,
    suite::{Bench, conformance},
};
use sottovoce_dap::{
    ids::{AggregateShareId, ReportId},
    time::Interval,
};
use std::sync::Arc;

/// A folder that goes when it is dropped.
pub(in super::super) struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("sottovoce-store-{}", ReportId::random().unwrap());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("store.sqlite")
    }

    fn open_store(&self) -> SqliteStore {
        SqliteStore::open(self.file(), "leader").unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Bench for Scratch {
    fn open(&self) -> Arc<dyn Datastore> {
        Arc::new(self.open_store())
    }
}

pub(in super::super) fn bench() -> Scratch {
    Scratch::new()
}

conformance!(crate::store::sqlite::tests::bench);

fn refusal(path: &Path) -> String {
    SqliteStore::open(path, "leader").map(drop).unwrap_err().to_string()
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let garbage = [b'x'; 5000];
    fs::write(scratch.file(), garbage).unwrap();
    assert!(refusal(&scratch.file()).contains("is not an SQLite database"));
    assert_eq!(fs::read(scratch.file()).unwrap(), garbage);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let theirs = Connection::open(scratch.file()).unwrap();
    theirs.execute_batch("CREATE TABLE cookies (name TEXT)").unwrap();
    drop(theirs);
    let before = fs::read(scratch.file()).unwrap();
    assert!(refusal(&scratch.file()).contains("another program"));
    assert_eq!(fs::read(scratch.file()).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let scratch = Scratch::new();
    drop(scratch.open());
    let later = Connection::open(scratch.file()).unwrap();
    later.pragma_update(None, "user_version", schema::LATEST + 1).unwrap();
    drop(later);
    let message = refusal(&scratch.file());
    let versions = format!(
        "schema version {}, and this program knows up to {}",
        schema::LATEST + 1,
        schema::LATEST
    );
    assert!(message.contains(&versions), "{message}");
}

#[test]
fn a_database_of_the_other_party_is_refused() {
    let scratch = Scratch::new();
    drop(scratch.open());
    let refused = SqliteStore::open(scratch.file(), "helper").map(drop).unwrap_err().to_string();
    assert!(refused.contains("of the leader, and this is the helper"), "{refused}");
    drop(scratch.open());
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    assert!(refusal(Path::new("/nowhere/store.sqlite")).contains("/nowhere/store.sqlite"));
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let _store = scratch.open();
    let files = fs::read_dir(&scratch.0).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert!(files.len() >= 2, "the database and its log");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn acknowledged_means_synced() {
    let store = SqliteStore::open(Scratch::new().file(), "leader").unwrap();
    let writer = lock(&store.writer);
    let pragma = |name| writer.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), pragma("synchronous"), pragma("foreign_keys")), ("wal", 2, 1));
}

#[test]
fn upkeep_goes_past_a_reader_that_stays_and_cuts_the_file_when_it_has_gone() {
    let scratch = Scratch::new();
    let store = scratch.open_store();
    let fill =
        "CREATE TABLE fill (x); INSERT INTO fill VALUES (zeroblob(24 << 20)); DROP TABLE fill";
    lock(&store.writer).execute_batch(fill).unwrap();
    lock(&store.writer).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let bytes =
        |end: &str| fs::metadata(scratch.0.join(format!("store.sqlite{end}"))).unwrap().len();
    let before = bytes("");
    let reader = Connection::open(scratch.file()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM tasks").unwrap();
    store.give_back().unwrap();
    let (public, sealed) = (Blob::default(), Blob::default());
    let key = KeyRecord { id: 1, offered: Timestamp(0), public, sealed };
    store.put_key(KeyUse::Hpke, &key).unwrap();
    assert_eq!(bytes(""), before, "the reader may still need it");
    drop(reader);
    store.give_back().unwrap();
    assert!(bytes("") < before && bytes("-wal") == 0, "{} of {before}", bytes(""));
}

/// A store in memory with one time-interval task.
fn with_task() -> (SqliteStore, TaskId) {
    let store = SqliteStore::in_memory().unwrap();
    let id = TaskId::new([1; 32]);
    let mode = BatchingMode::TimeInterval;
    let task = TaskRecord { id, mode, public: vec![].into(), sealed: vec![].into() };
    store.put_task(&task).unwrap();
    (store, id)
}

#[test]
fn a_damaged_segment_is_reported_and_not_leased() {
    let (store, task) = with_task();
    let mut upload = UploadBatch::new(task);
    upload.push(ReportId::new([1; 16]), Time(1), b"report").unwrap();
    store.accept_reports(Timestamp(0), &[upload]).unwrap();
    let cut = "UPDATE segments SET body = substr(body, 1, 10)";
    lock(&store.writer).execute(cut, []).unwrap();
    let policy = LeasePolicy {
        lease_for: Duration::ZERO,
        max_reports: 1,
        max_bytes: 1,
        linger: Duration::ZERO,
        limit: 1,
        new_first: false,
        quotas: Vec::new(),
    };
    let error = store.lease_jobs(Timestamp(0), &policy).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }));
    assert_eq!(store.counts(&task).unwrap().in_flight_jobs, 0);
}

#[test]
fn half_a_batch_is_never_closed() {
    let (store, task) = with_task();
    let shard = |time| BucketShard {
        key: BucketKey::time(Time(time)),
        share: vec![7].into(),
        reports: 1,
        checksum: [0; 32],
        first: Time(time),
        last: Time(time),
    };
    let job = HelperJob {
        task: &task,
        id: &AggregationJobId::new([1; 16]),
        request_digest: &[0; 32],
        reports: &[],
        shards: &[shard(1), shard(2)],
        response: b"",
        lost: &[],
    };
    assert!(matches!(store.commit_helper_job(Timestamp(0), &job), Ok(HelperOutcome::Committed(_))));
    let cut = "UPDATE shards SET checksum = x'00' WHERE key = 2";
    lock(&store.writer).execute(cut, []).unwrap();
    let interval = Interval::new(Time(1), 2).unwrap();
    let closing = Closing {
        task: &task,
        id: AggregateShareId::new([1; 16]).into(),
        request: b"",
        range: &BucketRange::interval(&interval),
        then: Then::Finish,
    };
    let mut seen = 0;
    let closed = store.close_batch(Timestamp(0), &closing, &mut |shards| {
        seen = shards.count();
        Some(Blob::default().into())
    });
    assert!(matches!(closed, Err(StoreError::Corrupt { .. })), "{closed:?}");
    let counts = store.counts(&task).unwrap();
    assert_eq!((seen, counts.buckets, counts.collected_batches), (1, 2, 0));
}

#[test]
fn what_was_acknowledged_is_in_the_files_before_any_shutdown() {
    let (scratch, after_kill) = (Scratch::new(), Scratch::new());
    let store = scratch.open();
    let id = TaskId::new([1; 32]);
    let mode = BatchingMode::TimeInterval;
    let task = TaskRecord { id, mode, public: vec![].into(), sealed: vec![].into() };
    store.put_task(&task).unwrap();
    let mut upload = UploadBatch::new(id);
    upload.push(ReportId::new([1; 16]), Time(1), b"report").unwrap();
    assert!(store.accept_reports(Timestamp(0), &[upload]).unwrap()[0][0].is_ok());
    // Killed here: what the next process finds is the files as they are now.
    for file in fs::read_dir(&scratch.0).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), after_kill.0.join(file.file_name())).unwrap();
    }
    assert_eq!(after_kill.open().counts(&id).unwrap().waiting_reports, 1);
}

/// Version 2 kept report IDs apart by spans of 64 times.
#[test]
fn a_database_of_version_2_loses_no_report_and_no_id() {
    let scratch = Scratch::new();
    let old = Connection::open(scratch.file()).unwrap();
    schema::MIGRATIONS[..2].iter().for_each(|migration| old.execute_batch(migration).unwrap());
    old.pragma_update(None, "application_id", 0x736f_7474).unwrap();
    old.pragma_update(None, "user_version", 2).unwrap();
    let id = TaskId::new([1; 32]);
    let run = |bytes: &[u8]| bytes.iter().flat_map(|byte| [*byte; 16]).collect::<Vec<u8>>();
    let segment = [&9_u64.to_be_bytes()[..], &6_u32.to_be_bytes(), b"report"].concat();
    old.execute_batch("INSERT INTO party VALUES (0, 'leader')").unwrap();
    old.execute("INSERT INTO tasks VALUES (1, ?1, NULL, 0, 0, x'', x'')", [id.as_bytes()]).unwrap();
    let fresh = "INSERT INTO fresh_ids (task, side, span, ids) VALUES (1, 0, ?1, ?2)";
    old.execute(fresh, (0, run(&[1, 2]))).unwrap();
    old.execute(fresh, (7, run(&[3]))).unwrap();
    let parted = "INSERT INTO parted_ids VALUES (1, 0, 7, ?1, 1, ?2)";
    old.execute(parted, (4, run(&[4]))).unwrap();
    old.execute(parted, (255, run(&[]))).unwrap();
    old.execute(
        "INSERT INTO segments VALUES (41, 1, NULL, 0, 0, 0, 1, ?2, ?1, ?1, ?3)",
        (9_u64.to_be_bytes(), 18, &segment),
    )
    .unwrap();
    old.execute("DELETE FROM segments WHERE key = 99", []).unwrap();
    old.execute("UPDATE sqlite_sequence SET seq = 98 WHERE name = 'segments'", []).unwrap();
    drop(old);

    let store = SqliteStore::open(scratch.file(), "leader").unwrap();
    let mut upload = UploadBatch::new(id);
    for (byte, time) in [(1, 500), (2, 5), (3, 5), (4, 5), (5, 5)] {
        upload.push(ReportId::new([byte; 16]), Time(time), b"report").unwrap();
    }
    let rulings = store.accept_reports(Timestamp(0), &[upload]).unwrap().remove(0);
    let accepted: Vec<_> = rulings.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [false, false, false, false, true]);
    assert_eq!(store.counts(&id).unwrap().waiting_reports, 2);
    let keys =
        lock(&store.writer).query_row("SELECT min(key), max(key) FROM segments", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        });
    assert_eq!(keys, Ok((41, 99)), "a key came again");
    let expiry = Expiry { reports: vec![(id, Time(64))], ..Expiry::default() };
    assert_eq!(store.forget(&expiry).unwrap().reports, 3);
}

#[test]
fn a_batch_of_which_nothing_is_left_leaves_no_row() {
    let scratch = Scratch::new();
    let store = scratch.open_store();
    let id = TaskId::new([1; 32]);
    let mode = BatchingMode::LeaderSelected { target: 3 };
    let [public, sealed] = [b"public", b"sealed"].map(|b| Blob::from(&b[..]));
    store.put_task(&TaskRecord { id, mode, public, sealed }).unwrap();
    let mut upload = UploadBatch::new(id);
    for byte in 0..50 {
        upload.push(ReportId::new([byte; 16]), Time(u64::from(byte)), b"x").unwrap();
    }
    store.accept_reports(Timestamp(1), &[upload]).unwrap();
    let policy = LeasePolicy {
        lease_for: Duration::from_secs(1),
        max_reports: 9,
        max_bytes: 99,
        linger: Duration::ZERO,
        limit: 100,
        new_first: false,
        quotas: Vec::new(),
    };
    let jobs = store.lease_jobs(Timestamp(1), &policy).unwrap();
    let rows = || {
        let sql = "SELECT count(*) FROM batches";
        lock(&store.writer).query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((jobs.len(), rows()), (50, 50));
    for (at, job) in jobs.iter().enumerate() {
        let commit =
            LeaderCommit { job: job.job, lease: job.lease, shards: &[], again: None, lost: &[] };
        match at % 3 {
            0 => store.commit_leader_job(&commit).unwrap(),
            1 => store.abandon_job(job.job, job.lease).unwrap(),
            _ => {}
        }
    }
    assert_eq!(rows(), 16);
}
