//! Aside: work that takes milliseconds, such as compressing a request, done where no other task waits for it.

use tokio::task::JoinError;

use super::SinkError;

/// Does it on a thread of its own. It goes on to its end when the caller is dropped.
///
/// # Errors
/// It panicked, see [`ended`].
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SinkError> {
    tokio::task::spawn_blocking(work).await.map_err(ended)
}

/// A task that did not end well. What panics does so again at the next try, so the sink stops. The error of a task quotes
/// the panic, which may quote data: it is not passed on.
pub(super) fn ended(error: JoinError) -> SinkError {
    if error.is_cancelled() {
        return SinkError::retry("the program ends");
    }
    let advice = "a sink panicked; the log says where, please report it".to_owned();
    SinkError::Stop { advice, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_stops_the_sink_and_is_not_quoted() {
        assert!(matches!(aside(|| 1).await, Ok(1)));
        let error = aside(|| panic!("a prompt")).await.unwrap_err();
        assert!(matches!(error, SinkError::Stop { source: None, .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("prompt"));
    }
}
