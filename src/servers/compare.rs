//! `batches compare`: where we and the other aggregator differ, and what to do.

use super::{
    helper_client::helper_client,
    instance::Instance,
    naming::{ListArgs, bucket, label, name, select_tasks},
    other::{at, explain, peer},
};
use crate::command_line;
use anyhow::{bail, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sottovoce_aggregator::{
    clock,
    comparison::{self, Difference, Held, Question, Wanted, differences, held},
    store::Datastore,
    task::{StoredTask, Task},
    task_file::FromFile,
};
use sottovoce_dap::{
    exchange::{Exchange, ExchangeError, Method, Request, Response},
    ids::ReportId,
    problem::Text,
    role::Role,
    task::BatchMode,
};
use sottovoce_transport::http::HttpClient;
use std::fmt::Write;
use tokio::runtime::Runtime;

#[derive(Serialize)]
struct Row {
    task: String,
    name: String,
    batch: String,
    leader_reports: u64,
    helper_reports: u64,
    leader_only: Vec<String>,
    helper_only: Vec<String>,
    counted_once: Option<String>,
    cause: String,
    passes: bool,
}

/// Compares the batches that are not collected, and prints those that differ.
pub(super) fn run<T: StoredTask + FromFile>(args: &ListArgs) -> anyhow::Result<()> {
    let opened = Instance::<T>::open(args.config())?;
    let comparing = Comparing::new(&opened)?;
    let tasks = opened.tasks.all()?;
    let mut damaged = 0;
    for task in select_tasks(args, tasks.iter().map(|task| task.task()))? {
        let (rows, same) = comparing.task(task)?;
        damaged += rows.iter().filter(|row| !row.passes).count();
        for row in &rows {
            command_line::print(if args.json() { serde_json::to_string(row)? } else { line(row) })?;
        }
        if !args.json() {
            let label = label(&name(task), &task.id.to_string());
            command_line::print(format_args!(
                "{label}  {same} batches are identical on both sides"
            ))?;
        }
    }
    ensure!(damaged == 0, "{damaged} batches differ and will stay so; see `batches repair`");
    Ok(())
}

/// Whoever asks what both hold.
pub(super) struct Comparing<'a> {
    http: HttpClient,
    runtime: Runtime,
    role: Role,
    store: &'a dyn Datastore,
}

impl<'a> Comparing<'a> {
    pub(super) fn new<T: StoredTask>(opened: &'a Instance<T>) -> anyhow::Result<Self> {
        let http = helper_client(&opened.config.peer)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { http, runtime, role: T::role(), store: opened.store.as_ref() })
    }

    /// What is wrong with the batches of a task and will stay so, each in a line.
    pub(super) fn damaged(&self, task: &Task) -> anyhow::Result<Vec<String>> {
        let (rows, _) = self.task(task)?;
        let damaged = rows.iter().filter(|row| !row.passes);
        Ok(damaged.map(|row| format!("batch {}: {}", row.batch, row.cause)).collect())
    }

    /// The batches of a task that differ, and how many do not.
    fn task(&self, task: &Task) -> anyhow::Result<(Vec<Row>, usize)> {
        let (leader, helper) = self.both(task, &Wanted::Batches)?;
        let found = differences(&leader, &helper);
        let same = leader.batches.len().max(helper.batches.len()).saturating_sub(found.len());
        let rows = found.iter().map(|difference| self.explain(task, difference, &leader));
        Ok((rows.collect::<Result<_, _>>()?, same))
    }

    fn explain(&self, task: &Task, found: &Difference, leader: &Held) -> anyhow::Result<Row> {
        let key = URL_SAFE_NO_PAD.decode(&found.batch)?;
        let time = (task.configuration.batch_mode == BatchMode::TimeInterval)
            .then(|| <[u8; 8]>::try_from(key.as_slice()).map(u64::from_be_bytes).ok())
            .flatten();
        let (ours, theirs) = self.both(task, &Wanted::Ids(time))?;
        let differing = found.explain(&ours, &theirs);
        let cause = found.cause(&differing, leader);
        let texts = |ids: &[ReportId]| ids.iter().map(ToString::to_string).collect();
        Ok(Row {
            task: task.id.to_string(),
            name: name(task),
            batch: bucket(task, &key),
            leader_reports: found.leader.reports,
            helper_reports: found.helper.reports,
            leader_only: texts(&differing.leader_only),
            helper_only: texts(&differing.helper_only),
            counted_once: differing.counted_once.map(|id| id.to_string()),
            cause: cause.to_string(),
            passes: cause.passes(),
        })
    }

    /// What the leader and what the helper holds.
    pub(super) fn both(&self, task: &Task, wanted: &Wanted) -> anyhow::Result<(Held, Held)> {
        let (_, endpoint) = peer(task, self.role);
        let question = Question::new(task, self.role, wanted.clone(), clock::now());
        let url = at(endpoint, &format!("tasks/{}/comparison", task.id));
        let asked = self.runtime.block_on(self.http.perform(&Ask { url, question }, None));
        let theirs = match asked {
            Ok(theirs) => theirs,
            Err(error) => bail!("{} ({}): {}", name(task), task.id, explain(&error)),
        };
        let Some(ours) = held(task, self.store, wanted)? else {
            bail!("{} ({}): {}", name(task), task.id, comparison::TOO_MANY);
        };
        Ok(if self.role == Role::Leader { (ours, theirs) } else { (theirs, ours) })
    }
}

fn line(row: &Row) -> String {
    let mut text = format!(
        "{}  {}  the leader has {} reports, the helper {}: {}",
        label(&row.name, &row.task),
        row.batch,
        row.leader_reports,
        row.helper_reports,
        row.cause
    );
    for (who, ids) in [("the leader", &row.leader_only), ("the helper", &row.helper_only)] {
        if !ids.is_empty() {
            let more = if ids.len() > SHOWN { ", … (all with --json)" } else { "" };
            let shown = ids.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
            // Writing to a string does not fail.
            let _ =
                write!(text, "\n    report IDs that only {who} has, {}: {shown}{more}", ids.len());
        }
    }
    if let Some(id) = &row.counted_once {
        let _ = write!(text, "\n    report ID that both have and only one has counted: {id}");
    }
    text
}

const SHOWN: usize = 10;

struct Ask {
    url: String,
    question: Question,
}

impl Exchange for Ask {
    type Output = Held;

    fn request(&self) -> Request {
        Request {
            method: Method::Post,
            url: self.url.clone(),
            media_type: None,
            body: serde_json::to_vec(&self.question).unwrap_or_default(),
            authorized: false,
        }
    }

    fn max_response_len(&self) -> usize {
        // Three million IDs.
        64 << 20
    }

    fn read_success(&self, response: Response) -> Result<Held, ExchangeError> {
        serde_json::from_slice(&response.body).map_err(|_| {
            let excerpt = Text::new("the response is not in this program's format; check that the other server is sottovoce");
            ExchangeError::Status { status: response.status, excerpt }
        })
    }
}
