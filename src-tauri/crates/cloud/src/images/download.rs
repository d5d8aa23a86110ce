//! Fetches an image into a file: beside its place, compared with Glance's hash, and put there whole.

use std::io::Write;
use std::path::Path;

use futures_util::StreamExt;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha512};
use tokio_util::sync::CancellationToken;

use super::upload::hex;
use super::{Image, Watch};
use crate::error::{Error, Result};
use crate::session::words;
use crate::{Service, Session, reach};

/// Fetches an image. A file that is there is not replaced.
///
/// # Errors
/// When Glance refuses, the way to it ends, or what came is not what it has; [`Error::Cancelled`]. No file is left then.
pub async fn download(
    session: &Session,
    image: &Image,
    path: &Path,
    watch: &dyn Watch,
) -> Result<()> {
    if path.exists() {
        return Err(Error::input(
            format!("`{}` is there already", path.display()),
            "Choose another name, or move it away",
        ));
    }
    watch.step(&format!("Fetching {}", image.shown()));
    let cancel: CancellationToken = watch.cancellation();
    let folder = path
        .parent()
        .filter(|it| !it.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new()
        .prefix(".windlass-")
        .tempfile_in(folder)
        .map_err(|it| Error::io("write", path, it))?;
    let (client, url, token) = session
        .transfer(Service::Image, &format!("/images/{}/file", image.id))
        .await?;
    let answer = client
        .get(url.clone())
        .header("x-auth-token", token.expose_secret())
        .send()
        .await
        .map_err(|it| reach::network(url.as_str(), it))?;
    let status = answer.status().as_u16();
    if status != 200 {
        let said = match status {
            204 => "it has no bytes yet".to_owned(),
            _ => words(&answer.bytes().await.unwrap_or_default()),
        };
        return Err(Error::Refused {
            service: Service::Image,
            doing: format!("give the image {}", image.shown()),
            status,
            said,
            request: None,
        });
    }
    let total = image.size.unwrap_or(0);
    let mut hash = Sha512::new();
    let mut done = 0;
    let mut stream = answer.bytes_stream();
    loop {
        let piece = tokio::select! {
            () = cancel.cancelled() => return Err(Error::Cancelled),
            piece = stream.next() => piece,
        };
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|it| reach::network(url.as_str(), it))?;
        hash.update(&piece);
        // Short pieces into the page cache: not worth a thread each.
        beside
            .write_all(&piece)
            .map_err(|it| Error::io("write", path, it))?;
        done += piece.len() as u64;
        watch.progress(done, total);
    }
    let here = hex(&hash.finalize());
    if image.os_hash_algo.as_deref() == Some("sha512")
        && let Some(there) = &image.os_hash_value
        && *there != here
    {
        return Err(Error::Damaged {
            here: here.chars().take(16).collect(),
            there: there.chars().take(16).collect(),
        });
    }
    let keep = |error: std::io::Error| Error::io("write", path, error);
    beside.as_file().sync_all().map_err(keep)?;
    beside
        .persist_noclobber(path)
        .map_err(|it| keep(it.error))?;
    std::fs::File::open(folder)
        .and_then(|it| it.sync_all())
        .map_err(keep)
}
