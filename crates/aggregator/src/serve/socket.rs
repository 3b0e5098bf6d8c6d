//! A Unix socket for the operator: the file system says who may connect.

use axum::Router;
use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};
use thiserror::Error;
use tokio::{net::UnixListener, sync::watch};

/// A socket that cannot be listened on.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Somebody else listens there.
    #[error("{0} is in use by another program; stop it, or set admin.socket to another path")]
    InUse(PathBuf),
    /// There is another file.
    #[error("{0} exists and is not a socket; move it away, or set admin.socket to another path")]
    Occupied(PathBuf),
    /// The system refuses.
    #[error(
        "cannot listen on {path}: {source}; its folder must be writable, and the path shorter than 80 bytes"
    )]
    Listen {
        /// The path asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A socket and its file.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Starts to listen on a socket of mode 0600; what a server that was killed left there is replaced.
    pub fn listen(path: &Path) -> Result<Self, SocketError> {
        make_room(path)?;
        let listener =
            bind(path).map_err(|source| SocketError::Listen { path: path.to_owned(), source })?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves `router` until `stop`; its file is removed then, or when this is given up.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let Self { listener, path } = self;
        let _removed = Removed(path);
        let stopped = async move {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        // It ends by `stop` only.
        let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
    }
}

/// A file that is removed at the end.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn make_room(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::Occupied(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(_) => Ok(()),
    }
}

/// In a folder that nobody else can enter, until it has its mode: between its making and that, anybody could
/// connect.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let folder = path.with_extension(format!("{}.new", std::process::id()));
    DirBuilder::new().mode(0o700).create(&folder)?;
    let inside = folder.join("s");
    let bound = UnixListener::bind(&inside).and_then(|listener| {
        fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    });
    let _ = fs::remove_file(&inside);
    let _ = fs::remove_dir(&folder);
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_owners_and_replaces_what_a_killed_server_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        for _ in 0..2 {
            let socket = Socket::listen(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(matches!(Socket::listen(&path), Err(SocketError::InUse(_))));
            drop(socket);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn another_file_is_left_alone_and_a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::listen(&path), Err(SocketError::Occupied(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let nowhere = folder.path().join("none/admin.sock");
        let error = Socket::listen(&nowhere).err().unwrap().to_string();
        assert!(error.contains("none/admin.sock"), "{error}");
    }
}
