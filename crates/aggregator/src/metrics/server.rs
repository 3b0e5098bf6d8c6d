//! What there is to say of the server besides reports and requests: its build, database, keys, certificates,
//! clock and public log.

use super::labels::{Build, OfCertificate, OfPeer, OfReason, OfState, OfWitness};
use crate::{
    clock,
    keyring::{KeyState, states},
    store::{Datastore, KeyUse, StoreError, Timestamp},
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use std::{
    path::Path,
    sync::{OnceLock, atomic::AtomicU64},
    time::Duration,
};

/// Series of the server.
pub(super) struct ServerMetrics {
    log_entries: Gauge,
    log_waiting: Gauge,
    witness_failures: Family<OfWitness, Counter>,
    witness_lag: Family<OfWitness, Gauge>,
    pending_collections: Family<OfReason, Gauge>,
    oldest_pending: Family<OfReason, Gauge>,
    helpers_left_alone: Gauge,
    peers_failing: Family<OfPeer, Gauge>,
    skew: Family<OfPeer, Gauge<f64, AtomicU64>>,
    certificates: Family<OfCertificate, Gauge>,
    hpke_keys: Family<OfState, Gauge>,
    hpke_age: Gauge,
    hpke_rotation: Gauge,
    connections: Family<OfState, Gauge>,
    most_connections: Gauge,
    disk_free: Gauge,
    disk_size: Gauge,
    disk_ratio: Gauge<f64, AtomicU64>,
    /// The folder of the embedded database, if there is one.
    folder: OnceLock<Box<Path>>,
}

impl ServerMetrics {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        let new = Self {
            log_entries: Gauge::default(),
            log_waiting: Gauge::default(),
            witness_failures: Family::default(),
            witness_lag: Family::default(),
            pending_collections: Family::default(),
            oldest_pending: Family::default(),
            helpers_left_alone: Gauge::default(),
            peers_failing: Family::default(),
            skew: Family::default(),
            certificates: Family::default(),
            hpke_keys: Family::default(),
            hpke_age: Gauge::default(),
            hpke_rotation: Gauge::default(),
            connections: Family::default(),
            most_connections: Gauge::default(),
            disk_free: Gauge::default(),
            disk_size: Gauge::default(),
            // Until it is known: nobody is to be alarmed by a disk that was not looked at, or is not ours.
            disk_ratio: Gauge::default(),
            folder: OnceLock::new(),
        };
        new.disk_ratio.set(1.0);
        new
    }

    /// Names them, with what they are.
    pub(super) fn register(&self, registry: &mut Registry, role: &'static str) {
        let build = Info::new(Build { version: env!("CARGO_PKG_VERSION"), role });
        registry.register("build", "The version of the program, and its role", build);
        super::register!(registry, self, {
            "public_log_entries", log_entries, "Published entries of the public log";
            "public_log_waiting_entries", log_waiting,
                "Entries of the public log that are not published yet, which shares wait for";
            "public_log_witness_failures", witness_failures,
                "Failed requests to a witness to cosign a checkpoint";
            "public_log_witness_lag_seconds", witness_lag,
                "Time since the log has had entries that the witness has not cosigned; 0 if it has cosigned all";
            "pending_collections", pending_collections, "Pending collections, by what they wait for";
            "oldest_pending_collection_age_seconds", oldest_pending,
                "Age of the oldest pending collection, by what it waits for";
            "helpers_left_alone", helpers_left_alone,
                "Helpers in backoff after several failures in a row";
            "peer_failing_seconds", peers_failing,
                "Time since the other aggregator has answered no request as it should; 0 if it has answered the last";
            "peer_clock_skew_seconds", skew,
                "How far the other aggregator's clock is ahead of ours; negative if it is behind";
            "certificate_expiry_timestamp_seconds", certificates,
                "Time at which a certificate in use expires, in seconds since 1970";
            "hpke_keys", hpke_keys, "HPKE keys, by their state";
            "hpke_key_age_seconds", hpke_age, "Age of the HPKE key that is offered to devices";
            "hpke_rotation_timestamp_seconds", hpke_rotation,
                "Time at which the next HPKE key is due, in seconds since 1970; 0 without automatic rotation";
            "database_connections", connections, "Connections to the database, by their state";
            "database_connections_max", most_connections, "Most connections to the database";
            "disk_available_bytes", disk_free,
                "Free bytes of the file system with the database file; 0 if the database is elsewhere";
            "disk_size_bytes", disk_size,
                "Bytes of the file system with the database file; 0 if the database is elsewhere";
            "disk_available_ratio", disk_ratio,
                "Free part of the file system with the database file; 1 if the database is elsewhere";
        });
    }

    /// Says where the embedded database is.
    pub(super) fn database_at(&self, folder: &Path) {
        let _ = self.folder.set(folder.into());
    }

    /// Sets what only the database and the system know. `rotate_after` is zero without automatic rotation.
    pub(super) fn look(
        &self,
        store: &dyn Datastore,
        rotate_after: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let log = store.log_head()?;
        self.log_entries.set(signed(log.size));
        self.log_waiting.set(signed(log.waiting));
        self.look_at_keys(store, rotate_after, now)?;
        let connections = store.connections();
        for (state, count) in [("in_use", connections.in_use), ("idle", connections.idle)] {
            self.connections.get_or_create(&OfState { state }).set(signed(count as u64));
        }
        self.most_connections.set(signed(connections.most as u64));
        self.look_at_disk();
        Ok(())
    }

    fn look_at_keys(
        &self,
        store: &dyn Datastore,
        rotate_after: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let keys = states(store.keys(KeyUse::Hpke)?, now);
        let (mut pending, mut active, mut expired) = (0, 0, 0);
        for (key, state) in &keys {
            match state {
                KeyState::Pending(_) => pending += 1,
                KeyState::Expired(_) => expired += 1,
                KeyState::Active => {
                    active += 1;
                    let age = clock::seconds(now).saturating_sub(clock::seconds(key.offered));
                    self.hpke_age.set(signed(age));
                }
            }
        }
        for (state, count) in [("pending", pending), ("active", active), ("expired", expired)] {
            self.hpke_keys.get_or_create(&OfState { state }).set(count);
        }
        let newest = keys.iter().map(|(key, _)| key.offered).max();
        let due = newest.filter(|_| !rotate_after.is_zero());
        self.hpke_rotation
            .set(due.map_or(0, |newest| signed(clock::seconds(newest.after(rotate_after)))));
        Ok(())
    }

    fn look_at_disk(&self) {
        let Some(disk) = self.folder.get().and_then(|folder| disk(folder)) else { return };
        self.disk_free.set(signed(disk.free));
        self.disk_size.set(signed(disk.size));
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        self.disk_ratio.set(disk.free as f64 / disk.size.max(1) as f64);
    }

    /// Shows a witness from now on.
    pub(super) fn watch_witness(&self, witness: &str) {
        let label = OfWitness { witness: witness.to_owned() };
        let _ = self.witness_failures.get_or_create(&label);
        let _ = self.witness_lag.get_or_create(&label);
    }

    pub(super) fn witness_failed(&self, witness: &str) {
        let label = OfWitness { witness: witness.to_owned() };
        self.witness_failures.get_or_create(&label).inc();
    }

    pub(super) fn witness_lags(&self, witness: &str, lag: Duration) {
        let label = OfWitness { witness: witness.to_owned() };
        self.witness_lag.get_or_create(&label).set(signed(lag.as_secs()));
    }

    pub(super) fn collections_wait(&self, reason: &'static str, count: u64, oldest: u64) {
        let label = OfReason { reason };
        self.pending_collections.get_or_create(&label).set(signed(count));
        self.oldest_pending.get_or_create(&label).set(signed(oldest));
    }

    pub(super) fn helpers_left_alone(&self, helpers: usize) {
        self.helpers_left_alone.set(signed(helpers as u64));
    }

    pub(super) fn peer_fails(&self, peer: &str, since: Duration) {
        let label = OfPeer { peer: peer.to_owned() };
        self.peers_failing.get_or_create(&label).set(signed(since.as_secs()));
    }

    pub(super) fn skew(&self, peer: &str, seconds: f64) {
        self.skew.get_or_create(&OfPeer { peer: peer.to_owned() }).set(seconds);
    }

    pub(super) fn certificate(&self, certificate: &'static str, expires: u64) {
        self.certificates.get_or_create(&OfCertificate { certificate }).set(signed(expires));
    }
}

/// Bytes of a file system.
struct Disk {
    free: u64,
    size: u64,
}

/// The file system that holds a folder; free is what is so for others than root.
#[cfg(unix)]
fn disk(folder: &Path) -> Option<Disk> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(Disk { free: bytes(stat.f_bavail), size: bytes(stat.f_blocks) })
}

#[cfg(not(unix))]
fn disk(_: &Path) -> Option<Disk> {
    None
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
