//! An installation without mistakes, and what it takes to put one in.

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    process::Command,
};
use tempfile::TempDir;

/// A change of an installation. Files are in its folder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit {
    /// Replaces text, which has to be there.
    Swap(&'static str, &'static str, &'static str),
    /// Adds text at the end.
    Add(&'static str, &'static str),
    /// Writes a file that only its owner reads.
    Write(&'static str, &'static str),
    /// Copies one file over another.
    Copy(&'static str, &'static str),
    /// Removes a file.
    Remove(&'static str),
    /// Sets who may read a file.
    Mode(&'static str, u32),
}

/// HTTPS without a mistake.
pub(crate) const TLS: Edit = Edit::Add(
    "leader.toml",
    "[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key.pem\"\npeer_ca = \"ca.pem\"\n",
);

/// An identity without a mistake.
pub(crate) const IDENTITY: Edit = Edit::Add(
    "leader.toml",
    "[peer]\nca = \"ca.pem\"\n[peer.identity]\ncertificate = \"client.pem\"\nkey = \"client.key.pem\"\n",
);

/// A mistake, what runs into it, and what is then said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mistake {
    pub(crate) name: &'static str,
    pub(crate) edits: &'static [Edit],
    pub(crate) variables: &'static [(&'static str, &'static str)],
    /// `leader`, `helper` or `collector`, and its arguments.
    pub(crate) command: &'static [&'static str],
    pub(crate) code: i32,
    /// Cause and cure.
    pub(crate) says: &'static [&'static str],
}

/// The folder that each mistake gets a copy of.
pub(crate) struct Stage {
    folder: TempDir,
}

/// No message may have it.
const SECRET: &str = "hunter2";

const CONFIG: &str = "listen = \"127.0.0.1:0\"\ndatabase = \"leader.sqlite\"\ndatabase_key = \"leader.key\"\n\
    secrets = \"leader.secrets.toml\"\nprograms = [\"program.toml\"]\nlog = \"info\"\n";

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let keygen = Command::new(env!("CARGO_BIN_EXE_sottovoce")).arg("keygen").arg(path).output();
        let collector = String::from_utf8(keygen.unwrap().stdout).unwrap();
        let program = include_str!("../../examples/support-assistant.toml");
        let own = program.lines().find(|line| line.starts_with("collector = ")).unwrap();
        fs::write(path.join("others.toml"), program).unwrap();
        fs::write(path.join("program.toml"), program.replace(own, collector.trim())).unwrap();
        fs::write(path.join("leader.toml"), CONFIG).unwrap();
        certificates(path);
        Self { folder }
    }

    /// What is wrong with how a mistake is met, if anything is.
    pub(crate) fn wrong(&self, mistake: &Mistake) -> Option<String> {
        let (code, said) = self.run(mistake.edits, mistake.variables, mistake.command);
        let missing: Vec<_> = mistake.says.iter().filter(|words| !said.contains(**words)).collect();
        let right = code == Some(mistake.code) && missing.is_empty() && !said.contains(SECRET);
        (!right)
            .then(|| format!("--- {}: code {code:?}, without {missing:?}:\n{said}", mistake.name))
    }

    /// Runs a command in a copy of the folder; gives its exit code and all that it said.
    pub(crate) fn run(
        &self,
        edits: &[Edit],
        variables: &[(&str, &str)],
        command: &[&str],
    ) -> (Option<i32>, String) {
        let folder = self.copy();
        for edit in edits {
            edit.apply(folder.path());
        }
        run_in(folder.path(), variables, command)
    }

    /// A copy of the folder, in which files keep who may read them.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }
}

/// Runs a command to its end.
pub(crate) fn run_in(
    folder: &Path,
    variables: &[(&str, &str)],
    command: &[&str],
) -> (Option<i32>, String) {
    let binary = match command[0] {
        "leader" => env!("CARGO_BIN_EXE_sottovoce-leader"),
        "helper" => env!("CARGO_BIN_EXE_sottovoce-helper"),
        "collector" => env!("CARGO_BIN_EXE_sottovoce-collector"),
        other => panic!("there is no {other}"),
    };
    let mut process = Command::new(binary);
    // Variables of tests are none of the installation.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SOTTOVOCE_")) {
        process.env_remove(name);
    }
    process.envs(variables.iter().copied()).env("NO_COLOR", "1");
    let output = process.args(&command[1..]).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

impl Edit {
    fn apply(self, folder: &Path) {
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        match self {
            Self::Swap(file, from, to) => {
                let text = read(file);
                assert!(text.contains(from), "no {from:?} in {file}");
                fs::write(folder.join(file), text.replace(from, to)).unwrap();
            }
            Self::Add(file, text) => fs::write(folder.join(file), read(file) + text).unwrap(),
            Self::Write(file, text) => write_secret(&folder.join(file), text),
            Self::Copy(from, to) => {
                fs::copy(folder.join(from), folder.join(to)).unwrap();
            }
            Self::Remove(file) => fs::remove_file(folder.join(file)).unwrap(),
            Self::Mode(file, mode) => {
                fs::set_permissions(folder.join(file), fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
}

fn write_secret(path: &Path, text: &str) {
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// An authority, and certificates of it: good ones, and one for each way of being wrong.
fn certificates(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    fs::write(folder.join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    for (name, host, years) in [
        ("tls", "leader.example", [2020, 4000]),
        ("client", "leader.example", [2020, 4000]),
        ("expired", "leader.example", [2020, 2021]),
        ("future", "leader.example", [3000, 4000]),
        ("other", "helper.example", [2020, 4000]),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        let [from, to] = years.map(|year| date_time_ymd(year, 1, 1));
        (params.not_before, params.not_after) = (from, to);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        write_secret(&folder.join(format!("{name}.key.pem")), &key.serialize_pem());
    }
}
