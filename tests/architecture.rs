//! The direction of dependencies that ARCHITECTURE.md draws, and rules of the house, checked.
//!
//! Between crates the compiler keeps it, by their manifests, which are held against the table here. Within
//! a crate nothing stops two modules from using each other; this does. To add an arrow, add it here and
//! to the drawing, and say in the commit why it may point that way.

#![allow(clippy::unwrap_used)]

#[path = "support/matches.rs"]
mod matches;

use matches::passed_over;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A crate, or a module of one, and the crates and modules that it may name. The longest path wins, so
/// that a role inside `aggregator` has a row of its own. Tests beside the code obey too. `sottovoce/…`
/// is the root package's.
const ALLOWED: &[(&str, &[&str])] = &[
    ("privacy", &[]),
    ("dap", &[]),
    ("program", &["dap", "log", "privacy"]),
    ("log", &["dap", "privacy"]),
    // Mathematics: what counts mean, whatever they are of.
    ("estimate", &["privacy"]),
    ("estimate/findings", &["dap", "estimate", "privacy", "program"]),
    ("estimate/plan", &["dap", "estimate", "privacy", "program"]),
    ("transport", &["dap"]),
    // Any server has clients.
    ("connections", &[]),
    // Any party keeps files.
    ("whole-file", &[]),
    ("client", &["dap", "log", "privacy", "program", "whole-file"]),
    // A state machine: whoever drives it has the storage.
    ("client/device", &["client", "client/personal", "dap", "log", "privacy", "program"]),
    ("client/storage", &["whole-file"]),
    // What never leaves the device cannot name what does.
    ("client/personal", &["program"]),
    ("courier", &["client", "dap", "log", "program", "transport"]),
    ("aggregator", &["connections", "dap", "log", "privacy", "program", "whole-file"]),
    (
        "aggregator/store",
        &["aggregator/test_support", "dap/codec", "dap/ids", "dap/time", "whole-file"],
    ),
    // A server of PostgreSQL for tests.
    ("aggregator/test_support", &[]),
    ("aggregator/leader", &["aggregator", "aggregator/store", "dap", "log", "transport"]),
    ("aggregator/helper", &["aggregator", "aggregator/store", "dap"]),
    // All roles in one process, and a network that is none: only tests.
    (
        "aggregator/simulation",
        &[
            "aggregator",
            "aggregator/helper",
            "aggregator/leader",
            "aggregator/store",
            "dap",
            "log",
            "transport",
        ],
    ),
    ("collector", &["dap", "estimate", "log", "privacy", "program", "transport"]),
    (
        "audit",
        &["client", "connections", "dap", "log", "privacy", "program", "transport", "whole-file"],
    ),
    // A server: it is told what a log says, and asks nobody.
    ("audit/witness", &["connections", "log", "program", "whole-file"]),
    // The terminal.
    ("sottovoce/command_line", &["dap/printable", "whole-file"]),
    (
        "sottovoce/servers",
        &[
            "aggregator",
            "aggregator/helper",
            "aggregator/leader",
            "dap",
            "log",
            "program",
            "sottovoce/command_line",
            "transport",
            "whole-file",
        ],
    ),
    (
        "sottovoce/collector",
        &["collector", "dap", "estimate", "program", "sottovoce/command_line", "transport"],
    ),
    (
        "sottovoce/auditor",
        &[
            "audit",
            "client",
            "dap",
            "log",
            "privacy",
            "program",
            "sottovoce/command_line",
            "transport",
            "whole-file",
        ],
    ),
    ("sottovoce/keygen", &["aggregator", "dap", "sottovoce/command_line"]),
    ("sottovoce/local_servers", &[]),
    ("sottovoce/demo", TRIED_OUT),
    ("sottovoce/load", SENT),
    ("sottovoce/simulate", &["client", "collector", "dap", "estimate", "privacy", "program"]),
    ("dap/codec", &["dap"]),
    ("dap/ids", &["dap"]),
    ("dap/printable", &["dap"]),
    ("dap/time", &["dap"]),
];

/// All parties on one machine.
const TRIED_OUT: &[&str] = &[
    "aggregator",
    "client",
    "collector",
    "courier",
    "dap",
    "privacy",
    "program",
    "sottovoce/collector",
    "sottovoce/command_line",
    "sottovoce/keygen",
    "sottovoce/local_servers",
    "transport",
];

/// The same, and the users whom the simulation invents.
const SENT: &[&str] = &[
    "aggregator",
    "client",
    "collector",
    "courier",
    "dap",
    "privacy",
    "program",
    "sottovoce/collector",
    "sottovoce/command_line",
    "sottovoce/keygen",
    "sottovoce/local_servers",
    "transport",
    "sottovoce/simulate",
];

/// Rows that are a part of something only so that they or others can be allowed less than all of it.
const WITHIN: &[(&str, &str)] = &[
    ("dap/codec", "dap"),
    ("dap/ids", "dap"),
    ("dap/printable", "dap"),
    ("dap/time", "dap"),
    ("client/device", "client"),
    ("client/personal", "client"),
    ("client/storage", "client"),
    ("estimate/findings", "estimate"),
    ("estimate/plan", "estimate"),
    ("aggregator/store", "aggregator"),
    ("aggregator/test_support", "aggregator"),
    ("audit/witness", "audit"),
];

/// Parts that the rest of the whole cannot name.
const ABOVE: &[&str] = &["estimate/findings", "estimate/plan"];

/// Crates that do no input or output and read no clock.
const PURE: &[&str] = &["privacy", "dap", "log", "program", "estimate"];

/// What would be input, output or a clock.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "std::io::{",
    "SystemTime",
    "Instant",
    "tokio",
    "reqwest",
];

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, name) in sources() {
        if name == "sottovoce" || name.starts_with("sottovoce/bin/") {
            continue; // the root package's first file declares, the binaries wire: both may name anything
        }
        let Some(from) = owner(&name, &allowed) else {
            wrong.push(format!("{name}: it has no row in the table"));
            continue;
        };
        for (line, to) in references(&fs::read_to_string(&file).unwrap(), &name, &allowed) {
            if to != from && !may(from, to, &allowed) {
                wrong.push(format!("{}:{line}: {from} may not use {to}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "see ARCHITECTURE.md\n{}", wrong.join("\n"));
}

fn may(from: &str, to: &str, allowed: &BTreeMap<&str, &[&str]>) -> bool {
    let whole = |part| WITHIN.iter().find(|(row, _)| *row == part).map(|(_, whole)| *whole);
    let listed = |to: &str| allowed[from].contains(&to);
    // Whoever may use something may use its parts, and it may use them itself.
    listed(to)
        || whole(to).is_some_and(|whole| listed(whole) || whole == from && !ABOVE.contains(&to))
}

/// A manifest with an arrow that no code needs would let the next change use it unseen.
#[test]
fn manifests_have_the_arrows_of_the_table_and_no_others() {
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let crate_ = folder.file_name().unwrap().to_string_lossy().into_owned();
        let of_this = |row: &str| row.split('/').next() == Some(&crate_);
        let expected: BTreeSet<&str> = ALLOWED
            .iter()
            .filter(|(row, _)| of_this(row))
            .flat_map(|(_, uses)| uses.iter().filter_map(|to| to.split('/').next()))
            .filter(|to| *to != crate_)
            .collect();
        assert!(ALLOWED.iter().any(|(row, _)| of_this(row)), "{crate_} has no row in the table");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let (_, rest) = manifest.split_once("\n[dependencies]\n").unwrap();
        let table = rest.split("\n[").next().unwrap();
        let named: BTreeSet<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("sottovoce-"))
            .map(|line| line.split(['.', ' ']).next().unwrap())
            .collect();
        assert_eq!(named, expected, "{crate_}: its manifest, and the table");
    }
}

#[test]
fn pure_crates_do_no_input_or_output_and_read_no_clock() {
    let mut wrong = Vec::new();
    for (file, name) in sources() {
        let crate_ = name.split('/').next().unwrap();
        let only_tests = ["/tests", "/hostile", "/interop", "/vectors"];
        if !PURE.contains(&crate_) || only_tests.iter().any(|end| name.contains(end)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            // `Program::read`, a convenience, and the one exception.
            let read = name == "program" && line.contains("std::fs::read_to_string(path)");
            if IMPURE.iter().any(|word| line.contains(word)) && !read {
                wrong.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "see ARCHITECTURE.md\n{}", wrong.join("\n"));
}

/// Enums that say what is special about a kind of metric. A `match` over one names each variant, so that the
/// compiler says what a new one needs.
const TOLD_APART: &[&str] = &["MetricKind::", "Derived::", "Reading::"];

/// Files that have a kind's word for something else: keys of a metric's table, mechanisms, a range.
const OTHER_WORDS: &[&str] = &["program/file", "privacy/guarantee/mod", "estimate/rating"];

/// A new kind of metric is a file in `program/kind` and a line in `program/kind.rs`.
#[test]
fn kinds_of_metric_are_told_apart_in_one_folder() {
    let names = kinds();
    let mut wrong = Vec::new();
    for (file, name) in sources() {
        if name == "program/kind" || name.starts_with("program/kind/") {
            continue;
        }
        let text = without_tests(&fs::read_to_string(&file).unwrap(), &name);
        for (number, line) in text.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            if line.trim().starts_with("kind = \"") {
                continue; // of a program that the code writes
            }
            let is_variant =
                |of: &str| of.starts_with(|c: char| c.is_uppercase() || "{*".contains(c));
            let variant = line.split("MetricKind::").skip(1).any(is_variant);
            let word = names.iter().any(|kind| line.contains(&format!("\"{kind}\"")));
            if variant || word && !OTHER_WORDS.contains(&name.as_str()) {
                wrong.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "ask its `Kind`; see ARCHITECTURE.md\n{}", wrong.join("\n"));
}

#[test]
fn each_kind_of_metric_has_its_file() {
    for kind in kinds() {
        let file = root().join(format!("crates/program/src/kind/{kind}.rs"));
        assert!(file.exists(), "{}", file.display());
    }
}

#[test]
fn no_arm_takes_kinds_of_metric_that_are_not_named() {
    let mut wrong = Vec::new();
    for (file, name) in sources() {
        let text = without_tests(&fs::read_to_string(&file).unwrap(), &name);
        let found = passed_over(&text, TOLD_APART);
        wrong.extend(found.iter().map(|(line, what)| format!("{}:{line}: {what}", file.display())));
    }
    assert!(wrong.is_empty(), "name each; see ARCHITECTURE.md\n{}", wrong.join("\n"));
}

#[test]
fn an_arm_for_all_others_is_noticed_whatever_it_is_called() {
    let of = |arms: &str| {
        let text = format!("fn f() {{\n    match kind {{ {arms} }}\n}}");
        passed_over(&text, TOLD_APART).len()
    };
    assert_eq!(of("MetricKind::A(_) => g(a, 1), MetricKind::B => {}"), 0);
    assert_eq!(
        of("Some(Derived::A(_)) | None => vec![\",}\"], Some(Derived::B(_)) => match x { _ => 1 }"),
        0
    );
    assert_eq!(of("Reading::A => {} _ => 2"), 1);
    assert_eq!(of("Reading::A => h(|_| {}), other if is(&other) => 2, Reading::B => '}'"), 1);
    assert_eq!(of("A => match kind { MetricKind::A => 1, _ => 2 }, B => 1"), 1);
    assert_eq!(
        of("1 => matches!(kind, Derived::A(_)), _ => { let Derived::A(a) = kind else { b }; }"),
        2
    );
    assert_eq!(of("// MetricKind::A =>\n _ => \"MetricKind::A\""), 0);
}

/// The words of the table in `program/kind.rs`.
fn kinds() -> Vec<String> {
    let text = fs::read_to_string(root().join("crates/program/src/kind.rs")).unwrap();
    let (_, table) = text.split_once("\nkinds! {\n").unwrap();
    let lines = table.lines().take_while(|line| *line != "}");
    let word = |line: &str| Some(line.trim().strip_prefix('"')?.split_once("\" => ")?.0.to_owned());
    let words: Vec<_> = lines.filter_map(word).collect();
    assert!(words.len() > 9, "{words:?}");
    words
}

/// The code of a file that is not for tests.
fn without_tests(text: &str, name: &str) -> String {
    if name.split('/').any(|part| part == "tests") {
        return String::new();
    }
    text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
}

#[test]
fn the_drafts_version_stands_in_one_place() {
    let mut wrong = Vec::new();
    for (file, _) in sources() {
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let names_a_draft =
                ["dap-1", "ppm-dap-0", ";version=1"].iter().any(|n| line.contains(n));
            if names_a_draft && !file.ends_with("dap/src/lib.rs") {
                wrong.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "use sottovoce_dap::VERSION\n{}", wrong.join("\n"));
}

/// Files that move take the documents with them.
#[test]
fn files_that_documents_name_are_there() {
    let mut wrong = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for named in text.split('`').skip(1).step_by(2) {
            let path = |c: char| c.is_alphanumeric() || "/_.-".contains(c);
            let ours = ["src/", "crates/", "tests/", "examples/", "bindings/", "fuzz/", "deploy/"];
            if named.chars().all(path)
                && ours.iter().any(|folder| named.starts_with(folder))
                && !root().join(named).exists()
                && !root().join(format!("{named}.rs")).exists()
            {
                wrong.push(format!("{document}: {named}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Each file of code, with its name in the table: `dap/vdaf/shard`, `sottovoce/demo`.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = named(&root().join("src"), "sottovoce");
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        found.extend(named(&folder.join("src"), &name));
    }
    found
}

fn named(folder: &Path, crate_: &str) -> Vec<(PathBuf, String)> {
    let name = |file: &PathBuf| {
        let module = file.strip_prefix(folder).unwrap().with_extension("");
        let module = module.to_string_lossy().into_owned();
        if module == "lib" { crate_.to_owned() } else { format!("{crate_}/{module}") }
    };
    let files = rust_files(folder).into_iter();
    files.map(|file| (file.clone(), name(&file))).collect()
}

/// The row of the table that a path such as `aggregator/leader/upload` falls under.
fn owner<'a>(path: &str, allowed: &BTreeMap<&'a str, &'a [&'a str]>) -> Option<&'a str> {
    let inside = |row: &&&str| path == **row || path.starts_with(&format!("{row}/"));
    allowed.keys().filter(inside).max_by_key(|row| row.len()).copied()
}

/// Every `crate::a::b` and `sottovoce_a::b` in code, groups (`crate::{a, b::c}`) included, as (line, row).
fn references<'a>(
    text: &str,
    name: &str,
    allowed: &BTreeMap<&'a str, &'a [&'a str]>,
) -> Vec<(usize, &'a str)> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap().to_owned() + "\n").collect();
    let mut found = Vec::new();
    for (crate_, prefix) in prefixes(name, allowed) {
        for (at, _) in code.match_indices(&prefix) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let line = code[..at].matches('\n').count() + 1;
            let rest = &code[at + prefix.len()..];
            let paths = match rest.strip_prefix("::") {
                Some(tree) => expand(tree),
                None if rest.starts_with([';', ' ']) => vec![String::new()],
                None => continue,
            };
            for path in paths {
                let path = format!("{crate_}/{path}");
                found.extend(owner(path.trim_end_matches('/'), allowed).map(|row| (line, row)));
            }
        }
    }
    found
}

/// What the paths of each crate begin with, seen from a file.
fn prefixes(name: &str, allowed: &BTreeMap<&str, &[&str]>) -> Vec<(String, String)> {
    let crates: BTreeSet<&str> = allowed.keys().filter_map(|row| row.split('/').next()).collect();
    let own = name.split('/').next().unwrap();
    let prefix = |crate_: &str| match crate_ {
        own_ if own_ == own => "crate".to_owned(),
        "sottovoce" => "sottovoce".to_owned(),
        other => format!("sottovoce_{}", other.replace('-', "_")),
    };
    crates.into_iter().map(|crate_| (crate_.to_owned(), prefix(crate_))).collect()
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
