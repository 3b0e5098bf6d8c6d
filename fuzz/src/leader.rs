//! A leader: uploads and collections at any time, and jobs that end in any way.

use crate::{
    helper::{Input, ours},
    stage::{FIRST, REPORTS, STAGE, WINDOW, WINDOWS},
};
use sottovoce_aggregator::{
    clock,
    config::limits::Limits,
    leader::{Leader, Progress},
    serve::admission::Admission,
    store::{Datastore, LeaderCommit, LeasePolicy, LeasedJob, Timestamp, sqlite::SqliteStore},
};
use sottovoce_dap::{
    codec::{Decode, Encode, Opaque},
    collect::{CollectionJobReq, Query},
    extension::UncheckedExtensions,
    ids::{CollectionJobId, ReportId},
    role::Role,
    time::{Interval, Time},
    upload::{Report, ReportError, UploadRequest},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// A byte of kind and what that kind takes, again and again.
pub fn leader(data: &[u8]) {
    let store: Arc<dyn Datastore> = Arc::new(SqliteStore::in_memory().expect("a database"));
    STAGE.begin(store.as_ref(), Role::Leader);
    let mut play = Play {
        leader: STAGE.leader(&store),
        store,
        admission: Admission::new(&Limits::default()),
        hours: FIRST + WINDOWS + 24,
        accepted: BTreeSet::new(),
        over: BTreeSet::new(),
        collections: BTreeMap::new(),
    };
    let mut input = Input(data);
    for _ in 0..64 {
        if play.step(&mut input).is_none() {
            break;
        }
    }
    play.check_store();
}

/// What was asked, and what must therefore be.
struct Play {
    leader: Leader,
    store: Arc<dyn Datastore>,
    admission: Admission,
    /// The clock.
    hours: u64,
    /// Reports that were accepted, and those of them whose jobs are over.
    accepted: BTreeSet<ReportId>,
    over: BTreeSet<ReportId>,
    /// By their requests.
    collections: BTreeMap<Vec<u8>, CollectionJobId>,
}

impl Play {
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % 8 {
            0 | 1 => self.upload(STAGE.upload(input.bytes(8)?)),
            2 => {
                let mut body = STAGE.upload(input.bytes(4)?);
                input.change(&mut body)?;
                self.upload(body);
            }
            3 => {
                let mut body = collection(input.byte()?, input.byte()?)?;
                input.change(&mut body)?;
                self.collect(body);
            }
            4 => self.look_again(usize::from(input.byte()?)),
            5 => self.forget(usize::from(input.byte()?)),
            6 => self.jobs(input.byte()?),
            // Up to five days on, or back by as much.
            _ => self.hours = (self.hours + u64::from(input.byte()?)).saturating_sub(120),
        }
        Some(())
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.hours * WINDOW * 1000)
    }

    fn upload(&mut self, body: Vec<u8>) {
        let Ok(request) = UploadRequest::from_bytes(&body) else { return };
        let reports = request.reports.clone();
        let memory = self.admission.memory(None, body.len()).expect("there is room");
        let uploaded = self.leader.upload(&STAGE.leader_task, request, memory, self.now());
        let Some(errors) = ours(STAGE.runtime.block_on(uploaded)) else { return };
        // One that is in the request twice is named once, and nothing says which of the two it was.
        let mut left: BTreeMap<ReportId, Vec<&Report>> = BTreeMap::new();
        for report in &reports {
            left.entry(report.report_metadata.report_id).or_default().push(report);
        }
        // Of two that differ in their times the later one is more likely refused.
        left.values_mut().for_each(|same| same.sort_by_key(|report| report.report_metadata.time));
        for failed in &errors.status {
            let named = left.get_mut(&failed.id).and_then(Vec::pop);
            assert!(named.is_some(), "a failure of no report");
        }
        for report in left.into_values().flatten() {
            self.accept(report);
        }
        let replayed = errors.status.iter().filter(|f| f.error == ReportError::ReportReplayed);
        for failed in replayed {
            assert!(self.accepted.contains(&failed.id), "{}: never seen before", failed.id);
        }
    }

    fn accept(&mut self, report: &Report) {
        let metadata = &report.report_metadata;
        let id = metadata.report_id;
        // A clock of ours may be behind by minutes, never by a window.
        assert!(metadata.time.0 <= self.hours, "{id}: of a window to come");
        assert!(self.accepted.insert(id), "{id}: accepted twice");
    }

    fn collect(&mut self, body: Vec<u8>) {
        let Some((job, progress)) =
            ours(self.leader.collect(&STAGE.leader_task, &body, self.now()))
        else {
            return;
        };
        assert!(matches!(progress, Progress::Pending), "nobody has collected it");
        let request = CollectionJobReq::from_bytes(&body).expect("it was taken");
        let Query::TimeInterval(batch) = request.query else { panic!("another batch mode") };
        let batch = batch.interval().expect("it was taken");
        assert!(batch.end().0 <= self.hours, "not over yet");
        if let Some(before) = self.collections.insert(body, job) {
            assert_eq!(before, job, "the same job for the same request");
        }
    }

    fn look_again(&self, at: usize) {
        if let Some(job) = self.collections.values().nth(at % self.collections.len().max(1)) {
            let progress = ours(self.leader.collected(&STAGE.leader_task, *job));
            assert!(matches!(progress, Some(Progress::Pending)));
        }
    }

    fn forget(&mut self, at: usize) {
        let Some(body) = self.collections.keys().nth(at % self.collections.len().max(1)).cloned()
        else {
            return;
        };
        let job = self.collections.remove(&body).expect("it is there");
        ours(self.leader.forget_collection(&STAGE.leader_task, job)).expect("it is forgotten");
        assert!(ours(self.leader.collected(&STAGE.leader_task, job)).is_none());
    }

    /// Leases what there is, and ends it.
    fn jobs(&mut self, how: u8) {
        let policy = LeasePolicy {
            lease_for: Duration::from_secs(u64::from(how)),
            max_reports: u64::from(how >> 4) + 1,
            max_bytes: 1 << 20,
            linger: Duration::ZERO,
            limit: 4,
            new_first: how & 8 != 0,
            quotas: Vec::new(),
        };
        // What was uploaded arrived by the system's clock.
        let passed = Duration::from_secs(self.hours.saturating_sub(FIRST) * WINDOW);
        let leased = self
            .store
            .lease_jobs(clock::now().after(passed), &policy)
            .expect("the database answers");
        let mut seen = BTreeSet::new();
        for job in leased {
            for (_, report) in job.reports() {
                let report = Report::from_bytes(report).expect("a report was stored");
                let id = report.report_metadata.report_id;
                assert!(self.accepted.contains(&id) && !self.over.contains(&id), "{id}");
                assert!(seen.insert(id), "{id}: in two jobs");
            }
            self.end(&job, how);
        }
    }

    fn end(&mut self, job: &LeasedJob, how: u8) {
        match how % 5 {
            0 => {}
            1 => self.store.release_job(job.job, job.lease, self.now()).expect("it is ours"),
            2 => drop(self.store.split_job(job.job, job.lease).expect("it is ours")),
            3 => self.store.abandon_job(job.job, job.lease).expect("it is ours"),
            _ => {
                let commit = LeaderCommit {
                    job: job.job,
                    lease: job.lease,
                    shards: &[],
                    again: None,
                    lost: &[],
                };
                self.store.commit_leader_job(&commit).expect("it is ours");
                for (_, report) in job.reports() {
                    let report = Report::from_bytes(report).expect("a report was stored");
                    self.over.insert(report.report_metadata.report_id);
                }
            }
        }
    }

    /// Each report that was accepted waits, is in a job, is stuck, or its job is over.
    fn check_store(&self) {
        let id = &STAGE.leader_task.task.id;
        let counts = self.store.counts(id).expect("the database answers");
        let kept = counts.waiting_reports + counts.in_flight_reports + counts.stuck_reports;
        assert_eq!(kept as usize + self.over.len(), self.accepted.len(), "{counts:?}");
        assert_eq!(counts.dropped_reports, 0);
        let ids = self.store.report_ids(id, None, 1000).expect("the database answers");
        assert_eq!(ids.map(|ids| ids.len()), Some(self.accepted.len() * 16));
        assert!(self.accepted.len() <= REPORTS + 64 * 4);
    }
}

fn collection(start: u8, duration: u8) -> Option<Vec<u8>> {
    let start = FIRST + u64::from(start) % (WINDOWS + 1);
    let interval = Interval::new(Time(start), u64::from(duration) % WINDOWS + 1).ok()?;
    let request = CollectionJobReq {
        query: Query::TimeInterval(interval.into()),
        agg_param: Opaque::default(),
        extensions: UncheckedExtensions::default(),
    };
    Some(request.to_bytes())
}
