//! A folder on this computer, or one that is mounted.
//!
//! What `packages.json` tells of is as it says, if it is there; all else is known by Capstan's layout, also a whole
//! `~/.capstan`.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use url::Url;

use super::index::{self, Index};
use super::{Known, Listing, Opened, RemoteFile, Resume, Source};
use crate::{Control, Error, Limits, Locator, Progress, Publication, Published, RegistryConfig};

const DEPTH_MAX: usize = 4;
const CHUNK_BYTES: usize = 256 << 10;

/// A folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
    entries_max: usize,
    index_max: u64,
}

impl Folder {
    /// Opens it.
    pub(crate) fn open(config: &RegistryConfig, limits: &Limits) -> Result<Self, Error> {
        let text = config.url.trim();
        let path = if text.starts_with("file:") {
            Url::parse(text)
                .ok()
                .and_then(|url| url.to_file_path().ok())
        } else {
            Some(PathBuf::from(text))
        };
        let path = path
            .filter(|path| path.is_absolute())
            .ok_or_else(|| Error::Config {
                registry: config.name.clone(),
                found: "its place is no folder".to_owned(),
                remedy: "Write the folder's full path.".to_owned(),
            })?;
        let prefix = super::folder_prefix(config);
        if !prefix.is_empty() && !index::is_below(prefix.trim_end_matches('/')) {
            return Err(Error::Config {
                registry: config.name.clone(),
                found: "its prefix leads out of the folder".to_owned(),
                remedy: "Write a path below the folder.".to_owned(),
            });
        }
        Ok(Self {
            root: path.join(prefix),
            entries_max: limits.entries,
            index_max: limits.metadata_bytes,
        })
    }

    fn scan(&self, control: &Control) -> Result<Listing, Error> {
        let mut files = Vec::new();
        self.walk(&self.root, "", 0, control, &mut files)?;
        let mut entries = Vec::new();
        if let Some(indexed) = files.iter().find(|file| file.path == index::FILE) {
            let path = self.root.join(&indexed.path);
            let mut text = String::new();
            File::open(&path)
                .and_then(|file| file.take(self.index_max).read_to_string(&mut text))
                .map_err(|source| Error::io("read", &path, source))?;
            let index = Index::parse(&text)
                .map_err(|found| Error::malformed(path.display().to_string(), found))?;
            let sizes: std::collections::HashMap<&str, Option<u64>> = files
                .iter()
                .map(|file| (file.path.as_str(), file.size_bytes))
                .collect();
            // A file that has another size now is described anew, as Capstan would.
            let told: Vec<_> = index
                .packages
                .into_iter()
                .filter(|told| {
                    sizes
                        .get(told.file.as_str())
                        .is_some_and(|size| told.size_bytes.is_none() || *size == told.size_bytes)
                })
                .collect();
            let told_files: HashSet<String> = told.iter().map(|told| told.file.clone()).collect();
            entries.extend(
                told.into_iter()
                    .filter_map(|told| told.entry(&|path| Some(Locator::at(path)))),
            );
            files.retain(|file| !told_files.contains(&file.path));
        }
        Ok(Listing::Both(entries, files))
    }

    fn walk(
        &self,
        folder: &Path,
        below: &str,
        depth: usize,
        control: &Control,
        files: &mut Vec<RemoteFile>,
    ) -> Result<(), Error> {
        let failed = |source| Error::io("read", folder, source);
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if control.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // Links may lead anywhere; in a registry of one's own that is as meant. What is gone meanwhile is gone.
            let Ok(metadata) = std::fs::metadata(entry.path()) else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{below}{name}");
            if metadata.is_dir() && depth < DEPTH_MAX {
                self.walk(
                    &entry.path(),
                    &format!("{path}/"),
                    depth + 1,
                    control,
                    files,
                )?;
            } else if metadata.is_file() && index::is_below(&path) {
                files.push(RemoteFile {
                    locator: Locator::at(&path),
                    path,
                    size_bytes: Some(metadata.len()),
                    digest: None,
                    stamp: stamp(&metadata),
                    version: None,
                    created: None,
                });
            }
            if files.len() > self.entries_max {
                return Err(Error::malformed(
                    self.root.display().to_string(),
                    format!("it has more than {} files", self.entries_max),
                ));
            }
        }
        Ok(())
    }
}

/// Changes when the file does.
fn stamp(metadata: &Metadata) -> Option<String> {
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{}-{}", modified.as_nanos(), metadata.len()))
}

impl Source for Folder {
    async fn list(
        &self,
        _known: &Known<'_>,
        control: &Control,
        _progress: &dyn Progress,
    ) -> Result<Listing, Error> {
        let (this, control) = (self.clone(), control.clone());
        tokio::task::spawn_blocking(move || this.scan(&control))
            .await
            .unwrap_or(Err(Error::Cancelled))
    }

    async fn open(
        &self,
        locator: &Locator,
        resume: Option<&Resume>,
        _control: &Control,
    ) -> Result<Opened, Error> {
        if !index::is_below(locator.target()) {
            return Err(Error::malformed(
                locator.place.clone(),
                "it leads out of the registry",
            ));
        }
        let path = self.root.join(locator.target());
        let failed = |source| Error::io("read", &path, source);
        let mut file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::malformed(
                path.display().to_string(),
                "it is no file",
            ));
        }
        let validator = stamp(&metadata);
        let start = resume
            .filter(|resume| resume.start <= metadata.len() && resume.validator == validator)
            .map_or(0, |resume| resume.start);
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let chunks =
            futures_util::stream::try_unfold((file, path.clone()), |(mut file, path)| async move {
                let read = tokio::task::spawn_blocking(move || {
                    let mut buffer = vec![0; CHUNK_BYTES];
                    let count = file.read(&mut buffer);
                    count.map(|count| {
                        buffer.truncate(count);
                        (file, buffer)
                    })
                });
                let (file, buffer) = match read.await {
                    Ok(read) => read.map_err(|source| Error::io("read", &path, source))?,
                    Err(_) => return Err(Error::Cancelled),
                };
                Ok((!buffer.is_empty()).then(|| (Bytes::from(buffer), (file, path))))
            });
        Ok(Opened {
            start,
            total: Some(metadata.len()),
            validator,
            digest: None,
            body: Box::pin(chunks),
        })
    }

    async fn publish(
        &self,
        publication: &Publication,
        control: &Control,
        progress: &dyn Progress,
    ) -> Result<Published, Error> {
        crate::publish::to_folder(&self.root, publication, control, progress).await
    }
}
