//! The question that a container's health check asks: whether the daemon beside it answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The bytes of an answer that are read.
const MAX_BYTES: u64 = 64 << 10;

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What it says.
    pub body: String,
}

/// Where a daemon that listens on this address can be asked from beside it.
pub fn beside(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

/// Asks for a path.
///
/// # Errors
/// Nobody answers in time, or what answers is no server of HTTP.
pub async fn ask(address: SocketAddr, path: &str, timeout: Duration) -> anyhow::Result<Answer> {
    let asked = tokio::time::timeout(timeout, exchange(address, path)).await;
    asked.with_context(|| format!("{address} does not answer within {timeout:?}"))?
}

async fn exchange(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address).await;
    let mut stream = stream.with_context(|| format!("nothing listens on {address}"))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.with_context(|| format!("{address} does not take the question"))?;
    let mut bytes = Vec::new();
    let read = stream.take(MAX_BYTES).read_to_end(&mut bytes).await;
    read.with_context(|| format!("the answer of {address} breaks off"))?;
    parse(&String::from_utf8_lossy(&bytes)).with_context(|| format!("{address} does not answer in HTTP"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    Some(Answer { status: words.next()?.parse().ok()?, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_what_is_none_is_refused() {
        let check = |text: &str, expected: Option<(u16, &str)>| {
            let found = parse(text).map(|answer| (answer.status, answer.body));
            assert_eq!(found, expected.map(|(status, body)| (status, body.to_owned())), "{text:?}");
        };
        check("HTTP/1.1 200 OK\r\na: b\r\n\r\nok\n", Some((200, "ok\n")));
        check("HTTP/1.1 503 Service Unavailable\r\n\r\n{}", Some((503, "{}")));
        check("HTTP/1.1 200 OK\r\n", None);
        check("SSH-2.0-x\r\n\r\n", None);
        check("HTTP/1.1 oops\r\n\r\n", None);
        check("", None);
    }

    #[test]
    fn every_address_that_is_listened_on_can_be_asked() {
        let check = |listen: &str, expected: &str| {
            assert_eq!(beside(listen.parse().unwrap()), expected.parse().unwrap(), "{listen}");
        };
        check("0.0.0.0:9464", "127.0.0.1:9464");
        check("[::]:9464", "[::1]:9464");
        check("127.0.0.2:1", "127.0.0.2:1");
    }
}
