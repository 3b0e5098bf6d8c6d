//! What a metric's table in the file means, or what is wrong with it.

use super::Metric;
use crate::{
    ProgramError,
    file::identifier,
    kind::{Form, MetricKind, NAMES, Written, forms},
    source::At,
};
use sottovoce_dap::printable::is_hidden;
use sottovoce_privacy::{guarantee::MechanismKind, units::Epsilon};

impl Metric {
    pub(crate) fn parse(name: &At<String>, written: &Written<'_>) -> Result<Self, ProgramError> {
        let Written { source, table, .. } = *written;
        let epsilon0 = table.epsilon0.as_ref().map(|value| {
            Epsilon::new(*value.get_ref()).map_err(|error| source.error(value, error))
        });
        let kind = kind(written)?;
        let question = question(written, &kind)?;
        let dimensions = written.breakdown()?;
        Ok(Self {
            name: identifier(source, name)?,
            question,
            kind,
            dimensions,
            epsilon0: epsilon0.transpose()?,
            allow_many_bins: table.allow_many_bins.as_ref().is_some_and(|allow| *allow.get_ref()),
            randomizer: table.randomizer.as_ref().map(|r| randomizer(written, r)).transpose()?,
        })
    }
}

fn randomizer(written: &Written<'_>, text: &At<String>) -> Result<MechanismKind, ProgramError> {
    match text.get_ref().as_str() {
        "krr" => Ok(MechanismKind::Krr),
        "bits" => Ok(MechanismKind::Bits),
        _ => {
            Err(written
                .error(text, "must be \"krr\" or \"bits\"; without it, the better one is used"))
        }
    }
}

/// Lines, and marks that some languages need within words and between directions.
const USED_IN_WRITING: [char; 7] =
    ['\n', '\t', '\u{61c}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}'];

/// What the user is asked.
fn question(written: &Written<'_>, kind: &MetricKind) -> Result<String, ProgramError> {
    let Some(question) = &written.table.question else {
        let missing = || written.wrong("needs `question`: what the user is asked");
        return kind.as_kind().question().ok_or_else(missing);
    };
    let text = question.get_ref().trim();
    if text.is_empty() {
        return Err(written.error(question, "must not be empty"));
    }
    if let Some(hidden) = text.chars().find(|c| is_hidden(*c) && !USED_IN_WRITING.contains(c)) {
        let code = u32::from(hidden);
        let reason = format!("a question must not contain U+{code:04X}, which is invisible");
        return Err(written.error(question, reason));
    }
    Ok(text.to_owned())
}

fn kind(written: &Written<'_>) -> Result<MetricKind, ProgramError> {
    let form = Form::of(written.table.kind.get_ref());
    refuse_keys_of_others(written, form.as_ref())?;
    match form {
        Some(form) => (form.parse)(written),
        None => Err(written.wrong(format!("must be one of: {}", NAMES.join(", ")))),
    }
}

/// A key that says nothing about this kind is a mistake.
fn refuse_keys_of_others(written: &Written<'_>, form: Option<&Form>) -> Result<(), ProgramError> {
    for (key, place) in written.table.keys_of_kinds() {
        if let Some(place) = place
            && !form.is_some_and(|form| form.keys.contains(&key))
        {
            let having = forms().into_iter().filter(|form| form.keys.contains(&key));
            let kinds: Vec<_> = having.map(|form| form.name).collect();
            let reason = format!("only a metric of kind {} has `{key}`", kinds.join(" or "));
            return Err(written.source.at(place, reason));
        }
    }
    Ok(())
}
