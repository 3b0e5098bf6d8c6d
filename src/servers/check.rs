//! What is checked before a server starts: the configuration and all that it names, mistake by mistake.
//!
//! `serve --check-config` prints the mistakes; `serve` does not start with them.

use super::{
    ConfigArgs, helper_client,
    instance::{self, Checked, Missing},
};
use crate::command_line;
use anyhow::bail;
use serde::Serialize;
use sottovoce_aggregator::{
    config::{
        Config, ConfigError, access, database::Database, no_secrets, read, secrets::read_token,
    },
    serve::{logs, tls::Certificates},
    task::StoredTask,
    task_file::FromFile,
};
use sottovoce_dap::{ids::TaskId, task::Url};
use sottovoce_program::Program;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

#[derive(Serialize)]
struct Outcome<'a> {
    config: &'a Path,
    valid: bool,
    mistakes: &'a [String],
}

/// Says whether a configuration is valid; changes nothing.
pub(super) fn run<T: StoredTask + FromFile>(args: &ConfigArgs, json: bool) -> anyhow::Result<()> {
    let config = args.path.as_path();
    let mistakes = check::<T>(config).err().unwrap_or_default();
    if json {
        let outcome = Outcome { config, valid: mistakes.is_empty(), mistakes: &mistakes };
        command_line::print(serde_json::to_string(&outcome)?)?;
    }
    refuse(config, &mistakes)?;
    if json { Ok(()) } else { command_line::print(format_args!("{} is valid", config.display())) }
}

/// The configuration at `path` for a server that starts.
pub(super) fn checked<T: StoredTask + FromFile>(path: &Path) -> anyhow::Result<Checked<T>> {
    match check(path) {
        Ok(checked) => Ok(checked),
        Err(mistakes) => {
            refuse(path, &mistakes)?;
            bail!("{} has mistakes", path.display())
        }
    }
}

fn refuse(config: &Path, mistakes: &[String]) -> anyhow::Result<()> {
    match mistakes {
        [] => Ok(()),
        [mistake] => bail!("{mistake}"),
        _ => bail!(
            "{} has {} mistakes:\n  - {}",
            config.display(),
            mistakes.len(),
            mistakes.join("\n  - ")
        ),
    }
}

/// Reads all that serving would read, but the database, and changes nothing.
fn check<T: StoredTask + FromFile>(path: &Path) -> Result<Checked<T>, Vec<String>> {
    let config = Config::read(path).map_err(|error| in_environment(&error))?;
    let mut mistakes = Mistakes::default();
    mistakes.note(logs::check(&config.log));
    let (tasks, programs) = mistakes.tasks::<T>(&config);
    let hosts = hosts(&tasks);
    let tls = config.tls.as_ref();
    let certificates = tls.and_then(|tls| mistakes.note(Certificates::load(tls, &hosts)));
    mistakes.admin(&config);
    mistakes.note(helper_client::helper_client(&config.peer));
    mistakes.note(instance::look_for_keys(&config));
    mistakes.0.extend(secret_files(&config).iter().filter_map(|path| access::exposed(path)));
    mistakes
        .0
        .extend(database_files(&config).iter().filter_map(|path| access::strange_owner(path)));
    if mistakes.0.is_empty() {
        Ok(Checked { config, tasks, programs, certificates })
    } else {
        Err(mistakes.0)
    }
}

/// The mistakes of a configuration that cannot be read; what is missing may be in an environment file.
fn in_environment(error: &ConfigError) -> Vec<String> {
    let mut mistakes = error.mistakes();
    for mistake in &mut mistakes {
        if mistake.contains("missing field") {
            mistake.push_str(&Missing::hint());
        }
    }
    mistakes
}

/// What was found to be wrong.
#[derive(Default)]
struct Mistakes(Vec<String>);

impl Mistakes {
    fn note<V, E: Into<anyhow::Error>>(&mut self, result: Result<V, E>) -> Option<V> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(command_line::story(&error.into()));
                None
            }
        }
    }

    /// What the admin interface shows and asks for.
    fn admin(&mut self, config: &Config) {
        let Some(admin) = &config.admin else { return };
        admin.tls.as_ref().and_then(|tls| self.note(Certificates::load(tls, &[])));
        admin.token.as_deref().and_then(|token| self.note(read_token(token)));
    }

    /// The tasks of all programs and task files, and which program each is of.
    fn tasks<T: StoredTask + FromFile>(
        &mut self,
        config: &Config,
    ) -> (Vec<T>, HashMap<TaskId, String>) {
        let secrets = config.secrets.as_deref().map(read::<T::Secrets>);
        let secrets = secrets.and_then(|secrets| self.note(secrets));
        let (mut tasks, mut programs) = (Vec::<T>::new(), HashMap::new());
        for path in &config.programs {
            let Some(program) = self.note(Program::read(path)) else { continue };
            let Some(secrets) = &secrets else {
                if config.secrets.is_none() {
                    self.0.push(no_secrets(path));
                }
                continue;
            };
            for task in self.note(T::from_program(&program, secrets)).unwrap_or_default() {
                programs.insert(task.task().id, program.name().to_owned());
                tasks.push(task);
            }
        }
        for path in &config.tasks {
            tasks.extend(self.note(T::from_task_file(path)));
        }
        self.paths(config, &tasks);
        (tasks, programs)
    }

    /// Each endpoint that is under another path than ours, once.
    fn paths<T: StoredTask>(&mut self, config: &Config, tasks: &[T]) {
        let ours = config.path.trim_end_matches('/');
        let mut seen = Vec::new();
        for task in tasks {
            let endpoint = task.task().endpoint(T::role());
            let theirs = place(endpoint).1.trim_end_matches('/');
            if theirs != ours && !seen.contains(&endpoint) {
                seen.push(endpoint);
                self.0.push(format!(
                    "path = {:?} is not the path of our endpoint {endpoint}; set path = \"{theirs}/\", or change \
                     the endpoint in the program",
                    config.path
                ));
            }
        }
    }
}

/// The hosts of our endpoints, each once.
fn hosts<T: StoredTask>(tasks: &[T]) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    let endpoints = tasks.iter().map(|task| task.task().endpoint(T::role()));
    for endpoint in endpoints.filter(|endpoint| endpoint.as_str().starts_with("https://")) {
        let (authority, _) = place(endpoint);
        let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        let host = &authority[..port.unwrap_or(authority.len())];
        if !hosts.iter().any(|known| known == host) {
            hosts.push(host.to_owned());
        }
    }
    hosts
}

/// The authority of a URL, and its path.
fn place(url: &Url) -> (&str, &str) {
    let rest = url.as_str().split_once("://").map_or("", |(_, rest)| rest);
    rest.split_at(rest.find('/').unwrap_or(rest.len()))
}

/// The files that nobody else may read.
fn secret_files(config: &Config) -> Vec<PathBuf> {
    let mut files: Vec<_> = config.database_key.iter().chain(&config.secrets).cloned().collect();
    files.extend(config.tasks.iter().cloned());
    let admin = config.admin.iter();
    files.extend(admin.clone().filter_map(|admin| admin.token.clone()));
    let tls = config.tls.iter().chain(admin.filter_map(|admin| admin.tls.as_ref()));
    files.extend(tls.map(|tls| tls.key.clone()));
    files.extend(config.peer.identity.iter().map(|identity| identity.key.clone()));
    files
}

/// The files that the server writes.
fn database_files(config: &Config) -> Vec<PathBuf> {
    let Database::Sqlite(path) = &config.database else { return Vec::new() };
    let beside = |end: &str| {
        let mut name = path.clone().into_os_string();
        name.push(end);
        PathBuf::from(name)
    };
    ["", "-wal", "-shm"].map(beside).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_into_authority_and_path() {
        for (url, authority, path) in [
            ("https://leader.example", "leader.example", ""),
            ("https://leader.example:8443/dap/", "leader.example:8443", "/dap/"),
            ("https://[::1]:8443/", "[::1]:8443", "/"),
        ] {
            assert_eq!(place(&Url::new(url).unwrap()), (authority, path));
        }
    }
}
