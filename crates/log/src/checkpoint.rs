//! Checkpoints (C2SP tlog-checkpoint): what a log promises to be, signed by it and cosigned by
//! witnesses (C2SP tlog-cosignature); and whom to believe.

#[cfg(any(test, feature = "test-util"))]
mod test_key;

#[cfg(any(test, feature = "test-util"))]
pub use test_key::TestKey;

use super::{
    note::{KeyKind, Note, NoteError, SignatureLine, VerifierKey},
    tree::{Frontier, Hash},
};
use std::{collections::BTreeSet, fmt};
use thiserror::Error;

/// A log's size and root at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Entries in the tree.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
}

/// A checkpoint that is none, or that is not believed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The note around it.
    #[error("the checkpoint is not valid: {0}")]
    Note(#[from] NoteError),
    /// Its text.
    #[error("the note is not a checkpoint: an origin, a tree size and a root hash are expected")]
    Form,
    /// It is another log's.
    #[error("the checkpoint is of the log {found}; {expected} is expected")]
    Origin {
        /// The log that was asked for.
        expected: String,
        /// The log that answered.
        found: String,
    },
    /// Too few witnesses have seen it.
    #[error(
        "the checkpoint has no quorum: {found} trusted witnesses have cosigned it, and {needed} must"
    )]
    Quorum {
        /// Witnesses whose cosignature is there and right.
        found: usize,
        /// Witnesses that are asked for.
        needed: usize,
    },
}

/// The largest log: sizes must fit signed numbers of databases.
const MAX_SIZE: u64 = i64::MAX as u64;

impl Checkpoint {
    /// Of a tree.
    pub fn new(origin: &str, tree: &Frontier) -> Self {
        Self { origin: origin.to_owned(), size: tree.size(), root: tree.root() }
    }

    /// The text of a note: three lines, and any number of further ones, which mean nothing here.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Form)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Form);
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(CheckpointError::Form);
        }
        let size = parse_size(size).ok_or(CheckpointError::Form)?;
        let root = Hash::from_base64(root).ok_or(CheckpointError::Form)?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Signs it with each of a log's keys.
    pub fn sign(&self, keys: &[&dyn Signer]) -> Note {
        let text = self.to_string();
        let line = |key: &&dyn Signer| key.verifier_key().line(&key.sign(text.as_bytes()));
        let lines = keys.iter().map(line).collect();
        Note::new(text, lines)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)
    }
}

/// A number of entries, in its one spelling.
pub fn parse_size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok()?;
    (size <= MAX_SIZE && size.to_string() == text).then_some(size)
}

/// Holds a private key. It shows neither that nor anything of it.
pub trait Signer: Send + Sync {
    /// The public key.
    fn verifier_key(&self) -> &VerifierKey;

    /// Signs (RFC 8032).
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// Says as a witness that at `time`, in seconds since the Epoch, this was the newest checkpoint.
pub fn cosign(note: &Note, time: u64, key: &dyn Signer) -> SignatureLine {
    let signature = key.sign(&cosigned(note, time));
    key.verifier_key().line(&[&time.to_be_bytes()[..], &signature].concat())
}

fn cosigned(note: &Note, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{}", note.text()).into_bytes()
}

/// Who has cosigned a note, and when, of those whose keys are given. Others are skipped; a wrong
/// signature by one of them is an error.
pub fn cosigners<'a>(
    note: &Note,
    witnesses: &'a [VerifierKey],
) -> Result<Vec<(&'a VerifierKey, u64)>, NoteError> {
    note.signers(witnesses, |key, signature| {
        let (time, signature) = signature.split_first_chunk()?;
        let time = u64::from_be_bytes(*time);
        let right = key.kind() == KeyKind::Witness
            && time <= MAX_SIZE
            && key.verify(&cosigned(note, time), signature.try_into().ok()?);
        right.then_some(time)
    })
}

/// Whom to believe about one log: its keys, and how many of which witnesses must have seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    keys: Vec<VerifierKey>,
    witnesses: Vec<VerifierKey>,
    quorum: usize,
}

/// A trust that would believe nothing, or anything.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TrustError {
    /// Nobody is trusted.
    #[error("the log has no verifier key; at least one is needed")]
    NoKey,
    /// Keys of two logs.
    #[error("{0} and {1} are different logs; all keys of one log have the same name")]
    TwoLogs(String, String),
    /// A key of the other kind.
    #[error("the key of {0} is not {1} key; check that the right key is in the right place")]
    Kind(String, &'static str),
    /// A key that stands there twice.
    #[error("a key of {0} is listed twice; list it once")]
    Twice(String),
    /// One key with two owners.
    #[error(
        "{0} and {1} have the same public key, so they are one witness; check both keys, and list one"
    )]
    OneKey(String, String),
    /// More witnesses than there are.
    #[error(
        "the quorum is {quorum}, and only {witnesses} witnesses are listed (keys of the same name are one witness); \
         list more witnesses, or lower the quorum"
    )]
    Quorum {
        /// As many must have.
        quorum: usize,
        /// As many are named.
        witnesses: usize,
    },
}

/// How many witnesses these keys are of. Keys of one name are of one witness, who is changing keys: they
/// count once, since a quorum is one of organisations. A key that stands there twice, under whatever
/// name, would be counted on twice and never counted so, and is refused.
pub fn count_witnesses(keys: &[VerifierKey]) -> Result<usize, TrustError> {
    all_of(keys, KeyKind::Witness, "a witness's")?;
    let names: BTreeSet<_> = keys.iter().map(VerifierKey::name).collect();
    each_once(keys).map(|()| names.len())
}

fn all_of(keys: &[VerifierKey], kind: KeyKind, words: &'static str) -> Result<(), TrustError> {
    let wrong = keys.iter().find(|key| key.kind() != kind);
    wrong.map_or(Ok(()), |key| Err(TrustError::Kind(key.name().to_string(), words)))
}

fn each_once(keys: &[VerifierKey]) -> Result<(), TrustError> {
    for (at, key) in keys.iter().enumerate() {
        let same = keys[..at].iter().find(|other| other.public_key() == key.public_key());
        let Some(other) = same else { continue };
        let (one, other) = (other.name().to_string(), key.name().to_string());
        return Err(if one == other {
            TrustError::Twice(one)
        } else {
            TrustError::OneKey(one, other)
        });
    }
    Ok(())
}

impl Trust {
    /// A log's keys, of which one must have signed, and those of witnesses, of whom `quorum` must have,
    /// each by any of its keys.
    pub fn new(
        keys: Vec<VerifierKey>,
        witnesses: Vec<VerifierKey>,
        quorum: usize,
    ) -> Result<Self, TrustError> {
        let first = keys.first().ok_or(TrustError::NoKey)?;
        if let Some(other) = keys.iter().find(|key| key.name() != first.name()) {
            return Err(TrustError::TwoLogs(first.name().to_string(), other.name().to_string()));
        }
        all_of(&keys, KeyKind::Log, "a log's")?;
        each_once(&keys)?;
        let named = count_witnesses(&witnesses)?;
        if quorum > named {
            return Err(TrustError::Quorum { quorum, witnesses: named });
        }
        Ok(Self { keys, witnesses, quorum })
    }

    /// The log's name: that of its keys.
    pub fn origin(&self) -> &str {
        self.keys[0].name().as_str()
    }

    /// The log's keys.
    pub fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// The keys of the witnesses that count.
    pub fn witnesses(&self) -> &[VerifierKey] {
        &self.witnesses
    }

    /// How many of the witnesses must have cosigned.
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// The same keys, of which the log's own are enough: for what a log's signature proves by itself.
    #[must_use]
    pub fn without_quorum(&self) -> Self {
        Self { quorum: 0, ..self.clone() }
    }

    /// Also believes this key, as a log's entry says that it is one of its own.
    pub fn and_key(&mut self, key: VerifierKey) {
        if key.kind() == KeyKind::Log
            && key.name() == self.keys[0].name()
            && !self.keys.contains(&key)
        {
            self.keys.push(key);
        }
    }

    /// Reads a checkpoint, and believes it or says why not.
    pub fn open(&self, bytes: &[u8]) -> Result<Opened, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != self.origin() {
            let (expected, found) = (self.origin().to_owned(), checkpoint.origin);
            return Err(CheckpointError::Origin { expected, found });
        }
        note.signed_by(&self.keys)?;
        // By two keys of one witness is once, at the later time.
        let mut witnessed: Vec<(String, u64)> = Vec::new();
        for (key, time) in cosigners(&note, &self.witnesses)? {
            match witnessed.iter_mut().find(|(name, _)| name == key.name().as_str()) {
                Some((_, newest)) => *newest = time.max(*newest),
                None => witnessed.push((key.name().to_string(), time)),
            }
        }
        if witnessed.len() < self.quorum {
            let (found, needed) = (witnessed.len(), self.quorum);
            return Err(CheckpointError::Quorum { found, needed });
        }
        Ok(Opened { checkpoint, note, witnessed })
    }
}

/// A checkpoint that is believed. Only [`Trust::open`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    checkpoint: Checkpoint,
    note: Note,
    witnessed: Vec<(String, u64)>,
}

impl Opened {
    /// What the log promises.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note that it came in.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Which trusted witnesses have cosigned it, and when.
    pub fn witnessed(&self) -> &[(String, u64)] {
        &self.witnessed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "leader.example/log";

    fn checkpoint() -> Checkpoint {
        let mut tree = Frontier::new();
        tree.push(Hash::leaf(b"entry"), |_, _, _| {});
        Checkpoint::new(ORIGIN, &tree)
    }

    fn log() -> TestKey {
        TestKey::new(ORIGIN, KeyKind::Log, 1)
    }

    fn witness(seed: u8) -> TestKey {
        TestKey::new(&format!("witness{seed}.example"), KeyKind::Witness, seed)
    }

    fn trust(quorum: usize) -> Trust {
        let witnesses = vec![witness(2).key.clone(), witness(3).key.clone()];
        Trust::new(vec![log().key.clone()], witnesses, quorum).unwrap()
    }

    #[test]
    fn a_checkpoint_is_believed_if_its_log_signed_it() {
        let note = checkpoint().sign(&[&log()]);
        let opened = trust(0).open(note.to_string().as_bytes()).unwrap();
        assert_eq!(opened.checkpoint(), &checkpoint());
        let forged = checkpoint().sign(&[&TestKey::new(ORIGIN, KeyKind::Log, 9)]);
        assert!(matches!(
            trust(0).open(forged.to_string().as_bytes()),
            Err(CheckpointError::Note(NoteError::NotSigned { .. }))
        ));
        let foreign = Checkpoint { origin: "other.example/log".into(), ..checkpoint() };
        let foreign = foreign.sign(&[&log()]);
        let error = trust(0).open(foreign.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, CheckpointError::Origin { .. }), "{error}");
    }

    #[test]
    fn no_changed_byte_of_a_checkpoint_is_believed() {
        let mut note = checkpoint().sign(&[&log()]);
        note.add([cosign(&note, 1_700_000_000, &witness(2))]);
        let bytes = note.to_string().into_bytes();
        trust(1).open(&bytes).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(trust(1).open(&changed).is_err(), "byte {at}");
            assert!(trust(1).open(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn as_many_witnesses_as_asked_for_must_have_cosigned() {
        let mut note = checkpoint().sign(&[&log()]);
        let error = trust(1).open(note.to_string().as_bytes()).unwrap_err();
        assert_eq!(error, CheckpointError::Quorum { found: 0, needed: 1 });
        // Twice by one witness is once.
        note.add([cosign(&note, 1, &witness(2)), cosign(&note, 2, &witness(2))]);
        let error = trust(2).open(note.to_string().as_bytes()).unwrap_err();
        assert_eq!(error, CheckpointError::Quorum { found: 1, needed: 2 });
        note.add([cosign(&note, 7, &witness(3)), cosign(&note, 3, &witness(8))]);
        let opened = trust(2).open(note.to_string().as_bytes()).unwrap();
        assert_eq!(opened.witnessed()[1], ("witness3.example".to_owned(), 7));
    }

    #[test]
    fn a_witness_with_two_keys_is_one_witness() {
        let key = |seed| TestKey::new("witness.example", KeyKind::Witness, seed);
        let keys = vec![key(2).key.clone(), key(4).key.clone(), witness(3).key.clone()];
        let trust = |quorum| Trust::new(vec![log().key.clone()], keys.clone(), quorum);
        assert_eq!(trust(3), Err(TrustError::Quorum { quorum: 3, witnesses: 2 }));
        let mut note = checkpoint().sign(&[&log()]);
        note.add([cosign(&note, 7, &key(2)), cosign(&note, 9, &key(4))]);
        let error = trust(2).unwrap().open(note.to_string().as_bytes()).unwrap_err();
        assert_eq!(error, CheckpointError::Quorum { found: 1, needed: 2 });
        let opened = trust(1).unwrap().open(note.to_string().as_bytes()).unwrap();
        assert_eq!(opened.witnessed(), [("witness.example".to_owned(), 9)]);
        note.add([cosign(&note, 7, &witness(3))]);
        trust(2).unwrap().open(note.to_string().as_bytes()).unwrap();
    }

    #[test]
    fn a_cosignature_of_another_time_or_key_is_wrong() {
        let note = checkpoint().sign(&[&log()]);
        let mut line = cosign(&note, 7, &witness(2));
        line.signature[7] ^= 1;
        let mut changed = note.clone();
        changed.add([line]);
        let error = trust(0).open(changed.to_string().as_bytes()).unwrap_err();
        assert_eq!(error, NoteError::Wrong("witness2.example".into()).into());
    }

    #[test]
    fn texts_that_are_no_checkpoints_are_refused() {
        let root = Hash::of_nothing();
        for text in [
            format!("{ORIGIN}\n01\n{root}\n"),
            format!("{ORIGIN}\n-1\n{root}\n"),
            format!("{ORIGIN}\n9223372036854775808\n{root}\n"),
            format!("\n1\n{root}\n"),
            format!("{ORIGIN}\n1\nAAAA\n"),
            format!("{ORIGIN}\n1\n"),
            format!("{ORIGIN}\n1\n{root}\n\n"),
            format!("{ORIGIN}\n1\n{root}"),
            String::new(),
        ] {
            assert_eq!(Checkpoint::parse(&text), Err(CheckpointError::Form), "{text:?}");
        }
        let extended = format!("{ORIGIN}\n0\n{root}\nan extension\n");
        assert_eq!(Checkpoint::parse(&extended).unwrap().size, 0);
    }

    #[test]
    fn trust_that_means_nothing_is_refused() {
        let (log, witness) = (log().key.clone(), witness(2).key.clone());
        assert_eq!(Trust::new(vec![], vec![], 0), Err(TrustError::NoKey));
        let other = TestKey::new("other.example", KeyKind::Log, 1).key.clone();
        assert!(matches!(
            Trust::new(vec![log.clone(), other], vec![], 0),
            Err(TrustError::TwoLogs(..))
        ));
        assert!(matches!(Trust::new(vec![witness.clone()], vec![], 0), Err(TrustError::Kind(..))));
        assert!(matches!(
            Trust::new(vec![log.clone()], vec![log.clone()], 0),
            Err(TrustError::Kind(..))
        ));
        let quorum = Trust::new(vec![log.clone()], vec![witness.clone()], 2);
        assert_eq!(quorum, Err(TrustError::Quorum { quorum: 2, witnesses: 1 }));
        let twice = Trust::new(vec![log.clone()], vec![witness.clone(); 2], 2);
        assert_eq!(twice, Err(TrustError::Twice("witness2.example".into())));
        assert_eq!(
            Trust::new(vec![log.clone(); 2], vec![], 0),
            Err(TrustError::Twice(ORIGIN.into()))
        );
        let other = TestKey::new("other.example", KeyKind::Witness, 2).key.clone();
        let error = Trust::new(vec![log], vec![witness, other], 0).unwrap_err();
        assert_eq!(error, TrustError::OneKey("witness2.example".into(), "other.example".into()));
    }
}
