//! A patch is applied whole or not at all, whenever the computer or the program stops.
//!
//! ```text
//!   image           free space written ─┐
//!   NAME.x.new      companions written ─┼─ synced ─> .NAME.journal renamed to its name: from here on the new image
//!   .NAME.journal~  patch written ──────┘             ├ patch applied, image synced
//!                                                     ├ companions renamed
//!                                                     └ journal removed
//! ```
//!
//! Stopped before the rename, the image is the old one. Stopped behind it, [`recover`] does what is left, as often as
//! it takes: a write of the same bytes to the same place can be repeated. The journal belongs to one file, told by its
//! inode: should another image have taken its name meanwhile, the journal is dropped.
//!
//! ```text
//! "windlass journal 1\n" | u64 inode, size, modified in ns | u16 companions (u16 length, suffix)*
//!                        | u32 writes (u64 offset, u32 length, bytes)* | BLAKE3 of all before, 32 bytes
//! ```
//! All numbers are little-endian. Companions are files beside the image that become its own with the patch: of suffix
//! `files.json`, `NAME.files.json.new` becomes `NAME.files.json`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::update::Patch;

const MAGIC: &[u8] = b"windlass journal 1\n";
const DIGEST_BYTES: usize = 32;
/// Metadata of a few hundred thousand files; a larger journal is none of ours.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;
const SUFFIX_BYTES_MAX: usize = 64;

const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Where an image's journal is: `.NAME.journal` beside it.
pub fn path_of(image: &Path) -> PathBuf {
    let name = image.file_name().unwrap_or_default();
    let mut journal = std::ffi::OsString::from(".");
    journal.push(name);
    journal.push(".journal");
    image.with_file_name(journal)
}

/// A file beside an image: `NAME.SUFFIX`.
pub fn companion(image: &Path, suffix: &str) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Where a companion waits until the patch is applied: `NAME.SUFFIX.new`.
pub fn waiting(image: &Path, suffix: &str) -> PathBuf {
    companion(image, &format!("{suffix}.new"))
}

/// What a journal holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Journal {
    inode: u64,
    modified: SystemTime,
    patch: Patch,
    companions: Vec<String>,
}

/// Applies a patch to an image whose free space is written. `file` is the image, open for writing and locked by the caller; the
/// companions wait under their names. All of it is synced here. In the end the image was modified at `modified`, so that
/// a companion can tell whether it still belongs to it.
///
/// # Errors
/// Where the system refuses. If the journal had its name by then, [`recover`] goes on.
pub fn commit(
    image: &Path,
    file: &File,
    patch: &Patch,
    companions: &[&str],
    modified: SystemTime,
) -> io::Result<()> {
    let metadata = file.metadata()?;
    let journal = Journal {
        inode: metadata.ino(),
        modified,
        patch: patch.clone(),
        companions: companions.iter().map(|&suffix| suffix.to_owned()).collect(),
    };
    let (name, folder) = (path_of(image), folder_of(image));
    let draft = draft_of(image);
    let result = prepare(image, file, &journal, &draft).and_then(|()| {
        fs::rename(&draft, &name)?;
        File::open(folder)?.sync_all()
    });
    if let Err(error) = result {
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    apply(image, file, &journal)
}

/// Takes the room for what will be written to holes of the image and behind its end, as long as there is a way back: on a disk
/// that is full, a patch must not end in the middle. File systems that cannot do that find out later, and [`recover`] goes on.
#[cfg(target_os = "linux")]
fn take_room(image: &File, patch: &Patch) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
    use rustix::io::Errno;
    for (&at, bytes) in &patch.writes {
        let (mut from, end) = (at, at + bytes.len() as u64);
        while from < end {
            // Up to the next data there is a hole; where none can be told, all is data.
            let data = match seek(image, SeekFrom::Data(from)) {
                Ok(data) => data.clamp(from, end),
                Err(Errno::NXIO) => end,
                Err(_) => break,
            };
            if data > from {
                match fallocate(image, FallocateFlags::KEEP_SIZE, from, data - from) {
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
                    result => result?,
                }
            }
            from = match seek(image, SeekFrom::Hole(data)) {
                Ok(hole) if hole > data => hole,
                _ => end,
            };
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn take_room(_image: &File, _patch: &Patch) -> io::Result<()> {
    Ok(())
}

/// Writes the journal, and syncs everything that it rests on, side by side.
fn prepare(path: &Path, image: &File, journal: &Journal, draft: &Path) -> io::Result<()> {
    take_room(image, &journal.patch)?;
    std::thread::scope(|scope| {
        let mut syncs = vec![scope.spawn(|| image.sync_data())];
        for suffix in &journal.companions {
            let waiting = waiting(path, suffix);
            syncs.push(scope.spawn(move || File::open(waiting)?.sync_all()));
        }
        let mut file = File::create(draft)?;
        file.write_all(&journal.to_bytes())?;
        file.sync_all()?;
        for sync in syncs {
            sync.join()
                .map_err(|_| io::Error::other("a sync ended early"))??;
        }
        Ok(())
    })
}

/// Locks an image against others who update it; `false` where one of them does.
///
/// A program that is just being started has all that we have open, for a moment; so it is tried for a while.
///
/// # Errors
/// Where the system refuses.
pub fn lock(file: &File) -> io::Result<bool> {
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Removes what an update left that was stopped before it was committed: by who has locked the image, or has put
/// another in its place.
pub fn forget(image: &Path, companions: &[&str]) {
    let _ = fs::remove_file(draft_of(image));
    for suffix in companions {
        let _ = fs::remove_file(waiting(image, suffix));
    }
}

fn draft_of(image: &Path) -> PathBuf {
    let mut draft = path_of(image).into_os_string();
    draft.push("~");
    PathBuf::from(draft)
}

/// Finishes an update that was interrupted, if there is one, and says whether there was. An image that somebody else is
/// updating at this moment is left to them.
///
/// # Errors
/// Where the system refuses.
pub fn recover(path: &Path) -> io::Result<bool> {
    let name = path_of(path);
    // Most of the time there is nothing.
    if fs::symlink_metadata(&name).is_err() {
        return Ok(false);
    }
    let image = OpenOptions::new().read(true).write(true).open(path)?;
    if !lock(&image)? {
        return Ok(false);
    }
    let bytes = match fs::metadata(&name) {
        Ok(metadata) if metadata.len() <= JOURNAL_BYTES_MAX => fs::read(&name)?,
        Ok(_) => Vec::new(),
        // Finished while we waited.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let inode = image.metadata()?.ino();
    match Journal::from_bytes(&bytes) {
        Some(journal) if journal.inode == inode => {
            apply(path, &image, &journal)?;
            Ok(true)
        }
        _ => {
            fs::remove_file(&name)?;
            Ok(false)
        }
    }
}

fn apply(path: &Path, image: &File, journal: &Journal) -> io::Result<()> {
    for (&at, bytes) in &journal.patch.writes {
        image.write_all_at(bytes, at)?;
    }
    image.set_len(journal.patch.size_bytes)?;
    image.set_modified(journal.modified)?;
    image.sync_data()?;
    for suffix in &journal.companions {
        match fs::rename(waiting(path, suffix), companion(path, suffix)) {
            // It has been renamed before.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // The new names have to be there before the journal is not.
    File::open(folder_of(path))?.sync_all()?;
    fs::remove_file(path_of(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

impl Journal {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let modified = self.modified.duration_since(UNIX_EPOCH);
        let modified = u64::try_from(modified.unwrap_or_default().as_nanos()).unwrap_or(0);
        for number in [self.inode, self.patch.size_bytes, modified] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(u16_of(self.companions.len()));
        for suffix in &self.companions {
            bytes.extend(u16_of(suffix.len()));
            bytes.extend(suffix.as_bytes());
        }
        bytes.extend(u32_of(self.patch.writes.len()));
        for (at, write) in &self.patch.writes {
            bytes.extend(at.to_le_bytes());
            bytes.extend(u32_of(write.len()));
            bytes.extend(write);
        }
        bytes.extend(blake3::hash(&bytes).as_bytes());
        bytes
    }

    /// `None` for what is cut off, damaged, or no journal.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (bytes, digest) = bytes.split_last_chunk::<DIGEST_BYTES>()?;
        if blake3::hash(bytes) != *digest {
            return None;
        }
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let (inode, size_bytes) = (u64_in(&mut rest)?, u64_in(&mut rest)?);
        let modified = UNIX_EPOCH + Duration::from_nanos(u64_in(&mut rest)?);
        let mut companions = Vec::new();
        for _ in 0..u16_in(&mut rest)? {
            let length = usize::from(u16_in(&mut rest)?);
            let suffix = str::from_utf8(rest.split_off(..length)?).ok()?;
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
            if length > SUFFIX_BYTES_MAX || !suffix.bytes().all(is_plain) {
                return None;
            }
            companions.push(suffix.to_owned());
        }
        let mut patch = Patch {
            size_bytes,
            ..Patch::default()
        };
        for _ in 0..u32_in(&mut rest)? {
            let at = u64_in(&mut rest)?;
            let length = usize::try_from(u32_in(&mut rest)?).ok()?;
            patch.writes.insert(at, rest.split_off(..length)?.to_vec());
        }
        rest.is_empty().then_some(Self {
            inode,
            modified,
            patch,
            companions,
        })
    }
}

fn u16_of(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes()
}

fn u32_of(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

fn u16_in(rest: &mut &[u8]) -> Option<u16> {
    let (field, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(u16::from_le_bytes(*field))
}

fn u32_in(rest: &mut &[u8]) -> Option<u32> {
    let (field, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(u32::from_le_bytes(*field))
}

fn u64_in(rest: &mut &[u8]) -> Option<u64> {
    let (field, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(u64::from_le_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch() -> Patch {
        let writes = [(0, b"new".to_vec()), (10, b"end".to_vec())];
        Patch {
            writes: writes.into(),
            size_bytes: 13,
            written: Vec::new(),
        }
    }

    fn image(folder: &Path) -> (PathBuf, File) {
        let path = folder.join("disk.img");
        fs::write(&path, b"old old").unwrap();
        fs::write(companion(&path, "files.json"), "old").unwrap();
        fs::write(waiting(&path, "files.json"), "new").unwrap();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        (path, file)
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_patch_is_applied_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = image(folder.path());
        commit(&path, &file, &patch(), &["files.json"], UNIX_EPOCH).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new old\0\0\0end");
        assert_eq!(fs::read(companion(&path, "files.json")).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["disk.img", "disk.img.files.json"]);
        assert!(!recover(&path).unwrap());
    }

    /// A patch fills holes: on a full disk it is refused before anything of it is written.
    #[test]
    fn on_a_full_disk_a_patch_is_refused_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "windlass-test"])
            .arg(folder.path())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: only root can mount a small file system");
            return;
        }
        let (disk, file) = image(folder.path());
        file.set_len(100 << 20).unwrap();
        let before = fs::read(&disk).unwrap();
        let writes = [(0, b"new".to_vec()), (50 << 20, vec![1; 200 << 10])];
        let patch = Patch {
            writes: writes.into(),
            size_bytes: 100 << 20,
            written: Vec::new(),
        };
        // Room for the journal, and not for what it says.
        let free = rustix::fs::statvfs(folder.path()).unwrap();
        let free = usize::try_from(free.f_bavail * free.f_frsize).unwrap();
        let filler = folder.path().join("filler");
        fs::write(&filler, vec![0; free - (300 << 10)]).unwrap();
        let refused = commit(&disk, &file, &patch, &["files.json"], UNIX_EPOCH);
        let is_as_before = fs::read(&disk).unwrap() == before && !path_of(&disk).exists();
        fs::remove_file(&filler).unwrap();
        let done = commit(&disk, &file, &patch, &["files.json"], UNIX_EPOCH);
        let after = fs::read(&disk).unwrap();
        drop(file);
        let unmounted = std::process::Command::new("umount")
            .arg(folder.path())
            .status();
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(is_as_before);
        done.unwrap();
        assert!(after.starts_with(b"new") && after[50 << 20] == 1);
        assert!(unmounted.unwrap().success());
    }

    #[test]
    fn a_journal_that_has_its_name_is_finished_and_a_torn_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = image(folder.path());
        let inode = file.metadata().unwrap().ino();
        let journal = Journal {
            inode,
            modified: UNIX_EPOCH,
            patch: patch(),
            companions: vec!["files.json".to_owned()],
        };
        let bytes = journal.to_bytes();
        assert_eq!(Journal::from_bytes(&bytes), Some(journal.clone()));
        for cut in 0..bytes.len() {
            assert_eq!(Journal::from_bytes(&bytes[..cut]), None);
        }
        fs::write(path_of(&path), &bytes[..bytes.len() - 1]).unwrap();
        assert!(!recover(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"old old");

        // Stopped anywhere behind the commit, the same comes out; here behind the first write.
        fs::write(path_of(&path), &bytes).unwrap();
        file.write_all_at(b"new", 0).unwrap();
        assert!(recover(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"new old\0\0\0end");
        assert_eq!(names(folder.path()), ["disk.img", "disk.img.files.json"]);

        // Another image has taken the name.
        fs::write(
            path_of(&path),
            Journal {
                inode: inode + 1,
                ..journal
            }
            .to_bytes(),
        )
        .unwrap();
        fs::write(&path, b"another").unwrap();
        assert!(!recover(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"another");
    }
}
