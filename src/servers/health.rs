//! How we ourselves are: certificates, witnesses, disk, database.

use super::instance::Instance;
use anyhow::Context;
use serde::Serialize;
use sottovoce_aggregator::{
    clock,
    config::{Config, database::Database},
    serve::certificate::{self, Validity},
    store::KeyUse,
    task::StoredTask,
    task_file::FromFile,
};
use sottovoce_log::checkpoint::{Checkpoint, cosigners};
use sottovoce_program::format_moment;
use std::path::{Path, PathBuf};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Well,
    /// It works, and somebody should look soon.
    Degraded,
    /// It does not work.
    Failed,
}

/// What was looked at, and what was found.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) subject: String,
    pub(super) state: State,
    pub(super) message: String,
}

/// Before its end, a certificate should have been renewed: those that live for 90 days are with 30 left.
const CERTIFICATE_LEFT: u64 = 14 * 86_400;
/// A disk is nearly full if so little is free, of its whole in percent and in gigabytes.
const DISK_FREE: (u64, u128) = (10, 20);

/// Looks at all of it.
pub(super) fn look<T: StoredTask + FromFile>(opened: &Instance<T>) -> anyhow::Result<Vec<Found>> {
    let now = clock::seconds(clock::now());
    let mut found: Vec<_> =
        certificate_files(&opened.config).into_iter().map(|path| certificate(path, now)).collect();
    found.extend(witnesses(opened)?);
    found.extend(disk(&opened.config));
    let keys = opened.store.keys(KeyUse::Hpke)?.len();
    let message = format!(
        "it has the schema of version {} of this program, and {keys} HPKE keys",
        env!("CARGO_PKG_VERSION")
    );
    found.push(note("database", State::Well, message));
    Ok(found)
}

fn note(subject: &str, state: State, message: String) -> Found {
    Found { subject: subject.to_owned(), state, message }
}

/// The files with our own certificates: a bundle of authorities may have old ones.
fn certificate_files(config: &Config) -> Vec<&Path> {
    let tls = config.tls.iter().map(|tls| &tls.certificate);
    let identity = config.peer.identity.iter().map(|identity| &identity.certificate);
    tls.chain(identity).map(PathBuf::as_path).collect()
}

/// How long a file's certificates hold.
fn certificate(path: &Path, now: u64) -> Found {
    let subject = format!("certificate {}", path.display());
    match end(path) {
        Ok(end) => {
            let (state, message) = judge(end, now);
            note(&subject, state, message)
        }
        Err(error) => note(&subject, State::Failed, crate::command_line::story(&error)),
    }
}

/// The end of the certificate that ends first.
fn end(path: &Path) -> anyhow::Result<u64> {
    let pem = std::fs::read(path).context("it cannot be read")?;
    let chain = certificate::chain(path, &pem)?;
    let ends = chain.iter().filter_map(|certificate| Validity::of(certificate));
    ends.map(|validity| validity.not_after).min().context("it has no period of validity")
}

fn judge(end: u64, now: u64) -> (State, String) {
    let moment = format_moment(end);
    let days = end.saturating_sub(now) / 86_400;
    match end.checked_sub(now) {
        None => (State::Failed, format!("it expired on {moment}; renew it")),
        Some(left) if left < CERTIFICATE_LEFT => {
            (State::Degraded, format!("it expires on {moment}, in {days} days; renew it"))
        }
        Some(_) => (State::Well, format!("it expires on {moment}, in {days} days")),
    }
}

/// Whether each witness has cosigned the newest checkpoint.
fn witnesses<T: StoredTask + FromFile>(opened: &Instance<T>) -> anyhow::Result<Vec<Found>> {
    let witnesses = &opened.config.public_log.witnesses;
    let log = opened.public_log()?;
    if witnesses.is_empty() || log.head()?.checkpoint.is_none() {
        return Ok(Vec::new());
    }
    let note_of_log = log.checkpoint()?;
    let size =
        Checkpoint::parse(note_of_log.text()).context("the stored checkpoint is damaged")?.size;
    let keys: Vec<_> = witnesses.iter().map(|witness| witness.key.clone()).collect();
    let seen = cosigners(&note_of_log, &keys)?;
    let each = keys.iter().map(|witness| {
        let subject = format!("witness {}", witness.name());
        match seen.iter().find(|(key, _)| *key == witness) {
            Some((_, time)) => {
                let at = format_moment(*time);
                note(&subject, State::Well, format!("it has cosigned all {size} entries, at {at}"))
            }
            None => note(
                &subject,
                State::Degraded,
                format!(
                    "it has not cosigned the newest checkpoint of {size} entries; if that lasts, see the server's \
                     log for the reason"
                ),
            ),
        }
    });
    Ok(each.collect())
}

/// How full the disk of an embedded database is.
#[cfg(unix)]
fn disk(config: &Config) -> Option<Found> {
    let Database::Sqlite(path) = &config.database else { return None };
    let space = rustix::fs::statvfs(path.parent()?).ok()?;
    let (free, all) = (space.f_bavail, space.f_blocks.max(1));
    let percent = u64::try_from(u128::from(free) * 100 / u128::from(all)).unwrap_or(100);
    let gigabytes = u128::from(free) * u128::from(space.f_frsize) / 1_000_000_000;
    let (state, cure) = if percent < DISK_FREE.0 && gigabytes < DISK_FREE.1 {
        (State::Degraded, "; free some, or enlarge the disk")
    } else {
        (State::Well, "")
    };
    let message = format!("{percent} % are free, {gigabytes} GB{cure}");
    Some(note(&format!("disk of {}", path.display()), state, message))
}

/// Other systems are not asked.
#[cfg(not(unix))]
fn disk(_: &Config) -> Option<Found> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_due_two_weeks_before_its_end() {
        let now = 1_800_000_000;
        for (left, state, words) in [
            (CERTIFICATE_LEFT, State::Well, "in 14 days"),
            (CERTIFICATE_LEFT - 1, State::Degraded, "in 13 days; renew it"),
            (0, State::Degraded, "in 0 days; renew it"),
        ] {
            let (found, message) = judge(now + left, now);
            assert_eq!(found, state, "{message}");
            assert!(message.ends_with(words), "{message}");
        }
        let (found, message) = judge(now - 1, now);
        assert_eq!(found, State::Failed);
        assert!(message.contains("expired on 2027-01-15T07:59:59Z"), "{message}");
    }
}
