//! `verify` and `watch`: the same audit, once or at an interval.

use crate::command_line;
use anyhow::{Context, bail};
use clap::Args;
use sottovoce_audit::source::{Reader, Source};
use sottovoce_audit::verify::{
    Audit, Audited, Inspected, Outcome, follow::Bounds, inspect, present, state::State,
};
use sottovoce_audit::webhook::{self, Call, Secrets, Told};
use sottovoce_dap::{role::Role, task::Url};
use sottovoce_log::{checkpoint::Trust, note::VerifierKey};
use sottovoce_program::Program;
use sottovoce_transport::{authority::Authority, http::HttpClient};
use std::{
    path::PathBuf,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// What to audit, and which keys to trust.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// The program files that the aggregators serve. They have the promises and the keys of the logs.
    #[arg(required = true)]
    pub programs: Vec<PathBuf>,
    /// The leader's log: a URL, a folder with a copy, or `none` to skip it. Default: `log` under the leader's
    /// endpoint.
    #[arg(long, value_name = "URL|FOLDER|none")]
    pub leader: Option<String>,
    /// The helper's log: a URL, a folder with a copy, or `none` to skip it. Default: `log` under the helper's
    /// endpoint.
    #[arg(long, value_name = "URL|FOLDER|none")]
    pub helper: Option<String>,
    /// Verifier key of the leader's log, instead of those in the program's table `log`; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub leader_key: Vec<VerifierKey>,
    /// Verifier key of the helper's log, instead of those in the program's table `log`; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub helper_key: Vec<VerifierKey>,
    /// Verifier key of a witness, in addition to those in the program's table `log`; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub witness: Vec<VerifierKey>,
    /// How many witnesses must have cosigned a checkpoint. Default: the quorum in the program's table `log`.
    #[arg(long, value_name = "NUMBER")]
    pub quorum: Option<usize>,
    /// Keep what was verified in this file: entries are judged once, and a log that was altered, rolled back or
    /// forked since then is a violation.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Trust the certificates of a private CA in this PEM file, besides those of the system.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Show notes too, not only warnings and violations.
    #[arg(long)]
    pub notes: bool,
    /// Maximum number of new entries to read from one log in one audit. A log may claim any size.
    #[arg(long, value_name = "NUMBER", default_value_t = Bounds::default().entries)]
    pub max_entries: u64,
    /// How many entries of earlier audits to read again in one audit, to see that they are still there and
    /// unaltered. A longer history is read in turns.
    #[arg(long, value_name = "NUMBER", default_value_t = Bounds::default().reread)]
    pub reread: u64,
    /// Maximum time to read one log in one audit.
    #[arg(long, value_name = "SECONDS", default_value_t = Bounds::default().time.as_secs())]
    pub max_seconds: u64,
}

impl LogArgs {
    /// The programs.
    pub fn programs(&self) -> anyhow::Result<Vec<Program>> {
        let read = |path: &PathBuf| Ok(Program::read(path)?);
        self.programs.iter().map(read).collect()
    }

    /// The logs that are audited.
    pub fn logs(&self, programs: &[Program]) -> anyhow::Result<Vec<Audited>> {
        let first = programs.first().context("name at least one program file")?;
        for program in programs {
            if (program.leader(), program.helper()) != (first.leader(), first.helper()) {
                bail!("the programs name different aggregators; audit them one by one");
            }
        }
        let policy = first.log();
        if programs.iter().any(|program| program.log() != policy) {
            bail!("the programs have different tables [log]; audit them one by one");
        }
        let leader = self.log(
            Role::Leader,
            (self.leader.as_deref(), first.leader()),
            (&self.leader_key, policy.map(sottovoce_program::log::LogPolicy::leader)),
        )?;
        let helper = self.log(
            Role::Helper,
            (self.helper.as_deref(), first.helper()),
            (&self.helper_key, policy.map(sottovoce_program::log::LogPolicy::helper)),
        )?;
        match (leader, helper) {
            (None, None) => bail!("--leader and --helper are both `none`; name at least one log"),
            (Some(leader), Some(helper)) if leader.trust.origin() == helper.trust.origin() => {
                bail!(
                    "the keys of both logs name {}; each aggregator has a log of its own, so check the keys",
                    leader.trust.origin()
                )
            }
            (leader, helper) => Ok(leader.into_iter().chain(helper).collect()),
        }
    }

    fn log(
        &self,
        role: Role,
        (place, endpoint): (Option<&str>, &Url),
        (keys, named): (&[VerifierKey], Option<&Trust>),
    ) -> anyhow::Result<Option<Audited>> {
        let source: Source = match place {
            Some("none") => return Ok(None),
            Some(place) => place.parse()?,
            None => format!("{}/log", endpoint.as_str().trim_end_matches('/')).parse()?,
        };
        let keys = if keys.is_empty() { named.map_or(&[][..], Trust::keys) } else { keys };
        let mut witnesses = named.map_or(Vec::new(), |named| named.witnesses().to_vec());
        let more: Vec<_> = self.witness.iter().filter(|key| !witnesses.contains(key)).collect();
        witnesses.extend(more.into_iter().cloned());
        let quorum = self.quorum.unwrap_or_else(|| named.map_or(0, Trust::quorum));
        let trust = Trust::new(keys.to_vec(), witnesses, quorum).with_context(|| {
            format!(
                "the {role}'s log has no usable key; set it in the program's [log], or pass --{role}-key"
            )
        })?;
        let reader = Reader::new(source)?.trusting(self.authority()?.as_ref())?;
        Ok(Some(Audited { role, reader, trust }))
    }

    /// The private CA, if one is named.
    pub fn authority(&self) -> anyhow::Result<Option<Authority>> {
        Ok(self.ca.as_deref().map(Authority::read).transpose()?)
    }

    /// What was remembered at the last audit.
    pub fn remembered(&self) -> anyhow::Result<State> {
        Ok(self.state.as_deref().map(State::read).transpose()?.unwrap_or_default())
    }

    /// One audit, going on from `state`, or of all entries if `whole` is set; `reread` earlier entries are read again
    /// at most. Remembers what was verified only if all promises hold.
    pub fn audit(
        &self,
        programs: &[Program],
        logs: &[Audited],
        state: &mut State,
        whole: bool,
        reread: u64,
    ) -> anyhow::Result<Outcome> {
        let Inspected { outcome, unverified } =
            self.inspect(programs, logs, state, whole, reread)?;
        match unverified.into_iter().next() {
            Some(error) if outcome.holds => Err(error.into()),
            _ => Ok(outcome),
        }
    }

    /// Likewise; what could not be verified does not hide what could.
    pub fn inspect(
        &self,
        programs: &[Program],
        logs: &[Audited],
        state: &mut State,
        whole: bool,
        reread: u64,
    ) -> anyhow::Result<Inspected> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let bar = indicatif::ProgressBar::new_spinner();
        let time = Duration::from_secs(self.max_seconds);
        let bounds = Bounds { entries: self.max_entries, reread, time };
        let audit = Audit { logs, programs, now, whole, bounds };
        let inspected = inspect(&audit, state, &mut |role, index| {
            if index.is_multiple_of(1000) {
                bar.set_message(format!("the {role}'s log: entry {index}"));
                bar.tick();
            }
        });
        bar.finish_and_clear();
        let verified = inspected.outcome.holds && inspected.unverified.is_empty();
        if let Some(path) = self.state.as_deref().filter(|_| verified) {
            state.write(path)?;
        }
        Ok(inspected)
    }

    fn show(&self, outcome: &Outcome) -> anyhow::Result<()> {
        if self.json {
            command_line::print(serde_json::to_string_pretty(outcome)?)
        } else {
            command_line::print(present::text(outcome, self.notes))
        }
    }
}

/// Audits once; says whether all holds.
pub fn run(args: &LogArgs) -> anyhow::Result<bool> {
    let programs = args.programs()?;
    let logs = args.logs(&programs)?;
    let outcome = args.audit(&programs, &logs, &mut args.remembered()?, false, args.reread)?;
    args.show(&outcome)?;
    Ok(outcome.holds)
}

/// What to audit, how often, and where to report a violation.
///
/// The first audit reads earlier entries again as `verify` does; after it, all of them are read again within a day.
#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    logs: LogArgs,
    /// Seconds between audits.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// How many seconds a log may be unreachable before that counts as a violation.
    #[arg(long, default_value_t = 3600)]
    patience: u64,
    /// POST to this URL as JSON what is wrong, in which log, of which program, and when.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// A TOML file with `hmac_key`, by which the webhook's receiver can verify that a call is this auditor's, or with
    /// `bearer`, a token to send, or both.
    #[arg(long, value_name = "FILE", requires = "webhook")]
    webhook_secrets: Option<PathBuf>,
}

/// Audits again and again until something is violated, or the logs stay out of reach: then false.
pub fn watch(args: &WatchArgs) -> anyhow::Result<bool> {
    let programs = args.logs.programs()?;
    let logs = args.logs.logs(&programs)?;
    let secrets = args.webhook_secrets.as_deref().map(Secrets::read).transpose()?;
    let tell = |told: Told<'_>| args.tell(&Call::new(&programs, told), secrets.as_ref());
    let (mut state, mut reached) = (args.logs.remembered()?, Instant::now());
    let mut reread = args.logs.reread;
    loop {
        match args.logs.audit(&programs, &logs, &mut state, false, reread) {
            Ok(outcome) if outcome.holds => {
                reached = Instant::now();
                let entries = outcome.logs.iter().map(|read| read.size).max().unwrap_or(0);
                reread = share_of_a_day(entries, args.every).min(args.logs.reread);
                args.logs.show(&outcome)?;
            }
            Ok(outcome) => {
                args.logs.show(&outcome)?;
                tell(Told::Violations(&outcome));
                return Ok(false);
            }
            Err(error) if reached.elapsed() > Duration::from_secs(args.patience) => {
                let error = command_line::story(&error);
                eprintln!("error: {error}");
                tell(Told::Unverified(&error));
                return Ok(false);
            }
            Err(error) => eprintln!(
                "not verified, next attempt in {} s: {}",
                args.every,
                command_line::story(&error)
            ),
        }
        std::thread::sleep(Duration::from_secs(args.every));
    }
}

/// How many earlier entries each audit of a watch reads again, so that all of them are within a day: logs are not
/// read whole every minute.
fn share_of_a_day(entries: u64, every: u64) -> u64 {
    u64::try_from(u128::from(entries) * u128::from(every) / 86_400).unwrap_or(u64::MAX).max(1)
}

impl WatchArgs {
    /// Calls the webhook, if there is one. A failed call does not change the verdict.
    fn tell(&self, call: &Call<'_>, secrets: Option<&Secrets>) {
        if let Err(error) = self.call(call, secrets) {
            eprintln!("error: {}", command_line::story(&error));
        }
    }

    fn call(&self, call: &Call<'_>, secrets: Option<&Secrets>) -> anyhow::Result<()> {
        let Some(url) = &self.webhook else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let http = HttpClient::trusting(TIMEOUT, self.logs.authority()?.as_ref())?;
        let body = call.body()?;
        let token = secrets.and_then(Secrets::bearer);
        let request = sottovoce_dap::exchange::Request {
            method: sottovoce_dap::exchange::Method::Post,
            url: url.clone(),
            media_type: None,
            authorized: token.is_some(),
            body: body.clone(),
        };
        let headers = webhook::headers(&body, secrets);
        let mut backoff = sottovoce_transport::retry::Backoff::new(
            Duration::from_secs(1),
            Duration::from_secs(10),
        );
        for last in [false, false, false, true] {
            let sent = http.send_with(request.clone(), token, 64 * 1024, headers.clone());
            match runtime.block_on(sent) {
                Ok(response) if response.status < 300 => return Ok(()),
                Ok(response) => {
                    eprintln!("the webhook {url} answered with status {}", response.status);
                }
                Err(error) => eprintln!("{error}"),
            }
            if !last {
                std::thread::sleep(backoff.wait(None));
            }
        }
        bail!("the webhook {url} could not be called in 4 attempts")
    }
}

/// For one call of the webhook.
const TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use sottovoce_log::{
        checkpoint::{Signer, TestKey},
        note::KeyKind,
    };
    use sottovoce_program::{ProgramKind, template::template};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        logs: LogArgs,
    }

    fn key(name: &str, kind: KeyKind) -> String {
        TestKey::new(name, kind, 1).verifier_key().to_string()
    }

    fn program(leader: &str, more: &str) -> Program {
        let text = template(ProgramKind::Feedback, "support").unwrap();
        let (leader, helper) = (key(leader, KeyKind::Log), key("helper.example/log", KeyKind::Log));
        let table = format!("[log]\nleader = [\"{leader}\"]\nhelper = [\"{helper}\"]\n{more}\n");
        Program::parse("program.toml", &format!("{text}\n{table}")).unwrap()
    }

    fn logs(line: &[&str], programs: &[Program]) -> anyhow::Result<Vec<Audited>> {
        let line = [&["verify", "program.toml"], line].concat();
        Line::try_parse_from(line).unwrap().logs.logs(programs)
    }

    #[test]
    fn a_watch_reads_all_of_a_log_again_within_a_day_and_no_more() {
        for (entries, every) in [(1, 60), (5_000, 60), (1_000_000, 60), (777, 86_400), (9, 1)] {
            let share = share_of_a_day(entries, every);
            let in_a_day = (share + 1) * (86_400 / every);
            assert!(in_a_day >= entries, "{entries} every {every} s: {share}");
            assert!(share <= entries.max(1), "{entries} every {every} s: {share}");
        }
        assert_eq!(share_of_a_day(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn programs_of_other_logs_and_one_log_for_both_are_refused() {
        let first = program("leader.example/log", "");
        assert_eq!(logs(&[], &[first.clone(), first.clone()]).unwrap().len(), 2);
        let refused = |line: &[&str], programs: &[Program]| {
            logs(line, programs).err().map(|error| error.to_string()).unwrap()
        };
        for other in [
            program("moved.example/log", ""),
            program("leader.example/log", "required_by = [\"devices\"]"),
        ] {
            assert!(refused(&[], &[first.clone(), other]).contains("audit them one by one"));
        }
        let same = key("helper.example/log", KeyKind::Log);
        let refused = refused(&["--leader-key", &same], &[first]);
        assert!(refused.contains("a log of its own"), "{refused}");
    }

    #[test]
    fn a_witness_that_the_program_names_may_be_named_again_and_counts_once() {
        let witness = key("witness.example", KeyKind::Witness);
        let program = program("leader.example/log", &format!("witnesses = [\"{witness}\"]"));
        let logs = logs(&["--witness", &witness, "--quorum", "1"], &[program]).unwrap();
        assert!(logs.iter().all(|log| log.trust.witnesses().len() == 1));
    }
}
