//! What a party holds of a task, to be compared before any real report.
//!
//! Not the draft's: our aggregators tell it, at `/tasks/{task_id}/agreement` beside the task's own
//! resources, to whoever proves to be the other aggregator or the collector. Digests and the time,
//! nothing secret.

use super::{VERSION, codec::Encode, hpke::HpkeConfig, task::TaskConfiguration};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// What a party holds of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The draft that it speaks.
    pub draft: String,
    /// Its program's version.
    pub software: String,
    /// Its clock, in milliseconds since the Epoch.
    pub milliseconds: u64,
    /// SHA-256 of the encoded `TaskConfiguration`.
    pub configuration: String,
    /// SHA-256 of the collector's encoded HPKE configuration.
    pub collector: String,
    /// The noise that each aggregator adds, in words.
    pub noise: String,
}

/// What another party holds differently.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Disagreement {
    /// The proof is not one.
    #[error(
        "it could not prove that it has the same verify key and its own HPKE key; check both task files"
    )]
    Proof,
    /// Another draft.
    #[error("its DAP version is {theirs}, and ours is {ours}; install versions of the same draft")]
    Draft {
        /// The other's.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// The clocks differ.
    #[error("its clock is {seconds} s {direction} ours; synchronize both with NTP")]
    Clock {
        /// By how much.
        seconds: u64,
        /// Whether it is before or behind.
        direction: &'static str,
    },
    /// Something that was agreed on.
    #[error("its {what} differs from ours; add the task on both sides from the same program file")]
    Value {
        /// What.
        what: &'static str,
    },
}

/// How far clocks may be apart before it is said, in seconds: reports of a closing window are at
/// stake.
pub const CLOCKS_APART: u64 = 30;

impl Held {
    /// What we hold, by a clock of `milliseconds` since the Epoch.
    pub fn new(
        configuration: &TaskConfiguration,
        collector: &HpkeConfig,
        noise: Option<impl std::fmt::Debug>,
        milliseconds: u64,
    ) -> Self {
        Self {
            draft: VERSION.to_owned(),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            milliseconds,
            configuration: digest(&configuration.to_bytes()),
            collector: digest(&collector.to_bytes()),
            noise: noise.map_or_else(|| "none".to_owned(), |noise| format!("{noise:?}")),
        }
    }

    /// All in which `theirs` differs from what we hold.
    pub fn compare(&self, theirs: &Self) -> Vec<Disagreement> {
        let mut found = Vec::new();
        if theirs.draft != self.draft {
            let (theirs, ours) = (theirs.draft.clone(), self.draft.clone());
            found.push(Disagreement::Draft { theirs, ours });
        }
        let seconds = theirs.milliseconds.abs_diff(self.milliseconds) / 1000;
        if seconds > CLOCKS_APART {
            let ahead = theirs.milliseconds > self.milliseconds;
            let direction = if ahead { "ahead of" } else { "behind" };
            found.push(Disagreement::Clock { seconds, direction });
        }
        for (what, theirs, ours) in [
            ("task configuration", &theirs.configuration, &self.configuration),
            ("collector's key", &theirs.collector, &self.collector),
            ("noise", &theirs.noise, &self.noise),
        ] {
            if theirs != ours {
                found.push(Disagreement::Value { what });
            }
        }
        found
    }

    /// All of it, in parts to be authenticated.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        let texts =
            [&self.draft, &self.software, &self.configuration, &self.collector, &self.noise];
        let mut parts = vec![self.milliseconds.to_be_bytes().to_vec()];
        parts.extend(texts.map(|text| text.as_bytes().to_vec()));
        parts
    }
}

fn digest(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(draft: &str) -> Held {
        Held {
            draft: draft.into(),
            software: "0.1.0".into(),
            milliseconds: 0,
            configuration: digest(b"configuration"),
            collector: digest(b"collector"),
            noise: "none".into(),
        }
    }

    #[test]
    fn a_party_of_another_draft_is_named() {
        let (ours, theirs) = (held(VERSION), held("dap-20"));
        let disagreement = Disagreement::Draft { theirs: "dap-20".into(), ours: VERSION.into() };
        assert_eq!(ours.compare(&theirs), [disagreement]);
        assert_eq!(ours.compare(&ours), []);
    }
}
