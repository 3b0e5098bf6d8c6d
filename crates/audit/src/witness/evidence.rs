//! Pairs of signed checkpoints that contradict each other: kept by a witness, for whoever wants to see.
//!
//! One file holds all that is needed to check it: both signed notes and, where it is the proof that shows the
//! contradiction, the proof. What is proved by itself is kept for good, up to a number; of what may have another reason,
//! so much a day as strangers can cause by sending old checkpoints again.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sottovoce_log::{
    checkpoint::{CheckpointError, Trust},
    contradiction::Contradiction,
    note::{Note, SignatureLine},
    tree::Hash,
    witness::{Request, origin_hash},
};
use sottovoce_program::format_moment;
use sottovoce_whole_file::{Readers, replace};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Two checkpoints of a log that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    version: u32,
    /// The log's name.
    pub log: String,
    /// What is wrong: `two_roots`, `other_beginning`, `shorter` or `bad_proof`.
    pub kind: String,
    /// Whether the signatures (and the proof) show to anybody that the log was forked.
    pub proven: bool,
    /// The same in words.
    pub why: String,
    /// When the second checkpoint was sent to the witness, in UTC.
    pub seen: String,
    /// The signed note that the witness had cosigned.
    pub kept: String,
    /// The signed note that was sent to it.
    pub sent: String,
    /// The hashes of the consistency proof that was sent with it, in Base64, if it is from the size that was cosigned.
    pub proof: Vec<String>,
}

const VERSION: u32 = 1;

/// Evidence that is none.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// A note in it is not signed by the log.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A hash of the proof is none.
    #[error("a line of the proof is not a hash")]
    Hash,
    /// The two agree.
    #[error("the two checkpoints do not contradict each other")]
    Nothing,
}

impl Evidence {
    fn new(found: Contradiction, kept: &Note, request: &Request, log: &Trust, now: u64) -> Self {
        let proof = if found.needs_proof() { request.proof() } else { &[] };
        Self {
            version: VERSION,
            log: log.origin().to_owned(),
            kind: found.token().to_owned(),
            proven: found.is_proof(),
            why: found.to_string(),
            seen: format_moment(now),
            kept: kept.to_string(),
            // Signatures of strangers would be room for anything.
            sent: signed_by_log(request.note(), log).to_string(),
            proof: proof.iter().map(Hash::to_string).collect(),
        }
    }

    /// Finds again what contradicts what, by nothing but the log's keys.
    pub fn check(&self, log: &Trust) -> Result<Contradiction, EvidenceError> {
        let log = log.without_quorum();
        let [kept, sent] = [&self.kept, &self.sent].map(|note| log.open(note.as_bytes()));
        let proof: Option<Vec<_>> = self.proof.iter().map(|hash| Hash::from_base64(hash)).collect();
        let proof = proof.ok_or(EvidenceError::Hash)?;
        let (kept, sent) = (kept?, sent?);
        Contradiction::between(kept.checkpoint(), sent.checkpoint(), &proof)
            .ok_or(EvidenceError::Nothing)
    }

    /// The file's name: one for each checkpoint that is wrong in one way.
    fn name(&self) -> String {
        let text = self.sent.split_once("\n\n").map_or(&self.sent[..], |(text, _)| text);
        let hash: [u8; 32] =
            Sha256::new().chain_update(&self.kind).chain_update(text).finalize().into();
        hash[..8].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}

fn signed_by_log(note: &Note, log: &Trust) -> Note {
    let by_log = |line: &&SignatureLine| log.keys().iter().any(|key| line.is_of(key));
    Note::new(note.text().to_owned(), note.signatures().iter().filter(by_log).cloned().collect())
}

/// What is kept of one log.
#[derive(Debug)]
pub struct Shelf {
    folder: PathBuf,
    hash: String,
    kept: Vec<Kept>,
}

/// A file of a shelf.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// The log's name.
    pub log: String,
    /// Whether it proves a fork to anybody.
    pub proven: bool,
    /// What is wrong.
    pub why: String,
    /// When it was sent, in UTC.
    pub seen: String,
    /// Where the witness serves it.
    pub path: String,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    since: u64,
}

/// So many files are kept of one log, of what is proved and of what is not.
const MOST: usize = 16;
/// What is not proved makes room for another after this many seconds.
const DAY: u64 = 86_400;
/// A file longer than this is none of ours: two notes and a proof, as JSON.
const MAX_FILE: u64 = 2 << 20;

impl Shelf {
    /// What is there of a log. Files that are not ours are left alone.
    pub fn open(folder: &Path, origin: &str) -> io::Result<Self> {
        let hash = origin_hash(origin);
        let mut shelf = Self { folder: folder.to_owned(), hash, kept: Vec::new() };
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let ours = name
                .strip_prefix(&shelf.hash)
                .and_then(|rest| rest.strip_prefix(".evidence-"))
                .and_then(|rest| rest.strip_suffix(".json"));
            let Some(name) = ours else { continue };
            match read(&path) {
                Some(evidence) if evidence.log == origin => shelf.note(name.to_owned(), &evidence),
                _ => eprintln!(
                    "{} is not evidence that this witness wrote; it is left alone",
                    path.display()
                ),
            }
        }
        shelf.kept.sort_by(|one, other| (&one.seen, &one.name).cmp(&(&other.seen, &other.name)));
        Ok(shelf)
    }

    /// Keeps what was found wrong with a request at `now`, in seconds since the Epoch, if it is new and there is room.
    /// Returns where, if it is kept now.
    pub fn keep(
        &mut self,
        found: Contradiction,
        kept: &Note,
        (request, log): (&Request, &Trust),
        now: u64,
    ) -> io::Result<Option<PathBuf>> {
        let evidence = Evidence::new(found, kept, request, log, now);
        let name = evidence.name();
        if self.kept.iter().any(|kept| kept.name == name) || !self.make_room(found, now)? {
            return Ok(None);
        }
        let path = self.path(&name);
        let text = serde_json::to_vec_pretty(&evidence)?;
        replace(&path, &text, Readers::All)?;
        self.note(name, &evidence);
        Ok(Some(path))
    }

    /// All that is kept, oldest first.
    pub fn list(&self) -> &[Kept] {
        &self.kept
    }

    /// The text of one, by the name in its path.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let kept = self.kept.iter().find(|kept| kept.name == name)?;
        fs::read(self.path(&kept.name)).ok()
    }

    /// Whether there is room for one more of its kind, after what is old was removed.
    fn make_room(&mut self, found: Contradiction, now: u64) -> io::Result<bool> {
        let like = |kept: &Kept| kept.proven == found.is_proof();
        if self.kept.iter().filter(|kept| like(kept)).count() < MOST {
            return Ok(true);
        }
        let oldest = self.kept.iter().position(like);
        let Some(at) = oldest.filter(|_| !found.is_proof()) else { return Ok(false) };
        if now.saturating_sub(self.kept[at].since) < DAY {
            return Ok(false);
        }
        fs::remove_file(self.path(&self.kept[at].name))?;
        self.kept.remove(at);
        Ok(true)
    }

    fn note(&mut self, name: String, evidence: &Evidence) {
        self.kept.push(Kept {
            log: evidence.log.clone(),
            proven: evidence.proven,
            why: evidence.why.clone(),
            seen: evidence.seen.clone(),
            path: format!("/{}/evidence/{name}", self.hash),
            since: sottovoce_program::parse_moment(&evidence.seen).unwrap_or(0),
            name,
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}.evidence-{name}.json", self.hash))
    }
}

fn read(path: &Path) -> Option<Evidence> {
    let short = fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= MAX_FILE);
    let text = short.then(|| fs::read(path).ok()).flatten()?;
    serde_json::from_slice(&text).ok().filter(|evidence: &Evidence| evidence.version == VERSION)
}
