//! `triage`: the category of a problem, perhaps by rules that sort a comment on the device.
//!
//! The rules are bound into the manifest by their hash: devices with other rules would report
//! another quantity. Patterns are in the syntax of `regex-lite`; a program with a pattern that cannot be
//! read is refused by every party, although only the client sees comments.

use super::{EncodingError, Kind, Promised, Said, Written, position};
use crate::{
    ProgramError,
    answer::Given,
    file::RuleTable,
    source::{At, Source},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sottovoce_dap::printable::is_hidden;

/// The category of a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triage {
    /// What there is to choose from.
    pub categories: Vec<String>,
    /// What sorts a comment into them; the first that matches decides.
    pub rules: Vec<Rule>,
}

impl Kind for Triage {
    fn keys() -> &'static [&'static str] {
        &["categories", "rules"]
    }

    fn parse(written: &Written<'_>) -> Result<Self, ProgramError> {
        let categories = written.list("categories", &written.table.categories, 2)?;
        let rules = Rule::parse_all(written.source, written.table.rules.as_ref(), &categories)?;
        Ok(Self { categories, rules })
    }

    fn promised(&self) -> Promised {
        let rules = (!self.rules.is_empty()).then(|| Rule::digest(&self.rules));
        Promised { rules, ..Promised::default() }
    }

    fn answer(&self) -> String {
        let how = if self.rules.is_empty() { "chosen" } else { "chosen, or found by rules" };
        let categories = self.categories.join(", ");
        format!("the category of a problem, {how} on the device: {categories}")
    }

    fn never_leaves(&self) -> Option<&'static str> {
        Some("the text of comments: they are categorized on the device")
    }

    fn encoding(&self) -> &'static str {
        "categories"
    }

    fn outcome_count(&self) -> usize {
        self.categories.len()
    }

    fn outcomes(&self) -> Vec<String> {
        self.categories.clone()
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        let Given::Triage(category) = given else { return Err(EncodingError::Kind) };
        position(&self.categories, category).map(Said::One)
    }

    fn given(&self, outcome: usize, _opponent: usize) -> Option<Given> {
        self.categories.get(outcome).cloned().map(Given::Triage)
    }

    fn sorting(&self) -> Option<&Triage> {
        Some(self)
    }
}

/// What makes a comment belong to a category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The category, one of the metric's.
    pub category: String,
    /// What the comment must have.
    pub sign: Sign,
}

/// What a rule looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// One of these words, or phrases.
    Words(Vec<String>),
    /// A match of this regular expression.
    Pattern(String),
}

/// A comment of the longest kind then takes about a millisecond a rule, and 30 ms for the worst
/// pattern that fits.
const MOST_RULES: usize = 32;
const MOST_WORDS: usize = 64;
const LONGEST_PATTERN: usize = 256;

impl Rule {
    fn parse_all(
        source: Source<'_>,
        rules: Option<&At<Vec<At<RuleTable>>>>,
        categories: &[String],
    ) -> Result<Vec<Self>, ProgramError> {
        let Some(list) = rules else { return Ok(Vec::new()) };
        let found = list.get_ref().len();
        if !(1..=MOST_RULES).contains(&found) {
            return Err(
                source.error(list, format!("has {found} rules; it must have 1 to {MOST_RULES}"))
            );
        }
        list.get_ref().iter().map(|rule| Self::parse(source, rule, categories)).collect()
    }

    fn parse(
        source: Source<'_>,
        rule: &At<RuleTable>,
        categories: &[String],
    ) -> Result<Self, ProgramError> {
        let RuleTable { category, words, pattern } = rule.get_ref();
        let name = category.get_ref().trim();
        if !categories.iter().any(|known| known == name) {
            let known = categories.join(", ");
            return Err(source.error(category, format!("{name:?} is not one of: {known}")));
        }
        let sign = match (words, pattern) {
            (Some(words), None) => Sign::Words(parse_words(source, words)?),
            (None, Some(pattern)) => Sign::Pattern(parse_pattern(source, pattern)?),
            _ => return Err(source.error(rule, "a rule has either `words` or a `pattern`")),
        };
        Ok(Self { category: name.to_owned(), sign })
    }

    /// SHA-256 of rules, in base64url.
    fn digest(rules: &[Self]) -> String {
        let bytes = serde_json::to_vec(rules).expect("strings are always JSON");
        URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
    }
}

fn parse_words(
    source: Source<'_>,
    words: &At<Vec<At<String>>>,
) -> Result<Vec<String>, ProgramError> {
    let found = words.get_ref().len();
    if found > MOST_WORDS {
        return Err(source.error(words, format!("has {found} words; the maximum is {MOST_WORDS}")));
    }
    let mut all: Vec<String> = Vec::new();
    for word in words.get_ref() {
        let text = word.get_ref().trim();
        if text.len() > 100 || text.contains(is_hidden) {
            return Err(source.error(word, "a word must be 1 to 100 printable characters"));
        }
        if !text.contains(char::is_alphanumeric) {
            return Err(source.error(word, "a word needs a letter or a digit; or use a `pattern`"));
        }
        if all.iter().any(|other| other == text) {
            return Err(source.error(word, format!("{text:?} is listed twice")));
        }
        all.push(text.to_owned());
    }
    if all.is_empty() { Err(source.error(words, "needs at least 1 word")) } else { Ok(all) }
}

fn parse_pattern(source: Source<'_>, pattern: &At<String>) -> Result<String, ProgramError> {
    let text = pattern.get_ref();
    if text.len() > LONGEST_PATTERN {
        let found = text.len();
        let reason = format!(
            "has {found} bytes; the maximum is {LONGEST_PATTERN}: split it into more rules"
        );
        return Err(source.error(pattern, reason));
    }
    if compile(text).map_err(|error| source.error(pattern, error))?.is_match("") {
        return Err(source.error(pattern, "matches the empty string, and so every comment"));
    }
    Ok(text.clone())
}

/// A pattern, ready to use: bounded, since searching takes the time of its size times the text's.
pub fn compile(pattern: &str) -> Result<regex_lite::Regex, regex_lite::Error> {
    const MOST_MEMORY: usize = 16 * 1024;
    const DEEPEST: u32 = 32;
    regex_lite::RegexBuilder::new(pattern).size_limit(MOST_MEMORY).nest_limit(DEEPEST).build()
}

#[cfg(test)]
mod tests {
    use crate::{Program, tests::asking};

    fn sorted(rules: &str) -> Result<Program, String> {
        let metric = "[metrics.m]\nquestion = \"?\"\nkind = \"triage\"\n\
                      categories = [\"bug\", \"retrieval gap\"]\n";
        asking(&format!("{metric}{rules}\n")).map_err(|error| error.to_string())
    }

    fn manifest(rules: &str) -> String {
        let program = sorted(rules).unwrap();
        String::from_utf8(program.task("m").unwrap().manifest.to_bytes()).unwrap()
    }

    #[test]
    fn rules_that_cannot_be_meant_are_refused_at_their_place() {
        let words = |count| {
            let words: Vec<_> = (0..count).map(|word| format!("\"{word}\"")).collect();
            format!("rules = [{{ category = \"bug\", words = [{}] }}]", words.join(","))
        };
        let pattern =
            |pattern: &str| format!("rules = [{{ category = \"bug\", pattern = '{pattern}' }}]");
        let many = "{ category = \"bug\", words = [\"a\"] },".repeat(33);
        for (rules, words) in [
            ("rules = []", ":36:9: has 0 rules"),
            (&format!("rules = [{many}]"), "has 33 rules; it must have 1 to 32"),
            ("rules = [{ words = [\"a\"] }]", "category"),
            (
                "rules = [{ category = \"idea\", words = [\"a\"] }]",
                ":36:23: \"idea\" is not one of: bug",
            ),
            ("rules = [{ category = \"bug\" }]", ":36:10: a rule has either"),
            (
                "rules = [{ category = \"bug\", words = [\"a\"], pattern = \"b\" }]",
                "either `words` or",
            ),
            ("rules = [{ category = \"bug\", word = [\"a\"] }]", "word"),
            ("rules = [{ category = \"bug\", words = [] }]", "at least 1"),
            ("rules = [{ category = \"bug\", words = [\"a\", \"a\"] }]", "listed twice"),
            (
                "rules = [{ category = \"bug\", words = [\"a\", \"?!\"] }]",
                ":36:44: a word needs a letter",
            ),
            (&words(65), "has 65 words; the maximum is 64"),
            (&pattern(&"x".repeat(257)), "has 257 bytes; the maximum is 256"),
        ] {
            let refused = sorted(rules).unwrap_err();
            assert!(refused.contains(words), "{rules}: {refused}");
        }
        assert!(sorted(&words(64)).is_ok() && sorted(&pattern(&"x".repeat(256))).is_ok());
        let elsewhere = "[metrics.m]\nquestion = \"?\"\nkind = \"thumbs\"\nrules = []\n";
        let elsewhere = asking(elsewhere).unwrap_err().to_string();
        assert!(elsewhere.contains("only a metric of kind triage has `rules`"), "{elsewhere}");
    }

    #[test]
    fn patterns_that_cannot_be_read_or_match_everything_are_refused() {
        let nested = format!("{}a{}", "(".repeat(40), ")".repeat(40));
        for (pattern, words) in [
            ("crash(", ":36:40: "),
            ("(?<=a)b", ":36:40: "),
            ("a*", "every comment"),
            ("((a{1,99}){1,99}){1,99}", ":36:40: "),
            (&nested, ":36:40: "),
        ] {
            let rules = format!("rules = [{{ category = \"bug\", pattern = '{pattern}' }}]");
            let refused = sorted(&rules).unwrap_err();
            assert!(refused.contains(words), "{pattern}: {refused}");
        }
    }

    #[test]
    fn rules_are_part_of_the_promise_in_their_order() {
        let bug = "{ category = \"bug\", words = [\"crash\", \"error\"] }";
        let gap = "{ category = \"retrieval gap\", pattern = \"(?i)not in .* docs\" }";
        assert!(!manifest("").contains("rules"));
        let one = manifest(&format!("rules = [{bug}, {gap}]"));
        assert!(one.contains("\"rules\":\"") && !one.contains("crash"), "{one}");
        assert_eq!(one, manifest(&format!("rules = [ {bug},  {gap} ]")));
        assert_ne!(one, manifest(&format!("rules = [{gap}, {bug}]")));
        assert_ne!(one, manifest(&format!("rules = [{bug}]")));
    }
}
