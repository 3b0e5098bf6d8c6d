//! `hpke`: the keys that devices encrypt to.

use super::{ConfigArgs, ConfigOption, instance::Instance, naming::ShowArgs, trail};
use crate::command_line;
use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;
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
    List(ShowArgs),
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
        HpkeCommand::List(args) => list(&Instance::<T>::open(&args.config.path)?, args.json),
        HpkeCommand::Rotate(args) => {
            let opened = Instance::<T>::open(&args.config.path)?;
            trail::write(opened.store.as_ref())?;
            let pending = opened.config.hpke.pending;
            let now = clock::now();
            let offered = if args.at_once { now } else { now.after(pending) };
            let id = make(opened.store.as_ref(), &opened.keys, offered)?;
            command_line::print(format_args!("created HPKE key {id}"))?;
            list(&opened, false)
        }
        HpkeCommand::Destroy(args) => {
            let opened = Instance::<T>::open(&args.config.config)?;
            trail::write(opened.store.as_ref())?;
            destroy(&opened, args.id)?;
            list(&opened, false)
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

#[derive(Serialize)]
struct KeyRow {
    id: u8,
    state: &'static str,
    active_from: String,
    expired_since: Option<String>,
}

fn list<T>(opened: &Instance<T>, json: bool) -> anyhow::Result<()> {
    for (key, state) in states(opened.store.keys(KeyUse::Hpke)?, clock::now()) {
        let (state, expired_since) = match state {
            KeyState::Pending(_) => ("pending", None),
            KeyState::Active => ("active", None),
            KeyState::Expired(since) => ("expired", Some(moment(since))),
        };
        let row = KeyRow { id: key.id, state, active_from: moment(key.offered), expired_since };
        command_line::print(if json { serde_json::to_string(&row)? } else { line(&row) })?;
    }
    Ok(())
}

fn line(KeyRow { id, state, active_from, expired_since }: &KeyRow) -> String {
    match expired_since {
        Some(since) => format!("{id}  {state} since {since}, active from {active_from}"),
        None if *state == "pending" => format!("{id}  pending until {active_from}"),
        None => format!("{id}  {state} since {active_from}"),
    }
}

pub(super) fn moment(moment: Timestamp) -> String {
    sottovoce_program::format_moment(clock::seconds(moment))
}
