//! A server's configuration, and what its environment puts over it.

use crate::stage::STAGE;
use axum::Router;
use sottovoce_aggregator::{
    clock,
    config::Config,
    keyring::Keyring,
    metrics::Metrics,
    serve::{self, edge::Edge},
    store::{Datastore, sqlite::SqliteStore},
};
use std::{path::Path, sync::Arc};

/// The text of the file and, after a zero byte each, `NAME=value`. Refused, or a server can begin with it.
pub fn configurations(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split('\0');
    let text = parts.next().unwrap_or_default();
    let variables: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let Ok(config) = Config::from_text(Path::new("/etc/leader.toml"), text, variables) else {
        return;
    };
    let _ = format!("{config:?}");
    let _ = config.limits.bounds();
    let _ = Edge::new(&config, &Arc::new(Metrics::new()))
        .for_devices(serve::public(&config.path, Router::new()));
    let store = SqliteStore::in_memory().expect("a database");
    let keyring = Keyring::load(&store, &STAGE.keys, clock::now()).expect("a key");
    let rotated = keyring.rotate(&store, &STAGE.keys, &config.hpke, clock::now(), None);
    rotated.expect("a key is there");
    let store: Arc<dyn Datastore> = Arc::new(store);
    let _ = STAGE.leader_with(&store, config.retention, &config.aggregation);
}
