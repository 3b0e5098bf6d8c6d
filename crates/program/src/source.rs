//! Where in the file a value stands, and what is wrong with it there.

use serde::{Deserialize, Deserializer};
use std::{fmt::Display, ops::Range};
use thiserror::Error;
use toml::Spanned;

/// A program that says something impossible, with the place where it says so.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{place}: {reason}")]
pub struct ProgramError {
    place: String,
    reason: String,
}

impl ProgramError {
    pub(super) fn new(place: &str, reason: impl Display) -> Self {
        Self { place: place.to_owned(), reason: reason.to_string() }
    }
}

/// A value with its place in the file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At<T>(Spanned<T>);

impl<T> At<T> {
    pub(super) fn new(place: Range<usize>, value: T) -> Self {
        Self(Spanned::new(place, value))
    }

    pub(super) fn get_ref(&self) -> &T {
        self.0.get_ref()
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.0.span()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

/// The schema of the value.
#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// A file's name and text, to say where something is.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// An error about one value.
    pub(super) fn error<T>(self, value: &At<T>, reason: impl Display) -> ProgramError {
        self.at(value.span().start, reason)
    }

    /// An error about the whole.
    pub(super) fn whole(self, reason: impl Display) -> ProgramError {
        ProgramError::new(self.name, reason)
    }

    pub(super) fn at(self, byte: usize, reason: impl Display) -> ProgramError {
        let before = self.text.get(..byte).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        ProgramError::new(&format!("{}:{line}:{column}", self.name), reason)
    }
}
