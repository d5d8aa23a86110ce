//! Files of the guest, looked at and changed.
//!
//! A file is written beside its place and renamed when all of it is there and its digest is what was announced: a program
//! that has the old one open goes on with that one, and whoever opens it next has the new one whole.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{disks, inspect};
use rustix::io::Errno;
use windlass_guest::agent::{Answer, Digest, Refusal, Request, Seen, SeenKind};

/// What a file is called until all of it is there. There is one at a time.
const UNFINISHED: &str = ".windlass-unfinished";

pub(super) const PERMISSIONS: u32 = 0o7777;

/// The files below a root.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    coming: Option<Coming>,
}

/// The file that comes.
#[derive(Debug)]
struct Coming {
    place: PathBuf,
    beside: PathBuf,
    mode: u32,
    size_bytes: u64,
    digest: Digest,
    written_bytes: u64,
    hasher: blake3::Hasher,
    /// The file, or what went wrong: that is told at its end.
    file: Result<File, (Refusal, String)>,
}

type Refused = (Refusal, String);

impl Files {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, coming: None }
    }

    /// Forgets a file of which not all has come.
    pub(super) fn forget(&mut self) {
        if let Some(coming) = self.coming.take() {
            let _ = fs::remove_file(coming.beside);
        }
    }

    /// Takes the next bytes of the file that comes.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let Some(coming) = &mut self.coming else {
            return;
        };
        coming.written_bytes += bytes.len() as u64;
        // Whatever comes beyond the announced size is not kept.
        if coming.written_bytes > coming.size_bytes {
            return;
        }
        coming.hasher.update(bytes);
        if let Ok(file) = &mut coming.file
            && let Err(error) = file.write_all(bytes)
        {
            coming.file = Err(refused("cannot write", &coming.place, &error));
        }
    }

    /// Does what does not concern the commands.
    pub(super) fn answer(&mut self, request: Request) -> Answer {
        let done = match request {
            Request::Look {
                paths,
                with_digests,
            } => {
                let look = |path: &Vec<u8>| self.look(path, with_digests);
                return Answer::Looked {
                    entries: paths.iter().map(look).collect(),
                };
            }
            Request::List { path, after } => {
                return told(inspect::list(&self.place(&path), &after));
            }
            Request::Read {
                path,
                offset,
                length,
            } => return told(inspect::read(&self.place(&path), offset, length)),
            Request::Processes { after } => {
                return told(inspect::processes(&self.place(b"/proc"), after));
            }
            Request::KernelLog { from } => return told(inspect::kernel_log(from)),
            Request::WriteEnd => self.end(),
            Request::MakeDirectory { path, mode } => self.make_directory(&path, mode),
            Request::MakeSymlink { path, target } => self.make_symlink(&path, &target),
            Request::SetMode { path, mode } => {
                let place = self.place(&path);
                set_mode(&place, mode)
            }
            Request::Remove { path } => self.remove(&path),
            Request::Mount { serial, kind, path } => {
                disks::mount(&serial, &kind, &self.place(&path))
            }
            Request::Unmount { path } => disks::unmount(&self.place(&path)),
            Request::Sync => {
                rustix::fs::sync();
                Ok(())
            }
            Request::Hello { .. }
            | Request::WriteBegin { .. }
            | Request::WriteData { .. }
            | Request::Restart { .. }
            | Request::Run { .. }
            | Request::Input { .. }
            | Request::InputEnd => Err((Refusal::Invalid, "this is answered elsewhere".to_owned())),
        };
        told(done.map(|()| Answer::Done))
    }

    fn place(&self, path: &[u8]) -> PathBuf {
        let relative = path.strip_prefix(b"/").unwrap_or(path);
        self.root.join(OsStr::from_bytes(relative))
    }

    fn look(&self, path: &[u8], with_digests: bool) -> Option<Seen> {
        let place = self.place(path);
        let metadata = place.symlink_metadata().ok()?;
        let (kind, digest) = if metadata.is_dir() {
            (SeenKind::Directory, None)
        } else if metadata.is_symlink() {
            let target = fs::read_link(&place).ok()?;
            let digest = blake3::hash(target.as_os_str().as_bytes());
            (SeenKind::Symlink, Some(*digest.as_bytes()))
        } else if metadata.is_file() {
            let digest = with_digests.then(|| digest_of(&place)).and_then(Result::ok);
            (SeenKind::File, digest)
        } else {
            (SeenKind::Special, None)
        };
        Some(Seen {
            kind,
            mode: metadata.mode() & PERMISSIONS,
            size_bytes: metadata.len(),
            digest,
        })
    }

    /// Makes room for a file. What goes wrong until its end is told then.
    pub(super) fn begin(&mut self, path: &[u8], mode: u32, size_bytes: u64, digest: Digest) {
        self.forget();
        let place = self.place(path);
        let folder = place.parent().unwrap_or(&self.root);
        let beside = folder.join(UNFINISHED);
        let file = create(folder, &beside).map_err(|error| refused("cannot write", &place, &error));
        self.coming = Some(Coming {
            place,
            beside,
            mode,
            size_bytes,
            digest,
            written_bytes: 0,
            hasher: blake3::Hasher::new(),
            file,
        });
    }

    fn end(&mut self) -> Result<(), Refused> {
        let Some(coming) = self.coming.take() else {
            return Err((Refusal::Invalid, "no file has begun".to_owned()));
        };
        let beside = coming.beside.clone();
        coming.finish().inspect_err(|_| {
            let _ = fs::remove_file(beside);
        })
    }

    fn make_directory(&self, path: &[u8], mode: u32) -> Result<(), Refused> {
        let place = self.place(path);
        match place.symlink_metadata() {
            // A link to a directory does as well.
            Ok(metadata) if metadata.is_dir() || place.is_dir() => {}
            Ok(_) => {
                fs::remove_file(&place)
                    .map_err(|error| refused("cannot remove", &place, &error))?;
            }
            Err(_) => {}
        }
        fs::create_dir_all(&place).map_err(|error| refused("cannot make", &place, &error))?;
        set_mode(&place, mode)
    }

    fn make_symlink(&self, path: &[u8], target: &[u8]) -> Result<(), Refused> {
        let place = self.place(path);
        let folder = place.parent().unwrap_or(&self.root);
        let beside = folder.join(UNFINISHED);
        let made = fs::create_dir_all(folder).and_then(|()| {
            remove_if_there(&beside)?;
            symlink(OsStr::from_bytes(target), &beside)?;
            fs::rename(&beside, &place)
        });
        made.map_err(|error| {
            let _ = fs::remove_file(&beside);
            refused("cannot make", &place, &error)
        })
    }

    fn remove(&self, path: &[u8]) -> Result<(), Refused> {
        let place = self.place(path);
        let result = match place.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir(&place),
            Ok(_) => fs::remove_file(&place),
            Err(error) => Err(error),
        };
        match result {
            // What is not there, or cannot be there, is gone.
            Err(error) if is_absent(&error) => Ok(()),
            result => result.map_err(|error| refused("cannot remove", &place, &error)),
        }
    }
}

impl Coming {
    fn finish(mut self) -> Result<(), Refused> {
        let file = self.file?;
        let damaged = |what: String| {
            (
                Refusal::Damaged,
                format!("{}: {what}", self.place.display()),
            )
        };
        if self.written_bytes != self.size_bytes {
            let (came, size) = (self.written_bytes, self.size_bytes);
            return Err(damaged(format!("{came} bytes came instead of {size}")));
        }
        if *self.hasher.finalize().as_bytes() != self.digest {
            return Err(damaged("its content came with another digest".to_owned()));
        }
        self.hasher.reset();
        let placed = file
            .set_permissions(Permissions::from_mode(self.mode & PERMISSIONS))
            .and_then(|()| fs::rename(&self.beside, &self.place));
        placed.map_err(|error| refused("cannot write", &self.place, &error))
    }
}

fn told(answer: Result<Answer, Refused>) -> Answer {
    answer.unwrap_or_else(|(reason, message)| Answer::Refused { reason, message })
}

fn create(folder: &Path, beside: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    remove_if_there(beside)?;
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn set_mode(place: &Path, mode: u32) -> Result<(), Refused> {
    let has_it = |metadata: &Metadata| metadata.mode() & PERMISSIONS == mode;
    if place.metadata().is_ok_and(|metadata| has_it(&metadata)) {
        return Ok(());
    }
    fs::set_permissions(place, Permissions::from_mode(mode & PERMISSIONS))
        .map_err(|error| refused("cannot change the mode of", place, &error))
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(*hasher.finalize().as_bytes())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

pub(super) fn refused(what: &str, place: &Path, error: &io::Error) -> Refused {
    let reason = match Errno::from_io_error(error) {
        Some(Errno::ROFS) => Refusal::ReadOnly,
        Some(Errno::NOSPC | Errno::DQUOT) => Refusal::NoSpace,
        Some(Errno::NOTEMPTY | Errno::EXIST) => Refusal::NotEmpty,
        _ => Refusal::Other,
    };
    (reason, format!("{what} {}: {error}", place.display()))
}
