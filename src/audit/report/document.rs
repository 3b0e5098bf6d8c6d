//! What the document says, apart from how it looks.
//!
//! The order is that of the pyramid of NIST SP 800-226: the parameters first, then what can undermine
//! them, then how the data come about. Each part needs those that stand below it.

use super::plot::Plot;
use crate::{
    audit::{finding::Severity, verify::Outcome},
    privacy::{
        guarantee::NEIGHBOURS,
        units::{Guarantee, TrustModel},
    },
    program::{Program, explain::Explanation, format_moment},
};

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
    blocks.extend(parameters(explanation));
    blocks.extend(spent(program, outcome));
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
        "All that can be seen in one log holds: it is whole and only grew, no batch was too small, nothing was \
         released twice, and the guarantees are those that the program's parameters give. The other aggregator's log \
         was not read, so this rests on the honesty of the one."
    } else if outcome.holds {
        "All that can be seen from outside holds: both logs are whole and only grew, they agree on every \
         release, no batch was too small, nothing was released twice, and the guarantees are those that \
         the program's parameters give."
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
    let head = ["metric", "trust model", "ε", "δ", "why"].map(str::to_owned).to_vec();
    let rows = explanation.questions.iter().flat_map(|question| {
        question.guarantees.iter().map(|guarantee| {
            let [trust, epsilon, delta] = cells(guarantee);
            vec![question.metric.clone(), trust, epsilon, delta, guarantee.theorem.to_owned()]
        })
    });
    vec![
        heading("Privacy parameters: what does one release cost?"),
        text(
            "Each ε bounds what one report in one batch reveals of its device's answer, worked out anew from \
             the program's parameters and rounded up. Smaller is better; ε = 0 reveals nothing.",
        ),
        Block::Table(head, rows.collect()),
    ]
}

fn cells(guarantee: &Guarantee) -> [String; 3] {
    let epsilon = (guarantee.epsilon.get() * 1000.0 - 1e-6).ceil() / 1000.0;
    [guarantee.trust.to_string(), format!("{epsilon:.3}"), guarantee.delta.to_string()]
}

fn spent(program: &Program, outcome: &Outcome) -> Vec<Block> {
    let mut blocks = vec![heading("Composition: what do all releases together cost?")];
    let Some(budget) = program.budget() else {
        blocks.push(text(
            "The program declares no budget over time, so that nothing bounds what its releases add up to.",
        ));
        return blocks;
    };
    blocks.push(text(format!(
        "A device reports each metric at most once a window, and in at most {} windows of a period of {} days; \
         after that it is silent. What follows is the most that the releases of each period can have cost any \
         device: pure bounds are added up, others composed by privacy-loss distributions, rounded up.",
        budget.windows(),
        budget.period() / 86_400
    )));
    let own: Vec<_> =
        outcome.spent.iter().filter(|spent| spent.program == program.name()).collect();
    let head =
        ["period from", "windows released", "OC", "OAOC", "OAMC"].map(str::to_owned).to_vec();
    let rows = own.iter().map(|spent| {
        let epsilon = |trust| {
            let found = spent.guarantees.iter().find(|guarantee| guarantee.trust == trust);
            found.map_or_else(|| "–".to_owned(), |guarantee| cells(guarantee)[1].clone())
        };
        let models = [TrustModel::Oc, TrustModel::Oaoc, TrustModel::Oamc].map(epsilon);
        let mut row = vec![format_moment(spent.start), spent.windows.to_string()];
        row.extend(models);
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
                "Of those, {} % are counted on as dishonest or missing.",
                program.privacy().reserve.get() * 100.0
            ),
            "No answer is an answer, so that whether somebody answered is protected, too."
                .to_owned(),
            "A device that is wiped or installed anew begins a new account.".to_owned(),
        ]),
    ]
}

fn trust(program: &Program) -> Vec<Block> {
    let model = |trust: TrustModel| format!("{trust}: {}.", trust.in_words());
    vec![
        heading("Trust model: who has to be honest?"),
        Block::List([TrustModel::Oc, TrustModel::Oaoc, TrustModel::Oamc].map(model).to_vec()),
        text(format!(
            "The leader ({}) and the helper ({}) are two organisations that do not collude. Each sees random \
             shares; the collector sees noisy totals of whole batches. What only the logs show rests on one honest \
             aggregator; what no log can show is whether an aggregator adds its noise.",
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
        heading("Mechanism: is it what it says, and does anything leak beside it?"),
        Block::List(points),
        text(
            "Draws compare integers from the operating system's randomness with thresholds that the manifest \
             publishes, so that no rounding leaks (floating-point side channels), and take the same time for any \
             answer. The manifest's hash is bound into each sealed share: reports made under other noise do not \
             count. Whether a client that can be run does as its manifest says, `sottovoce-auditor probe` tests.",
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
        text("Randomized, split and sealed before it leaves the device:"),
        Block::List(asked),
        text("What never leaves it:"),
        Block::List(explanation.never_leaves.clone()),
    ];
    if !explanation.public.is_empty() {
        blocks.push(text("Not protected, because the publisher assigns it:"));
        blocks.push(Block::List(explanation.public.clone()));
    }
    blocks.push(text(
        "Shares are sealed to the aggregators (HPKE), sums to the collector. Keys and tokens are sealed in the \
         databases. Network addresses are seen by whoever a device speaks to.",
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
        (Severity::Violation, "No promise is broken."),
        (Severity::Warning, "Nothing that somebody should explain."),
        (Severity::Note, "Nothing else."),
    ] {
        let listed = listed(severity);
        blocks.push(if listed.is_empty() { text(none) } else { Block::List(listed) });
    }
    blocks
}
