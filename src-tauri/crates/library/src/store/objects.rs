//! Objects: the files of all trees, each content and mode once.
//!
//! With hard links an object is a further name of a file that lies in trees, so that it costs nothing, and how many names a
//! file has says whether anything needs it. A tree never depends on its objects: they are how the next tree finds what is
//! there already, and they may be missing.

use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use blake3::Hash;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::Sharing;
use crate::error::{Error, IoContext};
use crate::library::Library;

/// The time of change of every file in trees, in seconds since 1970: the beginning of the year 2000. Whoever writes to a
/// file changes it.
pub(crate) const SETTLED: u64 = 946_684_800;

/// How many digits of a digest are the name of the folder that its object is in.
const FOLDER_DIGITS: usize = 2;

/// Gives a file the mode and the time that say that nobody changed it.
pub(crate) fn settle(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(SETTLED);
    file.set_times(FileTimes::new().set_modified(time))
}

/// Gives a file the time alone, where its mode is right.
pub(crate) fn settle_time(path: &Path) -> io::Result<()> {
    let time = Timespec {
        tv_sec: SETTLED.cast_signed(),
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Whether a file is as it was put there, by what can be told without reading it.
pub(crate) fn is_settled(metadata: &Metadata, mode: u32, size_bytes: u64) -> bool {
    metadata.is_file()
        && metadata.len() == size_bytes
        && metadata.mode() & 0o7777 == mode
        && u64::try_from(metadata.mtime()).is_ok_and(|seconds| seconds == SETTLED)
        && metadata.mtime_nsec() == 0
}

/// The folder of objects, and how files are shared with it.
#[derive(Debug)]
pub(crate) struct Objects {
    folder: PathBuf,
    sharing: Sharing,
}

/// A file in `objects/`.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) digest: Hash,
    pub(crate) mode: u32,
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
}

impl Library {
    /// How packages share files here: by hard links, unless the file system has none.
    ///
    /// # Errors
    /// When the home cannot be written.
    pub fn sharing(&self) -> Result<Sharing, Error> {
        if let Some(sharing) = self.sharing.get() {
            return Ok(*sharing);
        }
        let workplace = self.workplace()?;
        let sharing = probe(workplace.path()).context("write", workplace.path())?;
        if sharing != Sharing::HardLinks {
            tracing::info!(home = %self.home().display(), ?sharing, "the file system has no hard links");
        }
        Ok(*self.sharing.get_or_init(|| sharing))
    }

    pub(crate) fn objects(&self) -> Result<Objects, Error> {
        Ok(Objects {
            folder: self.objects_folder(),
            sharing: self.sharing()?,
        })
    }
}

fn probe(folder: &Path) -> io::Result<Sharing> {
    let (one, other) = (folder.join("one"), folder.join("other"));
    fs::write(&one, b"a file with two names")?;
    if fs::hard_link(&one, &other).is_ok() {
        return Ok(Sharing::HardLinks);
    }
    Ok(match clone(&one, &other) {
        Ok(()) => Sharing::Reflinks,
        Err(_) => Sharing::Copies,
    })
}

/// Makes a file that shares its blocks with another.
fn clone(from: &Path, to: &Path) -> io::Result<()> {
    let from = File::open(from)?;
    let copy = File::create_new(to)?;
    Ok(rustix::fs::ioctl_ficlone(&copy, &from)?)
}

impl Objects {
    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }

    pub(crate) fn path(&self, digest: &Hash, mode: u32) -> PathBuf {
        let digits = digest.to_hex();
        let (folder, name) = digits.split_at(FOLDER_DIGITS);
        self.folder.join(folder).join(format!("{name}.{mode:o}"))
    }

    /// Makes a settled file of a new tree share with all others of its content: it becomes the object, or the object takes
    /// its place. `spare` is a path on the same file system where nothing is.
    pub(crate) fn share(
        &self,
        file: &Path,
        digest: &Hash,
        mode: u32,
        size_bytes: u64,
        spare: &Path,
    ) -> Result<(), Error> {
        if self.sharing == Sharing::Copies {
            return Ok(());
        }
        let object = self.path(digest, mode);
        // Most files of a new package are new: then this is all there is to do.
        match self.name(file, &object, mode, spare) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // It has as many names as a file can have: the tree's own it is.
            Err(error) if error.kind() == io::ErrorKind::TooManyLinks => return Ok(()),
            named => return named.context("create", &object),
        }
        let found = fs::symlink_metadata(&object).context("read", &object)?;
        if is_settled(&found, mode, size_bytes) {
            return self.replace(file, &object, mode, spare);
        }
        // Somebody wrote to it: here is a good one.
        fs::remove_file(&object).context("replace", &object)?;
        self.name(file, &object, mode, spare)
            .context("create", &object)
    }

    /// Makes a file an object, if there is none of its content.
    fn name(&self, file: &Path, object: &Path, mode: u32, spare: &Path) -> io::Result<()> {
        let name = || match self.sharing {
            Sharing::HardLinks => fs::hard_link(file, object),
            _ if object.exists() => Err(io::ErrorKind::AlreadyExists.into()),
            _ => clone_settled(file, spare, mode).and_then(|()| fs::rename(spare, object)),
        };
        match name() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = object.parent() {
                    fs::create_dir_all(folder)?;
                }
                // Where a clone was made before it could not be renamed.
                let _ = fs::remove_file(spare);
                name()
            }
            named => named,
        }
    }

    /// Puts an object in the place of a tree's own file.
    pub(crate) fn replace(
        &self,
        file: &Path,
        object: &Path,
        mode: u32,
        spare: &Path,
    ) -> Result<(), Error> {
        if is_one_file(file, object) {
            return Ok(());
        }
        let second = match self.sharing {
            Sharing::HardLinks => match fs::hard_link(object, spare) {
                Err(error) if error.kind() == io::ErrorKind::TooManyLinks => return Ok(()),
                linked => linked,
            },
            _ => clone_settled(object, spare, mode),
        };
        second
            .and_then(|()| fs::rename(spare, file))
            .context("create", file)
    }

    /// All objects. What is no object is passed over.
    pub(crate) fn each(
        &self,
        mut with: impl FnMut(Object) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Ok(folders) = fs::read_dir(&self.folder) else {
            return Ok(());
        };
        for folder in folders.flatten() {
            let start = folder.file_name();
            let Ok(files) = fs::read_dir(folder.path()) else {
                continue;
            };
            for file in files.flatten() {
                let name = file.file_name();
                let parsed = start.to_str().zip(name.to_str()).and_then(parse_name);
                // One that is gone was removed meanwhile.
                if let (Some((digest, mode)), Ok(metadata)) = (parsed, file.metadata()) {
                    let path = file.path();
                    with(Object {
                        digest,
                        mode,
                        path,
                        metadata,
                    })?;
                }
            }
        }
        Ok(())
    }
}

fn parse_name((start, rest): (&str, &str)) -> Option<(Hash, u32)> {
    let (digits, mode) = rest.split_once('.')?;
    let digest = Hash::from_hex(format!("{start}{digits}")).ok()?;
    Some((digest, u32::from_str_radix(mode, 8).ok()?))
}

fn clone_settled(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    clone(from, to)?;
    settle(&File::options().write(true).open(to)?, mode)
}

pub(crate) fn is_one_file(one: &Path, other: &Path) -> bool {
    let id = |path| fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}
