//! `sottovoce-auditor witness`: run a witness, or write its first configuration and key.

use crate::command_line::{
    self,
    file_argument::{FileArgument, Named, RequiredFile},
};
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use sottovoce_audit::witness::{
    config::{self, Config},
    key::WitnessKey,
    records::Records,
    serve::{router, serve, stop_signal},
};
use sottovoce_log::{checkpoint::Signer, note::KeyName};
use sottovoce_whole_file::Readers;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;

/// A witness to serve, or to prepare.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct WitnessArgs {
    #[command(subcommand)]
    command: Option<WitnessCommand>,
    /// The configuration file; `witness init` writes a first one.
    #[arg(value_name = "CONFIG", required_unless_present = "option")]
    config: Option<PathBuf>,
    /// The same as CONFIG.
    #[arg(id = "option", long = "config", short = 'c', value_name = "FILE")]
    #[arg(conflicts_with = "config")]
    config_option: Option<PathBuf>,
}

/// `witness witness.toml`, or `witness --config witness.toml`.
#[derive(Debug)]
struct ConfigFile;

impl Named for ConfigFile {
    const FILE: FileArgument = FileArgument {
        name: "CONFIG",
        option: "config",
        short: Some('c'),
        help: "The configuration file; `witness init` writes a first one",
    };
}

#[derive(Debug, Subcommand)]
enum WitnessCommand {
    /// Write a first configuration, a private key and empty records; print the witness's verifier key.
    Init(InitArgs),
    /// Print the witness's verifier key, which others need to check its cosignatures.
    Key(RequiredFile<ConfigFile>),
}

#[derive(Debug, Args)]
struct InitArgs {
    /// The witness's name: its URL without the scheme, such as `witness.example`.
    #[arg(long)]
    name: String,
    /// The configuration to write. The private key and the records are created beside it; none may exist.
    #[arg(value_name = "OUTPUT", default_value = "witness.toml", conflicts_with = "option")]
    output: PathBuf,
    /// The same as OUTPUT.
    #[arg(id = "option", long = "output", short = 'o', value_name = "FILE")]
    output_option: Option<PathBuf>,
}

/// Carries a command out.
pub fn run(args: &WitnessArgs) -> anyhow::Result<()> {
    match (&args.command, args.config.as_ref().or(args.config_option.as_ref())) {
        (Some(WitnessCommand::Init(args)), _) => init(args),
        (Some(WitnessCommand::Key(config)), _) => {
            let key = WitnessKey::read(&Config::read(&config.path)?.key)?;
            command_line::print(key.verifier_key())
        }
        (None, Some(config)) => start(&Config::read(config)?),
        (None, None) => {
            anyhow::bail!("no configuration: name its file, such as `witness witness.toml`")
        }
    }
}

fn init(args: &InitArgs) -> anyhow::Result<()> {
    let (name, path) =
        (KeyName::new(&args.name)?, args.output_option.as_ref().unwrap_or(&args.output));
    let (key, records) = (path.with_extension("key"), path.with_extension("records"));
    for path in [path, &key, &records] {
        ensure!(!path.exists(), "{} already exists; name another file", path.display());
    }
    ensure!(
        *path != key && *path != records,
        "{} would be overwritten by the key or the records; choose a name such as witness.toml",
        path.display()
    );
    let text = config::template(&base_name(&key), &base_name(&records));
    command_line::write_new(path, &text, Readers::All)?;
    Records::create(&records)?;
    let public = WitnessKey::create(&name, &key)?;
    eprintln!(
        "wrote {path}, {key} and {records}. Next:\n  \
         add the verifier keys of the logs to witness to {path}\n  \
         run: sottovoce-auditor witness --config {path}\n  \
         give the witness's URL and this verifier key to the operators and readers of these logs:",
        path = path.display(),
        key = key.display(),
        records = records.display()
    );
    command_line::print(public.verifier_key())
}

/// As the configuration names what is beside it.
fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn start(config: &Config) -> anyhow::Result<()> {
    ensure!(
        !config.logs.is_empty(),
        "the configuration has no log to witness; add its keys under `[[logs]]`"
    );
    let key = WitnessKey::read(&config.key)?;
    let records = Records::open(&config.records, key, config.logs.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(listen(config, Arc::new(records)));
    // Not longer for what still waits for a disk: a record is kept whole or not at all.
    runtime.shutdown_timeout(LAST_MOMENT);
    served
}

/// How long shutdown waits for threads that cannot be interrupted.
const LAST_MOMENT: Duration = Duration::from_secs(1);

async fn listen(config: &Config, records: Arc<Records>) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("cannot listen on {}; set `listen` to a free address", config.listen)
    })?;
    // For people and for whoever started us on port 0.
    let (name, address) = (records.verifier_key().name().clone(), listener.local_addr()?);
    command_line::print(format_args!("witness {name} listening on http://{address}"))?;
    let router = router(records, &config.limits);
    serve(listener, router, &config.limits, stop).await;
    Ok(())
}
