//! No circles of files: nothing stops two files of a crate from naming each other; this does.
//!
//! A file uses what a `use` or a path in its code leads to, through re-exports to where it is written. Not
//! counted is what a module's file uses of what is below it: it declares all of that anyway. Modules named
//! `tests`, and those within a file that only `cfg(test)` builds, may use anything.
//!
//! A circle mostly opens when a type, a constant or an error that several files speak of moves to a file of
//! its own.

#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut found = Vec::new();
    for folder in crates() {
        let name = folder.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display();
        let circles = circles(&sources(&folder));
        found.extend(circles.iter().map(|circle| format!("{name}:{}", in_words(circle))));
    }
    assert!(found.is_empty(), "files use each other in a circle:\n{}", found.join("\n"));
}

/// The folder of each crate's sources: the root's, those of its parts, and binaries of several files.
fn crates() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parts = ["crates", "bindings"].iter().flat_map(|group| entries(&root.join(group)));
    let mut folders: Vec<_> = parts.chain([root.to_owned()]).map(|part| part.join("src")).collect();
    folders.extend(folders.clone().iter().flat_map(|folder| entries(&folder.join("bin"))));
    folders.retain(|folder| folder.is_dir());
    folders
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Files of one crate with their texts, by their paths from its root: `dap/mod.rs`.
type Sources = BTreeMap<String, String>;

fn sources(root: &Path) -> Sources {
    let (mut sources, mut waiting) = (Sources::new(), entries(root));
    while let Some(path) = waiting.pop() {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "bin" {
            waiting.extend(entries(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    // A binary beside a library uses it by its name.
    if sources.contains_key("lib.rs") {
        sources.remove("main.rs");
    }
    sources
}

/// That one file uses another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    from: String,
    line: usize,
    to: String,
    /// As the code has it.
    path: String,
}

fn in_words(circle: &[Use]) -> String {
    let line =
        |one: &Use| format!("\n    {}:{} uses {} by {}", one.from, one.line, one.to, one.path);
    circle.iter().map(line).collect()
}

/// Each circle of a crate's files, as the uses within it.
fn circles(sources: &Sources) -> Vec<Vec<Use>> {
    let uses = Modules::read(sources).uses();
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in &uses {
        next.entry(&one.from).or_default().insert(&one.to);
    }
    let reached: BTreeMap<_, _> = next.keys().map(|file| (*file, reachable(file, &next))).collect();
    let both_ways = |one: &str, other: &str| {
        let reaches = |from, to| reached.get(from).is_some_and(|all| all.contains(to));
        reaches(one, other) && reaches(other, one)
    };
    let mut circles: Vec<Vec<Use>> = Vec::new();
    for one in uses.iter().filter(|one| both_ways(&one.from, &one.to)) {
        match circles.iter_mut().find(|circle| both_ways(&circle[0].from, &one.from)) {
            Some(circle) => circle.push(one.clone()),
            None => circles.push(vec![one.clone()]),
        }
    }
    circles
}

fn reachable<'a>(file: &str, next: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![file]);
    while let Some(file) = waiting.pop() {
        for other in next.get(file).into_iter().flatten() {
            if reached.insert(*other) {
                waiting.push(other);
            }
        }
    }
    reached
}

/// A path as it is written, in segments.
type Segments = Vec<String>;

/// A module, by the names from the crate's root.
type Name = Vec<String>;

/// A path in a file.
struct Mention {
    line: usize,
    path: Segments,
}

/// What a module, of a file or within one, names.
#[derive(Default)]
struct Module {
    file: String,
    /// What `use` brings, by the name that it has here.
    imports: BTreeMap<String, Segments>,
    /// All paths, of imports too.
    mentions: Vec<Mention>,
}

struct Modules(BTreeMap<Name, Module>);

impl Modules {
    fn read(sources: &Sources) -> Self {
        let mut modules = Self(BTreeMap::new());
        for (path, text) in sources {
            let tokens = tokens(text);
            let mut reader = Reader { tokens: &tokens, at: 0, file: path, modules: &mut modules };
            reader.module(&module_of(path));
        }
        modules
    }

    /// All uses of one file by another, each once.
    fn uses(&self) -> Vec<Use> {
        let mut uses: BTreeMap<(&str, &str), Use> = BTreeMap::new();
        for (name, module) in self.0.iter().filter(|(name, _)| !is_of_tests(name)) {
            let from = &module.file;
            for Mention { line, path } in &module.mentions {
                let Some(to) = self.resolve(name, path, DEEPEST) else { continue };
                let to = &self.0[&to].file;
                // Itself, or what is below it.
                if module_of(to).starts_with(&module_of(from)) {
                    continue;
                }
                uses.entry((from, to)).or_insert_with(|| Use {
                    from: from.clone(),
                    line: *line,
                    to: to.clone(),
                    path: path.join("::"),
                });
            }
        }
        uses.into_values().collect()
    }

    /// The module that has what a path names; none if that is of another crate.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.find(Vec::new(), rest, depth),
            "self" => self.find(from.to_vec(), rest, depth),
            "super" => {
                let ups = path.iter().take_while(|segment| *segment == "super").count();
                let base = from.get(..from.len().checked_sub(ups)?)?;
                self.find(base.to_vec(), &path[ups..], depth)
            }
            _ if self.0.contains_key(&child(from, first)) => self.find(from.to_vec(), path, depth),
            _ => self.resolve_import(from, path, depth),
        }
    }

    fn resolve_import(&self, from: &[String], path: &[String], depth: usize) -> Option<Name> {
        let (first, rest) = path.split_first()?;
        let import = self.0.get(from)?.imports.get(first)?;
        let whole: Vec<_> = import.iter().chain(rest).cloned().collect();
        self.resolve(from, &whole, depth.checked_sub(1)?)
    }

    fn find(&self, mut base: Name, mut path: &[String], depth: usize) -> Option<Name> {
        while let Some((first, rest)) = path.split_first() {
            let below = child(&base, first);
            if !self.0.contains_key(&below) {
                break;
            }
            (base, path) = (below, rest);
        }
        // What is named may only be passed on here.
        let elsewhere = self.resolve_import(&base, path, depth);
        elsewhere.or_else(|| self.0.contains_key(&base).then_some(base))
    }
}

/// Imports of imports that are followed: a name may be brought in by its own name.
const DEEPEST: usize = 16;

fn child(module: &[String], name: &str) -> Name {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// The module that a file is.
fn module_of(path: &str) -> Name {
    let mut name: Name = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let last = name.last().map(String::as_str);
    if last == Some("mod") || name.len() == 1 && matches!(last, Some("lib" | "main")) {
        name.pop();
    }
    name
}

fn is_of_tests(module: &[String]) -> bool {
    module.iter().any(|name| name == "tests")
}

/// Reads what a file's modules name.
struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    file: &'a str,
    modules: &'a mut Modules,
}

impl Reader<'_> {
    /// Up to the brace that closes the module, or the end.
    fn module(&mut self, name: &[String]) {
        // It may be there under another `cfg`.
        let mut module = self.modules.0.remove(name).unwrap_or_default();
        self.file.clone_into(&mut module.file);
        let (mut depth, mut for_tests) = (0, false);
        while let Some(token) = self.tokens.get(self.at) {
            match token.text.as_str() {
                "#" if matches!((self.text(1), self.text(2)), ("[", _) | ("!", "[")) => {
                    for_tests |= self.attribute(&mut module);
                }
                "mod" if self.text(2) == "{" => {
                    let inner = child(name, self.text(1));
                    if std::mem::take(&mut for_tests) {
                        self.skip("{", "}");
                    } else {
                        self.at += 3;
                        self.module(&inner);
                    }
                }
                // Not what a type captures: `use<'a>`.
                "use" if self.text(1) != "<" => {
                    let line = token.line;
                    self.at += 1;
                    self.use_tree(&mut Vec::new(), line, &mut module);
                    for_tests = false;
                }
                // Who may see something is not what it uses.
                "pub" if self.text(1) == "(" && (self.text(2) == "in" || self.text(3) == ")") => {
                    self.skip("(", ")");
                }
                "pub" => self.at += 1,
                "}" if depth == 0 => {
                    self.at += 1;
                    break;
                }
                _ => {
                    for_tests = false;
                    depth += usize::from(token.text == "{");
                    depth -= usize::from(token.text == "}");
                    self.path(&mut module);
                }
            }
        }
        self.modules.0.insert(name.to_vec(), module);
    }

    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| &token.text)
    }

    /// Whether it says that only tests have what follows.
    fn attribute(&mut self, module: &mut Module) -> bool {
        let start = self.at;
        self.skip("[", "]");
        let end = std::mem::replace(&mut self.at, start);
        while self.at < end {
            self.path(module);
        }
        let texts: String = self.tokens[start..end].iter().map(|token| &*token.text).collect();
        ["#[cfg(test", "#[cfg(all(test"].iter().any(|begin| texts.starts_with(begin))
    }

    /// Past the bracket that closes the next one that opens.
    fn skip(&mut self, opening: &str, closing: &str) {
        let mut depth = 0;
        while let Some(token) = self.tokens.get(self.at) {
            self.at += 1;
            depth += usize::from(token.text == opening);
            if token.text == closing {
                depth -= 1;
                if depth == 0 {
                    return;
                }
            }
        }
    }

    /// One path in code, or one token.
    fn path(&mut self, module: &mut Module) {
        let line = self.tokens[self.at].line;
        let mut path = vec![self.text(0).to_owned()];
        self.at += 1;
        let is_name = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        while is_name(&path[0]) && self.text(0) == "::" && is_name(self.text(1)) {
            path.push(self.text(1).to_owned());
            self.at += 2;
        }
        if path.len() > 1 {
            module.mentions.push(Mention { line, path });
        }
    }

    /// What a tree of a `use` names, after the segments before it.
    fn use_tree(&mut self, before: &mut Segments, line: usize, module: &mut Module) {
        let outer = before.len();
        let mut alias = None;
        while let Some(token) = self.tokens.get(self.at) {
            match token.text.as_str() {
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "") {
                        let line = self.tokens[self.at].line;
                        self.use_tree(&mut before.clone(), line, module);
                        self.at += usize::from(self.text(0) == ",");
                    }
                    self.at += 1;
                    before.clear();
                }
                "," | ";" | "}" => break,
                "::" => self.at += 1,
                "as" => {
                    alias = Some(self.text(1).to_owned());
                    self.at += 2;
                }
                segment => {
                    before.push(segment.to_owned());
                    self.at += 1;
                }
            }
        }
        if before.len() > outer {
            let is_glob = before.last().is_some_and(|last| last == "*");
            // `a::{self}` is `a`, unless there is nothing before.
            if is_glob || before.len() > 1 && before.last().is_some_and(|last| last == "self") {
                before.pop();
            }
            if let Some(last) = before.last().filter(|_| !is_glob) {
                module.imports.insert(alias.unwrap_or_else(|| last.clone()), before.clone());
            }
            module.mentions.push(Mention { line, path: before.clone() });
        }
    }
}

/// A word, `::`, or any other character of code.
struct Token {
    text: String,
    line: usize,
}

/// The tokens of code, without comments, literals and lifetimes.
fn tokens(text: &str) -> Vec<Token> {
    let (mut tokens, mut rest, mut line) = (Vec::new(), text, 1);
    while !rest.is_empty() {
        let (length, is_code) = token(rest);
        let found = &rest[..length];
        if is_code {
            tokens.push(Token { text: found.trim_start_matches("r#").to_owned(), line });
        }
        line += found.matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// How long the next token is, and whether it is of interest.
fn token(text: &str) -> (usize, bool) {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let end = |from: usize, what: &str| {
        text.get(from..)
            .and_then(|rest| rest.find(what))
            .map_or(text.len(), |at| from + at + what.len())
    };
    let first = text.chars().next().unwrap_or(' ');
    if text.starts_with("//") {
        return (end(0, "\n"), false);
    }
    if text.starts_with("/*") {
        return (end(2, "*/"), false);
    }
    if let Some(length) = string(text) {
        return (length, false);
    }
    if first == '\'' {
        // A character, else a lifetime.
        let mut after = text.char_indices().skip(1);
        return match (after.next(), after.next()) {
            (Some((_, '\\')), Some((at, escaped))) => (end(at + escaped.len_utf8(), "'"), false),
            (_, Some((at, '\''))) => (at + 1, false),
            _ => (1 + text[1..].find(|c| !is_word(c)).unwrap_or(text.len() - 1), false),
        };
    }
    if is_word(first) {
        let from = if text.starts_with("r#") { 2 } else { 0 };
        let length = text[from..].find(|c| !is_word(c)).map_or(text.len(), |at| from + at);
        return (length, !first.is_ascii_digit());
    }
    if text.starts_with("::") { (2, true) } else { (first.len_utf8(), !first.is_whitespace()) }
}

/// How long a string is, if one begins here: plain, raw, of bytes or for C.
fn string(text: &str) -> Option<usize> {
    let kind = text.find(|c| !"brc".contains(c))?;
    let hashes = text[kind..].find(|c| c != '#')?;
    let open = kind + hashes;
    if kind > 2 || !text[open..].starts_with('"') || hashes > 0 && !text[..kind].contains('r') {
        return None;
    }
    if text[..kind].contains('r') {
        let close = format!("\"{}", "#".repeat(hashes));
        let length = text[open + 1..].find(&close).map(|at| open + 1 + at + close.len());
        return Some(length.unwrap_or(text.len()));
    }
    let mut escaped = false;
    let close = text[open + 1..].find(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    Some(close.map_or(text.len(), |at| open + at + 2))
}

/// The circles of made-up sources, each as pairs of files.
fn circles_among(files: &[(&str, &str)]) -> Vec<Vec<(String, String)>> {
    let sources = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let pairs =
        |circle: &Vec<Use>| circle.iter().map(|one| (one.from.clone(), one.to.clone())).collect();
    circles(&sources.collect()).iter().map(pairs).collect()
}

const NONE: [Vec<(String, String)>; 0] = [];

/// The one circle through these, in the order of their names.
fn circle(files: &[&str]) -> Vec<Vec<(String, String)>> {
    let next = files.iter().cycle().skip(1);
    let uses = files.iter().zip(next).map(|(one, other)| ((*one).to_owned(), (*other).to_owned()));
    vec![uses.collect()]
}

#[test]
fn siblings_that_use_each_other_are_a_circle() {
    let files =
        [("lib.rs", "mod a;\nmod b;"), ("a.rs", "use super::b::B;"), ("b.rs", "use crate::a;")];
    assert_eq!(circles_among(&files), circle(&["a.rs", "b.rs"]));
    let one_way = [files[0], files[1], ("b.rs", "pub struct B;")];
    assert_eq!(circles_among(&one_way), NONE);
}

#[test]
fn a_circle_leads_through_as_many_files_as_it_has() {
    let files = [
        ("a.rs", "fn a() { crate::b::b() }"),
        ("b.rs", "use crate::{d, c::{self, C}};"),
        ("c.rs", "#[serde(with = super::a)]\nfn c<'a>(x: &'a str) { 'a' }"),
        ("d.rs", "use std::fmt;"),
    ];
    assert_eq!(circles_among(&files), circle(&["a.rs", "b.rs", "c.rs"]));
}

#[test]
fn a_re_export_leads_to_where_something_is_written() {
    let files = [
        ("m/mod.rs", "mod a;\nmod b;\npub use b::B;\npub use self::a::{A as Renamed};"),
        ("m/a.rs", "use super::B;"),
        ("m/b.rs", "fn b(a: crate::m::Renamed) {}"),
    ];
    assert_eq!(circles_among(&files), circle(&["m/a.rs", "m/b.rs"]));
}

#[test]
fn an_imported_module_leads_through_what_it_passes_on() {
    let files = [
        ("a.rs", "use crate::m;\nfn a() -> m::B { m::B }"),
        ("b.rs", "use crate::a::a;"),
        ("m.rs", "pub use crate::b::B;"),
    ];
    let uses = [("a.rs", "b.rs"), ("a.rs", "m.rs"), ("b.rs", "a.rs"), ("m.rs", "b.rs")];
    let uses = uses.map(|(from, to)| (from.to_owned(), to.to_owned()));
    assert_eq!(circles_among(&files), [uses]);
}

#[test]
fn a_module_and_what_is_below_it_are_no_circle() {
    let files = [
        ("m.rs", "mod below;\nuse below::Below;\npub struct M;"),
        ("m/below.rs", "use super::M;\npub struct Below;"),
        ("m/deeper/mod.rs", "fn f() -> crate::m::below::Below {}"),
    ];
    assert_eq!(circles_among(&files), NONE);
    // But another file may close one.
    let beside = [
        files[0],
        ("m/below.rs", "use super::M;\nuse crate::x::X;"),
        ("x.rs", "use crate::m::below;"),
    ];
    assert_eq!(circles_among(&beside), circle(&["m/below.rs", "x.rs"]));
}

#[test]
fn an_inline_module_is_of_its_file() {
    let files = |inner| {
        let a = format!("pub struct A;\npub mod inner {{ use {inner}; }}");
        let files = [
            ("m/mod.rs", "use crate::x::X;\npub struct A;"),
            ("m/a.rs", &a),
            ("x.rs", "use crate::m::a::inner;"),
        ];
        circles_among(&files)
    };
    assert_eq!(files("super::A"), NONE);
    assert_eq!(files("super::super::A"), circle(&["m/a.rs", "m/mod.rs", "x.rs"]));
}

#[test]
fn tests_visibility_comments_and_literals_are_no_use() {
    let files = [
        ("a.rs", "#[cfg(test)]\n#[allow(x)]\nmod tests { use crate::b::B; fn f() { \"}\"; } }\n"),
        ("a/tests.rs", "use crate::b::B;"),
        ("b.rs", "use crate::a::A;"),
        (
            "c.rs",
            "pub(in crate::b) fn c() { \"crate::b::B\"; r#\"\" crate::b\"#; '\"'; } // crate::b",
        ),
        ("d.rs", "/* crate::b\n */ pub(in crate::b) struct D;"),
        ("b/e.rs", "use crate::{c, d};"),
    ];
    assert_eq!(circles_among(&files), NONE);
    let used = [("a.rs", "mod c {}\nfn f() { '\\''; '\\u{7d}'; crate::b::f() }"), files[2]];
    assert_eq!(circles_among(&used), circle(&["a.rs", "b.rs"]));
}

#[test]
fn a_use_is_told_by_its_line_and_path() {
    let files = [
        ("a.rs", "//! A.\n\nuse std::{\n    fmt,\n};\nuse super::b::B;"),
        ("b.rs", "use super::a;"),
    ];
    let sources = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let circles = circles(&sources.collect());
    let expected = "\n    a.rs:6 uses b.rs by super::b::B\n    b.rs:1 uses a.rs by super::a";
    assert_eq!(in_words(&circles[0]), expected);
}
