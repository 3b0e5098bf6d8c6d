//! Signed notes (C2SP signed-note): text, and lines by which keys sign it.
//!
//! A note is only ever opened with the keys that are trusted. Signatures of unknown keys are
//! skipped, a wrong one of a known key spoils the note, and one right one is the least.

use super::ed25519;
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use sottovoce_dap::printable::is_hidden;
use std::{fmt, str::FromStr};
use thiserror::Error;

/// A note longer than this is not read.
pub const MAX_NOTE: usize = 256 * 1024;
/// Signature lines beyond this are not read.
pub const MAX_SIGNATURES: usize = 64;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// The text as it is: a log.
    Log,
    /// That at a time this was the newest checkpoint (C2SP tlog-cosignature): a witness.
    Witness,
}

impl KeyKind {
    fn code(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Witness => 0x04,
        }
    }
}

/// A public key with its owner's name, in one line of text: `name+hash+key`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierKey {
    name: KeyName,
    kind: KeyKind,
    key: [u8; 32],
}

/// The name of a key: not empty, without spaces and `+`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// A text that is not a key, or not a key's name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// The name cannot stand in a note.
    #[error("{0:?} is not a valid key name; use a URL without its scheme, without spaces and `+`")]
    Name(String),
    /// It is not three parts.
    #[error("a verifier key has three parts, name+hash+key; copy all of it")]
    Form,
    /// The key is of another algorithm.
    #[error(
        "the key of {0} has an unsupported type; Ed25519 keys of logs and witnesses are supported"
    )]
    Kind(String),
    /// The hash does not fit.
    #[error(
        "the key of {0} does not match its hash; copy it again, a character is missing or changed"
    )]
    Hash(String),
}

impl KeyName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        let wrong = |c: char| c.is_whitespace() || is_hidden(c) || c == '+';
        if name.is_empty() || name.len() > 255 || name.contains(wrong) {
            return Err(KeyError::Name(name.chars().take(80).collect()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl VerifierKey {
    /// An Ed25519 public key and whose it is; `None` if nothing can be signed by it.
    pub fn new(name: KeyName, kind: KeyKind, key: [u8; 32]) -> Option<Self> {
        ed25519::is_key(&key).then_some(Self { name, kind, key })
    }

    /// Whose it is.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// What it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.key
    }

    /// What signature lines name it by, beside the name.
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(self.name.as_str())
            .chain_update([b'\n', self.kind.code()])
            .chain_update(self.key);
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        [a, b, c, d]
    }

    /// Whether `signature` is this key's over `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        ed25519::verify(&self.key, message, signature)
    }

    /// The line that carries a signature of this key.
    pub fn line(&self, signature: &[u8]) -> SignatureLine {
        SignatureLine { name: self.name.clone(), id: self.id(), signature: signature.to_vec() }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = [&[self.kind.code()][..], &self.key].concat();
        write!(f, "{}+{id:08x}+{}", self.name, STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let name = KeyName::new(name)?;
        let shown = name.to_string();
        let bytes = STANDARD.decode(key).map_err(|_| KeyError::Form)?;
        let (kind, key) = match bytes.split_first() {
            Some((0x01, key)) => (KeyKind::Log, key),
            Some((0x04, key)) => (KeyKind::Witness, key),
            _ => return Err(KeyError::Kind(shown)),
        };
        let key = key.try_into().ok().and_then(|key| Self::new(name, kind, key));
        let key = key.ok_or_else(|| KeyError::Kind(shown.clone()))?;
        if id == format!("{:08x}", u32::from_be_bytes(key.id())) {
            Ok(key)
        } else {
            Err(KeyError::Hash(shown))
        }
    }
}

/// One signature below a note.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignatureLine {
    /// Whose it says it is.
    pub name: KeyName,
    /// Which of their keys.
    pub id: [u8; 4],
    /// What the algorithm made.
    pub signature: Vec<u8>,
}

impl SignatureLine {
    /// Whether it says that it is of this key.
    pub fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.id == key.id()
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.signature].concat();
        writeln!(f, "— {} {}", self.name, STANDARD.encode(bytes))
    }
}

impl FromStr for SignatureLine {
    type Err = NoteError;

    /// Reads a line without its end.
    fn from_str(line: &str) -> Result<Self, NoteError> {
        let rest = line.strip_prefix("— ").ok_or(NoteError::Line)?;
        let (name, signature) = rest.split_once(' ').ok_or(NoteError::Line)?;
        let name = KeyName::new(name).map_err(|_| NoteError::Line)?;
        let bytes = STANDARD.decode(signature).map_err(|_| NoteError::Line)?;
        let (id, signature) = bytes.split_first_chunk().ok_or(NoteError::Line)?;
        if signature.is_empty() {
            return Err(NoteError::Line);
        }
        Ok(Self { name, id: *id, signature: signature.to_vec() })
    }
}

/// A note that was read and not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// A note that cannot be believed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoteError {
    /// More bytes than any note has.
    #[error("the note has {0} bytes; the maximum is {MAX_NOTE}")]
    TooLong(usize),
    /// It is not text, or has no end.
    #[error("it is not a signed note: text, an empty line and signature lines are expected")]
    Form,
    /// A signature line that is none.
    #[error("the note has an invalid signature line: `— NAME SIGNATURE` is expected")]
    Line,
    /// No key that is trusted has signed it.
    #[error("the note is not signed by {expected}; it is signed by {found}")]
    NotSigned {
        /// The keys that would be believed.
        expected: String,
        /// The names below the note.
        found: String,
    },
    /// A trusted key's signature is wrong.
    #[error("the signature of {0} is not valid: the note or the signature was changed")]
    Wrong(String),
}

impl Note {
    /// A note, and who signed it. The text ends with a line's end.
    pub fn new(text: String, signatures: Vec<SignatureLine>) -> Self {
        Self { text, signatures }
    }

    /// Reads a note.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::Form)?;
        if whole.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::Form);
        }
        let at = whole.rfind("\n\n").ok_or(NoteError::Form)?;
        let (text, below) = (&whole[..=at], &whole[at + 2..]);
        let below = below.strip_suffix('\n').ok_or(NoteError::Form)?;
        let lines = below.split('\n').take(MAX_SIGNATURES);
        let signatures = lines.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, whether it is believed or not.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, whether they are right or not.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds signatures that are not there yet.
    pub fn add(&mut self, lines: impl IntoIterator<Item = SignatureLine>) {
        for line in lines {
            if !self.signatures.contains(&line) {
                self.signatures.push(line);
            }
        }
    }

    /// The trusted keys among `keys` that have signed, at least one. `check` verifies one
    /// signature over the text.
    pub(super) fn signers<'a, T>(
        &self,
        keys: &'a [VerifierKey],
        check: impl Fn(&VerifierKey, &[u8]) -> Option<T>,
    ) -> Result<Vec<(&'a VerifierKey, T)>, NoteError> {
        let mut signers: Vec<(&VerifierKey, T)> = Vec::new();
        for line in &self.signatures {
            let Some(key) = keys.iter().find(|key| line.is_of(key)) else { continue };
            let checked = check(key, &line.signature);
            let checked = checked.ok_or_else(|| NoteError::Wrong(key.name.to_string()))?;
            if signers.iter().all(|(known, _)| *known != key) {
                signers.push((key, checked));
            }
        }
        Ok(signers)
    }

    /// The log's keys among `keys` that have signed the text; none at all is an error.
    pub fn signed_by<'a>(
        &self,
        keys: &'a [VerifierKey],
    ) -> Result<Vec<&'a VerifierKey>, NoteError> {
        let check = |key: &VerifierKey, signature: &[u8]| {
            let signature = signature.try_into().ok()?;
            (key.kind == KeyKind::Log && key.verify(self.text.as_bytes(), signature)).then_some(())
        };
        let signers = self.signers(keys, check)?;
        if signers.is_empty() {
            let names = |names: Vec<&str>| {
                if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
            };
            return Err(NoteError::NotSigned {
                expected: names(keys.iter().map(|key| key.name.as_str()).collect()),
                found: names(self.signatures.iter().map(|line| line.name.as_str()).collect()),
            });
        }
        Ok(signers.into_iter().map(|(key, ())| key).collect())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The specification's own example.
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn key() -> VerifierKey {
        KEY.parse().unwrap()
    }

    #[test]
    fn the_specifications_example_is_read_and_believed() {
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.text(), "This is an example message.\n");
        assert_eq!(note.signed_by(&[key()]).unwrap(), [&key()]);
        assert_eq!(note.to_string(), NOTE);
        assert_eq!(key().to_string(), KEY);
    }

    #[test]
    fn no_changed_byte_of_a_note_is_believed() {
        for at in 0..NOTE.len() {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= 1;
            let believed = Note::parse(&bytes).and_then(|note| {
                note.signed_by(&[key()])?;
                Ok(note)
            });
            assert!(believed.is_err(), "byte {at}");
        }
        for end in 0..NOTE.len() {
            let cut = Note::parse(&NOTE.as_bytes()[..end]);
            assert!(cut.and_then(|note| note.signed_by(&[key()]).map(drop)).is_err(), "{end}");
        }
    }

    #[test]
    fn a_note_by_strangers_says_who_was_expected_and_who_signed() {
        let note = Note::parse(NOTE.replace("example.com/foo", "example.com/bar").as_bytes());
        let error = note.unwrap().signed_by(&[key()]).unwrap_err().to_string();
        assert!(error.contains("example.com/foo") && error.contains("example.com/bar"), "{error}");
    }

    #[test]
    fn strangers_signatures_are_skipped() {
        let stranger = "— stranger.example AAAAAAAAAAA=\n";
        let note = Note::parse(format!("{NOTE}{stranger}").as_bytes()).unwrap();
        assert_eq!(note.signatures().len(), 2);
        note.signed_by(&[key()]).unwrap();
        // The same name with another key is a stranger too.
        let other = NOTE.replacen("Uw2Q", "Aw2Q", 1);
        assert!(matches!(
            Note::parse(other.as_bytes()).unwrap().signed_by(&[key()]),
            Err(NoteError::NotSigned { .. })
        ));
    }

    #[test]
    fn keys_that_are_none_are_refused_by_name() {
        let refused = |text: &str| text.parse::<VerifierKey>().unwrap_err();
        assert_eq!(refused("example.com/foo+530d903a"), KeyError::Form);
        assert_eq!(refused(""), KeyError::Form);
        assert_eq!(
            refused(&KEY.replace("530d903a", "530d903b")),
            KeyError::Hash("example.com/foo".into())
        );
        assert_eq!(
            refused(&KEY.replace("530d903a", "530D903A")),
            KeyError::Hash("example.com/foo".into())
        );
        assert_eq!(
            refused(&KEY.replacen("example.com", "example com", 1)),
            KeyError::Name("example com/foo".into())
        );
        let kind = refused("a+00000000+BukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
        assert_eq!(kind, KeyError::Kind("a".into()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_note_or_are_not(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(note) = Note::parse(&bytes) {
                prop_assert!(note.signed_by(&[key()]).is_err());
            }
        }

        #[test]
        fn a_note_is_written_as_it_was_read(text in "[a-z\n]{0,40}", names in proptest::collection::vec("[a-z.]{1,9}", 1..4)) {
            let text = format!("{}\n", text.trim_end_matches('\n'));
            let line = |name: &String| SignatureLine { name: KeyName::new(name).unwrap(), id: [1; 4], signature: vec![2; 9] };
            let note = Note::new(text, names.iter().map(line).collect());
            prop_assert_eq!(Note::parse(note.to_string().as_bytes()).unwrap(), note);
        }
    }
}
