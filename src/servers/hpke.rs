//! `hpke`: the keys that devices encrypt to.

use super::{ConfigArgs, ConfigOption, instance::Instance, trail};
use crate::command_line;
use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use sottovoce_aggregator::{
    clock,
    keyring::{self, KeyState, make, states},
    store::{KeyUse, Timestamp},
    task::StoredTask,
    task_file::FromFile,
};

/// Commands for HPKE keys. A running server applies changes within seconds.
#[derive(Debug, Subcommand)]
pub enum HpkeCommand {
    /// List the keys, oldest first.
    List(ConfigArgs),
    /// Create a new key, which becomes active once all replicas have it.
    Rotate(RotateArgs),
    /// Destroy a leaked key. Reports encrypted to it are lost.
    Destroy(DestroyArgs),
}

/// How to rotate.
#[derive(Debug, Args)]
pub struct RotateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Make the new key active immediately: for a single server, or if the old key leaked.
    #[arg(long)]
    at_once: bool,
}

/// What to destroy.
#[derive(Debug, Args)]
pub struct DestroyArgs {
    #[command(flatten)]
    config: ConfigOption,
    /// The key's ID.
    id: u8,
}

pub(super) fn run<T: StoredTask + FromFile>(command: &HpkeCommand) -> anyhow::Result<()> {
    match command {
        HpkeCommand::List(args) => list(&Instance::<T>::open(&args.path)?),
        HpkeCommand::Rotate(args) => {
            let opened = Instance::<T>::open(&args.config.path)?;
            trail::write(opened.store.as_ref())?;
            let pending = opened.config.hpke.pending;
            let now = clock::now();
            let offered = if args.at_once { now } else { now.after(pending) };
            let id = make(opened.store.as_ref(), &opened.keys, offered)?;
            command_line::print(format_args!("created HPKE key {id}"))?;
            list(&opened)
        }
        HpkeCommand::Destroy(args) => {
            let opened = Instance::<T>::open(&args.config.config)?;
            trail::write(opened.store.as_ref())?;
            destroy(&opened, args.id)?;
            list(&opened)
        }
    }
}

fn destroy<T>(opened: &Instance<T>, id: u8) -> anyhow::Result<()> {
    let states = states(opened.store.keys(KeyUse::Hpke)?, clock::now());
    let Some((key, state)) = states.iter().find(|(key, _)| key.id == id) else {
        bail!("there is no HPKE key {id}");
    };
    let others = states.iter().any(|(key, state)| key.id != id && *state == KeyState::Active);
    ensure!(
        *state != KeyState::Active || others,
        "HPKE key {id} is the only active key; run `hpke rotate --at-once` first"
    );
    Ok(keyring::destroy(opened.store.as_ref(), key, clock::now())?)
}

fn list<T>(opened: &Instance<T>) -> anyhow::Result<()> {
    for (key, state) in states(opened.store.keys(KeyUse::Hpke)?, clock::now()) {
        let offered = moment(key.offered);
        command_line::print(match state {
            KeyState::Pending(_) => format!("{}  pending until {offered}", key.id),
            KeyState::Active => format!("{}  active since {offered}", key.id),
            KeyState::Expired(since) => {
                format!("{}  expired since {}, active from {offered}", key.id, moment(since))
            }
        })?;
    }
    Ok(())
}

pub(super) fn moment(moment: Timestamp) -> String {
    sottovoce_program::format_moment(clock::seconds(moment))
}
