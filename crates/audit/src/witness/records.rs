//! What a witness has cosigned: one file for each log, which is the newest checkpoint itself.
//!
//! A file is replaced whole, and is on the disk before its cosignature is given out. One request
//! of a log is considered at a time, so that no older checkpoint ever follows a newer one.

use super::key::WitnessKey;
use sottovoce_log::{
    checkpoint::{CheckpointError, Signer, Trust},
    note::{Note, SignatureLine, VerifierKey},
    witness::{Cosigned, Refusal, Request, origin_hash},
};
use sottovoce_whole_file::{NewFile, Readers, sibling, sync_folder};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use thiserror::Error;

/// The records of a witness, and the key that it cosigns with.
#[derive(Debug)]
pub struct Records {
    key: WitnessKey,
    logs: Vec<Trust>,
    /// As `logs`, in order.
    newest: Vec<Record>,
    /// Held as long as this process may write.
    _lock: File,
}

#[derive(Debug)]
struct Record {
    path: PathBuf,
    cosigned: Mutex<Option<Cosigned>>,
}

/// Records that cannot be relied on.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// The folder cannot be used.
    #[error("the records in {path} cannot be used: {source}")]
    Folder {
        /// The folder or a file in it.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// There are none, not even empty ones.
    #[error(
        "there are no records in {0}; restore the newest copy, because a witness without its records could cosign \
         a fork, or create a new witness with `witness init`"
    )]
    Missing(String),
    /// Another process cosigns from them.
    #[error("the records in {0} are in use by a running witness; stop it, or use another folder")]
    InUse(String),
    /// A file is not what this witness wrote.
    #[error(
        "{path} is not what this witness has cosigned: {source}; restore the newest copy, never an older one"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Why not.
        source: CheckpointError,
    },
}

/// Why a request gets no cosignature.
#[derive(Debug, Error)]
pub enum NotCosigned {
    /// By the rules.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The witness's own trouble: what cannot be kept is not given out.
    #[error("{path} cannot be written: {source}")]
    NotKept {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Records {
    /// Makes the empty records of a new witness.
    pub fn create(folder: &Path) -> Result<(), RecordsError> {
        let made = fs::create_dir(folder)
            .and_then(|()| File::create_new(folder.join(LOCK))?.sync_all())
            .and_then(|()| sync_folder(&folder.join(LOCK)))
            .and_then(|()| sync_folder(folder));
        let path = folder.display().to_string();
        made.map_err(|source| RecordsError::Folder { path, source })
    }

    /// Opens the records in a folder.
    pub fn open(folder: &Path, key: WitnessKey, logs: Vec<Trust>) -> Result<Self, RecordsError> {
        let shown = folder.display().to_string();
        let failed = |source| RecordsError::Folder { path: shown.clone(), source };
        let lock = File::options().write(true).open(folder.join(LOCK));
        let lock = lock.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => RecordsError::Missing(shown.clone()),
            _ => failed(source),
        })?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => RecordsError::InUse(shown.clone()),
            fs::TryLockError::Error(source) => failed(source),
        })?;
        let read = |log: &Trust| Record::read(folder, log.origin(), key.verifier_key());
        let newest = logs.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { key, logs, newest, _lock: lock })
    }

    /// Whose cosignatures they are.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.key.verifier_key()
    }

    /// Considers a request to cosign at `now`, in seconds since the Epoch. What is returned is on
    /// the disk.
    pub fn add_checkpoint(&self, body: &[u8], now: u64) -> Result<SignatureLine, NotCosigned> {
        let request = Request::parse(body)?;
        let log = request.log(&self.logs)?;
        let record = self.logs.iter().zip(&self.newest).find(|(known, _)| *known == log);
        let Some((_, record)) = record else {
            return Err(Refusal::UnknownLog(log.origin().to_owned()).into());
        };
        // A thread that panicked has changed nothing: the record is set last.
        let mut newest = record.cosigned.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = newest.as_ref().map(Cosigned::checkpoint);
        match request.consider(log, recorded, now, &self.key) {
            Ok(cosigned) => {
                record.write(&cosigned)?;
                let line = cosigned.line().clone();
                *newest = Some(cosigned);
                Ok(line)
            }
            Err(Refusal::Forked(size)) => {
                if let Some(kept) = newest.as_ref() {
                    record.keep_evidence(kept.note(), request.note());
                }
                Err(Refusal::Forked(size).into())
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The newest checkpoint of the log whose name hashes to `hash`, with all its signatures.
    pub fn newest(&self, hash: &str) -> Option<String> {
        let at = self.logs.iter().position(|log| origin_hash(log.origin()) == hash)?;
        let cosigned = self.newest[at].cosigned.lock().unwrap_or_else(PoisonError::into_inner);
        cosigned.as_ref().map(|cosigned| cosigned.note().to_string())
    }
}

/// A file of every witness's records, which a running witness has locked.
const LOCK: &str = "lock";

impl Record {
    fn read(folder: &Path, origin: &str, key: &VerifierKey) -> Result<Self, RecordsError> {
        let path = folder.join(format!("{}.checkpoint", origin_hash(origin)));
        let shown = || path.display().to_string();
        let cosigned = match fs::read(&path) {
            Ok(bytes) => {
                let parsed = Cosigned::parse(&bytes, origin, key);
                Some(parsed.map_err(|source| RecordsError::Damaged { path: shown(), source })?)
            }
            // The log has never been cosigned.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(RecordsError::Folder { path: shown(), source }),
        };
        Ok(Self { path, cosigned: Mutex::new(cosigned) })
    }

    fn write(&self, cosigned: &Cosigned) -> Result<(), NotCosigned> {
        replace(&self.path, &cosigned.note().to_string()).map_err(|source| {
            let path = self.path.display().to_string();
            NotCosigned::NotKept { path, source }
        })
    }

    /// Keeps the first two checkpoints that prove a log forked, for whoever wants to see.
    fn keep_evidence(&self, kept: &Note, sent: &Note) {
        let [first, second] = ["fork-kept", "fork-sent"].map(|end| self.path.with_extension(end));
        // What is written last is there only if both are.
        if second.exists() {
            return;
        }
        let written = replace(&first, &kept.to_string())
            .and_then(|()| replace(&second, &sent.to_string()))
            .map_err(|error| format!(", which cannot be written: {error}"));
        eprintln!(
            "a log was rewritten or forked: it signed two checkpoints that contradict each other, kept as {} and {}{}",
            first.display(),
            second.display(),
            written.err().unwrap_or_default()
        );
    }
}

/// Puts a whole file in place of another; what is there after a power loss is one or the other.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // The lock makes this name ours alone, and a crash leaves no more than one file.
    let mut new = NewFile::at(sibling(path, "new"), path, Readers::All)?;
    new.file().write_all(text.as_bytes())?;
    new.replace()
}

#[cfg(test)]
mod tests;
