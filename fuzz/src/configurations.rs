//! A server's configuration.

use sottovoce::aggregator::config::Config;

/// Refused, or what it says can be used and shown.
pub fn configurations(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(config) = toml::from_str::<Config>(text)
    {
        let _ = config.limits.proxies();
        let _ = format!("{config:?}");
    }
}
