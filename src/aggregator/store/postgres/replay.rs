//! Report IDs that count as replays.
//!
//! Calls take reports of several tasks in the order of (task, span, ID) and none twice. That order
//! is also the order in which rows are added, so that two calls with common reports wait for each
//! other but never in a circle.

use super::{failure::Failure, get, pool::Tx};
use crate::aggregator::store::window;
use crate::dap::{ids::ReportId, time::Time};
use std::collections::{BTreeSet, HashSet};

/// A report by its task's key, the span that its time is in, and its ID.
pub(super) type Name = (i32, i32, ReportId);

/// Names a report.
pub(super) fn name(task: i32, id: ReportId, time: Time) -> Name {
    (task, span(time), id)
}

/// The span of times whose IDs lie together.
pub(super) fn span(time: Time) -> i32 {
    i32::try_from(window(time)).unwrap_or(i32::MAX)
}

/// Remembers reports that are uploaded, and returns those that were not known before.
///
/// Waits for a transaction that is just adding one of them, and then knows what became of it.
pub(super) fn remember_uploaded(
    tx: &mut Tx<'_>,
    reports: &BTreeSet<Name>,
) -> Result<HashSet<Name>, Failure> {
    remember(
        tx,
        "INSERT INTO uploaded
         SELECT n.* FROM unnest($1::integer[], $2::integer[], $3::bytea[]) AS n (task, span, id)
         LEFT JOIN horizons h ON h.task = n.task WHERE h.span IS NULL OR h.span <= n.span
         ON CONFLICT DO NOTHING RETURNING task, span, id",
        reports,
    )
}

/// Remembers reports that are aggregated, and returns those that were not known before.
pub(super) fn remember_aggregated(
    tx: &mut Tx<'_>,
    reports: &BTreeSet<Name>,
) -> Result<HashSet<Name>, Failure> {
    remember(
        tx,
        "INSERT INTO aggregated
         SELECT n.* FROM unnest($1::integer[], $2::integer[], $3::bytea[]) AS n (task, span, id)
         LEFT JOIN horizons h ON h.task = n.task WHERE h.span IS NULL OR h.span <= n.span
         ON CONFLICT DO NOTHING RETURNING task, span, id",
        reports,
    )
}

/// Those of the reports that were uploaded before.
pub(super) fn known_uploaded(
    tx: &mut Tx<'_>,
    reports: &BTreeSet<Name>,
) -> Result<HashSet<Name>, Failure> {
    remember(
        tx,
        "SELECT u.task, u.span, u.id
         FROM unnest($1::integer[], $2::integer[], $3::bytea[]) AS n (task, span, id)
         JOIN uploaded u ON u.task = n.task AND u.span = n.span AND u.id = n.id",
        reports,
    )
}

fn remember(
    tx: &mut Tx<'_>,
    sql: &'static str,
    reports: &BTreeSet<Name>,
) -> Result<HashSet<Name>, Failure> {
    if reports.is_empty() {
        return Ok(HashSet::new());
    }
    let tasks: Vec<_> = reports.iter().map(|(task, ..)| *task).collect();
    let spans: Vec<_> = reports.iter().map(|(_, span, _)| *span).collect();
    let ids: Vec<_> = reports.iter().map(|(.., id)| &id.as_bytes()[..]).collect();
    let rows = tx.rows(sql, &[&tasks, &spans, &ids])?;
    let name = |row| Ok((get(row, 0)?, get(row, 1)?, ReportId::new(super::bytes(row, 2)?)));
    rows.iter().map(name).collect()
}
