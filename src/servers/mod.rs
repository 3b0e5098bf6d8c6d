//! The command line of both servers: the same words, each for its own role.
//!
//! [`check`] finds mistakes before a server starts, [`instance`] is a configuration with its database, [`serving`] runs
//! a server, [`speech`] is what it says, [`helper_client`] is its HTTP client for the helper, [`witnesses`] has its log
//! cosigned, [`log_keys`] rotates the keys that sign it; [`naming`] is what tasks and batches are called, and [`trail`]
//! says who gave which command. The others are one command each.

mod check;
mod compare;
mod database;
mod doctor;
mod health;
mod helper_client;
mod hpke;
mod init;
mod instance;
mod lists;
mod log;
mod log_keys;
mod naming;
mod other;
mod repair;
mod serving;
mod speech;
mod trail;
mod witnesses;

use crate::command_line::file_argument::{FileArgument, Named, OutputArgs, RequiredFile};
use clap::{Args, Parser, Subcommand};
use instance::Instance;
use serving::Parts;
use sottovoce_aggregator::{
    clock, serve::edge::Edge, skew::Skew, store::Put, task::StoredTask, task_file::FromFile,
};
use speech::Speech;
use std::{path::PathBuf, sync::Arc};

/// The DAP leader: receives reports from devices, aggregates them with the helper, and serves collections to
/// the collector.
#[derive(Debug, Parser)]
#[command(name = "sottovoce-leader", version, max_term_width = 100)]
pub struct LeaderArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The DAP helper: verifies and aggregates its shares of the reports that the leader sends, and releases each
/// batch once.
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
    /// Run the server until SIGTERM or Ctrl-C.
    Serve {
        /// Where the server's configuration is.
        #[command(flatten)]
        config: ConfigArgs,
        /// Check the configuration and every file that it names, print all mistakes, and exit: with 0 if there are none,
        /// else with 1.
        #[arg(long)]
        check_config: bool,
        /// With --check-config: print JSON.
        #[arg(long, requires = "check_config")]
        json: bool,
    },
    /// Write a first configuration with comments.
    Init(OutputArgs),
    /// Manage the tasks in the database, whether the server is running or not.
    #[command(subcommand)]
    Tasks(TasksCommand),
    /// List, compare and repair batches that have reports and are not collected yet.
    #[command(subcommand)]
    Batches(lists::BatchesCommand),
    /// Show how many reports are waiting, in aggregation jobs, or stuck.
    #[command(subcommand)]
    Reports(lists::ReportsCommand),
    /// List collection jobs and their states.
    #[command(subcommand)]
    Collections(lists::CollectionsCommand),
    /// Compare with the other aggregator (DAP draft, clock, tasks, verify keys, HPKE keys, token, batches), and look at
    /// certificates, witnesses, disk and database. Both servers must be running.
    ///
    /// Exit codes, for monitoring: 0 all is well, 1 something fails, 2 wrong usage, 3 degraded: it works, and somebody
    /// should look soon.
    Doctor(naming::ShowArgs),
    /// List, rotate and destroy the HPKE keys that devices encrypt to.
    #[command(subcommand)]
    Hpke(hpke::HpkeCommand),
    /// The public log: its keys, its state, and an export as files.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Migrate or back up the database, and rotate the key that encrypts its secrets.
    #[command(subcommand)]
    Database(database::DatabaseCommand),
    /// The audit trail: which operator gave which command.
    #[command(subcommand)]
    Audit(trail::AuditCommand),
}

/// Commands for tasks.
#[derive(Debug, Subcommand)]
pub enum TasksCommand {
    /// Add the tasks of a program (.toml) or a plain DAP task file (.json).
    Add {
        /// Where the server's configuration is.
        #[command(flatten)]
        config: ConfigOption,
        /// The program or task file.
        file: PathBuf,
    },
    /// List the tasks, one line each.
    List(naming::ShowArgs),
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
    let Some((opened, speech)) = run_unless_serve::<LeaderTask>(command)? else { return Ok(()) };
    opened.serve(&speech, async |parts: Parts, stop| {
        let helper = HelperFiles::read(&parts.config.peer)?;
        let skew = Skew::new(Arc::clone(&parts.metrics));
        let note = move |url: &str, date: &str| skew.note(url, date, clock::now());
        let http = helper.client().with_dates(note);
        tokio::spawn(helper.reload_forever(Arc::clone(&parts.metrics)));
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
    let Some((opened, speech)) = run_unless_serve::<HelperTask>(command)? else { return Ok(()) };
    opened.serve(&speech, async |parts: Parts, _| {
        let (config, retention) = (parts.config, parts.config.retention);
        let (keyring, metrics) = (Arc::clone(&parts.keyring), Arc::clone(&parts.metrics));
        let log = Arc::clone(&parts.log);
        let edge = Edge::new(config, &metrics);
        let helper = Helper::new(parts.store, parts.keys, keyring, metrics, log, retention);
        Ok((helper::router(Arc::new(helper), edge), None))
    })
}

/// Runs a command, but opens only what is to be served.
fn run_unless_serve<T>(command: Command) -> anyhow::Result<Option<(Instance<T>, Speech)>>
where
    T: StoredTask + FromFile,
{
    match command {
        Command::Serve { config, check_config: false, .. } => {
            let checked = check::checked::<T>(&config.path)
                .inspect_err(|_| speech::begin_to_refuse(&config.path, T::ROLE))?;
            let speech = speech::begin(&checked.config, T::ROLE)?;
            return Ok(Some((Instance::create(checked)?, speech)));
        }
        Command::Serve { config, check_config: true, json } => check::run::<T>(&config, json)?,
        Command::Init(output) => init::run(T::ROLE, &output)?,
        Command::Tasks(command) => tasks::<T>(command)?,
        Command::Batches(command) => lists::batches::<T>(&command)?,
        Command::Reports(command) => lists::reports::<T>(&command)?,
        Command::Collections(command) => lists::collections::<T>(&command)?,
        Command::Doctor(config) => doctor::run::<T>(&config)?,
        Command::Hpke(command) => hpke::run::<T>(&command)?,
        Command::Log(command) => log::run::<T>(&command)?,
        Command::Database(command) => database::run::<T>(&command)?,
        Command::Audit(command) => trail::run::<T>(&command)?,
    }
    Ok(None)
}

fn tasks<T: StoredTask + FromFile>(command: TasksCommand) -> anyhow::Result<()> {
    match command {
        TasksCommand::Add { config, file } => {
            let opened = Instance::<T>::open(&config.config)?;
            trail::write(opened.store.as_ref())?;
            let is_task = file.extension().is_some_and(|extension| extension == "json");
            if is_task { opened.add_task_file(&file) } else { opened.add_program(&file) }
        }
        TasksCommand::List(config) => lists::tasks::<T>(&config),
    }
}

/// Says whether a task is new.
fn report_added(id: sottovoce_dap::ids::TaskId, put: Put) {
    match put {
        Put::Added => speech::note(format_args!("task {id} added")),
        Put::AlreadyThere => speech::note(format_args!("task {id} already exists")),
        Put::Changed => speech::note(format_args!(
            "task {id} already exists; its grace or window rule has changed, which takes effect when the server \
             restarts"
        )),
    }
}
