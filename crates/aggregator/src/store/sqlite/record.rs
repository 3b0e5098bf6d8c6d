//! The public log. The writer's transaction has it alone.

use super::{from_stored, stored, tasks::blob};
use crate::store::{
    Blob, Edition, LogEntry, LogHead, LogPage, LogState, PUBLISH_AT_ONCE, Publish, Published,
    StoreError,
};
use rusqlite::{OptionalExtension, Transaction};

pub(super) fn log(tx: &Transaction<'_>, entries: &[LogEntry]) -> Result<u64, StoreError> {
    let sql = "INSERT INTO log_entries (key, entry) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    entries.iter().try_fold(0, |added, entry| {
        Ok(added + tx.prepare_cached(sql)?.execute((entry.key, &*entry.bytes))? as u64)
    })
}

pub(super) fn publish(
    tx: &Transaction<'_>,
    build: &mut Publish<'_>,
) -> Result<Published, StoreError> {
    let head = head(tx)?;
    if head.waiting == 0 && head.checkpoint.is_some() {
        return Ok(Published::Nothing);
    }
    let (rows, waiting) = waiting(tx)?;
    let mut page = |page| self::page(tx, page);
    let mut state = LogState { head: &head, waiting: &waiting, page: &mut page };
    let Some(edition) = build(&mut state)? else { return Ok(Published::Refused) };
    let sql = "UPDATE log_entries SET position = ?2, entry = NULL WHERE seq = ?1";
    for (row, position) in rows.iter().zip(head.size..) {
        tx.prepare_cached(sql)?.execute((row, stored(position)))?;
    }
    let size = head.size + rows.len() as u64;
    keep(tx, size, &edition)?;
    Ok(Published::Done { size, more: head.waiting > rows.len() as u64 })
}

fn waiting(tx: &Transaction<'_>) -> Result<(Vec<i64>, Vec<LogEntry>), StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT seq, key, entry FROM log_entries WHERE position IS NULL ORDER BY seq LIMIT ?1",
    )?;
    let rows = statement.query_map([stored(PUBLISH_AT_ONCE as u64)], |row| {
        Ok((row.get::<_, i64>(0)?, LogEntry { key: row.get(1)?, bytes: blob(row, 2)? }))
    })?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
}

fn keep(tx: &Transaction<'_>, size: u64, edition: &Edition) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO log_pages VALUES (?1, ?2, ?3)";
    for (page, bytes) in &edition.pages {
        tx.prepare_cached(sql)?.execute((page.content, stored(page.index), &**bytes))?;
    }
    let sql = "INSERT OR REPLACE INTO log_head VALUES (0, ?1, ?2)";
    tx.execute(sql, (stored(size), &*edition.checkpoint))?;
    Ok(())
}

pub(super) fn head(tx: &Transaction<'_>) -> Result<LogHead, StoreError> {
    let sql = "SELECT size, checkpoint FROM log_head";
    let published =
        tx.prepare_cached(sql)?.query_row([], |row| Ok((from_stored(row.get(0)?), blob(row, 1)?)));
    let (size, checkpoint) = published.optional()?.unzip();
    let sql = "SELECT count(*) FROM log_entries WHERE position IS NULL";
    let waiting = tx.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(LogHead { size: size.unwrap_or(0), checkpoint, waiting: from_stored(waiting) })
}

pub(super) fn page(tx: &Transaction<'_>, page: LogPage) -> Result<Option<Blob>, StoreError> {
    let sql = "SELECT bytes FROM log_pages WHERE content = ?1 AND page = ?2";
    let key = (page.content, stored(page.index));
    Ok(tx.prepare_cached(sql)?.query_row(key, |row| blob(row, 0)).optional()?)
}

pub(super) fn index(tx: &Transaction<'_>, key: &[u8; 32]) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT position FROM log_entries WHERE key = ?1";
    let found = tx.prepare_cached(sql)?.query_row([key], |row| row.get::<_, Option<i64>>(0));
    Ok(found.optional()?.flatten().map(from_stored))
}

pub(super) fn replace_checkpoint(
    tx: &Transaction<'_>,
    from: &[u8],
    to: &[u8],
) -> Result<bool, StoreError> {
    let sql = "UPDATE log_head SET checkpoint = ?2 WHERE checkpoint = ?1";
    Ok(tx.execute(sql, (from, to))? == 1)
}
