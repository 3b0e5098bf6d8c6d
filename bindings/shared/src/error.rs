//! Errors as a kind, words and fields.

use serde::{Serialize, Serializer};
use sottovoce_client::device::{DeviceError, ErrorKind, Field};
use std::{collections::BTreeMap, fmt};

/// What kind of error it is. Each has a name that never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An argument is not what it should be, such as JSON that is no event.
    Argument,
    /// The program is not valid.
    Program,
    /// The device refuses.
    Device(ErrorKind),
}

impl Kind {
    /// Its name, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Argument => "argument",
            Self::Program => "program",
            Self::Device(kind) => kind.name(),
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A call that was refused. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Error {
    /// Its kind.
    pub kind: Kind,
    /// The cause and the cure, for people. It can repeat an answer or a value that the app passed and
    /// the program does not have; text that is no event at all, and comments, it never repeats.
    pub message: String,
    /// What the message names, by the names of the core's fields: texts, lists of texts, and moments in seconds
    /// since the Epoch.
    pub fields: BTreeMap<&'static str, Field>,
}

impl Error {
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self { kind: Kind::Argument, message: message.into(), fields: BTreeMap::new() }
    }

    /// A program that is refused, as text or compiled.
    pub(crate) fn program(error: &impl std::error::Error) -> Self {
        Self { kind: Kind::Program, message: error.to_string(), fields: BTreeMap::new() }
    }

    /// JSON that is not what it should be. Says where, and never what was given.
    pub(crate) fn json(what: &str, error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        Self::argument(format!("not valid JSON for {what}: line {line}, column {column}"))
    }
}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        Self {
            kind: Kind::Device(error.kind()),
            message: error.to_string(),
            fields: error.fields().into_iter().collect(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
