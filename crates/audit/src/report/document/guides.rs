//! Where the questions of two guides for reviewers are answered.

use super::super::block::{Block, head, heading, text};

/// The topics of each guide, and the parts of this document that answer them.
pub(super) fn guides() -> Vec<Block> {
    let rows = |topics: &[(&str, &str)]| {
        topics.iter().map(|(topic, part)| vec![(*topic).to_owned(), (*part).to_owned()]).collect()
    };
    vec![
        heading("Where two guides for reviewers are answered"),
        text(
            "NIST SP 800-226, \"Guidelines for Evaluating Differential Privacy Guarantees\" (March 2025), from the top of its \
             pyramid down:",
        ),
        Block::Table(head(["topic of the guide", "part of this document"]), rows(&NIST)),
        text(
            "W3C, \"Considerations for Reviewing Differential Privacy Systems (for Non-Differential Privacy Experts)\" (draft \
             note of February 2026), by the trade-offs that it asks about:",
        ),
        Block::Table(head(["topic of the guide", "part of this document"]), rows(&W3C)),
    ]
}

const NIST: [(&str, &str); 10] = [
    ("Privacy parameter ε", "Privacy parameters; Risk of one device"),
    (
        "Variant of differential privacy, δ",
        "Privacy parameters (δ = 0 is pure, δ above 0 approximate)",
    ),
    ("Unit of privacy", "Unit of privacy"),
    ("Composition over time", "Risk of one device"),
    ("Mechanisms and their correctness", "Mechanism; Privacy parameters, column \"why\""),
    ("Utility, accuracy and bias", "Utility"),
    (
        "Query model",
        "Data collection (the questions are fixed in the program; nobody can ask others)",
    ),
    ("Trust and threat models", "Trust model; Assumptions"),
    ("Implementation challenges, side channels", "Mechanism"),
    ("Data security, access control, exposure at collection", "Data collection"),
];

const W3C: [(&str, &str); 6] = [
    (
        "Privacy: how strong is the guarantee, for how long, and for whom?",
        "Risk of one device; Unit of privacy",
    ),
    (
        "Parameters: are they published, and who can change them?",
        "Privacy parameters; What was audited",
    ),
    ("Trust: how many parties must be trusted, and for what?", "Trust model; Assumptions"),
    ("Utility: what is lost for privacy, and for whom?", "Utility"),
    ("Verification: can anybody outside check it?", "What was audited; Other findings"),
    ("What is outside of the guarantee?", "Assumptions; Data collection"),
];
