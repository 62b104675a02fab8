//! The rules against a server of a few lines that counts what reaches it.

use std::io::Read;

use super::*;

/// Answers every whole request with its body and keeps a record of the bodies.
struct Echo {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
        let record = Arc::clone(&bodies);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, record) = (stream.unwrap(), Arc::clone(&record));
                thread::spawn(move || {
                    let mut requests = Messages::new(stream.try_clone().unwrap());
                    while let Ok(Some(_head)) = requests.head(true) {
                        let mut body = Vec::new();
                        loop {
                            match requests.piece() {
                                Ok(Some(piece)) => body.extend(piece),
                                Ok(None) => break,
                                Err(_) => return,
                            }
                        }
                        let body = String::from_utf8(body).unwrap();
                        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                        record.lock().unwrap().push(body);
                        stream.write_all(reply.as_bytes()).unwrap();
                    }
                });
            }
        });
        Self { address, bodies }
    }

    fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap().clone()
    }
}

fn request(body: &str) -> String {
    format!("POST /?query=INSERT+INTO%20t HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn reply(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Everything that comes back until the peer closes.
fn sent(proxy: &Proxy, bytes: &str) -> String {
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    // A cut connection may end in a reset.
    stream.read_to_string(&mut answer).ok();
    answer
}

/// Sends one request under one rule; compares what the client gets and what the server got.
fn check(action: Action, expected_reply: &str, expected_bodies: &[&str]) {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address).unwrap();
    let rule = proxy.add(Rule::once("INSERT INTO t", action));
    assert_eq!(sent(&proxy, &request("one")), expected_reply, "{action:?}");
    assert_eq!(rule.hits(), 1, "{action:?}");
    assert_eq!(echo.bodies(), expected_bodies, "{action:?}");
    // The rule is spent.
    assert_eq!(sent(&proxy, &request("two")), reply("two"), "{action:?}");
    assert_eq!(rule.hits(), 1, "{action:?}");
}

#[test]
fn rules_cut_where_they_say() {
    let length = u64::try_from(request("one").len()).unwrap();
    check(Action::CutRequest { after: 0 }, "", &[]);
    check(Action::CutRequest { after: length - 1 }, "", &[]);
    check(Action::CutReply { after: 0 }, "", &["one"]);
    check(Action::CutReply { after: 12 }, "HTTP/1.1 200", &["one"]);
    check(Action::DropReply, "", &["one"]);
}

#[test]
fn stalled_request_arrives_when_released() {
    for action in [Action::StallRequest { after: 30 }, Action::StallReply { after: 5 }] {
        let echo = Echo::start();
        let proxy = Proxy::start(echo.address).unwrap();
        let rule = proxy.add(Rule::once("INSERT INTO t", action));
        thread::scope(|scope| {
            let answer = scope.spawn(|| sent(&proxy, &request("late")));
            rule.wait_stalled(1).unwrap();
            // Another request is not held up, and the stalled one has not been answered.
            assert_eq!(sent(&proxy, &request("quick")), reply("quick"));
            assert!(!answer.is_finished(), "{action:?}");
            rule.release();
            assert_eq!(answer.join().unwrap(), reply("late"));
        });
    }
}

#[test]
fn repeated_request_arrives_twice() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address).unwrap();
    let at_once = proxy.add(Rule::once("INSERT INTO t", Action::Repeat));
    assert_eq!(sent(&proxy, &request("a")), reply("a"));
    assert_eq!(at_once.wait_repeats(1).unwrap(), [reply("a").into_bytes()]);
    let later = proxy.add(Rule::once("INSERT INTO t", Action::RepeatLater));
    assert_eq!(sent(&proxy, &request("b")), reply("b"));
    assert_eq!(sent(&proxy, &request("c")), reply("c"));
    later.release();
    assert_eq!(later.wait_repeats(1).unwrap(), [reply("b").into_bytes()]);
    assert_eq!(echo.bodies(), ["a", "a", "b", "c", "b"]);
}

#[test]
fn rule_picks_its_requests_out_of_a_kept_connection() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address).unwrap();
    let rule = proxy.add(Rule::once("second", Action::DropReply));
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecond\r\n0\r\n\r\n";
    assert_eq!(sent(&proxy, &format!("{}{chunked}{}", request("first"), request("third"))), reply("first"));
    assert_eq!(rule.hits(), 1);
    assert_eq!(echo.bodies(), ["first", "6\r\nsecond\r\n0\r\n\r\n"]);
}

#[test]
fn rejected_and_cut_connections_end() {
    let echo = Echo::start();
    let proxy = Proxy::start(echo.address).unwrap();
    let rule = proxy.add(Rule::once("INSERT INTO t", Action::StallReply { after: 0 }));
    thread::scope(|scope| {
        let held = scope.spawn(|| sent(&proxy, &request("held")));
        rule.wait_stalled(1).unwrap();
        proxy.cut_all();
        assert_eq!(held.join().unwrap(), "");
    });
    proxy.reject_new(true);
    assert_eq!(sent(&proxy, ""), "");
    proxy.reject_new(false);
    assert_eq!(sent(&proxy, &request("on")), reply("on"));
    assert_eq!(echo.bodies(), ["held", "on"]);
}
