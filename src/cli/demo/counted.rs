//! A sink that counts what another one delivers: how the demo knows that it is done.

use std::sync::Arc;

use tokio::sync::watch;

use crate::sink::{Batch, Sink, SinkError};
use crate::source::BoxFuture;

/// Another sink, and the number of lines that it has delivered.
pub struct Counted<S> {
    sink: S,
    delivered: watch::Sender<u64>,
}

impl<S: Sink> Counted<S> {
    /// Counts what `sink` delivers.
    pub fn new(sink: S, delivered: watch::Sender<u64>) -> Self {
        Self { sink, delivered }
    }
}

impl<S: Sink> Sink for Counted<S> {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            let lines = batch.total_items();
            self.sink.deliver(batch).await?;
            self.delivered.send_modify(|delivered| *delivered += lines as u64);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Lines;

    struct Scripted(bool);

    impl Sink for Scripted {
        fn deliver(&self, _batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
            let result = if self.0 { Ok(()) } else { Err(SinkError::Refused { answer: String::new() }) };
            Box::pin(async move { result })
        }
    }

    #[tokio::test]
    async fn only_what_is_delivered_counts() {
        let mut lines = Lines::default();
        for _ in 0..3 {
            lines.push_with(|out| out.push(b'x'));
        }
        let batch = Arc::new(Batch { parts: vec![lines.clone(), lines], range: None });
        for (works, expected) in [(true, 12), (false, 0)] {
            let (sender, delivered) = watch::channel(0);
            let sink = Counted::new(Scripted(works), sender);
            for _ in 0..2 {
                assert_eq!(sink.deliver(Arc::clone(&batch)).await.is_ok(), works);
            }
            assert_eq!(*delivered.borrow(), expected);
        }
    }
}
