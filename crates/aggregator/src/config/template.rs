//! A first configuration, commented, for `init`.

/// The text of a configuration of `role`, which listens on a port of its own.
pub fn text(role: &str) -> String {
    let (port, admin, peer) = match role {
        "leader" => (8080, 9080, LEADER),
        _ => (8081, 9081, ""),
    };
    format!(
        r#"# The {role}'s configuration. Paths are relative to this file. Every key can also be set by an environment
# variable: SOTTOVOCE_LISTEN for listen, SOTTOVOCE_TLS__KEY for key in [tls].

# Address and port to listen on, and the path of our endpoint as in the program.
listen = "127.0.0.1:{port}"
# path = "/"

# To accept connections from other machines, either serve HTTPS (see [tls] below; renewed certificates are
# reloaded), or let a reverse proxy in front terminate TLS and set:
# plain_http = true

# One SQLite file for one server, or a PostgreSQL database for any number of replicas:
database = "{role}.sqlite"
# database = "postgres://{role}@db.internal/sottovoce_{role}?sslmode=require"
# database_connections = 8

# Secrets in the database are encrypted with this key, which is created at the first start. Keep a copy of it
# separately from the database. The variable SOTTOVOCE_DATABASE_KEYS, if set, has the key itself instead, and
# SOTTOVOCE_DATABASE_KEY_FILE names a file that has it. A path that begins with $CREDENTIALS_DIRECTORY/ is that of a
# credential of systemd. Instead of a file, a command can print the key (at most 30 s):
# database_key_command = ["vault", "kv", "get", "-field=key", "secret/{role}"]
database_key = "{role}.key"

# The secrets that are shared with the other parties, created by `sottovoce keygen`. Programs need them;
# remove this key if you serve only plain DAP task files, which have their own.
secrets = "{role}.secrets.toml"

# Tasks to add at start: programs, or plain DAP task files. `tasks add` adds others at any time.
programs = []
# tasks = ["task.json"]

# The log filter, and the format: text (the default) or json.
log = "info"
# log_format = "json"

# The admin interface: /healthz, /readyz, /metrics, and PUT /log to change the log filter. Without a token, everybody
# on this machine can use it. A socket is for this server's user and root only; an address that other machines reach
# needs a token (a file with 16 characters or more) and [admin.tls].
[admin]
listen = "127.0.0.1:{admin}"
# socket = "{role}.admin.sock"        # instead of listen
# token = "{role}.admin.token"        # for /metrics and /log
# [admin.tls]
# certificate = "{role}.pem"
# key = "{role}.key.pem"

# Export OpenTelemetry spans over OTLP/HTTP.
# [traces]
# endpoint = "http://127.0.0.1:4318/v1/traces"

# [tls]
# certificate = "{role}.pem"      # with its chain
# key = "{role}.key.pem"
# peer_ca = "peer.pem"           # mutual TLS: the CA of the other aggregator's client certificate
{peer}
# [cors]
# origins = ["https://app.example"]   # origins of web pages that send reports and fetch keys

# [limits]
# upload_bytes = 8388608              # maximum size of one upload
# waiting_bytes = 33554432            # maximum of all bodies in memory together; beyond it, 503
# connections = 1024
# connections_per_client = 128        # per client address; IPv6 by /64
# idle_seconds = 60                   # timeout for an idle connection
# request_seconds = 30                # timeout for the head of a request, and for its body
# requests_per_second = 0             # rate limit per client address (429 beyond it); 0 for none
# request_burst = 100                 # burst per client address
# trusted_proxies = ["10.0.0.0/8"]    # your proxies, which send the client's address in a header
# client_address_header = "x-forwarded-for"   # or "forwarded", or the proxy's own
# proxy_protocol = false              # true: the proxies are TCP balancers that send PROXY protocol version 2

# [hpke]
# rotate_days = 90                    # how often the HPKE key is rotated; 0 for never
# pending_minutes = 10                # how long a new key is pending before it is active
# keep_days = 30                      # how long an expired key still decrypts reports

# [retention]
# report_days = 0                     # older reports are rejected and their IDs deleted; 0 for never
# response_days = 30                  # how long responses can be fetched again

# The public log of tasks and releases, served under /log/.
# [public_log]
# name = "{role}.example/log"         # default: our endpoint without its scheme; fixed by the first key

# Witnesses that cosign the log's checkpoints, so that everybody sees the same log:
# [[public_log.witnesses]]
# url = "https://witness.example/"
# key = "witness.example+9a073b7a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
"#
    )
}

const LEADER: &str = r#"
# [peer]
# ca = "helper-ca.pem"               # a CA to trust in addition to the system's
# identity = "leader.pem"            # client certificate and key, for a helper with mutual TLS

# [aggregation]
# job_reports = 512
# linger_milliseconds = 500           # how long a job with few reports waits for more
# jobs = 2                            # concurrent jobs
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// What is commented out must be right too: it is what people uncomment.
    #[test]
    fn the_template_is_a_configuration_with_and_without_its_comments() {
        for role in ["leader", "helper"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("config.toml");
            std::fs::write(&path, text(role)).unwrap();
            Config::read(&path).unwrap();
            let uncomment = |line: &str| {
                let bare = line.strip_prefix("# ").unwrap_or(line);
                let is_key = bare.starts_with('[') && bare.ends_with(']')
                    || bare.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
                let twice =
                    ["database =", "plain_http", "programs", "database_key_command", "socket"]
                        .iter()
                        .any(|k| bare.starts_with(k));
                if is_key && !twice { bare.to_owned() } else { line.to_owned() }
            };
            let all: Vec<_> = text(role).lines().map(uncomment).collect();
            std::fs::write(&path, all.join("\n")).unwrap();
            Config::read(&path).unwrap();
        }
    }
}
