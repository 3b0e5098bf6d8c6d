//! Whose database it is, and which version.

use super::*;

fn refusal(database: &Database, party: &str) -> String {
    PostgresStore::open(&database.url, party, 1).map(drop).unwrap_err().to_string()
}

#[test]
fn a_database_without_tables_is_refused_with_the_command_that_makes_them() {
    let Some(database) = Database::empty() else { return };
    let message = refusal(&database, "helper");
    assert!(message.contains("`sottovoce-helper database migrate --config FILE`"), "{message}");
    assert!(message.contains(&format!("/{} has no sottovoce tables", database.name)), "{message}");
    let migrated = PostgresStore::migrate(&database.url, "helper").unwrap();
    assert_eq!(migrated, Migrated { from: 0, to: super::super::migrations::LATEST });
    drop(PostgresStore::open(&database.url, "helper", 1).unwrap());
    let again = PostgresStore::migrate(&database.url, "helper").unwrap();
    assert_eq!(again.from, again.to);
}

#[test]
fn a_database_of_the_other_party_is_refused() {
    let Some(database) = Database::new() else { return };
    let migrated = PostgresStore::migrate(&database.url, "helper").unwrap_err().to_string();
    for message in [refusal(&database, "helper"), migrated] {
        assert!(message.contains("of the leader, and this is the helper"), "{message}");
    }
    drop(database.store());
}

#[test]
fn another_version_is_refused_with_both_numbers() {
    let Some(database) = Database::to_spoil() else { return };
    let ours = super::super::migrations::LATEST;
    database.tell("UPDATE sottovoce.version SET number = number + 1");
    let newer = format!("schema version {}, and this program knows up to {ours}", ours + 1);
    let migrated = PostgresStore::migrate(&database.url, "leader").unwrap_err().to_string();
    for message in [refusal(&database, "leader"), migrated] {
        assert!(message.contains(&newer), "{message}");
    }
    database.tell("UPDATE sottovoce.version SET number = 0");
    let message = refusal(&database, "leader");
    let older = format!("schema version 0, and this program needs {ours}");
    assert!(message.contains(&older) && message.contains("database migrate"), "{message}");
}

#[test]
fn something_else_by_our_name_is_refused_and_left_alone() {
    let Some(database) = Database::empty() else { return };
    for theirs in [
        "CREATE SCHEMA sottovoce; CREATE TABLE sottovoce.cookies (name text)",
        "CREATE TABLE sottovoce.version (name text)",
        "INSERT INTO sottovoce.version VALUES ('chocolate')",
    ] {
        database.tell(theirs);
        let migrated = PostgresStore::migrate(&database.url, "leader").unwrap_err().to_string();
        for message in [refusal(&database, "leader"), migrated] {
            assert!(message.contains("that is not ours"), "{message}");
        }
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'sottovoce'";
    assert_eq!(database.client().query_one(tables, &[]).unwrap().get::<_, i64>(0), 2);
}

#[test]
fn a_schema_made_by_an_administrator_is_used() {
    let Some(database) = Database::empty() else { return };
    database.tell("CREATE SCHEMA sottovoce; CREATE TABLE public.version (name text)");
    assert_eq!(PostgresStore::migrate(&database.url, "leader").unwrap().from, 0);
    drop(database.store());
}

#[test]
fn of_many_that_migrate_at_once_one_does() {
    let Some(database) = Database::empty() else { return };
    let from = std::thread::scope(|scope| {
        let migrate = || PostgresStore::migrate(&database.url, "leader").unwrap().from;
        let threads = [(); 4].map(|()| scope.spawn(migrate));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(from.iter().filter(|from| **from == 0).count(), 1, "{from:?}");
    drop(database.store());
}

#[test]
fn a_password_is_never_shown() {
    let Some(database) = Database::new() else { return };
    let wrong = |url: &str| {
        let error = PostgresStore::open(url, "leader", 1).map(drop).unwrap_err();
        format!("{error} {error:?}")
    };
    let (before, after) = database.url.split_once('@').unwrap();
    let password = before.rsplit_once(':').unwrap().1;
    let refused = wrong(&database.url.replace(password, "hunter2"));
    assert!(refused.contains("password authentication failed"), "{refused}");
    let nowhere = wrong(&format!("{before}@127.0.0.1:1/{}?sslmode=disable", database.name));
    let no_tls = wrong(&database.url.replace("sslmode=disable", "sslmode=require"));
    let no_database = wrong(&format!("{before}@{}", after.replace(&database.name, "none")));
    for message in [refused, nowhere, no_tls, no_database] {
        assert!(!message.contains("hunter2") && !message.contains(password), "{message}");
    }
}

/// Version 2 kept report IDs apart by spans of 64 times.
#[test]
fn a_database_of_version_2_loses_no_id_and_shuts_out_its_replicas() {
    let Some(database) = Database::empty() else { return };
    let old = super::super::migrations::MIGRATIONS[..2].join("; ");
    database.tell(&format!("BEGIN; {old}; COMMIT"));
    let run = |bytes: &[u8]| -> String {
        bytes.iter().map(|byte| format!("{byte:02x}").repeat(16)).collect::<Vec<_>>().concat()
    };
    database.tell(&format!(
        "INSERT INTO sottovoce.version VALUES (0, 2, 'leader');
         INSERT INTO sottovoce.tasks (id, public, sealed) VALUES ('\\x{}', '', '');
         INSERT INTO sottovoce.fresh_ids (task, side, span, ids) VALUES
             (1, 0, 0, '\\x{}'), (1, 0, 7, '\\x{}');
         INSERT INTO sottovoce.parted_ids (task, side, span, part, position, ids) VALUES
             (1, 0, 7, 4, 1, '\\x{}'), (1, 0, 7, 255, 1, '')",
        "01".repeat(32),
        run(&[1, 2]),
        run(&[3]),
        run(&[4]),
    ));
    let migrated = PostgresStore::migrate(&database.url, "leader").unwrap();
    assert_eq!(migrated, Migrated { from: 2, to: super::super::migrations::LATEST });
    let store = database.store();
    let id = TaskId::new([1; 32]);
    let mut upload = UploadBatch::new(id);
    for (byte, time) in [(1, 500), (2, 5), (3, 5), (4, 5), (5, 5)] {
        upload.push(ReportId::new([byte; 16]), Time(time), b"report").unwrap();
    }
    let rulings = store.accept_reports(NOW, &[upload]).unwrap().remove(0);
    let accepted: Vec<_> = rulings.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [false, false, false, false, true]);
    let expiry = Expiry { reports: vec![(id, Time(64))], ..Expiry::default() };
    assert_eq!(store.forget(&expiry).unwrap().reports, 3);
    let insert = "INSERT INTO sottovoce.fresh_ids (task, side, span, ids) VALUES (1, 0, 0, '')";
    assert!(database.client().batch_execute(insert).is_err(), "an old replica goes on");
}
