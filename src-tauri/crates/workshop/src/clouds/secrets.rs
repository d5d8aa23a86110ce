//! What clouds are logged in to with: in the secret store alone, by the cloud's id.

use windlass_cloud::Secrets;

use super::store;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};

/// The kind that clouds' secrets go by.
const KIND: &str = "cloud";

impl Workshop {
    /// Keeps, or with none of them forgets, a cloud's secrets; `None` leaves what is kept.
    pub(super) async fn keep_cloud_secrets(&self, id: u32, secrets: Option<Secrets>) -> Result<()> {
        let Some(secrets) = secrets else {
            return Ok(());
        };
        let empty = secrets.is_empty();
        if empty && !store::get(&self.database, id)?.has_secret {
            return Ok(());
        }
        let store = self.secrets().await?;
        crate::blocking(move || {
            if empty {
                store.delete(KIND, &id.to_string())
            } else {
                store.set(KIND, &id.to_string(), &secrets.to_kept())
            }
        })
        .await??;
        store::set_has_secret(&self.database, id, !empty)
    }

    /// A cloud's secrets.
    pub(super) async fn kept_cloud_secrets(&self, id: u32) -> Result<Secrets> {
        let store = self.secrets().await?;
        let kept = crate::blocking(move || store.get(KIND, &id.to_string())).await??;
        let Some(kept) = kept else {
            return Ok(Secrets::new());
        };
        Secrets::from_kept(&kept).ok_or_else(|| {
            AppError::new(
                ErrorKind::Internal,
                "What is kept to log in with cannot be understood",
            )
            .hinted("Give the secret of this cloud again")
        })
    }
}
