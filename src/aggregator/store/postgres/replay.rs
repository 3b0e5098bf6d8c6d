//! Runs of report IDs, as tables. A lock of the window keeps others out until the commit.

use super::{failure::Failure, from_stored, get, pool::Tx, stored};
use crate::aggregator::store::replay::{Compacting, Position, Runs, Side, WORTH, Window, compact};

/// The runs, within a transaction.
pub(super) struct Tables<'a, 'c>(pub(super) &'a mut Tx<'c>);

fn side(side: Side) -> i16 {
    match side {
        Side::Uploaded => 0,
        Side::Aggregated => 1,
    }
}

/// Parts that are read in one query: a sixteenth of a window.
const PARTS_AT_ONCE: usize = 16;

fn task(window: Window) -> i32 {
    i32::try_from(window.task).unwrap_or(i32::MAX)
}

impl Runs for Tables<'_, '_> {
    type Error = Failure;

    fn parted(&mut self, window: Window) -> Result<Position, Failure> {
        // The last of the parts is always there, and written at every parting.
        let row = self.0.row(
            "SELECT max(position) FROM parted_ids
             WHERE task = $1 AND side = $2 AND span = $3 AND part = 255",
            &[&task(window), &side(window.side), &window.span],
        )?;
        let found = row.map_or(Ok(None), |row| get::<Option<i64>>(&row, 0))?;
        Ok(Position(found.unwrap_or_default()))
    }

    fn fresh(
        &mut self,
        window: Window,
        after: Position,
        each: &mut dyn FnMut(Position, &[u8]),
    ) -> Result<(), Failure> {
        let rows = self.0.rows(
            "SELECT position, ids FROM fresh_ids
             WHERE task = $1 AND side = $2 AND span = $3 AND position > $4 ORDER BY position",
            &[&task(window), &side(window.side), &window.span, &after.0],
        )?;
        for row in rows {
            each(Position(get(&row, 0)?), get(&row, 1)?);
        }
        Ok(())
    }

    fn parts(
        &mut self,
        window: Window,
        of: Option<&[u8]>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Failure> {
        use postgres::fallible_iterator::FallibleIterator;
        let all = (0..=u8::MAX).collect::<Vec<_>>();
        let parts: Vec<_> = of.unwrap_or(&all).iter().map(|part| i16::from(*part)).collect();
        // A few at a time: the database sends faster than they are read, and what is sent is in memory.
        for some in parts.chunks(PARTS_AT_ONCE) {
            let mut rows = self.0.stream(
                "SELECT ids FROM parted_ids
                 WHERE task = $1 AND side = $2 AND span = $3 AND part = ANY ($4)",
                &[&task(window), &side(window.side), &window.span, &some],
            )?;
            while let Some(row) = rows.next()? {
                each(get(&row, 0)?);
            }
        }
        Ok(())
    }

    fn add(&mut self, window: Window, run: &[u8]) -> Result<Position, Failure> {
        let row = self.0.row(
            "INSERT INTO fresh_ids (task, side, span, ids) VALUES ($1, $2, $3, $4)
             RETURNING position",
            &[&task(window), &side(window.side), &window.span, &run],
        )?;
        let row = row.ok_or_else(|| Failure::corrupt("a row that was added and is not there"))?;
        Ok(Position(get(&row, 0)?))
    }
}

impl Compacting for Tables<'_, '_> {
    fn replace_fresh(&mut self, window: Window, last: Position, run: &[u8]) -> Result<(), Failure> {
        self.delete_fresh(window, last)?;
        self.0.execute(
            "INSERT INTO fresh_ids (task, side, span, position, ids)
             OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5)",
            &[&task(window), &side(window.side), &window.span, &last.0, &run],
        )?;
        Ok(())
    }

    fn part_fresh(
        &mut self,
        window: Window,
        last: Position,
        parts: &[(u8, Vec<u8>)],
    ) -> Result<(), Failure> {
        self.delete_fresh(window, last)?;
        self.0.execute(
            "INSERT INTO parted_ids (task, side, span, position, part, ids)
             SELECT $1, $2, $3, $4, * FROM unnest($5::smallint[], $6::bytea[])",
            &[
                &task(window),
                &side(window.side),
                &window.span,
                &last.0,
                &parts.iter().map(|(part, _)| i16::from(*part)).collect::<Vec<_>>(),
                &parts.iter().map(|(_, run)| run.as_slice()).collect::<Vec<_>>(),
            ],
        )?;
        Ok(())
    }
}

impl Tables<'_, '_> {
    fn delete_fresh(&mut self, window: Window, last: Position) -> Result<(), Failure> {
        self.0.execute(
            "DELETE FROM fresh_ids
             WHERE task = $1 AND side = $2 AND span = $3 AND position <= $4",
            &[&task(window), &side(window.side), &window.span, &last.0],
        )?;
        Ok(())
    }
}

/// Has windows alone until the transaction ends. Those whose hashes meet wait for each other too.
pub(super) fn lock(tx: &mut Tx<'_>, windows: &[Window]) -> Result<(), Failure> {
    let mut names: Vec<_> = windows.iter().map(hash).collect();
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

/// The same in all processes of all versions: two that disagreed would not keep each other out.
fn hash(window: &Window) -> i32 {
    let bytes = [
        &window.task.to_be_bytes()[..],
        &side(window.side).to_be_bytes(),
        &window.span.to_be_bytes(),
    ];
    // FNV-1a.
    let mixed = bytes
        .concat()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    mixed.cast_signed()
}

/// Compacts the window with the most fresh runs; says whether there was one worth it.
pub(super) fn compact_one(tx: &mut Tx<'_>) -> Result<bool, Failure> {
    let row = tx.row(
        "SELECT task, side, span FROM fresh_ids GROUP BY task, side, span
         HAVING count(*) >= $1 ORDER BY count(*) DESC LIMIT 1",
        &[&stored(WORTH as u64)],
    )?;
    let Some(row) = row else { return Ok(false) };
    let side = if get::<i16>(&row, 1)? == 0 { Side::Uploaded } else { Side::Aggregated };
    let task = i64::from(get::<i32>(&row, 0)?);
    let window = Window { task, side, span: get(&row, 2)? };
    lock(tx, &[window])?;
    compact(&mut Tables(tx), window)
}

/// Forgets whole spans before `span`; gives the number of IDs.
pub(super) fn forget(tx: &mut Tx<'_>, task: i32, span: i64) -> Result<u64, Failure> {
    let mut ids = 0;
    for sql in [
        "WITH gone AS (DELETE FROM fresh_ids WHERE task = $1 AND span < $2 RETURNING ids)
         SELECT coalesce(sum(length(ids)), 0)::bigint / 16 FROM gone",
        "WITH gone AS (DELETE FROM parted_ids WHERE task = $1 AND span < $2 RETURNING ids)
         SELECT coalesce(sum(length(ids)), 0)::bigint / 16 FROM gone",
    ] {
        let row = tx.row(sql, &[&task, &span])?;
        ids += row.map_or(Ok(0), |row| get::<i64>(&row, 0).map(from_stored))?;
    }
    Ok(ids)
}
