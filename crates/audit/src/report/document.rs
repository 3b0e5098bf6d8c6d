//! What the document says, in its order: the verdict and what is wrong first, then what one device risks, then what
//! the guarantees rest on, from the parameters down to how the data come about, as in the pyramid of NIST SP 800-226.

mod described;
mod found;
mod guides;
mod risk;
mod verdict;

use super::block::{Block, heading, text};
use crate::verify::{Outcome, Unverified};
use sha2::{Digest, Sha256};
use sottovoce_program::{Program, explain::Explanation};

/// What a document is about.
#[derive(Clone, Copy, Debug)]
pub struct Audited<'a> {
    /// The program.
    pub program: &'a Program,
    /// The same in words.
    pub explanation: &'a Explanation,
    /// What was found.
    pub outcome: &'a Outcome,
    /// The logs that could not be verified.
    pub unverified: &'a [Unverified],
    /// How the document was made.
    pub made: &'a Made,
}

/// When and by whom a document was made, and of which program.
#[derive(Clone, Debug)]
pub struct Made {
    /// When, in seconds since the Epoch.
    pub at: u64,
    /// Who audited, if that is said.
    pub auditor: Option<String>,
    /// The program's file.
    pub file: String,
    /// SHA-256 of that file, in hexadecimal.
    pub digest: String,
}

impl Made {
    /// At `at`, of the program whose file has this name and content.
    pub fn of(file: &str, content: &[u8], at: u64, auditor: Option<String>) -> Self {
        let digest: [u8; 32] = Sha256::digest(content).into();
        let digest = digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self { at, auditor, file: file.to_owned(), digest }
    }
}

/// The document about one program.
pub fn document(audited: Audited<'_>) -> Vec<Block> {
    let mut blocks = verdict::verdict(audited);
    blocks.extend(found::violations(audited));
    blocks.extend(verdict::what_was_audited(audited));
    blocks.extend(risk::risk(audited));
    blocks.extend(described::described(audited));
    blocks.extend(found::others(audited.outcome));
    blocks.extend(guides::guides());
    blocks.push(heading("Signed"));
    blocks.push(text(
        "The figures and findings above were computed by the program that is named under \"What was audited\". What they mean \
         for this app is for people to decide, and to sign.",
    ));
    let auditor = audited.made.auditor.as_deref().unwrap_or_default();
    let by = if auditor.is_empty() { String::new() } else { format!(": {auditor}") };
    blocks.push(Block::Form(vec![
        format!("Audited by (name and organisation){by}"),
        "Date and signature of the auditor".to_owned(),
        "Accepted for the privacy office by (name)".to_owned(),
        "Date and signature of the privacy office".to_owned(),
    ]));
    blocks
}
