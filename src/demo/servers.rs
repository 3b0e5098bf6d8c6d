//! A leader and a helper as processes of their own, on loopback.

use anyhow::{Context, bail};
use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// Both servers; killed when dropped.
pub(super) struct Servers {
    leader: Server,
    helper: Server,
}

struct Server {
    role: &'static str,
    process: Child,
    log: PathBuf,
    address: String,
}

/// What a server took of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time of the leader and of the helper.
    pub cpu: [Duration; 2],
    /// Peak memory of the leader and of the helper, in kilobytes.
    pub memory: [u64; 2],
}

/// Two ports that nobody listens on.
pub(super) fn free_ports() -> anyhow::Result<[u16; 2]> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}

impl Servers {
    /// Starts both in `folder`, where the program and the secrets are, and waits for them.
    pub(super) async fn start(folder: &Path, [leader, helper]: [u16; 2]) -> anyhow::Result<Self> {
        let mut servers = Self {
            leader: Server::spawn("leader", folder, leader)?,
            helper: Server::spawn("helper", folder, helper)?,
        };
        servers.leader.wait_until_ready().await?;
        servers.helper.wait_until_ready().await?;
        Ok(servers)
    }

    /// Stops both, in good order if the system knows how; says what they took.
    pub(super) async fn stop(mut self) -> anyhow::Result<Usage> {
        let (leader, helper) = (self.leader.usage(), self.helper.usage());
        for server in [&mut self.leader, &mut self.helper] {
            server.process.kill().await.with_context(|| format!("stopping the {}", server.role))?;
        }
        Ok(Usage { cpu: [leader.0, helper.0], memory: [leader.1, helper.1] })
    }
}

impl Server {
    fn spawn(role: &'static str, folder: &Path, port: u16) -> anyhow::Result<Self> {
        let config = folder.join(format!("{role}.toml"));
        let address = format!("127.0.0.1:{port}");
        let text = format!(
            "listen = \"{address}\"\n\
             database = \"{role}.sqlite\"\n\
             database_key = \"{role}.key\"\n\
             secrets = \"{role}.secrets.toml\"\n\
             programs = [\"program.toml\"]\n"
        );
        std::fs::write(&config, text)?;
        let log = folder.join(format!("{role}.log"));
        let output = File::create(&log)?;
        let process = Command::new(std::env::current_exe()?)
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

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let client = reqwest::Client::new();
        let url = format!("http://{}/healthz", self.address);
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!("the {} ended at once ({status}):\n{log}", self.role);
            }
            if client.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the {} is not ready after 30 seconds", self.role)
    }

    /// CPU time and peak memory in kilobytes, where the system has `/proc`.
    fn usage(&self) -> (Duration, u64) {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.process.id().unwrap_or(0));
            std::fs::read_to_string(path).unwrap_or_default()
        };
        // After the name in parentheses: state is field 3, user and system time are 14 and 15,
        // in hundredths of a second on every Linux.
        let stat = read("stat");
        let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
        let ticks: u64 =
            fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = read("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.split_whitespace().next()?.parse().ok());
        (Duration::from_millis(ticks * 10), peak.unwrap_or(0))
    }
}
