//! Logs in folders, as two aggregators would write them, and what an audit says of them.

mod hostile;
mod promises;
mod remembered;
mod stage;
mod tampered;
mod weeks;
