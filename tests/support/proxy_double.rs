//! A forward proxy on the loopback interface: it opens tunnels (`CONNECT`), passes plain requests on, and notes for whom.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The double; it stops when it is dropped.
pub(crate) struct ProxyDouble {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl ProxyDouble {
    /// A proxy that passes everything to this address, whatever host is asked for.
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let mut tasks = JoinSet::new();
        let noted = Arc::clone(&heads);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass(stream, to, Arc::clone(&noted)));
            }
        });
        Self { address, heads, _tasks: tasks }
    }

    /// The heads of the first requests of all connections.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn pass(mut from: TcpStream, to: SocketAddr, heads: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        match from.read_buf(&mut read).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let is_tunnel = head.starts_with("CONNECT ");
    heads.lock().unwrap().push(head);
    let Ok(mut to) = TcpStream::connect(to).await else { return };
    let sent = if is_tunnel { from.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await } else { to.write_all(&read).await };
    if sent.is_ok() {
        let _ = copy_bidirectional(&mut from, &mut to).await;
    }
}
