//! What is counted of each task: its reports, jobs and releases.

use super::{
    JobOutcome, Stage,
    labels::{Charged, Job, Lost, OfTask, Rejected, reason, reason_of_code},
};
use crate::{
    clock,
    store::{Counts, Datastore, StoreError, Timestamp},
    task::Task,
};
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use sottovoce_dap::{ids::TaskId, upload::ReportError};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

type Gauges = Family<OfTask, Gauge>;
type Counters = Family<OfTask, Counter>;

/// Series of tasks.
pub(super) struct TaskMetrics {
    accepted: Counters,
    rejected: Family<Rejected, Counter>,
    aggregated: Counters,
    deferred: Counters,
    lost: Family<Lost, Counter>,
    jobs: Family<Job, Counter>,
    job_time: Histogram,
    releases: Counters,
    charged: Family<Charged, Counter<f64, AtomicU64>>,
    waiting: Gauges,
    age: Gauges,
    in_flight: Gauges,
    stuck: Gauges,
    dropped: Gauges,
    set_aside: Gauges,
    verified: Gauges,
    fill: Family<OfTask, Gauge<f64, AtomicU64>>,
    programs: HashMap<TaskId, String>,
    known: RwLock<HashMap<TaskId, Arc<Known>>>,
}

/// A task whose series are shown.
struct Known {
    labels: OfTask,
    min_batch_size: u64,
}

impl TaskMetrics {
    /// None yet; `programs` names the program of each task.
    pub(super) fn new(programs: HashMap<TaskId, String>) -> Self {
        Self {
            accepted: Family::default(),
            rejected: Family::default(),
            aggregated: Family::default(),
            deferred: Family::default(),
            lost: Family::default(),
            jobs: Family::default(),
            job_time: Histogram::new(exponential_buckets(0.005, 2.0, 14)),
            releases: Family::default(),
            charged: Family::default(),
            waiting: Family::default(),
            age: Family::default(),
            in_flight: Family::default(),
            stuck: Family::default(),
            dropped: Family::default(),
            set_aside: Family::default(),
            verified: Family::default(),
            fill: Family::default(),
            programs,
            known: RwLock::default(),
        }
    }

    /// Names them, with what they are.
    pub(super) fn register(&self, registry: &mut Registry) {
        super::register!(registry, self, {
            "reports_accepted", accepted,
                "Reports acknowledged to devices (leader), or received in committed aggregation jobs (helper)";
            "reports_rejected", rejected, "Reports rejected, by stage and reason";
            "reports_aggregated", aggregated, "Reports verified and counted in a batch";
            "reports_deferred", deferred,
                "Times that a report was put off because the helper found it too early";
            "reports_lost", lost,
                "Accepted reports that failed decryption or verification for good, by reason; from the database";
            "aggregation_jobs", jobs, "Attempts at aggregation jobs, by how they ended";
            "aggregation_job_duration_seconds", job_time, "Duration of an attempt at an aggregation job";
            "releases", releases, "Aggregate shares released";
            "budget_charged_epsilon", charged,
                "Sum of the claimed epsilon of each release, by trust model";
            "waiting_reports", waiting, "Reports that wait for an aggregation job";
            "oldest_waiting_report_age_seconds", age,
                "Time since the arrival of the oldest report that is not aggregated yet";
            "in_flight_reports", in_flight, "Reports in aggregation jobs that have not ended";
            "stuck_reports", stuck, "Reports that the helper refuses and that are not retried";
            "dropped_reports", dropped, "Reports whose batch was collected while they waited";
            "set_aside_batches", set_aside,
                "Leader-selected batches that differ from the helper's and wait for a repair";
            "open_batch_reports", verified, "Verified reports in batches that are not collected";
            "open_batch_fill_ratio", fill,
                "Verified reports not collected, divided by min_batch_size";
        });
    }

    /// Shows a task from now on, with all its series: they begin at 0, so that no first event is missed.
    pub(super) fn watch(&self, task: &Task) {
        self.known(task);
    }

    fn known(&self, task: &Task) -> Arc<Known> {
        if let Some(known) = self.find(&task.id) {
            return known;
        }
        let labels = OfTask {
            name: task.name.clone(),
            program: self.programs.get(&task.id).cloned().unwrap_or_default(),
            ..OfTask::unnamed(&task.id)
        };
        self.begin(&labels, task);
        let known = Arc::new(Known { labels, min_batch_size: task.configuration.min_batch_size });
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(task.id).or_insert(known))
    }

    fn begin(&self, labels: &OfTask, task: &Task) {
        for family in [&self.accepted, &self.aggregated, &self.deferred, &self.releases] {
            let _ = family.get_or_create(labels);
        }
        for error in ReportError::ALL {
            for stage in [Stage::Upload, Stage::Aggregation] {
                let _ = self.rejected.get_or_create(&rejected(labels, stage, error));
            }
            let _ = self.lost.get_or_create(&lost(labels, reason(error)));
        }
        for outcome in JobOutcome::ALL {
            let _ = self.jobs.get_or_create(&job(labels, outcome));
        }
        for claim in &task.claims {
            let _ = self.charged.get_or_create(&charged(labels, claim.trust.to_string()));
        }
    }

    fn find(&self, task: &TaskId) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(task).cloned()
    }

    pub(super) fn accepted(&self, task: &Task, reports: usize) {
        self.accepted.get_or_create(&self.known(task).labels).inc_by(reports as u64);
    }

    pub(super) fn aggregated(&self, task: &Task, reports: usize) {
        self.aggregated.get_or_create(&self.known(task).labels).inc_by(reports as u64);
    }

    pub(super) fn deferred(&self, task: &Task, reports: usize) {
        self.deferred.get_or_create(&self.known(task).labels).inc_by(reports as u64);
    }

    pub(super) fn rejected(
        &self,
        task: &Task,
        stage: Stage,
        errors: impl IntoIterator<Item = ReportError>,
    ) {
        let known = self.known(task);
        for error in errors {
            self.rejected.get_or_create(&rejected(&known.labels, stage, error)).inc();
        }
    }

    /// The task may be one that the database does not have.
    pub(super) fn job(&self, task: &TaskId, outcome: JobOutcome, took: Duration) {
        let known = self.find(task);
        let unnamed = || OfTask::unnamed(task);
        let labels = known.map_or_else(unnamed, |known| known.labels.clone());
        self.jobs.get_or_create(&job(&labels, outcome)).inc();
        self.job_time.observe(took.as_secs_f64());
    }

    pub(super) fn released(&self, task: &Task) {
        let known = self.known(task);
        self.releases.get_or_create(&known.labels).inc();
        for claim in &task.claims {
            let label = charged(&known.labels, claim.trust.to_string());
            self.charged.get_or_create(&label).inc_by(claim.epsilon.get());
        }
    }

    /// Sets what only the database knows.
    pub(super) fn look(&self, store: &dyn Datastore, now: Timestamp) -> Result<(), StoreError> {
        let all = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        for (task, known) in all {
            self.set(&known, &store.counts(&task)?, now);
            for lost_reports in store.lost(&task)? {
                let label = lost(&known.labels, reason_of_code(lost_reports.reason));
                let counter = self.lost.get_or_create(&label);
                // The database has counted, also before this process began.
                counter.inner().store(lost_reports.reports, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn set(&self, known: &Known, counts: &Counts, now: Timestamp) {
        let set = |gauges: &Gauges, value: u64| {
            gauges.get_or_create(&known.labels).set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.waiting, counts.waiting_reports);
        set(&self.in_flight, counts.in_flight_reports);
        set(&self.stuck, counts.stuck_reports);
        set(&self.dropped, counts.dropped_reports);
        set(&self.set_aside, counts.set_aside_batches);
        set(&self.verified, counts.verified_reports);
        let age = |oldest| clock::seconds(now).saturating_sub(clock::seconds(oldest));
        set(&self.age, counts.oldest.map_or(0, age));
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let fill = counts.verified_reports as f64 / known.min_batch_size.max(1) as f64;
        self.fill.get_or_create(&known.labels).set(fill);
    }
}

fn rejected(of: &OfTask, stage: Stage, error: ReportError) -> Rejected {
    let stage = match stage {
        Stage::Upload => "upload",
        Stage::Aggregation => "aggregation",
    };
    Rejected { of: of.clone(), stage, reason: reason(error) }
}

fn lost(of: &OfTask, reason: &'static str) -> Lost {
    Lost { of: of.clone(), reason }
}

fn job(of: &OfTask, outcome: JobOutcome) -> Job {
    Job { of: of.clone(), outcome: outcome.word() }
}

fn charged(of: &OfTask, trust: String) -> Charged {
    Charged { of: of.clone(), trust }
}
