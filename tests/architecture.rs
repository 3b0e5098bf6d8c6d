//! The direction of dependencies that ARCHITECTURE.md draws, and rules of the house, checked.
//!
//! In one crate nothing stops two modules from using each other; this does. To add an arrow, add
//! it here and to the drawing, and say in the commit why it may point that way.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A module, and the modules it may name. The longest path wins, so that a role inside
/// `aggregator` has a row of its own. Tests inside `src` obey too.
const ALLOWED: &[(&str, &[&str])] = &[
    ("privacy", &[]),
    ("dap", &[]),
    ("program", &["dap", "log", "privacy"]),
    ("log", &["dap", "privacy"]),
    ("estimate", &["privacy"]),
    ("findings", &["dap", "estimate", "privacy", "program"]),
    ("plan", &["dap", "estimate", "privacy", "program"]),
    ("transport", &["dap"]),
    // Any server has clients.
    ("connections", &[]),
    // Any party keeps files.
    ("whole_file", &[]),
    ("client", &["dap", "log", "privacy", "program", "whole_file"]),
    // What never leaves the device cannot name what does.
    ("client/personal", &["program"]),
    ("client/uploader", &["client", "dap", "program", "transport"]),
    ("client/courier", &["client", "dap", "transport"]),
    (
        "simulate",
        &["client", "collector", "dap", "estimate", "findings", "plan", "privacy", "program"],
    ),
    ("command_line", &["dap/printable", "whole_file"]),
    ("aggregator", &["connections", "dap", "log", "privacy", "program", "whole_file"]),
    // Where roles are put together and run.
    (
        "aggregator/command",
        &[
            "aggregator",
            "aggregator/helper",
            "aggregator/leader",
            "command_line",
            "dap",
            "log",
            "program",
            "transport",
            "whole_file",
        ],
    ),
    ("aggregator/store", &["dap/codec", "dap/ids", "dap/time", "whole_file"]),
    ("aggregator/leader", &["aggregator", "aggregator/store", "dap", "log", "transport"]),
    ("aggregator/helper", &["aggregator", "aggregator/store", "dap"]),
    // All roles in one process, and a network that is none: only tests.
    (
        "aggregator/simulation",
        &[
            "aggregator",
            "aggregator/command",
            "aggregator/helper",
            "aggregator/leader",
            "aggregator/store",
            "dap",
            "log",
            "transport",
        ],
    ),
    ("collector", &["dap", "estimate", "findings", "log", "privacy", "program", "transport"]),
    (
        "collector/doctor",
        &["collector", "collector/command", "command_line", "dap", "program", "transport"],
    ),
    (
        "collector/command",
        &["collector", "command_line", "dap", "findings", "program", "transport"],
    ),
    (
        "audit",
        &["client", "command_line", "dap", "log", "privacy", "program", "transport", "whole_file"],
    ),
    // A server: it is told what a log says, and asks nobody.
    ("audit/witness", &["command_line", "connections", "log", "whole_file"]),
    ("keygen", &["aggregator", "command_line", "dap"]),
    (
        "demo",
        &[
            "aggregator",
            "client",
            "client/uploader",
            "collector",
            "collector/command",
            "dap",
            "keygen",
            "local_servers",
            "privacy",
            "program",
            "transport",
        ],
    ),
    ("local_servers", &[]),
    (
        "load",
        &[
            "aggregator",
            "client",
            "client/uploader",
            "collector",
            "collector/command",
            "command_line",
            "dap",
            "keygen",
            "local_servers",
            "privacy",
            "program",
            "transport",
        ],
    ),
    ("dap/codec", &["dap"]),
    ("dap/ids", &["dap"]),
    ("dap/printable", &["dap"]),
    ("dap/time", &["dap"]),
];

/// Rows that are a part of a module only so that others can be allowed less than all of it.
const WITHIN: &[(&str, &str)] = &[
    ("dap/codec", "dap"),
    ("dap/ids", "dap"),
    ("dap/printable", "dap"),
    ("dap/time", "dap"),
    ("client/personal", "client"),
    ("aggregator/store", "aggregator"),
    ("aggregator/command", "aggregator"),
    ("audit/witness", "audit"),
];

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        let relative = file.strip_prefix(root().join("src")).unwrap().with_extension("");
        if relative == Path::new("lib") || relative.starts_with("bin") {
            continue; // the crate root declares, the binaries wire: both may name anything
        }
        let Some(from) = owner(&relative.to_string_lossy(), &allowed) else {
            wrong.push(format!("{}: its module has no row in the table", relative.display()));
            continue;
        };
        for (line, to) in references(&fs::read_to_string(&file).unwrap(), &allowed) {
            if to != from && !may(from, to, &allowed) {
                wrong.push(format!("{}:{line}: {from} may not use {to}", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "see ARCHITECTURE.md\n{}", wrong.join("\n"));
}

fn may(from: &str, to: &str, allowed: &BTreeMap<&str, &[&str]>) -> bool {
    let whole = |part| WITHIN.iter().find(|(row, _)| *row == part).map(|(_, whole)| *whole);
    let listed = |to: &str| allowed[from].contains(&to);
    // Whoever may use a module may use its parts, and a module its own.
    listed(to) || whole(to).is_some_and(|whole| whole == from || listed(whole))
}

#[test]
fn the_drafts_version_stands_in_one_place() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("src")) {
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let names_a_draft =
                ["dap-1", "ppm-dap-0", ";version=1"].iter().any(|n| line.contains(n));
            if names_a_draft && !file.ends_with("dap/mod.rs") {
                wrong.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "use dap::VERSION\n{}", wrong.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The row of the table that a path such as `aggregator/leader/upload` falls under.
fn owner<'a>(path: &str, allowed: &BTreeMap<&'a str, &'a [&'a str]>) -> Option<&'a str> {
    let inside = |row: &&&str| path == **row || path.starts_with(&format!("{row}/"));
    allowed.keys().filter(inside).max_by_key(|row| row.len()).copied()
}

/// Every `crate::a::b` in code, groups (`crate::{a, b::c}`) included, as (line, row).
fn references<'a>(text: &str, allowed: &BTreeMap<&'a str, &'a [&'a str]>) -> Vec<(usize, &'a str)> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        for path in expand(&code[at + "crate::".len()..]) {
            found.extend(owner(&path, allowed).map(|row| (line, row)));
        }
    }
    found
}

/// The paths that a use-tree names: `a::{b, c::{d, e}}` gives `a/b`, `a/c/d` and `a/c/e`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim_start();
    let name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = tree.find(|c| !name(c)).unwrap_or(tree.len());
    let prefix = tree[..end].trim_end_matches(':').replace("::", "/");
    let Some(group) = tree[end..].strip_prefix('{') else { return vec![prefix] };
    let (mut depth, mut start, mut paths) = (0, 0, Vec::new());
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                if !group[start..i].trim().is_empty() {
                    paths.extend(expand(&group[start..i]));
                }
                start = i + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    paths.iter().map(|p| format!("{prefix}/{p}").trim_matches('/').to_owned()).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
