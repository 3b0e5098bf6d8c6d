//! The command line of both servers: the same words, each for its own role.

use super::{
    config::{Config, read},
    keyring::Keyring,
    serve::{listen, serve, stop_signal},
    store::{Datastore, Put, sealed::DatabaseKey, sqlite::SqliteStore},
    task::StoredTask,
    task_file::FromFile,
    tasks::Tasks,
};
use crate::program::Program;
use anyhow::Context;
use clap::{Args, Subcommand};
use std::{
    future::Future,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{net::TcpListener, sync::watch};
use zeroize::Zeroizing;

/// What a server can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until told to stop (Ctrl-C or SIGTERM).
    Serve(ConfigArgs),
    /// Manage the tasks in the database, whether the server is running or not.
    #[command(subcommand)]
    Tasks(TasksCommand),
}

/// What can be done with tasks.
#[derive(Debug, Subcommand)]
pub enum TasksCommand {
    /// Take on the tasks of a program (.toml) or of a plain DAP task file (.json).
    Add {
        /// Where the server's configuration is.
        #[command(flatten)]
        config: ConfigArgs,
        /// The program or task file.
        file: PathBuf,
    },
    /// List the tasks, one line each.
    List(ConfigArgs),
}

/// Where the server's configuration is.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The server's configuration file.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
}

/// Runs the leader's command.
#[cfg(feature = "leader")]
pub fn leader(command: Command) -> anyhow::Result<()> {
    use super::{
        leader::{self, Leader, Policy},
        task::LeaderTask,
    };
    let args = match command {
        Command::Serve(args) => args,
        Command::Tasks(command) => return tasks::<LeaderTask>(command),
    };
    let opened = Opened::<LeaderTask>::open(&args.config)?;
    opened.take_on()?;
    opened.serve(async |listener, parts, stop| {
        let http = crate::transport::http::HttpClient::new(HELPER_TIMEOUT)?;
        let Parts { config, store, key, keyring } = parts;
        let leader = Arc::new(Leader::new(store, key, keyring, http));
        let router = leader::router(Arc::clone(&leader), config.limits);
        let work = tokio::spawn(leader::run(leader, Policy::default(), stop.clone()));
        serve(listener, &config.path, router, stop).await?;
        Ok(work.await?)
    })
}

/// Longer than a helper takes for the largest job, shorter than a lease.
#[cfg(feature = "leader")]
const HELPER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Runs the helper's command.
#[cfg(feature = "helper")]
pub fn helper(command: Command) -> anyhow::Result<()> {
    use super::{
        helper::{self, Helper},
        task::HelperTask,
    };
    let args = match command {
        Command::Serve(args) => args,
        Command::Tasks(command) => return tasks::<HelperTask>(command),
    };
    let opened = Opened::<HelperTask>::open(&args.config)?;
    opened.take_on()?;
    opened.serve(async |listener, parts, stop| {
        let Parts { config, store, key, keyring } = parts;
        let router = helper::router(Arc::new(Helper::new(store, key, keyring)), config.limits);
        Ok(serve(listener, &config.path, router, stop).await?)
    })
}

fn tasks<T: StoredTask + FromFile>(command: TasksCommand) -> anyhow::Result<()> {
    match command {
        TasksCommand::Add { config, file } => {
            let opened = Opened::<T>::open(&config.config)?;
            let is_task = file.extension().is_some_and(|extension| extension == "json");
            if is_task { opened.add_task_file(&file) } else { opened.add_program(&file) }
        }
        TasksCommand::List(config) => {
            for task in Opened::<T>::open(&config.config)?.tasks.all()? {
                let task = task.task();
                let configuration = &task.configuration;
                crate::command_line::print(format_args!(
                    "{}  {}  {:?}  at least {} reports, windows of {} s",
                    task.id,
                    configuration.vdaf.name(),
                    configuration.batch_mode,
                    configuration.min_batch_size,
                    configuration.time_precision.seconds(),
                ))?;
            }
            Ok(())
        }
    }
}

/// A configuration with its database.
struct Opened<T> {
    config: Config,
    store: Arc<SqliteStore>,
    key: DatabaseKey,
    tasks: Tasks<T>,
}

impl<T: StoredTask + FromFile> Opened<T> {
    fn open(config: &Path) -> anyhow::Result<Self> {
        let config = Config::read(config)?;
        let key = database_key(&config)?;
        let store = Arc::new(SqliteStore::open(&config.database, T::ROLE)?);
        let tasks = Tasks::new(Arc::clone(&store) as Arc<dyn Datastore>, key.clone());
        Ok(Self { config, store, key, tasks })
    }

    /// Adds the tasks that the configuration names.
    fn take_on(&self) -> anyhow::Result<()> {
        self.config.programs.iter().try_for_each(|program| self.add_program(program))?;
        self.config.tasks.iter().try_for_each(|task| self.add_task_file(task))
    }

    fn add_program(&self, path: &Path) -> anyhow::Result<()> {
        let program = Program::read(path)?;
        let secrets = read::<T::Secrets>(&self.config.secrets)?;
        for task in T::from_program(&program, &secrets)? {
            self.add(&task)?;
        }
        Ok(())
    }

    fn add_task_file(&self, path: &Path) -> anyhow::Result<()> {
        self.add(&T::from_task_file(path)?)
    }

    fn add(&self, task: &T) -> anyhow::Result<()> {
        let id = task.task().id;
        match self.tasks.add(task)? {
            Put::Added => eprintln!("task {id} is added"),
            Put::AlreadyThere => eprintln!("task {id} is there already"),
        }
        Ok(())
    }

    /// Serves with what the role makes of the database, until told to stop.
    fn serve<F>(
        self,
        serve: impl FnOnce(TcpListener, Parts, watch::Receiver<bool>) -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        init_logs(&self.config.log)?;
        let role = T::ROLE;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let stop = stop_signal()?;
            let listener = listen(&self.config).await?;
            let keyring = Keyring::load(self.store.as_ref(), &self.key)?;
            // Only now that the port is ours: whoever had the leases is gone.
            self.store.end_leases()?;
            let address = listener.local_addr()?;
            // For people and for whoever started us on port 0.
            crate::command_line::print(format_args!("{role} listens on http://{address}"))?;
            tracing::info!(%address, role, "listening");
            let Self { config, store, key, .. } = self;
            serve(listener, Parts { config, store, key, keyring }, stop).await?;
            tracing::info!(role, "stopped");
            Ok(())
        })
    }
}

/// What a role is made of.
struct Parts {
    config: Config,
    store: Arc<dyn Datastore>,
    key: DatabaseKey,
    keyring: Keyring,
}

/// Reads the key that secrets are sealed under, or makes one for a database that is to be made, for
/// its owner's eyes only.
fn database_key(config: &Config) -> anyhow::Result<DatabaseKey> {
    let path = &config.database_key;
    match std::fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => Ok(text.trim().parse().with_context(|| path.display().to_string())?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let database = config.database.display();
            anyhow::ensure!(
                !config.database.exists(),
                "{database} is there, but not its key {}; put the key back, or move the database \
                 away to begin anew",
                path.display()
            );
            let key = DatabaseKey::random()?;
            crate::command_line::write_secret(path, &format!("{}\n", *key.to_text()))?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn init_logs(filter: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(filter)
        .with_context(|| format!("log = {filter:?} is not a filter, such as \"info\""))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
