//! Servers choose how they name what they create (§3.2): any success, and any component of a path.

use super::{
    http::{Answer, RUNTIME},
    impostor::{Impostor, Received, Reply},
    server::{free_port, poll},
    task::{HISTOGRAM, sample, total},
    world::{World, WorldOptions, seeded},
};
use reqwest::Method;
use sottovoce_collector::{collect::request as collection, open::open};
use sottovoce_dap::{
    bearer_token::BearerToken,
    codec::Encode,
    collect::CollectionJobResp,
    exchange::{Create, Delete},
    hpke::native::Opener,
    task::Url,
};
use sottovoce_transport::{
    exchange::{Patience, complete},
    http::HttpClient,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering::SeqCst},
    },
    time::Duration,
};

/// Statuses of a creation, and what a component begins with.
const CHOICES: [(u16, &str); 4] = [(201, "a:b;v=1,"), (202, "%2F~"), (200, "=@"), (201, "-._")];

/// Passes all on to a server, gives what is created at once a name and a status of its choice, and the
/// resource only when it is asked for by that name.
fn names_freely(port: Arc<AtomicU16>) -> Impostor {
    // The server's own paths.
    let created: Mutex<Vec<String>> = Mutex::default();
    Impostor::start(free_port(), move |request| {
        let Some((path, number)) = named(&request.path) else {
            let Ok(answer) = request.pass_on(port.load(SeqCst)) else { return Reply::HangUp };
            let is_creation = request.method == Method::POST && answer.header("location").is_some();
            return if is_creation {
                create(request, &answer, &mut created.lock().unwrap())
            } else {
                answer.into()
            };
        };
        let query =
            request.path.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
        let created = created.lock().unwrap()[number].clone();
        assert!(created.starts_with(path), "{created} is not in {path}");
        let its = Received { path: created + &query, ..request.clone() };
        its.pass_on(port.load(SeqCst)).map_or(Reply::HangUp, Reply::from)
    })
}

fn create(request: &Received, answer: &Answer, created: &mut Vec<String>) -> Reply {
    let number = created.len();
    let path = answer.location().splitn(4, '/').nth(3).map(|path| format!("/{path}"));
    created.push(path.unwrap());
    let (status, component) = CHOICES[number % CHOICES.len()];
    let location = format!("{}/{component}{number}#not-for-the-server", request.path);
    let headers = vec![("location", location), ("retry-after", "0".to_owned())];
    Reply::Say(status, headers, Vec::new())
}

/// The folder and the number of a name that we gave, which has to come back as it was given.
fn named(path: &str) -> Option<(&str, usize)> {
    let (folder, component) = path.split('?').next()?.rsplit_once('/')?;
    CHOICES.iter().enumerate().find_map(|(at, (_, start))| {
        let number: usize = component.strip_prefix(start)?.parse().ok()?;
        (number % CHOICES.len() == at).then_some((folder, number))
    })
}

/// How often something was created, asked for and deleted by the names of our choice.
fn counts(impostor: &Impostor, collection: &str) -> [usize; 3] {
    let seen = impostor.seen();
    let count = |method: Method, is_named: bool| {
        let is_it = |seen: &&Received| {
            let is_of = seen.path.contains(&format!("/{collection}"));
            seen.method == method && is_of && named(&seen.path).is_some() == is_named
        };
        seen.iter().filter(is_it).count()
    };
    [count(Method::POST, false), count(Method::GET, true), count(Method::DELETE, true)]
}

#[test]
fn a_leader_follows_whatever_names_and_successes_a_helper_chooses() {
    let port = Arc::new(AtomicU16::new(0));
    let helper = names_freely(Arc::clone(&port));
    let helper_seen_at = Some(helper.port());
    let world = World::start(WorldOptions { helper_seen_at, ..Default::default() });
    port.store(world.helper.port, SeqCst);
    let measurements = sample(&HISTOGRAM, 16, &mut seeded(54));
    // Each choice has its job.
    for reports in world.reports(&measurements).chunks(4) {
        world.upload_all(reports);
        world.wait_until_aggregated();
    }
    world.expect(&measurements);
    poll("the jobs' end", || (counts(&helper, "aggregation_jobs") == [4; 3]).then_some(()));
    let [created, asked, _] = counts(&helper, "aggregate_shares");
    assert!(created > 0 && asked > 0, "{created} {asked}");
}

#[test]
fn a_collector_follows_whatever_names_and_successes_a_leader_chooses() {
    let world = World::start(WorldOptions::default());
    let leader = names_freely(Arc::new(AtomicU16::new(world.leader.port)));
    let measurements = sample(&HISTOGRAM, 8, &mut seeded(55));
    world.upload_all(&world.reports(&measurements));

    let (task, request) = (world.task(), collection(world.query()));
    let endpoint = Url::new(&format!("http://127.0.0.1:{}/", leader.port())).unwrap();
    let token = BearerToken::new(task.collector_token.clone()).unwrap();
    let patience = Patience {
        first: Duration::from_millis(50),
        longest: Duration::from_millis(200),
        total: Duration::from_secs(60),
        through_failures: false,
    };
    let http = RUNTIME.block_on(async { HttpClient::new(Duration::from_secs(30)).unwrap() });
    let mut location = None;
    for _ in CHOICES {
        let create = Create::<CollectionJobResp>::new(&endpoint, &task.id, request.to_bytes());
        let asked = complete(&http, &create, Some(&token), &patience, |_, _| ());
        let response = RUNTIME.block_on(asked).unwrap();
        let opener = Opener::new(&task.collector).unwrap();
        let opened = open(&task.id, &task.configuration, &request, &response.value, &opener);
        assert_eq!(opened.unwrap(), total(&HISTOGRAM, &measurements));
        location = response.location;
    }
    let delete = Delete::new(&location.unwrap());
    RUNTIME.block_on(http.perform(&delete, Some(&token))).unwrap();
    let [created, asked, deleted] = counts(&leader, "collection_jobs");
    assert!(asked >= CHOICES.len(), "{asked}");
    assert_eq!([created, deleted], [CHOICES.len(), 1]);
}
