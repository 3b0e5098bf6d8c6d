//! How much of the disk a server's database uses.

use anyhow::Context;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Bytes that are in use in a `SQLite` database: its pages without the free ones.
///
/// Free pages are used again before the file grows.
pub(super) fn sqlite(path: &Path) -> anyhow::Result<u64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| path.display().to_string())?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(u64::try_from(pages * number("page_size")?)?)
}
