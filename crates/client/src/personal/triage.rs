//! From a comment to the category of a problem; the comment is read here and kept nowhere.
//!
//! A `triage` metric may have rules. They are tried in the order of the program, and the first
//! that matches decides. A rule matches by one of its *words* or by its *pattern*:
//!
//! - **Words** are whole words, whatever their case: *crash* is in "Crash!" and not in "crashed". A
//!   word is a run of letters and digits of any script, in lower case as Unicode has it, and
//!   everything else only separates: "time-out" is the phrase "time out". Nothing is normalized, so
//!   an accent written as a character of its own separates too. Scripts without spaces between
//!   words need a pattern.
//! - **Patterns** are regular expressions as the crate `regex-lite` reads them: in time
//!   proportional to text and pattern; `(?i)`, `\w` and `\b` know ASCII only.
//!
//! An app that has a classifier of its own, such as a small model on the device, passes what it found as a
//! [`Guess`], which counts before the rules or where none matches. Of a longer comment only the first 16 KiB are
//! read.

use regex_lite::Regex;
use serde::Deserialize;
use sottovoce_program::{
    answer::Given,
    kind::{self, MetricKind},
    triage::{Rule, Sign, compile},
};
use std::fmt;
use thiserror::Error;

/// The bytes of a comment that are read.
pub const LONGEST_COMMENT: usize = 16 * 1024;

/// What the app found by other means than rules, such as a small model on the device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guess {
    /// The category; one that the metric does not have counts as no guess.
    pub category: String,
    /// Whether it counts before the rules.
    pub turn: Turn,
}

/// When a guess counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Before the rules.
    BeforeRules,
    /// If no rule matches.
    AfterRules,
}

/// The rules of one metric, ready to use.
#[derive(Debug)]
pub struct Triage {
    categories: Vec<String>,
    rules: Vec<(usize, Matcher)>,
}

/// A metric whose comments cannot be sorted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TriageError {
    /// It is of another kind.
    #[error("a metric of kind {0} has no categories; only one of kind triage has")]
    Kind(&'static str),
    /// A rule's category is not one of the metric's; no parsed program has one.
    #[error("rule {rule} is about {category:?}, which is no category of the metric")]
    Category {
        /// Which rule, from 1.
        rule: usize,
        /// What it says.
        category: String,
    },
    /// A pattern cannot be read; no program that was parsed with the feature `client` has one.
    #[error("the pattern of rule {rule} cannot be used: {reason}")]
    Pattern {
        /// Which rule, from 1.
        rule: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// A comment's category. `Display` says it in a sentence, without the comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorted {
    /// The category.
    pub category: String,
    /// Who found it.
    pub by: By,
}

/// What found a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A rule: which, from 1.
    Rule(usize),
    /// The app's classifier.
    Classifier,
}

#[derive(Debug)]
enum Matcher {
    /// Each a phrase of one word or more, in lower case.
    Phrases(Vec<Vec<String>>),
    Pattern(Regex),
}

impl Triage {
    /// The rules of a metric of kind `triage`; it may have none.
    pub fn of(kind: &MetricKind) -> Result<Self, TriageError> {
        let kind::Triage { categories, rules } =
            kind.as_kind().sorting().ok_or_else(|| TriageError::Kind(kind.name()))?;
        let matcher = |(index, rule): (usize, &Rule)| {
            let number = index + 1;
            let category = categories.iter().position(|known| *known == rule.category);
            let category = category.ok_or_else(|| TriageError::Category {
                rule: number,
                category: rule.category.clone(),
            })?;
            Ok((category, Matcher::of(&rule.sign, number)?))
        };
        let rules = rules.iter().enumerate().map(matcher).collect::<Result<_, _>>()?;
        Ok(Self { categories: categories.clone(), rules })
    }

    /// The category of the first rule that matches, if one does.
    pub fn sort(&self, comment: &str) -> Option<Sorted> {
        let comment = cut(comment);
        let words = words(comment);
        let matches = |(_, matcher): &(usize, Matcher)| matcher.matches(comment, &words);
        let rule = self.rules.iter().position(matches)?;
        Some(self.sorted(self.rules[rule].0, By::Rule(rule + 1)))
    }

    /// Like [`sort`](Self::sort), with what the app's own classifier found.
    pub fn sort_with(&self, comment: &str, guess: &Guess) -> Option<Sorted> {
        let known = || {
            let category = self.categories.iter().position(|known| *known == guess.category)?;
            Some(self.sorted(category, By::Classifier))
        };
        match guess.turn {
            Turn::BeforeRules => known().or_else(|| self.sort(comment)),
            Turn::AfterRules => self.sort(comment).or_else(known),
        }
    }

    fn sorted(&self, category: usize, by: By) -> Sorted {
        Sorted { category: self.categories[category].clone(), by }
    }
}

impl Matcher {
    fn of(sign: &Sign, rule: usize) -> Result<Self, TriageError> {
        match sign {
            Sign::Words(list) => {
                Ok(Self::Phrases(list.iter().map(|phrase| words(phrase)).collect()))
            }
            Sign::Pattern(pattern) => compile(pattern)
                .map(Self::Pattern)
                .map_err(|error| TriageError::Pattern { rule, reason: error.to_string() }),
        }
    }

    fn matches(&self, comment: &str, words: &[String]) -> bool {
        match self {
            Self::Phrases(phrases) => phrases.iter().any(|phrase| {
                // An empty phrase is in no comment, and no window is empty.
                words.windows(phrase.len().max(1)).any(|window| window == phrase.as_slice())
            }),
            Self::Pattern(pattern) => pattern.is_match(comment),
        }
    }
}

impl From<Sorted> for Given {
    fn from(sorted: Sorted) -> Self {
        Self::Triage(sorted.category)
    }
}

impl fmt::Display for Sorted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            By::Rule(rule) => write!(f, "{} (by rule {rule})", self.category),
            By::Classifier => write!(f, "{} (by the app's classifier)", self.category),
        }
    }
}

/// In lower case, each by itself: a Greek sigma at its end is one wherever the word stands.
fn words(text: &str) -> Vec<String> {
    let runs = text.split(|c: char| !c.is_alphanumeric());
    runs.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// The first bytes of a comment, to the end of a character.
fn cut(comment: &str) -> &str {
    let mut end = comment.len().min(LONGEST_COMMENT);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    &comment[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(category: &str, sign: Sign) -> Rule {
        Rule { category: category.to_owned(), sign }
    }

    fn with_words(category: &str, words: &[&str]) -> Rule {
        rule(category, Sign::Words(words.iter().map(|word| (*word).to_owned()).collect()))
    }

    fn with_pattern(category: &str, pattern: &str) -> Rule {
        rule(category, Sign::Pattern(pattern.to_owned()))
    }

    fn triage(rules: Vec<Rule>) -> Result<Triage, TriageError> {
        let categories = ["bug", "gap", "idea"].map(str::to_owned).to_vec();
        Triage::of(&kind::Triage { categories, rules }.into())
    }

    fn found(rules: Vec<Rule>, comment: &str) -> Option<String> {
        triage(rules).unwrap().sort(comment).map(|sorted| sorted.to_string())
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let other = Triage::of(&kind::Thumbs.into()).unwrap_err();
        assert_eq!(other, TriageError::Kind("thumbs"));
        let stray = triage(vec![with_words("bug", &["a"]), with_words("bugs", &["a"])]);
        assert!(stray.unwrap_err().to_string().contains("rule 2 is about \"bugs\""));
        let broken = triage(vec![with_pattern("bug", "(")]).unwrap_err().to_string();
        assert!(broken.contains("the pattern of rule 1 cannot be used"), "{broken}");
    }

    #[test]
    fn words_are_whole_words_of_any_script_and_case() {
        for (word, comment, is_there) in [
            ("crash", "It crashed.", false),
            ("crash", "CRASH!", true),
            ("error", "terror", false),
            ("time-out", "Time out again", true),
            ("time-out", "time was out", false),
            ("not found", "... not\nfound", true),
            ("ПАДАЕТ", "всё падает", true),
            ("οδος", "ΟΔΟΣ'Α", true),
            ("straße", "Die STRAßE fehlt", true),
            ("naïve", "a NAÏVE answer", true),
            ("500", "HTTP 500", true),
            ("500", "5000", false),
            ("a b c", "a b", false),
        ] {
            let rules = vec![with_words("bug", &["other", word])];
            assert_eq!(found(rules, comment).is_some(), is_there, "{word} in {comment}");
        }
        assert_eq!(found(vec![with_words("bug", &["", "--"])], "--"), None);
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = || {
            vec![
                with_words("gap", &["docs"]),
                with_pattern("bug", "(?i)not in .* docs"),
                with_words("idea", &["please"]),
            ]
        };
        let sorted = |comment| found(rules(), comment);
        assert_eq!(sorted("NOT in the Docs, please").as_deref(), Some("gap (by rule 1)"));
        assert_eq!(sorted("Not in my docsets, please").as_deref(), Some("bug (by rule 2)"));
        assert_eq!(sorted("more, please").as_deref(), Some("idea (by rule 3)"));
        assert_eq!(sorted("well"), None);
        assert_eq!(sorted(""), None);
    }

    #[test]
    fn a_guess_counts_in_its_turn_and_only_if_it_is_a_category() {
        let triage = triage(vec![with_words("bug", &["crash"])]).unwrap();
        let sorted = |category: &str, comment, turn| {
            let guess = Guess { category: category.to_owned(), turn };
            triage.sort_with(comment, &guess).map(|sorted| sorted.to_string())
        };
        let by_rule = Some("bug (by rule 1)".to_owned());
        let by_model = Some("idea (by the app's classifier)".to_owned());
        assert_eq!(sorted("idea", "crash", Turn::AfterRules), by_rule);
        assert_eq!(sorted("idea", "crash", Turn::BeforeRules), by_model);
        assert_eq!(sorted("idea", "well", Turn::AfterRules), by_model);
        assert_eq!(sorted("ideas", "crash", Turn::BeforeRules), by_rule);
        assert_eq!(sorted("", "well", Turn::AfterRules), None);
    }

    #[test]
    fn only_the_beginning_of_a_long_comment_is_read() {
        let rules = || vec![with_words("bug", &["crash"]), with_pattern("gap", "gap$")];
        let padded = |bytes: usize, end: &str| format!("{} {end}", "x".repeat(bytes - 1));
        let fits = LONGEST_COMMENT - "crash".len();
        assert!(found(rules(), &padded(fits, "crash")).is_some());
        assert!(found(rules(), &padded(fits + 1, "crash")).is_none());
        assert!(found(rules(), &padded(LONGEST_COMMENT, "gap")).is_none());
        let wide = "é".repeat(LONGEST_COMMENT);
        for shifted in [wide.clone(), format!("x{wide}")] {
            assert_eq!(found(rules(), &shifted), None, "cut at the end of a character");
        }
    }

    #[test]
    fn a_category_is_an_answer_to_the_metric() {
        let sorted = triage(vec![with_words("gap", &["docs"])]).unwrap().sort("docs").unwrap();
        assert_eq!(Given::from(sorted), Given::Triage("gap".to_owned()));
    }

    proptest! {
        #[test]
        fn any_comment_is_sorted_or_not(comment in ".*", word in "\\PC{1,20}", pattern in "\\PC{0,20}") {
            let mut rules = vec![with_words("bug", &[&word])];
            if compile(&pattern).is_ok() {
                rules.push(with_pattern("gap", &pattern));
            }
            let sorted = triage(rules).unwrap().sort(&comment);
            prop_assert!(sorted.is_none_or(|sorted| sorted.category != "idea"));
            if word.contains(char::is_alphanumeric) {
                let with_word = format!("{word}\u{2014}{comment}");
                let sorted = found(vec![with_words("bug", &[&word])], &with_word);
                prop_assert_eq!(sorted.as_deref(), Some("bug (by rule 1)"));
            }
        }
    }
}
