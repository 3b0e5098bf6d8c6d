//! Connections that break, transactions that lose, rows that are damaged.

use super::*;
use crate::store::{BucketKey, BucketRange, BucketShard, Then};
use sottovoce_dap::{ids::AggregateShareId, time::Interval};

fn is_unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable { .. }))
}

#[test]
fn acknowledged_means_synced_whatever_the_database_is_set_to() {
    let Some(database) = Database::to_spoil() else { return };
    let name = &database.name;
    database.tell(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    database
        .tell(&format!("ALTER DATABASE {name} SET default_transaction_isolation = serializable"));
    let store = database.store();
    let settings = store.write(|tx| {
        let row = tx.row(
            "SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation')",
            &[],
        )?;
        Ok(row.map(|row| (row.get::<_, String>(0), row.get::<_, String>(1))))
    });
    assert_eq!(settings, Ok(Some(("on".to_owned(), "read committed".to_owned()))));
}

#[test]
fn a_verb_that_loses_is_run_again_as_a_whole() {
    let Some(database) = Database::to_spoil() else { return };
    let (store, task) = with_task(&database);
    // Sequences keep their count although a transaction is undone.
    database.tell(
        "CREATE SEQUENCE sottovoce.losses;
         CREATE FUNCTION sottovoce.lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('sottovoce.losses') <= 3 THEN
                 RAISE EXCEPTION 'lost' USING ERRCODE = TG_ARGV[0];
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER lose BEFORE INSERT ON sottovoce.segments
             FOR EACH ROW EXECUTE FUNCTION sottovoce.lose('40001')",
    );
    let accepted = store.accept_reports(NOW, &[upload(task, &[(1, 1), (2, 1)])]).unwrap();
    assert!(accepted[0].iter().all(Result::is_ok), "{accepted:?}");
    assert_eq!(store.counts(&task).unwrap().waiting_reports, 2);
    // For good, it gives up.
    database.tell("ALTER SEQUENCE sottovoce.losses MINVALUE -1000 RESTART WITH -1000");
    let given_up = store.accept_reports(NOW, &[upload(task, &[(3, 1)])]);
    assert!(is_unavailable(&given_up), "{given_up:?}");
    // Any other failure is not tried again.
    database.tell(
        "ALTER SEQUENCE sottovoce.losses RESTART WITH 1;
         DROP TRIGGER lose ON sottovoce.segments;
         CREATE TRIGGER lose BEFORE INSERT ON sottovoce.segments
             FOR EACH ROW EXECUTE FUNCTION sottovoce.lose('53100')",
    );
    for _ in 0..3 {
        assert!(is_unavailable(&store.accept_reports(NOW, &[upload(task, &[(3, 1)])])));
    }
    assert!(store.accept_reports(NOW, &[upload(task, &[(3, 1)])]).unwrap()[0][0].is_ok());
}

#[test]
fn what_is_not_known_to_have_happened_is_not_done_again() {
    let Some(database) = Database::to_spoil() else { return };
    let (store, task) = with_task(&database);
    // The connection is lost in the middle of the commit.
    database.tell(
        "CREATE SEQUENCE sottovoce.commits;
         CREATE FUNCTION sottovoce.cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('sottovoce.commits') <= 1 THEN
                 PERFORM pg_terminate_backend(pg_backend_pid());
             END IF;
             RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON sottovoce.segments
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sottovoce.cut()",
    );
    let reports = [upload(task, &[(1, 1)])];
    assert!(is_unavailable(&store.accept_reports(NOW, &reports)));
    assert!(store.accept_reports(NOW, &reports).unwrap()[0][0].is_ok());
}

#[test]
fn connections_that_died_while_idle_are_replaced_without_a_word() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
    let cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for number in 0..2 {
        database.tell(cut);
        assert!(store.accept_reports(NOW, &[upload(task, &[(number, 1)])]).unwrap()[0][0].is_ok());
        database.tell(cut);
        assert_eq!(store.counts(&task).unwrap().waiting_reports, number + 1);
    }
}

#[test]
fn connections_are_bounded_and_a_panic_leaves_none_behind() {
    let Some(database) = Database::new() else { return };
    let store = PostgresStore::open(&database.url, "leader", 2).unwrap();
    let task = put(&store, 1, BatchingMode::TimeInterval);
    let range = BucketRange::interval(&Interval::new(Time(1), 1).unwrap());
    let id = AggregateShareId::new([1; 16]).into();
    let closing = Closing { task: &task, id, request: b"", range: &range, then: Then::AwaitPeer };
    for _ in 0..3 {
        let panics = std::panic::AssertUnwindSafe(|| {
            store.close_batch(NOW, &closing, &mut |_| std::panic::resume_unwind(Box::new(())))
        });
        assert!(std::panic::catch_unwind(panics).is_err());
    }
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (store, task) = (&store, task);
            scope.spawn(move || {
                store.accept_reports(NOW, &[upload(task, &[(number, 1)])]).unwrap();
            });
        }
    });
    let ours = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'sottovoce-leader'";
    let open: i64 = database.client().query_one(ours, &[]).unwrap().get(0);
    assert!((1..=2).contains(&open), "{open} connections");
    assert_eq!(store.counts(&task).unwrap().waiting_reports, 8);
}

#[test]
fn a_killed_server_makes_verbs_unavailable_until_it_runs_again() {
    // What was written stays with the operating system, which is not killed.
    let server = TemporaryPostgres::start_with(&[("fsync", "off")]).unwrap();
    let Some(mut server) = present(server) else { return };
    let url = server.create_database("killed").unwrap();
    PostgresStore::migrate(&url, "leader").unwrap();
    let store = PostgresStore::open(&url, "leader", 2).unwrap();
    let task = put(&store, 1, BatchingMode::TimeInterval);
    for number in 0..2 {
        let reports = [upload(task, &[(number, 1)])];
        let pid = server.pid();
        server.kill().unwrap();
        assert!(is_unavailable(&store.accept_reports(NOW, &reports)));
        assert!(is_unavailable(&store.counts(&task)));
        server.start_again().unwrap();
        assert_ne!(server.pid(), pid);
        assert!(store.accept_reports(NOW, &reports).unwrap()[0][0].is_ok());
    }
    assert_eq!(store.counts(&task).unwrap().waiting_reports, 2);
    drop(PostgresStore::open(&server.socket_url("killed"), "leader", 1).unwrap());
    drop(server);
    assert!(is_unavailable(&store.counts(&task)));
}

#[test]
fn a_thread_that_runs_asynchronous_tasks_may_call_the_store() {
    let Some(database) = Database::new() else { return };
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    many.block_on(async {
        let (store, task) = with_task(&database);
        let task = tokio::spawn(async move { store.counts(&task).map(drop) });
        assert_eq!(task.await.unwrap(), Ok(()));
    });
    let single = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = Arc::new(database.store());
    single.block_on(async {
        let ours = Arc::clone(&store);
        let tasks = tokio::task::spawn_blocking(move || ours.tasks()).await.unwrap().unwrap();
        assert_eq!(tasks.len(), 1);
        drop(store);
    });
}

#[test]
fn a_damaged_segment_is_reported_and_not_leased() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
    store.accept_reports(NOW, &[upload(task, &[(1, 1)])]).unwrap();
    database.tell("UPDATE sottovoce.segments SET body = substr(body, 1, 10)");
    let policy = LeasePolicy {
        lease_for: Duration::ZERO,
        max_reports: 1,
        max_bytes: 1,
        linger: Duration::ZERO,
        limit: 1,
        new_first: false,
        quotas: Vec::new(),
    };
    let error = store.lease_jobs(NOW, &policy).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }));
    assert_eq!(store.counts(&task).unwrap().in_flight_jobs, 0);
}

#[test]
fn half_a_batch_is_never_closed() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
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
    assert!(matches!(store.commit_helper_job(NOW, &job), Ok(HelperOutcome::Committed(_))));
    database.tell("UPDATE sottovoce.shards SET checksum = '\\x00' WHERE key = 2");
    let interval = Interval::new(Time(1), 2).unwrap();
    let closing = Closing {
        task: &task,
        id: AggregateShareId::new([1; 16]).into(),
        request: b"",
        range: &BucketRange::interval(&interval),
        then: Then::Finish,
    };
    let mut seen = 0;
    let closed = store.close_batch(NOW, &closing, &mut |shards| {
        seen = shards.count();
        Some(Blob::default().into())
    });
    assert!(matches!(closed, Err(StoreError::Corrupt { .. })), "{closed:?}");
    let counts = store.counts(&task).unwrap();
    assert_eq!((seen, counts.buckets, counts.collected_batches), (1, 2, 0));
}
