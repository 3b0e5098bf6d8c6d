//! A world: a leader and a helper of one's own, with a collector and devices in between.

use super::{
    device::{Keys, Shares, request},
    http::{Answer, Ask},
    server::{HELPER, LEADER, Server, free_port, poll},
    task::{Task, TaskSpec, now},
};
use rand::{SeedableRng, rngs::StdRng};
use sottovoce_collector::{collect::request as collection_request, open::open};
use sottovoce_dap::{
    codec::{Decode, Encode},
    collect::{CollectionJobReq, CollectionJobResp, Query},
    hpke::native::Opener,
    media_type::MediaType,
    problem::ProblemType,
    time::{Interval, Time},
    upload::{Report, ReportError, UploadErrors},
    vdaf::{shard::Measurement, unshard::AggregateResult},
};
use std::{fs, path::Path, sync::OnceLock};
use tempfile::TempDir;

/// What a story wants of its world.
#[derive(Default)]
pub(crate) struct WorldOptions {
    /// One default task if there is none.
    pub(crate) tasks: Vec<TaskSpec>,
    /// The filter of both servers' logs; `info` if empty.
    pub(crate) log: &'static str,
    /// Lines for the `[limits]` of both servers.
    pub(crate) limits: &'static str,
    /// The port that tasks name for the helper, if not the helper's own.
    pub(crate) helper_seen_at: Option<u16>,
    /// Further tables of the leader's and of the helper's configuration.
    pub(crate) tables: [String; 2],
    /// Whether the helper serves HTTPS.
    pub(crate) helper_https: bool,
    /// Puts files into the world's folder before the servers start.
    pub(crate) files: Option<fn(&Path)>,
}

/// Two running servers and what they agreed on.
pub(crate) struct World {
    pub(crate) leader: Server,
    pub(crate) helper: Server,
    pub(crate) tasks: Vec<Task>,
    pub(crate) folder: TempDir,
    keys: OnceLock<Keys>,
    /// A window that is over, where reports go unless a story says otherwise.
    pub(crate) window: Time,
}

/// A batch that was collected and opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Collected {
    pub(crate) count: u64,
    pub(crate) interval: Interval,
    pub(crate) result: AggregateResult,
    pub(crate) location: String,
    pub(crate) body: Vec<u8>,
}

impl World {
    pub(crate) fn start(options: WorldOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (leader_port, helper_port) = (free_port(), free_port());
        // Not all aggregators live at the root of their host.
        let leader_url = format!("http://127.0.0.1:{leader_port}/");
        let helper_seen_at = options.helper_seen_at.unwrap_or(helper_port);
        let scheme = if options.helper_https { "https" } else { "http" };
        let helper_url = format!("{scheme}://127.0.0.1:{helper_seen_at}/dap/v19");
        if let Some(files) = options.files {
            files(folder.path());
        }
        let specs =
            if options.tasks.is_empty() { vec![TaskSpec::default()] } else { options.tasks };
        let task = |spec: &TaskSpec| {
            let elsewhere =
                spec.helper_port.map(|port| format!("{scheme}://127.0.0.1:{port}/dap/v19"));
            Task::new(spec, &leader_url, elsewhere.as_ref().unwrap_or(&helper_url))
        };
        let tasks: Vec<Task> = specs.iter().map(task).collect();
        let config = |role: &str, port, path| {
            let log = if options.log.is_empty() { "info" } else { options.log };
            let files = task_files(folder.path(), role, &tasks);
            let tables = &options.tables[usize::from(role == "helper")];
            let text = config_text(role, port, path, log, options.limits, &files) + tables;
            let file = folder.path().join(format!("{role}.toml"));
            fs::write(&file, text).unwrap();
            file
        };
        let leader = Server::new(LEADER, leader_port, config("leader", leader_port, "/"));
        let mut helper =
            Server::new(HELPER, helper_port, config("helper", helper_port, "/dap/v19/"));
        helper.scheme = scheme;
        helper.start();
        leader.start();
        let window = Time(now().0 - 100);
        Self { leader, helper, tasks, folder, keys: OnceLock::new(), window }
    }

    pub(crate) fn with_task(spec: TaskSpec) -> Self {
        Self::start(WorldOptions { tasks: vec![spec], ..Default::default() })
    }

    /// The first task, which is the only one in most worlds.
    pub(crate) fn task(&self) -> &Task {
        &self.tasks[0]
    }

    pub(crate) fn keys(&self) -> &Keys {
        self.keys.get_or_init(|| Keys::fetch(self.task()))
    }

    pub(crate) fn kill_both(&self) {
        self.leader.kill();
        self.helper.kill();
    }

    pub(crate) fn start_both(&self) {
        self.helper.start();
        self.leader.start();
    }

    pub(crate) fn report_of(&self, task: &Task, measurement: &Measurement) -> Report {
        Shares::new(task, measurement, self.window).seal(task, self.keys())
    }

    /// Reports of the world's task and window.
    pub(crate) fn reports(&self, measurements: &[Measurement]) -> Vec<Report> {
        measurements.iter().map(|measurement| self.report_of(self.task(), measurement)).collect()
    }

    /// An upload that is sent as it stands.
    pub(crate) fn ask_upload(&self, body: Vec<u8>) -> Ask {
        Ask::post(&self.task().at_leader("reports"), MediaType::UploadReq, body)
    }

    /// Uploads, and gives the errors of single reports in their order.
    pub(crate) fn upload_to(&self, task: &Task, reports: &[Report]) -> Vec<ReportError> {
        let body = request(reports);
        let answer = Ask::post(&task.at_leader("reports"), MediaType::UploadReq, body).send();
        let errors = UploadErrors::from_bytes(&answer.ok()).unwrap();
        errors.status.into_iter().map(|status| status.error).collect()
    }

    /// Uploads reports of the world's task.
    pub(crate) fn upload(&self, reports: &[Report]) -> Vec<ReportError> {
        self.upload_to(self.task(), reports)
    }

    /// Uploads reports that must all be taken.
    pub(crate) fn upload_all(&self, reports: &[Report]) {
        assert_eq!(self.upload(reports), []);
    }

    /// The query for the world's window.
    pub(crate) fn query(&self) -> Query {
        self.query_of(0, 1)
    }

    /// The query for windows from `start` after the world's.
    pub(crate) fn query_of(&self, start: u64, duration: u64) -> Query {
        let interval = Interval::new(Time(self.window.0 + start), duration).unwrap();
        Query::TimeInterval(interval.into())
    }

    /// A collection request that is sent as it stands.
    pub(crate) fn ask_collection(&self, request: &CollectionJobReq) -> Ask {
        self.ask_collection_of(self.task(), request)
    }

    /// The same of any task.
    pub(crate) fn ask_collection_of(&self, task: &Task, request: &CollectionJobReq) -> Ask {
        let url = task.at_leader("collection_jobs");
        Ask::post(&url, MediaType::CollectionJobReq, request.to_bytes())
            .token(&task.collector_token)
    }

    /// Collects a batch of the world's task.
    pub(crate) fn collect(&self, query: Query) -> Collected {
        self.collect_of(self.task(), query).unwrap_or_else(|answer| panic!("{}", answer.text()))
    }

    /// Asks for a batch that must be refused.
    #[track_caller]
    pub(crate) fn collection_refused(&self, query: Query, kind: ProblemType) {
        match self.collect_of(self.task(), query) {
            Ok(collected) => panic!("{collected:?}"),
            Err(answer) => answer.refused_as(kind),
        }
    }

    /// Collects a batch, or gives the refusal.
    pub(crate) fn collect_of(&self, task: &Task, query: Query) -> Result<Collected, Box<Answer>> {
        let request = collection_request(query);
        let mut answer = self.ask_collection_of(task, &request).send();
        if answer.status != 200 {
            return Err(Box::new(answer));
        }
        let location = answer.location();
        if answer.body.is_empty() {
            answer = poll("the collection", || {
                let answer = Ask::get(&location).token(&task.collector_token).send();
                (answer.status != 200 || !answer.body.is_empty()).then_some(answer)
            });
        }
        if answer.status != 200 {
            return Err(Box::new(answer));
        }
        let response = CollectionJobResp::from_bytes(&answer.body).unwrap();
        let opener = Opener::new(&task.collector).unwrap();
        let result = open(&task.id, &task.configuration, &request, &response, &opener).unwrap();
        Ok(Collected {
            count: response.report_count,
            interval: response.interval,
            result,
            location,
            body: answer.body,
        })
    }

    /// Tells the leader that a collected batch is in good hands.
    pub(crate) fn delete(&self, task: &Task, collected: &Collected) {
        Ask::delete(&collected.location).token(&task.collector_token).send().ok();
    }

    /// Collects the world's window and checks it to the last digit.
    #[track_caller]
    pub(crate) fn expect(&self, measurements: &[Measurement]) -> Collected {
        let collected = self.collect(self.query());
        let expected = super::task::total(&self.task().configuration.vdaf, measurements);
        assert_eq!(collected.result, expected);
        assert_eq!(collected.count, measurements.len() as u64);
        collected
    }

    /// Waits until so many reports are stuck and no others are left to be aggregated.
    pub(crate) fn wait_until_stuck(&self, reports: i64) {
        let path = self.folder.path().join("leader.db");
        let database = rusqlite::Connection::open(path).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        let sql = "SELECT coalesce(sum(reports) FILTER (WHERE stuck = 1), 0),
                          coalesce(sum(reports) FILTER (WHERE stuck = 0), 0) FROM segments";
        poll("bisection", || {
            let left: (i64, i64) =
                database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            (left == (reports, 0)).then_some(())
        });
    }

    /// Waits until no uploaded report is left to be aggregated.
    pub(crate) fn wait_until_aggregated(&self) {
        let path = self.folder.path().join("leader.db");
        let database = rusqlite::Connection::open(path).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        poll("aggregation", || {
            let left: i64 =
                database.query_row("SELECT count(*) FROM segments", [], |row| row.get(0)).unwrap();
            (left == 0).then_some(())
        });
    }
}

/// Randomness that can be had again: the seed is in the output of a test that fails.
pub(crate) fn seeded(seed: u64) -> StdRng {
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

fn task_files(folder: &Path, role: &str, tasks: &[Task]) -> Vec<String> {
    let write = |(number, task): (usize, &Task)| {
        let name = format!("{role}.task-{number}.json");
        write_secret(&folder.join(&name), &task.file(role == "leader"));
        name
    };
    tasks.iter().enumerate().map(write).collect()
}

fn config_text(
    role: &str,
    port: u16,
    path: &str,
    log: &str,
    limits: &str,
    tasks: &[String],
) -> String {
    format!(
        "listen = \"127.0.0.1:{port}\"\npath = \"{path}\"\ndatabase = \"{role}.db\"\n\
         database_key = \"{role}.key\"\nlog = \"{log}\"\n\
         tasks = {tasks:?}\n[limits]\n{limits}\n"
    )
}

/// Writes a file that only its owner may read: a server takes no other for its secrets.
pub(crate) fn write_secret(path: &Path, text: &str) {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
