//! Sends an image, once.
//!
//! ```text
//!   read and hash ─► the same bytes are there? ── yes ─► their image, with the properties put right
//!                          │ no
//!                          ▼
//!        intent(id) ─► create (queued) ─► PUT the bytes (saving) ─► active ─► its hash is ours? ─► done
//!                          ▲                    │ cut, 5xx                        │ no
//!                          └──── delete ◄───────┴─────────────────────────────────┘
//!                                  └ cancelled, refused: that is the end
//! ```
//!
//! Glance takes no bytes in the middle: what was cut is deleted, and sent from its start. The id is ours, and told before the
//! image is made, so that whoever was killed finds what it left.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::{Filter, Image, change, delete, get, list};
use crate::error::{Error, Result, Trouble};
use crate::session::{Call, words};
use crate::{LABEL, Service, Session, reach};

/// Bytes that are read and sent at once; smaller ones cost a fifth of the rate.
const CHUNK: usize = 256 << 10;
/// How often it is begun.
const ATTEMPTS: u32 = 3;
/// How long Glance may take between the last byte and an image that is ready.
const SETTLE: Duration = Duration::from_mins(10);

/// What is to be sent.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The file.
    pub path: PathBuf,
    /// What the image is to be called.
    pub name: String,
    /// Its format, such as `qcow2` or `raw`.
    pub disk_format: String,
    /// The smallest disk that it fits on, in GiB.
    pub min_disk_gib: u64,
    /// The least memory that it runs in, in MiB.
    pub min_ram_mib: u64,
    /// Who sees it; `private`, where nothing is said.
    pub visibility: Option<String>,
    /// Tags, beside our own.
    pub tags: Vec<String>,
    /// Properties: those for the hypervisor, and ours.
    pub properties: BTreeMap<String, String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// It was sent.
    Sent(Image),
    /// The same bytes were there.
    There(Image),
}

impl Uploaded {
    /// The image.
    pub fn image(&self) -> &Image {
        match self {
            Self::Sent(image) | Self::There(image) => image,
        }
    }
}

/// Hears how an upload goes on, and says when it is to end.
pub trait Watch: Send + Sync {
    /// A step begins.
    fn step(&self, words: &str);
    /// So many bytes of so many.
    fn progress(&self, done: u64, total: u64);
    /// An image of this id is about to be made.
    ///
    /// # Errors
    /// When that cannot be written down; then it is not made.
    fn intent(&self, id: &str) -> Result<()>;
    /// Nothing of this id is left over: it is ready, or was deleted.
    fn settled(&self, id: &str);
    /// An id that nobody has, as UUIDs are written.
    fn new_id(&self) -> String;
    /// Cancelled when nobody wants it any more.
    fn cancellation(&self) -> CancellationToken;
}

/// The SHA-512 of a file, as Glance makes it, and its size.
///
/// # Errors
/// When the file cannot be read; [`Error::Cancelled`].
pub fn sha512_of(
    path: &Path,
    cancel: &CancellationToken,
    mut tell: impl FnMut(u64),
) -> Result<(String, u64)> {
    let mut file = File::open(path).map_err(|it| Error::io("read", path, it))?;
    let mut hash = Sha512::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let count = file
            .read(&mut buffer)
            .map_err(|it| Error::io("read", path, it))?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        size += count as u64;
        tell(size);
    }
    Ok((hex(&hash.finalize()), size))
}

pub(in crate::images) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Sends an image where its bytes are not there yet.
///
/// # Errors
/// As Glance refuses; when the way to it ends three times; [`Error::Damaged`]; [`Error::Cancelled`]. No image is left then.
pub async fn upload(session: &Session, upload: &Upload, watch: &dyn Watch) -> Result<Uploaded> {
    let cancel = watch.cancellation();
    watch.step("Reading the image");
    let total = std::fs::metadata(&upload.path)
        .map_err(|it| Error::io("read", &upload.path, it))?
        .len();
    let (path, token) = (upload.path.clone(), cancel.clone());
    let (sender, mut told) = tokio::sync::watch::channel(0);
    let hashing = tokio::task::spawn_blocking(move || {
        sha512_of(&path, &token, |done| {
            sender.send_replace(done);
        })
    });
    while told.changed().await.is_ok() {
        watch.progress(*told.borrow_and_update(), total);
    }
    let (sha512, size) = hashing
        .await
        .map_err(|error| Error::io("read", &upload.path, std::io::Error::other(error)))??;
    if let Some(image) = same(session, upload, &sha512).await? {
        watch.step(&format!("The same bytes are there as {}", image.shown()));
        return Ok(Uploaded::There(image));
    }
    let mut attempt = 1;
    loop {
        let id = watch.new_id();
        watch.intent(&id)?;
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Cancelled),
            outcome = send(session, upload, &id, &sha512, size, watch) => outcome,
        };
        let error = match outcome {
            Ok(image) => {
                watch.settled(&id);
                return Ok(Uploaded::Sent(image));
            }
            Err(error) => error,
        };
        // What cannot be deleted now stays written down, and is found by cleaning up.
        match take_back(session, &id).await {
            Ok(()) => watch.settled(&id),
            Err(left) => tracing::warn!(image = id, %left, "a broken image could not be deleted"),
        }
        let again = error.is_passing() || matches!(error, Error::Damaged { .. });
        if !again || attempt == ATTEMPTS {
            return Err(error);
        }
        watch.step(&format!("{error}; beginning again"));
        tokio::select! {
            () = cancel.cancelled() => return Err(Error::Cancelled),
            () = tokio::time::sleep(Duration::from_secs(1) * attempt) => {}
        }
        attempt += 1;
    }
}

/// Deletes what is half there; Glance may be restarting.
async fn take_back(session: &Session, id: &str) -> Result<()> {
    let mut tries = 0;
    loop {
        match delete(session, id).await {
            Err(error) if error.is_passing() && tries < 10 => {
                tries += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            outcome => return outcome,
        }
    }
}

/// An image with the same bytes that boots as this one is to.
async fn same(session: &Session, upload: &Upload, sha512: &str) -> Result<Option<Image>> {
    let filter = Filter {
        sha512: Some(sha512.to_owned()),
        ..Filter::default()
    };
    let found = match list(session, &filter).await {
        Ok(found) => found,
        // An old Glance does not filter by it.
        Err(Error::Refused { status: 400, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mine = Some(session.identity().project_id.as_str());
    for image in found {
        let fits = image.status == "active"
            && image.os_hash_value.as_deref() == Some(sha512)
            && image.disk_format.as_deref() == Some(upload.disk_format.as_str());
        if !fits {
            continue;
        }
        let wanted: BTreeMap<String, Value> = upload
            .properties
            .iter()
            .filter(|(key, value)| image.property(key) != Some(value.as_str()))
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let boots = wanted.keys().all(|key| key.starts_with(LABEL));
        if image.owner.as_deref() == mine {
            return change(session, &image, &wanted).await.map(Some);
        }
        if boots {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

async fn send(
    session: &Session,
    upload: &Upload,
    id: &str,
    sha512: &str,
    size: u64,
    watch: &dyn Watch,
) -> Result<Image> {
    let mut tags = vec![LABEL.to_owned()];
    tags.extend(upload.tags.iter().cloned());
    tags.sort();
    tags.dedup();
    let mut body = json!({
        "id": id,
        "name": upload.name,
        "disk_format": upload.disk_format,
        "container_format": "bare",
        "visibility": upload.visibility.as_deref().unwrap_or("private"),
        "min_disk": upload.min_disk_gib,
        "min_ram": upload.min_ram_mib,
        "tags": tags,
    });
    for (key, value) in &upload.properties {
        body[key] = json!(value);
    }
    watch.step(&format!("Sending {}", upload.name));
    let doing = format!("make the image {}", upload.name);
    session
        .call(Call::post(Service::Image, "/images", body, doing))
        .await?;
    put(session, upload, id, size, watch).await?;
    watch.step("Waiting until the image is ready");
    let image = settle(session, id).await?;
    let there = match (image.os_hash_algo.as_deref(), &image.os_hash_value) {
        (Some("sha512"), Some(value)) => value.clone(),
        // A cloud with another hash: at least as long as it was.
        _ => return check_size(image, size),
    };
    if there != sha512 {
        return Err(Error::Damaged {
            here: sha512[..16].to_owned(),
            there: there.chars().take(16).collect(),
        });
    }
    check_size(image, size)
}

fn check_size(image: Image, size: u64) -> Result<Image> {
    if image.size == Some(size) {
        return Ok(image);
    }
    Err(Error::Damaged {
        here: format!("{size} bytes"),
        there: format!("{} bytes", image.size.unwrap_or(0)),
    })
}

async fn put(
    session: &Session,
    upload: &Upload,
    id: &str,
    size: u64,
    watch: &dyn Watch,
) -> Result<()> {
    let doing = format!("take the image {}", upload.name);
    let (client, url, token) = session
        .transfer(Service::Image, &format!("/images/{id}/file"))
        .await?;
    let file = tokio::fs::File::open(&upload.path)
        .await
        .map_err(|it| Error::io("read", &upload.path, it))?;
    let (sender, mut sent) = tokio::sync::watch::channel(0_u64);
    // Unfolded as it is sent: one piece in memory at a time.
    let pieces = futures_util::stream::unfold(
        (file, 0_u64, sender),
        move |(mut file, done, sender)| async move {
            let mut piece = vec![0; CHUNK];
            let mut filled = 0;
            while filled < CHUNK {
                match file.read(&mut piece[filled..]).await {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) => return Some((Err(error), (file, done, sender))),
                }
            }
            piece.truncate(filled);
            let done = done + filled as u64;
            sender.send_replace(done);
            // A file that grew since it was looked at is not sent beyond what was said.
            (filled > 0 && done <= size).then(|| {
                (
                    Ok::<_, std::io::Error>(Bytes::from(piece)),
                    (file, done, sender),
                )
            })
        },
    );
    let request = client
        .request(Method::PUT, url.clone())
        .header("x-auth-token", token.expose_secret())
        .header("content-type", "application/octet-stream")
        .header("content-length", size)
        .body(reqwest::Body::wrap_stream(pieces))
        .send();
    tokio::pin!(request);
    let answer = loop {
        tokio::select! {
            answer = &mut request => break answer,
            Ok(()) = sent.changed() => watch.progress(*sent.borrow_and_update(), size),
        }
    };
    let answer = answer.map_err(|it| reach::network(url.as_str(), it))?;
    let status = answer.status();
    if status.is_success() {
        watch.progress(size, size);
        return Ok(());
    }
    let body = answer.bytes().await.unwrap_or_default();
    let said = words(&body);
    if status.as_u16() == 413 || said.to_ascii_lowercase().contains("quota") {
        return Err(Error::Quota { doing, said });
    }
    Err(Error::Refused {
        service: Service::Image,
        doing,
        status: status.as_u16(),
        said: if said.is_empty() {
            format!("it says no more than {}", status.as_u16())
        } else {
            said
        },
        request: None,
    })
}

/// Waits until Glance is done with the bytes.
async fn settle(session: &Session, id: &str) -> Result<Image> {
    let begun = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        let image = get(session, id).await?;
        match image.status.as_str() {
            "active" => return Ok(image),
            // Back where it began: what was sent did not arrive.
            "queued" => {
                return Err(Error::Network {
                    url: session.address(Service::Image)?.to_string(),
                    trouble: Trouble::Cut,
                    source: None,
                });
            }
            "killed" | "deleted" | "pending_delete" => {
                return Err(Error::Failed {
                    what: "The image".to_owned(),
                    state: image.status,
                    fault: "Glance did not accept its bytes".to_owned(),
                });
            }
            state if begun.elapsed() > SETTLE => {
                return Err(Error::Late {
                    what: "The image".to_owned(),
                    state: state.to_owned(),
                    seconds: SETTLE.as_secs(),
                });
            }
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}
