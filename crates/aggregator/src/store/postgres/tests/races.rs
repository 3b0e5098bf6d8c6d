//! Replicas over one database that get in each other's way: whatever happens, each report counts
//! once.

use super::*;
use crate::store::{BucketKey, BucketRange, BucketShard, Refusal, Then};
use sottovoce_dap::{ids::CollectionJobId, time::Interval};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::AtomicBool,
    thread,
    time::Instant,
};

/// The numbers of a job's reports.
fn numbers(job: &LeasedJob) -> Vec<u64> {
    job.reports().map(|(_, bytes)| u64::from_be_bytes(bytes.try_into().unwrap())).collect()
}

/// One shard for each time, its share the numbers themselves: what is counted twice shows.
fn shards(reports: &[(u64, u64)]) -> Vec<BucketShard> {
    let mut by_time = BTreeMap::<u64, Vec<u64>>::new();
    for (number, time) in reports {
        by_time.entry(*time).or_default().push(*number);
    }
    let shard = |(time, numbers): (u64, Vec<u64>)| BucketShard {
        key: BucketKey::time(Time(time)),
        reports: numbers.len() as u64,
        share: numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>().into(),
        checksum: [0; 32],
        first: Time(time),
        last: Time(time),
    };
    by_time.into_iter().map(shard).collect()
}

/// Closes the batch of a time with a blob of all its numbers.
fn close(store: &PostgresStore, task: &TaskId, time: u64, then: Then) -> Closed {
    let range = BucketRange::interval(&Interval::new(Time(time), 1).unwrap());
    let id = CollectionJobId::new(u128::from(time).to_le_bytes()).into();
    let request = time.to_be_bytes();
    if then == Then::AwaitPeer {
        let wanted = &crate::store::Wanted::Range(range.clone());
        let new = NewCollection { task, request: &request, wanted };
        store.start_collection(NOW, &new, &|_| id).unwrap();
    }
    let closing = Closing { task, id, request: &request, range: &range, then };
    let mut concatenate = |shards: &mut dyn Iterator<Item = BucketShard>| {
        let numbers = shards.flat_map(|shard| shard.share.to_vec());
        Some(Blob::from(numbers.collect::<Vec<_>>()).into())
    };
    store.close_batch(NOW, &closing, &mut concatenate).unwrap()
}

fn counted(blob: &Blob) -> impl Iterator<Item = u64> + '_ {
    blob.chunks(8).map(|number| u64::from_be_bytes(number.try_into().unwrap()))
}

#[test]
fn replicas_lease_each_report_once() {
    let Some(database) = Database::new() else { return };
    let stores = [database.store(), database.store()];
    let intervals = put(&stores[0], 1, BatchingMode::TimeInterval);
    let selected = put(&stores[0], 2, BatchingMode::LeaderSelected { target: 20 });
    for number in 0..60 {
        let task = if number % 2 == 0 { intervals } else { selected };
        stores[0].accept_reports(NOW, &[upload(task, &[(number, 1)])]).unwrap();
    }
    let jobs = thread::scope(|scope| {
        let workers = [0, 1, 0, 1].map(|store| {
            let store = &stores[store];
            scope.spawn(move || {
                let mut jobs = Vec::new();
                while store.counts(&intervals).unwrap().waiting_reports > 0
                    || store.counts(&selected).unwrap().waiting_reports > 0
                {
                    jobs.extend(lease(store, 2));
                }
                jobs
            })
        });
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let mut leased = jobs.iter().flat_map(numbers).collect::<Vec<_>>();
    leased.sort_unstable();
    assert_eq!(leased, (0..60).collect::<Vec<_>>());
    // Those who lease at once see each other's jobs: no batch gets more than it has room for.
    let mut batches = BTreeMap::<_, usize>::new();
    for job in &jobs {
        if let Some(batch) = job.batch {
            *batches.entry(batch).or_default() += numbers(job).len();
        }
    }
    assert_eq!(batches.len(), 2, "{batches:?}");
}

/// A commit that leaves a batch empty forgets it; a job that is put in it at the same time keeps it.
#[test]
fn a_batch_is_not_forgotten_while_a_job_is_put_in_it() {
    let Some(database) = Database::new() else { return };
    let stores = [database.store(), database.store()];
    let task = put(&stores[0], 1, BatchingMode::LeaderSelected { target: 1000 });
    for number in 0..160 {
        stores[0].accept_reports(NOW, &[upload(task, &[(number, 7)])]).unwrap();
    }
    thread::scope(|scope| {
        for store in [&stores[0], &stores[1], &stores[0], &stores[1]] {
            scope.spawn(move || {
                while store.counts(&task).unwrap().waiting_reports > 0 {
                    for job in lease(store, 1) {
                        let key = BucketKey::batch(&job.batch.unwrap());
                        let valid = numbers(&job)[0].is_multiple_of(8);
                        let shards = shards(&[(1, 7)]).into_iter().filter(|_| valid);
                        let shards: Vec<_> =
                            shards.map(|shard| BucketShard { key: key.clone(), ..shard }).collect();
                        let (job, lease) = (job.job, job.lease);
                        let commit =
                            LeaderCommit { job, lease, shards: &shards, again: None, lost: &[] };
                        store.commit_leader_job(&commit).unwrap();
                    }
                }
            });
        }
    });
    let lost = "SELECT count(*) FROM sottovoce.shards s WHERE NOT EXISTS (
                    SELECT 1 FROM sottovoce.batches b WHERE b.task = s.task AND b.id = s.bucket)";
    assert_eq!(database.client().query_one(lost, &[]).unwrap().get::<_, i64>(0), 0);
    assert!(stores[0].counts(&task).unwrap().verified_reports > 0);
}

#[test]
fn of_expired_jobs_each_goes_to_one_replica() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
    let reports = (0..40).map(|number| upload(task, &[(number, 1)]));
    for reports in reports {
        store.accept_reports(NOW, &[reports]).unwrap();
    }
    assert_eq!(lease(&store, 100).len(), 10);
    let later = NOW.after(Duration::from_secs(60));
    let policy = LeasePolicy {
        lease_for: Duration::from_secs(10),
        max_reports: 4,
        max_bytes: 1 << 20,
        linger: Duration::ZERO,
        limit: 3,
        new_first: false,
        quotas: Vec::new(),
    };
    let jobs = thread::scope(|scope| {
        let workers = [(); 4].map(|()| {
            scope.spawn(|| {
                let store = database.store();
                let mut jobs = Vec::new();
                loop {
                    let leased = store.lease_jobs(later, &policy).unwrap();
                    if leased.is_empty() {
                        return jobs;
                    }
                    jobs.extend(leased.into_iter().map(|job| (job.attempt, job.job.0)));
                }
            })
        });
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(jobs.iter().all(|(attempt, _)| *attempt == 2), "{jobs:?}");
    assert_eq!(jobs.len(), 10);
    assert_eq!(jobs.iter().collect::<BTreeSet<_>>().len(), 10);
}

#[test]
fn replicas_accept_a_report_once_in_whatever_order_it_comes() {
    let Some(database) = Database::new() else { return };
    let store = database.store();
    let tasks = [1, 2, 3].map(|byte| put(&store, byte, BatchingMode::TimeInterval));
    for round in 0..10 {
        let reports = (round * 100..round * 100 + 50).map(|number| (number, 1));
        let reports = reports.collect::<Vec<_>>();
        let accepted = AtomicUsize::new(0);
        thread::scope(|scope| {
            for replica in 0..4_usize {
                let (mut reports, mut tasks) = (reports.clone(), tasks);
                let (database, accepted) = (&database, &accepted);
                scope.spawn(move || {
                    // Each in an order of its own, or they would queue and never cross.
                    reports.rotate_left(replica * 13);
                    tasks.rotate_left(replica % 3);
                    if replica % 2 == 0 {
                        reports.reverse();
                    }
                    let uploads = tasks.map(|task| upload(task, &reports));
                    let rulings = database.store().accept_reports(NOW, &uploads).unwrap();
                    let fresh = rulings.iter().flatten().filter(|ruling| ruling.is_ok()).count();
                    accepted.fetch_add(fresh, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(accepted.into_inner(), 150);
    }
    for task in tasks {
        assert_eq!(store.counts(&task).unwrap().waiting_reports, 500);
    }
}

#[test]
fn of_replicas_that_commit_one_helper_job_one_does_and_the_others_find_it() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
    for round in 0..10_u64 {
        let reports = [(ReportId::new(u128::from(round).to_le_bytes()), Time(1))];
        // Also one without any report, which nothing but its own ID keeps apart.
        let reports = if round % 2 == 0 { &reports[..] } else { &[] };
        let commit = || {
            let job = HelperJob {
                task: &task,
                id: &AggregationJobId::new(u128::from(round).to_le_bytes()),
                request_digest: &[7; 32],
                reports,
                shards: &shards(&[(round, 1)]),
                response: b"response",
                lost: &[],
            };
            database.store().commit_helper_job(NOW, &job).unwrap()
        };
        let outcomes = thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(commit));
            threads.map(|thread| thread.join().unwrap())
        });
        let done = |o: &&HelperOutcome| matches!(o, HelperOutcome::AlreadyDone(_));
        assert_eq!(outcomes.iter().filter(done).count(), 3, "{outcomes:?}");
    }
    assert_eq!(store.counts(&task).unwrap().verified_reports, 10);
}

/// Waits until so many verbs wait for a lock.
fn wait_for_blocked(database: &Database, verbs: i64) {
    let sql = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
               WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
    let mut client = database.client();
    let until = Instant::now() + Duration::from_secs(20);
    while client.query_one(sql, &[]).unwrap().get::<_, i64>(0) < verbs {
        assert!(Instant::now() < until, "nobody waits");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_batch_is_closed_after_uploads_that_are_under_way() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
    thread::scope(|scope| {
        let mut closer = None;
        let uploaded = store.write(|tx| {
            let session = &mut store.known.session();
            super::super::upload::accept_reports(tx, session, NOW, &[upload(task, &[(1, 5)])])?;
            let database = &database;
            closer = Some(scope.spawn(move || close(&database.store(), &task, 5, Then::Finish)));
            wait_for_blocked(database, 1);
            Ok(())
        });
        assert_eq!(uploaded, Ok(()));
        assert_eq!(closer.unwrap().join().unwrap(), Closed::Busy);
    });
}

#[test]
fn a_task_whose_batch_is_being_closed_is_passed_over_and_holds_up_no_other() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
    let other = put(&store, 2, BatchingMode::TimeInterval);
    let replica = database.store();
    let mut leased = Vec::new();
    let closed = close_while(&store, &task, 5, &mut || {
        // Uploads go on meanwhile.
        let uploads = [upload(task, &[(1, 5)]), upload(other, &[(2, 5)])];
        replica.accept_reports(NOW, &uploads).unwrap();
        leased = lease(&replica, 10);
    });
    assert_eq!(leased.iter().map(|job| job.task).collect::<Vec<_>>(), [other]);
    assert_eq!(closed, Closed::Busy);
    assert_eq!(lease(&replica, 10).iter().map(numbers).collect::<Vec<_>>(), [[1]]);
}

#[test]
fn a_commit_waits_for_a_batch_that_is_being_closed_and_adds_nothing_to_it() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
    store.accept_reports(NOW, &[upload(task, &[(1, 1)])]).unwrap();
    let job = lease(&store, 1).remove(0);
    let shards = shards(&[(1, 1), (2, 5)]);
    let commit = || {
        let commit = LeaderCommit {
            job: job.job,
            lease: job.lease,
            shards: &shards,
            again: None,
            lost: &[],
        };
        database.store().commit_leader_job(&commit)
    };
    let (closed, committed) = thread::scope(|scope| {
        let mut committer = None;
        let closed = close_while(&store, &task, 5, &mut || {
            committer = Some(scope.spawn(commit));
            wait_for_blocked(&database, 1);
        });
        (closed, committer.unwrap().join().unwrap())
    });
    assert_eq!(closed, Closed::Kept(Blob::default()));
    assert_eq!(committed, Err(StoreError::Collected(vec![BucketKey::time(Time(5))])));
}

/// Closes the batch of a time; meanwhile something else happens.
fn close_while(
    store: &PostgresStore,
    task: &TaskId,
    time: u64,
    meanwhile: &mut dyn FnMut(),
) -> Closed {
    let range = BucketRange::interval(&Interval::new(Time(time), 1).unwrap());
    let id = CollectionJobId::new([1; 16]).into();
    let closing = Closing { task, id, request: b"", range: &range, then: Then::Finish };
    let mut decide = |_: &mut dyn Iterator<Item = BucketShard>| {
        meanwhile();
        Some(Blob::default().into())
    };
    store.close_batch(NOW, &closing, &mut decide).unwrap()
}

/// Or a helper whose leader never pauses could never close a batch.
#[test]
fn a_job_that_comes_after_a_batch_is_being_closed_waits_for_it() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
    let job = HelperJob {
        task: &task,
        id: &AggregationJobId::new([7; 16]),
        request_digest: &[0; 32],
        reports: &[(ReportId::new([7; 16]), Time(5))],
        shards: &shards(&[(7, 5)]),
        response: b"",
        lost: &[],
    };
    let (closed, late) = thread::scope(|scope| {
        let mut threads = None;
        let first = store.pool.transact(|tx| {
            let session = &mut store.known.session();
            let end = super::super::commit::insert_helper_job(tx, session, NOW, &job)?;
            let database = &database;
            let closer = scope.spawn(move || close(&database.store(), &task, 5, Then::Finish));
            wait_for_blocked(database, 1);
            let reports = vec![(99, 5), (98, 6)];
            let late =
                move || commit_without_conflicts(&database.store(), &task, 99, reports.clone());
            let late = scope.spawn(late);
            wait_for_blocked(database, 2);
            threads = Some((closer, late));
            Ok(end)
        });
        assert!(matches!(first, Ok((None, Some(_)))));
        let (closer, late) = threads.unwrap();
        (closer.join().unwrap(), late.join().unwrap())
    });
    let Closed::Kept(blob) = closed else { panic!("{closed:?}") };
    assert_eq!(counted(&blob).collect::<Vec<_>>(), [7]);
    assert_eq!(late, [98], "what came too late was committed");
}

/// Two replicas of a leader take in, aggregate and collect at once.
#[test]
fn a_leader_counts_each_report_once_or_says_that_it_was_dropped() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
    let stop = AtomicBool::new(false);
    let times = 0..6_u64;
    let (accepted, collected) = thread::scope(|scope| {
        let uploaders = [0, 1].map(|replica| {
            let (database, times) = (&database, times.clone());
            scope.spawn(move || {
                let store = database.store();
                let mut accepted = BTreeSet::new();
                for round in 0..40 {
                    let first = (round * 2 + replica) * 10;
                    let reports = (first..first + 10).map(|n| (n, n % times.end));
                    let reports = reports.collect::<Vec<_>>();
                    let rulings = store.accept_reports(NOW, &[upload(task, &reports)]).unwrap();
                    for ((number, _), ruling) in reports.iter().zip(&rulings[0]) {
                        match ruling {
                            Ok(_) => drop(accepted.insert(*number)),
                            Err(refusal) => assert_eq!(*refusal, Refusal::BatchCollected),
                        }
                    }
                }
                accepted
            })
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let store = database.store();
                while !stop.load(Ordering::Relaxed)
                    || store.counts(&task).unwrap().waiting_reports > 0
                {
                    aggregate(&store, 6);
                }
            });
        }
        let collector = scope.spawn(|| {
            let store = database.store();
            times
                .clone()
                .map(|time| {
                    loop {
                        match close(&store, &task, time, Then::AwaitPeer) {
                            Closed::Kept(blob) => break counted(&blob).collect::<Vec<_>>(),
                            Closed::Busy => thread::yield_now(),
                            other => panic!("{other:?}"),
                        }
                    }
                })
                .collect::<Vec<_>>()
        });
        let accepted = uploaders.map(thread::ScopedJoinHandle::join);
        let collected = collector.join();
        // Before anything panics here: the scope waits for those who go on until they are told.
        stop.store(true, Ordering::Relaxed);
        let accepted = accepted.into_iter().flat_map(Result::unwrap).collect::<BTreeSet<_>>();
        (accepted, collected.unwrap())
    });
    let mut seen = BTreeSet::new();
    for (time, numbers) in times.zip(&collected) {
        for number in numbers {
            assert_eq!(number % 6, time);
            assert!(accepted.contains(number), "{number} was never accepted");
            assert!(seen.insert(number), "{number} counted twice");
        }
        // Closed once and for all: the same numbers again.
        let Closed::Kept(again) = close(&store, &task, time, Then::AwaitPeer) else { panic!() };
        assert_eq!(&counted(&again).collect::<Vec<_>>(), numbers);
    }
    let counts = store.counts(&task).unwrap();
    assert_eq!((counts.waiting_reports, counts.in_flight_reports), (0, 0));
    assert_eq!(seen.len() as u64 + counts.dropped_reports, accepted.len() as u64);
}

/// Leases and commits what there is, each report in the bucket of its number.
fn aggregate(store: &PostgresStore, times: u64) {
    for job in lease(store, 3) {
        let reports = numbers(&job).iter().map(|n| (*n, n % times)).collect::<Vec<_>>();
        let shards = shards(&reports);
        let commit = LeaderCommit {
            job: job.job,
            lease: job.lease,
            shards: &shards,
            again: None,
            lost: &[],
        };
        store.commit_leader_job(&commit).unwrap();
    }
}

/// Two replicas of a helper commit jobs with common reports while their batches are closed.
#[test]
fn a_helper_counts_each_committed_report_once() {
    let Some(database) = Database::new() else { return };
    let (store, task) = with_task(&database);
    let next = AtomicUsize::new(0);
    let (committed, collected) = thread::scope(|scope| {
        let replicas = [0, 1, 2].map(|replica| {
            let (database, next) = (&database, &next);
            scope.spawn(move || {
                let store = database.store();
                let mut committed = Vec::new();
                for round in 0..60_u64 {
                    let id = next.fetch_add(1, Ordering::Relaxed) as u128;
                    let first = round * 5 + replica;
                    let all = (first..first + 8).map(|n| (n, n % 6)).collect::<Vec<_>>();
                    committed.extend(commit_without_conflicts(&store, &task, id, all));
                }
                committed
            })
        });
        let collector = scope.spawn(|| {
            let store = database.store();
            let mut collected = Vec::new();
            for time in 0..6 {
                // Not before the others are well under way.
                while next.load(Ordering::Relaxed) < 25 * usize::try_from(time).unwrap() {
                    thread::yield_now();
                }
                let Closed::Kept(blob) = close(&store, &task, time, Then::Finish) else { panic!() };
                collected.extend(counted(&blob));
            }
            collected
        });
        let committed = replicas.into_iter().flat_map(|thread| thread.join().unwrap());
        (committed.collect::<Vec<_>>(), collector.join().unwrap())
    });
    let once = |numbers: &[u64]| numbers.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(once(&committed).len(), committed.len(), "a report was committed twice");
    assert_eq!(once(&collected).len(), collected.len(), "a report was counted twice");
    assert_eq!(once(&committed), once(&collected));
    assert_eq!(store.counts(&task).unwrap().verified_reports, 0);
}

/// As the helper does: rejects what is in conflict and commits the rest.
fn commit_without_conflicts(
    store: &PostgresStore,
    task: &TaskId,
    id: u128,
    mut reports: Vec<(u64, u64)>,
) -> Vec<u64> {
    loop {
        let name = |number: u64| ReportId::new(u128::from(number).to_le_bytes());
        let named: Vec<_> = reports.iter().map(|(n, time)| (name(*n), Time(*time))).collect();
        let job = HelperJob {
            task,
            id: &AggregationJobId::new(id.to_le_bytes()),
            request_digest: &[0; 32],
            reports: &named,
            shards: &shards(&reports),
            response: b"",
            lost: &[],
        };
        match store.commit_helper_job(NOW, &job).unwrap() {
            HelperOutcome::Committed(_) => return reports.into_iter().map(|(n, _)| n).collect(),
            HelperOutcome::Conflict { replayed, collected } => reports.retain(|(n, time)| {
                let bucket = BucketKey::time(Time(*time));
                !replayed.contains(&name(*n)) && !collected.contains(&bucket)
            }),
            other => panic!("no ID comes twice, and no batch is of one time: {other:?}"),
        }
    }
}
