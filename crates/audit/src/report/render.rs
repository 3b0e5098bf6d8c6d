//! The document as Markdown and as HTML. What others wrote is escaped in both.

use super::block::{Block, Mood};
use sottovoce_dap::printable::is_hidden;
use std::fmt::Write;

/// As Markdown.
pub fn markdown(blocks: &[Block]) -> String {
    let mut out = String::new();
    for block in blocks {
        let _ = match block {
            Block::Title(text) => writeln!(out, "# {}\n", marked(text)),
            Block::Heading(text) => writeln!(out, "## {}\n", marked(text)),
            Block::Text(text) => writeln!(out, "{}\n", marked(text)),
            Block::Verdict(_, text) => writeln!(out, "**{}**\n", marked(text)),
            Block::List(points) => points
                .iter()
                .try_for_each(|point| writeln!(out, "- {}", marked(point)))
                .and_then(|()| writeln!(out)),
            Block::Table(head, rows) => table(&mut out, head, rows),
            Block::Plot(plot) => writeln!(out, "{}.\n", plot.words()),
            Block::Form(lines) => lines
                .iter()
                .try_for_each(|line| writeln!(out, "{}: {}\n", marked(line), "\\_".repeat(30))),
        };
    }
    out
}

fn table(out: &mut String, head: &[String], rows: &[Vec<String>]) -> std::fmt::Result {
    let row = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| marked(cell).replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    writeln!(out, "{}", row(head))?;
    writeln!(out, "|{}", "---|".repeat(head.len()))?;
    rows.iter().try_for_each(|cells| writeln!(out, "{}", row(cells)))?;
    writeln!(out)
}

/// A text in its parts: every second one is code.
fn parts(text: &str) -> impl Iterator<Item = (bool, &str)> {
    // A backtick without its partner is a letter.
    let paired = text.matches('`').count().is_multiple_of(2);
    let parts: Vec<_> = if paired { text.split('`').collect() } else { vec![text] };
    parts.into_iter().enumerate().map(|(at, part)| (!at.is_multiple_of(2), part))
}

/// One line of Markdown, in which nothing is a mark but code between backticks.
fn marked(text: &str) -> String {
    parts(text).fold(String::with_capacity(text.len()), |mut out, (is_code, part)| {
        if is_code && !part.trim().is_empty() {
            let _ = write!(out, "`{}`", part.replace(is_hidden, " "));
        } else {
            out.push_str(&plain(part));
        }
        out
    })
}

/// One line, in which nothing is a mark of Markdown or HTML.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' => out.extend(['\\', letter]),
            letter if is_hidden(letter) => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

/// As a page by itself, for a screen and for paper: no script, nothing that is fetched.
pub fn html(title: &str, blocks: &[Block]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escaped(title)
    );
    for block in blocks {
        let _ = match block {
            Block::Title(text) => writeln!(out, "<h1>{}</h1>", coded(text)),
            Block::Heading(text) => writeln!(out, "<h2>{}</h2>", coded(text)),
            Block::Text(text) => writeln!(out, "<p>{}</p>", coded(text)),
            Block::Verdict(mood, text) => {
                writeln!(out, "<p class=\"verdict {}\">{}</p>", class(*mood), coded(text))
            }
            Block::List(points) => {
                writeln!(out, "<ul>\n{}</ul>", each(points, "\n", |_| "<li>", "</li>"))
            }
            Block::Table(head, rows) => html_table(&mut out, head, rows),
            Block::Plot(plot) => writeln!(out, "<figure>{}</figure>", plot.svg()),
            Block::Form(lines) => writeln!(
                out,
                "<div class=\"form\">\n{}</div>",
                each(lines, "\n", |_| "<p><span>", "</span></p>")
            ),
        };
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn html_table(out: &mut String, head: &[String], rows: &[Vec<String>]) -> std::fmt::Result {
    writeln!(out, "<table>")?;
    if head.iter().any(|cell| !cell.is_empty()) {
        writeln!(out, "<thead><tr>{}</tr></thead>", each(head, "", |_| "<th>", "</th>"))?;
    }
    writeln!(out, "<tbody>")?;
    for row in rows {
        writeln!(out, "<tr>{}</tr>", each(row, "", cell, "</td>"))?;
    }
    writeln!(out, "</tbody>\n</table>")
}

/// A number or a date is never broken into lines; a long name or a hash is.
fn cell(text: &str) -> &'static str {
    let is_number = text.len() <= LONGEST_NUMBER && text.starts_with(|c: char| c.is_ascii_digit());
    if is_number { "<td class=\"number\">" } else { "<td>" }
}

const LONGEST_NUMBER: usize = 24;

fn class(mood: Mood) -> &'static str {
    match mood {
        Mood::Good => "good",
        Mood::Open => "open",
        Mood::Bad => "bad",
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff}main{max-width:60rem;\
    margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.5rem 0}th,td{border:1px \
    solid #ccc;padding:.3rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:#f4f4f4;overflow-wrap:normal}\
    td.number{white-space:nowrap;overflow-wrap:normal;font-variant-numeric:tabular-nums}h2{margin-top:2rem}\
    figure{margin:1rem 0}svg{width:100%;height:auto}code{font-size:.95em;background:#f4f4f4;padding:0 .2em}\
    .verdict{font-weight:bold;border-left:.4rem solid;padding:.5rem .8rem;background:#f7f7f7}.good{border-color:#2e7d32}\
    .open{border-color:#b26a00}.bad{border-color:#b03030}.form p{border-bottom:1px solid #444;padding-top:2.2rem;margin:0;\
    font-size:.9rem}@media print{@page{size:A4;margin:18mm 16mm}body{font-size:10.5pt}main{max-width:none;margin:0;padding:0}\
    h1,h2{break-after:avoid}tr,figure,.verdict,.form,li{break-inside:avoid}thead{display:table-header-group}\
    *{-webkit-print-color-adjust:exact;print-color-adjust:exact}}";

/// Every text within an element of its own.
fn each(texts: &[String], end: &str, open: fn(&str) -> &'static str, close: &str) -> String {
    texts.iter().fold(String::new(), |mut out, text| {
        let _ = write!(out, "{}{}{close}{end}", open(text), coded(text));
        out
    })
}

/// Text within HTML, with code between backticks.
fn coded(text: &str) -> String {
    parts(text).fold(String::with_capacity(text.len()), |mut out, (is_code, part)| {
        let part = escaped(part);
        let _ = if is_code { write!(out, "<code>{part}</code>") } else { write!(out, "{part}") };
        out
    })
}

/// Text within HTML, also within an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if is_hidden(letter) => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}
