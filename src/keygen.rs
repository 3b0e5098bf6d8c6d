//! The secrets that parties agree on before the first report.
//!
//! | secret | leader | helper | collector |
//! |---|---|---|---|
//! | seed of the verify keys | ✓ | ✓ | |
//! | leader's token | presents it | checks it | |
//! | collector's token | checks it | | presents it |
//! | collector's HPKE private key | | | ✓ |
//!
//! The aggregators' own HPKE keys are not among them: each server makes and keeps its own.

use crate::command_line::write_secret;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sottovoce_aggregator::config::secrets::VerifyKeySeed;
use sottovoce_dap::{
    bearer_token::BearerToken,
    codec::Encode,
    hpke::{HpkeConfigId, HpkeKeypair, Suite, native},
};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// All parties' secrets.
pub struct Secrets {
    seed: VerifyKeySeed,
    leader_token: BearerToken,
    collector_token: BearerToken,
    collector: HpkeKeypair,
}

impl Secrets {
    /// Fresh secrets from the operating system's randomness.
    pub fn generate() -> anyhow::Result<Self> {
        Ok(Self {
            seed: VerifyKeySeed::random()?,
            leader_token: BearerToken::random()?,
            collector_token: BearerToken::random()?,
            collector: native::generate(HpkeConfigId(1), Suite::DEFAULT)?,
        })
    }

    /// The collector's public configuration, for the program.
    pub fn collector_hpke_config(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.collector.config.to_bytes())
    }

    /// Writes one file for each party and returns their paths.
    pub fn write(&self, folder: &Path) -> anyhow::Result<[PathBuf; 3]> {
        let seed = self.seed.secret_text();
        let (leader_token, collector_token) =
            (self.leader_token.secret(), self.collector_token.secret());
        let leader = Zeroizing::new(format!(
            "# The leader's secrets.\n\
             # Shared with the helper: verify keys are derived from it.\n\
             verify_key_seed = \"{}\"\n\
             # Shared with the helper: the leader presents it there.\n\
             leader_token = \"{leader_token}\"\n\
             # Shared with the collector, which presents it to the leader.\n\
             collector_token = \"{collector_token}\"\n",
            *seed
        ));
        let helper = Zeroizing::new(format!(
            "# The helper's secrets.\n\
             # Shared with the leader: verify keys are derived from it.\n\
             verify_key_seed = \"{}\"\n\
             # Shared with the leader, which presents it to the helper.\n\
             leader_token = \"{leader_token}\"\n",
            *seed
        ));
        let private_key = Zeroizing::new(URL_SAFE_NO_PAD.encode(self.collector.secret_bytes()));
        let collector = Zeroizing::new(format!(
            "# The collector's secrets.\n\
             # The public half of its key, as in the program.\n\
             hpke_config = \"{}\"\n\
             # The private half: decrypts aggregate shares. Nobody else has it.\n\
             hpke_private_key = \"{}\"\n\
             # Shared with the leader: the collector presents it there.\n\
             collector_token = \"{collector_token}\"\n",
            self.collector_hpke_config(),
            *private_key
        ));
        let paths = ["leader", "helper", "collector"]
            .map(|party| folder.join(format!("{party}.secrets.toml")));
        // All or none: a mix of an old and a new set is of no use.
        if let Some(path) = paths.iter().find(|path| path.exists()) {
            anyhow::bail!("{} already exists; move it away first", path.display());
        }
        for (written, (path, text)) in paths.iter().zip([&leader, &helper, &collector]).enumerate()
        {
            let made = write_secret(path, text);
            made.inspect_err(|_| paths[..written].iter().for_each(remove))?;
        }
        Ok(paths)
    }
}

/// A file that cannot be removed is named by the next attempt.
fn remove(path: &PathBuf) {
    let _ = std::fs::remove_file(path);
}
