//! Runs of report IDs, as tables. The writer's transaction has every window alone.

use super::{from_stored, stored};
use crate::aggregator::store::{
    StoreError,
    replay::{Compacting, Position, Runs, Side, WORTH, Window, compact},
};
use rusqlite::{OptionalExtension, Transaction};

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

    fn parted(&mut self, window: Window) -> Result<Position, StoreError> {
        // The last of the parts is always there, and written at every parting.
        let sql = "SELECT max(position) FROM parted_ids
                   WHERE task = ?1 AND side = ?2 AND span = ?3 AND part = 255";
        let key = (window.task, side(window.side), window.span);
        let found = self.0.prepare_cached(sql)?.query_row(key, |row| row.get::<_, Option<i64>>(0));
        Ok(Position(found.optional()?.flatten().unwrap_or_default()))
    }

    fn fresh(
        &mut self,
        window: Window,
        after: Position,
        each: &mut dyn FnMut(Position, &[u8]),
    ) -> Result<(), StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT position, ids FROM fresh_ids
             WHERE task = ?1 AND side = ?2 AND span = ?3 AND position > ?4 ORDER BY position",
        )?;
        let mut rows = statement.query((window.task, side(window.side), window.span, after.0))?;
        while let Some(row) = rows.next()? {
            each(Position(row.get(0)?), row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        }
        Ok(())
    }

    fn parts(
        &mut self,
        window: Window,
        of: Option<&[u8]>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT ids FROM parted_ids
             WHERE task = ?1 AND side = ?2 AND span = ?3 AND part BETWEEN ?4 AND ?5",
        )?;
        let mut read = |low: u8, high: u8| {
            let key = (window.task, side(window.side), window.span, low, high);
            let mut rows = statement.query(key)?;
            while let Some(row) = rows.next()? {
                each(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
            }
            Ok(())
        };
        match of {
            None => read(0, u8::MAX),
            Some(parts) => parts.iter().try_for_each(|part| read(*part, *part)),
        }
    }

    fn add(&mut self, window: Window, run: &[u8]) -> Result<Position, StoreError> {
        let sql = "INSERT INTO fresh_ids (task, side, span, ids) VALUES (?1, ?2, ?3, ?4)";
        let row = (window.task, side(window.side), window.span, run);
        self.0.prepare_cached(sql)?.execute(row)?;
        Ok(Position(self.0.last_insert_rowid()))
    }
}

impl Compacting for Tables<'_, '_> {
    fn replace_fresh(
        &mut self,
        window: Window,
        last: Position,
        run: &[u8],
    ) -> Result<(), StoreError> {
        self.delete_fresh(window, last)?;
        let sql = "INSERT INTO fresh_ids (position, task, side, span, ids)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let row = (last.0, window.task, side(window.side), window.span, run);
        self.0.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }

    fn part_fresh(
        &mut self,
        window: Window,
        last: Position,
        parts: &[(u8, Vec<u8>)],
    ) -> Result<(), StoreError> {
        self.delete_fresh(window, last)?;
        let mut insert =
            self.0.prepare_cached("INSERT INTO parted_ids VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        for (part, run) in parts {
            let row = (window.task, side(window.side), window.span, part, last.0, run);
            insert.execute(row)?;
        }
        Ok(())
    }
}

impl Tables<'_, '_> {
    fn delete_fresh(&self, window: Window, last: Position) -> Result<(), StoreError> {
        let sql = "DELETE FROM fresh_ids
                   WHERE task = ?1 AND side = ?2 AND span = ?3 AND position <= ?4";
        let key = (window.task, side(window.side), window.span, last.0);
        self.0.prepare_cached(sql)?.execute(key)?;
        Ok(())
    }
}

/// Compacts the window with the most fresh runs; says whether there was one worth it.
pub(super) fn compact_one(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    let found = tx
        .prepare_cached(
            "SELECT task, side, span FROM fresh_ids GROUP BY task, side, span
             HAVING count(*) >= ?1 ORDER BY count(*) DESC LIMIT 1",
        )?
        .query_row([stored(WORTH as u64)], |row| {
            let side = if row.get::<_, i64>(1)? == 0 { Side::Uploaded } else { Side::Aggregated };
            Ok(Window { task: row.get(0)?, side, span: row.get(2)? })
        })
        .optional()?;
    found.map_or(Ok(false), |window| compact(&mut Tables(tx), window))
}

/// Forgets whole spans before `span`, the oldest first; gives the number of IDs.
pub(super) fn forget(tx: &Transaction<'_>, task: i64, span: i64) -> Result<u64, StoreError> {
    let mut ids = 0;
    for table in ["fresh_ids", "parted_ids"] {
        let count = format!(
            "SELECT coalesce(sum(length(ids)), 0) / 16 FROM {table} WHERE task = ?1 AND span < ?2"
        );
        ids += from_stored(tx.prepare_cached(&count)?.query_row((task, span), |row| row.get(0))?);
        let delete = format!("DELETE FROM {table} WHERE task = ?1 AND span < ?2");
        tx.prepare_cached(&delete)?.execute((task, span))?;
    }
    Ok(ids)
}
