//! Shown: what a destination is shown so that it takes what is sent, made of secrets. It is made anew when the destination
//! does not take it: a secret in a file may have been replaced.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A value that is made of secrets.
pub(super) struct Shown<T> {
    make: Arc<dyn Fn() -> anyhow::Result<T> + Send + Sync>,
    made: RwLock<Arc<T>>,
}

impl<T> fmt::Debug for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl<T: Send + Sync + 'static> Shown<T> {
    /// Makes it for the first time.
    ///
    /// # Errors
    /// What `make` says: a secret is not there, or of no use.
    pub(super) fn new(make: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static) -> anyhow::Result<Self> {
        Ok(Self { made: RwLock::new(Arc::new(make()?)), make: Arc::new(make) })
    }

    /// As it was made last.
    pub(super) fn get(&self) -> Arc<T> {
        Arc::clone(&self.made.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes it anew. If that fails, what there was stands.
    ///
    /// # Errors
    /// As for [`Shown::new`].
    pub(super) async fn renew(&self) -> anyhow::Result<()> {
        let make = Arc::clone(&self.make);
        // A panic there has no more to say than that nothing was made.
        if let Ok(made) = tokio::task::spawn_blocking(move || make()).await {
            *self.made.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(made?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[tokio::test]
    async fn a_secret_is_read_again_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let secret = Secret::File(file.path().into());
        std::fs::write(file.path(), "first\n").unwrap();
        let shown = Shown::new(move || Ok(String::from_utf8(secret.read()?)?)).unwrap();
        assert_eq!(*shown.get(), "first");
        assert!(!format!("{shown:?}").contains("first"));
        std::fs::write(file.path(), "second").unwrap();
        assert_eq!(*shown.get(), "first");
        shown.renew().await.unwrap();
        assert_eq!(*shown.get(), "second");
        std::fs::write(file.path(), "").unwrap();
        assert!(shown.renew().await.is_err());
        assert_eq!(*shown.get(), "second");
    }
}
