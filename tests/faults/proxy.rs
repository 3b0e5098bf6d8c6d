//! Between two servers: a network that loses, delays, cuts and repeats what it carries.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// What happens to a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    RequestLost,
    ResponseLost,
    RequestCut,
    ResponseCut,
    Late,
    /// At the same time.
    Twice,
    /// Again, when the answer has long been given.
    RepeatedLater,
}

pub(crate) const FAULTS: [Fault; 7] = [
    Fault::RequestLost,
    Fault::ResponseLost,
    Fault::RequestCut,
    Fault::ResponseCut,
    Fault::Late,
    Fault::Twice,
    Fault::RepeatedLater,
];

/// Carries whole requests, each over connections of its own.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    target: OnceLock<u16>,
    troubled: AtomicBool,
    rng: Mutex<StdRng>,
    /// Drawn without putting back, so that each comes soon.
    bag: Mutex<Vec<Fault>>,
    hits: Mutex<BTreeMap<Fault, u32>>,
}

impl Proxy {
    /// Listens; nothing goes wrong before [`Self::trouble`].
    pub(crate) fn start(seed: u64) -> Self {
        let state = Arc::new(State {
            target: OnceLock::new(),
            troubled: AtomicBool::new(false),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            bag: Mutex::default(),
            hits: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let port = listen(move |client| shared.carry(client).map_or((), drop));
        Self { port, state }
    }

    /// Says where requests go.
    pub(crate) fn lead_to(&self, port: u16) {
        self.state.target.set(port).unwrap();
    }

    pub(crate) fn trouble(&self, troubled: bool) {
        self.state.troubled.store(troubled, SeqCst);
    }

    /// How often each fault hit a request.
    pub(crate) fn hits(&self) -> BTreeMap<Fault, u32> {
        self.state.hits.lock().unwrap().clone()
    }
}

impl State {
    fn draw(&self) -> Option<Fault> {
        let mut rng = self.rng.lock().unwrap();
        if !self.troubled.load(SeqCst) || rng.random_bool(0.5) {
            return None;
        }
        let mut bag = self.bag.lock().unwrap();
        if bag.is_empty() {
            bag.extend(FAULTS);
            bag.shuffle(&mut *rng);
        }
        let fault = bag.pop();
        *self.hits.lock().unwrap().entry(fault?).or_default() += 1;
        fault
    }

    fn pause(&self, milliseconds: u64) {
        let drawn = self.rng.lock().unwrap().random_range(0..milliseconds);
        thread::sleep(Duration::from_millis(drawn));
    }

    /// Carries one request; a client that is left without its answer sees a reset.
    fn carry(&self, mut client: TcpStream) -> Option<()> {
        let request = read_request(&mut client)?;
        let port = *self.target.get()?;
        match self.draw() {
            None => answer(client, &relay(port, &request)?),
            Some(Fault::RequestLost) => None,
            Some(Fault::ResponseLost) => relay(port, &request).map(drop),
            Some(Fault::RequestCut) => {
                let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
                server.write_all(&request[..request.len() / 2]).ok()
            }
            Some(Fault::ResponseCut) => {
                let response = relay(port, &request)?;
                client.write_all(&response[..response.len() / 2]).ok()
            }
            Some(Fault::Late) => {
                // Now and then for longer than a job is leased.
                let long = self.rng.lock().unwrap().random_bool(0.25);
                self.pause(if long { 5000 } else { 600 });
                answer(client, &relay(port, &request)?)
            }
            Some(Fault::Twice) => {
                let (first, second) = thread::scope(|scope| {
                    let other = scope.spawn(|| relay(port, &request));
                    (relay(port, &request), other.join().unwrap())
                });
                answer(client, &first.or(second)?)
            }
            Some(Fault::RepeatedLater) => {
                answer(client, &relay(port, &request)?)?;
                self.pause(1500);
                relay(port, &request).map(drop)
            }
        }
    }
}

/// Listens for the rest of the process, with a thread for each connection.
fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(client));
        }
    });
    port
}

/// Carries connections as they are to the first of the servers, in turn, that takes one.
pub(crate) fn balance(ports: Arc<OnceLock<Vec<u16>>>) -> u16 {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    listen(move |client| {
        let ports = ports.get().unwrap();
        let first = turn.fetch_add(1, SeqCst);
        let connect =
            |at| TcpStream::connect(("127.0.0.1", ports[(first + at) % ports.len()])).ok();
        let Some(server) = (0..ports.len()).find_map(connect) else { return };
        thread::scope(|scope| {
            scope.spawn(|| pump(&client, &server));
            pump(&server, &client);
        });
    })
}

fn pump(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// Reads a request but leaves its last byte with the system, so that closing the connection is a
/// reset and not an orderly end.
fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r") {
        client.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
    let start = request.len();
    request.resize(start + length, 0);
    client.read_exact(&mut request[start..]).ok()?;
    (client.peek(&mut byte).ok()? == 1).then_some(())?;
    request.push(byte[0]);
    Some(request)
}

/// Sends a request over a connection of its own, and gives the whole response.
fn relay(port: u16, request: &[u8]) -> Option<Vec<u8>> {
    let first_line = request.iter().position(|byte| *byte == b'\n')? + 1;
    let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    server.set_read_timeout(Some(Duration::from_secs(40))).ok()?;
    let (line, rest) = request.split_at(first_line);
    server.write_all(&[line, b"connection: close\r\n", rest].concat()).ok()?;
    let mut response = Vec::new();
    server.read_to_end(&mut response).ok()?;
    (!response.is_empty()).then_some(response)
}

fn answer(mut client: TcpStream, response: &[u8]) -> Option<()> {
    client.read_exact(&mut [0]).ok()?;
    client.write_all(response).ok()
}
