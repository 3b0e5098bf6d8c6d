//! What operators did.

use super::{Failure, Pool, Tx, from_stored, get, stored};
use crate::store::{OperatorCommand, Timestamp};

pub(super) fn write(tx: &mut Tx<'_>, command: &OperatorCommand) -> Result<(), Failure> {
    let sql = "INSERT INTO operator_commands (time, who, what) VALUES ($1, $2, $3)";
    tx.execute(sql, &[&stored(command.time.0), &command.who, &command.what]).map(drop)
}

pub(super) fn newest(pool: &Pool, limit: usize) -> Result<Vec<OperatorCommand>, Failure> {
    let sql = "SELECT time, who, what FROM operator_commands ORDER BY seq DESC LIMIT $1";
    let rows = pool.read(sql, &[&stored(limit as u64)])?;
    let command = |row| {
        let time = Timestamp(from_stored(get(row, 0)?));
        Ok(OperatorCommand { time, who: get(row, 1)?, what: get(row, 2)? })
    };
    rows.iter().rev().map(command).collect()
}
