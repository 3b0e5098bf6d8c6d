//! The public log. A lock keeps other publications out until the commit.

use super::{End, Failure, Pool, Tx, blob, bytes, from_stored, get, locks, stored};
use crate::store::{
    Blob, Edition, LogEntry, LogHead, LogPage, LogState, PUBLISH_AT_ONCE, Publish, Published,
    StoreError,
};
use postgres::Row;

pub(super) fn log(tx: &mut Tx<'_>, entries: &[LogEntry]) -> Result<u64, Failure> {
    if entries.is_empty() {
        return Ok(0);
    }
    // In the order of keys, so that two that write the same ones do not wait in a circle.
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.key);
    let keys: Vec<_> = sorted.iter().map(|entry| &entry.key[..]).collect();
    let bytes: Vec<_> = sorted.iter().map(|entry| &*entry.bytes).collect();
    tx.execute(
        "INSERT INTO log_entries (key, entry) SELECT * FROM unnest($1::bytea[], $2::bytea[])
         ON CONFLICT DO NOTHING",
        &[&keys, &bytes],
    )
}

pub(super) fn publish(tx: &mut Tx<'_>, build: &mut Publish<'_>) -> Result<End<Published>, Failure> {
    tx.execute("SELECT pg_advisory_xact_lock($1, 0)", &[&locks::LOG])?;
    let head = found(tx.row(HEAD, &[])?.as_ref())?;
    if head.waiting == 0 && head.checkpoint.is_some() {
        return Ok(End::Undo(Published::Nothing));
    }
    let (rows, waiting) = waiting(tx)?;
    let mut page = |page: LogPage| {
        let row = tx.row(PAGE, &[&i16::from(page.content), &stored(page.index)]);
        row.and_then(|row| row.map(|row| blob(&row, 0)).transpose()).map_err(StoreError::from)
    };
    let mut state = LogState { head: &head, waiting: &waiting, page: &mut page };
    let Some(edition) = build(&mut state)? else { return Ok(End::Undo(Published::Refused)) };
    let positions: Vec<_> = (head.size..).take(rows.len()).map(stored).collect();
    tx.execute(
        "UPDATE log_entries e SET position = new.position, entry = NULL
         FROM unnest($1::bigint[], $2::bigint[]) AS new (seq, position) WHERE e.seq = new.seq",
        &[&rows, &positions],
    )?;
    let size = head.size + rows.len() as u64;
    keep(tx, size, &edition)?;
    Ok(End::Keep(Published::Done { size, more: head.waiting > rows.len() as u64 }))
}

/// Those that were written by transactions that committed later come later, wherever they stand.
fn waiting(tx: &mut Tx<'_>) -> Result<(Vec<i64>, Vec<LogEntry>), Failure> {
    let rows = tx.rows(
        "SELECT seq, key, entry FROM log_entries WHERE position IS NULL ORDER BY seq LIMIT $1",
        &[&stored(PUBLISH_AT_ONCE as u64)],
    )?;
    let entry = |row: &Row| {
        Ok::<_, Failure>((
            get::<i64>(row, 0)?,
            LogEntry { key: bytes(row, 1)?, bytes: blob(row, 2)? },
        ))
    };
    Ok(rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
}

fn keep(tx: &mut Tx<'_>, size: u64, edition: &Edition) -> Result<(), Failure> {
    for (page, bytes) in &edition.pages {
        tx.execute(
            "INSERT INTO log_pages VALUES ($1, $2, $3)
             ON CONFLICT (content, page) DO UPDATE SET bytes = excluded.bytes",
            &[&i16::from(page.content), &stored(page.index), &&**bytes],
        )?;
    }
    tx.execute(
        "INSERT INTO log_head VALUES (0, $1, $2)
         ON CONFLICT (one) DO UPDATE SET size = excluded.size, checkpoint = excluded.checkpoint",
        &[&stored(size), &&*edition.checkpoint],
    )?;
    Ok(())
}

pub(super) fn head(pool: &Pool) -> Result<LogHead, Failure> {
    found(pool.read(HEAD, &[])?.first())
}

fn found(row: Option<&Row>) -> Result<LogHead, Failure> {
    let row = row.ok_or_else(|| Failure::corrupt("a count that has no row"))?;
    let size = get::<Option<i64>>(row, 1)?.map_or(0, from_stored);
    let checkpoint = get::<Option<Vec<u8>>>(row, 2)?.map(Blob::from);
    Ok(LogHead { size, checkpoint, waiting: from_stored(get(row, 0)?) })
}

pub(super) fn page(pool: &Pool, page: LogPage) -> Result<Option<Blob>, Failure> {
    let rows = pool.read(PAGE, &[&i16::from(page.content), &stored(page.index)])?;
    rows.first().map(|row| blob(row, 0)).transpose()
}

pub(super) fn index(pool: &Pool, key: &[u8; 32]) -> Result<Option<u64>, Failure> {
    let rows = pool.read("SELECT position FROM log_entries WHERE key = $1", &[&&key[..]])?;
    let position = rows.first().map(|row| get::<Option<i64>>(row, 0)).transpose()?.flatten();
    Ok(position.map(from_stored))
}

pub(super) fn replace_checkpoint(tx: &mut Tx<'_>, from: &[u8], to: &[u8]) -> Result<bool, Failure> {
    let sql = "UPDATE log_head SET checkpoint = $2 WHERE checkpoint = $1";
    Ok(tx.execute(sql, &[&from, &to])? == 1)
}

const HEAD: &str = "SELECT (SELECT count(*) FROM log_entries WHERE position IS NULL), h.size,
                           h.checkpoint
                    FROM (SELECT 0::smallint AS one) o LEFT JOIN log_head h USING (one)";
const PAGE: &str = "SELECT bytes FROM log_pages WHERE content = $1 AND page = $2";
