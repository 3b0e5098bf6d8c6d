//! The command line of both servers: the same words, each for its own role.

use super::{
    clock,
    config::{Config, HelperSecrets, LeaderSecrets, read},
    helper::{self, Helper},
    keyring::Keyring,
    leader::{self, Leader, Policy},
    serve::{listen, serve, stop_signal},
    store::{Datastore, Put, sealed::DatabaseKey, sqlite::Sqlite},
    task::{HelperTask, LeaderTask, StoredTask},
    task_file::FromFile,
    tasks::Tasks,
};
use crate::{program::Program, transport::http::HttpClient};
use anyhow::Context;
use clap::{Args, Subcommand};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

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
    match command {
        Command::Serve(args) => {
            let opened = Opened::<LeaderTask>::open(&args.config)?;
            opened.take_on(&read::<LeaderSecrets>(&opened.config.secrets)?)?;
            opened.serve("leader", async |listener, store, key, keyring, config, stop| {
                let http = HttpClient::new(Duration::from_secs(60))?;
                let leader = Arc::new(Leader::new(store, key, keyring, http));
                let router = leader::router(Arc::clone(&leader), config.limits.clone());
                let work = tokio::spawn(leader::run(leader, Policy::default(), stop.clone()));
                serve(listener, &config.path, router, stop).await?;
                Ok(work.await?)
            })
        }
        Command::Tasks(command) => tasks::<LeaderTask>(command),
    }
}

/// Runs the helper's command.
#[cfg(feature = "helper")]
pub fn helper(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => {
            let opened = Opened::<HelperTask>::open(&args.config)?;
            opened.take_on(&read::<HelperSecrets>(&opened.config.secrets)?)?;
            opened.serve("helper", async |listener, store, key, keyring, config, stop| {
                let helper = Arc::new(Helper::new(store, key, keyring));
                let router = helper::router(helper, config.limits.clone());
                Ok(serve(listener, &config.path, router, stop).await?)
            })
        }
        Command::Tasks(command) => tasks::<HelperTask>(command),
    }
}
