//! Databases that hold anything where aggregators read what they wrote.

use crate::{
    helper::Input,
    stage::{FIRST, STAGE, WINDOW, WINDOWS},
};
use rusqlite::{Connection, types::Value};
use sottovoce_aggregator::{
    config::limits::{HpkeKeys, Limits},
    keyring::Keyring,
    log::PublicLog,
    metrics::Metrics,
    serve::admission::Admission,
    store::{
        BucketKey, Closing, Datastore, Expiry, KeyUse, LeasePolicy, Then, Timestamp,
        sqlite::SqliteStore,
    },
    task::{HelperTask, LeaderTask},
    tasks::Tasks,
};
use sottovoce_dap::{
    codec::{Decode, Encode, Opaque},
    collect::{AggregateShareReq, BatchSelector, CollectionJobReq, Query},
    extension::UncheckedExtensions,
    ids::CollectionJobId,
    role::Role,
    time::{Interval, Time},
    upload::UploadRequest,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

/// Which database, which column of which table, which row, how it is changed, and by what.
pub fn database(data: &[u8]) {
    let mut input = Input(data);
    let path = PLACE.join("changed");
    let role = if input.byte().unwrap_or_default() % 2 == 0 { Role::Helper } else { Role::Leader };
    write(&path, if role == Role::Helper { &TEMPLATES.helper } else { &TEMPLATES.leader });
    for _ in 0..3 {
        if change(&path, &mut input).is_none() {
            break;
        }
    }
    // A server that does not start says why.
    let Ok(store) = SqliteStore::open(&path, "p") else { return };
    let store: Arc<dyn Datastore> = Arc::new(store);
    look(&store, role);
    work(&store, role);
}

/// A folder of this process.
static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    sweep(&base);
    let folder = base.join(format!("{FOLDER}{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
});

const FOLDER: &str = "sottovoce-fuzz-";

/// Removes what processes have left behind that are no more: a fuzzer has no end at which it could.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Databases in which everything has happened once.
struct Templates {
    helper: Vec<u8>,
    leader: Vec<u8>,
}

static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| Templates {
    helper: template(Role::Helper, "helper"),
    leader: template(Role::Leader, "leader"),
});

fn template(role: Role, name: &str) -> Vec<u8> {
    let path = PLACE.join(name);
    {
        let store = SqliteStore::open(&path, "p").expect("a database");
        let store: Arc<dyn Datastore> = Arc::new(store);
        STAGE.begin(store.as_ref(), role);
        work(&store, role);
    }
    let connection = Connection::open(&path).expect("a database");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("its log is copied back");
    drop(connection);
    fs::read(&path).expect("a database")
}

fn write(path: &PathBuf, database: &[u8]) {
    for beside in ["changed-wal", "changed-shm"] {
        let _ = fs::remove_file(PLACE.join(beside));
    }
    fs::write(path, database).expect("there is room");
}

/// Changes one value, or the same one of all rows; `None` at the end of the input.
fn change(path: &PathBuf, input: &mut Input<'_>) -> Option<()> {
    let (place, row, how) = (input.byte()?, input.byte()?, input.byte()?);
    let bytes = input.bytes(255)?;
    let connection = Connection::open(path).ok()?;
    let columns = COLUMNS.get_or_init(|| columns(&connection));
    let (table, column) = &columns[usize::from(place) % columns.len()];
    let old = connection.query_row(
        &format!("SELECT {column} FROM {table} LIMIT 1 OFFSET {}", row % 4),
        [],
        |row| row.get::<_, Value>(0),
    );
    let Ok(old) = old else { return Some(()) };
    let new = changed(&old, how, bytes);
    let _ = connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF");
    let update = format!("UPDATE OR IGNORE {table} SET {column} = ?1 WHERE {column} = ?2 OR ?3");
    let _ = connection.execute(&update, (new, old, how & 8 != 0));
    Some(())
}

static COLUMNS: std::sync::OnceLock<Vec<(String, String)>> = std::sync::OnceLock::new();

fn columns(connection: &Connection) -> Vec<(String, String)> {
    let mut all = connection
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c \
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' ORDER BY t.name, c.cid",
        )
        .expect("a schema");
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("a schema");
    rows.collect::<Result<_, _>>().expect("names")
}

/// Another value of the same kind, or what is not its kind.
fn changed(old: &Value, how: u8, bytes: &[u8]) -> Value {
    let number = || {
        let mut number = [0; 8];
        number[8 - bytes.len().min(8)..].copy_from_slice(&bytes[..bytes.len().min(8)]);
        i64::from_be_bytes(number)
    };
    match (how % 4, old) {
        (0, _) => Value::Null,
        (1, Value::Integer(old)) => Value::Integer(old.wrapping_add(number())),
        (2, Value::Integer(_)) => {
            let ends = [i64::MIN, -1, 0, 1, 255, 256, i64::from(u32::MAX), i64::MAX];
            Value::Integer(ends[usize::from(bytes.first().copied().unwrap_or(7)) % ends.len()])
        }
        (_, Value::Integer(_)) => Value::Integer(number()),
        (1, Value::Blob(old)) => {
            let mut changed = old.clone();
            for change in bytes.chunks_exact(3) {
                let at = usize::from(u16::from_be_bytes([change[0], change[1]]));
                if let Some(byte) = changed.get_mut(at % old.len().max(1)) {
                    *byte ^= change[2];
                }
            }
            Value::Blob(changed)
        }
        (2, Value::Blob(old)) => {
            let cut = bytes.first().copied().map_or(0, usize::from).min(old.len());
            Value::Blob(old[..old.len() - cut].to_vec())
        }
        (_, Value::Blob(_)) => Value::Blob(bytes.to_vec()),
        _ => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
    }
}

const NOW: Timestamp = Timestamp((FIRST + WINDOWS + 24) * WINDOW * 1000);

/// What operators and servers look at. Each answers or says what is damaged.
fn look(store: &Arc<dyn Datastore>, role: Role) {
    let id = STAGE.helper_task.task.id;
    let _ = (store.tasks(), store.task(&id), store.counts(&id), store.batches(&id));
    let _ = (store.keys(KeyUse::Hpke), store.keys(KeyUse::Log), store.collections(&id));
    let _ = (store.report_ids(&id, None, 1000), store.report_ids(&id, Some(Time(FIRST)), 1000));
    let _ = store.holding(&id, &BucketKey::time(Time(FIRST)));
    if role == Role::Helper {
        let _ = Tasks::<HelperTask>::new(Arc::clone(store), STAGE.keys.clone()).all();
    } else {
        let _ = Tasks::<LeaderTask>::new(Arc::clone(store), STAGE.keys.clone()).all();
    }
    let _ = Metrics::new().look(store.as_ref(), NOW);
    let log = PublicLog::new(Arc::clone(store), STAGE.keys.clone());
    let _ = (log.head(), log.checkpoint(), log.keys(), log.publish(), log.consistency(1, 2));
    for name in ["tile/entries/000.p/1", "tile/entries/000.p/3", "tile/0/000.p/3", "tile/0/000"] {
        let _ = log.file(&name.parse().expect("a name"));
    }
    if let Ok(keyring) = Keyring::load(store.as_ref(), &STAGE.keys, NOW) {
        let schedule = HpkeKeys::default();
        let _ = keyring.rotate(store.as_ref(), &STAGE.keys, &schedule, NOW, Some(NOW));
    }
}

/// What servers do with it. Each does it, refuses, or says what is damaged.
fn work(store: &Arc<dyn Datastore>, role: Role) {
    let Ok(Some(_)) = store.task(&STAGE.helper_task.task.id) else { return };
    let Ok(keyring) = Keyring::load(store.as_ref(), &STAGE.keys, Timestamp(1)) else { return };
    drop(keyring);
    if role == Role::Helper {
        help(store)
    } else {
        lead(store)
    }
    let expiry = Expiry {
        reports: vec![(STAGE.helper_task.task.id, Time(FIRST - 1))],
        responses: Timestamp(1),
    };
    let _ = (store.compact(), store.forget(&expiry), store.give_back(), store.ping());
    let _ = PublicLog::new(Arc::clone(store), STAGE.keys.clone()).cover(());
}

fn help(store: &Arc<dyn Datastore>) {
    let helper = STAGE.helper(store);
    let task = &STAGE.helper_task;
    for numbers in [&[0, 4, 1, 5, 2, 6][..], &[8, 12, 3, 7]] {
        if let Ok((job, _)) = helper.aggregate(task, &STAGE.job(numbers), NOW) {
            let _ = helper.aggregated(task, job);
        }
    }
    for (start, numbers) in [(0, &[0, 4, 8][..]), (3, &[])] {
        let body = share_request(start, numbers);
        if let Ok((share, _)) = helper.release(task, &body, NOW) {
            let _ = helper.released(task, share);
        }
    }
}

fn share_request(start: u64, numbers: &[u8]) -> Vec<u8> {
    let mut checksum = sottovoce_dap::aggregate::Checksum::new([0; 32]);
    for number in numbers {
        checksum.add(&STAGE.reports[usize::from(*number)].report_metadata.report_id);
    }
    let interval = Interval::new(Time(FIRST + start), 1).expect("an interval");
    AggregateShareReq {
        collection_job_req: collection(start),
        batch_selector: BatchSelector::TimeInterval(interval.into()),
        report_count: numbers.len() as u64,
        checksum,
    }
    .to_bytes()
}

fn collection(start: u64) -> CollectionJobReq {
    let interval = Interval::new(Time(FIRST + start), 1).expect("an interval");
    CollectionJobReq {
        query: Query::TimeInterval(interval.into()),
        agg_param: Opaque::default(),
        extensions: UncheckedExtensions::default(),
    }
}

fn lead(store: &Arc<dyn Datastore>) {
    let leader = STAGE.leader(store);
    let task = &STAGE.leader_task;
    let memory = || Admission::new(&Limits::default()).memory(None, 1).expect("there is room");
    for numbers in [&[0, 4, 1, 5, 2, 6][..], &[8, 12, 3, 7]] {
        let request = UploadRequest::from_bytes(&STAGE.upload(numbers)).expect("an upload");
        let _ = STAGE.runtime.block_on(leader.upload(task, request, memory(), NOW));
    }
    for start in 0..3 {
        if let Ok((job, _)) = leader.collect(task, &collection(start).to_bytes(), NOW) {
            let _ = leader.collected(task, job);
        }
    }
    jobs(store);
    for pending in store.pending_collections(NOW, NOW, 8).unwrap_or_default() {
        close(store, &pending);
    }
    let _ = leader.forget_collection(task, CollectionJobId::new([1; 16]));
    let _ = (store.next_batch(&task.task.id), store.retry_stuck(&task.task.id));
}

fn jobs(store: &Arc<dyn Datastore>) {
    let policy = LeasePolicy {
        lease_for: Duration::from_secs(9),
        max_reports: 4,
        max_bytes: 1 << 20,
        linger: Duration::ZERO,
        limit: 4,
        new_first: true,
        quotas: Vec::new(),
    };
    // By the system's clock, at which reports arrived; later each time.
    let leased = store.lease_jobs(Timestamp(u64::MAX / 4), &policy).unwrap_or_default();
    for (number, job) in leased.into_iter().enumerate() {
        let reports = job.reports().count();
        assert_eq!(reports, job.segments.iter().map(|segment| segment.len()).sum::<usize>());
        match number {
            0 => drop(store.split_job(job.job, job.lease)),
            1 => drop(store.abandon_job(job.job, job.lease)),
            _ => drop(store.release_job(job.job, job.lease, NOW)),
        }
    }
}

fn close(store: &Arc<dyn Datastore>, pending: &sottovoce_aggregator::store::PendingCollection) {
    let interval = Interval::new(Time(FIRST), 1).expect("an interval");
    let range = sottovoce_aggregator::store::BucketRange::interval(&interval);
    let closing = Closing {
        task: &pending.task,
        id: pending.id,
        request: &pending.request,
        range: &range,
        then: Then::AwaitPeer,
    };
    let task = &STAGE.leader_task.task;
    let _ = store.close_batch(NOW, &closing, &mut |shards| {
        let _ = sottovoce_aggregator::collection::full_batch(task, shards);
        None
    });
}
