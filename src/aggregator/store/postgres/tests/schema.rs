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
    assert!(message.contains(&format!("/{} has no tables", database.name)), "{message}");
    let migrated = PostgresStore::migrate(&database.url, "helper").unwrap();
    assert_eq!(migrated, Migrated { from: 0, to: super::super::schema::LATEST });
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
    let ours = super::super::schema::LATEST;
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
