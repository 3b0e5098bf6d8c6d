//! Where faults happen: leaders and helpers as processes of their own, each with its database.

use crate::{
    shim::Shim,
    support::{
        device::Keys,
        http::Ask,
        server::{HELPER, LEADER, Server, free_port, poll},
        task::{HISTOGRAM, Task, TaskSpec, now},
        world::{Collected, write_secret},
    },
};
use rusqlite::Connection;
use sottovoce_aggregator::test_support::postgres::TemporaryPostgres;
use sottovoce_collector::{collect::request, open::open};
use sottovoce_dap::{
    codec::{Decode, Encode},
    collect::{CollectionJobResp, Query},
    hpke::native::Opener,
    media_type::MediaType,
    problem::ProblemType,
    task::{BatchMode, VdafConfig},
    time::{Interval, Time},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

/// What a kind of fault wants of its stage.
#[derive(Default)]
pub(crate) struct Setting {
    pub(crate) tasks: Vec<TaskSpec>,
    /// URLs of the leader's and of the helper's database; SQLite files if there are none.
    pub(crate) postgres: Option<[String; 2]>,
    /// Leaders, and as many helpers; one of each if 0.
    pub(crate) replicas: usize,
    /// The ports that tasks name, if not the servers' own.
    pub(crate) seen_at: [Option<u16>; 2],
    /// Whether the servers' clocks and disks are at the test's command.
    pub(crate) shimmed: bool,
    /// Lines for the end of both servers' configurations.
    pub(crate) lines: &'static str,
}

/// Running servers and what they agreed on.
pub(crate) struct Stage {
    pub(crate) leaders: Vec<Server>,
    pub(crate) helpers: Vec<Server>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) folder: TempDir,
    /// The first of the windows that are over.
    pub(crate) window: Time,
    /// What the leader and the helper are told, in this order.
    pub(crate) shims: Option<[Shim; 2]>,
    keys: OnceLock<Keys>,
    leader_database: Database,
}

/// The leader's database, for a look at it.
enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

/// What a leader has yet to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UnderWay {
    /// Reports that are acknowledged and not aggregated.
    pub(crate) reports: u64,
    /// Jobs that somebody works on.
    pub(crate) jobs: u64,
}

impl Stage {
    /// Starts everything.
    pub(crate) fn start(setting: &Setting) -> Self {
        let stage = Self::prepare(setting);
        stage.helpers.iter().chain(&stage.leaders).for_each(Server::start);
        stage
    }

    /// Makes all files and starts nothing.
    fn prepare(setting: &Setting) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let replicas = setting.replicas.max(1);
        let ports = [(); 2].map(|()| (0..replicas).map(|_| free_port()).collect::<Vec<_>>());
        let endpoint = |role: usize| {
            format!("http://127.0.0.1:{}/", setting.seen_at[role].unwrap_or(ports[role][0]))
        };
        let tasks: Vec<_> =
            setting.tasks.iter().map(|spec| Task::new(spec, &endpoint(0), &endpoint(1))).collect();
        let database = |role: usize| match &setting.postgres {
            Some(urls) => urls[role].clone(),
            None => folder.path().join(format!("{}.db", ROLES[role])).display().to_string(),
        };
        let leader_database = match &setting.postgres {
            Some(urls) => Database::Postgres(urls[0].clone()),
            None => Database::Sqlite(database(0).into()),
        };
        let shims =
            setting.shimmed.then(|| [0, 1].map(|role| Shim::new(folder.path(), ROLES[role])));
        let [leaders, helpers] = [0, 1].map(|role| {
            let files = task_files(folder.path(), role, &tasks);
            let server = |(number, port): (usize, &u16)| {
                let config = folder.path().join(format!("{}-{number}.toml", ROLES[role]));
                let text = config_text(role, *port, &database(role), setting.lines, &files);
                fs::write(&config, text).unwrap();
                let server = Server::new([LEADER, HELPER][role], *port, config);
                // Each failure, and not only outages, for tests that wait for the next one.
                let filter = "info,sottovoce_aggregator::outages=debug";
                let server = server.with("SOTTOVOCE_LOG", filter.into());
                match &shims {
                    Some(shims) => shims[role].fool(server, folder.path()),
                    None => server,
                }
            };
            ports[role].iter().enumerate().map(server).collect::<Vec<_>>()
        });
        if setting.postgres.is_some() {
            make_database(folder.path(), "leader", &leaders[0]);
            make_database(folder.path(), "helper", &helpers[0]);
        }
        let window = Time(now().0 - 200);
        let keys = OnceLock::new();
        Self { leaders, helpers, tasks, folder, window, shims, keys, leader_database }
    }

    /// The leader and the helper.
    pub(crate) fn server(&self, role: usize) -> &Server {
        &[&self.leaders, &self.helpers][role][0]
    }

    pub(crate) fn leader(&self) -> &Server {
        &self.leaders[0]
    }

    pub(crate) fn helper(&self) -> &Server {
        &self.helpers[0]
    }

    pub(crate) fn keys(&self) -> &Keys {
        self.keys.get_or_init(|| Keys::fetch(&self.tasks[0]))
    }

    /// Collects a batch, asking until there is an answer, whoever is killed meanwhile and wherever
    /// clocks are.
    pub(crate) fn collect(&self, task: &Task, query: Query) -> Collected {
        let request = request(query);
        let mut location: Option<String> = None;
        let answer = poll("the collection", || {
            let ask = match &location {
                None => Ask::post(
                    &task.at_leader("collection_jobs"),
                    MediaType::CollectionJobReq,
                    request.to_bytes(),
                ),
                Some(location) => Ask::get(location),
            };
            let answer = ask.token(&task.collector_token).try_send().ok()?;
            if answer.status >= 500 {
                return None;
            }
            if answer.status == 400 && answer.problem().kind() == Some(ProblemType::BatchInvalid) {
                // Not over yet, by a clock that is behind.
                location = None;
                return None;
            }
            assert_eq!(answer.status, 200, "{}", answer.text());
            location.get_or_insert_with(|| answer.location());
            (!answer.body.is_empty()).then_some(answer)
        });
        let response = CollectionJobResp::from_bytes(&answer.body).unwrap();
        let opener = Opener::new(&task.collector).unwrap();
        // The shares open and add up only if both servers had the same reports in it.
        let result = open(&task.id, &task.configuration, &request, &response, &opener).unwrap();
        let (count, interval) = (response.report_count, response.interval);
        Collected { count, interval, result, location: location.unwrap(), body: answer.body }
    }

    /// Tells the leader that a collected batch is in good hands, until it has heard.
    pub(crate) fn delete(&self, task: &Task, collected: &Collected) {
        poll("the deletion", || {
            let ask = Ask::delete(&collected.location).token(&task.collector_token);
            ask.try_send().ok().filter(|answer| answer.status < 500)
        })
        .ok();
    }

    /// The query for one window.
    pub(crate) fn query(window: Time) -> Query {
        Query::TimeInterval(Interval::new(window, 1).unwrap().into())
    }

    /// What the leader has yet to do; `None` while its database is away.
    pub(crate) fn under_way(&self) -> Option<UnderWay> {
        let read = |reports: i64, jobs: i64| UnderWay {
            reports: u64::try_from(reports).unwrap(),
            jobs: u64::try_from(jobs).unwrap(),
        };
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(elapsed.as_millis()).unwrap();
        match &self.leader_database {
            Database::Sqlite(path) => {
                let database = Connection::open(path).unwrap();
                database.busy_timeout(Duration::from_secs(10)).unwrap();
                let sql = UNDER_WAY.replace("{schema}", "").replace("{now}", &now.to_string());
                database.query_row(&sql, [], |row| Ok(read(row.get(0)?, row.get(1)?))).ok()
            }
            Database::Postgres(url) => {
                let mut client = postgres::Client::connect(url, postgres::NoTls).ok()?;
                let sql =
                    UNDER_WAY.replace("{schema}", "sottovoce.").replace("{now}", &now.to_string());
                let row = client.query_one(&sql, &[]).ok()?;
                Some(read(row.get(0), row.get(1)))
            }
        }
    }

    /// Waits until no acknowledged report is left to be aggregated.
    pub(crate) fn wait_until_aggregated(&self) {
        poll("aggregation", || self.under_way().filter(|left| left.reports == 0).map(drop));
    }
}

/// A time-interval and a leader-selected task.
pub(crate) fn two_modes(min_batch_size: u64) -> Vec<TaskSpec> {
    let of = |vdaf, mode| TaskSpec { min_batch_size, ..TaskSpec::new(vdaf, mode) };
    vec![
        of(HISTOGRAM, BatchMode::TimeInterval),
        of(VdafConfig::Prio3Count, BatchMode::LeaderSelected),
    ]
}

const UNDER_WAY: &str = "
    SELECT CAST(coalesce((SELECT sum(reports) FROM {schema}segments), 0) AS bigint),
        (SELECT count(*) FROM {schema}jobs WHERE leased_until > {now})";

const ROLES: [&str; 2] = ["leader", "helper"];

fn task_files(folder: &Path, role: usize, tasks: &[Task]) -> Vec<String> {
    let write = |(number, task): (usize, &Task)| {
        let name = format!("{}.task-{number}.json", ROLES[role]);
        write_secret(&folder.join(&name), &task.file(role == 0));
        name
    };
    tasks.iter().enumerate().map(write).collect()
}

/// Small jobs, so that there is always one under way, and leases that run out soon.
fn config_text(role: usize, port: u16, database: &str, lines: &str, tasks: &[String]) -> String {
    let role = ROLES[role];
    format!(
        "listen = \"127.0.0.1:{port}\"\ndatabase = {database:?}\ndatabase_key = \"{role}.key\"\n\
         tasks = {tasks:?}\n\
         [aggregation]\njob_reports = 150\nlinger_milliseconds = 100\nlease_seconds = 4\n{lines}\n"
    )
}

fn make_database(folder: &Path, role: &str, server: &Server) {
    let output = |command: &[&str]| {
        let output = server.run(command);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let key = String::from_utf8(output(&["database", "new-key"])).unwrap();
    write_secret(&folder.join(format!("{role}.key")), &key);
    output(&["database", "migrate", "--config", &server.config.display().to_string()]);
}

/// A database server of the test's own; says so if there is no PostgreSQL, which is a failure
/// where it was asked for.
pub(crate) fn postgres() -> Option<TemporaryPostgres> {
    let server = TemporaryPostgres::start().unwrap();
    if server.is_none() {
        let required = std::env::var_os("SOTTOVOCE_REQUIRE_POSTGRES").is_some();
        assert!(!required, "PostgreSQL is not installed, and SOTTOVOCE_REQUIRE_POSTGRES is set");
        println!("skipped: PostgreSQL is not installed");
    }
    server
}

/// Databases for both roles.
pub(crate) fn databases(server: &TemporaryPostgres, number: u64) -> [String; 2] {
    ROLES.map(|role| server.create_database(&format!("{role}_{number}")).unwrap())
}
