//! What code does with the variants of an enum, for rules about it.

/// Where code passes over variants of enums that it looks at, by line: an arm for all others, or a pattern that
/// is no `match`. `enums` are named as in patterns: `Kind::`.
pub(crate) fn passed_over(text: &str, enums: &[&str]) -> Vec<(usize, String)> {
    let code = code(text);
    let names_one = |text: &str| enums.iter().any(|name| text.contains(name));
    let looked_at =
        matches(&code).into_iter().filter(|one| one.patterns.iter().any(|p| names_one(p)));
    let arm = |one: Match| Some((one.line, format!("{} => …", one.catch_all()?)));
    let mut wrong: Vec<_> = looked_at.filter_map(arm).collect();
    for begin in ["matches!(", "let "] {
        for (at, _) in code.match_indices(begin) {
            let rest = &code[at..];
            let statement = &rest[..rest.find([';', '{']).unwrap_or(rest.len())];
            let value = statement.find('=').filter(|_| begin == "let ").unwrap_or(statement.len());
            if names_one(&statement[..value]) {
                wrong.push((code[..at].matches('\n').count() + 1, statement.trim().to_owned()));
            }
        }
    }
    wrong
}

/// A `match`: the line where it begins, and the pattern of each arm, with its guard.
struct Match {
    line: usize,
    patterns: Vec<String>,
}

impl Match {
    /// The arm that takes whatever no other one does: `_`, or a mere name.
    fn catch_all(&self) -> Option<&str> {
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
        let is_catch_all = |pattern: &&String| {
            let pattern = pattern.split(" if ").next().unwrap_or_default();
            pattern.split('|').any(|one| one.trim().chars().all(is_name))
        };
        self.patterns.iter().find(is_catch_all).map(String::as_str)
    }
}

/// All `match`es in code without comments and literals, also those within others.
fn matches(code: &str) -> Vec<Match> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("match ") {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if code[..at].ends_with(is_word) {
            continue;
        }
        let Some(open) = end_of(&code[at..], '{').map(|open| at + open) else { continue };
        let line = code[..at].matches('\n').count() + 1;
        found.push(Match { line, patterns: patterns(&code[open + 1..]) });
    }
    found
}

/// Up to the brace that closes the `match`.
fn patterns(mut rest: &str) -> Vec<String> {
    let mut patterns = Vec::new();
    while let Some(arrow) = rest.find("=>").filter(|arrow| *arrow < block_end(rest)) {
        patterns.push(rest[..arrow].trim().to_owned());
        rest = rest[arrow + 2..].trim_start();
        // A block, or an expression up to its comma.
        let end = match rest.strip_prefix('{') {
            Some(block) => block_end(block) + 2,
            None => end_of(rest, ',').map_or(block_end(rest), |comma| comma.min(block_end(rest))),
        };
        rest = rest.get(end..).unwrap_or_default().trim_start().trim_start_matches(',');
    }
    patterns
}

/// Where a character stands outside of all brackets.
fn end_of(code: &str, what: char) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        if depth == 0 && c == what {
            return Some(at);
        }
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Where the block ends that began before.
fn block_end(code: &str) -> usize {
    end_of(code, '}').unwrap_or(code.len())
}

/// The code of a file: comments and literals are blanks, so that lines stay where they are.
fn code(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let (length, is_code) = token(rest, first);
        let (token, after) = rest.split_at(length);
        if is_code {
            code.push_str(token);
        } else {
            code.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

fn token(text: &str, first: char) -> (usize, bool) {
    let up_to = |from: usize, end: &str| {
        text[from..].find(end).map_or(text.len(), |at| from + at + end.len())
    };
    match first {
        '/' if text.starts_with("//") => (text.find('\n').unwrap_or(text.len()), false),
        '/' if text.starts_with("/*") => (up_to(2, "*/"), false),
        'r' if text.starts_with("r#\"") => (up_to(3, "\"#"), false),
        'r' if text.starts_with("r\"") => (up_to(2, "\""), false),
        '"' => (quoted(text, '"'), false),
        // A character, and not a lifetime.
        '\'' if text.starts_with("'\\") || text.chars().nth(2) == Some('\'') => {
            (quoted(text, '\''), false)
        }
        // A name, which may end with an `r`.
        c if c.is_alphanumeric() || c == '_' => {
            let is_other = |c: char| !(c.is_alphanumeric() || c == '_');
            (text.find(is_other).unwrap_or(text.len()), true)
        }
        c => (c.len_utf8(), true),
    }
}

/// To the end of a literal, past what is escaped.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            characters.next();
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    text.len()
}
