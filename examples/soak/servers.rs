//! Both servers as processes, which can be killed, and their databases.

use anyhow::{Context, bail, ensure};
use postgres::{Client, NoTls};
use sottovoce::{command_line::write_secret, local_servers::allocator};
use sottovoce_aggregator::{
    store::{postgres::PostgresStore, sealed::DatabaseKey},
    test_support::postgres::TemporaryPostgres,
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::Instant,
};

pub(super) const ROLES: [&str; 2] = ["leader", "helper"];

/// Process IDs of both, as they are now.
pub(super) type Processes = Arc<[AtomicU32; 2]>;

pub(super) struct Servers {
    folder: PathBuf,
    ports: [u16; 2],
    children: Vec<Child>,
    processes: Processes,
}

impl Servers {
    pub(super) async fn start(
        folder: &Path,
        ports: [u16; 2],
        databases: &[String; 2],
    ) -> anyhow::Result<Self> {
        let mut servers = Self {
            folder: folder.to_owned(),
            ports,
            children: Vec::new(),
            processes: Processes::default(),
        };
        for (role, database) in databases.iter().enumerate() {
            fs::write(servers.config(role), config_text(role, ports[role], database))?;
            let child = servers.spawn(role)?;
            servers.children.push(child);
        }
        for role in 0..ROLES.len() {
            servers.wait(role).await?;
        }
        Ok(servers)
    }

    pub(super) fn processes(&self) -> Processes {
        Arc::clone(&self.processes)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// As a power loss would end it.
    pub(super) async fn kill_and_start(&mut self, role: usize) -> anyhow::Result<()> {
        self.processes[role].store(0, Relaxed);
        self.children[role].kill().await?;
        self.children[role] = self.spawn(role)?;
        self.wait(role).await
    }

    /// Runs a command of the operator's beside the running server.
    pub(super) async fn tell(
        &self,
        role: usize,
        command: &[&str],
        file: Option<&Path>,
    ) -> anyhow::Result<()> {
        let mut program = Command::new(std::env::current_exe()?);
        program.arg(ROLES[role]).args(command).arg("--config").arg(self.config(role)).args(file);
        let output = program.output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} {command:?}: {said}", ROLES[role]);
        Ok(())
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        for child in &mut self.children {
            child.kill().await?;
        }
        Ok(())
    }

    fn config(&self, role: usize) -> PathBuf {
        self.folder.join(format!("{}.toml", ROLES[role]))
    }

    fn spawn(&self, role: usize) -> anyhow::Result<Child> {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.folder.join(format!("{}.log", ROLES[role])))?;
        let child = Command::new(std::env::current_exe()?)
            .envs(allocator())
            .args([ROLES[role], "serve", "--config"])
            .arg(self.config(role))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        self.processes[role].store(child.id().unwrap_or(0), Relaxed);
        Ok(child)
    }

    async fn wait(&mut self, role: usize) -> anyhow::Result<()> {
        let url = format!("http://127.0.0.1:{}/healthz", self.ports[role]);
        let client = reqwest::Client::new();
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            let ended = self.children[role].try_wait()?;
            ensure!(ended.is_none(), "the {} ended: {ended:?}", ROLES[role]);
            if client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the {} does not answer", ROLES[role])
    }
}

fn config_text(role: usize, port: u16, database: &str) -> String {
    let name = ROLES[role];
    format!(
        "listen = \"127.0.0.1:{port}\"\n\
         database = \"{database}\"\n\
         database_key = \"{name}.key\"\n\
         secrets = \"{name}.secrets.toml\"\n\
         programs = [\"program.toml\"]\n\
         log = \"warn\"\n\
         [retention]\n\
         report_days = 1\n"
    )
}

/// Where both keep what they have.
pub(super) enum Storage {
    Sqlite([PathBuf; 2]),
    Postgres(Box<TemporaryPostgres>),
}

impl Storage {
    pub(super) fn new(folder: &Path, in_postgres: bool) -> anyhow::Result<Self> {
        if !in_postgres {
            return Ok(Self::Sqlite(ROLES.map(|role| folder.join(format!("{role}.sqlite")))));
        }
        let server = TemporaryPostgres::start()?.context("PostgreSQL is not installed")?;
        for role in ROLES {
            PostgresStore::migrate(&server.create_database(role)?, role)?;
            let key = DatabaseKey::random()?.to_text();
            write_secret(&folder.join(format!("{role}.key")), &format!("{}\n", *key))?;
        }
        Ok(Self::Postgres(Box::new(server)))
    }

    pub(super) fn names(&self) -> [String; 2] {
        match self {
            Self::Sqlite(paths) => paths.each_ref().map(|path| path.display().to_string()),
            Self::Postgres(server) => ROLES.map(|role| server.url(role)),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Bytes of both databases, and of what is written ahead of them; blocks.
    pub(super) fn bytes(&self) -> anyhow::Result<[u64; 3]> {
        match self {
            Self::Sqlite([leader, helper]) => {
                let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
                let ahead = |path: &Path| size(&path.with_extension("sqlite-wal"));
                Ok([size(leader), size(helper), ahead(leader) + ahead(helper)])
            }
            Self::Postgres(server) => {
                let mut client = Client::connect(&server.url("postgres"), NoTls)?;
                let sql = "SELECT pg_database_size('leader'), pg_database_size('helper'),
                           (SELECT sum(size)::bigint FROM pg_ls_waldir())";
                let row = client.query_one(sql, &[])?;
                let size = |at: usize| u64::try_from(row.get::<_, i64>(at));
                Ok([size(0)?, size(1)?, size(2)?])
            }
        }
    }
}
