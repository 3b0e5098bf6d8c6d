//! The document as Markdown and as HTML. What others wrote is escaped in both.

use super::document::Block;
use sottovoce_dap::printable::is_hidden;
use std::fmt::Write;

/// As Markdown.
pub fn markdown(blocks: &[Block]) -> String {
    let mut out = String::new();
    for (index, block) in blocks.iter().enumerate() {
        let _ = match block {
            Block::Heading(text) if index == 0 => writeln!(out, "# {}\n", plain(text)),
            Block::Heading(text) => writeln!(out, "## {}\n", plain(text)),
            Block::Text(text) => writeln!(out, "{}\n", plain(text)),
            Block::List(points) => points
                .iter()
                .try_for_each(|point| writeln!(out, "- {}", plain(point)))
                .and_then(|()| writeln!(out)),
            Block::Table(head, rows) => table(&mut out, head, rows),
            Block::Plot(plot) => writeln!(out, "{}.\n", plot.words()),
        };
    }
    out
}

fn table(out: &mut String, head: &[String], rows: &[Vec<String>]) -> std::fmt::Result {
    let row = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| plain(cell).replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    writeln!(out, "{}", row(head))?;
    writeln!(out, "|{}", "---|".repeat(head.len()))?;
    rows.iter().try_for_each(|cells| writeln!(out, "{}", row(cells)))?;
    writeln!(out)
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

/// As a page by itself: no script, nothing that is fetched.
pub fn html(title: &str, blocks: &[Block]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escaped(title)
    );
    for (index, block) in blocks.iter().enumerate() {
        let _ = match block {
            Block::Heading(text) if index == 0 => writeln!(out, "<h1>{}</h1>", escaped(text)),
            Block::Heading(text) => writeln!(out, "<h2>{}</h2>", escaped(text)),
            Block::Text(text) => writeln!(out, "<p>{}</p>", escaped(text)),
            Block::List(points) => {
                writeln!(out, "<ul>\n{}</ul>", each(points, "li", "\n"))
            }
            Block::Table(head, rows) => {
                let _ = writeln!(out, "<table>\n<tr>{}</tr>", each(head, "th", ""));
                for row in rows {
                    let _ = writeln!(out, "<tr>{}</tr>", each(row, "td", ""));
                }
                writeln!(out, "</table>")
            }
            Block::Plot(plot) => writeln!(out, "<figure>{}</figure>", plot.svg()),
        };
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff}main{max-width:52rem;\
    margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{border:1px solid \
    #ccc;padding:.3rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}h2{margin-top:2rem}figure{margin:1rem 0}";

/// Every text within an element of its own.
fn each(texts: &[String], tag: &str, end: &str) -> String {
    texts.iter().fold(String::new(), |mut out, text| {
        let _ = write!(out, "<{tag}>{}</{tag}>{end}", escaped(text));
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
