//! The logs in which both aggregators must say what they do, and who insists on it.
//!
//! Keys of logs come and go, so none of this is part of a manifest or of a task's ID: a program with
//! other keys asks the same, of the same tasks.

use super::{
    ProgramError,
    file::LogTable,
    source::{At, Source},
};
use sottovoce_log::{
    checkpoint::{Trust, TrustError, count_witnesses},
    note::VerifierKey,
};

/// What the program says of the aggregators' logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    leader: Trust,
    helper: Trust,
    collector: bool,
    devices: bool,
}

impl LogPolicy {
    pub(super) fn parse(source: Source<'_>, table: &LogTable) -> Result<Self, ProgramError> {
        let witnesses = witnesses(source, &table.witnesses)?;
        let quorum = table.quorum.as_ref().map_or(0, |quorum| *quorum.get_ref());
        let quorum = usize::try_from(quorum).unwrap_or(usize::MAX);
        let trust = |named: &At<Vec<At<String>>>| {
            let own = keys(source, named.get_ref())?;
            Trust::new(own, witnesses.clone(), quorum).map_err(|error| match &table.quorum {
                Some(quorum) if matches!(error, TrustError::Quorum { .. }) => {
                    source.error(quorum, error)
                }
                _ => source.error(named, error),
            })
        };
        let (leader, helper) = (trust(&table.leader)?, trust(&table.helper)?);
        if leader.origin() == helper.origin() {
            let reason = "is the same log as the leader's; each aggregator has a log of its own";
            return Err(source.error(&table.helper, reason));
        }
        let mut policy = Self { leader, helper, collector: false, devices: false };
        for who in &table.required_by {
            match who.get_ref().as_str() {
                "collector" => policy.collector = true,
                "devices" => policy.devices = true,
                _ => return Err(source.error(who, "must be \"collector\" or \"devices\"")),
            }
        }
        Ok(policy)
    }

    /// Whom to believe about the leader's log.
    pub fn leader(&self) -> &Trust {
        &self.leader
    }

    /// Whom to believe about the helper's log.
    pub fn helper(&self) -> &Trust {
        &self.helper
    }

    /// Whether a figure counts only with the proof that both logs have its release.
    pub fn collector_requires(&self) -> bool {
        self.collector
    }

    /// Whether a device reports only to tasks that are proved to be in both logs.
    pub fn devices_require(&self) -> bool {
        self.devices
    }
}

/// Checked key by key, so that an error is at the key that is wrong.
fn witnesses(source: Source<'_>, texts: &[At<String>]) -> Result<Vec<VerifierKey>, ProgramError> {
    let keys = keys(source, texts)?;
    for (at, text) in texts.iter().enumerate() {
        count_witnesses(&keys[..=at]).map_err(|error| source.error(text, error))?;
    }
    Ok(keys)
}

fn keys(source: Source<'_>, texts: &[At<String>]) -> Result<Vec<VerifierKey>, ProgramError> {
    let key = |text: &At<String>| text.get_ref().parse().map_err(|e| source.error(text, e));
    texts.iter().map(key).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use crate::{Program, ProgramKind, template::template};

    fn key(name: &str, kind: u8) -> String {
        use sottovoce_log::note::{KeyKind, KeyName, VerifierKey};
        let kind = if kind == 1 { KeyKind::Log } else { KeyKind::Witness };
        // The key of signed-note's own example.
        let example: VerifierKey =
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
                .parse()
                .unwrap();
        VerifierKey::new(KeyName::new(name).unwrap(), kind, *example.public_key())
            .unwrap()
            .to_string()
    }

    fn parse(table: &str) -> Result<Program, crate::ProgramError> {
        let text = template(ProgramKind::Feedback, "support").unwrap();
        Program::parse("program.toml", &format!("{text}\n[log]\n{table}\n"))
    }

    fn both() -> String {
        format!(
            "leader = [\"{}\"]\nhelper = [\"{}\"]\n",
            key("leader.example/log", 1),
            key("helper.example/log", 1)
        )
    }

    /// A table with both logs and a witness.
    pub(crate) fn logs(more: &str) -> String {
        let witness = key("witness.example", 4);
        format!("[log]\n{}witnesses = [\"{witness}\"]\n{more}\n", both())
    }

    /// What stands in the template, as a comment.
    #[test]
    fn the_template_shows_a_table_that_is_read_once_its_keys_are_real() {
        let text = template(ProgramKind::Feedback, "support").unwrap();
        let (_, table) = text.split_once("# [log]\n").unwrap();
        let table = table.lines().map_while(|line| line.strip_prefix("# ")).map(|line| {
            let kind = if line.starts_with("witnesses") { 4 } else { 1 };
            match line.split_once(" = [\"").zip(line.split_once('+')) {
                Some(((name, rest), _)) => {
                    format!("{name} = [\"{}\"]\n", key(rest.split('+').next().unwrap(), kind))
                }
                None => format!("{line}\n"),
            }
        });
        let program = parse(&table.collect::<String>()).unwrap();
        let policy = program.log().unwrap();
        assert!(policy.devices_require() && policy.collector_requires());
        assert_eq!(policy.leader().quorum(), 1);
        let red_team = template(ProgramKind::RedTeam, "red").unwrap();
        assert!(red_team.contains("# [log]\n"));
    }

    #[test]
    fn the_keys_of_logs_change_no_task() {
        let without =
            Program::parse("program.toml", &template(ProgramKind::Feedback, "support").unwrap());
        let with = parse(&format!("{}required_by = [\"collector\"]", both())).unwrap();
        let ids = |program: &Program| program.tasks().iter().map(|t| t.task_id).collect::<Vec<_>>();
        assert_eq!(ids(&with), ids(&without.unwrap()));
        let policy = with.log().unwrap();
        assert_eq!(policy.leader().origin(), "leader.example/log");
        assert_eq!((policy.collector_requires(), policy.devices_require()), (true, false));
    }

    #[test]
    fn an_error_of_a_witness_is_at_its_key_and_one_of_the_quorum_at_the_quorum() {
        let one = key("witness.example", 4);
        let lines = template(ProgramKind::Feedback, "support").unwrap().matches('\n').count();
        // After an empty line, [log], and the two lines of `both`.
        let first = lines + 5;
        for (more, line, words) in [
            (format!("witnesses = [\n\"{one}\",\n\"{one}\"]"), first + 2, "listed twice"),
            (
                format!("witnesses = [\n\"{one}\",\n\"{}\"]", key("other.example", 4)),
                first + 2,
                "have the same public key",
            ),
            (
                format!("witnesses = [\n\"{}\"]", key("leader.example/log", 1)),
                first + 1,
                "not a witness's",
            ),
            (format!("witnesses = [\"{one}\"]\nquorum = 2"), first + 1, "lower the quorum"),
        ] {
            let error = parse(&format!("{}{more}", both())).unwrap_err().to_string();
            assert!(error.contains(&format!("program.toml:{line}:")), "{error}");
            assert!(error.contains(words), "{error}");
        }
        parse(&format!("{}witnesses = [\"{one}\"]", both())).unwrap();
    }

    #[test]
    fn what_cannot_be_believed_is_refused_at_its_place() {
        let witness = key("witness.example", 4);
        let own = key("leader.example/log", 1);
        let twice = format!("leader = [\"{own}\"]\nhelper = [\"{own}\"]\n");
        for (table, words) in [
            (twice, "same log as the leader's"),
            (format!("{}quorum = 1", both()), "the quorum is 1"),
            (format!("{}required_by = [\"everybody\"]", both()), "\"collector\" or \"devices\""),
            (
                both().replace("leader = [\"", &format!("leader = [\"{witness}\"]\n# [\"")),
                "not a log's",
            ),
            (both().replace("helper.", "another."), "does not match its hash"),
            ("leader = []\nhelper = []".to_owned(), "at least one is needed"),
        ] {
            let error = parse(&table).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let two = format!("{}witnesses = [\"{witness}\"]\nquorum = 1", both());
        assert_eq!(parse(&two).unwrap().log().unwrap().leader().witnesses().len(), 1);
    }
}
