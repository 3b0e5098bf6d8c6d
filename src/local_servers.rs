//! A leader and a helper as processes of their own, on loopback: for the demonstration and for
//! measurements.
//!
//! Each is this same program, run as a server with its own configuration, keys and database.

use anyhow::{Context, bail};
use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// What two servers are started with.
#[derive(Debug)]
pub struct Setup<'a> {
    /// Where the program (`program.toml`) and the secrets are, and databases and logs will be.
    pub folder: &'a Path,
    /// Ports of the leader and of the helper.
    pub ports: [u16; 2],
    /// Databases of the leader and of the helper, as their configurations name them.
    pub databases: [String; 2],
}

/// Both servers; killed when dropped.
#[derive(Debug)]
pub struct Servers {
    leader: Server,
    helper: Server,
}

#[derive(Debug)]
struct Server {
    role: &'static str,
    process: Child,
    log: PathBuf,
    address: String,
}

/// What a process used of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time.
    pub cpu: Duration,
    /// Peak memory, in kilobytes.
    pub memory: u64,
}

/// Settings of the C library's allocator for a server, the same as in the units of `deploy/`, except for those that
/// this process's own environment has. Without them there is a heap for each thread, and a server that
/// runs for long keeps more of what it freed.
pub fn allocator() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALLOCATOR.into_iter().filter(|(name, _)| std::env::var_os(name).is_none())
}

const ALLOCATOR: [(&str, &str); 4] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "32768"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
    ("MALLOC_TOP_PAD_", "65536"),
];

/// Two free ports.
pub fn free_ports() -> anyhow::Result<[u16; 2]> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}

impl Servers {
    /// Starts both and waits until they are ready.
    pub async fn start(setup: &Setup<'_>) -> anyhow::Result<Self> {
        let [leader, helper] = setup.ports;
        let [leader_database, helper_database] = &setup.databases;
        let mut servers = Self {
            leader: Server::spawn("leader", setup.folder, leader, leader_database)?,
            helper: Server::spawn("helper", setup.folder, helper, helper_database)?,
        };
        servers.leader.wait_until_ready().await?;
        servers.helper.wait_until_ready().await?;
        Ok(servers)
    }

    /// What the leader and the helper have used so far.
    pub fn usage(&self) -> [Usage; 2] {
        [&self.leader, &self.helper].map(|server| Usage::of(server.process.id().unwrap_or(0)))
    }

    /// The process ID of the helper, to pause it.
    pub fn helper_id(&self) -> Option<u32> {
        self.helper.process.id()
    }

    /// Waits until either server ends by itself, and says why with the end of its log.
    pub async fn failed(&mut self) -> anyhow::Error {
        let Self { leader, helper } = self;
        tokio::select! {
            error = leader.ended() => error,
            error = helper.ended() => error,
        }
    }

    /// Asks both to stop, as an operator would, and waits for them; kills one that does not. Gives what
    /// they used.
    pub async fn stop(mut self) -> anyhow::Result<[Usage; 2]> {
        let usage = self.usage();
        let Self { leader, helper } = &mut self;
        let (leader, helper) = tokio::join!(leader.stop(), helper.stop());
        leader?;
        helper?;
        Ok(usage)
    }
}

impl Server {
    fn spawn(role: &'static str, folder: &Path, port: u16, database: &str) -> anyhow::Result<Self> {
        let config = folder.join(format!("{role}.toml"));
        let address = format!("127.0.0.1:{port}");
        let text = format!(
            "listen = \"{address}\"\n\
             database = \"{database}\"\n\
             database_key = \"{role}.key\"\n\
             secrets = \"{role}.secrets.toml\"\n\
             programs = [\"program.toml\"]\n"
        );
        std::fs::write(&config, text)?;
        let log = folder.join(format!("{role}.log"));
        let output = File::create(&log)?;
        let process = Command::new(std::env::current_exe()?)
            .envs(allocator())
            .args([role, "serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting the {role}"))?;
        Ok(Self { role, process, log, address })
    }

    async fn ended(&mut self) -> anyhow::Error {
        let status = self.process.wait().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        anyhow::anyhow!("the {} has ended ({status}):\n{}", self.role, self.last_lines())
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(process) = self.process.id() else { return Ok(()) };
        let asked = signal(process, "TERM").await.is_ok();
        if asked && tokio::time::timeout(STOP_WITHIN, self.process.wait()).await.is_ok() {
            return Ok(());
        }
        self.process.kill().await.with_context(|| format!("stopping the {}", self.role))
    }

    fn last_lines(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let client = reqwest::Client::new();
        let url = format!("http://{}/healthz", self.address);
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                bail!("the {} has ended ({status}):\n{}", self.role, self.last_lines());
            }
            if client.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the {} is not ready after 30 seconds", self.role)
    }
}

impl Usage {
    /// What a process has used so far; zero where the system has no `/proc`.
    pub fn of(process: u32) -> Self {
        let status = read(process, "status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.split_whitespace().next()?.parse().ok());
        Self { cpu: cpu(process, 2), memory: peak.unwrap_or(0) }
    }

    /// CPU time of a process, of its children, and of those that its children waited for.
    pub fn of_family(process: u32) -> Duration {
        let children = read(process, &format!("task/{process}/children"));
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        // Fields 14 to 17: its own time, and that of children that ended.
        children.map(|child| cpu(child, 4)).sum::<Duration>() + cpu(process, 4)
    }
}

/// Sends a signal to a process of ours.
pub async fn signal(process: u32, signal: &str) -> anyhow::Result<()> {
    let mut kill = Command::new("kill");
    let status = kill.args(["-s", signal, &process.to_string()]).status().await?;
    anyhow::ensure!(status.success(), "kill -s {signal} {process}: {status}");
    Ok(())
}

/// Longer than a server takes to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// The first `fields` of: user time, system time, and the same of ended children.
fn cpu(process: u32, fields: usize) -> Duration {
    // After the name in parentheses: state is field 3, user and system time are 14 and 15, in
    // hundredths of a second on every Linux.
    let stat = read(process, "stat");
    let all = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    let ticks: u64 = all.skip(11).take(fields).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn read(process: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_measured_have_the_allocator_of_those_that_are_deployed() {
        let deployed = [
            include_str!("../deploy/systemd/sottovoce-leader.service"),
            include_str!("../deploy/systemd/sottovoce-helper.service"),
            include_str!("../deploy/Containerfile"),
        ];
        for text in deployed {
            let line = text.lines().find(|line| line.contains("MALLOC_")).unwrap();
            let words: Vec<_> = line.split([' ', '=']).skip(1).collect();
            assert_eq!(words, ALLOCATOR.map(|(name, value)| [name, value]).as_flattened());
        }
    }
}
