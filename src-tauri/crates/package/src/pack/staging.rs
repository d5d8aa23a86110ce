//! A folder in the making: filled beside its destination, and put there whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use tempfile::TempDir;

use crate::error::IoContext;
use crate::watch::advance;
use crate::{Error, Watch};

/// So much is copied before whoever waits hears of it. The kernel copies, where it can by sharing.
const COPY_BYTES: u64 = 8 << 20;

/// A folder in the making. Dropped before it is put in place, it disappears.
#[derive(Debug)]
pub(crate) struct Staging {
    temporary: TempDir,
    content: PathBuf,
    destination: PathBuf,
    /// The folder that something was put in last, which is there.
    last_parent: PathBuf,
    pub file_count: u64,
    pub size_bytes: u64,
}

impl Staging {
    /// Begins a folder that will be `destination`, whose parent is made where it is missing.
    pub fn begin(destination: &Path) -> Result<Self, Error> {
        let destination = std::path::absolute(destination).context("find", destination)?;
        let parent = destination.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(parent).context("create", parent)?;
        let temporary = tempfile::Builder::new()
            .prefix(".windlass-")
            .tempdir_in(parent)
            .context("create a folder in", parent)?;
        let content = temporary.path().join("content");
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&content)
            .context("create", &content)?;
        Ok(Self {
            temporary,
            content,
            destination,
            last_parent: PathBuf::new(),
            file_count: 0,
            size_bytes: 0,
        })
    }

    /// The folder, for now.
    pub fn root(&self) -> &Path {
        &self.content
    }

    /// Where a path of the guest is, its parents made.
    fn prepare(&mut self, guest: &Path) -> Result<PathBuf, Error> {
        let mut path = self.content.clone();
        for component in guest.components() {
            if let Component::Normal(name) = component {
                path.push(name);
            }
        }
        let parent = path.parent().unwrap_or(&self.content);
        if parent != self.last_parent {
            fs::create_dir_all(parent).context("create", parent)?;
            self.last_parent = parent.to_path_buf();
        }
        Ok(path)
    }

    pub fn directory(&mut self, guest: &Path) -> Result<(), Error> {
        let path = self.prepare(guest)?;
        fs::create_dir_all(&path).context("create", &path)
    }

    pub fn link(&mut self, guest: &Path, target: &Path) -> Result<(), Error> {
        let path = self.prepare(guest)?;
        symlink(target, &path).context("create", &path)?;
        self.file_count += 1;
        Ok(())
    }

    pub fn write(&mut self, guest: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        let path = self.prepare(guest)?;
        create(&path, mode)
            .and_then(|mut file| file.write_all(content))
            .context("write", &path)?;
        self.file_count += 1;
        self.size_bytes += content.len() as u64;
        Ok(())
    }

    /// A new file, to be written by the caller, who also counts its bytes.
    pub fn create(&mut self, guest: &Path, mode: u32) -> Result<(PathBuf, File), Error> {
        let path = self.prepare(guest)?;
        let file = create(&path, mode).context("write", &path)?;
        self.file_count += 1;
        Ok((path, file))
    }

    /// Makes this folder of the content all of it.
    pub fn descend(&mut self, guest: &Path) -> Result<(), Error> {
        let inner = self.content.join(guest);
        let lifted = self.temporary.path().join("lifted");
        fs::rename(&inner, &lifted).context("rename", &inner)?;
        self.content = lifted;
        self.last_parent = PathBuf::new();
        Ok(())
    }

    /// Copies a file of this computer.
    pub fn copy(
        &mut self,
        host: &Path,
        guest: &Path,
        mode: u32,
        watch: &mut dyn Watch,
    ) -> Result<(), Error> {
        let input = File::open(host).context("read", host)?;
        let metadata = input.metadata().context("read", host)?;
        if !metadata.is_file() {
            return Err(Error::Unsuitable {
                path: host.to_path_buf(),
                found: "is not a regular file any more".into(),
                remedy: "Leave it alone while it is packed, and try again.".into(),
            });
        }
        let path = self.prepare(guest)?;
        let mut output = create(&path, mode).context("write", &path)?;
        let copied = copy_stream(&input, &mut output, &path, watch)?;
        self.file_count += 1;
        self.size_bytes += copied;
        Ok(())
    }

    /// Puts the folder in place. One that is there is replaced when `replace` says so.
    pub fn finish(self, replace: bool) -> Result<PathBuf, Error> {
        let root = File::open(&self.content).context("read", &self.content)?;
        rustix::fs::syncfs(&root)
            .map_err(io::Error::from)
            .context("save", &self.content)?;
        let destination = &self.destination;
        let flags = if replace && fs::symlink_metadata(destination).is_ok() {
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::NOREPLACE
        };
        match rustix::fs::renameat_with(CWD, &self.content, CWD, destination, flags) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => {
                return Err(Error::AlreadyThere {
                    path: destination.clone(),
                });
            }
            // File systems that know neither way of renaming (some network ones).
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                self.rename_in_steps(replace)?;
            }
            Err(error) => return Err(io::Error::from(error)).context("put in place", destination),
        }
        if let Some(parent) = destination.parent() {
            File::open(parent)
                .and_then(|parent| parent.sync_all())
                .context("save", parent)?;
        }
        // What was there before is in the temporary folder now, and goes with it.
        self.temporary
            .close()
            .context("clear up beside", destination)?;
        Ok(self.destination)
    }

    fn rename_in_steps(&self, replace: bool) -> Result<(), Error> {
        let destination = &self.destination;
        if fs::symlink_metadata(destination).is_ok() {
            if !replace {
                return Err(Error::AlreadyThere {
                    path: destination.clone(),
                });
            }
            let aside = self.temporary.path().join("before");
            fs::rename(destination, &aside).context("put aside", destination)?;
        }
        fs::rename(&self.content, destination).context("put in place", destination)
    }
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    // Whatever the umask of whoever packs: the same input gives the same package.
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

/// Copies, with progress and cancellation; returns the number of bytes.
fn copy_stream(
    input: &File,
    output: &mut File,
    to: &Path,
    watch: &mut dyn Watch,
) -> Result<u64, Error> {
    let mut copied = 0;
    loop {
        let count = io::copy(&mut input.take(COPY_BYTES), output).context("copy to", to)?;
        if count == 0 {
            return Ok(copied);
        }
        copied += count;
        advance(watch, count)?;
    }
}
