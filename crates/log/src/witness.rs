//! The witness protocol (C2SP tlog-witness): requests, responses, and when a witness cosigns.
//!
//! A witness remembers the newest checkpoint of each log that it has cosigned, and cosigns another
//! only if that is proved to begin with it. Whoever sees a quorum of cosignatures therefore sees
//! what everybody sees. [`Request`] is how a log asks, [`Request::consider`] the witness's rules,
//! [`Request::answer`] what the log makes of the response. Nothing here sends, keeps or reads a clock:
//! a witness has to keep a [`Cosigned`] before it gives it out, and to consider one request of a log
//! at a time.

use super::{
    checkpoint::{Checkpoint, CheckpointError, Signer, Trust, cosign, cosigners, parse_size},
    contradiction::Contradiction,
    note::{MAX_NOTE, MAX_SIGNATURES, Note, NoteError, SignatureLine, VerifierKey},
    tree::{Hash, TreeError, verify_consistency},
};
use sha2::{Digest, Sha256};
use sottovoce_dap::printable::is_hidden;
use std::fmt;
use thiserror::Error;

/// No consistency proof has more hashes.
const MAX_HASHES: usize = 63;
/// A request longer than this is not read: a note, and before it a line for each hash.
pub const MAX_REQUEST: usize = MAX_NOTE + 64 * (MAX_HASHES + 1);
/// A response longer than this is not read: lines of signatures.
pub const MAX_ANSWER: usize = 64 * 1024;
/// The media type of a body that is nothing but a size.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";

/// A log's wish that its checkpoint be cosigned, with the proof that it only grew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    old: u64,
    proof: Vec<Hash>,
    checkpoint: Checkpoint,
    note: Note,
}

/// Why a witness does not cosign. The messages are for whoever runs the log.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// More bytes than any request has.
    #[error("the request has more than {MAX_REQUEST} bytes, the maximum")]
    TooLong,
    /// It is no request.
    #[error("it is not a witness request: {0}")]
    Form(&'static str),
    /// What it is about is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The request contradicts itself.
    #[error("no consistency proof from {old} entries to {new}: a log is append-only")]
    Shrunk {
        /// Where the proof begins.
        old: u64,
        /// The checkpoint's size.
        new: u64,
    },
    /// None of the logs that are witnessed.
    #[error("unknown log {0:?}; its verifier key has to be in the witness's configuration")]
    UnknownLog(String),
    /// The log has not signed it, or not so.
    #[error("the checkpoint is not valid: {0}")]
    Signature(NoteError),
    /// The log remembers another size than its witness does.
    #[error(
        "this witness's latest cosigned checkpoint has {recorded} entries, and the proof is from {old}; \
         prove from {recorded}"
    )]
    Conflict {
        /// The size that the witness has cosigned; 0 if none.
        recorded: u64,
        /// Where the proof begins.
        old: u64,
    },
    /// The log has signed two trees of one size: the two checkpoints prove it to anybody.
    #[error("the log has signed two roots for {0} entries: it was rewritten or forked")]
    Forked(u64),
    /// A log without entries has one root.
    #[error("the checkpoint has no entries, and its root is not that of an empty log")]
    Root,
    /// The proof does not hold.
    #[error("the checkpoint is not consistent with the latest one that this witness cosigned: {0}")]
    Inconsistent(TreeError),
    /// A cosignature says when it was made.
    #[error("the witness's clock is not set; its operator has to set it")]
    Clock,
}

impl Refusal {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            Self::Form(_) | Self::Checkpoint(_) | Self::Shrunk { .. } => 400,
            Self::Signature(_) => 403,
            Self::UnknownLog(_) => 404,
            Self::Conflict { .. } => 409,
            Self::TooLong => 413,
            Self::Forked(_) | Self::Root | Self::Inconsistent(_) => 422,
            Self::Clock => 503,
        }
    }

    /// The body of the response, with its media type: a size where that is what the log lacks.
    pub fn body(&self) -> (&'static str, String) {
        match self {
            Self::Conflict { recorded, .. } => (SIZE_MEDIA_TYPE, format!("{recorded}\n")),
            other => ("text/plain; charset=utf-8", format!("{other}\n")),
        }
    }
}

/// What a witness keeps, and then gives out. [`Request::consider`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    note: Note,
    line: SignatureLine,
    checkpoint: Checkpoint,
}

impl Cosigned {
    /// Reads again what was kept of the log `origin`. The witness's own cosignature says that it
    /// has considered it.
    pub fn parse(bytes: &[u8], origin: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != origin {
            let (expected, found) = (origin.to_owned(), checkpoint.origin);
            return Err(CheckpointError::Origin { expected, found });
        }
        cosigners(&note, std::slice::from_ref(key))?;
        let line = note.signatures().iter().find(|line| line.is_of(key)).cloned();
        let line = line.ok_or(CheckpointError::Quorum { found: 0, needed: 1 })?;
        Ok(Self { note, line, checkpoint })
    }

    /// The checkpoint with the log's signatures and the witness's: to be kept, and to be shown to
    /// anybody.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// What was cosigned, as the next request is compared with it.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The response to the log.
    pub fn line(&self) -> &SignatureLine {
        &self.line
    }
}

impl Request {
    /// Asks for a cosignature of `note`, proved from the `old` entries that the witness knows of.
    pub fn new(old: u64, proof: Vec<Hash>, note: Note) -> Result<Self, Refusal> {
        let checkpoint = Checkpoint::parse(note.text())?;
        if proof.len() > MAX_HASHES {
            return Err(Refusal::Form("it has more hashes than the longest proof"));
        }
        if old > checkpoint.size {
            return Err(Refusal::Shrunk { old, new: checkpoint.size });
        }
        Ok(Self { old, proof, checkpoint, note })
    }

    /// Reads a request, of which nothing is believed yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let form = Refusal::Form;
        if bytes.len() > MAX_REQUEST {
            return Err(Refusal::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| form("it is not UTF-8"))?;
        let (head, note) = text
            .split_once("\n\n")
            .ok_or(form("the empty line before the checkpoint is missing"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old
            .and_then(parse_size)
            .ok_or(form("the line `old SIZE` is missing or has no number"))?;
        let proof: Option<Vec<_>> = lines.take(MAX_HASHES + 1).map(Hash::from_base64).collect();
        let proof = proof.ok_or(form("a line of the proof is not a hash"))?;
        Self::new(old, proof, Note::parse(note.as_bytes()).map_err(CheckpointError::from)?)
    }

    /// The checkpoint that it is about, which nobody has believed yet.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note with the checkpoint, with all that was sent of it.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The proof that the log only grew.
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// What in it contradicts what was recorded. A proof from another size says nothing of that.
    pub fn contradicts(&self, recorded: &Checkpoint) -> Option<Contradiction> {
        let longer = self.checkpoint.size > recorded.size;
        let silent = longer && self.old != recorded.size;
        if silent { None } else { Contradiction::between(recorded, &self.checkpoint, &self.proof) }
    }

    /// The log that it is about, among those that are witnessed.
    pub fn log<'a>(&self, logs: &'a [Trust]) -> Result<&'a Trust, Refusal> {
        let origin = &self.checkpoint.origin;
        logs.iter().find(|log| log.origin() == origin).ok_or_else(|| self.unknown())
    }

    fn unknown(&self) -> Refusal {
        Refusal::UnknownLog(self.checkpoint.origin.chars().take(80).collect())
    }

    /// A witness's rules: whether it cosigns at `now`, in seconds since the Epoch. `log` is whose
    /// signature counts, `recorded` what was last cosigned of it.
    pub fn consider(
        &self,
        log: &Trust,
        recorded: Option<&Checkpoint>,
        now: u64,
        key: &dyn Signer,
    ) -> Result<Cosigned, Refusal> {
        self.signed(log)?;
        self.grown(recorded)?;
        if now == 0 {
            return Err(Refusal::Clock);
        }
        let line = cosign(&self.note, now, key);
        let by_log = |line: &&SignatureLine| log.keys().iter().any(|key| line.is_of(key));
        let mut note = Note::new(self.note.text().to_owned(), Vec::new());
        note.add(self.note.signatures().iter().filter(by_log).cloned());
        note.add([line.clone()]);
        Ok(Cosigned { note, line, checkpoint: self.checkpoint.clone() })
    }

    fn signed(&self, log: &Trust) -> Result<(), Refusal> {
        if self.checkpoint.origin != log.origin() {
            return Err(self.unknown());
        }
        self.note.signed_by(log.keys()).map(drop).map_err(Refusal::Signature)
    }

    /// Whether the checkpoint is what was recorded, or more.
    fn grown(&self, recorded: Option<&Checkpoint>) -> Result<(), Refusal> {
        let nothing = Hash::of_nothing();
        let (size, root) = recorded.map_or((0, nothing), |known| (known.size, known.root));
        let Checkpoint { size: new, root: new_root, .. } = self.checkpoint;
        if self.old != size {
            return Err(Refusal::Conflict { recorded: size, old: self.old });
        }
        if new == 0 && new_root != nothing {
            return Err(Refusal::Root);
        }
        if new == size && new_root != root {
            return Err(Refusal::Forked(size));
        }
        verify_consistency((size, &root), (new, &new_root), &self.proof)
            .map_err(Refusal::Inconsistent)
    }

    /// What a witness's response means; `witness` are the keys that it is known by.
    pub fn answer(
        &self,
        status: u16,
        body: &[u8],
        witness: &[VerifierKey],
    ) -> Result<Answer, AnswerError> {
        if body.len() > MAX_ANSWER {
            return Err(AnswerError::TooLong(body.len()));
        }
        let text = std::str::from_utf8(body).map_err(|_| AnswerError::Form(status))?;
        match status {
            200 => self.cosignatures(text, witness).map(Answer::Cosigned),
            409 => {
                let size = text.strip_suffix('\n').and_then(parse_size);
                size.map(Answer::Conflict).ok_or(AnswerError::Form(status))
            }
            _ => Err(AnswerError::Refused { status, reason: printable(text) }),
        }
    }

    /// The right cosignatures among lines, at least one. Those of strangers are left out.
    fn cosignatures(
        &self,
        text: &str,
        witness: &[VerifierKey],
    ) -> Result<Vec<SignatureLine>, AnswerError> {
        let text = text.strip_suffix('\n').ok_or(AnswerError::Form(200))?;
        let lines = text.split('\n').take(MAX_SIGNATURES);
        let lines = lines.map(str::parse).collect::<Result<Vec<SignatureLine>, _>>()?;
        let known = |line: &SignatureLine| witness.iter().any(|key| line.is_of(key));
        let lines: Vec<_> = lines.into_iter().filter(known).collect();
        let answered = Note::new(self.note.text().to_owned(), lines.clone());
        if cosigners(&answered, witness)?.is_empty() {
            return Err(AnswerError::Strangers);
        }
        Ok(lines)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.note)
    }
}

/// A witness's response, as far as it helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The cosignatures, which are right.
    Cosigned(Vec<SignatureLine>),
    /// The witness has cosigned a checkpoint of this size: prove from there.
    Conflict(u64),
}

/// A response that is of no use.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AnswerError {
    /// More bytes than any response has.
    #[error("the response has {0} bytes; the maximum is {MAX_ANSWER}")]
    TooLong(usize),
    /// Not what the status promises.
    #[error("the response with status {0} is not a witness's; check the URL")]
    Form(u16),
    /// A line of it, or a signature.
    #[error("the witness's response is not valid: {0}")]
    Line(#[from] NoteError),
    /// No cosignature by the keys that are known.
    #[error(
        "the response has no cosignature by the configured key; check the witness's verifier key"
    )]
    Strangers,
    /// The witness says no.
    #[error("the witness refused with status {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it says.
        reason: String,
    },
}

fn printable(text: &str) -> String {
    text.trim().chars().take(200).map(|c| if is_hidden(c) { ' ' } else { c }).collect()
}

/// What a witness's paths call a log: the hash of its name in hexadecimal.
pub fn origin_hash(origin: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(origin).into();
    hash.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests;
