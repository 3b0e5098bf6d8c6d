//! Copies of a database that somebody writes to, reads, locks or damages.

use super::*;
use crate::store::{
    BatchingMode, Datastore, TaskRecord, Timestamp, UploadBatch, sqlite::SqliteStore,
};
use sottovoce_dap::{
    ids::{ReportId, TaskId},
    time::Time,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

struct Stage {
    folder: tempfile::TempDir,
    store: SqliteStore,
    next: AtomicU64,
}

const TASK: TaskId = TaskId::new([1; 32]);

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("db"), "leader").unwrap();
        let mode = BatchingMode::TimeInterval;
        let task = TaskRecord { id: TASK, mode, public: vec![].into(), sealed: vec![].into() };
        store.put_task(&task).unwrap();
        Self { folder, store, next: AtomicU64::new(0) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Uploads two reports in one transaction.
    fn upload(&self) {
        let mut upload = UploadBatch::new(TASK);
        for number in [0, 1].map(|one| self.next.load(Relaxed) + one) {
            upload.push(report_id(number), Time(1), &[7; 500]).unwrap();
        }
        self.next.fetch_add(2, Relaxed);
        let rulings = self.store.accept_reports(Timestamp(0), &[upload]).unwrap();
        assert!(rulings[0].iter().all(Result::is_ok), "{rulings:?}");
    }

    fn back_up(&self, to: &str) -> Result<u64, BackupError> {
        backup(&self.file("db"), "leader", &self.file(to), |_| {})
    }

    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with("db")).collect()
    }
}

fn report_id(number: u64) -> ReportId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    ReportId::new(id)
}

#[test]
fn a_copy_under_load_ends_is_of_one_moment_and_serves() {
    let stage = Stage::new();
    (0..500).for_each(|_| stage.upload());
    let before = stage.next.load(Relaxed);
    thread::scope(|scope| {
        let (stop, stopped) = channel::<()>();
        let stage = &stage;
        // As busy as one writer can be, from before the copy until after it.
        scope.spawn(move || {
            while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                stage.upload();
            }
        });
        stage.back_up("copy").unwrap();
        drop(stop);
    });
    let after = stage.next.load(Relaxed);
    let copy = SqliteStore::open(stage.file("copy"), "leader").unwrap();
    let has = copy.counts(&TASK).unwrap().waiting_reports;
    assert!((before..=after).contains(&has), "{before} ≤ {has} ≤ {after}");
    assert!(has.is_multiple_of(2), "half an upload is in it");
    // It knows the IDs of just these: a report again is refused, the one after is taken.
    let mut upload = UploadBatch::new(TASK);
    for number in [0, has - 1, has] {
        upload.push(report_id(number), Time(1), &[7; 500]).unwrap();
    }
    let rulings = copy.accept_reports(Timestamp(0), &[upload]).unwrap().remove(0);
    let accepted: Vec<_> = rulings.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [false, false, true]);
    // The copy goes on as a database of ours does: free pages can be given back.
    copy.give_back().unwrap();
}

#[test]
fn what_is_newest_is_in_it_though_the_file_alone_lacks_it() {
    let stage = Stage::new();
    stage.upload();
    stage.back_up("copy").unwrap();
    let copy = SqliteStore::open(stage.file("copy"), "leader").unwrap();
    assert_eq!(copy.counts(&TASK).unwrap().waiting_reports, 2);
}

#[test]
fn a_writer_in_the_middle_of_a_transaction_does_not_hold_it_up() {
    let stage = Stage::new();
    stage.upload();
    let writer = Connection::open(stage.file("db")).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM segments").unwrap();
    stage.back_up("copy").unwrap();
    let copy = SqliteStore::open(stage.file("copy"), "leader").unwrap();
    assert_eq!(copy.counts(&TASK).unwrap().waiting_reports, 2);
}

#[test]
fn nothing_is_written_over_and_nothing_is_left_of_what_failed() {
    let stage = Stage::new();
    fs::write(stage.file("copy"), b"precious").unwrap();
    let error = stage.back_up("copy").unwrap_err();
    assert!(matches!(error, BackupError::Taken { .. }), "{error}");
    assert_eq!(fs::read(stage.file("copy")).unwrap(), b"precious");
    let error = stage.back_up("nowhere/copy").unwrap_err();
    assert!(matches!(error, BackupError::File { .. }), "{error}");
    assert_eq!(stage.left(), ["copy"]);
}

#[test]
fn a_copy_is_refused_of_what_is_not_our_database() {
    let stage = Stage::new();
    let to = stage.file("copy");
    let helper = backup(&stage.file("db"), "helper", &to, |_| {}).unwrap_err().to_string();
    assert!(helper.contains("of the leader, and this is the helper"), "{helper}");
    let missing = backup(&stage.file("dbb"), "leader", &to, |_| {}).unwrap_err();
    assert!(matches!(missing, BackupError::Missing { .. }), "{missing}");
    assert!(!stage.file("dbb").exists());
    fs::write(stage.file("dbc"), [b'x'; 5000]).unwrap();
    let garbage = backup(&stage.file("dbc"), "leader", &to, |_| {}).unwrap_err().to_string();
    assert!(garbage.contains("is not an SQLite database"), "{garbage}");
    fs::write(stage.file("dbd"), b"").unwrap();
    let empty = backup(&stage.file("dbd"), "leader", &to, |_| {}).unwrap_err();
    assert!(matches!(empty, BackupError::Missing { .. }), "{empty}");
    assert!(stage.left().is_empty());
}

#[test]
fn a_damaged_database_gives_no_copy() {
    let stage = Stage::new();
    (0..500).for_each(|_| stage.upload());
    let Stage { folder, store, .. } = stage;
    drop(store);
    let path = folder.path().join("db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 3 * 4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let error = backup(&path, "leader", &folder.path().join("copy"), |_| {}).unwrap_err();
    assert!(matches!(error, BackupError::Copy { .. } | BackupError::Damaged { .. }), "{error}");
    assert!(!folder.path().join("copy").exists());
}

#[test]
fn what_was_deleted_is_not_in_it() {
    let stage = Stage::new();
    let writer = Connection::open(stage.file("db")).unwrap();
    let secret = "a share of somebody's";
    writer.pragma_update(None, "secure_delete", false).unwrap();
    writer.execute_batch("CREATE TABLE gone (x)").unwrap();
    for _ in 0..1000 {
        writer.execute("INSERT INTO gone VALUES (?1)", [secret]).unwrap();
    }
    writer.execute_batch("DROP TABLE gone; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let has = |name: &str| {
        let bytes = fs::read(stage.file(name)).unwrap();
        bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
    };
    assert!(has("db"), "or the test shows nothing");
    stage.back_up("copy").unwrap();
    assert!(!has("copy"));
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_it_and_links_are_not_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let stage = Stage::new();
    symlink(stage.file("theirs"), stage.file("link")).unwrap();
    let error = stage.back_up("link").unwrap_err();
    assert!(matches!(error, BackupError::Taken { .. }), "{error}");
    assert!(!stage.file("theirs").exists());
    let bytes = stage.back_up("copy").unwrap();
    let metadata = fs::metadata(stage.file("copy")).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, bytes));
}
