//! Inclusion proofs (C2SP tlog-proof) that are checked without access to the log.
//!
//! The proof's extra data are the entry itself: whoever gets a proof can read what it proves.

use super::{
    checkpoint::{CheckpointError, Opened, Trust, parse_size},
    entry::Entry,
    note::{MAX_NOTE, Note, NoteError},
    tree::{Hash, TreeError, verify_inclusion},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sottovoce_dap::codec::{Decode, DecodeError};
use std::{fmt, str::FromStr};
use thiserror::Error;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// A proof longer than this is not read: a note, an entry in Base 64, and hashes.
pub const MAX_PROOF: usize = MAX_NOTE + 128 * 1024;
/// No tree is higher.
const MAX_HASHES: usize = 64;

/// A proof that was read and not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The entry's bytes.
    pub entry: Vec<u8>,
    /// The entry's place in the log.
    pub index: u64,
    /// From the entry to the root.
    pub hashes: Vec<Hash>,
    /// A checkpoint of the log.
    pub checkpoint: Note,
}

/// A proof that proves nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProofError {
    /// More bytes than any proof has.
    #[error("the proof has {0} bytes; the maximum is {MAX_PROOF}")]
    TooLong(usize),
    /// It is no proof.
    #[error("it is not an inclusion proof: {0}")]
    Form(&'static str),
    /// Its checkpoint is not believed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It does not lead to the checkpoint's root.
    #[error("the inclusion proof of entry {index} is not valid: {source}")]
    Tree {
        /// The entry's place.
        index: u64,
        /// Why not.
        source: TreeError,
    },
    /// What it proves cannot be read.
    #[error(
        "the inclusion proof is valid, but its entry does not decode: {0}; a newer version may read it"
    )]
    Entry(#[from] DecodeError),
}

impl From<NoteError> for ProofError {
    fn from(error: NoteError) -> Self {
        Self::Checkpoint(error.into())
    }
}

/// An entry that is known to be in a log. Only [`Proof::verify`] makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Proved {
    /// What is in the log.
    pub entry: Entry,
    /// Its place.
    pub index: u64,
    /// The checkpoint that covers it.
    pub checkpoint: Opened,
}

impl Proof {
    /// Reads a proof.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > MAX_PROOF {
            return Err(ProofError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProofError::Form("it is not UTF-8"))?;
        text.parse()
    }

    /// Checks it against whoever is believed about its log.
    pub fn verify(&self, trust: &Trust) -> Result<Proved, ProofError> {
        let checkpoint = trust.open(self.checkpoint.to_string().as_bytes())?;
        let Self { index, hashes, .. } = self;
        let (size, root) = (checkpoint.checkpoint().size, checkpoint.checkpoint().root);
        verify_inclusion(&Hash::leaf(&self.entry), *index, size, hashes, &root)
            .map_err(|source| ProofError::Tree { index: *index, source })?;
        Ok(Proved { entry: Entry::from_bytes(&self.entry)?, index: *index, checkpoint })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nextra {}\nindex {}", STANDARD.encode(&self.entry), self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        let form = ProofError::Form;
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(form("the empty line before the checkpoint is missing"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(form("its first line is not the header of the format"));
        }
        let entry = lines.next().and_then(|line| line.strip_prefix("extra "));
        let entry = entry.and_then(|entry| STANDARD.decode(entry).ok());
        let entry = entry.ok_or(form("the line `extra ENTRY` is missing"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index
            .and_then(parse_size)
            .ok_or(form("the line `index INDEX` is missing or has no number"))?;
        let hashes: Option<Vec<_>> = lines.take(MAX_HASHES + 1).map(Hash::from_base64).collect();
        let hashes = hashes.ok_or(form("a line of the proof is not a hash"))?;
        if hashes.len() > MAX_HASHES {
            return Err(form("it has more hashes than the highest tree needs"));
        }
        Ok(Self { entry, index, hashes, checkpoint: Note::parse(checkpoint.as_bytes())? })
    }
}

#[cfg(test)]
mod tests;
