//! `doctor`: whether the other aggregator holds the same as we do, and whether we ourselves are well.

use super::{
    compare::Comparing,
    health::{self, Found, State},
    helper_client::helper_client,
    instance::Instance,
    naming::{ShowArgs, name},
    other::{at, explain, in_words, peer},
};
use crate::command_line::{self, Ended};
use anyhow::bail;
use serde::Serialize;
use sottovoce_aggregator::{
    agreement::{Answer, Question},
    clock,
    task::{StoredTask, Task},
    task_file::FromFile,
};
use sottovoce_dap::{
    bearer_token::BearerToken,
    exchange::{Exchange, ExchangeError, FetchHpkeConfigs, Method, Request, Response},
    hpke::HpkeConfig,
    ids::AggregationJobId,
    problem::{ProblemType, Text},
    role::Role,
    task::Url,
};
use sottovoce_transport::{error::TransportError, http::HttpClient};

#[derive(Serialize)]
struct Outcome<'a> {
    role: &'static str,
    version: &'static str,
    state: State,
    found: &'a [Found],
}

/// The exit code of an aggregator that works, and that somebody should look at.
const DEGRADED: u8 = 3;

/// Asks the other aggregator about each task, looks at ourselves, and prints what was found.
pub(super) fn run<T: StoredTask + FromFile>(args: &ShowArgs) -> anyhow::Result<()> {
    let examined = Instance::<T>::open(&args.config.path).and_then(|opened| all(&opened));
    let found = match examined {
        Ok(found) => found,
        Err(error) if args.json => {
            let message = command_line::story(&error);
            vec![Found { subject: "set-up".to_owned(), state: State::Failed, message }]
        }
        Err(error) => return Err(error),
    };
    let state = found.iter().map(|found| found.state).max().unwrap_or(State::Well);
    if args.json {
        let (role, version) = (T::ROLE, env!("CARGO_PKG_VERSION"));
        let outcome = Outcome { role, version, state, found: &found };
        command_line::print(serde_json::to_string(&outcome)?)?;
    } else {
        found.iter().try_for_each(show)?;
    }
    conclude(state, &found)
}

fn show(found: &Found) -> anyhow::Result<()> {
    let mark = match found.state {
        State::Well => '✓',
        State::Degraded => '!',
        State::Failed => '✗',
    };
    command_line::print(format_args!("{mark} {}: {}", found.subject, found.message))
}

fn conclude(state: State, found: &[Found]) -> anyhow::Result<()> {
    let count = |state| found.iter().filter(|found| found.state == state).count();
    match state {
        State::Well => Ok(()),
        State::Degraded => Err(Ended::with(
            DEGRADED,
            format!("{} of {} checks need attention soon", count(state), found.len()),
        )),
        State::Failed => bail!("{} of {} checks failed", count(state), found.len()),
    }
}

/// All that is examined: each task with the other aggregator, then ourselves.
fn all<T: StoredTask + FromFile>(opened: &Instance<T>) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    let tasks = opened.tasks.all()?;
    if tasks.is_empty() {
        bail!("there are no tasks; add some with `tasks add`, or serve a program");
    }
    let http = helper_client(&opened.config.peer)?;
    let comparing = Comparing::new(opened)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for task in &tasks {
        let (token, task) = (task.peer_token(), task.task());
        let subject = format!("{} ({})", name(task), task.id);
        let (answerer, _) = peer(task, T::role());
        let who = in_words(answerer);
        match runtime.block_on(examine(&http, task, T::role(), token)) {
            Ok(()) => {
                found.push(Found {
                    subject: subject.clone(),
                    state: State::Well,
                    message: format!(
                        "{who} has the same draft, clock, configuration, verify key and HPKE keys"
                    ),
                });
                found.extend(batches(&comparing, task, &subject));
            }
            Err(reasons) => found.extend(reasons.into_iter().map(|reason| Found {
                subject: subject.clone(),
                state: State::Failed,
                message: format!("{who}: {reason}"),
            })),
        }
    }
    found.extend(health::look(opened)?);
    Ok(found)
}

/// Batches that differ between the two, as after a restore, and will stay so.
fn batches(comparing: &Comparing<'_>, task: &Task, subject: &str) -> Vec<Found> {
    let degraded = |message| Found { subject: subject.to_owned(), state: State::Degraded, message };
    match comparing.damaged(task) {
        Ok(damaged) => damaged.into_iter().map(degraded).collect(),
        Err(error) => {
            vec![degraded(format!("batches cannot be compared: {}", command_line::story(&error)))]
        }
    }
}

async fn examine(
    http: &HttpClient,
    task: &Task,
    role: Role,
    token: Option<&BearerToken>,
) -> Result<(), Vec<String>> {
    let (answerer, endpoint) = peer(task, role);
    let said = |error: TransportError| vec![explain(&error)];
    let fetch = FetchHpkeConfigs { endpoint: endpoint.clone() };
    let fetched = http.perform(&fetch, None).await.map_err(said)?;
    let mut reasons = Vec::new();
    for config in fetched.list.iter() {
        match ask(http, task, role, config).await {
            Ok((answer, challenge)) => {
                let found = answer.check(task, answerer, &challenge, clock::now());
                reasons.extend(found.iter().map(ToString::to_string));
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if let Some(token) = token {
        reasons.extend(try_token(http, task, endpoint, token).await.err());
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

async fn ask(
    http: &HttpClient,
    task: &Task,
    role: Role,
    config: &HpkeConfig,
) -> Result<(Answer, sottovoce_aggregator::agreement::Challenge), String> {
    let (_, endpoint) = peer(task, role);
    let (question, challenge) = Question::new(task, role, config).map_err(|e| e.to_string())?;
    let ask = Ask { url: at(endpoint, &format!("tasks/{}/agreement", task.id)), question };
    let answer = http.perform(&ask, None).await.map_err(|error| explain(&error))?;
    Ok((answer, challenge))
}

/// Asks for an aggregation job that does not exist: the helper says so only to its leader.
async fn try_token(
    http: &HttpClient,
    task: &Task,
    endpoint: &Url,
    token: &BearerToken,
) -> Result<(), String> {
    let nowhere = AggregationJobId::new([0; 16]);
    let path = format!("tasks/{}/aggregation_jobs/{nowhere}?step=0", task.id);
    let probe = Probe { url: at(endpoint, &path) };
    match http.perform(&probe, Some(token)).await {
        Err(TransportError::Exchange {
            source: ExchangeError::Problem { problem, .. }, ..
        }) if problem.kind() == Some(ProblemType::UnrecognizedAggregationJob) => Ok(()),
        Err(TransportError::Exchange {
            source: ExchangeError::Problem { problem, .. }, ..
        }) if problem.status == 401 => {
            Err("it rejects our bearer token; set the same leader_token on both sides".to_owned())
        }
        Err(error) => Err(explain(&error)),
        Ok(()) => Err("it answers for an aggregation job that does not exist".to_owned()),
    }
}

struct Ask {
    url: String,
    question: Question,
}

impl Exchange for Ask {
    type Output = Answer;

    fn request(&self) -> Request {
        Request {
            method: Method::Post,
            url: self.url.clone(),
            media_type: None,
            body: serde_json::to_vec(&self.question).unwrap_or_default(),
            authorized: false,
        }
    }

    fn read_success(&self, response: Response) -> Result<Answer, ExchangeError> {
        serde_json::from_slice(&response.body).map_err(|_| {
            let excerpt = Text::new("the response is not in this program's format; check that the other server is sottovoce");
            ExchangeError::Status { status: response.status, excerpt }
        })
    }
}

struct Probe {
    url: String,
}

impl Exchange for Probe {
    type Output = ();

    fn request(&self) -> Request {
        Request {
            method: Method::Get,
            url: self.url.clone(),
            media_type: None,
            body: Vec::new(),
            authorized: true,
        }
    }

    fn read_success(&self, _: Response) -> Result<(), ExchangeError> {
        Ok(())
    }
}
