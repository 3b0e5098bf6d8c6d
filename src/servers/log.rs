//! `log`: the aggregator's public log, and the keys that sign it.

use super::{ConfigArgs, ConfigOption, instance::Instance, log_keys, trail};
use crate::command_line;
use anyhow::Context;
use clap::{Args, Subcommand};
use sottovoce_aggregator::{
    log::{LogError, PublicLog, export::export},
    task::StoredTask,
    task_file::FromFile,
};
use sottovoce_log::{
    checkpoint::{Checkpoint, Signer, cosigners},
    note::VerifierKey,
};
use std::path::PathBuf;

/// Commands for the public log. A running server applies changes with its next checkpoint.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print the log's verifier keys, one per line, as programs list them.
    Key(ConfigArgs),
    /// Show the log's size, entries that wait to be published, and cosignatures.
    Status(ConfigArgs),
    /// Rotate the log's key. Run it, do what it says, and run it again: it creates a key that signs beside the old one,
    /// and retires the old one as soon as all witnesses know the new one.
    RotateKey(ConfigArgs),
    /// Create another key, which signs in addition to the existing ones; `rotate-key` says what is to be done then.
    NewKey(ConfigArgs),
    /// Retire a key: its private key is destroyed. Refused while a witness knows no other key of this log.
    RetireKey(RetireArgs),
    /// Export the log as files to a folder, for a web server or an archive. Run it again to update them.
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
    /// The folder; created if it does not exist.
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
        LogCommand::RotateKey(args) => {
            let opened = Instance::<T>::open(&args.path)?;
            trail::write(opened.store.as_ref())?;
            log_keys::rotate(&opened)
        }
        LogCommand::NewKey(args) => {
            let opened = Instance::<T>::open(&args.path)?;
            trail::write(opened.store.as_ref())?;
            log_keys::add(&opened)?;
            status(&opened)
        }
        LogCommand::RetireKey(args) => {
            let opened = Instance::<T>::open(&args.config.config)?;
            trail::write(opened.store.as_ref())?;
            log_keys::retire(&opened, args.id)?;
            status(&opened)
        }
        LogCommand::Export(args) => {
            let log = Instance::<T>::open(&args.config.config)?.public_log()?;
            log.publish()?;
            let done = export(&log, &args.folder)?;
            command_line::print(format_args!(
                "exported {} entries to {}; {} files are new or changed",
                done.size,
                args.folder.display(),
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
    command_line::print(format_args!("{size} entries published, {waiting} waiting"))?;
    if head.checkpoint.is_none() {
        return command_line::print(
            "no checkpoint yet; the server signs the first one when it starts",
        );
    }
    let witnesses: Vec<_> =
        opened.config.public_log.witnesses.iter().map(|witness| witness.key.clone()).collect();
    cosigned(&log, &witnesses)
}

fn cosigned(log: &PublicLog, witnesses: &[VerifierKey]) -> anyhow::Result<()> {
    let note = log.checkpoint()?;
    let size = Checkpoint::parse(note.text()).context("the stored checkpoint is damaged")?.size;
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
