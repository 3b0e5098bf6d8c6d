//! What happened in a simulation, counted.

use serde::Serialize;

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Devices whose users took part.
    pub took_part: u64,
    /// Reports that the leader took.
    pub accepted: u64,
    /// Reports that the leader had already, because its answer was lost.
    pub replayed: u64,
    /// Reports that came when their batch was over.
    pub late: u64,
    /// Reports whose proof did not hold.
    pub refused: u64,
    /// Reports of liars who run the engine.
    pub lies: u64,
    /// Reports without noise by devices that do not, under a proof that holds.
    pub bare: u64,
    /// Reports of more than one vote, for which no proof holds.
    pub forged: u64,
    /// Requests of engines.
    pub requests: u64,
    /// Requests, and answers to uploads, that got lost.
    pub lost: u64,
    /// Apps that were killed.
    pub crashes: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.took_part += other.took_part;
        self.accepted += other.accepted;
        self.replayed += other.replayed;
        self.late += other.late;
        self.refused += other.refused;
        self.lies += other.lies;
        self.bare += other.bare;
        self.forged += other.forged;
        self.requests += other.requests;
        self.lost += other.lost;
        self.crashes += other.crashes;
    }
}
