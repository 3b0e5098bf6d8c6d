//! TLS to the database.

use super::*;
use crate::test_support::postgres::TemporaryPostgres;

/// Files of a server of 127.0.0.1 for tests alone; the root's key is thrown away.
const CERTIFICATES: [(&str, &str); 2] = [
    ("server.crt", include_str!("../../../../tests/data/server.pem")),
    ("server.key", include_str!("../../../../tests/data/server.key")),
];
const ROOT: &str = include_str!("../../../../tests/data/root.pem");

#[test]
fn a_server_is_spoken_to_in_tls_once_its_certificate_is_verified() {
    let server = TemporaryPostgres::start_with(&[("fsync", "off")]).unwrap();
    let Some(mut server) = present(server) else { return };
    for (name, text) in CERTIFICATES {
        server.put_file(name, text).unwrap();
    }
    let root = server.put_file("root.pem", ROOT).unwrap().display().to_string();
    server.kill().unwrap();
    server.set("ssl", "on");
    server.start_again().unwrap();
    let url = server.create_database("secret").unwrap();
    let with = |mode: &str| url.replace("sslmode=disable", mode);
    let trusted = with(&format!("sslmode=verify-full&sslrootcert={root}&channel_binding=require"));
    PostgresStore::migrate(&trusted, "leader").unwrap();
    let store = PostgresStore::open(&trusted, "leader", 1).unwrap();
    let encrypted = store.write(|tx| {
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        Ok(tx.row(sql, &[])?.map(|row| row.get::<_, bool>(0)))
    });
    assert_eq!(encrypted, Ok(Some(true)));
    let refused = |url: &str| PostgresStore::migrate(url, "leader").unwrap_err().to_string();
    let unknown = refused(&with("sslmode=require"));
    assert!(unknown.contains("certificate"), "{unknown}");
    let another = refused(&trusted.replace("127.0.0.1", "localhost"));
    assert!(another.contains("not valid for name"), "{another}");
}
