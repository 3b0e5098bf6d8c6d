//! `doctor`: whether the other aggregator holds the same as we do, before any real report.

use super::{ConfigArgs, helper_client::helper_client, instance::Instance, naming::name};
use crate::command_line;
use anyhow::ensure;
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

/// Asks the other aggregator about each task, and prints what was found.
pub(super) fn run<T: StoredTask + FromFile>(args: &ConfigArgs) -> anyhow::Result<()> {
    let opened = Instance::<T>::open(&args.path)?;
    let tasks = opened.tasks.all()?;
    ensure!(!tasks.is_empty(), "there are no tasks; add some with `tasks add`, or serve a program");
    let http = helper_client(&opened.config.peer)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut wrong = 0;
    for task in &tasks {
        let found = runtime.block_on(examine(&http, task.task(), T::role(), task.peer_token()));
        let task = task.task();
        let (answerer, _) = peer(task, T::role());
        match found {
            Ok(()) => command_line::print(format_args!(
                "✓ {} ({}): {} has the same draft, clock, configuration, verify key and HPKE keys",
                name(task),
                task.id,
                in_words(answerer)
            ))?,
            Err(reasons) => {
                wrong += 1;
                for reason in reasons {
                    command_line::print(format_args!(
                        "✗ {} ({}): {}: {reason}",
                        name(task),
                        task.id,
                        in_words(answerer)
                    ))?;
                }
            }
        }
    }
    ensure!(wrong == 0, "{wrong} of {} tasks have problems", tasks.len());
    Ok(())
}

/// The other aggregator of a task and its endpoint.
pub(super) fn peer(task: &Task, role: Role) -> (Role, &Url) {
    match role {
        Role::Helper => (Role::Leader, &task.configuration.leader_aggregator_endpoint),
        _ => (Role::Helper, &task.configuration.helper_aggregator_endpoint),
    }
}

pub(super) fn at(endpoint: &Url, path: &str) -> String {
    format!("{}/{path}", endpoint.as_str().trim_end_matches('/'))
}

fn in_words(role: Role) -> &'static str {
    if role == Role::Helper { "the helper" } else { "the leader" }
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

pub(super) fn explain(error: &TransportError) -> String {
    match error {
        TransportError::Exchange { source: ExchangeError::Problem { problem, .. }, .. } => {
            match (problem.status, problem.kind()) {
                (401, _) => {
                    "its verify key differs; set the same verify_key_seed on both sides".to_owned()
                }
                (_, Some(ProblemType::UnrecognizedTask)) => {
                    "it does not have this task; its operator has to add the same program"
                        .to_owned()
                }
                _ => error.to_string(),
            }
        }
        _ => error.to_string(),
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
