//! Atomic creation and replacement of files.
//!
//! What is to be written goes into a new file in the same folder first, which is ours alone: a file
//! or a link that is there already under its name is never opened. It is on the disk before it gets
//! the name that it is read by, and the folder after that. Killed in between, what is read is the
//! old file, or none.
//!
//! ```
//! use sottovoce_whole_file::{Readers, create, replace};
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("settings.toml");
//! create(&path, b"old", Readers::All)?;
//! assert!(create(&path, b"new", Readers::All).is_err(), "it is there already");
//! replace(&path, b"new", Readers::All)?;
//! assert_eq!(std::fs::read(&path)?, b"new");
//! # Ok::<_, std::io::Error>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

use rand::{RngExt, rng};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner only, whatever the umask says.
    Owner,
    /// Whom the umask lets.
    All,
}

/// Writes a file that must not be there yet: `AlreadyExists` otherwise, also if what has the name is
/// a link that leads nowhere.
pub fn create(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut new = NewFile::beside(path, readers)?;
    new.file().write_all(bytes)?;
    new.create()
}

/// Writes a file in the place of what has its name, if anything has. A link is replaced, not
/// followed.
pub fn replace(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut new = NewFile::beside(path, readers)?;
    new.file().write_all(bytes)?;
    new.replace()
}

/// A file that has a name for the meantime only; gone when it is dropped.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    readers: Readers,
}

impl NewFile {
    /// An empty file in the folder of `path`, under a name that nobody can guess: any number of
    /// processes may be at it at once.
    pub fn beside(path: &Path, readers: Readers) -> io::Result<Self> {
        let mut tries = 0..8;
        loop {
            let temporary = sibling(path, &format!("{:016x}.new", rng().random::<u64>()));
            match made(&temporary, readers) {
                Err(error)
                    if error.kind() == ErrorKind::AlreadyExists && tries.next().is_some() => {}
                made => return Ok(Self { file: made?, temporary, path: path.to_owned(), readers }),
            }
        }
    }

    /// An empty file under a name that is known, so that what a crash leaves is found: only for
    /// whoever has sole use of it. What is there is removed, and a link is not followed.
    pub fn at(temporary: PathBuf, path: &Path, readers: Readers) -> io::Result<Self> {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = made(&temporary, readers)?;
        Ok(Self { file, temporary, path: path.to_owned(), readers })
    }

    /// What is to be written to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Where it is meanwhile.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Gives it its name, in the place of what had it. Durable when this returns.
    pub fn replace(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        sync_folder(&self.path)
    }

    /// Gives it its name, which nothing may have. Durable when this returns.
    pub fn create(self) -> io::Result<()> {
        self.file.sync_all()?;
        match fs::hard_link(&self.temporary, &self.path) {
            Ok(()) => fs::remove_file(&self.temporary)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            Err(_) => self.create_without_links()?,
        }
        sync_folder(&self.path)
    }

    /// Where files have one name each: takes the name first, then fills it.
    fn create_without_links(&self) -> io::Result<()> {
        drop(made(&self.path, self.readers)?);
        let moved = fs::rename(&self.temporary, &self.path);
        moved.inspect_err(|_| drop(fs::remove_file(&self.path)))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Not there any more if all went well.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Makes the names in the folder of `path` durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A path beside another: its name with a full stop and an ending.
pub fn sibling(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(|| OsString::from("new"), OsString::from);
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// A file that was not there, with its mode from the start.
fn made(path: &Path, readers: Readers) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = readers;
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = fs::read_dir(folder).unwrap().map(name);
        let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_there_is_not_written_over_unless_it_is_to_be_replaced() {
        let folder = folder();
        let path = folder.path().join("key");
        create(&path, b"first", Readers::Owner).unwrap();
        let refused = create(&path, b"second", Readers::Owner).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        replace(&path, b"third", Readers::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert_eq!(names(folder.path()), ["key"]);
    }

    #[test]
    fn what_is_given_up_leaves_the_old_file_and_nothing_else() {
        let folder = folder();
        let path = folder.path().join("state");
        fs::write(&path, b"old").unwrap();
        let mut new = NewFile::beside(&path, Readers::Owner).unwrap();
        new.file().write_all(b"half of").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old", "until it is whole");
        drop(new);
        assert_eq!((fs::read(&path).unwrap(), names(folder.path()).len()), (b"old".to_vec(), 1));
    }

    #[test]
    fn two_at_once_do_not_mix() {
        let folder = folder();
        let path = folder.path().join("state");
        let mut one = NewFile::beside(&path, Readers::Owner).unwrap();
        let mut other = NewFile::beside(&path, Readers::Owner).unwrap();
        one.file().write_all(b"one").unwrap();
        other.file().write_all(b"other").unwrap();
        one.replace().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        other.replace().unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(folder.path()).len()), (b"other".to_vec(), 1));
    }

    #[test]
    fn a_name_without_links_is_taken_and_filled() {
        let folder = folder();
        let path = folder.path().join("key");
        let mut new = NewFile::beside(&path, Readers::Owner).unwrap();
        new.file().write_all(b"key").unwrap();
        new.create_without_links().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"key");
        let again = NewFile::beside(&path, Readers::Owner).unwrap().create_without_links();
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    #[cfg(unix)]
    mod on_unix {
        use super::*;
        use std::os::unix::fs::{PermissionsExt, symlink};

        fn mode(path: &Path) -> u32 {
            fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
        }

        #[test]
        fn planted_links_and_files_are_not_written_through() {
            let folder = folder();
            let (path, theirs) = (folder.path().join("key"), folder.path().join("theirs"));
            let planted = sibling(&path, "new");
            for target in [&theirs, &folder.path().join("nowhere")] {
                fs::write(&theirs, b"theirs").unwrap();
                symlink(target, &planted).unwrap();
                let mut new = NewFile::at(planted.clone(), &path, Readers::Owner).unwrap();
                new.file().write_all(b"secret").unwrap();
                new.replace().unwrap();
                assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
                assert_eq!(names(folder.path()), ["key", "theirs"]);
                assert!(fs::symlink_metadata(&path).unwrap().is_file());
            }
        }

        #[test]
        fn a_planted_file_that_all_may_read_does_not_get_the_secret() {
            let folder = folder();
            let path = folder.path().join("key");
            let planted = sibling(&path, "new");
            fs::write(&planted, b"").unwrap();
            fs::set_permissions(&planted, fs::Permissions::from_mode(0o666)).unwrap();
            let watching = File::open(&planted).unwrap();
            let mut new = NewFile::at(planted, &path, Readers::Owner).unwrap();
            new.file().write_all(b"secret").unwrap();
            new.replace().unwrap();
            assert_eq!((watching.metadata().unwrap().len(), mode(&path)), (0, 0o600));
        }

        #[test]
        fn a_link_under_the_name_itself_is_refused_or_replaced_and_never_followed() {
            let folder = folder();
            let (path, theirs) = (folder.path().join("key"), folder.path().join("theirs"));
            fs::write(&theirs, b"theirs").unwrap();
            for target in [&theirs, &folder.path().join("nowhere")] {
                symlink(target, &path).unwrap();
                let refused = create(&path, b"secret", Readers::Owner).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
                replace(&path, b"secret", Readers::Owner).unwrap();
                assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
                assert_eq!(names(folder.path()), ["key", "theirs"]);
                fs::remove_file(&path).unwrap();
            }
        }

        #[test]
        fn a_replaced_file_is_for_its_owner_even_if_the_old_one_was_for_all() {
            let folder = folder();
            let path = folder.path().join("state");
            fs::write(&path, b"old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let new = NewFile::beside(&path, Readers::Owner).unwrap();
            assert_eq!(mode(new.temporary()), 0o600, "from the start");
            new.replace().unwrap();
            assert_eq!(mode(&path), 0o600);
        }
    }
}
