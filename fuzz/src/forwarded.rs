//! What proxies say of clients, and what clients say before them.

use axum::http::{HeaderMap, HeaderValue};
use sottovoce_connections::forwarded::{Proxies, Trust};
use std::net::IpAddr;

/// Lines of a header that proxies write: nothing before what ours add changes what is read.
pub fn forwarded(data: &[u8]) {
    let name = if data.first().is_some_and(|byte| byte % 2 == 0) {
        "forwarded"
    } else {
        "x-forwarded-for"
    };
    let own = if name == "forwarded" { "for=\"192.0.2.1:80\";proto=https" } else { "192.0.2.1:80" };
    let proxy: IpAddr = [10, 0, 0, 1].into();
    let networks = vec!["10.0.0.0/8".parse().expect("a network")];
    for trust in [Trust::Networks(networks), Trust::Hops(1)] {
        let proxies = Proxies { header: name.parse().expect("a name"), trust };
        let mut headers = HeaderMap::new();
        for line in data.split(|byte| *byte == b'\n') {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append(&proxies.header, value);
            }
        }
        let _ = proxies.client_address(&headers, proxy);
        headers.append(&proxies.header, HeaderValue::from_static(own));
        let read = proxies.client_address(&headers, proxy);
        assert_eq!(read, Ok([192, 0, 2, 1].into()));
    }
}
