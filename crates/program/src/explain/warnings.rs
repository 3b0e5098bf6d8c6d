//! What a reader should not overlook.

use super::{Question, questions};
use crate::{
    Program,
    dimension::{Dimension, Visibility},
};
use sottovoce_dap::task::Url;
use sottovoce_privacy::units::TrustModel;

/// A report is then the answer itself to those who collude.
const NEARLY_ALWAYS_TRUE: f64 = 0.99;
/// Beyond it intervals are wide; programs need a word to go further.
const MANY_BINS: usize = 21;

pub(super) fn of(program: &Program) -> Vec<String> {
    let mut warnings = endpoints(program);
    let key = program.collector().public_key.as_bytes();
    if key.windows(2).all(|pair| pair[0] == pair[1]) {
        let words = "the collector's key is a placeholder, so nobody can decrypt the totals; replace it with the \
                     key that `sottovoce keygen` prints";
        warnings.push(words.to_owned());
    }
    if program.budget().is_none() {
        let words = "no privacy budget: a device reports in every window, and its privacy loss adds up to the figures \
                     of a year above; add a table [budget]; `sottovoce plan --devices N --precision P` proposes one";
        warnings.push(words.to_owned());
    }
    if program.jitter() == 0 {
        warnings.push(
            "jitter is 0: the arrival time of a report reveals when its device was active".into(),
        );
    }
    warnings.extend(questions(program).iter().flat_map(of_question));
    let is_held_out = |d: &Dimension| matches!(d.visibility, Visibility::HeldOut(_));
    let mut dimensions = program.tasks().iter().flat_map(|task| &task.metric.dimensions);
    if dimensions.any(is_held_out) {
        warnings.push(
            "the app must exclude held-out devices from tuning: its engine tells whether a device is held out"
                .to_owned(),
        );
    }
    warnings
}

fn endpoints(program: &Program) -> Vec<String> {
    let mut warnings = Vec::new();
    for url in [program.leader(), program.helper()] {
        if url.as_str().starts_with("http://") {
            warnings.push(format!("{url} is not encrypted in transit; use https:// outside tests"));
        }
        if is_placeholder(host(url)) {
            warnings.push(format!("{url} is a placeholder; replace it"));
        }
    }
    if let Some(domain) = in_common(host(program.leader()), host(program.helper())) {
        warnings.push(format!(
            "both aggregators are at {domain}: if one organisation runs both, only the guarantee \"{}\" holds",
            TrustModel::Oc.named()
        ));
    }
    warnings
}

fn of_question(question: &Question) -> Vec<String> {
    let mut warnings = Vec::new();
    let Question { metric, report, truth, .. } = question;
    let epsilon = |trust| {
        let found = question.guarantees.iter().find(|guarantee| guarantee.trust == trust);
        found.map(|guarantee| guarantee.epsilon)
    };
    if epsilon(TrustModel::Oamc) >= epsilon(TrustModel::Oc) {
        warnings
            .push(format!("{metric}: min_batch_size is too small for any amplification; raise it"));
    }
    if *truth >= NEARLY_ALWAYS_TRUE {
        warnings.push(format!(
            "{metric}: reports are almost never randomized, so nothing protects an answer if both aggregators \
             collude; use a smaller epsilon0"
        ));
    }
    if report.len() > MANY_BINS {
        warnings.push(format!("{metric} has {} bins: expect wide intervals", report.len()));
    }
    warnings
}

/// The host of an endpoint, without its port.
fn host(url: &Url) -> &str {
    let rest = url.as_str().split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.split_once(']') {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// Hosts that are nobody's (RFC 2606).
fn is_placeholder(host: &str) -> bool {
    let names = ["example", "example.com", "example.net", "example.org"];
    names.iter().any(|name| {
        host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// The host, or the domain that two hosts are names of.
fn in_common<'a>(one: &'a str, other: &str) -> Option<&'a str> {
    if one == other {
        return Some(one);
    }
    let is_address = |host: &str| host.ends_with(|last: char| last.is_ascii_digit());
    let (domain, other_domain) = (one.split_once('.')?.1, other.split_once('.')?.1);
    let is_one = domain == other_domain && domain.contains('.') && !is_address(one);
    is_one.then_some(domain)
}

#[cfg(test)]
mod tests {
    use crate::{Program, explain::Explanation, template::without_budget};

    fn warnings(change: impl Fn(String) -> String) -> String {
        let text = without_budget(include_str!("../../../../examples/support-assistant.toml"));
        let program = Program::parse("program.toml", &change(text)).unwrap();
        Explanation::of(&program).warnings.join("\n")
    }

    fn at(leader: &str, helper: &str) -> String {
        warnings(|text| {
            text.replace("https://leader.example/", leader)
                .replace("https://helper.example/", helper)
        })
    }

    #[test]
    fn what_is_risky_is_pointed_out() {
        let example = warnings(|text| text);
        for part in [
            "https://leader.example/ is a placeholder",
            "https://helper.example/ is a placeholder",
            "the collector's key is a placeholder",
            "no privacy budget",
        ] {
            assert!(example.contains(part), "{part:?} is not in\n{example}");
        }
        let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        let own = warnings(|text| {
            text.replace(key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwk")
                .replace("[privacy]", "[budget]\nperiod = \"90 days\"\nwindows = 9\n[privacy]")
                .replace("leader.example", "dap.one.org")
                .replace("helper.example", "dap.other.org")
        });
        assert_eq!(own, "");
        let open = warnings(|text| {
            text.replace("epsilon0 = 4.0", "epsilon0 = 7.0")
                .replace("epsilon = 1.0", "epsilon = 7.0")
                .replace("grace = \"6 hours\"", "grace = \"0 seconds\"")
        });
        assert!(open.contains("helpful: reports are almost never randomized"), "{open}");
        assert!(open.contains("jitter is 0"), "{open}");
    }

    #[test]
    fn two_endpoints_of_one_organisation_are_noticed() {
        for (leader, helper, domain) in [
            ("http://127.0.0.1:1/", "http://127.0.0.1:2/", Some("127.0.0.1")),
            ("http://[::1]:1/", "http://[::1]:2/", Some("[::1")),
            ("https://dap.org/a/", "https://dap.org/b/", Some("dap.org")),
            ("https://a.dap.org/", "https://b.dap.org:8443/", Some("dap.org")),
            ("https://one.org/", "https://other.org/", None),
            ("https://10.0.0.1/", "https://192.0.0.1/", None),
        ] {
            let warnings = at(leader, helper);
            let found = warnings.lines().find_map(|line| {
                line.strip_prefix("both aggregators are at ")?.split(": if one").next()
            });
            assert_eq!(found, domain, "{leader} {helper}: {warnings}");
        }
        assert!(at("http://a.org/", "https://b.org/").contains("http://a.org/ is not encrypted"));
    }
}
