//! The folder that everything of a demonstration is in.

use anyhow::Context;
use std::path::{Path, PathBuf};

/// A folder that is removed when dropped, or one that the user wants to keep.
pub(super) enum Folder {
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

impl Folder {
    /// The folder to keep, which must be new or empty; a temporary one otherwise.
    pub(super) fn new(keep: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = keep else {
            let folder = tempfile::Builder::new().prefix("sottovoce-demo-").tempdir()?;
            return Ok(Self::Temporary(folder));
        };
        std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        let is_empty = std::fs::read_dir(path)?.next().is_none();
        anyhow::ensure!(is_empty, "{} is not empty; name a new folder", path.display());
        Ok(Self::Kept(path.canonicalize()?))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }

    /// The folder, if it stays.
    pub(super) fn kept(&self) -> Option<PathBuf> {
        match self {
            Self::Temporary(_) => None,
            Self::Kept(path) => Some(path.clone()),
        }
    }
}
