//! A file that is replaced whole.
//!
//! A new blob is written beside the file, made durable, and renamed over it; then the folder is made
//! durable too. Killed anywhere in between, the old file or the new one is there. A lock on a third
//! file keeps a second process out; the system drops it when the process ends, however it ends.

use super::{MOST_BYTES, Storage, StorageError};
use sottovoce_whole_file::{NewFile, Readers, sibling, sync_folder};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

/// State in a file of its own.
#[derive(Debug)]
pub struct FileStorage {
    path: PathBuf,
    /// Held as long as this lives.
    _lock: File,
}

/// More damaged files than this are not kept.
const MOST_ASIDE: u32 = 8;

impl FileStorage {
    /// Takes the file at `path` for this process; it need not exist, its folder must. Beside it
    /// stand `path.lock`, for a moment `path.new`, and damaged states as `path.aside-1` and so on.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StorageError> {
        let path = path.into();
        let place = sibling(&path, "lock");
        let lock = lock_file(&place).map_err(|error| failed(&place, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(StorageError::InUse { place: path.display().to_string() })
            }
            Err(TryLockError::Error(error)) => Err(failed(&place, &error)),
        }
    }

    fn aside(&self, number: u32) -> PathBuf {
        sibling(&self.path, &format!("aside-{number}"))
    }

    fn write(&self, blob: &[u8]) -> io::Result<()> {
        // The lock makes this name ours alone, and what a crash leaves under it is found and erased.
        let mut new = NewFile::at(sibling(&self.path, "new"), &self.path, Readers::Owner)?;
        new.file().write_all(blob)?;
        new.replace()
    }

    /// Removes files, as far as they are there.
    fn remove(&self, paths: impl IntoIterator<Item = PathBuf>) -> Result<(), StorageError> {
        for path in paths {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(&path, &error));
                }
                _ => {}
            }
        }
        sync_folder(&self.path).map_err(|error| failed(&self.path, &error))
    }
}

impl Storage for FileStorage {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&self.path, &error)),
        };
        let bytes = file.metadata().map_err(|error| failed(&self.path, &error))?.len();
        if bytes > MOST_BYTES {
            let place = self.path.display().to_string();
            return Err(StorageError::TooLong { place, bytes, most: MOST_BYTES });
        }
        let mut blob = Vec::new();
        let read = file.take(MOST_BYTES).read_to_end(&mut blob);
        read.map_err(|error| failed(&self.path, &error))?;
        Ok(Some(blob))
    }

    fn store(&mut self, blob: &[u8]) -> Result<(), StorageError> {
        self.write(blob).map_err(|error| failed(&self.path, &error))
    }

    fn set_aside(&mut self) -> Result<String, StorageError> {
        let free = (1..MOST_ASIDE).find(|number| !self.aside(*number).exists());
        let aside = self.aside(free.unwrap_or(MOST_ASIDE));
        self.remove([aside.clone()])?;
        // The next `store` puts a new file in the place of this one, and leaves what is linked as it is.
        let kept = fs::hard_link(&self.path, &aside).or_else(|_| copy(&self.path, &aside));
        match kept.and_then(|()| sync_folder(&self.path)) {
            Ok(()) => Ok(aside.display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok("nowhere".to_owned()),
            Err(error) => Err(failed(&self.path, &error)),
        }
    }

    fn discard_aside(&mut self) -> Result<(), StorageError> {
        let aside = (1..=MOST_ASIDE).map(|number| self.aside(number));
        self.remove([sibling(&self.path, "new")].into_iter().chain(aside))
    }

    fn erase(&mut self) -> Result<(), StorageError> {
        self.remove([self.path.clone()])
    }
}

/// A durable copy, where files cannot be linked.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = private().create_new(true).open(to)?;
    io::copy(&mut File::open(from)?.take(MOST_BYTES), &mut copy)?;
    copy.sync_all()
}

/// A file that is only locked, made if it is not there. Links are not followed: one that leads
/// nowhere would have us make a file in a place of somebody else's choice.
fn lock_file(place: &Path) -> io::Result<File> {
    match private().create_new(true).open(place) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(place)?.is_file() {
                return private().open(place);
            }
            Err(io::Error::new(ErrorKind::PermissionDenied, "it is not a plain file; remove it"))
        }
        made => made,
    }
}

/// Files that only their owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn failed(path: &Path, error: &io::Error) -> StorageError {
    let place = path.display().to_string();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StorageError::Full { place },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotFound => {
            StorageError::Denied { place, reason: error.to_string() }
        }
        _ => StorageError::Other { place, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_second_engine_on_the_same_file_is_refused_until_the_first_is_gone() {
        let folder = folder();
        let path = folder.path().join("state");
        let first = FileStorage::open(&path).unwrap();
        let second = FileStorage::open(&path).unwrap_err();
        assert!(matches!(second, StorageError::InUse { .. }), "{second}");
        drop(first);
        FileStorage::open(&path).unwrap();
    }

    #[test]
    fn a_blob_comes_back_and_is_replaced_whole() {
        let folder = folder();
        let path = folder.path().join("state");
        let mut storage = FileStorage::open(&path).unwrap();
        assert_eq!(storage.load(), Ok(None));
        storage.store(b"a long first blob").unwrap();
        storage.store(b"second").unwrap();
        assert_eq!(storage.load(), Ok(Some(b"second".to_vec())));
        assert!(!sibling(&path, "new").exists());
    }

    #[test]
    fn what_was_half_written_beside_the_file_is_ignored() {
        let folder = folder();
        let path = folder.path().join("state");
        let mut storage = FileStorage::open(&path).unwrap();
        storage.store(b"whole").unwrap();
        fs::write(sibling(&path, "new"), b"half of a longer one").unwrap();
        assert_eq!(storage.load(), Ok(Some(b"whole".to_vec())));
        storage.store(b"next").unwrap();
        assert_eq!(storage.load(), Ok(Some(b"next".to_vec())));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_were_planted_beside_the_file_are_not_followed() {
        use std::os::unix::fs::symlink;
        let folder = folder();
        let (path, theirs) = (folder.path().join("state"), folder.path().join("theirs"));
        symlink(&theirs, sibling(&path, "lock")).unwrap();
        let error = FileStorage::open(&path).unwrap_err().to_string();
        assert!(error.contains("remove it") && !theirs.exists(), "{error}");
        fs::remove_file(sibling(&path, "lock")).unwrap();
        let mut storage = FileStorage::open(&path).unwrap();
        symlink(&theirs, sibling(&path, "new")).unwrap();
        storage.store(b"blob").unwrap();
        assert_eq!((storage.load(), theirs.exists()), (Ok(Some(b"blob".to_vec())), false));
    }

    #[test]
    fn damaged_blobs_are_kept_side_by_side_and_erased_with_the_rest() {
        let folder = folder();
        let mut storage = FileStorage::open(folder.path().join("state")).unwrap();
        for number in 1..=9 {
            storage.store(b"damaged").unwrap();
            let place = storage.set_aside().unwrap();
            assert!(place.ends_with(&format!("aside-{}", number.min(8))), "{place}");
            assert_eq!(storage.load(), Ok(Some(b"damaged".to_vec())), "until another is stored");
        }
        storage.store(b"new").unwrap();
        for number in 1..=8 {
            let aside = sibling(&folder.path().join("state"), &format!("aside-{number}"));
            assert_eq!(fs::read(aside).unwrap(), b"damaged");
        }
        fs::write(folder.path().join("state.new"), b"what a crash left").unwrap();
        let left = || fs::read_dir(folder.path()).unwrap().count();
        storage.discard_aside().unwrap();
        assert_eq!(left(), 2, "the lock and the state");
        assert_eq!(storage.load(), Ok(Some(b"new".to_vec())));
        storage.erase().unwrap();
        assert_eq!(left(), 1, "only the lock is left");
    }

    #[test]
    fn a_folder_that_is_not_there_and_a_full_disk_are_told_apart() {
        let error = FileStorage::open("/nowhere/at/all/state").unwrap_err();
        assert!(matches!(error, StorageError::Denied { .. }), "{error}");
        // Every write to this device says that there is no space.
        let full = failed(Path::new("state"), &full_disk());
        assert!(matches!(full, StorageError::Full { .. }), "{full}");
    }

    fn full_disk() -> io::Error {
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        full.write_all(b"blob").unwrap_err()
    }

    #[cfg(unix)]
    #[test]
    fn a_state_is_for_its_owner_only_and_a_huge_file_is_not_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        let path = folder.path().join("state");
        let mut storage = FileStorage::open(&path).unwrap();
        storage.store(b"blob").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        File::create(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert!(matches!(storage.load(), Err(StorageError::TooLong { .. })));
    }
}
