//! Mistakes in the files that a configuration names.

use super::{
    expect_all, found,
    stage::{
        Edit::{Add, Copy, Mode, Remove, Swap, Write},
        IDENTITY, Mistake, Stage, TLS,
    },
};

const FILE: &str = "leader.toml";
const SECRETS_FILE: &str = "leader.secrets.toml";

pub(crate) const SECRETS: &[Mistake] = &[
    found(
        "secrets that are not there",
        &[Remove(SECRETS_FILE)],
        &["leader.secrets.toml cannot be read: No such file"],
    ),
    found(
        "secrets of the helper",
        &[Copy("helper.secrets.toml", SECRETS_FILE)],
        &["leader.secrets.toml: ", "missing field `collector_token`"],
    ),
    found(
        "a seed that is none",
        &[Write(SECRETS_FILE, "verify_key_seed = \"hunter2\"\n")],
        &["leader.secrets.toml: line 1", "a seed must be 32 bytes"],
    ),
    found(
        "a token that is none",
        &[Write(SECRETS_FILE, "leader_token = \"hunter2 hunter2 hunter2\"\n")],
        &["leader.secrets.toml: line 1", "bearer token"],
    ),
    found(
        "secrets that everybody reads",
        &[Mode(SECRETS_FILE, 0o644)],
        &[
            "leader.secrets.toml holds secrets",
            "everybody on this machine has access",
            "chmod 0600",
        ],
    ),
    found(
        "a database key that everybody reads",
        &[
            Write("leader.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            Mode("leader.key", 0o604),
        ],
        &["leader.key holds secrets", "chmod 0600"],
    ),
    found(
        "a database key that is none",
        &[Write("leader.key", "hunter2")],
        &["leader.key: ", "43 characters", "is 7 characters"],
    ),
    found(
        "an empty database key",
        &[Write("leader.key", "\n")],
        &["there is no database key", "one per line"],
    ),
    found(
        "a key that is gone",
        &[Write("leader.sqlite", "")],
        &["leader.sqlite exists, but its key", "restore the key", "environment file"],
    ),
    found(
        "replicas without a key",
        &[Swap(FILE, "leader.sqlite", "postgres://leader@127.0.0.1:1/x")],
        &[
            "leader.key is missing; all replicas share one key",
            "`database new-key`",
            "SOTTOVOCE_DATABASE_KEYS",
        ],
    ),
];

pub(crate) const CERTIFICATES: &[Mistake] = &[
    found(
        "a certificate that expired",
        &[TLS, Copy("expired.pem", "tls.pem"), Copy("expired.key.pem", "tls.key.pem")],
        &["tls.pem expired on 2021-01-01T00:00:00Z; renew it"],
    ),
    found(
        "a certificate of the future",
        &[TLS, Copy("future.pem", "tls.pem"), Copy("future.key.pem", "tls.key.pem")],
        &["tls.pem is not valid before 3000-01-01T00:00:00Z", "check the clock"],
    ),
    found(
        "a certificate of another host",
        &[TLS, Copy("other.pem", "tls.pem"), Copy("other.key.pem", "tls.key.pem")],
        &["tls.pem is not valid for leader.example", "get one that names it", "`names` in [tls]"],
    ),
    found(
        "the key of another certificate",
        &[TLS, Copy("other.key.pem", "tls.key.pem")],
        &[
            "tls.pem and ",
            "tls.key.pem cannot be used together",
            "use the key that the certificate was issued for",
        ],
    ),
    found(
        "a key that is none",
        &[TLS, Write("tls.key.pem", "hunter2")],
        &["tls.key.pem: ", "must be PEM with a private key"],
    ),
    found(
        "a key in place of the certificate",
        &[TLS, Copy("tls.key.pem", "tls.pem")],
        &["tls.pem: it has none; it must be PEM with one or more certificates"],
    ),
    found(
        "a certificate that is not there",
        &[TLS, Remove("tls.pem")],
        &["tls.pem: No such file", "must be PEM"],
    ),
    found(
        "a TLS key that everybody reads",
        &[TLS, Mode("tls.key.pem", 0o644)],
        &["tls.key.pem holds secrets", "chmod 0600"],
    ),
    found(
        "an authority of clients that is none",
        &[TLS, Write("ca.pem", "")],
        &["ca.pem: it has none"],
    ),
    found(
        "an authority that is not there",
        &[Add(FILE, "[peer]\nca = \"helper-ca.pem\"\n")],
        &["[peer]: ", "helper-ca.pem cannot be read"],
    ),
    found(
        "an identity that expired",
        &[IDENTITY, Copy("expired.pem", "client.pem"), Copy("expired.key.pem", "client.key.pem")],
        &["[peer]: ", "client.pem expired on 2021-01-01T00:00:00Z; renew it"],
    ),
    found(
        "an identity with another key",
        &[IDENTITY, Copy("other.key.pem", "client.key.pem")],
        &["client.pem and ", "cannot be used together"],
    ),
    found(
        "an identity whose key is not there",
        &[IDENTITY, Remove("client.key.pem")],
        &["[peer]: ", "client.key.pem cannot be read"],
    ),
    found(
        "an identity that everybody reads",
        &[IDENTITY, Mode("client.key.pem", 0o644)],
        &["client.key.pem holds secrets", "chmod 0600"],
    ),
    found(
        "a certificate and a key at once",
        &[TLS, IDENTITY, Copy("expired.pem", "tls.pem"), Mode("client.key.pem", 0o644)],
        &["has 2 mistakes:", "tls.pem expired", "client.key.pem holds secrets"],
    ),
];

pub(crate) const PROGRAMS: &[Mistake] = &[
    found(
        "a program that is not there",
        &[Remove("program.toml")],
        &["program.toml", "No such file"],
    ),
    found(
        "batches that are too small",
        &[Swap("program.toml", "min_batch_size = 3000", "min_batch_size = 200")],
        &["program.toml", "use min_batch_size = "],
    ),
    found(
        "an unknown key in a program",
        &[Swap("program.toml", "min_batch_size", "min_batch")],
        &["program.toml", "min_batch"],
    ),
    found(
        "a collector's key that is none",
        &[Swap("program.toml", "collector = \"", "collector = \"@")],
        &[
            "program.toml:11:13: must be the public HPKE configuration that `sottovoce keygen` prints",
        ],
    ),
    found(
        "two endpoints in one",
        &[Swap("program.toml", "https://helper.example/", "https://leader.example/")],
        &[
            "program.toml:9:10: is the same as the leader's; the aggregators must be two organisations",
        ],
    ),
    found(
        "a task file that is no JSON",
        &[Add(FILE, "tasks = [\"task.json\"]\n"), Write("task.json", "hunter2")],
        &["task.json: line 1"],
    ),
    found(
        "a task file with an unknown key",
        &[Add(FILE, "tasks = [\"task.json\"]\n"), Write("task.json", "{\"taskid\": 1}")],
        &["task.json: line 1", "unknown field `taskid`"],
    ),
    found(
        "a task file that is not there",
        &[Add(FILE, "tasks = [\"task.json\"]\n")],
        &["task.json cannot be read: No such file"],
    ),
    found(
        "a task file that everybody reads",
        &[
            Add(FILE, "tasks = [\"task.json\"]\n"),
            Write("task.json", "{}"),
            Mode("task.json", 0o644),
        ],
        &["has 2 mistakes:", "task.json holds secrets", "missing field `task_id`"],
    ),
];

#[test]
fn secrets() {
    expect_all(&Stage::new(), SECRETS);
}

#[test]
fn certificates() {
    expect_all(&Stage::new(), CERTIFICATES);
}

#[test]
fn programs() {
    expect_all(&Stage::new(), PROGRAMS);
}
