//! Publishing to a folder.
//!
//! Each file is written beside, made durable and renamed; in an order in which whoever reads meanwhile, or after we were
//! killed, finds nothing that claims to be what it is not:
//!
//! ```text
//!   older version kept under its own name ─> signature ─> archive ─> NAME.yaml ─> packages.json
//! ```
//!
//! Two who publish at once take turns by a lock file.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use windlass_package::Manifest;

use super::plan::{There, check_kept, indexed, plan};
use super::{Publication, Published, Ready, digest_of};
use crate::fetch::file::{UNFINISHED_PREFIX, lock, sync_folder};
use crate::kinds::folder::Folder;
use crate::kinds::index::{FILE as INDEX_FILE, Index};
use crate::kinds::{Known, listing};
use crate::{
    Control, Entry, EntryKind, Error, Limits, Locator, Progress, RegistryConfig, RegistryKind,
};

/// Where packages lie in Capstan's layout.
const PACKAGES: &str = "packages";
const BUFFER_BYTES: usize = 1 << 20;
/// A `packages.json` of a hundred thousand packages has some 30 MB.
const INDEX_MAX_BYTES: u64 = 256 << 20;
/// What is published is for others to read.
const MODE: u32 = 0o644;

/// Publishes to a folder: the archive as `packages/NAME.mpm`, its manifest beside it, and what it says in `packages.json`.
pub(crate) async fn to_folder(
    root: &Path,
    publication: &Publication,
    control: &Control,
    progress: &dyn Progress,
) -> Result<Published, Error> {
    let ready = Ready::of(publication, control, progress).await?;
    let folder = root.join(PACKAGES);
    std::fs::create_dir_all(&folder).map_err(|source| Error::io("create", &folder, source))?;
    let turn = folder.join(format!("{UNFINISHED_PREFIX}publishing.lock"));
    let waiting = tokio::task::spawn_blocking(move || lock(&turn));
    let _turn = control
        .until(waiting)
        .await?
        .unwrap_or(Err(Error::Cancelled))?;

    let name = &ready.manifest.name;
    let at = |stem: &str, ending: &str| folder.join(format!("{stem}.{ending}"));
    let there = there(&folder, name, control).await?;
    let place = at(name, "mpm").display().to_string();
    let plan = plan(
        &ready.manifest,
        ready.sha256,
        there.as_ref(),
        publication.replace,
        &place,
    )?;
    let archive = at(&plan.stem, "mpm");
    if plan.stem != *name {
        let found = control.until(digest_of(&archive)).await??;
        let place = archive.display().to_string();
        check_kept(
            found.map(|(found, _)| found),
            ready.sha256,
            publication.replace,
            &place,
        )?;
    }
    progress.step(&format!("Publishing {name}"));
    let mut index = index(root, control).await?;
    if let (Some(kept), Some(there)) = (&plan.keep_as, &there) {
        keep(&folder, name, kept, there)?;
        let entry = entry_at(root, kept, control).await?;
        index.insert(indexed(format!("{PACKAGES}/{kept}.mpm"), entry));
    }

    let signature = at(&plan.stem, "mpm.minisig");
    match &publication.signature {
        Some(text) => put(&signature, text.as_bytes())?,
        // One of what was there before is none of ours.
        None => remove(&signature)?,
    }
    copy(&publication.archive, &archive, &ready, control, progress).await?;
    let manifest = at(&plan.stem, "yaml");
    put(&manifest, publication.manifest.as_bytes())?;
    let entry = entry_at(root, &plan.stem, control).await?;
    index.insert(indexed(format!("{PACKAGES}/{}.mpm", plan.stem), entry));
    let text = index
        .render()
        .map_err(|error| Error::malformed(root.display().to_string(), error.to_string()))?;
    put(&root.join(INDEX_FILE), text.as_bytes())?;

    let mut places = vec![archive, manifest];
    places.extend(publication.signature.is_some().then_some(signature));
    Ok(Published {
        places: places
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        sha256: ready.sha256,
        size_bytes: ready.size_bytes,
    })
}

/// What is there under this name.
async fn there(folder: &Path, stem: &str, control: &Control) -> Result<Option<There>, Error> {
    let path = folder.join(format!("{stem}.mpm"));
    let Some((sha256, _)) = control.until(digest_of(&path)).await?? else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path.with_extension("yaml")).ok();
    let manifest = text.and_then(|text| {
        let parsed = Manifest::parse(&text, stem).ok()?;
        Some((text, parsed.value))
    });
    Ok(Some(There {
        manifest,
        sha256: Some(sha256),
    }))
}

/// Keeps an older version under its own name. It stays where it is until ours takes its place.
fn keep(folder: &Path, name: &str, kept: &str, there: &There) -> Result<(), Error> {
    for ending in ["mpm.minisig", "mpm"] {
        let from = folder.join(format!("{name}.{ending}"));
        let to = folder.join(format!("{kept}.{ending}"));
        remove(&to)?;
        let linked = match std::fs::hard_link(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Some file systems have no links.
            Err(_) => std::fs::copy(&from, &to).and_then(|_| File::open(&to)?.sync_all()),
            Ok(()) => Ok(()),
        };
        linked.map_err(|source| Error::io("write", &to, source))?;
    }
    match &there.manifest {
        Some((text, _)) => put(&folder.join(format!("{kept}.yaml")), text.as_bytes()),
        None => Ok(()),
    }
}

/// The archive, copied beside its place and renamed. What is copied is digested again: it may have changed since.
async fn copy(
    from: &Path,
    to: &Path,
    ready: &Ready,
    control: &Control,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let mut beside = beside(to)?;
    let mut writer = tokio::fs::File::from_std(
        beside
            .as_file_mut()
            .try_clone()
            .map_err(|source| Error::io("write", to, source))?,
    );
    let mut reader = tokio::fs::File::open(from)
        .await
        .map_err(|source| Error::io("read", from, source))?;
    let (mut buffer, mut done) = (vec![0; BUFFER_BYTES], 0);
    loop {
        control.pass().await?;
        progress.at(done, Some(ready.size_bytes));
        let count = reader
            .read(&mut buffer)
            .await
            .map_err(|source| Error::io("read", from, source))?;
        if count == 0 {
            break;
        }
        let written = writer.write_all(&buffer[..count]).await;
        written.map_err(|source| Error::io("write", to, source))?;
        done += count as u64;
    }
    let ended = async {
        writer.flush().await?;
        writer.sync_all().await
    };
    ended
        .await
        .map_err(|source| Error::io("write", to, source))?;
    let found = control.until(digest_of(beside.path())).await??;
    if let Some((found, _)) = found
        && found != ready.sha256
    {
        return Err(Error::Digest {
            place: from.display().to_string(),
            expected: ready.sha256,
            found,
        });
    }
    persist(beside, to)
}

/// The index as it is, or made from all that is there.
async fn index(root: &Path, control: &Control) -> Result<Index, Error> {
    let path = root.join(INDEX_FILE);
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.len() > INDEX_MAX_BYTES => {
            return Err(Error::TooLarge {
                place: path.display().to_string(),
                limit_bytes: INDEX_MAX_BYTES,
            });
        }
        Ok(_) => {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| Error::io("read", &path, source))?;
            return Index::parse(&text)
                .map_err(|found| Error::malformed(path.display().to_string(), found));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::io("read", &path, source)),
    }
    let mut index = Index::default();
    for entry in entries(root, control).await? {
        index.insert(indexed(entry.locator.place.clone(), entry));
    }
    Ok(index)
}

/// All that is in a folder, as whoever fetches from it sees it.
async fn entries(root: &Path, control: &Control) -> Result<Vec<Entry>, Error> {
    let limits = Limits::default();
    let path = root.display().to_string();
    let config = RegistryConfig::new(RegistryKind::Folder, path.clone(), path);
    let folder = Folder::open(&config, &limits)?;
    listing::entries(&folder, &Known::default(), &limits, control, &()).await
}

/// What the index says of an archive of ours.
async fn entry_at(root: &Path, stem: &str, control: &Control) -> Result<Entry, Error> {
    let folder = root.join(PACKAGES);
    let path = folder.join(format!("{stem}.mpm"));
    let missing = || Error::io("read", &path, io::ErrorKind::NotFound.into());
    let (digest, size_bytes) = control
        .until(digest_of(&path))
        .await??
        .ok_or_else(missing)?;
    let place = format!("{PACKAGES}/{stem}.mpm");
    let text = std::fs::read_to_string(path.with_extension("yaml"))
        .map_err(|source| Error::io("read", &path.with_extension("yaml"), source))?;
    let manifest = Manifest::parse(&text, stem)
        .map_err(|source| Error::Package {
            what: place.clone(),
            source: Box::new(source),
        })?
        .value;
    let signature = format!("{place}.minisig");
    let signed = root.join(&signature).exists();
    Ok(Entry {
        require: manifest.requirements(),
        title: Some(manifest.title),
        version: manifest.version,
        author: Some(manifest.author),
        created: manifest.created,
        platform: manifest.platform,
        digest: Some(digest),
        size_bytes: Some(size_bytes),
        signature: signed.then(|| Locator::at(signature)),
        ..Entry::new(EntryKind::Package, manifest.name, Locator::at(place))
    })
}

fn beside(path: &Path) -> Result<tempfile::NamedTempFile, Error> {
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    tempfile::Builder::new()
        .prefix(UNFINISHED_PREFIX)
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(&folder)
        .map_err(|source| Error::io("create a file in", &folder, source))
}

fn persist(beside: tempfile::NamedTempFile, path: &Path) -> Result<(), Error> {
    beside
        .persist(path)
        .map_err(|error| Error::io("write", path, error.error))?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Writes a small file whole.
fn put(path: &Path, content: &[u8]) -> Result<(), Error> {
    use std::io::Write;
    let mut beside = beside(path)?;
    beside
        .write_all(content)
        .and_then(|()| beside.as_file().sync_all())
        .map_err(|source| Error::io("write", path, source))?;
    persist(beside, path)
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
