//! Runs of report IDs, as tables. The writer's transaction has all of them alone.

use super::{from_stored, stored};
use crate::store::{
    StoreError,
    replay::{
        CROWDED, CROWDED_BYTES, Compacting, PARTS, Part, Position, Runs, Scope, Side, Spans, WORTH,
        WORTH_BYTES, compact, refine,
    },
};
use rusqlite::{OptionalExtension, Row, Transaction};

/// The runs, within a transaction.
pub(super) struct Tables<'a, 'c>(pub(super) &'a Transaction<'c>);

pub(super) fn side(side: Side) -> i64 {
    match side {
        Side::Uploaded => 0,
        Side::Aggregated => 1,
    }
}

impl Runs for Tables<'_, '_> {
    type Error = StoreError;

    fn count(&mut self, scope: Scope) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(sum(bytes), 0) / 16 FROM (
             SELECT length(ids) AS bytes FROM fresh_runs WHERE task = ?1 AND side = ?2
             UNION ALL SELECT length(ids) FROM parted_runs WHERE task = ?1 AND side = ?2)";
        let key = (scope.task, side(scope.side));
        Ok(from_stored(self.0.prepare_cached(sql)?.query_row(key, |row| row.get(0))?))
    }

    fn parted(&mut self, scope: Scope) -> Result<Position, StoreError> {
        let sql = "SELECT position FROM parted WHERE task = ?1 AND side = ?2";
        let key = (scope.task, side(scope.side));
        let found = self.0.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?;
        Ok(Position(found.unwrap_or_default()))
    }

    fn fresh(
        &mut self,
        scope: Scope,
        after: Position,
        each: &mut dyn FnMut(Position, Spans, &[u8]),
    ) -> Result<(), StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT coalesce(first, last), last, ids, position FROM fresh_runs
             WHERE task = ?1 AND side = ?2 AND position > ?3 ORDER BY position",
        )?;
        let mut rows = statement.query((scope.task, side(scope.side), after.0))?;
        while let Some(row) = rows.next()? {
            each(Position(row.get(3)?), spans(row)?, run(row)?);
        }
        Ok(())
    }

    fn parts(
        &mut self,
        scope: Scope,
        of: Option<&[Part]>,
        each: &mut dyn FnMut(Spans, &[u8]),
    ) -> Result<(), StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT coalesce(first, last), last, ids FROM parted_runs
             WHERE task = ?1 AND side = ?2 AND part BETWEEN ?3 AND ?4",
        )?;
        let mut read = |low: Part, high: Part| {
            let mut rows = statement.query((scope.task, side(scope.side), low, high))?;
            while let Some(row) = rows.next()? {
                each(spans(row)?, run(row)?);
            }
            Ok(())
        };
        match of {
            None => read(0, PARTS),
            Some(parts) => parts.iter().try_for_each(|part| read(*part, *part)),
        }
    }

    fn add(&mut self, scope: Scope, spans: Spans, run: &[u8]) -> Result<Position, StoreError> {
        let sql = "INSERT INTO fresh_runs (task, side, first, last, ids)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let row = (scope.task, side(scope.side), spans.first, spans.last, run);
        self.0.prepare_cached(sql)?.execute(row)?;
        Ok(Position(self.0.last_insert_rowid()))
    }
}

fn spans(row: &Row<'_>) -> Result<Spans, StoreError> {
    Ok(Spans { first: row.get(0)?, last: row.get(1)? })
}

fn run<'a>(row: &'a Row<'_>) -> Result<&'a [u8], StoreError> {
    Ok(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)
}

impl Compacting for Tables<'_, '_> {
    fn replace_fresh(
        &mut self,
        scope: Scope,
        last: Position,
        spans: Spans,
        run: &[u8],
    ) -> Result<(), StoreError> {
        self.delete_fresh(scope, last)?;
        let sql = "INSERT INTO fresh_runs (position, task, side, first, last, ids)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let row = (last.0, scope.task, side(scope.side), spans.first, spans.last, run);
        self.0.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }

    fn part_fresh(
        &mut self,
        scope: Scope,
        last: Position,
        spans: Spans,
        parts: &[(Part, Vec<u8>)],
    ) -> Result<(), StoreError> {
        self.delete_fresh(scope, last)?;
        self.insert_parts(scope, last, spans, parts)?;
        let sql = "INSERT OR REPLACE INTO parted VALUES (?1, ?2, ?3)";
        self.0.prepare_cached(sql)?.execute((scope.task, side(scope.side), last.0))?;
        Ok(())
    }

    fn crowded(&mut self, scope: Scope) -> Result<Option<Part>, StoreError> {
        let sql = "SELECT part FROM parted_runs WHERE task = ?1 AND side = ?2 AND part < 256
                   GROUP BY part HAVING count(*) >= ?3 OR sum(length(ids)) >= ?4 LIMIT 1";
        let worth = (stored(CROWDED as u64), stored(CROWDED_BYTES as u64));
        let key = (scope.task, side(scope.side), worth.0, worth.1);
        Ok(self.0.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?)
    }

    fn replace_part(
        &mut self,
        scope: Scope,
        part: Part,
        spans: Spans,
        parts: &[(Part, Vec<u8>)],
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM parted_runs WHERE task = ?1 AND side = ?2 AND part = ?3";
        self.0.prepare_cached(sql)?.execute((scope.task, side(scope.side), part))?;
        let parted = self.parted(scope)?;
        self.insert_parts(scope, parted, spans, parts)
    }
}

impl Tables<'_, '_> {
    fn delete_fresh(&self, scope: Scope, last: Position) -> Result<(), StoreError> {
        let sql = "DELETE FROM fresh_runs WHERE task = ?1 AND side = ?2 AND position <= ?3";
        self.0.prepare_cached(sql)?.execute((scope.task, side(scope.side), last.0))?;
        Ok(())
    }

    fn insert_parts(
        &self,
        scope: Scope,
        at: Position,
        spans: Spans,
        parts: &[(Part, Vec<u8>)],
    ) -> Result<(), StoreError> {
        let mut insert = self.0.prepare_cached(
            "INSERT INTO parted_runs (task, side, part, position, first, last, ids)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for (part, run) in parts {
            let row =
                (scope.task, side(scope.side), part, at.0, spans.first, spans.last, run.as_slice());
            insert.execute(row)?;
        }
        Ok(())
    }
}

/// Compacts the IDs of the task with the most in fresh runs, or else cuts up a crowded part; says whether
/// there was anything worth it.
pub(super) fn compact_one(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    let most = "SELECT task, side FROM fresh_runs GROUP BY task, side
                HAVING count(*) >= ?1 OR sum(length(ids)) >= ?2
                ORDER BY sum(length(ids)) DESC LIMIT 1";
    let worth = (stored(WORTH as u64), stored(WORTH_BYTES as u64));
    if let Some(found) = tx.prepare_cached(most)?.query_row(worth, scope).optional()? {
        return compact(&mut Tables(tx), found);
    }
    let mut parted = tx.prepare_cached("SELECT task, side FROM parted")?;
    let scopes = parted.query_map([], scope)?.collect::<Result<Vec<_>, _>>()?;
    for scope in scopes {
        if refine(&mut Tables(tx), scope)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn scope(row: &Row<'_>) -> rusqlite::Result<Scope> {
    let side = if row.get::<_, i64>(1)? == 0 { Side::Uploaded } else { Side::Aggregated };
    Ok(Scope { task: row.get(0)?, side })
}

/// Forgets runs whose reports are all from before `span`; gives the number of IDs.
pub(super) fn forget(tx: &Transaction<'_>, task: i64, span: i64) -> Result<u64, StoreError> {
    let mut ids = 0;
    for table in ["fresh_runs", "parted_runs"] {
        let count = format!(
            "SELECT coalesce(sum(length(ids)), 0) / 16 FROM {table} WHERE task = ?1 AND last < ?2"
        );
        ids += from_stored(tx.prepare_cached(&count)?.query_row((task, span), |row| row.get(0))?);
        let delete = format!("DELETE FROM {table} WHERE task = ?1 AND last < ?2");
        tx.prepare_cached(&delete)?.execute((task, span))?;
    }
    Ok(ids)
}
