//! A caller: one connection, what it is doing, and how long it may go on with it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::limits::Limits;

/// A connection.
pub(super) struct Caller {
    state: Mutex<State>,
    header_timeout: Duration,
    idle_timeout: Duration,
    /// Cancelled when its place is needed by another.
    pub(super) cut: CancellationToken,
}

struct State {
    doing: Doing,
    since: Instant,
    requests: usize,
    is_known: bool,
    is_multiplexed: bool,
}

/// What a connection without a request under way does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// It has not said what it wants yet.
    Asking,
    /// It has had an answer, and says nothing.
    Idle,
}

/// A request under way.
pub(super) struct Busy(Arc<Caller>);

impl Caller {
    pub(super) fn new(limits: &Limits) -> Self {
        let since = Instant::now();
        let state = State { doing: Doing::Asking, since, requests: 0, is_known: false, is_multiplexed: false };
        let (header_timeout, idle_timeout) = (limits.header_timeout, limits.idle_timeout);
        Self { state: Mutex::new(state), header_timeout, idle_timeout, cut: CancellationToken::new() }
    }

    /// A request begins. Over HTTP/2, others may beside it.
    pub(super) fn begin(self: &Arc<Self>, is_multiplexed: bool) -> Busy {
        let mut state = self.state();
        state.requests += 1;
        state.is_multiplexed = is_multiplexed;
        Busy(Arc::clone(self))
    }

    /// It has shown an access key.
    pub(super) fn is_now_known(&self) {
        self.state().is_known = true;
    }

    /// When it has done nothing for too long; nothing is due while a request is under way, which has its own times.
    pub(super) fn due(&self) -> Option<Instant> {
        let state = self.state();
        let wait = if state.doing == Doing::Asking { self.header_timeout } else { self.idle_timeout };
        (state.requests == 0).then_some(state.since + wait)
    }

    /// How readily its place is given to another: who has not shown a key goes first, then who is idle; of those, who
    /// has been so for the longest. One with a known request under way stays.
    pub(super) fn eviction_order(&self) -> Option<(bool, Instant)> {
        let state = self.state();
        (!state.is_known || state.requests == 0).then_some((state.is_known, state.since))
    }

    fn heard(&self) {
        let mut state = self.state();
        // Over HTTP/2 there are bytes that ask for nothing.
        if state.requests == 0 && state.doing == Doing::Idle && !state.is_multiplexed {
            state.doing = Doing::Asking;
            state.since = Instant::now();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.doing = Doing::Idle;
        state.since = Instant::now();
    }
}

/// A stream whose caller is told of what it says.
pub(super) struct Heard<S> {
    pub(super) stream: S,
    pub(super) caller: Arc<Caller>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = to.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, to))?;
        if to.filled().len() > before {
            self.caller.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
