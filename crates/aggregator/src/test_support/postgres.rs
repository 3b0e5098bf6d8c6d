//! A PostgreSQL server of one's own, for as long as one holds it: for tests and measurements.
//!
//! Its files are in a temporary folder, which goes when the server does. A small watchdog stops it
//! when whoever started it is gone, however that came about.

use postgres::{Client, NoTls};
use rand::{TryRng, rngs::SysRng};
use std::{
    error::Error as _,
    fmt::Write as _,
    fs,
    io::{self, BufRead, BufReader, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use thiserror::Error;

/// Why a temporary server cannot be had or used.
#[derive(Debug, Error)]
pub enum TemporaryError {
    /// A file or a program cannot be used.
    #[error("{what} failed ({cause}); check the temporary folder and PostgreSQL's installation")]
    System {
        /// What was tried.
        what: String,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The server, or the program that makes its files, says that it cannot run.
    #[error("PostgreSQL does not start; it says: {log}")]
    Start {
        /// The end of what it said.
        log: String,
    },
    /// The server does not do as it is told.
    #[error("the temporary database failed: {what}")]
    Database {
        /// What it said.
        what: String,
    },
    /// Not a name that needs no quoting.
    #[error("{name:?} cannot name a database here; use a to z, digits and underscores")]
    Name {
        /// The name given.
        name: String,
    },
}

/// A running server. It listens on a free port of 127.0.0.1 and on a socket in its folder, and lets
/// in whoever knows its random password. Dropped, it ends and its files are gone.
pub struct TemporaryPostgres {
    folder: PathBuf,
    binaries: PathBuf,
    /// Whom the server runs as, where we are root: it refuses to.
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    password: String,
    port: u16,
    watchdog: Option<Child>,
    pid: u32,
}

impl TemporaryPostgres {
    /// Starts a server of the newest PostgreSQL in PATH or /usr/lib/postgresql; `None` if there is
    /// none. Its settings are PostgreSQL's own, but for 200 connections: it waits for the disk at
    /// each commit.
    pub fn start() -> Result<Option<Self>, TemporaryError> {
        Self::start_with(&[])
    }

    /// Like [`start`](Self::start), with settings on top such as `("fsync", "off")`.
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Option<Self>, TemporaryError> {
        let Some(binaries) = binaries() else { return Ok(None) };
        let folder = std::env::temp_dir().join(format!("sottovoce-postgres-{}", random()?));
        let mut server = Self {
            folder,
            binaries,
            user: user(),
            settings: settings.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            password: random()?,
            port: 0,
            watchdog: None,
            pid: 0,
        };
        server.make_files()?;
        // The port may be taken by another between asking for a free one and using it.
        let mut tries = 0..4;
        loop {
            server.port = free_port()?;
            match server.launch() {
                Ok(()) => return Ok(Some(server)),
                Err(error) if tries.next().is_none() => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// The URL of a database, with the password. The server's own is `postgres`.
    pub fn url(&self, database: &str) -> String {
        let Self { password, port, .. } = self;
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// The URL of a database through the server's socket.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        let Self { password, port, .. } = self;
        format!("postgres://postgres:{password}@{folder}:{port}/{database}?sslmode=disable")
    }

    /// Makes an empty database and returns its URL.
    pub fn create_database(&self, name: &str) -> Result<String, TemporaryError> {
        self.execute(&format!("CREATE DATABASE {}", checked(name)?))?;
        Ok(self.url(name))
    }

    /// Deletes a database, whoever is connected to it.
    pub fn drop_database(&self, name: &str) -> Result<(), TemporaryError> {
        self.execute(&format!("DROP DATABASE {} WITH (FORCE)", checked(name)?))
    }

    /// The server's process, for measuring it. Its children, one for each connection, do most of
    /// the work.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Puts a file that only the server may read in its data folder, where settings find it by its name.
    pub fn put_file(&self, name: &str, text: &str) -> Result<PathBuf, TemporaryError> {
        let path = self.folder.join("data").join(name);
        fs::write(&path, text).map_err(system("writing a file"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(system("protecting a file"))?;
        if let Some((user, group)) = self.user {
            std::os::unix::fs::chown(&path, Some(user), Some(group))
                .map_err(system("giving a file to PostgreSQL's user"))?;
        }
        Ok(path)
    }

    /// A setting such as `("ssl", "on")`, from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push(format!("{name}={value}"));
    }

    /// Ends the server and all its processes as a power loss would. What the disk has by then is
    /// what [`start_again`](Self::start_again) finds. Nothing happens to one that does not run.
    pub fn kill(&mut self) -> Result<(), TemporaryError> {
        let Some(mut watchdog) = self.watchdog.take() else { return Ok(()) };
        let told = watchdog.stdin.take().map_or(Ok(()), |mut input| input.write_all(b"kill\n"));
        told.and_then(|()| watchdog.wait()).map_err(system("killing PostgreSQL"))?;
        Ok(())
    }

    /// Starts the server again after it was killed, at the same URLs, and waits until it has
    /// recovered. Nothing happens to one that runs.
    pub fn start_again(&mut self) -> Result<(), TemporaryError> {
        if self.watchdog.is_some() {
            return Ok(());
        }
        let until = Instant::now() + RETRY;
        loop {
            match self.launch() {
                // A process that is just dying may hold the old memory for a moment.
                Err(_) if Instant::now() < until => thread::sleep(POLL),
                result => return result,
            }
        }
    }

    fn make_files(&self) -> Result<(), TemporaryError> {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(&self.folder).map_err(system("making a temporary folder"))?;
        let password = self.folder.join("password");
        fs::write(&password, &self.password).map_err(system("writing the password"))?;
        if let Some((user, group)) = self.user {
            for path in [&self.folder, &password] {
                std::os::unix::fs::chown(path, Some(user), Some(group))
                    .map_err(system("giving the folder to PostgreSQL's user"))?;
            }
        }
        let mut initdb = self.command(&self.binaries.join("initdb"));
        initdb.args(["--username=postgres", "--auth=scram-sha-256", "--pwfile=password"]);
        initdb.args(["--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata=data"]);
        let output = initdb.output().map_err(system("initdb"))?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let _ = fs::remove_dir_all(&self.folder);
        Err(TemporaryError::Start { log })
    }

    /// A program in the server's folder, as its user, in a process group of its own: Ctrl-C is for
    /// whoever started us, who then ends it in order.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("LC_ALL", "C").stdin(Stdio::null()).process_group(0);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn launch(&mut self) -> Result<(), TemporaryError> {
        let said_before = self.log().len();
        let mut watchdog = self.command(Path::new("/bin/sh"));
        watchdog.args(["-c", include_str!("watchdog.sh"), "watchdog"]).arg(&self.folder);
        watchdog.arg(self.binaries.join("postgres")).arg("-D").arg(self.folder.join("data"));
        let fixed = [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", self.folder.display()),
            "max_connections=200".to_owned(),
        ];
        for setting in fixed.iter().chain(&self.settings) {
            watchdog.args(["-c", setting]);
        }
        watchdog.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut watchdog = watchdog.spawn().map_err(system("/bin/sh"))?;
        let mut line = String::new();
        if let Some(output) = watchdog.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(system("/bin/sh"))?;
        }
        self.watchdog = Some(watchdog);
        self.pid = line.trim().parse().unwrap_or(0);
        let ready = self.wait(said_before);
        if ready.is_err() {
            self.kill()?;
        }
        ready
    }

    /// Waits until the server says in its file that it is ready, or in its log that it is not, for as long as
    /// its process lives: on a busy disk it may recover for minutes.
    fn wait(&self, said_before: usize) -> Result<(), TemporaryError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let file = fs::read_to_string(self.folder.join("data/postmaster.pid"));
            let file = file.unwrap_or_default();
            let ours = file.lines().next().and_then(|pid| pid.parse().ok()) == Some(self.pid);
            if ours && file.lines().any(|line| line.trim() == "ready") {
                return Ok(());
            }
            let log = self.log();
            let said = log.get(said_before..).unwrap_or_default();
            if gave_up(said, self.pid) || !is_running(self.pid) || Instant::now() > until {
                return Err(TemporaryError::Start { log: said.trim().to_owned() });
            }
            thread::sleep(POLL);
        }
    }

    fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn execute(&self, sql: &str) -> Result<(), TemporaryError> {
        let run = || {
            let mut client = Client::connect(&self.url("postgres"), NoTls)?;
            client.batch_execute(sql)
        };
        tokio::task::block_in_place(run)
            .map_err(|error| TemporaryError::Database { what: describe(&error) })
    }
}

impl Drop for TemporaryPostgres {
    fn drop(&mut self) {
        match self.watchdog.take() {
            Some(mut watchdog) => {
                drop(watchdog.stdin.take());
                let _ = watchdog.wait();
            }
            None => drop(fs::remove_dir_all(&self.folder)),
        }
    }
}

/// Whether the server, of this process ID, says in its log that it will not start. Clients that
/// come while it recovers are sent away in the same words, by other processes.
fn gave_up(log: &str, pid: u32) -> bool {
    log.contains(&format!("[{pid}] FATAL:")) || log.contains("aborting startup")
}

/// Whether there is such a process, and it is not only waited for. Where nobody says, it is taken for granted.
fn is_running(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => {
            !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
        }
        Err(_) => !Path::new("/proc/self/stat").exists(),
    }
}

/// Where PostgreSQL's programs are: first in PATH, then where Debian hides them.
fn binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).collect::<Vec<_>>();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .collect::<Vec<_>>();
    versions.sort_unstable();
    folders.extend(versions.into_iter().rev().map(|(_, folder)| folder.join("bin")));
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
    };
    folders.into_iter().find(complete)
}

/// The user and group to run as, if we are root: PostgreSQL's own, else nobody.
pub(crate) fn user() -> Option<(u32, u32)> {
    let ours = fs::metadata("/proc/self").ok()?;
    if std::os::unix::fs::MetadataExt::uid(&ours) != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let find = |name| {
        let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = fields.find(|fields| fields.first() == Some(&name))?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody"))
}

/// What the database says, and what is behind it if it says nothing.
fn describe(error: &postgres::Error) -> String {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        what = format!("{what}: {found}");
        cause = found.source();
    }
    what
}

fn free_port() -> Result<u16, TemporaryError> {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(port.map_err(system("looking for a free port"))?.port())
}

fn random() -> Result<String, TemporaryError> {
    let mut bytes = [0; 12];
    SysRng.try_fill_bytes(&mut bytes).map_err(|cause| TemporaryError::System {
        what: "asking for random bytes".to_owned(),
        cause: io::Error::other(cause),
    })?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn checked(name: &str) -> Result<&str, TemporaryError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let starts = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
    if starts && name.len() < 60 && name.bytes().all(plain) {
        return Ok(name);
    }
    Err(TemporaryError::Name { name: name.to_owned() })
}

fn system(what: &str) -> impl FnOnce(io::Error) -> TemporaryError {
    move |cause| TemporaryError::System { what: what.to_owned(), cause }
}

/// How long a server that runs may take until it is ready: after a kill it recovers first.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long one that ends at once is started again: the killed one may still be going.
const RETRY: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_sends_clients_away_while_it_recovers_has_not_given_up() {
        let of = |pid: u32, text: &str| format!("2026-01-01 00:00:00.000 UTC [{pid}] {text}\n");
        let sent_away = of(8, "FATAL:  the database system is starting up");
        assert!(!gave_up(&sent_away, 7));
        let in_use = of(7, "FATAL:  lock file \"postmaster.pid\" already exists");
        assert!(gave_up(&(sent_away + &in_use), 7));
        let damaged = of(9, "PANIC:  could not locate a valid checkpoint record")
            + &of(7, "LOG:  aborting startup due to startup process failure");
        assert!(gave_up(&damaged, 7));
    }

    #[test]
    fn a_process_runs_until_it_has_ended_though_nobody_has_waited_for_it() {
        let mut command = Command::new("/bin/sh");
        let mut child = command.args(["-c", "read -r _"]).stdin(Stdio::piped()).spawn().unwrap();
        assert!(is_running(child.id()));
        drop(child.stdin.take());
        let until = Instant::now() + PATIENCE;
        while is_running(child.id()) && Path::new("/proc/self/stat").exists() {
            assert!(Instant::now() < until);
            thread::sleep(POLL);
        }
        child.wait().unwrap();
    }
}
