//! Responses of servers: any status, any headers, any body.

use sottovoce_dap::{
    aggregate::AggregationJobResp,
    collect::{AggregateShare, CollectionJobResp},
    exchange::{Create, Exchange, FetchHpkeConfigs, Polled, Resource, Response, Upload, resolve},
    ids::TaskId,
    task::Url,
};

/// Two bytes of status, four headers that end with a zero byte each, and the body.
pub fn responses(data: &[u8]) {
    let Some(response) = response(data) else { return };
    let _ = response.asked_to_wait();
    let endpoint = Url::new("https://helper.example/api/").expect("a URL");
    let task = TaskId::new([7; 32]);
    let _ = FetchHpkeConfigs { endpoint: endpoint.clone() }.read(response.clone());
    let upload = Upload { endpoint: endpoint.clone(), task, request: vec![0; 9] };
    let _ = upload.read(response.clone());
    create::<AggregationJobResp>(&endpoint, &response);
    create::<CollectionJobResp>(&endpoint, &response);
    create::<AggregateShare>(&endpoint, &response);
}

pub(crate) fn response(data: &[u8]) -> Option<Response> {
    let (status, rest) = data.split_first_chunk::<2>()?;
    let mut parts = rest.splitn(5, |byte| *byte == 0);
    let mut header = || {
        let text = String::from_utf8_lossy(parts.next()?).into_owned();
        (!text.is_empty()).then_some(text)
    };
    let (content_type, location, retry_after, cache_control) =
        (header(), header(), header(), header());
    Some(Response {
        status: u16::from_be_bytes(*status) % 1000,
        content_type,
        location,
        retry_after,
        cache_control,
        body: parts.next().unwrap_or_default().to_vec(),
    })
}

fn create<T: Resource>(endpoint: &Url, response: &Response) {
    let create = Create::<T>::new(endpoint, &TaskId::new([7; 32]), Vec::new());
    let Ok(created) = create.read(response.clone()) else { return };
    if let Some(location) = &created.location {
        stays(location);
    }
    if let Polled::Pending { retry_after: Some(wait) } = created.state {
        let _ = std::time::Instant::now().checked_add(wait);
    }
}

/// Our token goes to no other server, wherever the answer points.
fn stays(location: &str) {
    let origin = "https://helper.example";
    let (start, rest) = location.split_at_checked(origin.len()).expect("it has our origin");
    assert!(start.eq_ignore_ascii_case(origin), "{location}");
    assert!(rest.is_empty() || rest.starts_with(['/', '?', '#']), "{location}");
    assert_eq!(resolve(origin, location).as_deref(), Ok(location), "it is followed as it is");
}
