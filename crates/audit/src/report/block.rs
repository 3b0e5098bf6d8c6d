//! What a document consists of, apart from how it looks.

use super::plot::Plot;

/// A part of a document. Text between backticks is code.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// The document's title.
    Title(String),
    /// A heading.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A paragraph that nobody should overlook, and whether it is good news.
    Verdict(Mood, String),
    /// Points.
    List(Vec<String>),
    /// A table: its head, and its rows.
    Table(Vec<String>, Vec<Vec<String>>),
    /// A picture.
    Plot(Plot),
    /// Room for people to write in: what each line is for.
    Form(Vec<String>),
}

/// How a verdict is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// All that was checked holds.
    Good,
    /// Something could not be checked.
    Open,
    /// A promise is broken.
    Bad,
}

pub(super) fn heading(text: &str) -> Block {
    Block::Heading(text.to_owned())
}

pub(super) fn text(words: impl Into<String>) -> Block {
    Block::Text(words.into())
}

/// A table's head.
pub(super) fn head<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
