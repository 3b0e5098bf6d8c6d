//! One server process: started, asked whether it is there, killed.

use super::http::Ask;
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) const LEADER: &str = env!("CARGO_BIN_EXE_sottovoce-leader");
pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_sottovoce-helper");

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// The same of a server that starts, while its process lives.
const START: Duration = Duration::from_secs(300);

/// A server that may or may not be running.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) config: PathBuf,
    pub(crate) scheme: &'static str,
    binary: &'static str,
    verb: &'static str,
    log: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
    child: Mutex<Option<Child>>,
}

impl Server {
    pub(crate) fn new(binary: &'static str, port: u16, config: PathBuf) -> Self {
        let log = config.with_extension("log");
        Self {
            port,
            config,
            scheme: "http",
            binary,
            verb: "serve",
            log,
            environment: Vec::new(),
            child: Mutex::new(None),
        }
    }

    /// The same for a binary whose command to serve has another name.
    pub(crate) fn told(mut self, verb: &'static str) -> Self {
        self.verb = verb;
        self
    }

    /// The same with a variable that names a file in its environment.
    pub(crate) fn with(mut self, variable: &'static str, file: PathBuf) -> Self {
        self.environment.push((variable, file));
        self
    }

    /// Starts the server and waits until it answers, for as long as its process lives: its database may still
    /// be recovering.
    pub(crate) fn start(&self) {
        self.launch();
        poll_within(START, "the server's start", || {
            if let Some(status) = self.child.lock().unwrap().as_mut().unwrap().try_wait().unwrap() {
                panic!("{} ended with {status}:\n{}", self.binary, self.log());
            }
            self.answers().then_some(())
        });
    }

    /// Starts the server and does not wait.
    pub(crate) fn launch(&self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let child = told(self.binary, self.verb, &self.config)
            .envs(self.environment.iter().map(|(variable, file)| (variable, file)))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let before = self.child.lock().unwrap().replace(child);
        assert!(before.is_none(), "the server is running already");
    }

    fn answers(&self) -> bool {
        let url = format!("{}://127.0.0.1:{}/healthz", self.scheme, self.port);
        Ask::get(&url).try_send().is_ok_and(|answer| answer.status == 200)
    }

    /// How the server ended, if it did by itself.
    pub(crate) fn ended(&self) -> Option<std::process::ExitStatus> {
        self.child.lock().unwrap().as_mut()?.try_wait().unwrap()
    }

    /// SIGKILL, without a chance to tidy up.
    pub(crate) fn kill(&self) {
        // Also when a test has panicked with the lock in its hands.
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; gives the exit status.
    pub(crate) fn terminate(&self) -> std::process::ExitStatus {
        let mut child = self.child.lock().unwrap().take().expect("a running server");
        let pid = child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        poll("the server's end", || child.try_wait().unwrap())
    }

    /// SIGTERM, after which the server must have ended by itself before `bound` is over.
    pub(crate) fn terminate_within(&self, bound: Duration) -> std::process::ExitStatus {
        let began = Instant::now();
        let status = self.terminate();
        let took = began.elapsed();
        assert!(took < bound, "the server went on for {took:?} after SIGTERM:\n{}", self.log());
        status
    }

    /// The process that is running.
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap().as_ref().expect("a running server").id()
    }

    /// All that was ever logged and printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for words in the log.
    pub(crate) fn wait_for_log(&self, words: &str) {
        poll(words, || self.log().contains(words).then_some(()));
    }

    /// Runs an operator's command with the server's configuration.
    pub(crate) fn tell(&self, command: &[&str]) -> Output {
        self.run(&[command, &["--config", self.config.to_str().unwrap()]].concat())
    }

    /// Runs another command of the server's binary to its end.
    pub(crate) fn run(&self, command: &[&str]) -> Output {
        binary(self.binary).args(command).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!("--- {} ---\n{}", self.log.display(), last.join("\n"));
        }
    }
}

/// The command that serves.
pub(crate) fn serve(name: &str, config: &Path) -> Command {
    told(name, "serve", config)
}

fn told(name: &str, verb: &str, config: &Path) -> Command {
    let mut command = binary(name);
    command.args([verb, "--config"]).arg(config).stdin(Stdio::null());
    command
}

/// A server's binary, which would take the tests' own variables for settings of its own.
fn binary(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("NO_COLOR", "1");
    for variable in TEST_VARIABLES {
        command.env_remove(variable);
    }
    command
}

const TEST_VARIABLES: [&str; 2] = ["SOTTOVOCE_FAULT_SEED", "SOTTOVOCE_FAULT_ROUNDS"];

/// Asks again and again until there is an answer; panics when patience is over.
pub(crate) fn poll<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    poll_within(PATIENCE, what, ask)
}

fn poll_within<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(started.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A free port below those that the system gives to outgoing connections, so that it is still
/// free when a killed server comes back.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 200).unwrap() * 100;
    loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
