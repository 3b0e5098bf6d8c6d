//! A first configuration, commented, for `init`.

/// The text of a configuration of `role`, which listens on a port of its own.
pub fn text(role: &str) -> String {
    let (port, admin, peer) = match role {
        "leader" => (8080, 9080, LEADER),
        _ => (8081, 9081, ""),
    };
    format!(
        r#"# The {role}'s configuration. Paths are relative to this file. Every key can also be set by a
# variable: SOTTOVOCE_LISTEN for listen, SOTTOVOCE_TLS__KEY for key in [tls].

# Address and port to listen on, and the path of our endpoint as the program names it.
listen = "127.0.0.1:{port}"
# path = "/"

# To be reached from other machines, either serve HTTPS (renewed files are noticed) …
# [tls] at the end of this file
# … or let a proxy in front do it, and say so:
# plain_http = true

# One SQLite file for one server, or a PostgreSQL database for any number of replicas:
database = "{role}.sqlite"
# database = "postgres://{role}@db.internal/sottovoce_{role}?sslmode=require"
# database_connections = 8

# Secrets in the database are sealed under this key; it is made at the first start. Keep a copy of
# it apart from the database. SOTTOVOCE_DATABASE_KEYS holds the key itself instead, if it is set.
database_key = "{role}.key"

# What is shared with the other parties: made by `sottovoce keygen`, or by hand with them. Programs
# need it; take it out if you serve plain DAP task files only, which have their own.
secrets = "{role}.secrets.toml"

# Tasks to take on at start: programs, or plain DAP task files. Others can be added at any time.
programs = []
# tasks = ["task.json"]

# What to log, and how: text for people, json for machines.
log = "info"
# log_format = "json"

# Where you look in: /healthz, /readyz, /metrics, and PUT /log for another level. There is no
# password, so only where nobody else reaches it.
[admin]
listen = "127.0.0.1:{admin}"

# Spans for OpenTelemetry, over OTLP and HTTP.
# [traces]
# endpoint = "http://127.0.0.1:4318/v1/traces"

# [tls]
# certificate = "{role}.pem"      # with the certificates that signed it
# key = "{role}.key.pem"
# peer_ca = "peer.pem"           # mutual TLS: the other aggregator must show one of this authority
{peer}
# [cors]
# origins = ["https://app.example"]   # web pages that may send reports and fetch keys

# [limits]
# upload_bytes = 8388608              # of one upload
# waiting_bytes = 33554432            # of bodies on their way or waiting for the disk; more get 503
# connections = 1024
# connections_per_client = 128        # of one address; IPv6 by /64
# idle_seconds = 60                   # of a connection on which nothing happens
# request_seconds = 30                # for the head of a request, and for its body
# requests_per_second = 0             # of one client address; 0 for any number, more get 429
# request_burst = 100
# trusted_proxies = ["10.0.0.0/8"]    # proxies of yours, which name the client's address in a header
# client_address_header = "x-forwarded-for"   # or "forwarded", or one of their own

# [hpke]
# rotate_days = 90                    # a new key takes over; 0 for never
# pending_minutes = 10                # before it is offered
# keep_days = 30                      # that the old one still opens reports

# [retention]
# report_days = 0                     # older reports are refused and their IDs forgotten; 0: never
# response_days = 30                  # that answers can be asked for again

# Everything that must be known in public is in a log that anybody may read, under /log/.
# [public_log]
# name = "{role}.example/log"         # if not our endpoint without its scheme; fixed by the first key

# Others who make sure that everybody sees the same log:
# [[public_log.witnesses]]
# url = "https://witness.example/"
# key = "witness.example+9a073b7a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
"#
    )
}

const LEADER: &str = r#"
# [peer]
# ca = "helper-ca.pem"               # an authority to trust besides the system's
# identity = "leader.pem"            # certificate and key to show to a helper that asks

# [aggregation]
# job_reports = 512
# linger_milliseconds = 500           # that a few reports wait for company
# jobs = 2                            # at the same time
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
                    ["database =", "plain_http", "programs"].iter().any(|k| bare.starts_with(k));
                if is_key && !twice { bare.to_owned() } else { line.to_owned() }
            };
            let all: Vec<_> = text(role).lines().map(uncomment).collect();
            std::fs::write(&path, all.join("\n")).unwrap();
            Config::read(&path).unwrap();
        }
    }
}
