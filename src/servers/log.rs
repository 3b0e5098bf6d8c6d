//! `log`: what anybody may read of this aggregator, and the keys that sign it.

use super::{ConfigArgs, ConfigOption, instance::Instance};
use crate::command_line;
use anyhow::Context;
use clap::{Args, Subcommand};
use sottovoce_aggregator::{
    clock,
    log::{LogError, PublicLog, export::export, keys},
    task::StoredTask,
    task_file::FromFile,
};
use sottovoce_log::{
    checkpoint::{Checkpoint, Signer, cosigners},
    note::VerifierKey,
};
use std::path::PathBuf;

/// What can be done with the log. A running server takes it over with its next checkpoint.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print the keys that sign the log, one line each, as programs name them.
    Key(ConfigArgs),
    /// How large the log is, what waits to be published, and who has cosigned it.
    Status(ConfigArgs),
    /// Make another key, which signs beside the ones there are. To rotate: name it in the programs
    /// too, wait until auditors have seen the log, then retire the old one.
    NewKey(ConfigArgs),
    /// End a key: its private part is destroyed.
    RetireKey(RetireArgs),
    /// Write the log as files to a folder, for a web server or an archive. Run it again to bring
    /// them up to date.
    Export(ExportArgs),
}

/// What to end.
#[derive(Debug, Args)]
pub struct RetireArgs {
    #[command(flatten)]
    config: ConfigOption,
    /// The key's ID, as `log status` shows it.
    id: u8,
}

/// Where to write.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    config: ConfigOption,
    /// The folder; made if it is not there.
    folder: PathBuf,
}

pub(super) fn run<T: StoredTask + FromFile>(command: &LogCommand) -> anyhow::Result<()> {
    match command {
        LogCommand::Key(args) => {
            let log = Instance::<T>::open(&args.path)?.public_log()?;
            let keys = log.keys()?;
            keys.first().ok_or(LogError::NoKey)?;
            keys.iter().try_for_each(|key| command_line::print(key.verifier_key()))
        }
        LogCommand::Status(args) => status(&Instance::<T>::open(&args.path)?),
        LogCommand::NewKey(args) => {
            let opened = Instance::<T>::open(&args.path)?;
            let log = opened.public_log()?;
            let name = log.keys()?.first().ok_or(LogError::NoKey)?.verifier_key().name().clone();
            let id = keys::make(opened.store.as_ref(), &opened.keys, &name, clock::now())?;
            command_line::print(format_args!("log key {id} is made"))?;
            status(&opened)
        }
        LogCommand::RetireKey(args) => {
            let opened = Instance::<T>::open(&args.config.config)?;
            keys::retire(opened.store.as_ref(), &opened.keys, args.id, clock::now())?;
            status(&opened)
        }
        LogCommand::Export(args) => {
            let log = Instance::<T>::open(&args.config.config)?.public_log()?;
            log.publish()?;
            let done = export(&log, &args.folder)?;
            command_line::print(format_args!(
                "{} has all {} entries; {} files are new",
                args.folder.display(),
                done.size,
                done.written
            ))
        }
    }
}

fn status<T: StoredTask + FromFile>(opened: &Instance<T>) -> anyhow::Result<()> {
    let log = opened.public_log()?;
    let head = log.head()?;
    for key in log.keys()? {
        command_line::print(format_args!("key {}  {}", key.id(), key.verifier_key()))?;
    }
    let (size, waiting) = (head.size, head.waiting);
    command_line::print(format_args!("{size} entries are published, {waiting} wait"))?;
    if head.checkpoint.is_none() {
        return command_line::print("no checkpoint yet; the server makes it when it starts");
    }
    let witnesses: Vec<_> =
        opened.config.public_log.witnesses.iter().map(|witness| witness.key.clone()).collect();
    cosigned(&log, &witnesses)
}

fn cosigned(log: &PublicLog, witnesses: &[VerifierKey]) -> anyhow::Result<()> {
    let note = log.checkpoint()?;
    let size = Checkpoint::parse(note.text()).context("the stored checkpoint")?.size;
    let seen = cosigners(&note, witnesses)?;
    for witness in witnesses {
        let name = witness.name();
        command_line::print(match seen.iter().find(|(key, _)| *key == witness) {
            Some((_, time)) => {
                let moment = sottovoce_program::format_moment(*time);
                format!("{name} has cosigned {size} entries at {moment}")
            }
            None => format!("{name} has not cosigned {size} entries yet"),
        })?;
    }
    Ok(())
}
