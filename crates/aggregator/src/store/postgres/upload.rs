//! Uploads of the leader, many in one transaction.

use super::{
    Failure, TaskRow, Tx, get, in_slices, locks, ranges,
    replay::{self, Tables},
    stored,
};
use crate::store::{
    BatchingMode, Refusal, Timestamp, UploadBatch,
    bucket::time_key,
    replay::{Scope, Session, Side},
    segment::{self, Packed, pack_again},
    span,
};
use postgres::Row;
use sottovoce_dap::{
    ids::{ReportId, TaskId},
    time::Time,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

type UploadVerdict = Result<(), Refusal>;

/// A report in the order of the call.
#[derive(Clone, Copy)]
struct Place {
    task: i32,
    id: ReportId,
    time: Time,
    upload: usize,
    at: usize,
}

impl Place {
    fn scope(&self) -> Scope {
        Scope { task: self.task.into(), side: Side::Uploaded }
    }
}

pub(super) fn accept_reports(
    tx: &mut Tx<'_>,
    session: &mut Session<'_>,
    now: Timestamp,
    uploads: &[UploadBatch],
) -> Result<Vec<Vec<UploadVerdict>>, Failure> {
    let tasks = uploads.iter().map(UploadBatch::task).collect::<BTreeSet<_>>();
    let tasks = locks::share_uploads(tx, &tasks)?;
    let places = places(uploads, &tasks);
    let mut rulings: Vec<_> = uploads.iter().map(|upload| vec![Ok(()); upload.len()]).collect();
    decide(tx, session, &tasks, &places, &mut rulings)?;
    let mut accepted = BTreeMap::<i32, Vec<(Time, &[u8])>>::new();
    for place in &places {
        if rulings[place.upload][place.at].is_ok() {
            let packed = uploads[place.upload].packed(place.at);
            accepted.entry(place.task).or_default().push((place.time, packed));
        }
    }
    let modes: HashMap<_, _> = tasks.values().map(|task| (task.key, task.mode)).collect();
    let mut segments = Vec::new();
    for (task, reports) in accepted {
        let packed = segment::pack(modes[&task], reports.into_iter());
        segments.extend(packed.into_iter().map(|packed| (task, packed)));
    }
    insert_segments(tx, now, &segments)?;
    Ok(rulings)
}

fn places(uploads: &[UploadBatch], tasks: &HashMap<TaskId, TaskRow>) -> Vec<Place> {
    let mut places = Vec::new();
    for (upload, batch) in uploads.iter().enumerate() {
        let task = tasks[batch.task()].key;
        let entries = batch.entries().iter().enumerate();
        places.extend(entries.map(|(at, e)| Place { task, id: e.id, time: e.time, upload, at }));
    }
    places
}

/// Decides about all reports and remembers the IDs of those it accepts.
fn decide(
    tx: &mut Tx<'_>,
    session: &mut Session<'_>,
    tasks: &HashMap<TaskId, TaskRow>,
    places: &[Place],
    rulings: &mut [Vec<UploadVerdict>],
) -> Result<(), Failure> {
    let collected = collected_times(tx, tasks, places)?;
    let mut scopes = BTreeMap::<Scope, Vec<&Place>>::new();
    for place in places {
        scopes.entry(place.scope()).or_default().push(place);
    }
    replay::lock(tx, &scopes.keys().copied().collect::<Vec<_>>())?;
    let horizons = ranges::horizons(tx, tasks.values().map(|task| task.key))?;
    for (scope, places) in scopes {
        let ids: Vec<_> = places.iter().map(|place| place.id).collect();
        let horizon = horizons.get(&places[0].task).copied();
        let is_forgotten = |time| horizon.is_some_and(|first| span(time) < first);
        let mut known = session.look(&mut Tables(tx), scope, &ids)?;
        let mut fresh = Vec::with_capacity(ids.len());
        for place in places {
            // A retry of an accepted upload is told the same as before its batch was collected.
            rulings[place.upload][place.at] =
                if is_forgotten(place.time) || known.contains(&place.id) {
                    Err(Refusal::Replayed)
                } else if collected.contains(&(place.task, place.time)) {
                    Err(Refusal::BatchCollected)
                } else {
                    // Of two with one ID, the first in the call is accepted.
                    known.insert(place.id);
                    fresh.push((place.id, place.time));
                    Ok(())
                };
        }
        session.add(&mut Tables(tx), scope, &fresh)?;
    }
    Ok(())
}

/// Those of the times whose bucket has been collected. Reports share few times.
fn collected_times(
    tx: &mut Tx<'_>,
    tasks: &HashMap<TaskId, TaskRow>,
    places: &[Place],
) -> Result<HashSet<(i32, Time)>, Failure> {
    let by_time = tasks.values().filter(|task| task.mode == BatchingMode::TimeInterval);
    let by_time = by_time.map(|task| task.key).collect::<HashSet<_>>();
    let times = places.iter().filter(|place| by_time.contains(&place.task));
    let times = times.map(|place| (place.task, place.time)).collect::<BTreeSet<_>>();
    ranges::collected_times(tx, &times)
}

/// Segments of a job that is over: what those of its reports that wait again take over.
pub(super) struct Ended {
    /// Their keys, oldest first.
    keys: Vec<i64>,
    /// The first of their places, if they are pieces of others.
    place: Option<i64>,
    /// How often jobs with their reports were cut up.
    cuts: i32,
    /// When the first of their reports arrived.
    since: Option<i64>,
}

/// Since when reports have waited that are packed anew.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    /// When they arrived, or from when on they may be leased.
    pub(super) arrived: i64,
    /// When they arrived, if that is something else.
    pub(super) since: Option<i64>,
}

impl Ended {
    /// From rows of key, place, cuts and arrival.
    pub(super) fn of(rows: &[Row]) -> Result<Self, Failure> {
        let (mut keys, mut places, mut cuts) = (Vec::new(), Vec::new(), 0);
        let mut since = None;
        let mut is_piece = false;
        for row in rows {
            let (key, place): (i64, Option<i64>) = (get(row, 0)?, get(row, 1)?);
            keys.push(key);
            places.push(place.unwrap_or(key));
            is_piece |= place.is_some();
            cuts = cuts.max(get(row, 2)?);
            let arrived = get::<i64>(row, 3)?;
            since = Some(since.map_or(arrived, |since: i64| since.min(arrived)));
        }
        Ok(Self { keys, place: places.into_iter().min().filter(|_| is_piece), cuts, since })
    }
}

/// Packs reports whose IDs are known already into segments that wait from `from` on, in the places
/// of those that they were in: a collection that was asked for since still waits for them.
pub(super) fn requeue(
    tx: &mut Tx<'_>,
    task: i32,
    from: Timestamp,
    reports: &UploadBatch,
    ended: &Ended,
) -> Result<(), Failure> {
    let mut segments = pack_again(reports);
    let rest = segments.split_off(ended.keys.len().min(segments.len()));
    for (segment, key) in segments.iter().zip(&ended.keys) {
        tx.execute(
            "INSERT INTO segments
                 (task, key, arrived, reports, bytes, first, last, body, place, abandoned, since)
             OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                &task,
                key,
                &stored(from.0),
                &stored(segment.reports as u64),
                &stored(segment.body.len() as u64),
                &&time_key(segment.first)[..],
                &&time_key(segment.last)[..],
                &segment.body,
                &ended.place,
                &ended.cuts,
                &ended.since,
            ],
        )?;
    }
    // None, as long as reports are packed as tightly as they were.
    let rest = rest.into_iter().map(|segment| (task, segment)).collect::<Vec<_>>();
    insert_segments(tx, from, &rest)
}

/// Adds the pieces of a job or segment that was cut up, all in one place, in the order given here.
pub(super) fn insert_pieces(
    tx: &mut Tx<'_>,
    task: i32,
    Arrival { arrived, since }: Arrival,
    pieces: &[Packed],
    place: i64,
    cuts: i32,
) -> Result<(), Failure> {
    for some in in_slices(pieces, |piece| piece.body.len()) {
        let Columns { reports, bytes, first, last, body } = Columns::of(some.iter());
        tx.execute(
            "INSERT INTO segments
                 (task, arrived, since, place, abandoned, reports, bytes, first, last, body)
             SELECT $1, $2, $3, $4, $5, reports, bytes, first, last, body
             FROM unnest($6::bigint[], $7::bigint[], $8::bytea[], $9::bytea[], $10::bytea[])
                  WITH ORDINALITY AS n (reports, bytes, first, last, body, number)
             ORDER BY number",
            &[&task, &arrived, &since, &place, &cuts, &reports, &bytes, &first, &last, &body],
        )?;
    }
    Ok(())
}

/// Adds segments, some at a time: what a connection has sent at once it keeps room for.
fn insert_segments(
    tx: &mut Tx<'_>,
    now: Timestamp,
    segments: &[(i32, Packed)],
) -> Result<(), Failure> {
    in_slices(segments, |(_, segment)| segment.body.len())
        .try_for_each(|some| insert_some_segments(tx, now, some))
}

/// Keys are given in the order of the rows, so a task's segments stay in the order given here.
fn insert_some_segments(
    tx: &mut Tx<'_>,
    now: Timestamp,
    segments: &[(i32, Packed)],
) -> Result<(), Failure> {
    let Columns { reports, bytes, first, last, body } =
        Columns::of(segments.iter().map(|(_, segment)| segment));
    tx.execute(
        "INSERT INTO segments (task, arrived, reports, bytes, first, last, body)
         SELECT task, $1, reports, bytes, first, last, body
         FROM unnest($2::integer[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[],
                     $7::bytea[])
              WITH ORDINALITY AS n (task, reports, bytes, first, last, body, place)
         ORDER BY place",
        &[
            &stored(now.0),
            &segments.iter().map(|(task, _)| *task).collect::<Vec<_>>(),
            &reports,
            &bytes,
            &first,
            &last,
            &body,
        ],
    )?;
    Ok(())
}

/// Segments, column by column, as one statement takes them.
#[derive(Default)]
struct Columns<'a> {
    reports: Vec<i64>,
    bytes: Vec<i64>,
    first: Vec<Vec<u8>>,
    last: Vec<Vec<u8>>,
    body: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(segments: impl Iterator<Item = &'a Packed>) -> Self {
        let mut columns = Self::default();
        for segment in segments {
            columns.reports.push(stored(segment.reports as u64));
            columns.bytes.push(stored(segment.body.len() as u64));
            columns.first.push(time_key(segment.first).to_vec());
            columns.last.push(time_key(segment.last).to_vec());
            columns.body.push(&segment.body);
        }
        columns
    }
}
