//! What one device risks over a period: promised, and as the releases have it.

use super::{
    super::{
        block::{Block, head, heading, text},
        dates::date,
        plot::Plot,
    },
    Audited,
};
use crate::{
    finding::count,
    rules::budget::{Spent, limit},
};
use sottovoce_privacy::{
    units::{Guarantee, TrustModel},
    words::{Subject, exactly, pointwise_exactly},
};
use sottovoce_program::{Program, budget::PeriodCost, format_duration};

/// All about the risk of one device.
pub(super) fn risk(audited: Audited<'_>) -> Vec<Block> {
    let program = audited.program;
    let mut blocks = vec![heading("Risk of one device: what do all its reports of a period cost?")];
    if let Some(period) = &audited.explanation.period {
        blocks.extend(promised(program, period));
    }
    let Some(budget) = program.budget() else {
        blocks.push(text(
            "The program declares no privacy budget, so nothing bounds the total privacy loss of its releases.",
        ));
        return blocks;
    };
    blocks.push(text(format!(
        "A device reports in at most {} of a period of {}, which it draws at random, and each metric at most once in \
         each. The next table has the most that the releases of each period can have cost such a device: pure bounds are \
         added, others composed by privacy-loss distributions; all are rounded up. The limit is the one that the program \
         declares; it declares none for \"{}\".",
        count(budget.windows(), "window"),
        format_duration(budget.period()),
        TrustModel::Oaoc.in_words()
    )));
    let own: Vec<_> =
        audited.outcome.spent.iter().filter(|spent| spent.program == program.name()).collect();
    if own.is_empty() {
        blocks.push(text("Nothing was released yet, so nothing was spent."));
        return blocks;
    }
    blocks.push(Block::Table(
        head([
            "period from",
            "windows released",
            "windows of one device",
            "who must be honest",
            "ε",
            "δ",
            "limit of ε",
            "judgement",
        ]),
        own.iter().flat_map(|spent| of_period(program, spent)).collect(),
    ));
    blocks.push(text(picture(program)));
    blocks.push(Block::Plot(plot(program, &own)));
    blocks
}

/// What the program allows itself, with what that means.
fn promised(program: &Program, period: &PeriodCost) -> Vec<Block> {
    let rows = period.guarantees.iter().map(|guarantee| {
        let [epsilon, delta, pointwise] = numbers(guarantee);
        let [limit, judgement] = judged(program, guarantee);
        vec![guarantee.trust.in_words().to_owned(), epsilon, delta, pointwise, limit, judgement]
    });
    let columns = head(["who must be honest", "ε", "δ", "pointwise ε", "limit of ε", "judgement"]);
    let mut blocks = vec![
        text(format!("By the program, one device, {}, risks at most:", period.in_words())),
        Block::Table(columns, rows.collect()),
    ];
    if let Some(crowd) = period.under(TrustModel::Oamc) {
        let (exact, point) =
            (exactly(crowd, Subject::Period), pointwise_exactly(crowd, Subject::Period));
        blocks.push(text(format!("The last line says: {exact}. And pointwise: {point}.")));
    }
    blocks
}

fn of_period(program: &Program, spent: &Spent) -> Vec<Vec<String>> {
    let row = |(index, guarantee): (usize, &Guarantee)| {
        // What is the same in all lines stands in the first.
        let first = |text: String| if index == 0 { text } else { String::new() };
        let [epsilon, delta, _] = numbers(guarantee);
        let [limit, judgement] = judged(program, guarantee);
        vec![
            first(date(spent.start)),
            first(spent.windows.to_string()),
            first(spent.own.to_string()),
            guarantee.trust.in_words().to_owned(),
            epsilon,
            delta,
            limit,
            judgement,
        ]
    };
    spent.guarantees.iter().enumerate().map(row).collect()
}

/// ε, δ and pointwise ε, each rounded up.
pub(super) fn numbers(guarantee: &Guarantee) -> [String; 3] {
    [
        guarantee.epsilon.shown(3).to_string(),
        guarantee.delta.shown(2).to_string(),
        guarantee.pointwise.shown(3).to_string(),
    ]
}

/// The limit that the program declares, and whether it is kept.
fn judged(program: &Program, guarantee: &Guarantee) -> [String; 2] {
    match limit(program, guarantee.trust) {
        None => ["–".to_owned(), "no limit declared".to_owned()],
        Some(limit) => {
            let within = limit.allows(guarantee.epsilon);
            let judgement = if within { "within the limit" } else { "ABOVE THE LIMIT" };
            [limit.epsilon().to_string(), judgement.to_owned()]
        }
    }
}

fn picture(program: &Program) -> String {
    let limit = match limit(program, TrustModel::Oamc) {
        Some(_) => "; the dashed line is the limit that the program declares",
        None => "; the program declares no limit for it",
    };
    format!("The picture has the ε of each period with {}{limit}.", TrustModel::Oamc.in_words())
}

fn plot(program: &Program, own: &[&Spent]) -> Plot {
    let points = own.iter().filter_map(|spent| {
        let guarantee = spent.guarantees.iter().find(|g| g.trust == TrustModel::Oamc)?;
        Some((spent.start, guarantee.epsilon.get()))
    });
    let limit = limit(program, TrustModel::Oamc).map(|limit| limit.epsilon().get());
    Plot { points: points.collect(), limit }
}
