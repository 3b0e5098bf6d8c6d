//! What a server is told of its clock and its disk, by a library loaded before all others.

use crate::support::server::Server;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The lies told to one server.
#[derive(Clone)]
pub(crate) struct Shim {
    clock: PathBuf,
    disk: PathBuf,
}

impl Shim {
    /// Puts the library and a role's files into a folder.
    pub(crate) fn new(folder: &Path, role: &str) -> Self {
        let (source, library) = (folder.join("shim.c"), library(folder));
        if !library.exists() {
            fs::write(&source, include_str!("shim.c")).unwrap();
            let mut compiler = Command::new("cc");
            compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
            assert!(compiler.status().expect("a C compiler, which linking needs too").success());
        }
        let file = |what| folder.join(format!("{role}.{what}"));
        Self { clock: file("clock"), disk: file("disk") }
    }

    /// A server that believes what the files say.
    pub(crate) fn fool(&self, server: Server, folder: &Path) -> Server {
        let server = server.with("LD_PRELOAD", library(folder));
        server.with("FAULT_CLOCK", self.clock.clone()).with("FAULT_DISK", self.disk.clone())
    }

    /// Puts the clock this many seconds ahead of the right time.
    pub(crate) fn set_clock(&self, ahead: i64) {
        write(&self.clock, ahead);
    }

    /// Lets no file of the database grow beyond so many bytes.
    pub(crate) fn fill_disk(&self, bytes: u64) {
        write(&self.disk, bytes.cast_signed());
    }

    /// Makes room again.
    pub(crate) fn free_disk(&self) {
        write(&self.disk, -1);
    }
}

fn library(folder: &Path) -> PathBuf {
    folder.join("shim.so")
}

/// As a whole: the server reads it at any moment.
fn write(path: &Path, number: i64) {
    let new = path.with_extension("new");
    fs::write(&new, number.to_string()).unwrap();
    fs::rename(new, path).unwrap();
}
