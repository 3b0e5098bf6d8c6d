//! `audit`: the trail of operators' commands, in the database.

use super::{ConfigArgs, instance::Instance};
use crate::command_line;
use clap::{Args, Subcommand};
use serde::Serialize;
use sottovoce_aggregator::{
    clock,
    store::{Datastore, OperatorCommand},
    task::StoredTask,
    task_file::FromFile,
};
use sottovoce_dap::printable::one_line;
use sottovoce_program::format_moment;

/// Commands for the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List the commands that changed something, oldest first: when, who, and what. A command is written down
    /// before it takes effect, so the last one may have failed.
    List(AuditArgs),
}

/// Which commands to list.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// List the newest N commands.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    last: usize,
    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    time: String,
    who: &'a str,
    what: &'a str,
}

pub(super) fn run<T: StoredTask + FromFile>(command: &AuditCommand) -> anyhow::Result<()> {
    let AuditCommand::List(args) = command;
    let opened = Instance::<T>::open(&args.config.path)?;
    for OperatorCommand { time, who, what } in opened.store.operator_commands(args.last)? {
        // Others may have written them.
        let time = format_moment(clock::seconds(time));
        let row = Row { time, who: &one_line(&who), what: &one_line(&what) };
        command_line::print(if args.json {
            serde_json::to_string(&row)?
        } else {
            format!("{}  {}  {}", row.time, row.who, row.what)
        })?;
    }
    Ok(())
}

/// Writes down the command that this process was started with. Called before the command changes anything: if
/// it cannot be written down, it is not carried out.
pub(super) fn write(store: &dyn Datastore) -> anyhow::Result<()> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let what = one_line(&words.join(" ")).chars().take(LONGEST).collect();
    let command = OperatorCommand { time: clock::now(), who: who(), what };
    Ok(store.write_operator_command(&command)?)
}

/// Characters of a command that are kept.
const LONGEST: usize = 1000;

/// Who runs this process: the user, and who logged in if that is somebody else, as after `sudo`.
#[cfg(unix)]
fn who() -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = rustix::process::getuid().as_raw();
    // Linux only; 4294967295 for a service, which nobody logged in for.
    let login = std::fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let login = login.trim().parse().ok().filter(|login| *login != u32::MAX && *login != user);
    let login = login.map(|login| format!(", logged in as {}", named(&users, login)));
    format!("{}{}", named(&users, user), login.unwrap_or_default())
}

#[cfg(not(unix))]
fn who() -> String {
    "unknown user".to_owned()
}

/// A user as `passwd` files name them. The number counts: names come and go.
#[cfg(unix)]
fn named(users: &str, user: u32) -> String {
    let id = user.to_string();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&id)).then_some(name)
    });
    name.map_or(format!("uid {id}"), |name| format!("{} (uid {id})", one_line(name)))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_if_the_system_knows_one_and_always_a_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nünal:x:1000:1000::/:/bin/sh\n";
        assert_eq!(named(users, 0), "root (uid 0)");
        assert_eq!(named(users, 1000), "ünal (uid 1000)");
        assert_eq!(named(users, 7), "uid 7");
        assert!(who().contains("uid "));
    }
}
