//! A log as files (C2SP tlog-tiles): hashes in tiles of 256, entries in bundles of 256, under
//! names that say where they belong.
//!
//! A file of full width never changes. The rightmost ones are *partial*; a partial file is the
//! beginning of the full one that it becomes, so whoever keeps the longest has all of them.

use super::tree::{Frontier, Hash, Nodes, TreeError};
use sottovoce_dap::codec::{DecodeError, Reader, U16, encode_vector};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};
use thiserror::Error;

/// Hashes in a full tile, and entries in a full bundle.
pub const WIDTH: u64 = 256;
/// Levels of the tree that a tile spans.
const HEIGHT: u32 = 8;
/// The longest entry in bytes: its length is written in 16 bits.
pub const MAX_ENTRY: usize = u16::MAX as usize;
/// The longest bundle in bytes.
pub const MAX_BUNDLE: usize = 256 * (2 + MAX_ENTRY);

/// Where a file stands, whatever its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// What is in it.
    pub content: Content,
    /// How many files of full width stand before it.
    pub index: u64,
}

/// What a file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// Hashes of this level of tiles, 0 to 7: the tree's levels 8 times that.
    Hashes(u8),
    /// Entries.
    Entries,
}

impl Content {
    /// How many of them a log of `size` entries has.
    fn items(self, size: u64) -> u64 {
        match self {
            Self::Hashes(level) => size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0),
            Self::Entries => size,
        }
    }

    /// A number for it, where names are too long: the level, or 255 for entries.
    pub fn code(self) -> u8 {
        match self {
            Self::Hashes(level) => level,
            Self::Entries => u8::MAX,
        }
    }
}

/// The highest level of tiles that a tree of 64-bit size has.
const MAX_LEVEL: u8 = 7;

/// A file's name, with its width: `tile/0/x001/067.p/12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileName {
    place: Place,
    width: u64,
}

impl TileName {
    /// Of a file of full width.
    pub fn full(content: Content, index: u64) -> Self {
        Self { place: Place { content, index }, width: WIDTH }
    }

    /// Of the file at `place` as a tree of `size` entries has it; `None` if it has none there.
    pub fn of(place: Place, size: u64) -> Option<Self> {
        let items = place.content.items(size);
        let before = place.index.checked_mul(WIDTH)?;
        let width = items.checked_sub(before)?.min(WIDTH);
        (width > 0).then_some(Self { place, width })
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Hashes or entries in it.
    pub fn width(&self) -> u64 {
        self.width
    }

    /// Whether it will never change.
    pub fn is_full(&self) -> bool {
        self.width == WIDTH
    }
}

impl fmt::Display for TileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.content {
            Content::Hashes(level) => write!(f, "tile/{level}")?,
            Content::Entries => f.write_str("tile/entries")?,
        }
        let digits = format!("{:03}", self.place.index);
        let digits = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
        let groups = digits.len() / 3;
        for group in 0..groups {
            let mark = if group + 1 < groups { "x" } else { "" };
            write!(f, "/{mark}{}", &digits[group * 3..group * 3 + 3])?;
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// A name that no file of a log has.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "not the name of a log's file; tiles are tile/LEVEL/INDEX, entry bundles tile/entries/INDEX"
)]
pub struct NameError;

impl FromStr for TileName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let rest = name.strip_prefix("tile/").ok_or(NameError)?;
        let (kind, rest) = rest.split_once('/').ok_or(NameError)?;
        let content = match kind {
            "entries" => Content::Entries,
            level => Content::Hashes(decimal(level).ok_or(NameError)?),
        };
        if matches!(content, Content::Hashes(level) if level > MAX_LEVEL) {
            return Err(NameError);
        }
        let (path, width) = match rest.split_once(".p/") {
            Some((path, width)) => (path, u64::from(decimal(width).ok_or(NameError)?)),
            None => (rest, WIDTH),
        };
        let name = Self { place: Place { content, index: index(path)? }, width };
        if width == 0 { Err(NameError) } else { Ok(name) }
    }
}

/// A number below 256 without leading zeros.
fn decimal(text: &str) -> Option<u8> {
    let number: u8 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn index(path: &str) -> Result<u64, NameError> {
    let (mut index, mut groups) = (0_u64, path.split('/').peekable());
    let mut first = true;
    while let Some(group) = groups.next() {
        let digits =
            if groups.peek().is_some() { group.strip_prefix('x').ok_or(NameError)? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(NameError);
        }
        // One spelling only: no group of zeros in front.
        if first && digits == "000" && groups.peek().is_some() {
            return Err(NameError);
        }
        first = false;
        let group = digits.parse().map_err(|_| NameError)?;
        let longer = index.checked_mul(1000).and_then(|index: u64| index.checked_add(group));
        index = longer.ok_or(NameError)?;
    }
    Ok(index)
}

/// A file that is not what its name says.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TileError {
    /// A tile of another length.
    #[error("{name} has {found} bytes and must have {needed}")]
    Length {
        /// The file.
        name: String,
        /// Its bytes.
        found: usize,
        /// 32 for each hash.
        needed: u64,
    },
    /// A bundle that does not decode.
    #[error("{name} is not an entry bundle of {width} entries: {source}")]
    Bundle {
        /// The file.
        name: String,
        /// How many entries it should hold.
        width: u64,
        /// Where decoding failed.
        source: DecodeError,
    },
    /// A tree of this size has no such file.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The hashes in a tile, as its name says how many.
pub fn hashes(name: &TileName, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    let needed = name.width * Hash::LEN as u64;
    if bytes.len() as u64 != needed {
        return Err(TileError::Length { name: name.to_string(), found: bytes.len(), needed });
    }
    let (hashes, _) = bytes.as_chunks();
    Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
}

/// The entries in a bundle, as its name says how many.
pub fn entries<'a>(name: &TileName, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, TileError> {
    let failed = |source| TileError::Bundle { name: name.to_string(), width: name.width, source };
    let (mut reader, mut entries) = (Reader::new(bytes), Vec::new());
    for _ in 0..name.width {
        entries.push(reader.vector("entry", 0, U16).map_err(failed)?);
    }
    reader.finish().map_err(failed)?;
    Ok(entries)
}

/// The beginning of a kept file that a narrower name stands for; `None` if it is not that wide.
pub fn narrowed(name: &TileName, kept: &[u8]) -> Option<Vec<u8>> {
    let end = match name.place.content {
        Content::Hashes(_) => usize::try_from(name.width).ok()? * Hash::LEN,
        Content::Entries => {
            let mut reader = Reader::new(kept);
            for _ in 0..name.width {
                reader.vector("entry", 0, U16).ok()?;
            }
            kept.len() - reader.rest().len()
        }
    };
    kept.get(..end).map(<[u8]>::to_vec)
}

/// The right edge of a log, to which entries are added: the files that are not full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    frontier: Frontier,
    files: BTreeMap<Place, Vec<u8>>,
    changed: BTreeSet<Place>,
}

impl Edge {
    /// The files that a log of this size has to be given to go on.
    pub fn places(size: u64) -> Vec<Place> {
        let hashes = (0..=MAX_LEVEL).map(Content::Hashes);
        let place = |content: Content| {
            let items = content.items(size);
            (!items.is_multiple_of(WIDTH)).then_some(Place { content, index: items / WIDTH })
        };
        hashes.chain([Content::Entries]).filter_map(place).collect()
    }

    /// The edge of a log of `size` entries, from its files at [`places`](Self::places).
    pub fn new(size: u64, files: BTreeMap<Place, Vec<u8>>) -> Result<Self, TileError> {
        let mut subtrees = Vec::new();
        for place in Self::places(size).into_iter().rev() {
            let Some(name) = TileName::of(place, size) else { continue };
            let file = files.get(&place).map_or(&[][..], Vec::as_slice);
            if place.content == Content::Entries {
                entries(&name, file)?;
            } else {
                subtrees.extend(whole_subtrees(&hashes(&name, file)?));
            }
        }
        let frontier =
            Frontier::from_parts(size, subtrees).ok_or(TreeError::NoEntry { index: size, size })?;
        Ok(Self { frontier, files, changed: BTreeSet::new() })
    }

    /// Adds an entry; gives its index.
    pub fn push(&mut self, entry: &[u8]) -> Result<u64, TooLong> {
        if entry.len() > MAX_ENTRY {
            return Err(TooLong { len: entry.len() });
        }
        let index = self.frontier.size();
        let bundle = Place { content: Content::Entries, index: index / WIDTH };
        let (files, changed) = (&mut self.files, &mut self.changed);
        let file = files.entry(bundle).or_default();
        encode_vector(file, U16, |out| out.extend_from_slice(entry));
        changed.insert(bundle);
        self.frontier.push(Hash::leaf(entry), |level, index, hash| {
            if level.is_multiple_of(HEIGHT) {
                let level = u8::try_from(level / HEIGHT).unwrap_or(MAX_LEVEL);
                let place = Place { content: Content::Hashes(level), index: index / WIDTH };
                files.entry(place).or_default().extend_from_slice(&hash.0);
                changed.insert(place);
            }
        });
        Ok(index)
    }

    /// The tree so far.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The files that entries were added to since the last call, as they are now. Files that are
    /// full are given once and not kept.
    pub fn take_changed(&mut self) -> BTreeMap<Place, Vec<u8>> {
        let open = Self::places(self.frontier.size());
        let files = &mut self.files;
        let taken = std::mem::take(&mut self.changed).into_iter().filter_map(|place| {
            let file = if open.contains(&place) {
                files.get(&place).cloned()
            } else {
                files.remove(&place)
            };
            file.map(|file| (place, file))
        });
        taken.collect()
    }
}

/// An entry that does not fit a bundle.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the entry has {len} bytes; the maximum is {MAX_ENTRY}")]
pub struct TooLong {
    /// Its bytes.
    pub len: usize,
}

/// The roots of the largest whole subtrees of a tile that is not full, from the left.
fn whole_subtrees(hashes: &[Hash]) -> Vec<Hash> {
    let mut frontier = Frontier::new();
    for hash in hashes {
        frontier.push(*hash, |_, _, _| {});
    }
    frontier.hashes().to_vec()
}

/// A file of the log that was read from outside.
pub trait Files {
    /// Why a file cannot be had.
    type Error: From<TileError> + From<TreeError>;

    /// The bytes of a file.
    fn file(&mut self, name: &TileName) -> Result<Vec<u8>, Self::Error>;
}

/// The nodes of a tree of `size` entries, from its tiles. Remembers the tiles that it has read.
pub struct TileNodes<'a, F> {
    files: &'a mut F,
    size: u64,
    read: BTreeMap<Place, Vec<Hash>>,
}

impl<'a, F: Files> TileNodes<'a, F> {
    /// Over the files of a log that has at least `size` entries.
    pub fn new(files: &'a mut F, size: u64) -> Self {
        Self { files, size, read: BTreeMap::new() }
    }
}

impl<F: Files> Nodes for TileNodes<'_, F> {
    type Error = F::Error;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, F::Error> {
        let (tile_level, up) = (level / HEIGHT, level % HEIGHT);
        let first = index << up;
        let content = Content::Hashes(u8::try_from(tile_level).unwrap_or(MAX_LEVEL));
        let place = Place { content, index: first / WIDTH };
        let missing = TreeError::NoEntry { index: index << level, size: self.size };
        if !self.read.contains_key(&place) {
            let name = TileName::of(place, self.size).ok_or(missing)?;
            let tile = hashes(&name, &self.files.file(&name)?)?;
            self.read.insert(place, tile);
        }
        let start = usize::try_from(first % WIDTH).unwrap_or(usize::MAX);
        let below = self.read.get(&place).and_then(|tile| tile.get(start..start + (1 << up)));
        Ok(whole_subtrees(below.ok_or(missing)?)[0])
    }
}

#[cfg(test)]
mod tests;
