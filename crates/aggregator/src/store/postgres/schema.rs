//! The database's tables: whether they are ours, their schema version, and their migration.
//!
//! Migrating is a command of its own, since replicas of two versions may run side by side while
//! one replaces the other. All tables are in a schema named `sottovoce`, so that the database may
//! be shared with other programs.

use super::{
    OpenError, locks,
    migrations::{LATEST, MIGRATIONS},
    session,
    url::Target,
};
use postgres::{Client, GenericClient};

/// What a migration found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version before; 0 for a new database.
    pub from: i32,
    /// The schema's version now.
    pub to: i32,
}

/// Brings a database to the latest version; two that try at once do it one after the other.
pub(super) fn migrate(target: &Target, party: &str) -> Result<Migrated, OpenError> {
    session::check(target)?;
    let failed = |error| target.failed(&error);
    let mut client = target.connect().map_err(failed)?;
    let mut tx = client.transaction().map_err(failed)?;
    // Held until the commit. Looking comes after: whoever waited finds the other's work.
    let lock = "SELECT pg_advisory_xact_lock($1, 0)";
    tx.execute(lock, &[&locks::SCHEMA]).map_err(failed)?;
    let from = match look(&mut tx, target, party)? {
        Some(found) if found > LATEST => return Err(newer(target, found)),
        found => found.unwrap_or(0),
    };
    for migration in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(0)) {
        tx.batch_execute(migration).map_err(failed)?;
    }
    let set = "INSERT INTO sottovoce.version VALUES (0, $1, $2)
               ON CONFLICT (one) DO UPDATE SET number = excluded.number";
    tx.execute(set, &[&LATEST, &party]).map_err(failed)?;
    tx.commit().map_err(failed)?;
    Ok(Migrated { from, to: LATEST })
}

/// Checks that a database is ours, of this version, and keeps its locks.
pub(super) fn check(target: &Target, party: &str) -> Result<(), OpenError> {
    session::check(target)?;
    let failed = |error| target.failed(&error);
    let mut client = target.connect().map_err(failed)?;
    let (place, party) = (target.to_string(), party.to_owned());
    match look(&mut client, target, &party)? {
        None => return Err(OpenError::NotMigrated { place, party }),
        Some(found) if found < LATEST => return Err(OpenError::Older { place, found, party }),
        Some(found) if found > LATEST => return Err(newer(target, found)),
        Some(_) => {}
    }
    let mut other = target.connect().map_err(failed)?;
    let kept = keeps_locks(&mut client, &mut other).map_err(failed)?;
    if kept { Ok(()) } else { Err(OpenError::NoLocks { place }) }
}

/// The version of a database that we may use; `None` for one without tables of ours.
fn look(
    client: &mut impl GenericClient,
    target: &Target,
    party: &str,
) -> Result<Option<i32>, OpenError> {
    let failed = |error| target.failed(&error);
    // Not by `pg_tables`, which leaves out what the user has no right to.
    let sql = "SELECT count(*), count(*) FILTER (WHERE relname = 'version')
               FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
               WHERE nspname = 'sottovoce'";
    let row = client.query_one(sql, &[]).map_err(failed)?;
    let (tables, ours): (i64, i64) =
        (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    let foreign = || OpenError::Foreign { place: target.to_string() };
    match (tables, ours) {
        (0, _) => return Ok(None),
        (_, 0) => return Err(foreign()),
        _ => {}
    }
    let sql = "SELECT to_jsonb(v) ->> 'number', to_jsonb(v) ->> 'party' FROM sottovoce.version v";
    let row = client.query_opt(sql, &[]).map_err(failed)?.ok_or_else(foreign)?;
    let number = row.try_get::<_, Option<&str>>(0).map_err(failed)?;
    let found = row.try_get::<_, Option<&str>>(1).map_err(failed)?;
    // Another program's table of that name has other columns.
    let number = number.and_then(|number| number.parse().ok()).ok_or_else(foreign)?;
    let found = found.ok_or_else(foreign)?;
    if found != party {
        let (found, ours) = (found.to_owned(), party.to_owned());
        return Err(OpenError::Party { place: target.to_string(), found, ours });
    }
    Ok(Some(number))
}

/// Some engines that speak PostgreSQL's protocol grant every advisory lock to everyone.
fn keeps_locks(one: &mut Client, other: &mut Client) -> Result<bool, postgres::Error> {
    let sql = "SELECT pg_try_advisory_xact_lock($1, 1)";
    let mut one = one.transaction()?;
    let mut other = other.transaction()?;
    let first: bool = one.query_one(sql, &[&locks::SCHEMA])?.try_get(0)?;
    let second: bool = other.query_one(sql, &[&locks::SCHEMA])?.try_get(0)?;
    // Should another process be at it just now, neither gets it, which says the same.
    Ok(!(first && second))
}

fn newer(target: &Target, found: i32) -> OpenError {
    OpenError::Newer { place: target.to_string(), found }
}
