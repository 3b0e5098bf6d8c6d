//! The leader's jobs: which segments travel together, and who has them.

mod batches;
mod waiting;

use super::{
    AT_ONCE, Failure, Tx, bytes, from_stored, get, in_slices, locks, ranges, stored,
    time_from_stored,
};
use crate::store::{
    BatchingMode, JobId, LeasePolicy, LeaseToken, LeasedJob, Segment, Timestamp,
    bucket::time_key,
    job::{LONGEST_WAIT, QuotaLeft, last_wait},
    plan::{Head, plan},
    segment::{self, Packed},
};
use postgres::Row;
use sottovoce_dap::{
    ids::{BatchId, TaskId},
    time::Time,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use waiting::Found;

pub(super) fn lease_jobs(
    tx: &mut Tx<'_>,
    now: Timestamp,
    policy: &LeasePolicy,
) -> Result<Vec<LeasedJob>, Failure> {
    let (mut room, mut jobs) = (QuotaLeft::of(policy), Vec::new());
    if policy.new_first {
        jobs.extend(new_jobs(tx, now, policy, &mut room)?);
        jobs.extend(lease_again(tx, now, policy, &mut room)?);
    } else {
        jobs.extend(lease_again(tx, now, policy, &mut room)?);
        jobs.extend(new_jobs(tx, now, policy, &mut room)?);
    }
    Ok(jobs)
}

/// Killed here or anywhere before its commit, a job is leased and uncommitted: its lease runs
/// out and this finds it. What another replica is just leasing, or its worker just ending, is
/// passed over.
fn lease_again(
    tx: &mut Tx<'_>,
    now: Timestamp,
    policy: &LeasePolicy,
    room: &mut QuotaLeft,
) -> Result<Vec<LeasedJob>, Failure> {
    let mut jobs = Vec::new();
    // Jobs of one helper that are due first must not hide those of others.
    while room.left() > 0 {
        let some = lease_some_again(tx, now, policy, room)?;
        if some.is_empty() {
            break;
        }
        jobs.extend(some);
    }
    Ok(jobs)
}

/// Leases those that are due first, of tasks that there is room for.
fn lease_some_again(
    tx: &mut Tx<'_>,
    now: Timestamp,
    policy: &LeasePolicy,
    room: &mut QuotaLeft,
) -> Result<Vec<LeasedJob>, Failure> {
    let rows = tx.rows(
        "SELECT j.task, j.key, t.id, j.attempt + 1, j.batch, j.abandoned
         FROM jobs j JOIN tasks t ON t.key = j.task
         WHERE (j.leased_until <= $1 OR j.leased_until > $3) AND t.id <> ALL ($4)
         ORDER BY j.leased_until, j.key LIMIT $2 FOR UPDATE OF j SKIP LOCKED",
        &[
            &stored(now.0),
            &stored(room.left() as u64),
            &stored(last_wait(now, policy.lease_for.max(LONGEST_WAIT)).0),
            &room.full(),
        ],
    )?;
    let mut kept = Vec::new();
    for row in rows {
        let task = TaskId::new(bytes(&row, 2)?);
        if room.has_for(&task) {
            room.take(&task);
            kept.push(row);
        }
    }
    let rows = kept;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut jobs = rows.iter().map(leased_again).collect::<Result<Vec<_>, _>>()?;
    let tasks = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<i32>, _>>()?;
    let keys: Vec<_> = jobs.iter().map(|job| job.job.0).collect();
    let leases: Vec<_> = jobs.iter().map(|job| &job.lease.0[..]).collect();
    tx.execute(
        "UPDATE jobs SET lease = n.lease, leased_until = $4, attempt = attempt + 1
         FROM unnest($1::integer[], $2::bigint[], $3::bytea[]) AS n (task, key, lease)
         WHERE jobs.task = n.task AND jobs.key = n.key",
        &[&tasks, &keys, &leases, &stored(now.after(policy.lease_for).0)],
    )?;
    let mut segments = segments_of(tx, &tasks, &keys)?;
    for job in &mut jobs {
        job.segments = segments.remove(&job.job.0).unwrap_or_default();
    }
    Ok(jobs)
}

fn leased_again(row: &Row) -> Result<LeasedJob, Failure> {
    Ok(LeasedJob {
        job: JobId(get(row, 1)?),
        task: TaskId::new(bytes(row, 2)?),
        lease: LeaseToken::random()?,
        attempt: u32::try_from(get::<i32>(row, 3)?).unwrap_or(u32::MAX),
        batch: batch_id(row, 4)?,
        cuts: u32::try_from(get::<i32>(row, 5)?).unwrap_or(u32::MAX),
        segments: Vec::new(),
    })
}

fn batch_id(row: &Row, column: usize) -> Result<Option<BatchId>, Failure> {
    let there = get::<Option<&[u8]>>(row, column)?.is_some();
    if there { Ok(Some(BatchId::new(bytes(row, column)?))) } else { Ok(None) }
}

/// The segments of jobs, by the job's key and in their order.
pub(super) fn segments_of(
    tx: &mut Tx<'_>,
    tasks: &[i32],
    jobs: &[i64],
) -> Result<HashMap<i64, Vec<Segment>>, Failure> {
    let rows = tx.rows(
        "SELECT s.job, s.body FROM unnest($1::integer[], $2::bigint[]) AS n (task, job)
         JOIN segments s ON s.task = n.task AND s.job = n.job AND s.job IS NOT NULL
         ORDER BY s.key",
        &[&tasks, &jobs],
    )?;
    let mut segments = HashMap::<_, Vec<_>>::new();
    for row in rows {
        segments.entry(get(&row, 0)?).or_default().push(Segment::from_stored(get(&row, 1)?)?);
    }
    Ok(segments)
}

/// A task that has waiting segments.
struct Waiting {
    key: i32,
    id: TaskId,
    mode: BatchingMode,
    oldest: i64,
}

/// A new job: its task, and its segments by their keys.
struct Load<'a> {
    task: &'a Waiting,
    segments: Vec<(i64, Segment)>,
    batch: Option<BatchId>,
    cuts: u32,
}

impl Load<'_> {
    /// The time of its first report.
    fn first(&self) -> Option<Time> {
        let reports = self.segments.iter().flat_map(|(_, segment)| segment.reports());
        reports.map(|(time, _)| time).min()
    }

    fn reports(&self) -> u64 {
        self.segments.iter().map(|(_, segment)| segment.len() as u64).sum()
    }
}

fn new_jobs(
    tx: &mut Tx<'_>,
    now: Timestamp,
    policy: &LeasePolicy,
    room: &mut QuotaLeft,
) -> Result<Vec<LeasedJob>, Failure> {
    let mut tasks = waiting_tasks(tx)?;
    tasks.retain(|task| room.has_for(&task.id));
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let got = locks::leasing(tx, &tasks.iter().map(|task| task.key).collect::<Vec<_>>())?;
    tasks.retain(|task| got.contains(&task.key));
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let of_one_time = |task: &&Waiting| task.mode.is_of_one_time();
    let (of_one_time, others): (Vec<_>, Vec<_>) = tasks.iter().partition(of_one_time);
    let keys = |tasks: &[&Waiting]| tasks.iter().map(|task| task.key).collect::<Vec<_>>();
    let mut heads = waiting::of_any_time(tx, &keys(&others))?;
    drop_collected(tx, &mut heads)?;
    waiting::part_by_time(tx, &keys(&of_one_time))?;
    heads.extend(waiting::of_one_time(tx, &keys(&of_one_time))?);
    // The longest waiting first.
    tasks.sort_by_key(|task| task.oldest);
    let plans = tasks.iter().map(|task| {
        let heads = heads.remove(&task.key).unwrap_or_default();
        (task, plan(heads.into_iter().map(|found| found.head).collect(), now, policy))
    });
    let chosen = take_turns(plans.collect(), room);
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let mut loads = load(tx, chosen)?;
    batches::assign(tx, &mut loads)?;
    insert_jobs(tx, now, policy, loads)
}

/// Tasks with waiting segments, in the order of their keys.
fn waiting_tasks(tx: &mut Tx<'_>) -> Result<Vec<Waiting>, Failure> {
    let rows = tx.rows(
        "SELECT t.key, t.id, t.target, s.key FROM tasks t CROSS JOIN LATERAL (
             SELECT key FROM segments WHERE task = t.key AND job IS NULL AND NOT stuck
             ORDER BY key LIMIT 1) s
         ORDER BY t.key",
        &[],
    )?;
    let waiting = |row| {
        Ok(Waiting {
            key: get(row, 0)?,
            id: TaskId::new(bytes(row, 1)?),
            mode: BatchingMode::from_stored(get(row, 2)?),
            oldest: get(row, 3)?,
        })
    };
    rows.iter().map(waiting).collect()
}

/// Rewrites segments without the reports whose batch was closed while they waited. Leaves out of
/// `heads` what is too much for this call.
fn drop_collected(tx: &mut Tx<'_>, heads: &mut BTreeMap<i32, Vec<Found>>) -> Result<(), Failure> {
    let mut late = Vec::new();
    let mut bytes = 0;
    for (task, found) in &mut *heads {
        found.retain(|found| {
            let now = !found.late || late.is_empty() || bytes + found.head.bytes <= LATE_BYTES;
            if now && found.late {
                bytes += found.head.bytes;
                late.push((*task, found.head));
            }
            now
        });
    }
    if late.is_empty() {
        return Ok(());
    }
    let segments = bodies(tx, &late)?;
    let times = segments
        .iter()
        .flat_map(|((task, _), segment)| segment.reports().map(|(time, _)| (*task, time)));
    let collected = ranges::collected_times(tx, &times.collect::<BTreeSet<_>>())?;
    let mut kept = BTreeMap::new();
    let mut dropped = BTreeMap::<i32, i64>::new();
    for ((task, key), segment) in &segments {
        let left = segment::filter(segment, |time| !collected.contains(&(*task, time)));
        let reports = left.as_ref().map_or(0, |left| left.reports);
        *dropped.entry(*task).or_default() += stored((segment.len() - reports) as u64);
        kept.insert((*task, *key), left);
    }
    rewrite(tx, &kept, &dropped)?;
    for (task, found) in heads {
        found.retain_mut(|found| match kept.get(&(*task, found.head.key)) {
            None => true,
            Some(None) => false,
            Some(Some(left)) => {
                found.head.reports = left.reports as u64;
                found.head.bytes = left.body.len() as u64;
                true
            }
        });
    }
    Ok(())
}

/// Writes what is left of segments, by their task and key, and counts what is not.
fn rewrite(
    tx: &mut Tx<'_>,
    kept: &BTreeMap<(i32, i64), Option<Packed>>,
    dropped: &BTreeMap<i32, i64>,
) -> Result<(), Failure> {
    let left = kept.iter().filter_map(|(name, left)| left.as_ref().map(|left| (name, left)));
    let left = left.collect::<Vec<_>>();
    tx.execute(
        "UPDATE segments s SET reports = n.reports, bytes = n.bytes, first = n.first,
             last = n.last, body = n.body
         FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[],
                     $6::bytea[], $7::bytea[])
              AS n (task, key, reports, bytes, first, last, body)
         WHERE s.task = n.task AND s.key = n.key",
        &[
            &left.iter().map(|(name, _)| name.0).collect::<Vec<_>>(),
            &left.iter().map(|(name, _)| name.1).collect::<Vec<_>>(),
            &left.iter().map(|(_, left)| stored(left.reports as u64)).collect::<Vec<_>>(),
            &left.iter().map(|(_, left)| stored(left.body.len() as u64)).collect::<Vec<_>>(),
            &left.iter().map(|(_, left)| time_key(left.first).to_vec()).collect::<Vec<_>>(),
            &left.iter().map(|(_, left)| time_key(left.last).to_vec()).collect::<Vec<_>>(),
            &left.iter().map(|(_, left)| &*left.body).collect::<Vec<_>>(),
        ],
    )?;
    let gone = kept.iter().filter(|(_, left)| left.is_none()).map(|(name, _)| *name);
    let (tasks, keys): (Vec<_>, Vec<_>) = gone.unzip();
    tx.execute(
        "DELETE FROM segments s USING unnest($1::integer[], $2::bigint[]) AS n (task, key)
         WHERE s.task = n.task AND s.key = n.key",
        &[&tasks, &keys],
    )?;
    tx.execute(
        "INSERT INTO dropped SELECT * FROM unnest($1::integer[], $2::bigint[])
         ON CONFLICT (task) DO UPDATE SET reports = dropped.reports + excluded.reports",
        &[
            &dropped.keys().copied().collect::<Vec<_>>(),
            &dropped.values().copied().collect::<Vec<_>>(),
        ],
    )?;
    Ok(())
}

/// Tasks take turns, so that a busy one does not hold up the others.
fn take_turns<'a>(
    mut plans: Vec<(&'a Waiting, VecDeque<Vec<Head>>)>,
    room: &mut QuotaLeft,
) -> Vec<(&'a Waiting, Vec<Head>)> {
    let mut chosen = Vec::new();
    loop {
        plans.retain(|(task, planned)| room.has_for(&task.id) && !planned.is_empty());
        if plans.is_empty() {
            break;
        }
        for (task, planned) in &mut plans {
            if room.has_for(&task.id)
                && let Some(heads) = planned.pop_front()
            {
                room.take(&task.id);
                chosen.push((*task, heads));
            }
        }
    }
    chosen
}

fn load<'a>(
    tx: &mut Tx<'_>,
    chosen: Vec<(&'a Waiting, Vec<Head>)>,
) -> Result<Vec<Load<'a>>, Failure> {
    let names = chosen.iter().flat_map(|(task, heads)| heads.iter().map(|head| (task.key, *head)));
    let mut bodies = bodies(tx, &names.collect::<Vec<_>>())?;
    let loads = chosen.into_iter().map(|(task, heads)| {
        let segments = heads.iter().map(|head| {
            let segment = bodies.remove(&(task.key, head.key));
            let gone = || Failure::corrupt(format!("segment {} is gone while locked", head.key));
            Ok((head.key, segment.ok_or_else(gone)?))
        });
        let cuts = heads.iter().map(|head| head.cuts).max().unwrap_or(0);
        Ok(Load { task, segments: segments.collect::<Result<_, Failure>>()?, batch: None, cuts })
    });
    loads.collect()
}

type Bodies = BTreeMap<(i32, i64), Segment>;

/// Segments by their task and key.
fn bodies(tx: &mut Tx<'_>, names: &[(i32, Head)]) -> Result<Bodies, Failure> {
    let mut bodies = Bodies::new();
    for some in in_slices(names, |(_, head)| usize::try_from(head.bytes).unwrap_or(AT_ONCE)) {
        read_bodies(tx, some, &mut bodies)?;
    }
    Ok(bodies)
}

fn read_bodies(tx: &mut Tx<'_>, names: &[(i32, Head)], bodies: &mut Bodies) -> Result<(), Failure> {
    let (tasks, keys): (Vec<_>, Vec<_>) =
        names.iter().map(|(task, head)| (*task, head.key)).unzip();
    let rows = tx.rows(
        "SELECT s.task, s.key, s.body FROM unnest($1::integer[], $2::bigint[]) AS n (task, key)
         JOIN segments s ON s.task = n.task AND s.key = n.key",
        &[&tasks, &keys],
    )?;
    for row in rows {
        let segment = Segment::from_stored(get(&row, 2)?)?;
        bodies.insert((get(&row, 0)?, get(&row, 1)?), segment);
    }
    Ok(())
}

fn insert_jobs(
    tx: &mut Tx<'_>,
    now: Timestamp,
    policy: &LeasePolicy,
    loads: Vec<Load<'_>>,
) -> Result<Vec<LeasedJob>, Failure> {
    let leases = loads.iter().map(|_| LeaseToken::random()).collect::<Result<Vec<_>, _>>()?;
    let spans = loads.iter().map(span).collect::<Vec<_>>();
    let rows = tx.rows(
        "INSERT INTO jobs
             (task, lease, leased_until, attempt, reports, first, last, batch, abandoned)
         SELECT task, lease, $1, 1, reports, first, last, batch, cuts
         FROM unnest($2::integer[], $3::bytea[], $4::bigint[], $5::bytea[], $6::bytea[],
                     $7::bytea[], $8::integer[])
              WITH ORDINALITY AS n (task, lease, reports, first, last, batch, cuts, place)
         ORDER BY place RETURNING lease, key",
        &[
            &stored(now.after(policy.lease_for).0),
            &loads.iter().map(|load| load.task.key).collect::<Vec<_>>(),
            &leases.iter().map(|lease| &lease.0[..]).collect::<Vec<_>>(),
            &spans.iter().map(|span| stored(span.0)).collect::<Vec<_>>(),
            &spans.iter().map(|span| time_key(span.1).to_vec()).collect::<Vec<_>>(),
            &spans.iter().map(|span| time_key(span.2).to_vec()).collect::<Vec<_>>(),
            &loads
                .iter()
                .map(|load| load.batch.as_ref().map(|batch| &batch.as_bytes()[..]))
                .collect::<Vec<_>>(),
            &loads.iter().map(|load| load.cuts.cast_signed()).collect::<Vec<_>>(),
        ],
    )?;
    let keys = rows.iter().map(|row| Ok((LeaseToken(bytes(row, 0)?), get(row, 1)?)));
    let keys = keys.collect::<Result<HashMap<LeaseToken, i64>, Failure>>()?;
    let jobs = loads.into_iter().zip(leases).map(|(load, lease)| {
        let key = keys.get(&lease).ok_or_else(|| Failure::corrupt("a job that is not found"))?;
        Ok((*key, load, lease))
    });
    let jobs = jobs.collect::<Result<Vec<_>, Failure>>()?;
    take_segments(tx, &jobs)?;
    let leased = jobs.into_iter().map(|(key, load, lease)| LeasedJob {
        task: load.task.id,
        job: JobId(key),
        lease,
        attempt: 1,
        batch: load.batch,
        cuts: load.cuts,
        segments: load.segments.into_iter().map(|(_, segment)| segment).collect(),
    });
    Ok(leased.collect())
}

/// Number of reports, and their first and last time.
fn span(load: &Load<'_>) -> (u64, Time, Time) {
    let times = load.segments.iter().flat_map(|(_, segment)| segment.reports());
    times.fold((0, Time(u64::MAX), Time(0)), |(reports, first, last), (time, _)| {
        (reports + 1, first.min(time), last.max(time))
    })
}

/// Marks the segments of new jobs as theirs.
fn take_segments(tx: &mut Tx<'_>, jobs: &[(i64, Load<'_>, LeaseToken)]) -> Result<(), Failure> {
    let (mut tasks, mut segments, mut owners) = (Vec::new(), Vec::new(), Vec::new());
    for (job, load, _) in jobs {
        for (segment, _) in &load.segments {
            tasks.push(load.task.key);
            segments.push(*segment);
            owners.push(*job);
        }
    }
    tx.execute(
        "UPDATE segments s SET job = n.job
         FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS n (task, key, job)
         WHERE s.task = n.task AND s.key = n.key",
        &[&tasks, &segments, &owners],
    )?;
    Ok(())
}

/// Bytes of segments that one call rewrites, unless a single one is larger.
const LATE_BYTES: u64 = 64 << 20;
