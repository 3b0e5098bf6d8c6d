//! What operators did.

use super::{from_stored, stored};
use crate::store::{OperatorCommand, StoreError, Timestamp};
use rusqlite::Transaction;

pub(super) fn write(tx: &Transaction<'_>, command: &OperatorCommand) -> Result<(), StoreError> {
    let sql = "INSERT INTO operator_commands (time, who, what) VALUES (?1, ?2, ?3)";
    tx.execute(sql, (stored(command.time.0), &command.who, &command.what))?;
    Ok(())
}

pub(super) fn newest(
    tx: &Transaction<'_>,
    limit: usize,
) -> Result<Vec<OperatorCommand>, StoreError> {
    let sql = "SELECT time, who, what FROM operator_commands ORDER BY seq DESC LIMIT ?1";
    let mut statement = tx.prepare_cached(sql)?;
    let rows = statement.query_map([stored(limit as u64)], |row| {
        let time = Timestamp(from_stored(row.get(0)?));
        Ok(OperatorCommand { time, who: row.get(1)?, what: row.get(2)? })
    })?;
    let mut newest = rows.collect::<Result<Vec<_>, _>>()?;
    newest.reverse();
    Ok(newest)
}
