//! How the tables came to be what they are.

/// Number of migrations, and so the version that they lead to.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a handful")]
pub(super) const LATEST: i32 = MIGRATIONS.len() as i32;

/// Each brings the database from the version that is its index to the next. Never changed once
/// released: a changed table is a new migration.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
];
