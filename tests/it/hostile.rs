//! Whoever reaches the admin port can read it and do no more: garbage, slowness and numbers leave the connector ready.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::admin::{self, exchange, get};
use crate::support::scenario::Scenario;
use crate::support::wait_for;

/// More connections than the port serves at a time.
const CROWD: usize = 400;
/// A client's own patience: longer than the port's.
const PATIENCE: Duration = Duration::from_secs(30);

/// Resident memory of a process in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn malformed_requests_change_nothing() {
    let mut scenario = Scenario::shared("hostile", 1);
    let mut connector = scenario.start("a");
    let port = admin::address(&mut connector);
    scenario.produce(100);
    scenario.wait_until_stored();
    wait_for("the connector to be ready", || get(&port, "/readyz"));
    let before = resident_kib(connector.pid());

    let head = |head: &str| format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes();
    let bodies = [head("POST /status HTTP/1.1"), head("DELETE / HTTP/1.1"), head("TRACE /metrics HTTP/1.1")];
    for request in bodies {
        let reply = exchange(&port, &request).unwrap();
        assert!(reply.starts_with("HTTP/1.1 405"), "{reply}");
    }
    for path in
        ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/status/..%2f..%2f", "//etc/passwd", "/metrics\u{1}"]
    {
        let reply = exchange(&port, &head(&format!("GET {path} HTTP/1.1"))).unwrap();
        let refused = reply.starts_with("HTTP/1.1 404") || reply.starts_with("HTTP/1.1 400");
        assert!(refused && !reply.contains("root:"), "{path}: {reply}");
    }
    // What is no request is answered with 400, or not at all.
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20));
    let header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    let smuggled =
        "GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n";
    let garbage: Vec<u8> = (0..65_536_u32).map(|n| u8::try_from(n * 167 % 251).unwrap()).collect();
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(10);
    for bytes in [long.as_bytes(), header.as_bytes(), headers.as_bytes(), &garbage, &tls, b"\r\n\r\n\r\n", b"\0"] {
        // A port that closes while we still send resets the connection: no answer either.
        let reply = exchange(&port, bytes).unwrap_or_default();
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 4"), "{reply}");
    }
    assert!(exchange(&port, smuggled.as_bytes()).unwrap().starts_with("HTTP/1.1"));

    // Slow heads and silent connections end, so that a crowd of them only makes others wait.
    let mut crowd: Vec<TcpStream> = (0..CROWD)
        .map(|number| {
            let mut stream = TcpStream::connect(&port).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /status HTTP/1.1\r\nHos").unwrap();
            }
            stream
        })
        .collect();
    wait_for("the connector to be ready behind a crowd", || get(&port, "/readyz"));
    let mut first = crowd.swap_remove(0);
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).unwrap();
    drop(crowd);

    let grown = resident_kib(connector.pid()).saturating_sub(before);
    assert!(grown < 32 << 10, "memory grew by {grown} KiB");
    scenario.produce(100);
    scenario.wait_until_done();
    assert_eq!(connector.terminate(), Some(0));
    scenario.assert_exactly_once();
    assert!(!connector.log().contains("panicked"), "{}", connector.log());
}
