//! What the guarantees rest on: parameters, unit, trust, mechanism, and how the data come about.

use super::{
    super::block::{Block, head, heading, text},
    Audited,
    risk::numbers,
};
use crate::finding::count;
use sottovoce_privacy::{guarantee::NEIGHBOURS, units::TrustModel};
use sottovoce_program::{Program, explain::Explanation};

/// All of it, from the top of the pyramid on.
pub(super) fn described(Audited { program, explanation, .. }: Audited<'_>) -> Vec<Block> {
    let mut blocks = parameters(explanation);
    blocks.extend(unit(program));
    blocks.extend(trust(program));
    blocks.extend(assumed(program));
    blocks.extend(mechanism(explanation));
    blocks.extend(utility(program));
    blocks.extend(exposure(explanation));
    blocks
}

fn parameters(explanation: &Explanation) -> Vec<Block> {
    let rows = explanation.questions.iter().flat_map(|question| {
        question.guarantees.iter().map(|guarantee| {
            let mut row = vec![question.metric.clone(), guarantee.trust.in_words().to_owned()];
            row.extend(numbers(guarantee));
            row.push(guarantee.theorem.to_owned());
            row
        })
    });
    let columns = head(["metric", "who must be honest", "ε", "δ", "pointwise ε", "why"]);
    vec![
        heading("Privacy parameters: what does one release cost?"),
        text(
            "Each ε bounds what one report in one batch reveals of its device's answer. It was recomputed from the \
             program's parameters and rounded up. Smaller is better; ε = 0 reveals nothing. δ is what a probability may \
             exceed that bound by; 0 means that ε holds without exception.",
        ),
        Block::Table(columns, rows.collect()),
    ]
}

fn unit(program: &Program) -> Vec<Block> {
    vec![
        heading("Unit of privacy: whose data is protected?"),
        text(format!(
            "One installation of the app, called a device. Neighbouring data: {NEIGHBOURS}."
        )),
        Block::List(vec![
            format!(
                "The smallest batch whose sum anybody sees has {}.",
                count(program.min_batch_size(), "report")
            ),
            "\"No answer\" is an answer too, so whether somebody answered is protected."
                .to_owned(),
            "A device that is wiped, or on which the app is reinstalled, begins with a new privacy budget. A person with \
             two devices has two."
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
        text(
            "The short names in brackets are those of the IETF's draft on differential privacy for aggregation.",
        ),
        Block::List([TrustModel::Oc, TrustModel::Oaoc, TrustModel::Oamc].map(model).to_vec()),
        text(format!(
            "The leader ({}) and the helper ({}) are declared to be two organisations that do not collude. Each sees random \
             shares; the collector sees noisy totals of whole batches. What the logs show can be relied on if one \
             aggregator is honest.",
            program.leader(),
            program.helper()
        )),
    ]
}

/// What no log can show.
fn assumed(program: &Program) -> Vec<Block> {
    // As it was declared, without what a product of decimals adds.
    let reserve = (1e12 * program.privacy().reserve.get()).round() / 1e10;
    let mut points = vec![
        "The two aggregators are declared to be run by two organisations that do not collude. This audit cannot see who \
         runs them."
            .to_owned(),
        format!(
            "At most {reserve} % of the reports of a batch are declared to come from dishonest or missing devices. Devices \
             are not authenticated, so nobody can count them."
        ),
        "The keys of the logs and of the witnesses were taken from the program's file or from the auditor's command line, \
         and are assumed to be the right ones."
            .to_owned(),
        "Devices are assumed to run the client that the program describes. `sottovoce-auditor probe` tests one that is \
         given to it."
            .to_owned(),
        "What an app sends anywhere else is outside of what the logs can show.".to_owned(),
    ];
    if program.privacy().aggregator_noise.is_some() {
        points.insert(
            2,
            "Each aggregator is declared to add its noise. No log can show whether it does."
                .to_owned(),
        );
    }
    vec![
        heading("Assumptions: what was not verified"),
        text(
            "The figures of this document hold under these assumptions, which were declared and not checked:",
        ),
        Block::List(points),
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
             rejected.",
        ),
    ]
}

fn utility(program: &Program) -> Vec<Block> {
    vec![
        heading("Utility: what are the figures good for?"),
        text(format!(
            "Each figure is an estimate without bias, with an interval that covers all noise and, if it is asked for, \
             sampling. Windows with fewer than {} have no figure, so small groups of users are not seen by anybody, and not \
             served by these figures. `sottovoce plan` says how precise figures will be.",
            count(program.min_batch_size(), "report")
        )),
    ]
}

fn exposure(explanation: &Explanation) -> Vec<Block> {
    let asked = |question: &sottovoce_program::explain::Question| {
        format!("{}: {}", question.metric, question.question)
    };
    let mut blocks = vec![
        heading("Data collection: what leaves a device, and who has access?"),
        text("Randomized, split into shares and encrypted before it leaves the device:"),
        Block::List(explanation.questions.iter().map(asked).collect()),
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
