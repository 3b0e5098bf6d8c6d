//! Senders that take their time: one connection each costs a server something, so that it must
//! end them before they are many.

use super::{
    raw::{connect, read_all},
    stage::Stage,
};
use crate::support::task::TaskSpec;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// No honest request takes this long.
const TOO_LONG: Duration = Duration::from_secs(55);

#[test]
#[ignore = "the servers have no timeouts yet"]
fn headers_that_never_end_are_cut_off() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    for server in [&stage.world.leader, &stage.world.helper] {
        expect_end(server.port, b"POST /healthz HTTP/1.1\r\nHost: x\r\n", b"x: y\r\n");
    }
    stage.end();
}

#[test]
#[ignore = "the servers have no timeouts yet"]
fn a_body_that_drips_is_cut_off() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    let head = format!(
        "POST /tasks/{}/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\
         Content-Type: application/ppm-dap;message=upload-req\r\n\r\n",
        stage.task().id
    );
    expect_end(stage.world.leader.port, head.as_bytes(), b"x");
    stage.end();
}

#[test]
#[ignore = "the servers have no timeouts yet"]
fn a_connection_that_says_nothing_is_cut_off() {
    let stage = Stage::new(vec![TaskSpec::default()]);
    for server in [&stage.world.leader, &stage.world.helper] {
        let mut stream = connect(server.port);
        stream.set_read_timeout(Some(TOO_LONG)).unwrap();
        read_all(&mut stream);
    }
    stage.end();
}

/// Sends a beginning, then a drop each second, until the server ends it.
fn expect_end(port: u16, beginning: &[u8], drop: &[u8]) {
    let mut stream: TcpStream = connect(port);
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.write_all(beginning).unwrap();
    let started = Instant::now();
    let mut some = [0; 1000];
    loop {
        match stream.read(&mut some) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            // Nothing said for a second.
            Err(_) => {}
        }
        if stream.write_all(drop).is_err() {
            return;
        }
        assert!(started.elapsed() < TOO_LONG, "still listening after {TOO_LONG:?}");
    }
}
