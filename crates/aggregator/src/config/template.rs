//! A first configuration, commented, for `init`.

/// The text of a configuration of `role`, which listens on a port of its own.
pub fn text(role: &str) -> String {
    let (port, admin, peer, aggregation) = match role {
        "leader" => (8080, 9080, "the leader's server and `doctor` do", AGGREGATION),
        _ => (8081, 9081, "`doctor` and `batches` do", ""),
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
# names = ["{role}.internal"]         # hosts that the certificate must be valid for; default: any

# Export OpenTelemetry spans over OTLP/HTTP.
# [traces]
# endpoint = "http://127.0.0.1:4318/v1/traces"

# [tls]
# certificate = "{role}.pem"          # with its chain
# key = "{role}.key.pem"              # readable by its owner only
# peer_ca = "peer-ca.pem"             # mutual TLS: the CA of the other aggregator's client certificate
# names = ["{role}.internal"]         # hosts of the certificate; default: those of our endpoints

# How we reach the other aggregator: {peer}
# [peer]
# ca = "peer-ca.pem"                  # a CA to trust in addition to the system's

# The client certificate that we show to a server with mutual TLS. `identity = "FILE"` in [peer], with both in one PEM
# file, is the same.
# [peer.identity]
# certificate = "{role}-client.pem"
# key = "{role}-client.key.pem"       # readable by its owner only
{aggregation}
# [cors]
# origins = ["https://app.example"]   # origins of web pages that send reports and fetch keys

# [limits]
# upload_bytes = 8388608              # maximum size of one upload
# aggregation_job_bytes = 67108864    # maximum size of an aggregation job's request
# request_bytes = 1048576             # maximum size of any other request
# hpke_config_seconds = 86400         # how long clients may keep our HPKE keys
# waiting_bytes = 33554432            # maximum of all bodies in memory together; beyond it, 503
# connections = 1024
# connections_per_client = 128        # per client address; IPv6 by /64
# idle_seconds = 60                   # timeout for an idle connection
# request_seconds = 30                # timeout for the head of a request, and for its body
# requests_per_second = 0             # rate limit per client address (429 beyond it); 0 for none
# request_burst = 100                 # burst per client address
# trusted_proxies = ["10.0.0.0/8"]    # your proxies, which send the client's address in a header
# trusted_hops = 1                    # or their number, if nobody reaches us except through them
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

/// Only the leader cuts aggregation into jobs.
const AGGREGATION: &str = r"
# [aggregation]
# job_reports = 512                   # reports of one job, about
# job_bytes = 8388608                 # bytes of one job's reports, about
# linger_milliseconds = 500           # how long a job with few reports waits for more
# jobs = 2                            # concurrent jobs with one helper
# lease_seconds = 120                 # how long a job belongs to the replica that took it
";

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
                let twice = [
                    "database =",
                    "plain_http",
                    "programs",
                    "trusted_hops",
                    "database_key_command",
                    "socket",
                ]
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
