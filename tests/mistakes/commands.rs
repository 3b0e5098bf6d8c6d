//! Mistakes on the command line, and commands at the wrong time or place.

use super::{
    expect_all,
    stage::{
        Edit::{Copy, Swap, Write},
        Mistake, Stage, run_in,
    },
};

const fn mistake(
    name: &'static str,
    edits: &'static [super::stage::Edit],
    command: &'static [&'static str],
    code: i32,
    says: &'static [&'static str],
) -> Mistake {
    Mistake { name, edits, variables: &[], command, code, says }
}

const NO_DATABASE: &[&str] =
    &["there is no database ", "leader.sqlite", "only `serve` creates one", "environment file"];

pub(crate) const DATABASES: &[Mistake] = &[
    mistake(
        "tasks of no database",
        &[],
        &["leader", "tasks", "list", "leader.toml"],
        1,
        NO_DATABASE,
    ),
    mistake("keys of no database", &[], &["leader", "hpke", "list", "leader.toml"], 1, NO_DATABASE),
    mistake(
        "a task for no database",
        &[],
        &["leader", "tasks", "add", "--config", "leader.toml", "program.toml"],
        1,
        NO_DATABASE,
    ),
    mistake(
        "a migration of no database",
        &[],
        &["leader", "database", "migrate", "leader.toml"],
        1,
        NO_DATABASE,
    ),
    mistake(
        "a backup of no database",
        &[],
        &["leader", "database", "backup", "--config", "leader.toml", "copy"],
        1,
        NO_DATABASE,
    ),
    mistake(
        "the doctor without the environment",
        &[],
        &["leader", "doctor", "leader.toml"],
        1,
        NO_DATABASE,
    ),
    mistake(
        "the doctor's JSON of no database",
        &[],
        &["leader", "doctor", "leader.toml", "--json"],
        1,
        &["\"state\":\"failed\"", "there is no database "],
    ),
    mistake(
        "a file that is no database",
        &[
            Copy("ca.pem", "leader.sqlite"),
            Write("leader.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ],
        &["leader", "tasks", "list", "leader.toml"],
        1,
        &["leader.sqlite is not an SQLite database", "another file"],
    ),
    mistake(
        "a configuration that is not there",
        &[],
        &["leader", "tasks", "list", "laeder.toml"],
        1,
        &["laeder.toml cannot be read: No such file"],
    ),
];

pub(crate) const LINES: &[Mistake] = &[
    mistake("no configuration", &[], &["leader", "serve"], 2, &["required", "CONFIG"]),
    mistake(
        "two configurations",
        &[],
        &["leader", "serve", "a.toml", "--config", "b.toml"],
        2,
        &["cannot be used with"],
    ),
    mistake(
        "an unknown command",
        &[],
        &["leader", "sreve", "leader.toml"],
        2,
        &["unrecognized subcommand 'sreve'", "serve"],
    ),
    mistake(
        "JSON of a server that serves",
        &[],
        &["leader", "serve", "leader.toml", "--json"],
        2,
        &["--check-config"],
    ),
    mistake(
        "a key's ID that is none",
        &[],
        &["leader", "hpke", "destroy", "--config", "leader.toml", "256"],
        2,
        &["256 is not in 0..=255"],
    ),
    mistake(
        "the JSON of a check that fails",
        &[Swap("leader.toml", "\"info\"", "\"a=b=c\"")],
        &["leader", "serve", "leader.toml", "--check-config", "--json"],
        1,
        &["\"valid\":false", "\"mistakes\":[\"", "log = "],
    ),
];

pub(crate) const COLLECTING: &[Mistake] = &[
    mistake("no secrets of the collector", &[], &["collector", "program.toml"], 2, &["SECRETS"]),
    mistake(
        "secrets of another party",
        &[],
        &["collector", "program.toml", "helper.secrets.toml"],
        1,
        &["helper.secrets.toml is not a collector's file of secrets"],
    ),
    mistake(
        "another collector's program",
        &[],
        &["collector", "others.toml", "collector.secrets.toml"],
        1,
        &["collector.secrets.toml is not the program's `collector`", "use the secrets"],
    ),
    mistake(
        "an unknown task",
        &[],
        &["collector", "program.toml", "collector.secrets.toml", "--task", "helpfull"],
        1,
        &["no task \"helpfull\"; tasks: ", "helpful"],
    ),
    mistake(
        "a window that is not over",
        &[],
        &["collector", "program.toml", "collector.secrets.toml", "--start", "2999-01-01T00:00:00Z"],
        3,
        &["it can be collected from 2999-01-02T06:00:00Z"],
    ),
    mistake(
        "a start in the middle of a window",
        &[],
        &["collector", "program.toml", "collector.secrets.toml", "--start", "2026-01-01T00:30:00Z"],
        1,
        &["2026-01-01T00:30:00Z is not the start of a window"],
    ),
    mistake(
        "a start that is no moment",
        &[],
        &["collector", "program.toml", "collector.secrets.toml", "--start", "yesterday"],
        1,
        &["\"yesterday\" must be a moment in UTC, such as 2026-11-01T00:00:00Z"],
    ),
    mistake(
        "no windows",
        &[],
        &["collector", "program.toml", "collector.secrets.toml", "--windows", "0"],
        2,
        &["0 is not in 1.."],
    ),
    mistake(
        "a leader that is away",
        &[Swap("program.toml", "https://leader.example/", "http://127.0.0.1:1/")],
        &[
            "collector",
            "program.toml",
            "collector.secrets.toml",
            "--patience",
            "1",
            "--task",
            "helpful/arm=control",
        ],
        3,
        &[
            "helpful/arm=control (",
            ", from 20",
            "gave up after retries for 1 s",
            "127.0.0.1:1",
            "when it is back",
        ],
    ),
];

#[test]
fn databases() {
    expect_all(&Stage::new(), DATABASES);
}

/// What a command made by mistake, a server would take for its own.
#[test]
fn no_command_makes_a_database_or_a_key() {
    let stage = Stage::new();
    for mistake in DATABASES.iter().filter(|mistake| mistake.edits.is_empty()) {
        let folder = stage.copy();
        run_in(folder.path(), &[], mistake.command);
        for file in ["leader.sqlite", "leader.key", "copy"] {
            assert!(!folder.path().join(file).exists(), "{}: {file}", mistake.name);
        }
    }
}

#[test]
fn lines() {
    expect_all(&Stage::new(), LINES);
}

#[test]
fn collecting() {
    expect_all(&Stage::new(), COLLECTING);
}
