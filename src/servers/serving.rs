//! A server from start to end.

use super::{
    instance::Instance,
    speech::{self, Speech},
    witnesses,
};
use anyhow::Context;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
#[cfg(unix)]
use sottovoce_aggregator::serve::socket::Socket;
use sottovoce_aggregator::upkeep;
use sottovoce_aggregator::{
    clock,
    config::{Config, database::Database, limits::Limits, secrets::read_token},
    keyring::Keyring,
    log::{PublicLog, entries},
    metrics::{Described, Metrics},
    serve::{
        admin::{self, Admin},
        listen, logs, public, serve,
        signals::stop_signal,
        tls::Certificates,
        traces,
    },
    store::{Datastore, sealed::DatabaseKeys},
    task::StoredTask,
    task_file::FromFile,
};
use std::{
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};
use tracing::{Instrument, Span, field};

/// What a role is made of.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) store: Arc<dyn Datastore>,
    pub(super) keys: DatabaseKeys,
    pub(super) keyring: Arc<Keyring>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) log: Arc<PublicLog>,
}

/// What a server holds before it serves.
struct Resources {
    log: logs::LogLevel,
    certificates: Option<Arc<Certificates>>,
    keyring: Arc<Keyring>,
    public_log: Arc<PublicLog>,
    metrics: Arc<Metrics>,
}

/// A role's routes, and its work besides answering.
pub(super) type Role = (Router, Option<JoinHandle<()>>);

impl<T: StoredTask + FromFile> Instance<T> {
    /// Serves with what the role makes of the database, until told to stop.
    pub(super) fn serve<'a, F>(
        &'a self,
        speech: &Speech,
        role: impl FnOnce(Parts<'a>, watch::Receiver<bool>) -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<Role>>,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        self.store.reserve();
        // Before the runtime: a database client may not be used on a thread that drives it.
        let keyring = self.keyring()?;
        let metrics = self.metrics();
        let public_log = self.begin_log(&metrics)?;
        let (certificates, keyring) = (self.certificates.clone(), Arc::new(keyring));
        let log = speech.level.clone();
        let held = Resources { log, certificates, keyring, public_log, metrics };
        let served = runtime.block_on(self.run(role, held));
        // Not longer for what still waits for a disk, a database or another party.
        runtime.shutdown_timeout(BLOCKING_TIMEOUT);
        served
    }

    /// Says in the log that we start, and what it lacks: tasks from before there was one.
    fn begin_log(&self, metrics: &Metrics) -> anyhow::Result<Arc<PublicLog>> {
        let now = clock::now();
        let log = self.public_log()?;
        let mut entries = entries::start(T::ROLE, &self.config, now)?.to_vec();
        for task in self.tasks.all()? {
            metrics.watch(task.task());
            entries.push(entries::task(task.task(), now)?);
        }
        log.write(&entries)?;
        Ok(Arc::new(log))
    }

    /// Nothing counted yet, but all that can be named is.
    fn metrics(&self) -> Arc<Metrics> {
        let metrics = Metrics::of(Described {
            role: T::ROLE,
            programs: self.programs.clone(),
            rotate_after: self.config.hpke.rotate_after,
        });
        if let Database::Sqlite(path) = &self.config.database {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            metrics.database_at(folder.unwrap_or(Path::new(".")));
        }
        for witness in &self.config.public_log.witnesses {
            metrics.watch_witness(witness.key.name().as_str());
        }
        Arc::new(metrics)
    }

    fn keyring(&self) -> anyhow::Result<Keyring> {
        Ok(Keyring::load(self.store.as_ref(), &self.keys, clock::now())?)
    }

    async fn run<'a, F>(
        &'a self,
        role: impl FnOnce(Parts<'a>, watch::Receiver<bool>) -> F,
        Resources { log, certificates, keyring, public_log, metrics }: Resources,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<Role>>,
    {
        let (config, name) = (&self.config, T::ROLE);
        let stop = stop_signal()?;
        let listener = listen(config.listen).await?;
        if let Some(embedded) = self.embedded.clone() {
            // Only now that the port is ours: whoever had the leases is gone.
            // It waits if another process writes to the file; it is nothing that must be done.
            let ended = spawn_blocking(move || embedded.end_leases());
            let Some(ended) = unless_stopped(stop.clone(), ended).await else { return Ok(()) };
            ended??;
        }
        let admin = self.open_admin(log, &metrics, stop.clone()).await?;
        let parts = Parts {
            config,
            store: Arc::clone(&self.store),
            keys: self.keys.clone(),
            keyring: Arc::clone(&keyring),
            metrics: Arc::clone(&metrics),
            log: Arc::clone(&public_log),
        };
        let upkeep = tokio::spawn(upkeep::run::<T>(
            upkeep::Upkeep {
                store: Arc::clone(&self.store),
                keys: self.keys.clone(),
                keyring,
                metrics: Arc::clone(&metrics),
                log: Arc::clone(&public_log),
                hpke: config.hpke,
                retention: config.retention,
            },
            stop.clone(),
        ));
        let witnessing = tokio::spawn(witnesses::run(
            public_log,
            config.public_log.witnesses.clone(),
            Arc::clone(&metrics),
            stop.clone(),
        ));
        let renewal = certificates
            .clone()
            .map(|certificates| (certificates, Arc::clone(&metrics)))
            .map(|(certificates, metrics)| {
                tokio::spawn(async move {
                    certificates.reload_forever(|name, end| metrics.certificate(name, end)).await;
                })
            });
        let (router, work) = role(parts, stop.clone()).await?;

        let address = listener.local_addr()?;
        let scheme = if certificates.is_some() { "https" } else { "http" };
        // For people and for whoever started us on port 0.
        speech::announce(format_args!("{name} listening on {scheme}://{address}"))?;
        tracing::info!(%address, role = name, version = env!("CARGO_PKG_VERSION"), "listening");
        let router =
            public(&config.path, router).layer(from_fn_with_state(Arc::clone(&metrics), count));
        let (counted, mut stopping) = (metrics, stop.clone());
        let ended = async {
            serve(listener, router, certificates, &config.limits, counted, stop).await;
            if let Some(work) = work {
                work.await?;
            }
            upkeep.await?;
            witnessing.await??;
            Ok::<_, anyhow::Error>(())
        };
        let too_long = async {
            let _ = stopping.wait_for(|stop| *stop).await;
            tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
        };
        tokio::select! {
            ended = ended => ended?,
            () = too_long => tracing::warn!(
                role = name,
                "shutdown timeout: stopping with work unfinished; it is in the database and resumes at the next start"
            ),
        }
        renewal.iter().chain(&admin).for_each(JoinHandle::abort);
        tracing::info!(role = name, "stopped");
        Ok(())
    }

    async fn open_admin(
        &self,
        log: logs::LogLevel,
        metrics: &Arc<Metrics>,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<Option<JoinHandle<()>>> {
        let Some(config) = &self.config.admin else { return Ok(None) };
        let token = config.token.as_deref().map(read_token).transpose()?;
        let admin = |place| {
            admin::router(Admin {
                store: Arc::clone(&self.store),
                metrics: Arc::clone(metrics),
                log,
                token: token.map(|token| token.hash()),
                place: format!("the admin interface at {place}"),
            })
        };
        let say = |place: &str| {
            speech::announce(format_args!("{} admin interface listening on {place}", T::ROLE))
        };
        #[cfg(unix)]
        if let Some(path) = &config.socket {
            let socket = Socket::listen(path)?;
            let place = format!("unix:{}", path.display());
            say(&place)?;
            return Ok(Some(tokio::spawn(socket.serve(admin(place), stop))));
        }
        let address = config.listen.context("admin.socket needs a system with Unix sockets")?;
        let certificates = config.tls.as_ref().map(|tls| Certificates::load(tls, &[]));
        let certificates = certificates.transpose()?.map(Arc::new);
        let listener = listen(address).await?;
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let place = format!("{scheme}://{}", listener.local_addr()?);
        say(&place)?;
        let (router, metrics) = (admin(place), Arc::clone(metrics));
        let shown = Arc::clone(&metrics);
        // Nobody stands in front of this one.
        let limits = Limits { proxy_protocol: false, ..self.config.limits.clone() };
        Ok(Some(tokio::spawn(async move {
            let renewed = certificates.clone();
            let served = serve(listener, router, certificates, &limits, metrics, stop);
            match renewed {
                None => served.await,
                Some(renewed) => tokio::select! {
                    () = served => {}
                    () = renewed.reload_forever(|_, end| shown.certificate("admin", end)) => {}
                },
            }
        })))
    }
}

/// The result of the work, or nothing if the server has to stop before.
async fn unless_stopped<T>(
    mut stop: watch::Receiver<bool>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        _ = stop.wait_for(|stop| *stop) => None,
    }
}

/// Around each request: a span that says what was asked for.
async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let span = tracing::debug_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        status = field::Empty
    );
    traces::continue_from(&span, request.headers());
    answer(&metrics, request, next).instrument(span).await
}

/// Counts requests, by their resource and answer.
async fn answer(metrics: &Metrics, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let pattern = pattern(request.uri().path());
    let response = next.run(request).await;
    let status = response.status();
    metrics.answered(Some(&pattern), status.as_u16(), began.elapsed());
    Span::current().record("status", status.as_u16());
    tracing::debug!(milliseconds = began.elapsed().as_secs_f64() * 1000.0, "answered");
    response
}

/// A path with placeholders for what tells one task or file from another: what is left are words of ours, or is no
/// resource.
fn pattern(path: &str) -> String {
    let mut before: [&str; 2] = [""; 2];
    let placeholder = |segment| {
        let placeholder = match before {
            [_, "tasks"] => "{task_id}",
            ["{task_id}", _] => "{id}",
            [_, "tile"] => "{*name}",
            [_, "proof"] => "{key}",
            _ => segment,
        };
        before = [before[1], placeholder];
        placeholder
    };
    // A tile's name has slashes.
    let path = path
        .split_once("/log/tile/")
        .map_or_else(|| path.to_owned(), |(endpoint, _)| format!("{endpoint}/log/tile/name"));
    path.split('/').map(placeholder).collect::<Vec<_>>().join("/")
}

/// How long a server that is told to stop goes on, whatever others do: less than service managers wait.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(7);
/// How long the process then waits for threads that cannot be interrupted.
const BLOCKING_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_resource_have_one_pattern_wherever_the_endpoint_is() {
        for (path, expected) in [
            ("/hpke_config", "/hpke_config"),
            ("/dap/v19/tasks/A-b_c/reports", "/dap/v19/tasks/{task_id}/reports"),
            ("/tasks/A/aggregation_jobs/B", "/tasks/{task_id}/aggregation_jobs/{id}"),
            ("/log/tile/0/x001/067", "/log/tile/{*name}"),
            ("/dap/log/proof/abc", "/dap/log/proof/{key}"),
            ("/log/checkpoint", "/log/checkpoint"),
            ("/", "/"),
        ] {
            assert_eq!(pattern(path), expected);
        }
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait_for_a_database_that_another_holds() {
        let (told, stop) = watch::channel(false);
        let (release, held) = std::sync::mpsc::channel::<()>();
        // Ends when told, or when the test fails.
        let blocked = spawn_blocking(move || held.recv().is_ok());
        let waits = tokio::spawn(unless_stopped(stop.clone(), blocked));
        told.send(true).unwrap();
        assert!(waits.await.unwrap().is_none());
        drop(release);
        let (_told, stop) = watch::channel(false);
        assert_eq!(unless_stopped(stop, async { 7 }).await, Some(7));
    }
}
