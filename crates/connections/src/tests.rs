use super::*;
use axum::routing::get;
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::oneshot,
};

/// A server on loopback, and the events that it told.
struct Server {
    address: SocketAddr,
    events: Arc<Mutex<Vec<Event>>>,
    _stop: oneshot::Sender<()>,
}

const PROXY: &str = "127.0.9.1";

async fn server(version: Version, connections: usize, of_one_client: usize) -> Server {
    let bounds = Bounds {
        connections,
        of_one_client,
        proxies: vec![PROXY.parse().unwrap()],
        patience: Duration::from_secs(20),
        idle: Duration::from_millis(500),
        read_ahead: 16 << 10,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let events = Arc::<Mutex<Vec<Event>>>::default();
    let heard = Arc::clone(&events);
    tokio::spawn(async move {
        let whole = |body: axum::body::Bytes| async move { body.len().to_string() };
        let router = Router::new().route("/", get(|| async { "x".repeat(1000) }).post(whole));
        let router = router.route("/empty", get(|| async {}));
        let on_event = Arc::new(move |event| heard.lock().unwrap().push(event));
        let stop = async { drop(stopped.await) };
        serve(listener, bounds, on_event, stop, move |stream, _, connection: Connection| {
            connection.serve_requests(stream, version, router.clone(), |_| ())
        })
        .await;
    });
    Server { address, events, _stop: stop }
}

/// A connection from an address of loopback.
async fn connect(server: &Server, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(server.address).await.unwrap()
}

/// Whether a request is answered.
async fn is_served(server: &Server, from: &str) -> bool {
    let mut stream = connect(server, from).await;
    let asked = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut answer = Vec::new();
    stream.write_all(asked).await.is_ok()
        && stream.read_to_end(&mut answer).await.is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}

/// Reads to the end that the server makes.
async fn end(mut stream: TcpStream) {
    let mut some = vec![0; 1 << 16];
    while let Ok(1..) = stream.read(&mut some).await {}
}

#[tokio::test]
async fn whoever_asks_and_never_reads_shuts_nobody_out_and_is_ended() {
    let server = server(Version::Http1, 32, 8).await;
    let flood = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(500);
    let mut open = Vec::new();
    for _ in 0..40 {
        let mut stream = connect(&server, "127.0.0.1").await;
        // Until the server takes no more, or has hung up.
        let some = stream.write_all(&flood);
        let _ = timeout(Duration::from_millis(20), some).await;
        open.push(stream);
    }
    assert!(is_served(&server, "127.0.0.2").await);
    for stream in open {
        end(stream).await;
    }
    assert!(is_served(&server, "127.0.0.1").await);
}

#[tokio::test]
async fn one_idle_connection_of_each_of_many_addresses_shuts_nobody_out() {
    let server = server(Version::Http1, 16, 8).await;
    let mut open = Vec::new();
    for last in 2..40 {
        open.push(connect(&server, &format!("127.0.0.{last}")).await);
    }
    assert!(is_served(&server, "127.0.0.1").await);
    drop(open);
}

#[tokio::test]
async fn whoever_drips_bodies_on_many_connections_gives_way() {
    let server = server(Version::Http1, 16, 4).await;
    let mut open = Vec::new();
    for last in (2..8).flat_map(|last| [last; 4]) {
        let mut stream = connect(&server, &format!("127.0.0.{last}")).await;
        let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx";
        let _ = stream.write_all(head).await;
        open.push(stream);
    }
    // Until each of them is known to be at work.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for last in 100..103 {
        assert!(is_served(&server, &format!("127.0.0.{last}")).await);
    }
    let whole = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\n";
    let mut honest = connect(&server, "127.0.0.200").await;
    honest.write_all(&[&whole[..], &[b'x'; 9]].concat()).await.unwrap();
    let mut answer = Vec::new();
    honest.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(b"\r\n\r\n9"));
}

#[tokio::test]
async fn silence_is_ended_and_told() {
    let server = server(Version::Http1, 32, 8).await;
    end(connect(&server, "127.0.0.1").await).await;
    let mut kept = connect(&server, "127.0.0.1").await;
    kept.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    end(kept).await;
    assert_eq!(*server.events.lock().unwrap(), [Event::Idle; 2]);
}

/// A request by HTTP/2 for a path, with no window for answers that have a body.
fn frame(stream: u8, path: &str) -> Vec<u8> {
    let mut head = vec![0x82, 0x86, 0x41, 1, b'x', 0x04, u8::try_from(path.len()).unwrap()];
    head.extend(path.as_bytes());
    let length = u8::try_from(head.len()).unwrap();
    [&[0, 0, length, 1, 5, 0, 0, 0, stream][..], &head].concat()
}

/// How long a connection lives on which an answer is never taken, while others are asked for, 50 ms
/// after each other.
async fn lives(server: &Server, from: &str, others: usize) -> Duration {
    let (mut theirs, mut ours) = connect(server, from).await.into_split();
    // A window of 0 for each stream.
    let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    ours.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    ours.write_all(&[&settings[..], &frame(1, "/")].concat()).await.unwrap();
    let began = tokio::time::Instant::now();
    let others = tokio::spawn(async move {
        for stream in (3..=255).step_by(2).take(others) {
            if ours.write_all(&frame(stream, "/empty")).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Open until the server ends it.
        std::future::pending::<()>().await;
    });
    let mut some = [0; 4096];
    while let Ok(1..) = theirs.read(&mut some).await {}
    others.abort();
    began.elapsed()
}

#[tokio::test]
async fn an_answer_that_is_never_taken_is_ended_whatever_else_is_asked_for() {
    let server = server(Version::Http2, 32, 8).await;
    let lived = lives(&server, "127.0.0.1", 127).await;
    assert!(lived < Duration::from_secs(4), "{lived:?}");
    assert_eq!(*server.events.lock().unwrap(), [Event::Idle]);
}

#[tokio::test]
async fn an_answer_that_is_never_taken_ends_nobody_elses_behind_a_proxy() {
    let server = server(Version::Http2, 32, 8).await;
    let lived = lives(&server, PROXY, 50).await;
    assert!(lived > Duration::from_millis(50 * 50), "{lived:?}");
    assert_eq!(*server.events.lock().unwrap(), [Event::Idle]);
}

#[tokio::test]
async fn pings_alone_keep_no_connection() {
    let server = server(Version::Http2, 32, 8).await;
    let (mut theirs, mut ours) = connect(&server, "127.0.0.1").await.into_split();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    ours.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    ours.write_all(&settings).await.unwrap();
    let pings = tokio::spawn(async move {
        let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[7; 8]].concat();
        while ours.write_all(&ping).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut some = [0; 4096];
    while let Ok(1..) = theirs.read(&mut some).await {}
    pings.await.unwrap();
    assert_eq!(*server.events.lock().unwrap(), [Event::Idle]);
}
