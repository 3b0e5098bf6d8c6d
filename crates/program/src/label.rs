//! Labels that people read and tell apart: answers, levels, categories, values of dimensions.
//!
//! A label that looks like another one makes a figure mean two things, and whoever writes the program can do
//! that on purpose. So a label is plain text, and two of one list differ in more than case, characters that
//! look alike, or what is not seen. What this refuses, every party refuses: it needs no table but its own.

mod forms;
mod twins;

use super::{
    ProgramError,
    source::{At, Source},
};
use forms::{JOINED, MARKS, REPLACED};
use sottovoce_dap::printable::is_hidden;
use std::ops::RangeInclusive;
use twins::TWINS;

/// Labels of one list: each plain, no two alike, at least `least` of them.
pub(super) fn labels(
    source: Source<'_>,
    list: &At<Vec<At<String>>>,
    least: usize,
) -> Result<Vec<String>, ProgramError> {
    let mut seen: Vec<(String, Looks)> = Vec::new();
    for label in list.get_ref() {
        let text = label.get_ref().trim();
        plain(text).map_err(|reason| source.error(label, reason))?;
        let looks = Looks::of(text);
        if let Some((other, _)) = seen.iter().find(|(_, other)| other.like(&looks)) {
            let reason = if other == text {
                format!("{text:?} is listed twice")
            } else {
                format!("{text:?} looks the same as {other:?}; change one of them")
            };
            return Err(source.error(label, reason));
        }
        seen.push((text.to_owned(), looks));
    }
    if seen.len() < least {
        let found = seen.len();
        return Err(source.error(list, format!("needs at least {least} entries, and has {found}")));
    }
    Ok(seen.into_iter().map(|(text, _)| text).collect())
}

/// Refuses labels with one of these within or at an end: what results put between them.
pub(super) fn without(
    source: Source<'_>,
    list: &At<Vec<At<String>>>,
    joints: &[&str],
) -> Result<(), ProgramError> {
    for label in list.get_ref() {
        let apart = format!(" {} ", label.get_ref().trim());
        if let Some(joint) = joints.iter().find(|joint| apart.contains(*joint)) {
            let reason = format!(
                "a label here must not contain {:?}, which separates labels in results",
                joint.trim()
            );
            return Err(source.error(label, reason));
        }
    }
    Ok(())
}

/// The label of bin 0.
pub const NO_ANSWER: &str = "no answer";
/// The label of a side of a joint that nothing was said to.
pub(super) const NOTHING: &str = "nothing";
/// Labels of results' own, which a program may not give.
const RESERVED: [&str; 2] = [NO_ANSWER, NOTHING];

/// Characters that others stand for in a way, and that are told from those: they are kept.
const TOLD_APART: &str = "ªº²³¹¼½¾™…№µ";

/// Syllables have characters of their own.
const HANGUL_PARTS: RangeInclusive<char> = '\u{1100}'..='\u{11ff}';

/// Whether a text is fit to be a label by itself.
fn plain(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > 100 || text.contains(char::is_control) {
        return Err("a label must be 1 to 100 printable characters".to_owned());
    }
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        character(before, c, rest.peek().copied())?;
        before = c;
    }
    if text.contains("  ") {
        return Err("a label must not have two spaces in a row; they look like one".to_owned());
    }
    if joins(text) {
        let reason = "a label must not begin or end with a dot like \"·\" nor have one next to a space: it \
                      separates labels in results";
        return Err(reason.to_owned());
    }
    let looks = Looks::of(text);
    match RESERVED.iter().find(|reserved| Looks::of(reserved).like(&looks)) {
        Some(reserved) => {
            Err(format!("the label {reserved:?} is reserved for missing answers in results"))
        }
        None => Ok(()),
    }
}

/// Whether a character may stand in a label, between the one before and the one after.
fn character(before: char, c: char, after: Option<char>) -> Result<(), String> {
    let code = u32::from(c);
    if is_hidden(c) && !(c == '\u{200d}' && joins_emoji(before, after)) {
        return Err(format!("a label must not contain U+{code:04X}, which is invisible"));
    }
    let within =
        |ranges: &[(char, char)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&c));
    let replaced = within(REPLACED) && !TOLD_APART.contains(c) || HANGUL_PARTS.contains(&c);
    if replaced || c != ' ' && c.is_whitespace() {
        return Err(format!(
            "a label must not contain {c:?} (U+{code:04X}); use the ordinary character that it looks like"
        ));
    }
    let joined = JOINED.iter().any(|(mark, letters)| *mark == c && letters.contains(before));
    if joined || within(MARKS) {
        return Err(format!(
            "a label must not contain U+{code:04X} after {before:?}; write both as one precomposed character \
             (Unicode normalization form NFC)"
        ));
    }
    Ok(())
}

/// Whether a joiner is between the parts of an emoji, which people see as one picture.
fn joins_emoji(before: char, after: Option<char>) -> bool {
    let is_picture = |c: char| {
        matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}'
            | '\u{1f000}'..='\u{1faff}')
    };
    (before == '\u{fe0f}' || is_picture(before)) && after.is_some_and(is_picture)
}

/// Whether a dot in it can be taken for the one between labels.
fn joins(text: &str) -> bool {
    let dotted: String = text.chars().map(|c| twin(c).unwrap_or(c)).collect();
    let apart = format!(" {dotted} ");
    apart.contains(" ·") || apart.contains("· ")
}

/// How a label looks.
struct Looks {
    /// Whatever its case.
    folded: String,
    /// As it is drawn.
    drawn: String,
}

impl Looks {
    fn of(text: &str) -> Self {
        // The form of a picture, and that two are one, may not be seen everywhere.
        let seen = || text.chars().filter(|c| !matches!(c, '\u{fe0f}' | '\u{200d}'));
        let folded = seen().flat_map(char::to_lowercase).map(|c| twin(c).unwrap_or(c));
        let drawn = seen().map(|c| match twin(c).unwrap_or(c) {
            'I' | '1' | '|' => 'l',
            'O' | '0' => 'o',
            c => c,
        });
        let folded = folded.flat_map(char::to_lowercase).collect::<String>();
        let drawn = drawn.flat_map(char::to_lowercase).collect::<String>();
        Self { folded: joined(&folded), drawn: joined(&drawn) }
    }

    fn like(&self, other: &Self) -> bool {
        self.folded == other.folded || self.drawn == other.drawn
    }
}

/// Letters that together look like another one.
fn joined(text: &str) -> String {
    text.replace('…', "...").replace("rn", "m").replace('ß', "ss")
}

/// What stands for a character that looks like others.
fn twin(c: char) -> Option<char> {
    let row = TWINS.iter().find(|row| row.contains(c) && !c.is_ascii());
    row.and_then(|row| row.chars().next())
}

#[cfg(test)]
mod tests {
    use crate::tests::asking;

    /// What is said of categories, at the place of which.
    fn refused(categories: &[&str]) -> Option<String> {
        let list: Vec<_> = categories.iter().map(|label| toml(label)).collect();
        let metric = format!(
            "[metrics.m]\nquestion = \"?\"\nkind = \"triage\"\ncategories = [{}]\n",
            list.join(",\n")
        );
        asking(&metric).err().map(|error| error.to_string())
    }

    /// As TOML has it, whatever is in it.
    fn toml(label: &str) -> String {
        let letters = label.chars().map(|c| format!("\\U{:08X}", u32::from(c)));
        format!("\"{}\"", letters.collect::<String>())
    }

    #[test]
    fn labels_that_look_alike_are_refused_at_the_second_ones_line() {
        for (one, other) in [
            ("copy", "сору"),
            ("Bug", "bug"),
            ("bug", "BUG"),
            ("AI", "Al"),
            ("O1", "0l"),
            ("modern", "modem"),
            ("alpha", "αlpha"),
            ("ΒΑΝ", "BAN"),
            ("Straße", "strasse"),
            ("and so on…", "and so on..."),
            ("it's", "it’s"),
            ("a-b", "a‐b"),
            ("工", "エ"),
            ("Привет", "ПРИВЕТ"),
            ("❤", "❤\u{fe0f}"),
            ("👩💻", "👩\u{200d}💻"),
            ("same", "same "),
        ] {
            let error = refused(&["first", one, other]).unwrap_or_else(|| panic!("{one} {other}"));
            assert!(error.contains(":37:1: "), "{one} {other}: {error}");
            let words = ["looks the same as", "listed twice"];
            assert!(words.iter().any(|words| error.contains(words)), "{error}");
        }
    }

    #[test]
    fn what_is_not_seen_or_stands_for_others_is_refused_by_its_code() {
        for (label, words) in [
            ("bu\u{200b}g", "U+200B"),
            ("\u{200d}bug", "U+200D"),
            ("👍\u{200d}", "U+200D"),
            ("1–\u{200d}2", "U+200D"),
            ("👩\u{200d}\u{200d}💻", "U+200D"),
            ("\u{2800}", "U+2800"),
            ("no\u{2800}answer", "U+2800"),
            ("bu\u{ad}g", "U+00AD"),
            ("\u{202e}bug", "U+202E"),
            ("bug\u{feff}x", "U+FEFF"),
            ("bug\u{2066}x", "U+2066"),
            ("a\u{a0}b", "U+00A0"),
            ("a\u{2003}b", "U+2003"),
            ("ｂug", "U+FF42"),
            ("𝐛ug", "U+1D41B"),
            ("ﬁne", "U+FB01"),
            ("Ⅳ", "U+2163"),
            ("cafe\u{301}", "U+0301 after 'e'"),
            ("か\u{3099}", "U+3099"),
            ("\u{1112}\u{1161}", "U+1112"),
            ("a  b", "two spaces"),
            ("a\tb", "printable"),
        ] {
            let error = refused(&["first", label]).unwrap_or_else(|| panic!("{label:?}"));
            assert!(error.contains(":36:1: ") && error.contains(words), "{label:?}: {error}");
        }
    }

    #[test]
    fn a_question_is_what_its_reader_sees() {
        let asked = |question: &str| {
            let table = format!("[metrics.m]\nkind = \"thumbs\"\nquestion = {}\n", toml(question));
            asking(&table).err().map(|error| error.to_string())
        };
        for hidden in ["Good\u{202e}?", "Go\u{200b}od?", "\u{2066}Good?", "Good\u{1b}[2J?"] {
            let error = asked(hidden).unwrap_or_else(|| panic!("{hidden:?}"));
            assert!(error.contains(":34:12: a question must not contain U+"), "{error}");
        }
        assert_eq!(asked("Good?\nOr not? می\u{200c}خواهم 👩\u{200d}💻 ❤\u{fe0f}"), None);
    }

    #[test]
    fn what_results_put_between_labels_or_say_themselves_is_refused() {
        for label in
            ["a · x", "a •x", "·a", "a ・ b", "no answer", "No Answer", "nothing", "Nоthing"]
        {
            let error = refused(&["first", label]).unwrap_or_else(|| panic!("{label:?}"));
            assert!(error.contains(":36:1: ") && error.contains("results"), "{label:?}: {error}");
        }
        for (metric, words) in [
            (
                "kind = \"finding\"\nallow_many_bins = true\ncategories = [\"a: b\"]\nseverities = [\"x\", \"y\"]",
                "\":\"",
            ),
            ("kind = \"ratings\"\nstars = 2\naspects = [\"a\", \"b:\"]", "\":\""),
            ("kind = \"preference\"\ncandidates = [\"a > b\", \"c\"]", "\">\""),
        ] {
            let error = asking(&format!("[metrics.m]\nquestion = \"?\"\n{metric}\n")).unwrap_err();
            assert!(error.to_string().contains(words), "{metric}: {error}");
        }
    }

    #[test]
    fn labels_of_all_languages_that_can_be_told_apart_are_fine() {
        for labels in [
            ["too long", "too short"],
            ["größer", "grösser als gewünscht"],
            ["café", "cafeteria"],
            ["col·lecció", "col·laboració"],
            ["Да", "Нет"],
            ["はい", "いいえ"],
            ["データ", "ガイド"],
            ["हाँ", "नहीं"],
            ["예", "아니요"],
            ["נכון", "שגוי"],
            ["نعم", "لا"],
            ["👍\u{fe0f}", "👎\u{fe0f}"],
            ["👩\u{200d}💻", "👨\u{200d}💻"],
            ["1–2", "3–4"],
            ["5 m²", "10 m²"],
            ["claude-opus-4.1", "claude-opus-4.7"],
            ["10", "100"],
        ] {
            assert_eq!(refused(&labels), None, "{labels:?}");
        }
    }
}
