//! Bytes to a port, and what comes back: for requests that no HTTP client would send.

use crate::support::http::Answer;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A connection of one's own.
pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// A connection from another address of loopback.
pub(crate) fn connect_from(address: &str, port: u16) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connected = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        let server = format!("127.0.0.1:{port}").parse().unwrap();
        socket.connect(server).await.unwrap().into_std().unwrap()
    });
    connected.set_nonblocking(false).unwrap();
    connected.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connected
}

/// Sends all bytes on one connection and reads until the server closes it. What is sent must make
/// it do so: a request that cannot be read, or `Connection: close`.
pub(crate) fn converse(port: u16, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = connect(port);
    let mut writer = stream.try_clone().unwrap();
    let bytes = bytes.to_vec();
    // Beside the reading: a server may answer and close before it has read all.
    let writing = std::thread::spawn(move || drop(writer.write_all(&bytes)));
    let answers = answers(&read_all(&mut stream));
    writing.join().unwrap();
    answers
}

/// The one answer to bytes.
#[track_caller]
pub(crate) fn ask(port: u16, bytes: &[u8]) -> Answer {
    let mut answers = converse(port, bytes);
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

/// All that comes until the connection is closed, or reset.
pub(crate) fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut some) = (Vec::new(), [0; 16384]);
    loop {
        match stream.read(&mut some) {
            Ok(0) => return all,
            Ok(read) => all.extend(&some[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("{error}, after {}", String::from_utf8_lossy(&all)),
        }
    }
}

/// Cuts what a server sent into responses.
pub(crate) fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines.map(|line| line.split_once(": ").unwrap()) {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let length = headers.get("content-length");
        let length = length.map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        let body = bytes[end + 4..][..length].to_vec();
        bytes = &bytes[end + 4 + length..];
        answers.push(Answer { url: "raw".to_owned(), status, headers, body });
    }
    answers
}

/// A request as it should be, to be made wrong; `headers` with the ends of their lines.
pub(crate) fn request(start: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{start} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}
