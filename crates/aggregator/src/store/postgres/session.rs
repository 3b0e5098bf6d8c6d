//! Whether each connection has a session of its own.
//!
//! A connection pooler may hand every transaction to whichever session is free. Settings are lost then,
//! or somebody else's, and statements are not where they were prepared: nearly everything would fail,
//! now and then, with words that do not say why. So it is found out at the start, by what a session
//! must do and whatever the pooler is called: keep what was set in it, and show it to nobody else.

use super::{OpenError, url::Target};
use postgres::{Client, SimpleQueryMessage};
use rand::{RngExt, rng};

/// Refuses a database to which sessions are mixed on the way.
pub(super) fn check(target: &Target) -> Result<(), OpenError> {
    match is_kept(target) {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::Pooler { place: target.to_string() }),
        Err(error) => Err(target.failed(&error)),
    }
}

fn is_kept(target: &Target) -> Result<bool, postgres::Error> {
    let (mut one, mut other) = (target.connect()?, target.connect()?);
    // A pooler gives whoever asks the session that was freed last, or the one that was freed first. In
    // the first case the other is shown our mark, unless somebody else came in between; in the second,
    // and if somebody else came, we are not shown it ourselves.
    for _ in 0..ROUNDS {
        let mark = format!("{:016x}", rng().random::<u64>());
        ask(&mut one, &format!("SELECT set_config('sottovoce.mark', '{mark}', false)"))?;
        if mark_of(&mut one)?.as_deref() != Some(&mark)
            || mark_of(&mut other)?.as_deref() == Some(&mark)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn mark_of(client: &mut Client) -> Result<Option<String>, postgres::Error> {
    ask(client, "SELECT current_setting('sottovoce.mark', true)")
}

/// Asks by the simple protocol, which prepares nothing; the first value of the answer.
fn ask(client: &mut Client, sql: &str) -> Result<Option<String>, postgres::Error> {
    let first = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten().map(str::to_owned),
        _ => None,
    };
    Ok(client.simple_query(sql)?.iter().find_map(first))
}

/// Others may come in between each time, but hardly so often.
const ROUNDS: u32 = 4;
