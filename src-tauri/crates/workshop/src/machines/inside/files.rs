//! Files of a guest: looked at, copied out and in.
//!
//! A copy takes its place, on either side, when all of it is there.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use windlass_compose::osv_rest::OsvRest;
use windlass_guest::agent::{ListedEntry, PATH_MAX_BYTES, Seen, SeenKind};
use windlass_image::{GuestPath, Source};

use super::{GuestCopy, GuestEntry, GuestEntryKind, GuestFolder, Inside};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};

/// What a copy is called until all of it is there.
const DRAFT: &str = ".windlass-copy-";

/// What is readable for everybody, as files that others made are.
const FILE_MODE: u32 = 0o644;

impl Workshop {
    /// What is in a folder of a guest that runs.
    ///
    /// # Errors
    /// As [`guest_now`](Self::guest_now); `Input` for a path that is none.
    pub async fn guest_folder(&self, machine: &str, path: &str) -> Result<GuestFolder> {
        let path = absolute(path)?;
        let shown = match self.inside(machine).await? {
            Inside::Linux(mut agent) => agent.list(path.as_bytes()).await?,
            Inside::Osv(api) => return api.folder(path).await,
        };
        let mut entries: Vec<GuestEntry> = shown.items.into_iter().map(GuestEntry::from).collect();
        let is_folder = |entry: &GuestEntry| entry.kind == GuestEntryKind::Directory;
        entries.sort_by(|one, other| {
            let folders = is_folder(other).cmp(&is_folder(one));
            folders.then_with(|| one.name.cmp(&other.name))
        });
        Ok(GuestFolder {
            path,
            entries,
            is_cut: shown.is_cut,
        })
    }

    /// Copies a file out of a guest that runs: to `to`, or into it where that is a folder.
    ///
    /// # Errors
    /// As [`guest_now`](Self::guest_now); `NotFound`; what keeps it from being written here. What was there stays then.
    pub async fn guest_get(&self, machine: &str, path: &str, to: &Path) -> Result<GuestCopy> {
        let path = absolute(path)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        let place = if to.is_dir() {
            to.join(name)
        } else {
            to.to_path_buf()
        };
        let folder = match place.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_path_buf(),
            None => PathBuf::from("/"),
        };
        let inside = self.inside(machine).await?;
        let draft = NamedTempFile::with_prefix_in(DRAFT, &folder)
            .doing("write into the folder", &folder)?;
        let file = draft.reopen().doing("write", &place)?;
        let mut file = tokio::fs::File::from_std(file);
        let size_bytes = match inside {
            Inside::Linux(mut agent) => agent.read_file(path.as_bytes(), &mut file).await?,
            Inside::Osv(api) => api.read_file(&path, &mut file).await?,
        };
        file.flush().await.doing("write", &place)?;
        file.sync_all().await.doing("write", &place)?;
        let mode = std::fs::Permissions::from_mode(FILE_MODE);
        file.set_permissions(mode).await.doing("write", &place)?;
        draft
            .persist(&place)
            .map_err(|error| error.error)
            .doing("write", &place)?;
        Ok(GuestCopy {
            path: place.display().to_string(),
            size_bytes,
        })
    }

    /// Copies a file into a guest that runs: to `to`, or into it where that is a folder of the guest.
    ///
    /// # Errors
    /// As [`guest_now`](Self::guest_now); `Conflict` where the guest's files cannot be written; what keeps it from
    /// being read here. The guest has what it had then.
    pub async fn guest_put(&self, machine: &str, from: &Path, to: &str) -> Result<GuestCopy> {
        let to = absolute(to)?;
        let metadata = std::fs::metadata(from).doing("read", from)?;
        if !metadata.is_file() {
            let message = format!("`{}` is no regular file", from.display());
            return Err(AppError::new(ErrorKind::Input, message)
                .hinted("Copy the files of a folder one by one, or pack them into an archive"));
        }
        let mut inside = self.inside(machine).await?;
        let is_folder = match &mut inside {
            Inside::Linux(agent) => {
                let seen = agent.look(&[to.clone().into_bytes()], false).await?;
                let is_folder = |seen: &Seen| seen.kind == SeenKind::Directory;
                seen.first()
                    .is_some_and(|seen| seen.as_ref().is_some_and(is_folder))
            }
            Inside::Osv(api) => {
                let status = api.status(&to).await?;
                status.is_some_and(|status| status.is_folder())
            }
        };
        let place = if is_folder {
            let name = from.file_name().unwrap_or_default().to_string_lossy();
            absolute(&format!("{}/{name}", to.trim_end_matches('/')))?
        } else {
            to
        };
        let mode = metadata.permissions().mode() & 0o777;
        match inside {
            Inside::Linux(mut agent) => {
                let digest = {
                    let from = from.to_path_buf();
                    crate::blocking(move || digest(&from)).await??
                };
                let mut source = tokio::fs::File::open(from).await.doing("read", from)?;
                let length = metadata.len();
                let path = place.as_bytes();
                agent
                    .write_file(path, mode, length, digest, &mut source, |_| {})
                    .await?;
            }
            Inside::Osv(api) => {
                let folder = place.rsplit_once('/').map_or("/", |(folder, _)| folder);
                if api.is_read_only(folder).await? {
                    let message = "OSv's ROFS root is read-only: nothing can be put there";
                    return Err(AppError::new(ErrorKind::Conflict, message)
                        .hinted("Put it into /tmp, which is in the guest's memory")
                        .hinted("Or choose ext4 as the appliance's root file system"));
                }
                let path = GuestPath::new(place.as_str())
                    .map_err(|error| AppError::from_error(ErrorKind::Input, &error, None))?;
                let (source, length) = (Source::Path(from.to_path_buf()), metadata.len());
                let never = CancellationToken::new();
                let guest = OsvRest::new("127.0.0.1", api.port);
                crate::blocking(move || {
                    guest.write_file(&path, mode, length, &source, &mut |_| {}, &never)
                })
                .await??;
            }
        }
        Ok(GuestCopy {
            path: place,
            size_bytes: metadata.len(),
        })
    }
}

fn digest(path: &Path) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let file = std::fs::File::open(path).doing("read", path)?;
    hasher.update_reader(file).doing("read", path)?;
    Ok(*hasher.finalize().as_bytes())
}

/// An absolute path of a guest without `.`, `..` and empty names; what is not absolute begins at the root.
fn absolute(path: &str) -> Result<String> {
    let names: Vec<&str> = path
        .split('/')
        .filter(|name| !matches!(*name, "" | "."))
        .collect();
    let path = format!("/{}", names.join("/"));
    if names.contains(&"..") || path.contains('\0') || path.len() > PATH_MAX_BYTES {
        let message = format!("`{path}` is no path of a guest");
        return Err(AppError::new(ErrorKind::Input, message)
            .hinted("Name it from the root on, without `..`, such as /etc/hosts"));
    }
    Ok(path)
}

impl From<ListedEntry> for GuestEntry {
    fn from(listed: ListedEntry) -> Self {
        Self {
            name: String::from_utf8_lossy(&listed.name).into_owned(),
            kind: match listed.kind {
                SeenKind::Directory => GuestEntryKind::Directory,
                SeenKind::File => GuestEntryKind::File,
                SeenKind::Symlink => GuestEntryKind::Symlink,
                SeenKind::Special => GuestEntryKind::Special,
            },
            size_bytes: listed.size_bytes,
            mode: listed.mode,
            modified: jiff::Timestamp::from_second(listed.modified)
                .ok()
                .map(|time| time.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_guest() {
        assert_eq!(absolute("etc//hosts/").unwrap(), "/etc/hosts");
        assert_eq!(absolute("").unwrap(), "/");
        assert!(absolute("/a/../b").is_err());
        assert!(absolute("/a\0").is_err());
    }
}
