//! What an operator asks of a running server, counted, in the text format that Prometheus reads.
//!
//! Labels are task IDs, which operators choose, and fixed words: nothing that a client sends. Witnesses' names are configured, too.

use super::{
    clock,
    store::{Datastore, StoreError, Timestamp},
    task::Task,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use sottovoce_connections::{Event, slots::Refused};
use sottovoce_dap::{ids::TaskId, upload::ReportError};
use std::{
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

type Gauges = Family<OfTask, Gauge>;

/// All that is counted.
pub struct Metrics {
    registry: Registry,
    accepted: Family<OfTask, Counter>,
    rejected: Family<Rejected, Counter>,
    aggregated: Family<OfTask, Counter>,
    jobs: Family<Job, Counter>,
    job_time: Histogram,
    refused: Family<RefusedRequest, Counter>,
    unreadable_addresses: Counter,
    connections: Family<EndedConnection, Counter>,
    releases: Family<OfTask, Counter>,
    charged: Family<Charged, Counter<f64, AtomicU64>>,
    waiting: Gauges,
    age: Gauges,
    in_flight: Gauges,
    stuck: Gauges,
    set_aside: Gauges,
    verified: Gauges,
    fill: Family<OfTask, Gauge<f64, AtomicU64>>,
    log_entries: Gauge,
    log_waiting: Gauge,
    witness_failures: Family<OfWitness, Counter>,
    pending_collections: Family<OfReason, Gauge>,
    oldest_pending: Family<OfReason, Gauge>,
    helpers_left_alone: Gauge,
    /// Tasks whose gauges were set, so that all are shown from the first look on.
    tasks: Mutex<Vec<(TaskId, u64)>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTask {
    task: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Rejected {
    task: String,
    stage: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Job {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefusedRequest {
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndedConnection {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Charged {
    task: String,
    trust: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfWitness {
    witness: String,
}

/// Where a report was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// When it came: its device was told.
    Upload,
    /// When it was opened and verified.
    Aggregation,
}

/// How an aggregation job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// Committed.
    Done,
    /// Given back, to be tried again.
    PutOff,
    /// Cut up, because the peer will not take it as it is.
    Split,
    /// Given up, because the peer will never take its report.
    Abandoned,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    #[allow(clippy::too_many_lines, reason = "a list of names with their help")]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sottovoce");
        let all = Self {
            accepted: Family::default(),
            rejected: Family::default(),
            aggregated: Family::default(),
            jobs: Family::default(),
            job_time: Histogram::new(exponential_buckets(0.005, 2.0, 14)),
            refused: Family::default(),
            unreadable_addresses: Counter::default(),
            connections: Family::default(),
            releases: Family::default(),
            charged: Family::default(),
            waiting: Family::default(),
            age: Family::default(),
            in_flight: Family::default(),
            stuck: Family::default(),
            set_aside: Family::default(),
            verified: Family::default(),
            fill: Family::default(),
            log_entries: Gauge::default(),
            log_waiting: Gauge::default(),
            witness_failures: Family::default(),
            pending_collections: Family::default(),
            oldest_pending: Family::default(),
            helpers_left_alone: Gauge::default(),
            tasks: Mutex::default(),
            registry: Registry::default(),
        };
        macro_rules! register {
            ($($name:literal, $field:ident, $help:literal;)+) => { $(
                registry.register($name, $help, all.$field.clone());
            )+ };
        }
        register! {
            "reports_accepted", accepted, "Reports acknowledged to devices";
            "reports_rejected", rejected, "Reports rejected, by stage and reason";
            "reports_aggregated", aggregated, "Reports verified and counted in a batch";
            "aggregation_jobs", jobs, "Aggregation jobs, by how they ended";
            "requests_refused", refused, "Requests answered with an error, by HTTP status";
            "client_addresses_unreadable", unreadable_addresses,
                "Requests whose forwarding header has no valid client address";
            "connections_ended", connections,
                "Connections that the server refused or closed, by reason";
            "releases", releases, "Aggregate shares released";
            "budget_charged_epsilon", charged,
                "Sum of the claimed epsilon of each release, by trust model";
            "waiting_reports", waiting, "Reports that wait for an aggregation job";
            "oldest_waiting_report_age_seconds", age,
                "Age of the oldest report that is not aggregated yet";
            "in_flight_reports", in_flight, "Reports in aggregation jobs that have not ended";
            "stuck_reports", stuck, "Reports that the helper refuses and that are not retried";
            "set_aside_batches", set_aside,
                "Leader-selected batches that differ from the helper's and wait for a repair";
            "open_batch_reports", verified, "Verified reports in batches that are not collected";
            "open_batch_fill", fill,
                "Verified reports not collected, divided by min_batch_size";
            "public_log_entries", log_entries, "Published entries of the public log";
            "public_log_waiting_entries", log_waiting,
                "Entries of the public log that are not published yet, which shares wait for";
            "public_log_witness_failures", witness_failures,
                "Failed requests to a witness to cosign a checkpoint";
            "pending_collections", pending_collections, "Pending collections, by what they wait for";
            "oldest_pending_collection_age_seconds", oldest_pending,
                "Age of the oldest pending collection, by what it waits for";
            "helpers_left_alone", helpers_left_alone,
                "Helpers in backoff after several failures in a row";
        }
        let help = "Duration of an aggregation job";
        registry.register_with_unit(
            "aggregation_job_duration",
            help,
            Unit::Seconds,
            all.job_time.clone(),
        );
        Self { registry, ..all }
    }

    /// All of it as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Shows a task from now on.
    pub fn watch(&self, task: &Task) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if !tasks.iter().any(|(id, _)| *id == task.id) {
            tasks.push((task.id, task.configuration.min_batch_size));
        }
    }

    /// Sets what only the database knows.
    pub fn look(&self, store: &dyn Datastore, now: Timestamp) -> Result<(), StoreError> {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (task, least) in tasks {
            let counts = store.counts(&task)?;
            let label = of(&task);
            let set = |gauges: &Gauges, value: u64| {
                gauges.get_or_create(&label).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            set(&self.waiting, counts.waiting_reports);
            set(&self.in_flight, counts.in_flight_reports);
            set(&self.stuck, counts.stuck_reports);
            set(&self.set_aside, counts.set_aside_batches);
            set(&self.verified, counts.verified_reports);
            let age = counts
                .oldest
                .map_or(0, |oldest| clock::seconds(now).saturating_sub(clock::seconds(oldest)));
            set(&self.age, age);
            #[expect(clippy::cast_precision_loss, reason = "a share for people")]
            let fill = counts.verified_reports as f64 / least.max(1) as f64;
            self.fill.get_or_create(&label).set(fill);
        }
        let log = store.log_head()?;
        self.log_entries.set(i64::try_from(log.size).unwrap_or(i64::MAX));
        self.log_waiting.set(i64::try_from(log.waiting).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Reports were acknowledged to devices.
    pub fn accepted(&self, task: &TaskId, reports: usize) {
        self.accepted.get_or_create(&of(task)).inc_by(reports as u64);
    }

    /// Reports were counted in a batch.
    pub fn aggregated(&self, task: &TaskId, reports: usize) {
        self.aggregated.get_or_create(&of(task)).inc_by(reports as u64);
    }

    /// Reports were rejected, each for its reason.
    pub fn rejected(
        &self,
        task: &TaskId,
        stage: Stage,
        reasons: impl IntoIterator<Item = ReportError>,
    ) {
        let stage = match stage {
            Stage::Upload => "upload",
            Stage::Aggregation => "aggregation",
        };
        for error in reasons {
            let label = Rejected { task: task.to_string(), stage, reason: reason(error) };
            self.rejected.get_or_create(&label).inc();
        }
    }

    /// An aggregation job ended after so long.
    pub fn job(&self, outcome: JobOutcome, took: Duration) {
        let outcome = match outcome {
            JobOutcome::Done => "done",
            JobOutcome::PutOff => "put_off",
            JobOutcome::Split => "split",
            JobOutcome::Abandoned => "abandoned",
        };
        self.jobs.get_or_create(&Job { outcome }).inc();
        self.job_time.observe(took.as_secs_f64());
    }

    /// A request was answered with an error.
    pub fn refused(&self, status: u16) {
        self.refused.get_or_create(&RefusedRequest { status }).inc();
    }

    /// A connection was not taken, or not kept.
    pub fn connection(&self, event: Event) {
        let reason = match event {
            Event::Refused(Refused::Client) => "client_full",
            Event::Refused(Refused::Full) => "full",
            Event::Idle => "idle",
            Event::Evicted => "displaced",
        };
        self.connections.get_or_create(&EndedConnection { reason }).inc();
    }

    /// A proxy in front did not say legibly who asks.
    pub fn unreadable_address(&self) {
        self.unreadable_addresses.inc();
    }

    /// A witness did not cosign a checkpoint.
    pub fn witness_failed(&self, witness: &str) {
        let label = OfWitness { witness: witness.to_owned() };
        self.witness_failures.get_or_create(&label).inc();
    }

    /// So many collections wait for this, the oldest for so many seconds.
    pub fn collections_wait(&self, reason: &'static str, count: u64, oldest: u64) {
        let label = OfReason { reason };
        let set = |family: &Family<OfReason, Gauge>, value: u64| {
            family.get_or_create(&label).set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.pending_collections, count);
        set(&self.oldest_pending, oldest);
    }

    /// So many helpers are in backoff.
    pub fn helpers_left_alone(&self, helpers: usize) {
        self.helpers_left_alone.set(i64::try_from(helpers).unwrap_or(i64::MAX));
    }

    /// A share of a batch was released, and this is what the task's program claims it cost.
    pub fn released(&self, task: &Task) {
        self.releases.get_or_create(&of(&task.id)).inc();
        for claim in &task.claims {
            let label = Charged { task: task.id.to_string(), trust: claim.trust.to_string() };
            self.charged.get_or_create(&label).inc_by(claim.epsilon.get());
        }
    }
}

fn of(task: &TaskId) -> OfTask {
    OfTask { task: task.to_string() }
}

/// The draft's name of a reason.
pub fn reason(error: ReportError) -> &'static str {
    match error {
        ReportError::BatchCollected => "batch_collected",
        ReportError::ReportReplayed => "report_replayed",
        ReportError::ReportDropped => "report_dropped",
        ReportError::HpkeUnknownConfigId => "hpke_unknown_config_id",
        ReportError::HpkeDecryptError => "hpke_decrypt_error",
        ReportError::VdafVerifyError => "vdaf_verify_error",
        ReportError::InvalidMessage => "invalid_message",
        ReportError::ReportTooEarly => "report_too_early",
        ReportError::UnknownVerificationKeyId => "unknown_verification_key_id",
        ReportError::UnsupportedExtension => "unsupported_extension",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_in_the_text_under_names_that_say_it() {
        let (metrics, task) = (Metrics::new(), TaskId::new([7; 32]));
        metrics.accepted(&task, 3);
        metrics.rejected(&task, Stage::Upload, [ReportError::ReportReplayed; 2]);
        metrics.job(JobOutcome::Done, Duration::from_millis(20));
        metrics.refused(429);
        let text = metrics.text();
        for line in [
            format!("sottovoce_reports_accepted_total{{task=\"{task}\"}} 3"),
            format!(
                "sottovoce_reports_rejected_total{{task=\"{task}\",stage=\"upload\",reason=\"report_replayed\"}} 2"
            ),
            "sottovoce_aggregation_jobs_total{outcome=\"done\"} 1".to_owned(),
            "sottovoce_aggregation_job_duration_seconds_count 1".to_owned(),
            "sottovoce_requests_refused_total{status=\"429\"} 1".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }
}
