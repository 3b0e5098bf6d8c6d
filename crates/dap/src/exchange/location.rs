//! Where a created resource is: `Location` against the URL of the request (RFC 3986 §5.2).

use thiserror::Error;

/// A `Location` that must not be followed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LocationError {
    /// Another server, which must not see our token.
    #[error(
        "the Location header points to another server; redirects to other servers are not followed"
    )]
    OtherOrigin,
    /// It could lead out of the endpoint's path.
    #[error("the Location header has a path segment `.` or `..`; it is not followed")]
    Dots,
    /// Not a reference that could be followed.
    #[error("the Location header is not a URL")]
    Invalid,
}

/// Resolves a `Location` against the URL of the request; stays on the same server.
///
/// The last component is the server's to choose and is not looked into. A fragment is cut off: it is
/// not sent, and what is appended to the URL would be part of it.
pub fn resolve(request_url: &str, location: &str) -> Result<String, LocationError> {
    // An HTTP client may read a backslash as a slash.
    let is_legal = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    let reference = location.split('#').next().unwrap_or("");
    if reference.is_empty() || !location.bytes().all(is_legal) {
        return Err(LocationError::Invalid);
    }
    let (origin, path) = split(request_url).ok_or(LocationError::Invalid)?;
    if let Some((their_origin, their_path)) = split(reference) {
        if !their_origin.eq_ignore_ascii_case(origin) {
            return Err(LocationError::OtherOrigin);
        }
        return without_dots(their_path).map(|_| reference.to_owned());
    }
    if reference.starts_with("//") {
        return Err(LocationError::OtherOrigin);
    }
    if reference.starts_with('/') {
        return Ok(format!("{origin}{}", without_dots(reference)?));
    }
    let before_colon = reference.split(['/', '?']).next().unwrap_or("");
    if before_colon.contains(':') {
        return Err(LocationError::Invalid);
    }
    let folder = path.split('?').next().and_then(|path| path.rsplit_once('/'));
    let folder = folder.map_or("", |(folder, _)| folder);
    Ok(format!("{origin}{folder}/{}", without_dots(reference.trim_start_matches("./"))?))
}

/// The same path, if it has no segment that an HTTP client would take away, escaped or not.
fn without_dots(path: &str) -> Result<&str, LocationError> {
    let is_dots = |segment: &str| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    };
    let before_query = path.split('?').next().unwrap_or(path);
    if before_query.split('/').any(is_dots) { Err(LocationError::Dots) } else { Ok(path) }
}

/// The origin of an HTTP URL, and its path.
fn split(url: &str) -> Option<(&str, &str)> {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })?;
    let rest = &url[scheme.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((&url[..scheme.len() + end], &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "https://helper.example/api/tasks/T/aggregation_jobs";

    #[test]
    fn all_forms_of_reference_lead_to_the_resource() {
        let there = "https://helper.example/api/tasks/T/aggregation_jobs/J";
        for location in [there, "/api/tasks/T/aggregation_jobs/J", "aggregation_jobs/J"] {
            assert_eq!(resolve(REQUEST, location).unwrap(), there);
        }
    }

    #[test]
    fn a_token_never_follows_to_another_server() {
        for location in ["https://evil.example/x", "http://helper.example/x", "//evil.example/x"] {
            assert_eq!(resolve(REQUEST, location), Err(LocationError::OtherOrigin), "{location}");
        }
        assert_eq!(
            resolve(REQUEST, "https://helper.example.evil.example/x"),
            Err(LocationError::OtherOrigin)
        );
        assert_eq!(
            resolve(REQUEST, "https://helper.example@evil.example/x"),
            Err(LocationError::OtherOrigin)
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let nonsense =
            ["", " ", "\u{7f}", "javascript:alert(1)", "a b", "a:b", "#x", "J\\..\\x", "J#\\"];
        for location in nonsense {
            assert_eq!(resolve(REQUEST, location), Err(LocationError::Invalid), "{location}");
        }
    }

    #[test]
    fn a_location_does_not_climb_whichever_way_it_is_written() {
        for path in ["..", "../x", "x/..", "x/../y", "x/./y", ".%2e/x", "%2E%2e/x", "x/%2e"] {
            for start in
                ["", "./", "/", "/api/", "https://helper.example/", "HTTPS://helper.example/a/"]
            {
                let location = format!("{start}{path}");
                assert_eq!(resolve(REQUEST, &location), Err(LocationError::Dots), "{location}");
                let location = format!("{start}{path}?step=0#x");
                assert_eq!(resolve(REQUEST, &location), Err(LocationError::Dots), "{location}");
            }
        }
        assert_eq!(resolve(REQUEST, "."), Err(LocationError::Dots));
        // Dots that are part of a name or of a query stay.
        for location in ["...", ".x", "x..", "..;v=1", "J?from=a/../b"] {
            let there = format!("https://helper.example/api/tasks/T/{location}");
            assert_eq!(resolve(REQUEST, location), Ok(there));
        }
    }

    /// RFC 3986 §3.3: a server may choose any component, and gets back exactly that one.
    #[test]
    fn a_component_of_any_kind_stays_as_it_is() {
        let long = "x".repeat(200);
        for component in
            ["~", "%2F", "=", ";v=1", "@", "!$&'()*+,", "a:b", "-._~", "%41%c3%a9", &long]
        {
            let there = format!("https://helper.example/api/tasks/T/aggregation_jobs/{component}");
            let path = format!("/api/tasks/T/aggregation_jobs/{component}");
            let relative = format!("./aggregation_jobs/{component}");
            for location in
                [&there, &path, &relative, &format!("{path}#x"), &format!("{relative}#?y")]
            {
                assert_eq!(resolve(REQUEST, location).as_ref(), Ok(&there), "{location}");
            }
        }
        let there = "https://helper.example/api/tasks/T/a:b".to_owned();
        assert_eq!(resolve(REQUEST, "./a:b"), Ok(there));
    }
}
