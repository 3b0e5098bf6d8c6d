//! `--serve`: both servers stay up for somebody who tries an app on them.
//!
//! Some devices of the demo's own report in each window, so that the app's report is one of a crowd and a
//! window fills at once. Each window is collected and printed when its grace is over, until Ctrl-C.

use super::{
    clock::{now, sleep_until},
    crowd,
    folder::Folder,
    program, welcome,
};
use crate::{
    collector::{self, read_secrets},
    command_line::{self, story},
    keygen::Secrets,
    local_servers::{Servers, Setup, free_ports},
};
use anyhow::Context;
use sottovoce_aggregator::serve::signals::stop_signal;
use sottovoce_collector::collector::Collector;
use sottovoce_dap::{
    collect::Query,
    time::{Interval, Time},
};
use sottovoce_program::{Program, format_moment};
use std::{convert::Infallible, path::Path, time::Duration};

/// Serves until Ctrl-C or a request to terminate; then stops both servers and removes the folder, unless it
/// is `keep`.
pub fn serve(keep: Option<&Path>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stop = stop_signal()?;
        let folder = Folder::new(keep)?;
        let starting = start(folder.path());
        let (program, mut servers) = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            started = starting => started?,
        };
        command_line::print(welcome::text(&program, &folder))?;
        let served = tokio::select! {
            // First: Ctrl-C in a terminal stops the servers too, and that is no failure then.
            biased;
            _ = stop.wait_for(|stop| *stop) => Ok(()),
            failed = servers.failed() => Err(failed),
            never = crowd::report(&program) => match never {},
            Err(failed) = collect(&program, folder.path()) => Err(failed),
        };
        servers.stop().await?;
        served?;
        command_line::print("Both servers have stopped.")
    })
}

async fn start(folder: &Path) -> anyhow::Result<(Program, Servers)> {
    let secrets = Secrets::generate()?;
    secrets.write(folder)?;
    let ports = free_ports()?;
    let text = program::to_serve(ports, &secrets.collector_hpke_config());
    std::fs::write(folder.join("program.toml"), &text)?;
    let program = Program::parse("program.toml", &text)?;
    let databases = ["leader.sqlite", "helper.sqlite"].map(str::to_owned);
    let servers = Servers::start(&Setup { folder, ports, databases }).await?;
    Ok((program, servers))
}

/// Collects each window when its grace is over, from the current one on.
async fn collect(program: &Program, folder: &Path) -> anyhow::Result<Infallible> {
    let secrets = read_secrets(&folder.join("collector.secrets.toml"))?;
    let collector = Collector::new(program, secrets, PATIENCE)?;
    let task = program.task(program::HELPFUL).context("the demo's program lacks its metric")?;
    let mut window = program.window().time_at(now()).0;
    loop {
        let closes = program.window().start_of(Time(window + 1)) + program.grace();
        sleep_until(closes).await;
        let interval = Interval::new(Time(window), 1)?;
        match collector::collect(&collector, task, Query::TimeInterval(interval.into())).await {
            Ok(batch) => command_line::print(welcome::window(&batch.release))?,
            Err(error) => {
                let start = format_moment(program.window().start_of(Time(window)));
                eprintln!("the window from {start} was not collected: {}", story(&error));
            }
        }
        // Windows that were slept through, as on a laptop, are left out.
        let last = program.window().time_at(now().saturating_sub(program.grace())).0;
        window = (window + 1).max(last.saturating_sub(1));
    }
}

/// How long to wait for the leader before a window is given up.
const PATIENCE: Duration = Duration::from_secs(60);
