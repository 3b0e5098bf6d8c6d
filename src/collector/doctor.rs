//! `doctor`: whether the leader holds the same as the collector, before any real report.

use super::secrets_of;
use crate::command_line::{
    self,
    file_argument::{FileArgument, Named, RequiredFile},
};
use anyhow::ensure;
use clap::Args;
use sottovoce_collector::secrets::CollectorSecrets;
use sottovoce_dap::{
    agreement::Held,
    exchange::{Exchange, ExchangeError, Method, Request, Response},
    problem::{ProblemType, Text},
};
use sottovoce_program::{Program, compile::CompiledTask};
use sottovoce_transport::{authority::Authority, error::TransportError, http::HttpClient};
use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What to compare, and as whom.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The program file that all parties share.
    program: PathBuf,
    #[command(flatten)]
    secrets: RequiredFile<SecretsFile>,
    /// Trust the certificates of a private CA in this PEM file, besides those of the system.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// `program.toml collector.secrets.toml`, or `--secrets FILE`.
#[derive(Debug)]
struct SecretsFile;

impl Named for SecretsFile {
    const FILE: FileArgument = FileArgument {
        name: "SECRETS",
        option: "secrets",
        short: None,
        help: "The collector's secrets, from `sottovoce keygen`",
    };
}

/// Asks the leader about each task of the program, and prints what was found. The aggregators'
/// own `doctor` does the same between them.
pub fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    let program = Program::read(&args.program)?;
    let secrets = secrets_of(&program, &args.secrets.path)?;
    let authority = args.ca.as_deref().map(Authority::read).transpose()?;
    let http = HttpClient::trusting(Duration::from_secs(30), authority.as_ref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut wrong = 0;
    for task in program.tasks() {
        let reasons = runtime.block_on(examine(&http, &program, task, &secrets));
        if reasons.is_empty() {
            command_line::print(format_args!(
                "✓ {} ({}): the leader has the same draft, clock, configuration, collector key and token",
                task.name, task.task_id
            ))?;
            continue;
        }
        wrong += 1;
        for reason in reasons {
            let (name, id) = (&task.name, task.task_id);
            command_line::print(format_args!("✗ {name} ({id}): the leader: {reason}"))?;
        }
    }
    ensure!(wrong == 0, "{wrong} of {} tasks have problems", program.tasks().len());
    Ok(())
}

/// All that speaks against collecting a task.
async fn examine(
    http: &HttpClient,
    program: &Program,
    task: &CompiledTask,
    secrets: &CollectorSecrets,
) -> Vec<String> {
    let endpoint = program.leader().as_str().trim_end_matches('/');
    let ask = Ask { url: format!("{endpoint}/tasks/{}/agreement", task.task_id) };
    let theirs = match http.perform(&ask, Some(&secrets.collector_token)).await {
        Ok(theirs) => theirs,
        Err(error) => return vec![explain(&error)],
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let milliseconds = u64::try_from(now).unwrap_or(u64::MAX);
    let ours = Held::new(&task.configuration, program.collector(), task.noise(), milliseconds);
    ours.compare(&theirs).iter().map(ToString::to_string).collect()
}

fn explain(error: &TransportError) -> String {
    let TransportError::Exchange { source: ExchangeError::Problem { problem, .. }, .. } = error
    else {
        return error.to_string();
    };
    match (problem.status, problem.kind()) {
        (401, _) => {
            "it rejects our bearer token; set the same collector_token on both sides".to_owned()
        }
        (_, Some(ProblemType::UnrecognizedTask)) => {
            "it does not have this task; its operator has to add the same program".to_owned()
        }
        _ => error.to_string(),
    }
}

struct Ask {
    url: String,
}

impl Exchange for Ask {
    type Output = Held;

    fn request(&self) -> Request {
        Request {
            method: Method::Get,
            url: self.url.clone(),
            media_type: None,
            body: Vec::new(),
            authorized: true,
        }
    }

    fn read_success(&self, response: Response) -> Result<Held, ExchangeError> {
        serde_json::from_slice(&response.body).map_err(|_| {
            let excerpt = Text::new(
                "the response is not in this program's format; check that the leader is sottovoce",
            );
            ExchangeError::Status { status: response.status, excerpt }
        })
    }
}
