//! Where cases are played: a leader and a helper, a look at all they keep, and an honest end.

use crate::support::{
    device::Shares,
    leaks::{expect_none, secrets},
    server::Server,
    task::{Task, TaskSpec, sample, total},
    world::{World, WorldOptions, seeded},
};
use sottovoce_dap::{
    collect::Query,
    time::{Interval, Time},
    upload::Report,
    vdaf::shard::Measurement::{self, Bin},
};
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// Bytes of an upload and of an aggregation job that the servers on stage take.
pub(crate) const LONGEST: usize = 1_000_000;
/// Bytes of any other request.
pub(crate) const LONGEST_REQUEST: usize = 50_000;

const LIMITS: &str = "upload_bytes = 1000000\naggregation_job_bytes = 1000000\n\
                      request_bytes = 50000\nrequest_seconds = 5\nwaiting_bytes = 8000000";

/// A name, and what is done.
pub(crate) type Case = (&'static str, fn(&Stage));

pub(crate) struct Stage {
    pub(crate) world: World,
    windows: AtomicU64,
    failed: Vec<&'static str>,
    peaks: [u64; 2],
}

impl Stage {
    pub(crate) fn new(tasks: Vec<TaskSpec>) -> Self {
        let world = World::start(WorldOptions {
            tasks,
            log: "debug",
            limits: LIMITS,
            ..Default::default()
        });
        world.keys();
        let peaks = [&world.leader, &world.helper].map(peak);
        Self { world, windows: AtomicU64::new(1), failed: Vec::new(), peaks }
    }

    /// Attacks that must change nothing.
    pub(crate) fn attacks(self, cases: &[Case]) -> Self {
        self.play(cases, |stage, case| stage.unharmed(|| case(stage)))
    }

    /// Cases that see to it themselves what changes and what does not.
    pub(crate) fn plots(self, cases: &[Case]) -> Self {
        self.play(cases, |stage, case| case(stage))
    }

    fn play(mut self, cases: &[Case], play: impl Fn(&Self, fn(&Self))) -> Self {
        for (name, case) in cases {
            println!("case: {name}");
            if catch_unwind(AssertUnwindSafe(|| play(&self, *case))).is_err() {
                println!("FAILED: {name}");
                self.failed.push(name);
            }
        }
        self
    }

    /// The servers are as they should be after all that.
    pub(crate) fn end(self) {
        assert_eq!(self.failed, [""; 0], "cases that failed");
        let window = self.window();
        let measurements = sample(&self.task().configuration.vdaf, 9, &mut seeded(1));
        self.batch(window, &measurements);
        self.expect(window, &measurements);
        let secrets = secrets(&self.world);
        for (server, before) in [&self.world.leader, &self.world.helper].into_iter().zip(self.peaks)
        {
            let log = server.log();
            expect_none(&secrets, "a log", log.as_bytes());
            assert!(!log.contains("panicked") && !log.contains(" ERROR "), "{log}");
            let grown = peak(server).saturating_sub(before);
            println!("{}: grew by {} MB", server.config.display(), grown >> 20);
            assert!(grown < MOST_MEMORY, "{} MB, for what attackers said", grown >> 20);
        }
    }

    pub(crate) fn task(&self) -> &Task {
        self.world.task()
    }

    /// A window that no case has used, over long ago; the world's own stays open for all.
    pub(crate) fn window(&self) -> Time {
        let number = self.windows.fetch_add(1, Ordering::Relaxed);
        assert!(number < 90, "all windows that are over are used");
        Time(self.world.window.0 + number)
    }

    /// A report for a task that is spoiled before or after it is sealed.
    pub(crate) fn shares(&self, task: &Task, window: Time) -> Shares {
        Shares::new(task, &sample(&task.configuration.vdaf, 1, &mut seeded(2))[0], window)
    }

    pub(crate) fn report(&self, task: &Task, window: Time) -> Report {
        self.shares(task, window).seal(task, self.world.keys())
    }

    /// Uploads honest reports of the first task and waits until they are in their bucket.
    pub(crate) fn batch(&self, window: Time, measurements: &[Measurement]) -> Vec<Report> {
        let seal = |measurement| {
            Shares::new(self.task(), measurement, window).seal(self.task(), self.world.keys())
        };
        let reports: Vec<_> = measurements.iter().map(seal).collect();
        self.world.upload_all(&reports);
        self.world.wait_until_aggregated();
        reports
    }

    /// The same of the fewest reports that make a batch.
    pub(crate) fn small_batch(&self, window: Time) -> Vec<Report> {
        self.batch(window, &SMALL_BATCH)
    }

    /// Collects a window and checks it to the last digit.
    #[track_caller]
    pub(crate) fn expect(&self, window: Time, measurements: &[Measurement]) {
        let collected = self.world.collect(query(window, 1));
        assert_eq!(collected.count, measurements.len() as u64);
        assert_eq!(collected.result, total(&self.task().configuration.vdaf, measurements));
    }

    /// Nothing that counts is any different after the attack.
    #[track_caller]
    pub(crate) fn unharmed(&self, attack: impl FnOnce()) {
        let before = self.kept();
        attack();
        assert_eq!(self.kept(), before, "what the servers keep has changed");
    }

    /// Uploads may have been taken, but nothing that is or will be aggregated is any different.
    #[track_caller]
    pub(crate) fn nothing_aggregated(&self, attack: impl FnOnce()) {
        let before = self.kept().map(|kept| kept.buckets);
        attack();
        assert_eq!(self.kept().map(|kept| kept.buckets), before, "a bucket has changed");
    }

    /// What both servers keep, once the leader has done what there is to do.
    fn kept(&self) -> [Kept; 2] {
        self.world.wait_until_aggregated();
        ["leader.db", "helper.db"].map(|name| Kept::read(&self.world.folder.path().join(name)))
    }
}

/// The fewest reports that make a batch.
pub(crate) const SMALL_BATCH: [Measurement; 5] = [Bin(0), Bin(2), Bin(2), Bin(5), Bin(3)];

/// The query for windows from `start` on.
pub(crate) fn query(start: Time, windows: u64) -> Query {
    Query::TimeInterval(Interval::new(start, windows).unwrap().into())
}

/// All that a server keeps that could count: replay IDs, buckets, what is collected.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    uploaded: i64,
    dropped: i64,
    buckets: Buckets,
}

#[derive(Debug, PartialEq, Eq)]
struct Buckets {
    aggregated: i64,
    reports: i64,
    collected: i64,
    /// Checksums and shares, byte for byte.
    shards: String,
}

impl Kept {
    fn read(path: &Path) -> Self {
        let database = rusqlite::Connection::open(path).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        let sql = "WITH known AS (SELECT side, ids FROM fresh_runs UNION ALL SELECT side, ids FROM parted_runs)
            SELECT (SELECT coalesce(sum(length(ids)) / 16, 0) FROM known WHERE side = 0),
            (SELECT sum(dropped) FROM tasks),
            (SELECT coalesce(sum(length(ids)) / 16, 0) FROM known WHERE side = 1), (SELECT coalesce(sum(reports), 0) FROM shards),
            (SELECT count(*) FROM collected),
            (SELECT coalesce(group_concat(hex(checksum) || hex(share) ORDER BY key), '')
             FROM shards)";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Self {
                uploaded: row.get(0)?,
                dropped: row.get(1)?,
                buckets: Buckets {
                    aggregated: row.get(2)?,
                    reports: row.get(3)?,
                    collected: row.get(4)?,
                    shards: row.get(5)?,
                },
            })
        };
        database.query_row(sql, [], read).unwrap()
    }
}

/// Attackers declare up to 4 GB and send up to 100 MB. A server may keep the 8 MB that may wait, twice
/// while they grow, 64 KB for each of 100 connections, and what the heap loses to gaps.
const MOST_MEMORY: u64 = 48 << 20;

/// The most memory that a server has had so far, in bytes; 0 where the system does not say.
fn peak(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10)
}
