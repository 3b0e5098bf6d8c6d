//! Who may read a file that holds secrets, and why one cannot be read.
//!
//! As ssh does: a secret that others of the machine can read is refused rather than used.

use std::{io, path::Path};

/// Why the permissions of a file of secrets are refused, with the cure; `None` for a file that only its owner reads, and
/// for one that cannot be looked at, which whoever reads it will say.
///
/// Nobody else may read it, and not its group either, unless root owns it: so root lets the group of a service read it.
#[cfg(unix)]
pub fn exposed(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    let mode = metadata.mode();
    let group = mode & 0o070 != 0 && metadata.uid() != 0;
    let who = match (mode & 0o007 != 0, group) {
        (true, _) => "everybody on this machine",
        (false, true) => "its group",
        (false, false) => return None,
    };
    Some(format!(
        "{path} holds secrets, and {who} has access to it (mode {:04o}): run `chmod 0600 {path}`",
        mode & 0o7777,
        path = path.display()
    ))
}

/// Other systems have other permissions.
#[cfg(not(unix))]
pub fn exposed(_: &Path) -> Option<String> {
    None
}

/// What to do about a file that cannot be read or written: for one that belongs to somebody else, whom and the cure.
#[cfg(unix)]
pub fn cure(path: &Path, error: &io::Error) -> String {
    use std::os::unix::fs::MetadataExt;
    if error.kind() != io::ErrorKind::PermissionDenied {
        return String::new();
    }
    let Some(seen) = nearest(path) else { return String::new() };
    let Ok(metadata) = std::fs::metadata(seen) else { return String::new() };
    format!(
        "; {} belongs to {} (mode {:04o}): give it to the user that runs this program, with `chown`",
        seen.display(),
        owner(metadata.uid()),
        metadata.mode() & 0o7777
    )
}

/// Other systems have other owners.
#[cfg(not(unix))]
pub fn cure(_: &Path, _: &io::Error) -> String {
    String::new()
}

/// A file that belongs to somebody else than its folder, as one that root's command left in a service's folder: the
/// service can then neither read nor replace it.
#[cfg(unix)]
pub fn strange_owner(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    let (file, its) = (std::fs::metadata(path).ok()?.uid(), std::fs::metadata(folder).ok()?.uid());
    (file != its && its != 0).then(|| {
        format!(
            "{path} belongs to {}, and its folder to {}: a command ran as another user than the server; run \
             `chown --reference={} {path}`",
            owner(file),
            owner(its),
            folder.display(),
            path = path.display()
        )
    })
}

/// Other systems have other owners.
#[cfg(not(unix))]
pub fn strange_owner(_: &Path) -> Option<String> {
    None
}

/// The path, or the folder above it that can be looked at.
#[cfg(unix)]
fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| std::fs::metadata(path).is_ok())
}

#[cfg(unix)]
fn owner(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { format!("the user with ID {uid}") }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, chown},
    };

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leader.key");
        fs::write(&path, "secret").unwrap();
        (folder, path)
    }

    fn with_mode(path: &Path, mode: u32) -> Option<String> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        exposed(path)
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let (_folder, path) = file();
        for mode in [0o644, 0o604, 0o602] {
            let said = with_mode(&path, mode).unwrap();
            assert!(said.contains("everybody") && said.contains("chmod 0600"), "{said}");
            assert!(said.contains(&format!("{mode:04o}")), "{said}");
        }
        assert_eq!(with_mode(&path, 0o600), None);
        assert_eq!(with_mode(&path, 0o400), None);
        assert_eq!(exposed(Path::new("/no/such/file")), None);
    }

    #[test]
    fn a_group_may_read_what_root_owns_and_nothing_else() {
        let (_folder, path) = file();
        // Only root can give a file away.
        let is_root = chown(&path, Some(4711), None).is_ok();
        let said = with_mode(&path, 0o640).unwrap();
        assert!(said.contains("its group"), "{said}");
        if is_root {
            chown(&path, Some(0), None).unwrap();
            assert_eq!(with_mode(&path, 0o640), None);
        }
    }

    #[test]
    fn what_root_left_in_a_folder_of_a_service_is_named_with_its_owner() {
        let (folder, path) = file();
        assert_eq!(strange_owner(&path), None);
        if chown(folder.path(), Some(4711), None).is_ok() {
            let said = strange_owner(&path).unwrap();
            assert!(said.contains("belongs to root") && said.contains("4711"), "{said}");
            assert!(said.contains("chown --reference="), "{said}");
        }
    }

    #[test]
    fn a_denied_file_is_explained_by_its_owner() {
        let (_folder, path) = file();
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let said = cure(&path.join("below"), &denied);
        assert!(said.contains("leader.key belongs to") && said.contains("chown"), "{said}");
        assert_eq!(cure(&path, &io::Error::from(io::ErrorKind::NotFound)), "");
    }
}
