//! Uploads of the leader, many in one transaction.

use super::{TaskRow, replay::Tables, stored, task_row, time_from_stored};
use crate::store::{
    BatchingMode, Refusal, StoreError, Timestamp, UploadBatch,
    bucket::time_key,
    replay::{Scope, Session, Side},
    segment::{self, Packed, pack_again},
    span,
};
use rusqlite::{OptionalExtension, Transaction};
use sottovoce_dap::{ids::TaskId, time::Time};
use std::collections::{BTreeMap, BTreeSet};

type UploadVerdict = Result<(), Refusal>;

/// Where a report stands in the call: upload, then place within it.
type Place = (usize, usize);

pub(super) fn accept_reports(
    tx: &Transaction<'_>,
    session: &mut Session<'_>,
    now: Timestamp,
    uploads: &[UploadBatch],
) -> Result<Vec<Vec<UploadVerdict>>, StoreError> {
    let mut rulings: Vec<_> = uploads.iter().map(|u| vec![Ok(()); u.len()]).collect();
    let mut by_task = BTreeMap::<&TaskId, Vec<Place>>::new();
    for (upload, batch) in uploads.iter().enumerate() {
        by_task.entry(batch.task()).or_default().extend((0..batch.len()).map(|at| (upload, at)));
    }
    for (id, places) in by_task {
        let task = task_row(tx, id)?;
        decide(tx, session, task, uploads, &places, &mut rulings)?;
        pack(tx, task, now, uploads, &places, &rulings)?;
    }
    Ok(rulings)
}

/// Decides about the reports of one task and remembers the IDs of those it accepts.
fn decide(
    tx: &Transaction<'_>,
    session: &mut Session<'_>,
    task: TaskRow,
    uploads: &[UploadBatch],
    places: &[Place],
    rulings: &mut [Vec<UploadVerdict>],
) -> Result<(), StoreError> {
    let entry = |(upload, at): Place| uploads[upload].entries()[at];
    let collected = collected_times(tx, task, places.iter().map(|place| entry(*place).time))?;
    let scope = Scope { task: task.key, side: Side::Uploaded };
    let ids: Vec<_> = places.iter().map(|place| entry(*place).id).collect();
    let mut known = session.look(&mut Tables(tx), scope, &ids)?;
    let mut fresh = Vec::with_capacity(ids.len());
    for place in places {
        let report = entry(*place);
        // A retry of an accepted upload is told the same as before its batch was collected.
        rulings[place.0][place.1] =
            if span(report.time) < task.horizon || known.contains(&report.id) {
                Err(Refusal::Replayed)
            } else if collected.contains(&report.time) {
                Err(Refusal::BatchCollected)
            } else {
                // Of two with one ID, the first in the call is accepted.
                known.insert(report.id);
                fresh.push((report.id, report.time));
                Ok(())
            };
    }
    session.add(&mut Tables(tx), scope, &fresh)
}

/// Those of the times whose bucket has been collected.
fn collected_times(
    tx: &Transaction<'_>,
    task: TaskRow,
    times: impl Iterator<Item = Time>,
) -> Result<BTreeSet<Time>, StoreError> {
    if task.mode != BatchingMode::TimeInterval {
        return Ok(BTreeSet::new());
    }
    let mut last = tx.prepare_cached(
        "SELECT high FROM collected WHERE task = ?1 AND low <= ?2 ORDER BY low DESC LIMIT 1",
    )?;
    let mut next = tx.prepare_cached(
        "SELECT low FROM collected WHERE task = ?1 AND low > ?2 ORDER BY low LIMIT 1",
    )?;
    within_collected(&times.collect(), |time| {
        let key = (task.key, time_key(time));
        let high = last.query_row(key, |row| row.get(0)).optional()?.map(time_from_stored);
        if let Some(end) = high.filter(|high| *high > time) {
            return Ok(Stretch { collected: true, end: Some(end) });
        }
        let low = next.query_row(key, |row| row.get(0)).optional()?.map(time_from_stored);
        Ok(Stretch { collected: false, end: low })
    })
}

/// Times from one that was asked about to `end`, of which all are collected or none is.
struct Stretch {
    collected: bool,
    /// The first time after them; `None` for all that come.
    end: Option<Time>,
}

/// Those of the times that are collected. One look for each stretch that has any: however many times a
/// stranger thinks of, no more than batches were collected.
fn within_collected(
    times: &BTreeSet<Time>,
    mut look: impl FnMut(Time) -> Result<Stretch, StoreError>,
) -> Result<BTreeSet<Time>, StoreError> {
    let mut collected = BTreeSet::new();
    let mut known = None::<Stretch>;
    for time in times {
        let stretch = match known.take() {
            Some(known) if known.end.is_none_or(|end| *time < end) => known,
            _ => look(*time)?,
        };
        if stretch.collected {
            collected.insert(*time);
        }
        known = Some(stretch);
    }
    Ok(collected)
}

/// Packs the accepted reports of one task into segments.
fn pack(
    tx: &Transaction<'_>,
    task: TaskRow,
    now: Timestamp,
    uploads: &[UploadBatch],
    places: &[Place],
    rulings: &[Vec<UploadVerdict>],
) -> Result<(), StoreError> {
    let accepted = places.iter().filter(|(upload, at)| rulings[*upload][*at].is_ok());
    let packed = accepted.map(|&(upload, at)| {
        let batch = &uploads[upload];
        (batch.entries()[at].time, batch.packed(at))
    });
    for segment in segment::pack(task.mode, packed) {
        insert_segment(tx, task.key, now, &segment, None)?;
    }
    Ok(())
}

/// Segments of a job that is over: what those of its reports that wait again take over.
#[derive(Default)]
pub(super) struct Ended {
    /// Their keys, oldest first.
    pub(super) keys: Vec<i64>,
    /// The first of their places, if they are pieces of others.
    pub(super) place: Option<i64>,
    /// How often jobs with their reports were cut up.
    pub(super) cuts: i64,
    /// When the first of their reports arrived.
    pub(super) since: Option<i64>,
}

/// Packs reports whose IDs are known already into segments that wait from `from` on, in the places
/// of those that they were in: a collection that was asked for since still waits for them.
pub(super) fn requeue(
    tx: &Transaction<'_>,
    task: i64,
    from: Timestamp,
    reports: &UploadBatch,
    ended: &Ended,
) -> Result<(), StoreError> {
    let mut keys = ended.keys.iter().copied();
    for segment in pack_again(reports) {
        let key = insert_segment(tx, task, from, &segment, keys.next())?;
        let sql = "UPDATE segments SET place = ?2, abandoned = ?3, since = ?4 WHERE key = ?1";
        tx.prepare_cached(sql)?.execute((key, ended.place, ended.cuts, ended.since))?;
    }
    Ok(())
}

/// Adds a segment, in the place of one that was there or after all others; gives its key.
pub(super) fn insert_segment(
    tx: &Transaction<'_>,
    task: i64,
    now: Timestamp,
    segment: &Packed,
    place: Option<i64>,
) -> Result<i64, StoreError> {
    tx.prepare_cached(
        "INSERT INTO segments (key, task, arrived, reports, bytes, first, last, body)
         VALUES (?8, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((
        task,
        stored(now.0),
        stored(segment.reports as u64),
        stored(segment.body.len() as u64),
        time_key(segment.first),
        time_key(segment.last),
        &segment.body,
        place,
    ))?;
    Ok(tx.last_insert_rowid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_times_take_no_more_looks_than_there_are_batches() {
        // Collected: from 100 up to 200, and from 200 up to 300 as a batch of its own.
        let mut looks = 0;
        let mut collected = |times: &BTreeSet<Time>| {
            looks = 0;
            let found = within_collected(times, |time| {
                looks += 1;
                let stretch = |collected, end| Ok(Stretch { collected, end });
                match time.0 {
                    0..100 => stretch(false, Some(Time(100))),
                    100..200 => stretch(true, Some(Time(200))),
                    200..300 => stretch(true, Some(Time(300))),
                    _ => stretch(false, None),
                }
            });
            (found.unwrap(), looks)
        };
        let all = (0..100_000).map(Time).collect();
        let (found, looks) = collected(&all);
        assert_eq!(found, (100..300).map(Time).collect());
        assert_eq!(looks, 4);
        let some = [99, 100, 299, 300].map(Time);
        assert_eq!(collected(&some.into()).0, [100, 299].map(Time).into());
        assert_eq!(collected(&BTreeSet::new()), (BTreeSet::new(), 0));
    }
}
