//! How a server is placed among an operator's other machines: where its keys come from, what stands in front, and
//! who looks in.

use crate::{
    http::Ask,
    server::{LEADER, Server, free_port, poll},
    task::{HISTOGRAM, sample},
    tls::certificates,
    world::{World, WorldOptions, seeded, write_secret},
};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

/// Changes the leader's configuration while it is not running.
fn configure(world: &World, from: &str, to: &str) {
    world.leader.kill();
    let text = fs::read_to_string(&world.leader.config).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&world.leader.config, text.replacen(from, to, 1)).unwrap();
}

/// Runs the leader until it refuses to start; gives what it said.
fn refused(world: &World) -> String {
    let output = world.leader.tell(&["serve"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn goes_on(world: &World, seed: u64) {
    let measurements = sample(&HISTOGRAM, 5, &mut seeded(seed));
    world.upload_all(&world.reports(&measurements));
    world.expect(&measurements);
}

#[test]
fn a_command_hands_over_the_database_key_and_its_failure_shows_nothing_of_it() {
    let world = World::start(WorldOptions::default());
    let folder = world.folder.path();
    let key = fs::read_to_string(folder.join("leader.key")).unwrap();
    fs::rename(folder.join("leader.key"), folder.join("vault")).unwrap();
    let command =
        |script: &str| format!("database_key_command = [\"/bin/sh\", \"-c\", \"{script}\"]");
    let cat = format!("cat {}", folder.join("vault").display());
    configure(&world, "database_key = \"leader.key\"", &command(&format!("{cat}; exit 7")));
    let said = refused(&world);
    assert!(said.contains("/bin/sh failed (exit status: 7)"), "{said}");
    assert!(!said.contains(key.trim()), "{said}");
    configure(&world, "; exit 7", "; echo; echo hunter2-is-no-key");
    let said = refused(&world);
    assert!(said.contains("database_key_command") && !said.contains("hunter2"), "{said}");
    configure(&world, "; echo; echo hunter2-is-no-key", "");
    world.leader.start();
    goes_on(&world, 101);
    assert!(!world.leader.log().contains(key.trim()));
}

#[test]
fn the_database_key_comes_from_a_file_or_a_credential_that_the_environment_names() {
    let world = World::start(WorldOptions::default());
    let folder = world.folder.path();
    fs::create_dir(folder.join("credentials")).unwrap();
    fs::rename(folder.join("leader.key"), folder.join("credentials/key")).unwrap();
    world.leader.kill();
    let again = || Server::new(LEADER, world.leader.port, world.leader.config.clone());
    let server = again().with("SOTTOVOCE_DATABASE_KEY_FILE", folder.join("credentials/key"));
    server.start();
    server.kill();
    configure(&world, "\"leader.key\"", "\"$CREDENTIALS_DIRECTORY/key\"");
    let said = refused(&world);
    assert!(said.contains("LoadCredential"), "{said}");
    let server = again().with("CREDENTIALS_DIRECTORY", folder.join("credentials"));
    server.start();
    goes_on(&world, 102);
}

/// Has the leader serve balancers at 127.0.0.1 only, with one request a minute for each client.
fn behind_balancers(world: &World, tables: &str) {
    let limits = "[limits]\nproxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]\n\
                  requests_per_second = 1\nrequest_burst = 2\n";
    configure(world, "[limits]\n", limits);
    let text = fs::read_to_string(&world.leader.config).unwrap();
    fs::write(&world.leader.config, text + tables).unwrap();
    let before = world.leader.log().matches("leader listening").count();
    world.leader.launch();
    poll("the leader", || {
        (world.leader.log().matches("leader listening").count() > before).then_some(())
    });
}

/// What the leader answers to a request on a connection that begins with `header`; nothing if it hangs up.
fn asked(port: u16, header: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let request = b"GET /hpke_config HTTP/1.1\r\nhost: leader\r\nconnection: close\r\n\r\n";
    let mut answer = Vec::new();
    // A server that hangs up may do so before it has read everything.
    let _ = stream.write_all(&[header, request].concat());
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split("\r\n").next().unwrap_or_default().to_owned()
}

fn passed_on(client: Ipv4Addr) -> Vec<u8> {
    let addresses = [&client.octets()[..], &[127, 0, 0, 1, 200, 1, 1, 187]].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &addresses].concat()
}

#[test]
fn each_client_behind_a_tcp_balancer_has_a_rate_limit_of_its_own() {
    let world = World::start(WorldOptions::default());
    behind_balancers(&world, "");
    let port = world.leader.port;
    let ask = |last| asked(port, &passed_on(Ipv4Addr::new(192, 0, 2, last)));
    let busy = poll("a rate limit", || Some(ask(1)).filter(|line| line.contains("429")));
    assert_eq!(busy, "HTTP/1.1 429 Too Many Requests");
    assert_eq!(ask(2), "HTTP/1.1 200 OK");
    // A version without addresses of use, no header, and half of one, are not served.
    assert_eq!(asked(port, b"PROXY TCP4 192.0.2.3 127.0.0.1 50000 443\r\n"), "");
    world.leader.wait_for_log("version 1 of the PROXY protocol");
    assert_eq!(asked(port, b""), "");
    assert_eq!(asked(port, &passed_on(Ipv4Addr::LOCALHOST)[..10]), "");
    assert_eq!(ask(3), "HTTP/1.1 200 OK");
}

#[test]
fn an_address_that_is_no_trusted_balancer_is_not_served() {
    let world = World::start(WorldOptions::default());
    behind_balancers(&world, "");
    configure(&world, "trusted_proxies = [\"127.0.0.1\"]", "trusted_proxies = [\"10.0.0.0/8\"]");
    world.leader.launch();
    let port = world.leader.port;
    poll("the leader", || TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()));
    assert_eq!(asked(port, &passed_on(Ipv4Addr::new(192, 0, 2, 1))), "");
    world.leader.wait_for_log("not in limits.trusted_proxies");
}

struct Haproxy(Child);

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Haproxy {
    /// Passes connections on to the leader; nothing if HAProxy is not installed.
    fn start(folder: &Path, port: u16, leader: u16) -> Option<Self> {
        let text = format!(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
             listen leader\n bind 127.0.0.1:{port}\n \
             server leader 127.0.0.1:{leader} send-proxy-v2 check inter 100ms\n"
        );
        fs::write(folder.join("haproxy.cfg"), text).unwrap();
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(folder.join("haproxy.cfg"));
        match command.spawn() {
            Ok(child) => Some(Self(child)),
            Err(error) => {
                println!("skipped: haproxy cannot be started: {error}");
                None
            }
        }
    }
}

#[test]
fn tls_ends_at_the_server_behind_haproxy_which_passes_addresses_on() {
    let world = World::start(WorldOptions { files: Some(certificates), ..WorldOptions::default() });
    let tls = "\n[tls]\ncertificate = \"helper.pem\"\nkey = \"helper.key.pem\"\n";
    let port = free_port();
    let Some(_haproxy) = Haproxy::start(world.folder.path(), port, world.leader.port) else {
        return;
    };
    behind_balancers(&world, tls);
    let url = format!("https://127.0.0.1:{port}/hpke_config");
    let ask = || Ask::get(&url).try_send().ok().map(|answer| answer.status);
    // Until its checks have found the leader, which they do by headers of their own.
    poll("HAProxy", || (ask() == Some(200)).then_some(()));
    poll("the limit of this machine's address", || (ask() == Some(429)).then_some(()));
    let said = world.leader.log();
    assert!(!said.contains("no trusted balancer"), "{said}");
}

/// What the admin interface answers over its socket.
fn over_socket(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_admin_socket_is_the_owners_and_what_changes_something_is_in_the_audit_trail() {
    let table = "\n[admin]\nsocket = \"admin.sock\"\n".to_owned();
    let world = World::start(WorldOptions { tables: [table, String::new()], ..Default::default() });
    let path = world.folder.path().join("admin.sock");
    world.leader.wait_for_log("admin interface listening on unix:");
    let metrics =
        over_socket(&path, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(metrics.starts_with("HTTP/1.1 200") && metrics.contains("sottovoce_"), "{metrics}");
    let put = "PUT /log HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\n\r\ndebug";
    assert!(over_socket(&path, put).starts_with("HTTP/1.1 200"));
    let wrong = put.replace("debug", "a=b=c");
    assert!(over_socket(&path, &wrong).starts_with("HTTP/1.1 400"));
    assert!(world.leader.tell(&["hpke", "rotate"]).status.success());
    assert!(world.leader.tell(&["hpke", "list"]).status.success());
    assert!(!world.leader.tell(&["hpke", "destroy", "1"]).status.success());
    let listed = world.leader.tell(&["audit", "list", "--json"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let what: Vec<_> = rows.iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(what[0], "PUT /log debug", "{text}");
    assert!(what[1].starts_with("hpke rotate --config "), "{text}");
    // It was tried.
    assert!(what[2].starts_with("hpke destroy 1 "), "{text}");
    assert_eq!(what.len(), 3, "{text}");
    assert!(rows[0]["who"].as_str().unwrap().contains("admin.sock"), "{text}");
    assert!(rows[1]["who"].as_str().unwrap().contains("uid "), "{text}");
    let last = world.leader.tell(&["audit", "list", "--last", "1"]);
    assert_eq!(String::from_utf8(last.stdout).unwrap().lines().count(), 1);
    assert!(world.leader.terminate().success());
    assert!(!path.exists());
}

#[test]
fn the_admin_interface_over_https_shows_metrics_to_who_has_the_token() {
    let port = free_port();
    let table = format!(
        "\n[admin]\nlisten = \"127.0.0.1:{port}\"\ntoken = \"admin.token\"\n\
         [admin.tls]\ncertificate = \"helper.pem\"\nkey = \"helper.key.pem\"\n"
    );
    let files = |folder: &Path| {
        certificates(folder);
        write_secret(&folder.join("admin.token"), "a-token-of-some-length\n");
    };
    let world = World::start(WorldOptions {
        tables: [table, String::new()],
        files: Some(files),
        ..Default::default()
    });
    let ask = |path: &str| Ask::get(&format!("https://127.0.0.1:{port}/{path}"));
    assert_eq!(ask("readyz").send().status, 200);
    let refused = ask("metrics").send();
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(ask("metrics").token("another-token-of-some-length").send().status, 401);
    let url = format!("https://127.0.0.1:{port}/log");
    assert_eq!(Ask::new(reqwest::Method::PUT, &url).body(b"debug".to_vec()).send().status, 401);
    assert_eq!(ask("metrics").token("a-token-of-some-length").send().status, 200);
    fs::write(world.folder.path().join("admin.token"), "short").unwrap();
    let check = world.leader.tell(&["serve", "--check-config"]);
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(said.contains("admin.token") && said.contains("openssl rand"), "{said}");
}
