//! PgBouncer in front of the database, in each of its modes.

use super::*;
use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Instant,
};

/// PgBouncer before one database; gone when dropped.
struct Bouncer {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Bouncer {
    /// In this mode, with these lines of configuration besides; `None` where it is not installed.
    fn start(database: &Database, mode: &str, more: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.path().join("pgbouncer.ini");
        let (before, after) = database.url.split_once('@').unwrap();
        let password = before.rsplit(':').next().unwrap();
        let (place, _) = after.split_once('/').unwrap();
        let (host, behind) = place.split_once(':').unwrap();
        let name = &database.name;
        let text = format!(
            "[databases]\n\
             {name} = host={host} port={behind} user=postgres password={password}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = {mode}\n{more}\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("pgbouncer");
        command.arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = crate::test_support::postgres::user() {
            // It refuses to run as root.
            for path in [folder.path(), &config] {
                std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
            }
            command.uid(user).gid(group);
        }
        let child = present(command.spawn().ok())?;
        let url = format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable");
        let bouncer = Self { child, url, _folder: folder };
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "PgBouncer does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(bouncer)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_pooler_that_mixes_sessions_is_refused_at_the_start_with_the_cure() {
    let Some(database) = Database::to_spoil() else { return };
    for (mode, more) in [
        ("transaction", ""),
        ("transaction", "default_pool_size = 1"),
        ("transaction", "server_round_robin = 1\nmin_pool_size = 3"),
        ("transaction", "server_reset_query_always = 1"),
        ("statement", ""),
    ] {
        let Some(bouncer) = Bouncer::start(&database, mode, more) else { return };
        for refused in [
            PostgresStore::open(&bouncer.url, "leader", 4).map(drop),
            PostgresStore::migrate(&bouncer.url, "leader").map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(matches!(error, OpenError::Pooler { .. }), "{mode} {more}: {error}");
            assert!(error.to_string().contains("pool_mode = session"), "{error}");
        }
    }
}

#[test]
fn a_pooler_that_keeps_sessions_apart_serves() {
    let Some(database) = Database::to_spoil() else { return };
    let Some(bouncer) = Bouncer::start(&database, "session", "") else { return };
    PostgresStore::migrate(&bouncer.url, "leader").unwrap();
    let store = PostgresStore::open(&bouncer.url, "leader", 4).unwrap();
    let task = put(&store, 1, BatchingMode::TimeInterval);
    for number in 0..20 {
        let accepted = store.accept_reports(NOW, &[upload(task, &[(number, 1)])]).unwrap();
        assert!(accepted[0][0].is_ok());
    }
    assert_eq!(store.counts(&task).unwrap().waiting_reports, 20);
}
