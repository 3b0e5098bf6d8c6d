//! What was counted as text: in the classic format of Prometheus, or in OpenMetrics if that is asked for.

use std::fmt::Write;

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header asks for: `OpenMetrics` only if it is named, with no less weight than
    /// plain text. Whoever asks for neither is a person with a browser, and gets plain text.
    pub fn accepted(accept: &str) -> Self {
        let weights = |wanted: &str| {
            let ranges = accept.split(',').map(MediaRange::parse);
            ranges.filter(|range| range.name == wanted).map(|range| range.weight).max()
        };
        match (weights("application/openmetrics-text"), weights("text/plain")) {
            (Some(open), plain) if open > 0 && open >= plain.unwrap_or(0) => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// The `Content-Type` of a response in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A part of an `Accept` header.
struct MediaRange {
    name: String,
    /// In thousandths.
    weight: u16,
}

impl MediaRange {
    fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
        Self { name, weight }
    }
}

/// A weight, from 0 to 1 with at most three decimals (RFC 9110 §12.4.2); one of another form counts as 0.
fn thousandths(weight: &str) -> u16 {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" => 1000,
        "0" if decimals.len() <= 3 && digits(decimals) => {
            format!("{decimals:0<3}").parse().unwrap_or(0)
        }
        _ => 0,
    }
}

/// The classic format of a text in `OpenMetrics`: metric families have the names of their samples, and there are
/// no units, infos or end.
pub(super) fn to_prometheus(open: &str) -> String {
    let (mut text, mut help) = (String::with_capacity(open.len()), None);
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), about) => help = Some(about.unwrap_or_default()),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (name, kind) = family(name, kind);
                // Writing to a string does not fail.
                let _ = writeln!(text, "# HELP {name} {}", help.take().unwrap_or_default());
                let _ = writeln!(text, "# TYPE {name} {kind}");
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// The name and type of a family in the classic format.
fn family<'a>(name: &str, kind: &'a str) -> (String, &'a str) {
    match kind {
        "counter" => (format!("{name}_total"), kind),
        "info" => (format!("{name}_info"), "gauge"),
        "unknown" => (name.to_owned(), "untyped"),
        _ => (name.to_owned(), kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text; version=1.0.0;q=0.5,\
                          application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for open in [
            prometheus,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; charset=utf-8",
            "text/plain;q=0.8, application/openmetrics-text;q=0.8",
        ] {
            assert_eq!(Format::accepted(open), Format::OpenMetrics, "{open}");
        }
        for plain in [
            "",
            "*/*",
            "text/html, */*;q=0.1",
            "text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.25",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.000, */*",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=-1",
            "application/openmetrics-text-and-more",
        ] {
            assert_eq!(Format::accepted(plain), Format::Prometheus, "{plain}");
        }
    }

    #[test]
    fn families_of_the_classic_format_are_called_as_their_samples() {
        let open = "# HELP a_reports Reports  of all.\n# TYPE a_reports counter\na_reports_total{t=\"x # y\"} 3\n\
                    # HELP a_seconds S.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\na_seconds_sum 1.0\n\
                    # HELP a_build B.\n# TYPE a_build info\na_build_info{v=\"1\"} 1\n# EOF\n";
        let classic = "# HELP a_reports_total Reports  of all.\n# TYPE a_reports_total counter\n\
                       a_reports_total{t=\"x # y\"} 3\n# HELP a_seconds S.\n# TYPE a_seconds histogram\n\
                       a_seconds_sum 1.0\n# HELP a_build_info B.\n# TYPE a_build_info gauge\n\
                       a_build_info{v=\"1\"} 1\n";
        assert_eq!(to_prometheus(open), classic);
    }
}
