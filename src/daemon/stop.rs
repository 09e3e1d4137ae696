//! How the process is told to stop: by whoever runs the daemon, or by signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;
use tracing::info;

/// How the process is told to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Cancelled: read nothing more, deliver what was read, and end.
    pub drain: CancellationToken,
    /// Cancelled: end at once.
    pub exit: CancellationToken,
    signal: Arc<AtomicU8>,
}

impl Stop {
    /// A stop by this token, and by no signal.
    pub fn by(drain: CancellationToken) -> Self {
        Self { drain, ..Self::default() }
    }

    /// Listens for SIGTERM and SIGINT: the first drains, the second ends at once. Needs a runtime.
    ///
    /// # Errors
    /// What the system answers if signals cannot be listened for.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        let (mut signals, told) = (Signals::listen()?, stop.clone());
        tokio::spawn(async move {
            let signal = signals.next().await;
            info!(signal, "told to stop, delivering what was read; a second signal ends at once");
            told.drain.cancel();
            let signal = signals.next().await;
            told.signal.store(signal, Ordering::Relaxed);
            told.exit.cancel();
        });
        Ok(stop)
    }

    /// The number of the signal that told to end at once, 0 if none did.
    pub(super) fn signal(&self) -> u8 {
        self.signal.load(Ordering::Relaxed)
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The number of the next signal.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 15,
            _ = self.interrupt.recv() => 2,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> u8 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        2
    }
}

/// SIGHUP, which asks for the configuration to be read again. Where there are no signals, it never comes.
#[cfg(unix)]
pub(super) struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    pub(super) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one. Those that come while nobody waits are one.
    pub(super) async fn next(&mut self) {
        self.0.recv().await;
    }
}

#[cfg(not(unix))]
pub(super) struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) {
        std::future::pending().await
    }
}
