//! Stands where the helper should be: answers nonsense, hangs up, or passes messages on and loses
//! some of them.

use super::http::{Answer, Ask};
use reqwest::Method;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: Method,
    /// With the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What the impostor does about a request.
pub(crate) enum Reply {
    /// Answers with a status, headers and a body.
    Say(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Begins to answer so, and closes the connection in the middle of the body.
    Tear(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Closes the connection.
    HangUp,
}

/// An impostor at work; it leaves when it is dropped, and its port is free again.
pub(crate) struct Impostor {
    port: u16,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Received>>>,
    thread: Option<JoinHandle<()>>,
}

impl Impostor {
    pub(crate) fn start(
        port: u16,
        answer: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let thread = {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            std::thread::spawn(move || {
                std::thread::scope(|scope| {
                    for stream in listener.incoming().map(Result::unwrap) {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        scope.spawn(|| converse(stream, &seen, &answer));
                    }
                });
            })
        };
        Self { port, stop, seen, thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Received> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request, one answer.
fn converse(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Received>>,
    answer: &dyn Fn(&Received) -> Reply,
) {
    let Some(request) = receive(&stream) else { return };
    seen.lock().unwrap().push(request.clone());
    let (status, headers, body, torn) = match answer(&request) {
        Reply::Say(status, headers, body) => (status, headers, body, false),
        Reply::Tear(status, headers, body) => (status, headers, body, true),
        Reply::HangUp => return,
    };
    let mut head = format!("HTTP/1.1 {status} Whatever\r\nConnection: close\r\n");
    head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
    head += "Content-Length: ";
    head += &body.len().to_string();
    head += "\r\n\r\n";
    let sent = if torn { &body[..body.len() / 2] } else { &body };
    // Whoever has heard enough may hang up on us.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
}

fn receive(stream: &TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    let start = line()?;
    let mut words = start.split(' ');
    let method = words.next()?.parse().ok()?;
    let path = words.next()?.to_owned();
    let mut headers = Vec::new();
    while let Some((name, value)) = line()?.split_once(": ") {
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Received { method, path, headers, body })
}

impl Received {
    /// Passes the request on to a server at another port, as it is.
    pub(crate) fn pass_on(&self, port: u16) -> Result<Answer, reqwest::Error> {
        let url = format!("http://127.0.0.1:{port}{}", self.path);
        let header = |wanted| self.headers.iter().find(|(name, _)| name == wanted);
        let mut ask = Ask::new(self.method.clone(), &url).body(self.body.clone());
        if let Some((_, value)) = header("content-type") {
            ask = ask.media_type(value);
        }
        if let Some((_, value)) = header("authorization") {
            ask = ask.token(value.strip_prefix("Bearer ").unwrap());
        }
        ask.try_send()
    }
}

impl Reply {
    /// The same, torn in the middle.
    pub(crate) fn torn(self) -> Self {
        match self {
            Self::Say(status, headers, body) => Self::Tear(status, headers, body),
            other => other,
        }
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        let copy = |name: &'static str| Some((name, answer.header(name)?.to_owned()));
        let headers = ["content-type", "location", "retry-after"].into_iter().filter_map(copy);
        Self::Say(answer.status, headers.collect(), answer.body)
    }
}
