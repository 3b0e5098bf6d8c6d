//! The machine that servers believe to be on: its clock and its disk, as a test sets them.
//!
//! A small library is loaded before libc, made of `shim.c` by the system's C compiler.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicI64, Ordering::SeqCst},
};

/// Control over what a server sees.
pub(crate) struct Machine {
    library: PathBuf,
    control: PathBuf,
    clock: AtomicI64,
    full: AtomicI64,
}

impl Machine {
    /// A sound machine, whose files are in `folder`.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let library = folder.join(format!("{name}.so"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
        let made = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .status()
            .expect("a C compiler, for the shim");
        assert!(made.success());
        let control = folder.join(format!("{name}.control"));
        let machine = Self { library, control, clock: AtomicI64::new(0), full: AtomicI64::new(0) };
        machine.write();
        machine
    }

    /// The variables of a server on this machine.
    pub(crate) fn variables(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.library.clone()), ("FAULT_CONTROL", self.control.clone())]
    }

    /// Puts the clock so many seconds ahead of the right time, or back.
    pub(crate) fn step(&self, seconds: i64) {
        self.clock.store(seconds, SeqCst);
        self.write();
    }

    /// Fills the disk, or makes room.
    pub(crate) fn fill(&self, full: bool) {
        self.full.store(i64::from(full), SeqCst);
        self.write();
    }

    /// In place: the file is mapped by the servers.
    fn write(&self) {
        use std::io::Write;
        let words = [self.clock.load(SeqCst), self.full.load(SeqCst)];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(false).open(&self.control).unwrap();
        file.write_all(&bytes).unwrap();
    }
}
