//! Cinder's volumes, and servers that have them.

use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::compute::Patience;
use crate::error::{Error, Result};
use crate::session::Call;
use crate::{Service, Session};

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Volume {
    /// Its id.
    pub id: String,
    /// Its name; may be empty.
    #[serde(default)]
    pub name: Option<String>,
    /// Its size in GiB.
    #[serde(rename = "size")]
    pub size_gib: u64,
    /// Where it stands: `available`, `in-use`, `error`, …
    pub status: String,
    /// Where it is attached.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
}

/// Where a volume is attached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Attachment {
    /// The server's id.
    pub server_id: String,
    /// What the guest may call it.
    #[serde(default)]
    pub device: Option<String>,
}

impl Volume {
    /// Its name, else its id.
    pub fn shown(&self) -> &str {
        self.name
            .as_deref()
            .filter(|it| !it.is_empty())
            .unwrap_or(&self.id)
    }
}

/// All volumes of the project.
///
/// # Errors
/// [`Error::NoService`] where the cloud has no Cinder; as Cinder refuses.
pub async fn volumes(session: &Session) -> Result<Vec<Volume>> {
    let call = Call::get(Service::Volume, "/volumes/detail", "list volumes");
    session.list(call, "volumes").await
}

/// One volume, by its name or id.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Ambiguous`].
pub async fn find(session: &Session, wanted: &str) -> Result<Volume> {
    let mut named = volumes(session).await?;
    named.retain(|it| it.id == wanted || it.name.as_deref() == Some(wanted));
    match named.len() {
        1 => Ok(named.remove(0)),
        0 => Err(Error::NotFound {
            what: "volume",
            name: wanted.to_owned(),
        }),
        count => Err(Error::Ambiguous {
            what: "volume",
            name: wanted.to_owned(),
            count,
        }),
    }
}

/// Gives a volume to a server, and waits until the server has it.
///
/// # Errors
/// As Nova refuses: it is attached elsewhere; [`Error::Failed`] where Cinder cannot.
pub async fn attach(
    session: &Session,
    server: &str,
    volume: &Volume,
    patience: &Patience,
) -> Result<()> {
    let body = json!({ "volumeAttachment": { "volumeId": volume.id } });
    let path = format!("/servers/{server}/os-volume_attachments");
    let doing = format!("attach the volume {}", volume.shown());
    session
        .call(Call::post(Service::Compute, path, body, doing))
        .await?;
    settled(session, &volume.id, "in-use", patience).await
}

/// Takes a volume from a server, and waits until it is free.
///
/// # Errors
/// As Nova refuses: the server boots from it.
pub async fn detach(
    session: &Session,
    server: &str,
    volume: &Volume,
    patience: &Patience,
) -> Result<()> {
    let path = format!("/servers/{server}/os-volume_attachments/{}", volume.id);
    let doing = format!("detach the volume {}", volume.shown());
    session
        .remove(Call::delete(Service::Compute, path, doing))
        .await?;
    settled(session, &volume.id, "available", patience).await
}

async fn settled(session: &Session, id: &str, wanted: &str, patience: &Patience) -> Result<()> {
    let begun = Instant::now();
    let call = Call::get(Service::Volume, format!("/volumes/{id}"), "show a volume");
    let mut moved = false;
    loop {
        let now: Volume = session.fetch(call.clone(), "volume").await?;
        let what = || format!("The volume {}", now.shown());
        match now.status.as_str() {
            status if status == wanted => return Ok(()),
            "attaching" | "detaching" | "reserved" | "downloading" => moved = true,
            // As it was before: Nova gave up.
            status if status.starts_with("error") || moved => {
                return Err(Error::Failed {
                    what: what(),
                    state: status.to_owned(),
                    fault: "the server's actions say more".to_owned(),
                });
            }
            _ => {}
        }
        if begun.elapsed() > patience.longest {
            return Err(Error::Late {
                what: what(),
                state: now.status,
                seconds: patience.longest.as_secs(),
            });
        }
        tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_millis(700)) => {}
            () = patience.cancel.cancelled() => return Err(Error::Cancelled),
        }
    }
}
