//! The book's walk over two hosts, as it is written: each host is a network namespace of its own.
//!
//! What stands in for the world around the hosts: `scp` copies between their folders, and `/etc/netns` has the hosts'
//! names.

use crate::server::poll;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

const PAGE: &str = include_str!("../../docs/src/tutorial/two-hosts.md");
const HOSTS: [&str; 2] = ["leader.example", "helper.example"];

/// The page's blocks for the shell, each with its host.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let (mut host, mut blocks, mut block) = (0, Vec::new(), None::<String>);
    for line in page.lines() {
        match (&mut block, line) {
            (None, "```sh") => block = Some(String::new()),
            (Some(_), "```") => blocks.extend(block.take().map(|text| (host, text))),
            (Some(text), line) => text.extend([line, "\n"]),
            (None, line) => {
                let named = |name: &&str| line.starts_with(&format!("On `{name}`"));
                host = HOSTS.iter().position(named).unwrap_or(host);
            }
        }
    }
    blocks
}

/// Two namespaces with a cable between them, and a folder for each host.
struct Hosts {
    names: [String; 2],
    folder: tempfile::TempDir,
    servers: Vec<Child>,
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("ip {arguments}: {said}")) }
}

impl Hosts {
    /// Nothing but the reason where namespaces are not permitted.
    fn new() -> Result<Self, String> {
        let id = std::process::id();
        let names = ["l", "h"].map(|end| format!("sv{id}{end}"));
        let folder = tempfile::tempdir().unwrap();
        let hosts = Self { names, folder, servers: Vec::new() };
        for name in &hosts.names {
            ip(&format!("netns add {name}"))?;
        }
        let [leader, helper] = &hosts.names;
        ip(&format!(
            "link add {leader} netns {leader} type veth peer name {helper} netns {helper}"
        ))?;
        for (name, address) in hosts.names.iter().zip(["10.91.7.1", "10.91.7.2"]) {
            ip(&format!("-n {name} address add {address}/24 dev {name}"))?;
            ip(&format!("-n {name} link set {name} up"))?;
            ip(&format!("-n {name} link set lo up"))?;
            let known = "127.0.0.1 localhost\n10.91.7.1 leader.example\n10.91.7.2 helper.example\n";
            let etc = Path::new("/etc/netns").join(name);
            let written =
                fs::create_dir_all(&etc).and_then(|()| fs::write(etc.join("hosts"), known));
            written.map_err(|error| format!("{}: {error}", etc.display()))?;
        }
        hosts.furnish();
        Ok(hosts)
    }

    /// The folders, and `scp` between them.
    fn furnish(&self) {
        for host in HOSTS {
            fs::create_dir(self.folder.path().join(host)).unwrap();
        }
        let bin = self.folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let scp = "#!/bin/sh\nset -eu\nfor to; do :; done\nwhile [ $# -gt 1 ]; do cp \"$1\" \"../${to%:}/\"; shift; done\n";
        fs::write(bin.join("scp"), scp).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(bin.join("scp"), executable).unwrap();
    }

    fn command(&self, host: usize, text: &str) -> Command {
        let binaries = PathBuf::from(env!("CARGO_BIN_EXE_sottovoce"));
        let bin = self.folder.path().join("bin");
        let inherited = std::env::var("PATH").unwrap();
        let path =
            format!("{}:{}:{inherited}", bin.display(), binaries.parent().unwrap().display());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[host], "sh", "-euc", text]);
        command.current_dir(self.folder.path().join(HOSTS[host])).env("PATH", path);
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    fn run(&self, host: usize, text: &str) -> Output {
        self.command(host, text).output().unwrap()
    }

    /// Starts a server, which the page leaves running, and waits until it listens.
    fn start(&mut self, host: usize, text: &str) {
        let log = self.folder.path().join(format!("{host}.log"));
        let out = fs::File::create(&log).unwrap();
        let mut command = self.command(host, &format!("exec {text}"));
        let server = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        self.servers.push(server);
        poll("a server that listens", || {
            let said = fs::read_to_string(&log).unwrap();
            let ended = self.servers.last_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{text}: {said}");
            said.contains("listening on https://0.0.0.0:443").then_some(())
        });
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        for name in &self.names {
            let _ = ip(&format!("netns delete {name}"));
            let _ = fs::remove_dir_all(Path::new("/etc/netns").join(name));
        }
    }
}

#[test]
fn the_walk_over_two_hosts_leads_to_a_figure_in_twelve_commands() {
    let blocks = blocks(PAGE);
    assert_eq!(blocks.len(), 12);
    let mut hosts = match Hosts::new() {
        Ok(hosts) => hosts,
        Err(reason) => {
            println!("skipped: network namespaces are not permitted here: {reason}");
            return;
        }
    };
    let mut last = String::new();
    for (host, text) in blocks {
        if text.contains(" serve ") {
            hosts.start(host, text.trim());
            continue;
        }
        let output = hosts.run(host, &text);
        last = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}\n{last}\n{said}");
    }
    // What the collector printed.
    assert!(last.contains("300 reports") && last.contains("helpful"), "{last}");
}

#[test]
fn blocks_are_read_with_their_hosts() {
    let page = "On `helper.example`, do:\n```sh\na\nb\n```\n```text\nc\n```\nOn `leader.example`:\n\n```sh\nd\n```\n";
    assert_eq!(blocks(page), [(1, "a\nb\n".to_owned()), (0, "d\n".to_owned())]);
}
