//! The server: takes connections, no more than there is room for, and ends those that do nothing.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::caller::{Caller, Heard};
use super::desk::{self, Desk};
use super::limits::Limits;
use super::tls::Tls;

/// How often a connection is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The pause after a connection that the system could not give, such as one too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What connections get after the drain deadline to tell their clients that they come too late.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Requests of one HTTP/2 connection at a time. Whoever has more opens another.
const STREAMS: u32 = 64;

/// Bytes that a client of HTTP/2 may send before they are asked for, by the stream and by the connection: some
/// milliseconds of a fast line. They are not in the budget, so they are few.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;

/// Streams of HTTP/2 that a client resets before they are looked at, and that are reset for its faults, until its
/// connection ends: real clients reset hardly any.
const RESETS: usize = 32;

/// Takes connections until `stop`, and ends when the last one has.
pub(super) async fn serve(listener: TcpListener, desk: Arc<Desk>, tls: Option<Arc<Tls>>, stop: CancellationToken) {
    let limits = *desk.limits();
    let builder = Arc::new(builder(&limits));
    let mut callers: Vec<Weak<Caller>> = Vec::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            desk.refusals().count("connections that the system could not give: it may have too many open files");
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if !make_room(&mut callers, limits.connections) {
            desk.refusals().count("connections beyond max_connections, all of which have requests under way");
            continue;
        }
        let caller = Arc::new(Caller::new(&limits));
        callers.push(Arc::downgrade(&caller));
        let connection =
            Connection { desk: Arc::clone(&desk), caller, builder: Arc::clone(&builder), stop: stop.clone() };
        connections.spawn(connection.serve(stream, tls.clone(), limits.header_timeout));
    }
    drop(listener);
    let deadline = Instant::now() + desk.drain() + LAST_ANSWERS;
    while timeout_at(deadline, connections.join_next()).await.is_ok_and(|ended| ended.is_some()) {}
    connections.shutdown().await;
}

/// Makes room for another connection, if need be by ending one that does nothing.
fn make_room(callers: &mut Vec<Weak<Caller>>, most: usize) -> bool {
    if callers.len() < most {
        return true;
    }
    callers.retain(|caller| caller.strong_count() > 0);
    if callers.len() < most {
        return true;
    }
    let order = |(index, caller): (usize, &Weak<Caller>)| Some((caller.upgrade()?.eviction_order()?, index));
    let Some((_, index)) = callers.iter().enumerate().filter_map(order).min() else { return false };
    if let Some(caller) = callers.swap_remove(index).upgrade() {
        caller.cut.cancel();
    }
    true
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Times are kept by the connection's own loop, which knows idle connections from slow ones.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_headers(limits.headers);
    builder.http1().max_buf_size(limits.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS);
    builder
}

struct Connection {
    desk: Arc<Desk>,
    caller: Arc<Caller>,
    builder: Arc<Builder<TokioExecutor>>,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<Arc<Tls>>, handshake: Duration) {
        // An answer is one small packet, which is not to wait for another.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.talk(stream).await };
        let cut = self.caller.cut.clone();
        let greeted = cut.run_until_cancelled(timeout(handshake, tls.acceptor().accept(stream))).await;
        // Whoever does not finish the handshake has asked for nothing.
        if let Some(Ok(Ok(stream))) = greeted {
            self.talk(stream).await;
        }
    }

    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { desk, caller, builder, stop } = self;
        let router = Router::new().fallback(desk::respond).with_state((desk, Arc::clone(&caller)));
        let io = TokioIo::new(Heard { stream, caller: Arc::clone(&caller) });
        let mut connection = Box::pin(builder.serve_connection(io, TowerToHyperService::new(router)));
        let mut stopping = false;
        loop {
            let look = Instant::now() + LOOK_INTERVAL;
            tokio::select! {
                // How a client goes away does not matter.
                _ = connection.as_mut() => return,
                () = caller.cut.cancelled() => return,
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = sleep_until(caller.due().map_or(look, |due| due.min(look))) => {
                    if caller.due().is_some_and(|due| due <= Instant::now()) {
                        return;
                    }
                }
            }
        }
    }
}
