//! Mistakes in a server's configuration.

use super::{
    CHECK, expect_all, found,
    stage::{
        Edit::{Add, Swap},
        Mistake, Stage,
    },
};

const FILE: &str = "leader.toml";

pub(crate) const VALUES: &[Mistake] = &[
    found(
        "an unknown key",
        &[Swap(FILE, "database_key", "databse_key")],
        &["line 3", "unknown field `databse_key`", "`database_key`"],
    ),
    found(
        "two places of the database key",
        &[Swap(FILE, "database_key", "database_key_command = [\"cat\", \"a\"]\ndatabase_key")],
        &["database_key and database_key_command cannot be combined", "remove one"],
    ),
    found("no TOML", &[Add(FILE, "what is this\n")], &["leader.toml: line 7"]),
    found(
        "a missing key, which may be in the environment",
        &[Swap(FILE, "database = \"leader.sqlite\"\n", "")],
        &["missing field `database`", "environment file", "set -a; . /etc/sottovoce/leader.env"],
    ),
    found(
        "a log filter that is none",
        &[Swap(FILE, "\"info\"", "\"a=b=c\"")],
        &["log = ", "\"info\""],
    ),
    found(
        "a log format that is none",
        &[Add(FILE, "log_format = \"xml\"\n")],
        &["xml", "`text`", "`json`"],
    ),
    found(
        "no connections",
        &[Add(FILE, "[limits]\nconnections = 0\n")],
        &["limits.connections = 0 must be 1 or more"],
    ),
    found(
        "no time for a request",
        &[Add(FILE, "[limits]\nrequest_seconds = 0\n")],
        &["limits.request_seconds = 0 must be 1 or more"],
    ),
    found(
        "a number as text",
        &[Add(FILE, "[limits]\nupload_bytes = \"8 MB\"\n")],
        &["line 8", "expected usize"],
    ),
    found(
        "a lease that is over at once",
        &[Add(FILE, "[aggregation]\nlease_seconds = 1\n")],
        &["aggregation.lease_seconds = 1 must be 3 or more"],
    ),
    found(
        "one connection to PostgreSQL",
        &[Add(FILE, "database_connections = 1\n")],
        &["database_connections = 1 must be 2 or more"],
    ),
    found(
        "an identity without a key",
        &[Add(FILE, "[peer.identity]\ncertificate = \"client.pem\"\n")],
        &["missing field `key`"],
    ),
    found(
        "programs without secrets",
        &[Swap(FILE, "secrets = \"leader.secrets.toml\"\n", "")],
        &["program.toml needs the secrets", "set `secrets`", "`sottovoce keygen`"],
    ),
    Mistake {
        name: "a variable of no key",
        edits: &[],
        variables: &[("SOTTOVOCE_COLOUR", "red")],
        command: CHECK,
        code: 1,
        says: &["with SOTTOVOCE_COLOUR set", "unknown field `colour`"],
    },
    Mistake {
        name: "a variable within a value",
        edits: &[],
        variables: &[("SOTTOVOCE_LISTEN__PORT", "80")],
        command: CHECK,
        code: 1,
        says: &["SOTTOVOCE_LISTEN__PORT: listen is not a table"],
    },
    found(
        "three mistakes at once",
        &[Add(FILE, "path = \"dap\"\n[limits]\nconnections = 0\n[cors]\norigins = [\"app\"]\n")],
        &["has 3 mistakes:", "must start with a slash", "limits.connections", "cors.origins"],
    ),
];

pub(crate) const ADDRESSES: &[Mistake] = &[
    found(
        "a host in place of an address",
        &[Swap(FILE, "127.0.0.1:0", "leader:8080")],
        &["listen = \"leader:8080\" must be an IP address and a port, such as 127.0.0.1:8080"],
    ),
    found(
        "plain HTTP to other machines",
        &[Swap(FILE, "127.0.0.1:0", "0.0.0.0:0")],
        &["can be reached from other machines", "[tls]", "plain_http = true"],
    ),
    found(
        "HTTPS and plain HTTP",
        &[Add(FILE, "plain_http = true\n"), super::stage::TLS],
        &["cannot be combined; remove one"],
    ),
    found(
        "an admin interface for everybody",
        &[Add(FILE, "[admin]\nlisten = \"0.0.0.0:9080\"\n")],
        &["admin.listen = \"0.0.0.0:9080\" can be reached from other machines", "admin.token"],
    ),
    found(
        "an admin interface without an address",
        &[Add(FILE, "[admin]\n")],
        &["[admin] needs listen (an address) or socket (a path)"],
    ),
    found(
        "one port for two",
        &[
            Swap(FILE, "127.0.0.1:0", "127.0.0.1:8080"),
            Add(FILE, "[admin]\nlisten = \"127.0.0.1:8080\"\n"),
        ],
        &["listen and admin.listen are both \"127.0.0.1:8080\"", "another port"],
    ),
    found(
        "a path without a slash",
        &[Add(FILE, "path = \"dap\"\n")],
        &["path = \"dap\" must start with a slash"],
    ),
    found(
        "a path that is a pattern",
        &[Add(FILE, "path = \"/{x}\"\n")],
        &["can have only letters"],
    ),
    found(
        "a path that is not the endpoint's",
        &[Add(FILE, "path = \"/dap/\"\n")],
        &["is not the path of our endpoint https://leader.example/", "set path = \"/\""],
    ),
    found(
        "a proxy that is no address",
        &[Add(FILE, "[limits]\ntrusted_proxies = [\"ten\"]\n")],
        &["ten", "10.0.0.0/8"],
    ),
    found(
        "a header of nobody",
        &[Add(FILE, "[limits]\nclient_address_header = \"forwarded\"\n")],
        &["limits.trusted_proxies", "forge any address"],
    ),
    found(
        "a header that is none",
        &[Add(FILE, "[limits]\nclient_address_header = \"a b\"\n")],
        &["\"a b\" is not a valid HTTP header name"],
    ),
    found(
        "proxies in two ways",
        &[Add(FILE, "[limits]\ntrusted_hops = 1\ntrusted_proxies = [\"10.0.0.0/8\"]\n")],
        &["cannot be combined; remove one"],
    ),
    found(
        "an origin with a path",
        &[Add(FILE, "[cors]\norigins = [\"https://app.example/\"]\n")],
        &[
            "cors.origins: \"https://app.example/\" must be an origin without a path",
            "https://app.example",
        ],
    ),
    found(
        "traces to no URL",
        &[Add(FILE, "[traces]\nendpoint = \"localhost:4318\"\n")],
        &["traces.endpoint = \"localhost:4318\" must begin with http"],
    ),
    found(
        "a witness without a URL",
        &[Add(
            FILE,
            "[[public_log.witnesses]]\nurl = \"witness.example\"\nkey = \"witness.example+9a073b7a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\"\n",
        )],
        &["public_log.witnesses: url = \"witness.example\" must begin with http"],
    ),
    found(
        "a witness with no key",
        &[Add(
            FILE,
            "[[public_log.witnesses]]\nurl = \"https://witness.example\"\nkey = \"nonsense\"\n",
        )],
        &["leader.toml: line "],
    ),
];

#[test]
fn values() {
    expect_all(&Stage::new(), VALUES);
}

#[test]
fn addresses() {
    expect_all(&Stage::new(), ADDRESSES);
}
