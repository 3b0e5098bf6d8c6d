//! The command line of both servers: the same words, each for its own role.
//!
//! [`opened`] is a configuration with its database, [`serving`] runs a server,
//! [`helper_client`] is how it reaches the helper and [`witnesses`] whom it has cosign its log; [`naming`] is
//! what tasks and batches are called. The others are one command each.

mod compare;
mod database;
mod doctor;
mod helper_client;
mod hpke;
mod init;
mod instance;
mod lists;
mod log;
mod naming;
mod repair;
mod serving;
mod witnesses;

use crate::command_line::file_argument::{FileArgument, Named, OutputArgs, RequiredFile};
use clap::{Args, Parser, Subcommand};
use instance::Instance;
use serving::Parts;
use sottovoce_aggregator::{
    config::Config,
    serve::{edge::Edge, logs},
    store::Put,
    task::StoredTask,
    task_file::FromFile,
};
use std::{path::PathBuf, sync::Arc};

/// The DAP leader: accepts reports from devices, aggregates them with the helper, and releases batches
/// to the collector.
#[derive(Debug, Parser)]
#[command(name = "sottovoce-leader", version, max_term_width = 100)]
pub struct LeaderArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The DAP helper: verifies and aggregates its half of what the leader sends, and releases each batch
/// once.
#[derive(Debug, Parser)]
#[command(name = "sottovoce-helper", version, max_term_width = 100)]
pub struct HelperArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A server's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until told to stop (Ctrl-C or SIGTERM).
    Serve {
        /// Where the server's configuration is.
        #[command(flatten)]
        config: ConfigArgs,
        /// Check the configuration and every file that it names, and do not serve.
        #[arg(long)]
        check_config: bool,
    },
    /// Write a commented configuration to begin with.
    Init(OutputArgs),
    /// Manage the tasks in the database, whether the server is running or not.
    #[command(subcommand)]
    Tasks(TasksCommand),
    /// Batches that hold reports and are not collected.
    #[command(subcommand)]
    Batches(lists::BatchesCommand),
    /// Reports on their way.
    #[command(subcommand)]
    Reports(lists::ReportsCommand),
    /// Collections: what was asked for and what became of it.
    #[command(subcommand)]
    Collections(lists::CollectionsCommand),
    /// Ask the other aggregator whether it holds the same as we do: draft, clock, tasks, verify
    /// keys, HPKE keys, token. Both servers must be running.
    Doctor(ConfigArgs),
    /// The keys that devices seal to.
    #[command(subcommand)]
    Hpke(hpke::HpkeCommand),
    /// The log that anybody may read: its keys, its state, a copy as files.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// The database itself: its schema, and the key that its secrets are sealed under.
    #[command(subcommand)]
    Database(database::DatabaseCommand),
}

/// What can be done with tasks.
#[derive(Debug, Subcommand)]
pub enum TasksCommand {
    /// Take on the tasks of a program (.toml) or of a plain DAP task file (.json).
    Add {
        /// Where the server's configuration is.
        #[command(flatten)]
        config: ConfigOption,
        /// The program or task file.
        file: PathBuf,
    },
    /// List the tasks, one line each.
    List(ConfigArgs),
}

/// Where the server's configuration is, in commands that take no other positional argument.
pub type ConfigArgs = RequiredFile<ConfigFile>;

/// `serve leader.toml`, or `serve --config leader.toml`.
#[derive(Debug)]
pub struct ConfigFile;

impl Named for ConfigFile {
    const FILE: FileArgument = FileArgument {
        name: "CONFIG",
        option: "config",
        short: Some('c'),
        help: "The server's configuration file",
    };
}

/// Where the server's configuration is, in commands whose positional arguments are something else.
#[derive(Debug, Args)]
pub struct ConfigOption {
    /// The server's configuration file.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
}

/// Runs a command of the leader.
pub fn leader(command: Command) -> anyhow::Result<()> {
    use helper_client::HelperFiles;
    use sottovoce_aggregator::{
        leader::{self, Leader},
        task::LeaderTask,
    };
    let Some(opened) = run_unless_serve::<LeaderTask>(command)? else { return Ok(()) };
    opened.serve(async |parts: Parts, stop| {
        let helper = HelperFiles::read(&parts.config.peer)?;
        let http = helper.client();
        tokio::spawn(helper.reload_forever());
        let (config, retention) = (parts.config, parts.config.retention);
        let (keyring, metrics) = (Arc::clone(&parts.keyring), Arc::clone(&parts.metrics));
        let log = Arc::clone(&parts.log);
        let edge = Edge::new(config, &metrics);
        let (aggregation, stopped) = (&config.aggregation, stop.clone());
        let leader = Leader::new(
            parts.store,
            parts.keys,
            keyring,
            metrics,
            log,
            retention,
            http,
            aggregation,
            stopped,
        );
        let leader = Arc::new(leader);
        let router = leader::router(Arc::clone(&leader), edge);
        let work = tokio::spawn(leader::run(leader, config.aggregation, stop));
        Ok((router, Some(work)))
    })
}

/// Runs a command of the helper.
pub fn helper(command: Command) -> anyhow::Result<()> {
    use sottovoce_aggregator::{
        helper::{self, Helper},
        task::HelperTask,
    };
    let Some(opened) = run_unless_serve::<HelperTask>(command)? else { return Ok(()) };
    opened.serve(async |parts: Parts, _| {
        let (config, retention) = (parts.config, parts.config.retention);
        let (keyring, metrics) = (Arc::clone(&parts.keyring), Arc::clone(&parts.metrics));
        let log = Arc::clone(&parts.log);
        let edge = Edge::new(config, &metrics);
        let helper = Helper::new(parts.store, parts.keys, keyring, metrics, log, retention);
        Ok((helper::router(Arc::new(helper), edge), None))
    })
}

/// Runs a command, but opens only what is to be served.
fn run_unless_serve<T>(command: Command) -> anyhow::Result<Option<Instance<T>>>
where
    T: StoredTask + FromFile,
{
    match command {
        Command::Serve { config, check_config: false } => {
            let opened = Instance::<T>::open(&config.path)?;
            opened.add_configured_tasks()?;
            return Ok(Some(opened));
        }
        Command::Serve { config, check_config: true } => check::<T>(&config)?,
        Command::Init(output) => init::run(T::ROLE, &output)?,
        Command::Tasks(command) => tasks::<T>(command)?,
        Command::Batches(command) => lists::batches::<T>(&command)?,
        Command::Reports(command) => lists::reports::<T>(&command)?,
        Command::Collections(command) => lists::collections::<T>(&command)?,
        Command::Doctor(config) => doctor::run::<T>(&config)?,
        Command::Hpke(command) => hpke::run::<T>(&command)?,
        Command::Log(command) => log::run::<T>(&command)?,
        Command::Database(command) => database::run::<T>(&command)?,
    }
    Ok(None)
}

/// Reads all that serving would read, and changes nothing.
fn check<T: StoredTask + FromFile>(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = Config::read(&args.path)?;
    logs::check(&config.log)?;
    config.tls.as_ref().map(sottovoce_aggregator::serve::tls::Certificates::load).transpose()?;
    if T::ROLE == "leader" {
        helper_client::helper_client(&config.peer)?;
    }
    instance::check_files::<T>(&config)?;
    crate::command_line::print(format_args!("{} is in order", args.path.display()))
}

fn tasks<T: StoredTask + FromFile>(command: TasksCommand) -> anyhow::Result<()> {
    match command {
        TasksCommand::Add { config, file } => {
            let opened = Instance::<T>::open(&config.config)?;
            let is_task = file.extension().is_some_and(|extension| extension == "json");
            if is_task { opened.add_task_file(&file) } else { opened.add_program(&file) }
        }
        TasksCommand::List(config) => lists::tasks::<T>(&config),
    }
}

/// Says whether a task is new.
fn report_added(id: sottovoce_dap::ids::TaskId, put: Put) {
    match put {
        Put::Added => eprintln!("task {id} is added"),
        Put::AlreadyThere => eprintln!("task {id} is there already"),
        Put::Changed => eprintln!(
            "task {id} is there already, and its grace or window rule has changed: servers keep to it from \
             their next start on"
        ),
    }
}
