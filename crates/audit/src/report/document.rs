//! What the document says, apart from how it looks.
//!
//! What one device risks over a period comes first. Then the order is that of the pyramid of NIST SP
//! 800-226: the parameters, then what can undermine them, then how the data come about. Each part needs
//! those that stand below it.

use super::plot::Plot;
use crate::{finding::Severity, verify::Outcome};
use sottovoce_privacy::{
    guarantee::NEIGHBOURS,
    units::{Guarantee, TrustModel},
    words::{Subject, exactly, pointwise_exactly},
};
use sottovoce_program::{Program, explain::Explanation, format_duration, format_moment};

/// A part of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A heading.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// Points.
    List(Vec<String>),
    /// A table: its head, and its rows.
    Table(Vec<String>, Vec<Vec<String>>),
    /// A picture.
    Plot(Plot),
}

fn heading(text: &str) -> Block {
    Block::Heading(text.to_owned())
}

fn text(words: impl Into<String>) -> Block {
    Block::Text(words.into())
}

/// The document about one program.
pub fn document(program: &Program, explanation: &Explanation, outcome: &Outcome) -> Vec<Block> {
    let mut blocks = verdict(program, outcome);
    blocks.extend(spent(program, explanation, outcome));
    blocks.extend(parameters(explanation));
    blocks.extend(unit(program));
    blocks.extend(trust(program));
    blocks.extend(mechanism(explanation));
    blocks.extend(exposure(explanation));
    blocks.extend(findings(outcome));
    if outcome.left_out > 0 {
        blocks.push(text(format!("{} more findings are not listed.", outcome.left_out)));
    }
    blocks
}

fn verdict(program: &Program, outcome: &Outcome) -> Vec<Block> {
    let verdict = if outcome.holds && outcome.logs.len() < 2 {
        "No violation was found in one log: it is complete and append-only, no batch was too small, no report was \
         released twice, and the guarantees are those that the program's parameters give. The other aggregator's log \
         was not read, so this verdict holds only if this aggregator is honest."
    } else if outcome.holds {
        "No violation was found: both logs are complete and append-only, they agree on every release, no batch was \
         too small, no report was released twice, and the guarantees are those that the program's parameters give."
    } else {
        "A promise is broken. The violations are listed at the end."
    };
    let logs = outcome.logs.iter().map(|read| {
        let witnesses =
            if read.witnesses.is_empty() { "nobody".to_owned() } else { read.witnesses.join(", ") };
        vec![
            read.log.to_string(),
            read.origin.clone(),
            read.size.to_string(),
            read.releases.to_string(),
            witnesses,
        ]
    });
    let head = ["log", "name", "entries", "releases", "cosigned by"].map(str::to_owned).to_vec();
    vec![
        Block::Heading(format!("Audit of {}", program.name())),
        text(verdict),
        Block::Table(head, logs.collect()),
    ]
}

fn parameters(explanation: &Explanation) -> Vec<Block> {
    let head =
        ["metric", "trust model", "ε", "δ", "pointwise ε", "why"].map(str::to_owned).to_vec();
    let rows = explanation.questions.iter().flat_map(|question| {
        question.guarantees.iter().map(|guarantee| {
            let mut row = vec![question.metric.clone()];
            row.extend(cells(guarantee));
            row.push(guarantee.theorem.to_owned());
            row
        })
    });
    vec![
        heading("Privacy parameters: what does one release cost?"),
        text(
            "Each ε bounds what one report in one batch reveals of its device's answer. It was recomputed from the \
             program's parameters and rounded up. Smaller is better; ε = 0 reveals nothing.",
        ),
        Block::Table(head, rows.collect()),
    ]
}

fn cells(guarantee: &Guarantee) -> [String; 4] {
    [
        guarantee.trust.named(),
        guarantee.epsilon.shown(3).to_string(),
        guarantee.delta.shown(2).to_string(),
        guarantee.pointwise.shown(3).to_string(),
    ]
}

fn spent(program: &Program, explanation: &Explanation, outcome: &Outcome) -> Vec<Block> {
    let mut blocks = vec![heading("Risk of one device: what do all its reports of a period cost?")];
    if let Some(period) = &explanation.period {
        blocks.push(text(format!(
            "By the program, one device, {}, risks at most:",
            period.in_words()
        )));
        let head = ["trust model", "ε", "δ", "pointwise ε"].map(str::to_owned).to_vec();
        let rows = period.guarantees.iter().map(|guarantee| cells(guarantee).to_vec());
        blocks.push(Block::Table(head, rows.collect()));
        let crowd = period.under(TrustModel::Oamc);
        blocks.extend(crowd.map(|crowd| {
            let (exact, point) =
                (exactly(crowd, Subject::Period), pointwise_exactly(crowd, Subject::Period));
            text(format!("The last line says: {exact}. And pointwise: {point}."))
        }));
    }
    let Some(budget) = program.budget() else {
        blocks.push(text(
            "The program declares no privacy budget, so nothing bounds the total privacy loss of its releases.",
        ));
        return blocks;
    };
    blocks.push(text(format!(
        "A device reports in at most {} windows of a period of {}, which it draws at random, and each metric at \
         most once in each. The table has the maximum privacy loss that the releases of each period can have caused \
         such a device: pure bounds are added, others composed by privacy-loss distributions; all are rounded up.",
        budget.windows(),
        format_duration(budget.period())
    )));
    let own: Vec<_> =
        outcome.spent.iter().filter(|spent| spent.program == program.name()).collect();
    let models = [TrustModel::Oc, TrustModel::Oaoc, TrustModel::Oamc];
    let mut head =
        ["period from", "windows released", "windows of one device"].map(str::to_owned).to_vec();
    head.extend(models.map(|trust| format!("ε, {}", trust.named())));
    let rows = own.iter().map(|spent| {
        let epsilon = |trust| {
            let found = spent.guarantees.iter().find(|guarantee| guarantee.trust == trust);
            found.map_or_else(|| "–".to_owned(), |guarantee| cells(guarantee)[1].clone())
        };
        let (released, own) = (spent.windows.to_string(), spent.own.to_string());
        let mut row = vec![format_moment(spent.start), released, own];
        row.extend(models.map(epsilon));
        row
    });
    blocks.push(Block::Table(head, rows.collect()));
    let limit = budget.limits().central.map(|(epsilon, _)| epsilon.get());
    let points = own.iter().filter_map(|spent| {
        let guarantee = spent.guarantees.iter().find(|g| g.trust == TrustModel::Oamc)?;
        Some((spent.start, guarantee.epsilon.get()))
    });
    blocks.push(Block::Plot(Plot { points: points.collect(), limit }));
    blocks
}

fn unit(program: &Program) -> Vec<Block> {
    vec![
        heading("Unit of privacy: whose data is protected?"),
        text(format!(
            "One installation of the app, called a device. Neighbouring data: {NEIGHBOURS}."
        )),
        Block::List(vec![
            format!(
                "The smallest batch whose sum anybody sees has {} reports.",
                program.min_batch_size()
            ),
            format!(
                "Of those, {} % are assumed to be dishonest or missing.",
                program.privacy().reserve.get() * 100.0
            ),
            "\"No answer\" is an answer too, so whether somebody answered is protected."
                .to_owned(),
            "A device that is wiped, or on which the app is reinstalled, begins with a new privacy budget."
                .to_owned(),
        ]),
    ]
}

fn trust(program: &Program) -> Vec<Block> {
    let model = |trust: TrustModel| {
        let assumed = match trust {
            TrustModel::Oc => "only this device has to be honest",
            TrustModel::Oaoc => "all other devices may be corrupt",
            TrustModel::Oamc => "the remaining devices may be corrupt or missing",
        };
        format!("{}: {assumed}.", trust.named())
    };
    vec![
        heading("Trust model: who has to be honest?"),
        Block::List([TrustModel::Oc, TrustModel::Oaoc, TrustModel::Oamc].map(model).to_vec()),
        text(format!(
            "The leader ({}) and the helper ({}) are two organisations that do not collude. Each sees random \
             shares; the collector sees noisy totals of whole batches. What the logs show can be relied on if one \
             aggregator is honest. No log can show whether an aggregator adds its noise.",
            program.leader(),
            program.helper()
        )),
    ]
}

fn mechanism(explanation: &Explanation) -> Vec<Block> {
    let mut points: Vec<_> = explanation
        .questions
        .iter()
        .map(|question| format!("{}: {}", question.metric, question.randomized))
        .collect();
    points.extend(explanation.noise.iter().map(|noise| format!("Aggregators: {noise}")));
    vec![
        heading("Mechanism: is it implemented as stated, and are there side channels?"),
        Block::List(points),
        text(
            "A draw compares integers from the operating system's random number generator with thresholds that the \
             manifest publishes. So there are no floating-point side channels, and a draw takes the same time for any \
             answer. The manifest's hash is bound into each sealed share: reports that were made with other noise are \
             rejected. `sottovoce-auditor probe` tests whether a client does what its manifest promises.",
        ),
    ]
}

fn exposure(explanation: &Explanation) -> Vec<Block> {
    let mut asked = Vec::new();
    for question in &explanation.questions {
        asked.push(format!("{}: {}", question.metric, question.question));
    }
    let mut blocks = vec![
        heading("Data collection: what leaves a device, and who has access?"),
        text("Randomized, split into shares and encrypted before it leaves the device:"),
        Block::List(asked),
        text("What never leaves it:"),
        Block::List(explanation.never_leaves.clone()),
    ];
    if !explanation.public.is_empty() {
        blocks.push(text("Not protected, because the app's publisher assigns it:"));
        blocks.push(Block::List(explanation.public.clone()));
    }
    blocks.push(text(
        "Shares are encrypted to the aggregators (HPKE), sums to the collector. Keys and tokens are encrypted in the \
         databases. A device's network address is visible to every server that it connects to.",
    ));
    blocks
}

fn findings(outcome: &Outcome) -> Vec<Block> {
    let listed = |severity| {
        let found = outcome.findings.iter().filter(move |finding| finding.severity == severity);
        found.map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut blocks = vec![heading("What the audit found")];
    for (severity, none) in [
        (Severity::Violation, "No violations."),
        (Severity::Warning, "No warnings."),
        (Severity::Note, "No notes."),
    ] {
        let listed = listed(severity);
        blocks.push(if listed.is_empty() { text(none) } else { Block::List(listed) });
    }
    blocks
}
