//! Trees grow: from a folder that stays as it is, from one that is given up, or where an archive was unpacked to.
//!
//! Each file is read once. What is copied is digested on the way, by as many threads as help; where the file system can
//! clone, nothing is written.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use windlass_package::Watch;

use super::hear::Heard;
use super::objects::{settle, settle_time};
use super::tree::{Entry, Kind, Tree};
use crate::error::{Error, IoContext};
use crate::parallel::{self, Hand};

/// The modes that things in a tree have: one digest for one content, whatever the umask was.
pub(crate) const FOLDER_MODE: u32 = 0o755;
pub(crate) const PROGRAM_MODE: u32 = 0o755;
pub(crate) const DATA_MODE: u32 = 0o644;

/// From where a tree grows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Soil<'a> {
    /// From a folder, which stays as it is and independent of the tree.
    Copy(&'a Path),
    /// From a folder that its owner removes: its files become the tree's.
    Take(&'a Path),
    /// The tree is there, and ours.
    InPlace,
    /// The tree is there and ours, and its files were digested while they were written.
    Heard(&'a Heard),
}

/// What was found in a folder.
struct Found {
    path: Vec<u8>,
    kind: FoundKind,
}

enum FoundKind {
    Folder,
    File { size_bytes: u64, mode: u32 },
    Link { target: Vec<u8> },
}

/// Makes the tree at `root`, and its list. Not synced.
pub(crate) fn grow(soil: Soil<'_>, root: &Path, watch: &mut dyn Watch) -> Result<Tree, Error> {
    let source = match soil {
        Soil::Copy(folder) | Soil::Take(folder) => {
            fs::create_dir(root).context("create", root)?;
            folder
        }
        Soil::InPlace | Soil::Heard(_) => root,
    };
    let found = walk(source)?;
    watch.expect(
        found
            .iter()
            .map(|found| match found.kind {
                FoundKind::File { size_bytes, .. } => size_bytes,
                _ => 0,
            })
            .sum(),
    );
    set_mode(root, FOLDER_MODE)?;
    // Folders first: the walk names each before what is in it.
    for found in &found {
        let path = root.join(Path::new(std::ffi::OsStr::from_bytes(&found.path)));
        match (&found.kind, soil) {
            (FoundKind::Folder, Soil::InPlace | Soil::Heard(_)) => set_mode(&path, FOLDER_MODE)?,
            (FoundKind::Folder, _) => {
                fs::create_dir(&path).context("create", &path)?;
                set_mode(&path, FOLDER_MODE)?;
            }
            (FoundKind::Link { target }, Soil::Copy(_) | Soil::Take(_)) => {
                let target = std::ffi::OsStr::from_bytes(target);
                std::os::unix::fs::symlink(target, &path).context("create", &path)?;
            }
            _ => {}
        }
    }
    let kinds = parallel::for_all(
        &found,
        |found, hand| {
            let relative = Path::new(std::ffi::OsStr::from_bytes(&found.path));
            Ok(match &found.kind {
                FoundKind::Folder => Kind::Folder { mode: FOLDER_MODE },
                FoundKind::Link { target } => Kind::Link {
                    target: target.clone(),
                },
                FoundKind::File { size_bytes, mode } => {
                    if let Some(kind) = heard(soil, &found.path, *size_bytes, *mode) {
                        let path = root.join(relative);
                        settle_time(&path).context("write", &path)?;
                        hand.advance(*size_bytes)?;
                        return Ok(kind);
                    }
                    grow_file(soil, &source.join(relative), &root.join(relative), hand)?
                }
            })
        },
        watch,
    )?;
    let entries = found.into_iter().zip(kinds);
    Ok(Tree::new(
        entries
            .map(|(found, kind)| Entry {
                path: found.path,
                kind,
            })
            .collect(),
    ))
}

/// All that is in a folder, each folder before what is in it.
fn walk(root: &Path) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let at = root.join(Path::new(std::ffi::OsStr::from_bytes(&folder)));
        for entry in fs::read_dir(&at).context("list", &at)? {
            let entry = entry.context("list", &at)?;
            let mut path = folder.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(entry.file_name().as_bytes());
            let metadata = entry.metadata().context("read", &entry.path())?;
            let kind = if metadata.is_dir() {
                folders.push(path.clone());
                FoundKind::Folder
            } else if metadata.is_symlink() {
                let target = fs::read_link(entry.path()).context("read", &entry.path())?;
                FoundKind::Link {
                    target: target.into_os_string().into_vec(),
                }
            } else if metadata.is_file() {
                FoundKind::File {
                    size_bytes: metadata.len(),
                    mode: metadata.mode() & 0o7777,
                }
            } else {
                return Err(Error::NotAFile { path: entry.path() });
            };
            found.push(Found { path, kind });
        }
    }
    Ok(found)
}

/// What was heard of a file, if that was all of it, and its mode is right.
fn heard(soil: Soil<'_>, path: &[u8], length_bytes: u64, found_mode: u32) -> Option<Kind> {
    let Soil::Heard(heard) = soil else {
        return None;
    };
    let kind = heard.get(path)?;
    let is_all = matches!(
        kind,
        Kind::File { size_bytes, mode, .. } if *size_bytes == length_bytes && *mode == found_mode
    );
    is_all.then(|| kind.clone())
}

fn grow_file(
    soil: Soil<'_>,
    source: &Path,
    destination: &Path,
    hand: &mut Hand<'_>,
) -> Result<Kind, Error> {
    let is_ours = match soil {
        Soil::InPlace | Soil::Heard(_) => true,
        Soil::Take(_) => {
            // A file with a further name somewhere is not the folder's alone to give.
            let is_alone = fs::symlink_metadata(source).is_ok_and(|file| file.nlink() == 1);
            is_alone && fs::hard_link(source, destination).is_ok()
        }
        Soil::Copy(_) => false,
    };
    let mut file = open(if is_ours { destination } else { source })?;
    let before = file.metadata().context("read", source)?;
    if !before.is_file() {
        return Err(Error::NotAFile {
            path: source.to_path_buf(),
        });
    }
    let mode = mode_of(before.permissions().mode());
    let (digest, size_bytes) = if is_ours {
        let read = digest(&mut file, destination, hand)?;
        settle(&file, mode).context("write", destination)?;
        read
    } else {
        let mut copy = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(destination)
            .context("create", destination)?;
        let read = if rustix::fs::ioctl_ficlone(&copy, &file).is_ok() {
            digest(&mut copy, destination, hand)?
        } else {
            copy_digesting(&mut file, source, &mut copy, destination, hand)?
        };
        settle(&copy, mode).context("write", destination)?;
        read
    };
    // A file that somebody writes to while it is copied has a part of this and a part of that.
    let after = fs::symlink_metadata(source).context("read", source)?;
    let is_same = is_ours || after.modified().ok() == before.modified().ok();
    if !is_same || size_bytes != before.len() {
        return Err(Error::Changing {
            path: source.to_path_buf(),
        });
    }
    Ok(Kind::File {
        mode,
        digest,
        size_bytes,
    })
}

/// The mode of a file in a tree: whether it can be executed is all that is kept.
pub(crate) fn mode_of(mode: u32) -> u32 {
    if mode & 0o111 == 0 {
        DATA_MODE
    } else {
        PROGRAM_MODE
    }
}

/// Opens a file, and nothing that a link leads to.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    // Without waiting for somebody to write to a pipe that took its place.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .context("read", path)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, Permissions::from_mode(mode)).context("write", path)
}

/// The digest of a file, and how long it is.
pub(crate) fn digest(
    file: &mut File,
    path: &Path,
    hand: &mut Hand<'_>,
) -> Result<(blake3::Hash, u64), Error> {
    each_part(file, path, hand, |_| Ok(()))
}

fn copy_digesting(
    file: &mut File,
    path: &Path,
    copy: &mut File,
    copy_path: &Path,
    hand: &mut Hand<'_>,
) -> Result<(blake3::Hash, u64), Error> {
    each_part(file, path, hand, |part| {
        copy.write_all(part).context("write", copy_path)
    })
}

fn each_part(
    file: &mut File,
    path: &Path,
    hand: &mut Hand<'_>,
    mut with: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(blake3::Hash, u64), Error> {
    let mut hasher = blake3::Hasher::new();
    let mut size_bytes = 0;
    loop {
        let count = match file.read(&mut hand.buffer) {
            Ok(0) => return Ok((hasher.finalize(), size_bytes)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("read", path),
        };
        let part = hand.buffer.get(..count).unwrap_or_default();
        hasher.update(part);
        with(part)?;
        size_bytes += count as u64;
        hand.advance(count as u64)?;
    }
}
