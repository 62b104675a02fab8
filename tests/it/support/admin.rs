//! The admin port as a client meets it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::connector::Connector;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The address of a connector's admin port, from its log.
pub(crate) fn address(connector: &mut Connector) -> String {
    connector.wait_for_log("admin=");
    let log = connector.log();
    let address = log.split("admin=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    address.trim_matches('"').to_owned()
}

/// Sends these bytes and gives all that comes back until the other side closes.
pub(crate) fn exchange(address: &str, bytes: &[u8]) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(text)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(text)?;
    stream.write_all(bytes).map_err(text)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).map_err(text)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// The body of a page.
pub(crate) fn get(address: &str, path: &str) -> Result<String, String> {
    let reply = exchange(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())?;
    match reply.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(reply),
    }
}

/// The value of the first series of a metric.
pub(crate) fn metric(address: &str, name: &str) -> Result<f64, String> {
    let text = get(address, "/metrics")?;
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")));
    let line = line.ok_or_else(|| format!("{name} is not there"))?;
    line.rsplit(' ').next().unwrap().parse().map_err(|_| line.to_owned())
}
