//! What a witness has cosigned: one file for each log, which is the newest checkpoint itself.
//!
//! A file is replaced whole, and is on the disk before its cosignature is given out. One request
//! of a log is considered at a time, so that no older checkpoint ever follows a newer one.

use super::{
    evidence::{Kept, Shelf},
    key::WitnessKey,
    tally::{Reason, Tally, label},
};
use sottovoce_log::{
    checkpoint::{CheckpointError, Signer, Trust},
    contradiction::Contradiction,
    note::{SignatureLine, VerifierKey},
    witness::{Cosigned, Refusal, Request, origin_hash},
};
use sottovoce_whole_file::{NewFile, Readers, sibling, sync_folder};
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use thiserror::Error;

/// The records of a witness, and the key that it cosigns with.
#[derive(Debug)]
pub struct Records {
    key: WitnessKey,
    logs: Vec<Trust>,
    /// As `logs`, in order.
    newest: Vec<Record>,
    tally: Tally,
    /// Held as long as this process may write.
    _lock: File,
}

#[derive(Debug)]
struct Record {
    path: PathBuf,
    cosigned: Mutex<Option<Cosigned>>,
    evidence: Mutex<Shelf>,
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

impl NotCosigned {
    fn reason(&self, found: Option<Contradiction>) -> Reason {
        match self {
            Self::Refused(refusal) => Reason::of(refusal, found),
            Self::NotKept { .. } => Reason::NotKept,
        }
    }
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
        let tally = Tally::new(logs.iter().map(Trust::origin));
        Ok(Self { key, logs, newest, tally, _lock: lock })
    }

    /// Whose cosignatures they are.
    pub fn verifier_key(&self) -> &VerifierKey {
        self.key.verifier_key()
    }

    /// Considers a request to cosign at `now`, in seconds since the Epoch. What is returned is on
    /// the disk. What is refused is counted, said in the witness's log and, if two checkpoints contradict each other, kept.
    pub fn add_checkpoint(&self, body: &[u8], now: u64) -> Result<SignatureLine, NotCosigned> {
        let request = Request::parse(body).inspect_err(|refusal| {
            self.refused("", Reason::Form, &refusal.to_string());
        })?;
        let at = request.log(&self.logs).map(|log| self.logs.iter().position(|one| one == log));
        let Some(at) = at.inspect_err(|refusal| {
            self.refused("", Reason::UnknownLog, &refusal.to_string());
        })?
        else {
            return Err(Refusal::UnknownLog(request.checkpoint().origin.clone()).into());
        };
        let (log, record) = (&self.logs[at], &self.newest[at]);
        let mut newest = record.cosigned();
        match record.cosign(&request, (log, &self.key), &mut newest, now) {
            Ok(line) => {
                self.tally.cosigned(log.origin());
                Ok(line)
            }
            Err(error) => {
                let found = record.contradiction(&request, (log, &error), newest.as_ref(), now);
                let why = found.map_or_else(|| error.to_string(), |found| found.to_string());
                self.refused(log.origin(), error.reason(found), &why);
                Err(error)
            }
        }
    }

    /// Counts a refusal, and says it if that was not said a moment ago.
    pub fn refused(&self, log: &str, reason: Reason, why: &str) {
        if let Some(line) = self.tally.refused(log, reason, why, Instant::now()) {
            eprintln!("{line}");
        }
    }

    /// The newest checkpoint of the log whose name hashes to `hash`, with all its signatures.
    pub fn newest(&self, hash: &str) -> Option<String> {
        let cosigned = self.record(hash)?.cosigned();
        cosigned.as_ref().map(|cosigned| cosigned.note().to_string())
    }

    /// What is kept as evidence, of all logs.
    pub fn evidence(&self) -> Vec<Kept> {
        self.newest.iter().flat_map(|record| record.evidence().list().to_vec()).collect()
    }

    /// One piece of evidence, as JSON: that of this name, of the log whose name hashes to `hash`.
    pub fn evidence_of(&self, hash: &str, name: &str) -> Option<Vec<u8>> {
        self.record(hash)?.evidence().read(name)
    }

    /// What monitoring asks for, in Prometheus's text format.
    pub fn prometheus(&self) -> String {
        let mut out = self.tally.prometheus();
        out.push_str(
            "# HELP sottovoce_witness_cosigned_entries Entries of the newest checkpoint that was cosigned, by log.\n\
             # TYPE sottovoce_witness_cosigned_entries gauge\n",
        );
        for (log, record) in self.logs.iter().zip(&self.newest) {
            let size = record.cosigned().as_ref().map_or(0, |cosigned| cosigned.checkpoint().size);
            let log = label(log.origin());
            let _ = writeln!(out, "sottovoce_witness_cosigned_entries{{log=\"{log}\"}} {size}");
        }
        out.push_str(
            "# HELP sottovoce_witness_evidence Pairs of checkpoints kept that contradict each other, by log and whether \
             they prove a fork.\n# TYPE sottovoce_witness_evidence gauge\n",
        );
        for (log, record) in self.logs.iter().zip(&self.newest) {
            let (log, kept) = (label(log.origin()), record.evidence());
            for proven in [true, false] {
                let count = kept.list().iter().filter(|kept| kept.proven == proven).count();
                let _ = writeln!(
                    out,
                    "sottovoce_witness_evidence{{log=\"{log}\",proven=\"{proven}\"}} {count}"
                );
            }
        }
        out
    }

    fn record(&self, hash: &str) -> Option<&Record> {
        let at = self.logs.iter().position(|log| origin_hash(log.origin()) == hash)?;
        self.newest.get(at)
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
        let evidence = Shelf::open(folder, origin);
        let evidence = evidence.map_err(|source| RecordsError::Folder { path: shown(), source })?;
        Ok(Self { path, cosigned: Mutex::new(cosigned), evidence: Mutex::new(evidence) })
    }

    /// What was cosigned last. A thread that panicked has changed nothing: it is set last.
    fn cosigned(&self) -> MutexGuard<'_, Option<Cosigned>> {
        self.cosigned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn evidence(&self) -> MutexGuard<'_, Shelf> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cosign(
        &self,
        request: &Request,
        (log, key): (&Trust, &WitnessKey),
        newest: &mut Option<Cosigned>,
        now: u64,
    ) -> Result<SignatureLine, NotCosigned> {
        let recorded = newest.as_ref().map(Cosigned::checkpoint);
        let cosigned = request.consider(log, recorded, now, key)?;
        self.write(&cosigned)?;
        let line = cosigned.line().clone();
        *newest = Some(cosigned);
        Ok(line)
    }

    /// What contradicts what was cosigned last in a request that the log has signed. It is kept as evidence.
    fn contradiction(
        &self,
        request: &Request,
        (log, error): (&Trust, &NotCosigned),
        newest: Option<&Cosigned>,
        now: u64,
    ) -> Option<Contradiction> {
        let NotCosigned::Refused(
            Refusal::Conflict { .. } | Refusal::Forked(_) | Refusal::Inconsistent(_),
        ) = error
        else {
            return None;
        };
        let kept = newest?;
        let found = request.contradicts(kept.checkpoint())?;
        match self.evidence().keep(found, kept.note(), (request, log), now) {
            Ok(Some(path)) => eprintln!("evidence against {}: {}", log.origin(), path.display()),
            Ok(None) => {}
            Err(error) => eprintln!("evidence against {} cannot be kept: {error}", log.origin()),
        }
        Some(found)
    }

    fn write(&self, cosigned: &Cosigned) -> Result<(), NotCosigned> {
        replace(&self.path, &cosigned.note().to_string()).map_err(|source| {
            let path = self.path.display().to_string();
            NotCosigned::NotKept { path, source }
        })
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
