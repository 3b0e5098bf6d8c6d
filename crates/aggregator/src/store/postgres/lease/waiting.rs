//! The leader's waiting segments: which of them are looked at.

use super::super::{
    Failure, Tx, bytes, from_stored, get, time_from_stored,
    upload::{Arrival, insert_pieces},
};
use crate::store::{
    Segment, Timestamp,
    plan::{Head, MAX_HEADS, PART_BELOW, Pending},
    segment,
};
use postgres::Row;
use std::collections::{BTreeMap, HashMap};

/// A waiting segment, and whether some of its reports may have come too late for their batch.
pub(super) struct Found {
    pub(super) head: Head,
    pub(super) late: bool,
}

/// The oldest waiting segments of tasks, without those that arrived too late for a pending
/// collection of their batch: they wait for its end.
pub(super) fn of_any_time(
    tx: &mut Tx<'_>,
    tasks: &[i32],
) -> Result<BTreeMap<i32, Vec<Found>>, Failure> {
    let pending = pending(tx, tasks)?;
    let mut found = BTreeMap::<_, Vec<_>>::new();
    // Another page of those of which too many have to wait.
    let mut after: BTreeMap<i32, i64> = tasks.iter().map(|task| (*task, 0)).collect();
    while !after.is_empty() {
        let rows = page(tx, &after)?;
        let mut seen = HashMap::<i32, (i64, i64)>::new();
        for row in &rows {
            let (task, head) = (get(row, 0)?, head(row)?);
            let seen = seen.entry(task).or_default();
            *seen = (seen.0 + 1, head.key);
            let (times, place) = ([bytes(row, 8)?, bytes(row, 9)?], get(row, 10)?);
            let pending = pending.get(&task).map_or(&[][..], Vec::as_slice);
            let Some(urgent) = Pending::urge(pending, &times, place) else { continue };
            let one = Found { head: Head { urgent, ..head }, late: get(row, 7)? };
            found.entry(task).or_default().push(one);
        }
        let is_enough = |task: &i32| {
            found.get(task).is_some_and(|found| found.len() as u64 >= from_stored(MAX_HEADS))
        };
        let more = seen.iter().filter(|(task, seen)| seen.0 >= MAX_HEADS && !is_enough(task));
        after = more.map(|(task, seen)| (*task, seen.1)).collect();
    }
    Ok(found)
}

/// The next waiting segments of tasks, after some.
fn page(tx: &mut Tx<'_>, after: &BTreeMap<i32, i64>) -> Result<Vec<Row>, Failure> {
    tx.rows(
        "SELECT t.key, s.key, s.reports, s.bytes, s.arrived, s.abandoned, false,
            t.target IS NULL AND coalesce((
                SELECT c.high > s.first FROM collected c WHERE c.task = t.key AND c.low <= s.last
                ORDER BY c.low DESC LIMIT 1), false),
            s.first, s.last, s.place
         FROM unnest($1::integer[], $2::bigint[]) AS n (task, after) JOIN tasks t ON t.key = n.task
         CROSS JOIN LATERAL (
             SELECT key, reports, bytes, arrived, abandoned, first, last,
                 coalesce(place, key) AS place
             FROM segments WHERE task = t.key AND job IS NULL AND NOT stuck AND key > n.after
             ORDER BY key LIMIT $3) s
         ORDER BY t.key, s.key",
        &[
            &after.keys().copied().collect::<Vec<_>>(),
            &after.values().copied().collect::<Vec<_>>(),
            &MAX_HEADS,
        ],
    )
}

fn pending(tx: &mut Tx<'_>, tasks: &[i32]) -> Result<HashMap<i32, Vec<Pending>>, Failure> {
    let sql = "SELECT task, low, high, cut FROM collections WHERE task = ANY ($1) AND state = 0";
    let mut pending = HashMap::<_, Vec<_>>::new();
    for row in tx.rows(sql, &[&tasks])? {
        let (low, high): (Option<_>, Option<_>) = (get(&row, 1)?, get(&row, 2)?);
        let range = low.zip(high).map(|(low, high)| [low, high]);
        pending.entry(get(&row, 0)?).or_default().push(Pending { range, cut: get(&row, 3)? });
    }
    Ok(pending)
}

/// The oldest waiting segments of tasks whose batches are of one time, and those of the latest times,
/// in the order of their keys. All of a task are urgent if it has a pending collection.
pub(super) fn of_one_time(
    tx: &mut Tx<'_>,
    tasks: &[i32],
) -> Result<BTreeMap<i32, Vec<Found>>, Failure> {
    if tasks.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = tx.rows(
        "SELECT n.task, s.key, s.reports, s.bytes, s.arrived, s.abandoned,
            EXISTS (SELECT 1 FROM collections c WHERE c.task = n.task AND c.state = 0), s.first
         FROM unnest($1::integer[]) AS n (task) CROSS JOIN LATERAL (
             (SELECT key, reports, bytes, arrived, abandoned, first FROM segments
              WHERE task = n.task AND job IS NULL AND NOT stuck AND first = last
              ORDER BY key LIMIT $2)
             UNION
             (SELECT key, reports, bytes, arrived, abandoned, first FROM segments
              WHERE task = n.task AND job IS NULL AND NOT stuck AND first = last
              ORDER BY last DESC LIMIT $2)) s
         ORDER BY n.task, s.key",
        &[&tasks, &(MAX_HEADS / 2)],
    )?;
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for row in &rows {
        let apart = Some(time_from_stored(bytes(row, 7)?));
        let one = Found { head: Head { apart, ..head(row)? }, late: false };
        found.entry(get(row, 0)?).or_default().push(one);
    }
    Ok(found)
}

fn head(row: &Row) -> Result<Head, Failure> {
    Ok(Head {
        key: get(row, 1)?,
        reports: from_stored(get(row, 2)?),
        bytes: from_stored(get(row, 3)?),
        arrived: Timestamp(from_stored(get(row, 4)?)),
        cuts: u32::try_from(get::<i32>(row, 5)?).unwrap_or(u32::MAX),
        urgent: get(row, 6)?,
        apart: None,
    })
}

/// Parts the oldest segment of several times of each task, if it is its turn: of a few tasks, those whose
/// have waited longest. The others follow at the next calls; whoever uploads does not wait for all.
pub(super) fn part_by_time(tx: &mut Tx<'_>, tasks: &[i32]) -> Result<(), Failure> {
    if tasks.is_empty() {
        return Ok(());
    }
    let mixed = tx.rows(
        "SELECT n.task, m.key FROM unnest($1::integer[]) AS n (task) CROSS JOIN LATERAL (
             SELECT key FROM segments
             WHERE task = n.task AND job IS NULL AND NOT stuck AND first <> last
             ORDER BY key LIMIT 1) m
         WHERE NOT EXISTS (
             SELECT 1 FROM segments WHERE task = n.task AND job IS NULL AND NOT stuck
             AND place IS NOT NULL AND abandoned = 0)
         OR (SELECT count(*) FROM (
             SELECT 1 FROM segments
             WHERE task = n.task AND job IS NULL AND NOT stuck AND first = last
             LIMIT $2) few) < $2
         ORDER BY m.key LIMIT $3",
        &[&tasks, &PART_BELOW, &PARTED_AT_ONCE],
    )?;
    for row in &mixed {
        let (task, key): (i32, i64) = (get(row, 0)?, get(row, 1)?);
        let sql = "DELETE FROM segments WHERE task = $1 AND key = $2
                   RETURNING body, arrived, abandoned, coalesce(place, key), since";
        let row = tx.row(sql, &[&task, &key])?;
        let row = row.ok_or_else(|| Failure::corrupt("a waiting segment that is not found"))?;
        let parts = segment::by_time(&Segment::from_stored(get(&row, 0)?)?);
        let arrival = Arrival { arrived: get(&row, 1)?, since: get(&row, 4)? };
        insert_pieces(tx, task, arrival, &parts, get(&row, 3)?, get(&row, 2)?)?;
    }
    Ok(())
}

/// Tasks of which one call parts a segment, all in the transaction that leases.
const PARTED_AT_ONCE: i64 = 8;
