//! Reload of files that are renewed while the server runs: a change is noticed by what is in them.
//!
//! Not by when they were written: a file that is copied or unpacked may be as old as it likes.

use sha2::{Digest, Sha256};
use std::{
    fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use zeroize::Zeroizing;

/// How often renewed files are looked for.
pub const RELOAD_EVERY: Duration = Duration::from_secs(20);

/// A file as it was read, wiped after use: it may be a key.
pub type Contents = Zeroizing<Vec<u8>>;

/// Files that belong together, and what was last seen in them.
#[derive(Debug)]
pub struct WatchedFiles {
    paths: Vec<PathBuf>,
    seen: Mutex<[u8; 32]>,
    /// Why they were of no use, if they were.
    refused: Mutex<String>,
}

impl WatchedFiles {
    /// Reads files, in their order; changes are noticed from then on.
    pub fn begin(paths: Vec<PathBuf>) -> Result<(Self, Vec<Contents>), (PathBuf, io::Error)> {
        let contents = read(&paths)?;
        let seen = Mutex::new(digest(&contents));
        Ok((Self { paths, seen, refused: Mutex::default() }, contents))
    }

    /// The files, if anything else is in them than when they were last given out: so each change is
    /// given out once, also one that is of no use. A file that cannot be read is being replaced.
    pub fn changed(&self) -> Option<Vec<Contents>> {
        let contents = read(&self.paths).ok()?;
        let found = digest(&contents);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::replace(&mut *seen, found) != found).then_some(contents)
    }

    /// Notes that what was given out last is of no use, and says whether the reason is news. What `may_pass`, as a
    /// certificate that is not valid yet, is given out again.
    pub fn refuse(&self, reason: &str, may_pass: bool) -> bool {
        if may_pass {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = UNSEEN;
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *refused != reason;
        reason.clone_into(&mut refused);
        is_news
    }
}

/// The digest of no files.
const UNSEEN: [u8; 32] = [0; 32];

fn read(paths: &[PathBuf]) -> Result<Vec<Contents>, (PathBuf, io::Error)> {
    let one = |path: &PathBuf| fs::read(path).map(Zeroizing::new).map_err(|e| (path.clone(), e));
    paths.iter().map(one).collect()
}

fn digest(contents: &[Contents]) -> [u8; 32] {
    let mut all = Sha256::new();
    for contents in contents {
        // Of each by itself, so that what moves from one file to the next is a change.
        all.update(Sha256::digest(contents.as_slice()));
    }
    all.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn contents_count_and_no_date() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let write = |at: usize, text: &str, time: SystemTime| {
            fs::write(&paths[at], text).unwrap();
            fs::File::options().write(true).open(&paths[at]).unwrap().set_modified(time).unwrap();
        };
        let (now, long_ago) = (SystemTime::now(), SystemTime::UNIX_EPOCH);
        write(0, "one", now);
        write(1, "two", now);
        let (watched, contents) = WatchedFiles::begin(paths.to_vec()).unwrap();
        assert_eq!(contents[1].as_slice(), b"two");
        write(0, "one", long_ago);
        assert!(watched.changed().is_none());
        write(1, "six", long_ago);
        assert_eq!(watched.changed().unwrap()[1].as_slice(), b"six");
        assert!(watched.changed().is_none());
        write(0, "ones", now);
        write(1, "ix", now);
        assert!(watched.changed().is_some());
        assert!(watched.refuse("of another host", false) && watched.changed().is_none());
        assert!(!watched.refuse("of another host", false) && watched.refuse("not valid yet", true));
        assert!(watched.changed().is_some(), "what may pass is looked at again");
        fs::remove_file(&paths[0]).unwrap();
        assert!(watched.changed().is_none());
    }
}
