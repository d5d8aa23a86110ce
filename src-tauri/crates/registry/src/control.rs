//! How whoever waits ends, holds and watches a transfer.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// Ends or holds long work. Clones hold the same strings.
#[derive(Debug, Clone)]
pub struct Control {
    cancel: CancellationToken,
    paused: Arc<watch::Sender<bool>>,
}

impl Default for Control {
    fn default() -> Self {
        Self::with(CancellationToken::new())
    }
}

impl Control {
    /// Control by this token, which may be anyone's.
    pub fn with(cancel: CancellationToken) -> Self {
        Self {
            cancel,
            paused: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Ends the work. What is fetched in part is kept for a next time.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Holds the work: connections are closed, and taken up again where they were.
    pub fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Goes on.
    pub fn resume(&self) {
        self.paused.send_replace(false);
    }

    /// Whether it is held.
    pub fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// Whether it was ended.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The token that ends it.
    pub fn token(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Waits while it is held.
    ///
    /// # Errors
    ///
    /// When it was ended.
    pub async fn pass(&self) -> Result<(), Error> {
        let mut paused = self.paused.subscribe();
        self.until(async {
            // The sender lives as long as we do.
            let _ = paused.wait_for(|paused| !paused).await;
        })
        .await
    }

    /// Waits until it is held.
    pub(crate) async fn held(&self) {
        let mut paused = self.paused.subscribe();
        if paused.wait_for(|paused| *paused).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for something unless it is ended first.
    pub(crate) async fn until<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Cancelled),
            value = work => Ok(value),
        }
    }
}

/// Whoever watches long work. `()` does not; a closure hears `(done, total)` only.
pub trait Progress: Send + Sync {
    /// A new step begins, in words for a person ("Listing OSv").
    fn step(&self, text: &str) {
        let _ = text;
    }

    /// So much is done now: bytes of a fetch or publication, entries of a listing. It goes back where work has to be
    /// done anew.
    fn at(&self, done: u64, total: Option<u64>);
}

impl Progress for () {
    fn at(&self, _done: u64, _total: Option<u64>) {}
}

impl<F: Fn(u64, Option<u64>) + Send + Sync> Progress for F {
    fn at(&self, done: u64, total: Option<u64>) {
        self(done, total);
    }
}
