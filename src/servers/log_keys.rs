//! The keys that sign the public log: added, and retired in an order in which nobody loses the log.
//!
//! A witness that knows the old key only would cosign nothing more once that is retired, and a program that names it only
//! would accept nothing more. So a key is retired last: after the entry with its successor is published, under both keys,
//! and after each witness has shown that it knows the successor, by cosigning a checkpoint that nothing else has signed.

use super::{instance::Instance, witnesses};
use crate::command_line;
use anyhow::{Context, bail, ensure};
use sottovoce_aggregator::{
    clock,
    log::{
        LogError, PublicLog,
        keys::{self, LogKey},
    },
    task::StoredTask,
    task_file::FromFile,
};
use sottovoce_log::checkpoint::{Checkpoint, Signer};
use std::sync::Arc;

/// Takes the next step of a rotation, or says what is missing for it.
pub(super) fn rotate<T: StoredTask + FromFile>(opened: &Instance<T>) -> anyhow::Result<()> {
    let keys = opened.public_log()?.keys()?;
    match keys.as_slice() {
        [] => Err(LogError::NoKey.into()),
        [old] => {
            let old = old.verifier_key().to_string();
            add(opened)?;
            let keys = opened.public_log()?.keys()?;
            let new = keys.last().context("the new key is not there")?.verifier_key();
            command_line::print(format_args!(
                "Both keys sign from now on. Next, in this order:\n\
                 1. Give the new key to each witness of this log. Its operator adds it to the log's `keys`, beside the old \
                 one, and restarts the witness:\n     {new}\n\
                 2. Add it to the table [log] of each program, beside the old key. Give the programs to the collector, to \
                 auditors and, with the app, to devices.\n\
                 3. When all of them have it, run this command again. It retires the old key:\n     {old}"
            ))
        }
        [old, _] => {
            let (id, key) = (old.id(), old.verifier_key().to_string());
            retire(opened, id)?;
            command_line::print(format_args!(
                "Next: remove the old key from the programs and from the witnesses' configurations, and renew the proofs \
                 that apps ship (`sottovoce-auditor prove`): those of before are signed by the old key.\n     {key}"
            ))
        }
        more => bail!(
            "the log has {} keys, and a rotation is from one to another; retire all but two of them with `log retire-key` \
             (`log status` lists them)",
            more.len()
        ),
    }
}

/// Creates a key, which signs beside the others, and publishes the entry that says so.
pub(super) fn add<T: StoredTask + FromFile>(opened: &Instance<T>) -> anyhow::Result<()> {
    let log = opened.public_log()?;
    let name = log.keys()?.first().ok_or(LogError::NoKey)?.verifier_key().name().clone();
    let id = keys::make(opened.store.as_ref(), &opened.keys, &name, clock::now())?;
    log.publish()?;
    command_line::print(format_args!("created log key {id}"))
}

/// Retires a key, unless a witness knows none of the others.
pub(super) fn retire<T: StoredTask + FromFile>(opened: &Instance<T>, id: u8) -> anyhow::Result<()> {
    let log = Arc::new(opened.public_log()?);
    let (retired, others): (Vec<_>, Vec<_>) =
        log.keys()?.into_iter().partition(|key| key.id() == id);
    if !retired.is_empty() && !others.is_empty() {
        // The entries with the other keys, while whoever knows only this one can still verify them.
        log.publish()?;
        known_to_witnesses(opened, &log, &others)?;
    }
    keys::retire(opened.store.as_ref(), &opened.keys, id, clock::now())?;
    log.publish()?;
    command_line::print(format_args!("retired log key {id}"))
}

/// Fails unless each witness cosigns what these keys alone have signed.
fn known_to_witnesses<T: StoredTask + FromFile>(
    opened: &Instance<T>,
    log: &Arc<PublicLog>,
    keys: &[LogKey],
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signers: Vec<_> = keys.iter().map(|key| key as &dyn Signer).collect();
    let mut unknown = 0;
    for witness in &opened.config.public_log.witnesses {
        let note = Checkpoint::parse(log.checkpoint()?.text())?.sign(&signers);
        if let Err(error) = runtime.block_on(witnesses::cosigns(log, witness, &note)) {
            unknown += 1;
            eprintln!(
                "{} does not cosign with the keys that would be left: {error}",
                witness.key.name()
            );
        }
    }
    let listed: Vec<_> = keys.iter().map(|key| key.verifier_key().to_string()).collect();
    ensure!(
        unknown == 0,
        "no key was retired, because {unknown} of the log's witnesses would cosign nothing more; add to the log's `keys` in \
         their configurations, beside the old one, restart them, and run this command again:\n  {}\nA witness that is gone \
         for good is removed from `[[public_log.witnesses]]` first",
        listed.join("\n  ")
    );
    Ok(())
}
