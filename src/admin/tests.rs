//! The admin port over a real socket.

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::*;
use crate::clock;

struct Port {
    address: std::net::SocketAddr,
    status: watch::Sender<Arc<Status>>,
    stop: oneshot::Sender<()>,
    server: JoinSet<io::Result<()>>,
}

struct Reply {
    code: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Port {
    async fn open(silence_max: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) =
            watch::channel(Arc::new(Status::starting("readings", "host-1", clock::unix_ms(), 1024)));
        let (stop, stopped) = oneshot::channel::<()>();
        let metrics = Metrics::new("readings");
        metrics.memory(512, 1024);
        let sources = Sources { metrics, heartbeat: Heartbeat::new(silence_max), status: receiver };
        let mut server = JoinSet::new();
        let stopped = async move { stopped.await.unwrap() };
        server.spawn(serve_until(listener, sources, stopped, Duration::from_millis(1)));
        Self { address, status: sender, stop, server }
    }

    async fn request(&self, method: &str, path: &str) -> Reply {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let address = self.address;
        let exchange = move || {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(request.as_bytes())?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok::<_, io::Error>(text)
        };
        let text = tokio::task::spawn_blocking(exchange).await.unwrap().unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { code, head: head.to_lowercase(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Reply {
        self.request("GET", path).await
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn every_route_answers() {
    let port = Port::open(DAY).await;
    let check = async |method: &str, path: &str, code: u16, kind: &str, part: &str| {
        let reply = port.request(method, path).await;
        assert_eq!(reply.code, code, "{path}");
        assert!(reply.head.contains(&format!("content-type: {kind}")), "{path}: {}", reply.head);
        assert!(reply.head.contains("cache-control: no-store"), "{path}: {}", reply.head);
        assert!(reply.body.contains(part), "{path}: {}", reply.body);
    };
    check("GET", "/metrics", 200, "text/plain; version=0.0.4", "\noncesink_memory_bytes{connector=\"readings\"} 512")
        .await;
    check("GET", "/livez", 200, "application/json", "{\"live\":true}").await;
    check("GET", "/ping", 200, "application/json", "{\"live\":true}").await;
    check("GET", "/readyz", 503, "application/json", "\"ready\":false").await;
    check("GET", "/ready", 503, "application/json", "\"ready\":false").await;
    check("GET", "/status", 200, "application/json", "\"connector\":\"readings\"").await;
    check("GET", "/", 200, "text/html; charset=utf-8", "<title>oncesink</title>").await;
    check("GET", "/nothing", 404, "text/plain", "/readyz").await;
    assert_eq!(port.request("POST", "/status").await.code, 405, "nothing can be changed here");
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let port = Port::open(DAY).await;
    let reply = port.get("/").await;
    assert!(reply.head.contains("content-security-policy: default-src 'none'"), "{}", reply.head);
    for foreign in ["http://", "https://", "src=", "@import", "innerHTML"] {
        assert!(!reply.body.contains(foreign), "{foreign}");
    }
}

#[tokio::test]
async fn a_stuck_loop_is_not_alive_and_an_outage_is_no_reason_to_be_dead() {
    let port = Port::open(DAY).await;
    port.status.send_modify(|status| {
        let status = Arc::make_mut(status);
        status.kafka.failed(1, "all brokers are down");
        status.clickhouse.failed(1, "connection refused");
    });
    assert_eq!(port.get("/livez").await.code, 200);
    let stuck = Port::open(Duration::ZERO).await;
    let reply = stuck.get("/livez").await;
    assert_eq!(reply.code, 503);
    assert_eq!(reply.json()["live"], false);
    assert!(reply.json()["silent_seconds"].is_number(), "{}", reply.body);
}

#[tokio::test]
async fn readiness_says_why_not() {
    let port = Port::open(DAY).await;
    let reply = port.get("/readyz").await;
    let reasons = reply.json()["reasons"].as_array().unwrap().len();
    assert_eq!(reasons, 4, "starting, no broker, no server, no group: {}", reply.body);

    let mut status = Status::clone(&port.status.borrow());
    status.state = ProcessState::Running;
    status.group_joined = true;
    status.kafka.succeeded(1);
    status.clickhouse.succeeded(1);
    status.partitions.push(PartitionStatus {
        topic: "readings".to_owned(),
        table: "iot.readings".to_owned(),
        partition: 0,
        state: PartitionState::Halted,
        position: None,
        committed: Some(7),
        lag_records: None,
        lag_seconds: None,
        open_transaction: None,
        last_insert_unix_ms: None,
        last_error: None,
        dead_letters: Vec::new(),
        halted: Some(Halted { code: "gap".to_owned(), reason: "offsets are gone".to_owned() }),
    });
    port.status.send_replace(Arc::new(status));
    let reply = port.get("/readyz").await;
    assert_eq!(reply.code, 200, "{}", reply.body);
    assert_eq!(reply.json()["halted_partitions"], 1, "said, but no reason to take the others out");

    port.status.send_modify(|status| Arc::make_mut(status).clickhouse.failed(2, "connection refused"));
    let reply = port.get("/readyz").await;
    assert_eq!(reply.code, 503);
    assert_eq!(reply.json()["reasons"][0], "clickhouse: connection refused");
}

#[tokio::test]
async fn the_status_is_what_was_published_last() {
    let port = Port::open(DAY).await;
    port.status.send_modify(|status| Arc::make_mut(status).memory.bytes = 77);
    let shown: Status = serde_json::from_str(&port.get("/status").await.body).unwrap();
    assert_eq!(shown, **port.status.borrow());
    assert_eq!(shown.memory.bytes, 77);
}

#[tokio::test]
async fn an_open_request_does_not_hold_the_process_back() {
    let mut port = Port::open(DAY).await;
    let mut unfinished = TcpStream::connect(port.address).unwrap();
    unfinished.write_all(b"GET /status HTTP/1.1\r\nHos").unwrap();
    // Connections are taken in order: after this answer the one above is being served.
    assert_eq!(port.get("/livez").await.code, 200);
    port.stop.send(()).unwrap();
    port.server.join_next().await.unwrap().unwrap().unwrap();
}
