//! What an operator asks of a running server, counted, for Prometheus and others that read its formats.
//!
//! [`tasks`] is about reports, [`requests`] about whoever asks for something, [`server`] about the rest and
//! [`process`] about the process; [`text`] writes it all down. All series that there can be are there from the
//! start, and begin at 0: an alert on an increase would else miss the first event. [`labels`] tell series apart:
//! task IDs and names, which operators choose, and fixed words; nothing that a client sends.

mod labels;
mod process;
mod requests;
mod server;
mod tasks;
mod text;

pub use labels::{reason, reason_of_code};
pub use requests::RefusedHandshake;
pub use text::Format;

use super::{
    store::{Datastore, StoreError, Timestamp},
    task::Task,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use requests::RequestMetrics;
use server::ServerMetrics;
use sottovoce_connections::Event;
use sottovoce_dap::{ids::TaskId, upload::ReportError};
use std::{collections::HashMap, path::Path, time::Duration};
use tasks::TaskMetrics;

/// Registers fields of `$metrics` by their names, with what they are.
macro_rules! register {
    ($registry:ident, $metrics:ident, { $($name:literal, $field:ident, $help:literal;)+ }) => { $(
        $registry.register($name, $help, $metrics.$field.clone());
    )+ };
}
use register;

/// All that is counted.
pub struct Metrics {
    registry: Registry,
    tasks: TaskMetrics,
    requests: RequestMetrics,
    server: ServerMetrics,
    /// How old the offered HPKE key becomes; zero if it is not rotated.
    rotate_after: Duration,
}

/// What of a server its metrics name.
#[derive(Debug, Default)]
pub struct Described {
    /// Its role.
    pub role: &'static str,
    /// The program of each task, as far as the configuration names programs.
    pub programs: HashMap<TaskId, String>,
    /// How old the offered HPKE key becomes; zero if it is not rotated.
    pub rotate_after: Duration,
}

/// Where a report was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// When it came: its device was told.
    Upload,
    /// When it was opened and verified.
    Aggregation,
}

/// How an attempt at an aggregation job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// Committed.
    Done,
    /// Committed, but the helper found all of its reports too early: they wait for another job.
    Deferred,
    /// Given back, to be tried again.
    PutOff,
    /// Cut up, because the peer will not take it as it is.
    Split,
    /// Given up, because the peer will never take its report.
    Abandoned,
}

impl JobOutcome {
    const ALL: [Self; 5] = [Self::Done, Self::Deferred, Self::PutOff, Self::Split, Self::Abandoned];

    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Deferred => "deferred",
            Self::PutOff => "put_off",
            Self::Split => "split",
            Self::Abandoned => "abandoned",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet, of a server that has no role.
    pub fn new() -> Self {
        Self::of(Described::default())
    }

    /// Nothing counted yet.
    pub fn of(Described { role, programs, rotate_after }: Described) -> Self {
        let (tasks, requests) = (TaskMetrics::new(programs), RequestMetrics::new());
        let (server, mut registry) = (ServerMetrics::new(), Registry::default());
        let ours = registry.sub_registry_with_prefix("sottovoce");
        server.register(ours, role);
        requests.register(ours);
        tasks.register(ours);
        registry.register_collector(Box::new(process::ProcessMetrics));
        Self { registry, tasks, requests, server, rotate_after }
    }

    /// All of it as text.
    pub fn text(&self, format: Format) -> String {
        let mut open = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut open, &self.registry);
        match format {
            Format::OpenMetrics => open,
            Format::Prometheus => text::to_prometheus(&open),
        }
    }

    /// Sets what only the database and the system know.
    pub fn look(&self, store: &dyn Datastore, now: Timestamp) -> Result<(), StoreError> {
        self.server.look(store, self.rotate_after, now)?;
        self.tasks.look(store, now)
    }

    /// Shows a task from now on.
    pub fn watch(&self, task: &Task) {
        self.tasks.watch(task);
    }

    /// Reports were acknowledged to devices, or came in a job that is committed.
    pub fn accepted(&self, task: &Task, reports: usize) {
        self.tasks.accepted(task, reports);
    }

    /// Reports were counted in a batch.
    pub fn aggregated(&self, task: &Task, reports: usize) {
        self.tasks.aggregated(task, reports);
    }

    /// Reports were put off.
    pub fn deferred(&self, task: &Task, reports: usize) {
        self.tasks.deferred(task, reports);
    }

    /// Reports were rejected, each for its reason.
    pub fn rejected(
        &self,
        task: &Task,
        stage: Stage,
        reasons: impl IntoIterator<Item = ReportError>,
    ) {
        self.tasks.rejected(task, stage, reasons);
    }

    /// An attempt at an aggregation job ended after so long.
    pub fn job(&self, task: &TaskId, outcome: JobOutcome, took: Duration) {
        self.tasks.job(task, outcome, took);
    }

    /// A share of a batch was released, and this is what the task's program claims it cost.
    pub fn released(&self, task: &Task) {
        self.tasks.released(task);
    }

    /// A request was answered by the resource of this pattern, or by none, after so long.
    pub fn answered(&self, pattern: Option<&str>, status: u16, took: Duration) {
        self.requests.answered(pattern, status, took);
    }

    /// A connection was not taken, or not kept.
    pub fn connection(&self, event: Event) {
        self.requests.connection(event);
    }

    /// A proxy in front did not say legibly who asks.
    pub fn unreadable_address(&self) {
        self.requests.unreadable_address();
    }

    /// There was no TLS with a client.
    pub fn handshake_refused(&self, why: RefusedHandshake) {
        self.requests.handshake_refused(why);
    }

    /// Shows a witness from now on.
    pub fn watch_witness(&self, witness: &str) {
        self.server.watch_witness(witness);
    }

    /// A witness did not cosign a checkpoint.
    pub fn witness_failed(&self, witness: &str) {
        self.server.witness_failed(witness);
    }

    /// For so long a witness has not cosigned all of the log.
    pub fn witness_lags(&self, witness: &str, lag: Duration) {
        self.server.witness_lags(witness, lag);
    }

    /// So many collections wait for this, the oldest for so many seconds.
    pub fn collections_wait(&self, reason: &'static str, count: u64, oldest: u64) {
        self.server.collections_wait(reason, count, oldest);
    }

    /// So many helpers are in backoff.
    pub fn helpers_left_alone(&self, helpers: usize) {
        self.server.helpers_left_alone(helpers);
    }

    /// For so long the other aggregator has answered nothing; zero if it has answered.
    pub fn peer_fails(&self, peer: &str, since: Duration) {
        self.server.peer_fails(peer, since);
    }

    /// So many seconds the other aggregator's clock is ahead of ours.
    pub fn clock_skew(&self, peer: &str, seconds: f64) {
        self.server.skew(peer, seconds);
    }

    /// A certificate in use is valid until then, in seconds since the Epoch.
    pub fn certificate(&self, certificate: &'static str, expires: u64) {
        self.server.certificate(certificate, expires);
    }

    /// Where the embedded database is, to look at the room that it has.
    pub fn database_at(&self, folder: &Path) {
        self.server.database_at(folder);
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::{
        store::{BatchingMode, Blob, HelperJob, LostReports, TaskRecord, sqlite::SqliteStore},
        task::Claim,
    };
    use sottovoce_dap::{
        hpke::{HpkeConfigId, Suite, native},
        ids::AggregationJobId,
        role::Role,
        task::{BatchMode, TaskConfiguration, Url, VdafConfig},
        time::TimePrecision,
        vdaf::VerifyKey,
    };

    fn task() -> Task {
        let configuration = TaskConfiguration {
            task_info: b"counted".to_vec().try_into().unwrap(),
            leader_aggregator_endpoint: Url::new("https://leader.example/").unwrap(),
            helper_aggregator_endpoint: Url::new("https://helper.example/").unwrap(),
            time_precision: TimePrecision::from_seconds(3600).unwrap(),
            min_batch_size: 100,
            batch_mode: BatchMode::TimeInterval,
            vdaf: VdafConfig::Prio3Count,
            task_interval: None,
        };
        let collector = native::generate(HpkeConfigId(9), Suite::DEFAULT).unwrap().config;
        let (id, key) = (TaskId::new([7; 32]), VerifyKey::new([7; 32]));
        let task = Task::new(Role::Leader, id, configuration, collector, None, key).unwrap();
        task.described("helpful", Vec::<Claim>::new(), Vec::new())
    }

    fn metrics() -> Metrics {
        let programs = HashMap::from([(task().id, "demo".to_owned())]);
        Metrics::of(Described { role: "leader", programs, ..Described::default() })
    }

    /// Labels of the task, to which others may be added.
    fn labels() -> String {
        format!("task=\"{}\",name=\"helpful\",program=\"demo\"", task().id)
    }

    fn assert_has(text: &str, lines: &[String]) {
        for line in lines {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_was_counted_is_in_the_text_under_names_that_say_it() {
        let (metrics, task, of) = (metrics(), task(), labels());
        metrics.accepted(&task, 3);
        metrics.rejected(&task, Stage::Upload, [ReportError::ReportReplayed; 2]);
        metrics.job(&task.id, JobOutcome::Done, Duration::from_millis(20));
        metrics.answered(None, 429, Duration::ZERO);
        let lines = [
            format!("sottovoce_reports_accepted_total{{{of}}} 3"),
            format!(
                "sottovoce_reports_rejected_total{{{of},stage=\"upload\",reason=\"report_replayed\"}} 2"
            ),
            format!("sottovoce_aggregation_jobs_total{{{of},outcome=\"done\"}} 1"),
            "sottovoce_aggregation_job_duration_seconds_count 1".to_owned(),
            "sottovoce_requests_refused_total{status=\"429\"} 1".to_owned(),
            format!(
                "sottovoce_build_info{{version=\"{}\",role=\"leader\"}} 1",
                env!("CARGO_PKG_VERSION")
            ),
        ];
        assert_has(&metrics.text(Format::Prometheus), &lines);
        assert_has(&metrics.text(Format::OpenMetrics), &lines);
    }

    #[test]
    fn all_series_of_a_task_are_there_and_at_0_before_anything_happens() {
        let (metrics, of) = (metrics(), labels());
        let first = metrics.text(Format::Prometheus);
        assert!(!first.contains(&of) && first.contains("status=\"500\"} 0"), "{first}");
        metrics.watch(&task());
        let mut lines = vec![
            format!("sottovoce_reports_accepted_total{{{of}}} 0"),
            format!("sottovoce_reports_aggregated_total{{{of}}} 0"),
            format!("sottovoce_reports_deferred_total{{{of}}} 0"),
            format!("sottovoce_releases_total{{{of}}} 0"),
        ];
        for outcome in JobOutcome::ALL.map(JobOutcome::word) {
            lines.push(format!("sottovoce_aggregation_jobs_total{{{of},outcome=\"{outcome}\"}} 0"));
        }
        for reason in ReportError::ALL.map(reason) {
            lines.push(format!("sottovoce_reports_lost_total{{{of},reason=\"{reason}\"}} 0"));
            for stage in ["upload", "aggregation"] {
                let labels = format!("{of},stage=\"{stage}\",reason=\"{reason}\"");
                lines.push(format!("sottovoce_reports_rejected_total{{{labels}}} 0"));
            }
        }
        assert_has(&metrics.text(Format::Prometheus), &lines);
    }

    #[test]
    fn what_was_lost_before_the_start_is_counted_too() {
        let (store, task, metrics) = (SqliteStore::in_memory().unwrap(), task(), metrics());
        let [public, sealed] = [b"public", b"sealed"].map(|bytes| Blob::from(&bytes[..]));
        let mode = BatchingMode::TimeInterval;
        store.put_task(&TaskRecord { id: task.id, mode, public, sealed }).unwrap();
        let lost = ReportError::HpkeDecryptError as u8;
        let job = HelperJob {
            task: &task.id,
            id: &AggregationJobId::new([1; 16]),
            request_digest: &[1; 32],
            reports: &[],
            shards: &[],
            response: b"",
            lost: &[LostReports { reason: lost, reports: 3 }],
        };
        let _ = store.commit_helper_job(Timestamp(1), &job).unwrap();
        metrics.watch(&task);
        metrics.look(&store, Timestamp(2)).unwrap();
        let labels = format!("{},reason=\"hpke_decrypt_error\"", labels());
        let line = format!("sottovoce_reports_lost_total{{{labels}}} 3");
        assert_has(&metrics.text(Format::Prometheus), &[line]);
    }
}
