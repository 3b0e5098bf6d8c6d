//! Report IDs that count as replays.
//!
//! Calls take reports of several tasks in the order of (task, ID) and none twice. That order is
//! also the order in which rows are added, so that two calls with common reports wait for each
//! other but never in a circle.

use super::{failure::Failure, get, pool::Tx, stored};
use crate::dap::{ids::ReportId, time::Time};
use std::collections::HashSet;

/// A report by its task's key and its ID.
pub(super) type Name = (i32, ReportId);

/// Remembers reports that are uploaded, and returns those that were not known before.
///
/// Waits for a transaction that is just adding one of them, and then knows what became of it.
pub(super) fn remember_uploaded(
    tx: &mut Tx<'_>,
    reports: &[(Name, Time)],
) -> Result<HashSet<Name>, Failure> {
    remember(
        tx,
        "INSERT INTO uploaded SELECT * FROM unnest($1::integer[], $2::bytea[], $3::bigint[])
         ON CONFLICT DO NOTHING RETURNING task, id",
        reports,
    )
}

/// Remembers reports that are aggregated, and returns those that were not known before.
pub(super) fn remember_aggregated(
    tx: &mut Tx<'_>,
    reports: &[(Name, Time)],
) -> Result<HashSet<Name>, Failure> {
    remember(
        tx,
        "INSERT INTO aggregated SELECT * FROM unnest($1::integer[], $2::bytea[], $3::bigint[])
         ON CONFLICT DO NOTHING RETURNING task, id",
        reports,
    )
}

/// Those of the reports that were uploaded before.
pub(super) fn known_uploaded(tx: &mut Tx<'_>, reports: &[Name]) -> Result<HashSet<Name>, Failure> {
    if reports.is_empty() {
        return Ok(HashSet::new());
    }
    let tasks: Vec<_> = reports.iter().map(|(task, _)| *task).collect();
    let ids: Vec<_> = reports.iter().map(|(_, id)| &id.as_bytes()[..]).collect();
    let sql = "SELECT u.task, u.id FROM unnest($1::integer[], $2::bytea[]) AS n (task, id)
               JOIN uploaded u ON u.task = n.task AND u.id = n.id";
    names(&tx.rows(sql, &[&tasks, &ids])?)
}

fn remember(
    tx: &mut Tx<'_>,
    sql: &'static str,
    reports: &[(Name, Time)],
) -> Result<HashSet<Name>, Failure> {
    if reports.is_empty() {
        return Ok(HashSet::new());
    }
    let tasks: Vec<_> = reports.iter().map(|((task, _), _)| *task).collect();
    let ids: Vec<_> = reports.iter().map(|((_, id), _)| &id.as_bytes()[..]).collect();
    let times: Vec<_> = reports.iter().map(|(_, time)| stored(time.0)).collect();
    names(&tx.rows(sql, &[&tasks, &ids, &times])?)
}

fn names(rows: &[postgres::Row]) -> Result<HashSet<Name>, Failure> {
    let name = |row| Ok((get(row, 0)?, ReportId::new(super::bytes(row, 1)?)));
    rows.iter().map(name).collect()
}
