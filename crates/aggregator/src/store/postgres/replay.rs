//! Runs of report IDs, as tables. A lock of the task's IDs keeps others out until the commit.

use super::{AT_ONCE, failure::Failure, from_stored, get, in_slices, pool::Tx, stored};
use crate::store::replay::{
    CROWDED, CROWDED_BYTES, Compacting, PARTS, Part, Position, Runs, Scope, Side, Spans, WORTH,
    WORTH_BYTES, compact, refine,
};
use postgres::{Row, types::ToSql};

/// The runs, within a transaction.
pub(super) struct Tables<'a, 'c>(pub(super) &'a mut Tx<'c>);

fn side(side: Side) -> i16 {
    match side {
        Side::Uploaded => 0,
        Side::Aggregated => 1,
    }
}

/// Parts that are asked for in one query.
const SOME_AT_ONCE: usize = 16;
/// Fresh runs that are read in one query: the database sends faster than they are read, and what is
/// sent is in memory.
const FRESH_AT_ONCE: usize = 8;
/// Parts by more bits for one by the first byte.
const FINE_OF_A_COARSE: Part = 64;

fn task(scope: Scope) -> i32 {
    i32::try_from(scope.task).unwrap_or(i32::MAX)
}

fn part(part: Part) -> i16 {
    i16::try_from(part).unwrap_or(i16::MAX)
}

impl Runs for Tables<'_, '_> {
    type Error = Failure;

    fn count(&mut self, scope: Scope) -> Result<u64, Failure> {
        let row = self.0.row(
            "SELECT ((SELECT coalesce(sum(octet_length(ids)), 0) FROM fresh_runs
                      WHERE task = $1 AND side = $2) +
                     (SELECT coalesce(sum(octet_length(ids)), 0) FROM parted_runs
                      WHERE task = $1 AND side = $2))::bigint / 16",
            &[&task(scope), &side(scope.side)],
        )?;
        row.map_or(Ok(0), |row| get::<i64>(&row, 0).map(from_stored))
    }

    fn parted(&mut self, scope: Scope) -> Result<Position, Failure> {
        let sql = "SELECT position FROM parted WHERE task = $1 AND side = $2";
        let row = self.0.row(sql, &[&task(scope), &side(scope.side)])?;
        row.map_or(Ok(Position::default()), |row| get(&row, 0).map(Position))
    }

    fn fresh(
        &mut self,
        scope: Scope,
        after: Position,
        each: &mut dyn FnMut(Position, Spans, &[u8]),
    ) -> Result<(), Failure> {
        let (mut after, most) = (after, stored(FRESH_AT_ONCE as u64));
        loop {
            let rows = self.0.rows(
                "SELECT coalesce(first, last), last, ids, position FROM fresh_runs
                 WHERE task = $1 AND side = $2 AND position > $3 ORDER BY position LIMIT $4",
                &[&task(scope), &side(scope.side), &after.0, &most],
            )?;
            for row in &rows {
                after = Position(get(row, 3)?);
                each(after, spans(row)?, get(row, 2)?);
            }
            if rows.len() < FRESH_AT_ONCE {
                return Ok(());
            }
        }
    }

    fn parts(
        &mut self,
        scope: Scope,
        of: Option<&[Part]>,
        each: &mut dyn FnMut(Spans, &[u8]),
    ) -> Result<(), Failure> {
        let (task, side) = (task(scope), side(scope.side));
        if let Some(parts) = of {
            for some in parts.chunks(SOME_AT_ONCE) {
                let some: Vec<_> = some.iter().map(|number| part(*number)).collect();
                self.each(SOME_PARTS, &[&task, &side, &some], each)?;
            }
            return Ok(());
        }
        let coarse = self.parts_at_once(task, side)?;
        let mut low = 0;
        while low < PARTS {
            let step = if low < 256 { coarse } else { coarse * FINE_OF_A_COARSE };
            let end = if low < 256 { 256 } else { PARTS };
            let high = end.min(low + step);
            self.each(PARTS_FROM, &[&task, &side, &part(low), &part(high)], each)?;
            low = high;
        }
        Ok(())
    }

    fn add(&mut self, scope: Scope, spans: Spans, run: &[u8]) -> Result<Position, Failure> {
        let row = self.0.row(
            "INSERT INTO fresh_runs (task, side, first, last, ids) VALUES ($1, $2, $3, $4, $5)
             RETURNING position",
            &[&task(scope), &side(scope.side), &spans.first, &spans.last, &run],
        )?;
        let row = row.ok_or_else(|| Failure::corrupt("a row that was added and is not there"))?;
        Ok(Position(get(&row, 0)?))
    }
}

const SOME_PARTS: &str = "SELECT coalesce(first, last), last, ids FROM parted_runs
    WHERE task = $1 AND side = $2 AND part = ANY ($3)";
const PARTS_FROM: &str = "SELECT coalesce(first, last), last, ids FROM parted_runs
    WHERE task = $1 AND side = $2 AND part >= $3 AND part < $4";

fn spans(row: &Row) -> Result<Spans, Failure> {
    Ok(Spans { first: get(row, 0)?, last: get(row, 1)? })
}

impl Compacting for Tables<'_, '_> {
    fn replace_fresh(
        &mut self,
        scope: Scope,
        last: Position,
        spans: Spans,
        run: &[u8],
    ) -> Result<(), Failure> {
        self.delete_fresh(scope, last)?;
        self.0.execute(
            "INSERT INTO fresh_runs (task, side, first, last, position, ids)
             OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6)",
            &[&task(scope), &side(scope.side), &spans.first, &spans.last, &last.0, &run],
        )?;
        Ok(())
    }

    fn part_fresh(
        &mut self,
        scope: Scope,
        last: Position,
        spans: Spans,
        parts: &[(Part, Vec<u8>)],
    ) -> Result<(), Failure> {
        self.delete_fresh(scope, last)?;
        self.insert_parts(scope, last, spans, parts)?;
        self.0.execute(
            "INSERT INTO parted VALUES ($1, $2, $3)
             ON CONFLICT (task, side) DO UPDATE SET position = excluded.position",
            &[&task(scope), &side(scope.side), &last.0],
        )?;
        Ok(())
    }

    fn crowded(&mut self, scope: Scope) -> Result<Option<Part>, Failure> {
        let row = self.0.row(
            "SELECT part FROM parted_runs WHERE task = $1 AND side = $2 AND part < 256
             GROUP BY part HAVING count(*) >= $3 OR sum(octet_length(ids)) >= $4 LIMIT 1",
            &[
                &task(scope),
                &side(scope.side),
                &stored(CROWDED as u64),
                &stored(CROWDED_BYTES as u64),
            ],
        )?;
        let part = row.map(|row| get::<i16>(&row, 0)).transpose()?;
        Ok(part.and_then(|part| Part::try_from(part).ok()))
    }

    fn replace_part(
        &mut self,
        scope: Scope,
        old: Part,
        spans: Spans,
        parts: &[(Part, Vec<u8>)],
    ) -> Result<(), Failure> {
        // Runs of a part have each their position: of those that go, the last is free again.
        let row = self.0.row(
            "WITH gone AS (DELETE FROM parted_runs WHERE task = $1 AND side = $2 AND part = $3
                           RETURNING position)
             SELECT max(position) FROM gone",
            &[&task(scope), &side(scope.side), &part(old)],
        )?;
        let last = row.map_or(Ok(None), |row| get::<Option<i64>>(&row, 0))?;
        self.insert_parts(scope, Position(last.unwrap_or_default()), spans, parts)
    }
}

impl Tables<'_, '_> {
    /// How many parts by the first byte have about [`AT_ONCE`] bytes.
    fn parts_at_once(&mut self, task: i32, side: i16) -> Result<Part, Failure> {
        let row = self.0.row(
            "SELECT coalesce(sum(octet_length(ids)), 0)::bigint FROM parted_runs
             WHERE task = $1 AND side = $2",
            &[&task, &side],
        )?;
        let bytes = row.map_or(Ok(0), |row| get::<i64>(&row, 0))?;
        let slices = from_stored(bytes) / (AT_ONCE as u64) + 1;
        Ok(Part::try_from(256 / slices).unwrap_or_default().max(1))
    }

    fn each(
        &mut self,
        sql: &'static str,
        key: &[&(dyn ToSql + Sync)],
        each: &mut dyn FnMut(Spans, &[u8]),
    ) -> Result<(), Failure> {
        use postgres::fallible_iterator::FallibleIterator;
        let mut rows = self.0.stream(sql, key)?;
        while let Some(row) = rows.next()? {
            each(spans(&row)?, get(&row, 2)?);
        }
        Ok(())
    }

    fn delete_fresh(&mut self, scope: Scope, last: Position) -> Result<(), Failure> {
        self.0.execute(
            "DELETE FROM fresh_runs WHERE task = $1 AND side = $2 AND position <= $3",
            &[&task(scope), &side(scope.side), &last.0],
        )?;
        Ok(())
    }

    fn insert_parts(
        &mut self,
        scope: Scope,
        at: Position,
        spans: Spans,
        parts: &[(Part, Vec<u8>)],
    ) -> Result<(), Failure> {
        for parts in in_slices(parts, |(_, run)| run.len()) {
            self.0.execute(
                "INSERT INTO parted_runs (task, side, position, first, last, part, ids)
                 SELECT $1, $2, $3, $4, $5, * FROM unnest($6::smallint[], $7::bytea[])",
                &[
                    &task(scope),
                    &side(scope.side),
                    &at.0,
                    &spans.first,
                    &spans.last,
                    &parts.iter().map(|(number, _)| part(*number)).collect::<Vec<_>>(),
                    &parts.iter().map(|(_, run)| run.as_slice()).collect::<Vec<_>>(),
                ],
            )?;
        }
        Ok(())
    }
}

/// Has the IDs of tasks alone until the transaction ends.
pub(super) fn lock(tx: &mut Tx<'_>, scopes: &[Scope]) -> Result<(), Failure> {
    let mut names: Vec<_> = scopes.iter().map(name).collect();
    // In one order for all, so that nobody waits in a circle.
    names.sort_unstable();
    names.dedup();
    tx.execute(
        "SELECT pg_advisory_xact_lock($1, name)
         FROM unnest($2::integer[]) WITH ORDINALITY AS n (name, place) ORDER BY place",
        &[&super::locks::REPLAYS, &names],
    )?;
    Ok(())
}

/// The task's key. Of one task a database has one side's reports only: those of its party.
fn name(scope: &Scope) -> i32 {
    task(*scope)
}

/// Compacts the IDs of the task with the most in fresh runs, or else cuts up a crowded part; says whether
/// there was anything worth it.
pub(super) fn compact_one(tx: &mut Tx<'_>) -> Result<bool, Failure> {
    let most = "SELECT task, side FROM fresh_runs GROUP BY task, side
                HAVING count(*) >= $1 OR sum(octet_length(ids)) >= $2
                ORDER BY sum(octet_length(ids)) DESC LIMIT 1";
    if let Some(row) = tx.row(most, &[&stored(WORTH as u64), &stored(WORTH_BYTES as u64)])? {
        let scope = scope(&row)?;
        lock(tx, &[scope])?;
        return compact(&mut Tables(tx), scope);
    }
    let parted = tx.rows("SELECT task, side FROM parted", &[])?;
    for row in &parted {
        let scope = scope(row)?;
        if Tables(tx).crowded(scope)?.is_some() {
            lock(tx, &[scope])?;
            return refine(&mut Tables(tx), scope);
        }
    }
    Ok(false)
}

fn scope(row: &Row) -> Result<Scope, Failure> {
    let side = if get::<i16>(row, 1)? == 0 { Side::Uploaded } else { Side::Aggregated };
    Ok(Scope { task: i64::from(get::<i32>(row, 0)?), side })
}

/// Forgets runs whose reports are all from before `span`; gives the number of IDs.
pub(super) fn forget(tx: &mut Tx<'_>, task: i32, span: i64) -> Result<u64, Failure> {
    let mut ids = 0;
    for sql in [
        "WITH gone AS (DELETE FROM fresh_runs WHERE task = $1 AND last < $2 RETURNING ids)
         SELECT coalesce(sum(octet_length(ids)), 0)::bigint / 16 FROM gone",
        "WITH gone AS (DELETE FROM parted_runs WHERE task = $1 AND last < $2 RETURNING ids)
         SELECT coalesce(sum(octet_length(ids)), 0)::bigint / 16 FROM gone",
    ] {
        let row = tx.row(sql, &[&task, &span])?;
        ids += row.map_or(Ok(0), |row| get::<i64>(&row, 0).map(from_stored))?;
    }
    Ok(ids)
}
