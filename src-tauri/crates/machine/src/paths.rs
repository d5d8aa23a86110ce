//! Where a machine's files are.
//!
//! ```text
//! <machines>/<id>/                      <runtime>/<short>/         0700, lost at a restart of the computer
//!   machine.json   spec and state         qmp       held by the process that drives the machine
//!   lock           who drives it          control   a second QMP monitor: anybody, one at a time ...
//!   console.log    all the guest said     control.lock             ... who holds this
//!   qemu.log       all QEMU said          serial    the console's wire, for the driving process
//!   disk0.qcow2    overlay over disk 0    input     what that process passes on to the wire
//!   initramfs      Linux: initramfs and   vnc       the screen
//!                  command line         agent     Linux: changes to the running guest ...
//!   attached/      files attached while
//!                  it runs, linked
//!   history        what it did,         agent.lock             ... by whoever holds this
//!                  by minutes           memory    a snapshot's, on its way in or out
//!   snapshots/     module `snapshots`
//! ```

use std::fs::{self, DirBuilder};
use std::hash::Hasher;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::spec::SHARES_MAX;

/// `sizeof(sockaddr_un.sun_path)` on Linux, less the NUL (macOS has four bytes fewer).
const SOCKET_PATH_MAX_BYTES: usize = if cfg!(target_os = "macos") { 103 } else { 107 };
/// The longest of the names in [`Sockets`], with its slash.
const LONGEST_SOCKET_NAME: &str = "/control.lock";

/// What the names of files begin with that are written to be renamed when they are whole.
pub(crate) const UNFINISHED: &str = ".new-";

/// A machine's own folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MachineFolder(PathBuf);

impl MachineFolder {
    pub(crate) fn new(machines: &Path, id: &str) -> Self {
        Self(machines.join(id))
    }
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("machine.json")
    }
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
    pub(crate) fn console_log(&self) -> PathBuf {
        self.0.join("console.log")
    }
    pub(crate) fn qemu_log(&self) -> PathBuf {
        self.0.join("qemu.log")
    }
    pub(crate) fn overlay(&self, index: usize) -> PathBuf {
        self.0.join(format!("disk{index}.qcow2"))
    }
    pub(crate) fn history(&self) -> PathBuf {
        self.0.join("history")
    }
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.0.join("snapshots")
    }
    pub(crate) fn share_log(&self, index: usize) -> PathBuf {
        self.0.join(format!("share{index}.log"))
    }
    pub(crate) fn capture(&self, number: u32) -> PathBuf {
        self.attached().join(format!("capture-{number}.pcap"))
    }
    pub(crate) fn initramfs(&self) -> PathBuf {
        self.0.join("initramfs")
    }
    /// What is attached while it runs, linked there: a folder of files that QEMU may open.
    pub(crate) fn attached(&self) -> PathBuf {
        self.0.join("attached")
    }

    /// Whether a file of this name is one that was being made when its maker was killed.
    pub(crate) fn is_unfinished(name: &str) -> bool {
        name.starts_with(UNFINISHED)
    }
}

/// The sockets of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sockets(PathBuf);

impl Sockets {
    /// The sockets of machine `id` below `runtime`, under a name that is short whatever the id is.
    pub(crate) fn of(runtime: &Path, id: &str) -> Result<Self> {
        let sockets = Self(runtime.join(short_hash(id.as_bytes())));
        let longest = sockets.0.as_os_str().len() + LONGEST_SOCKET_NAME.len();
        if longest > SOCKET_PATH_MAX_BYTES {
            return Err(Error::SocketPathTooLong {
                path: sockets.0,
                length: longest,
                max: SOCKET_PATH_MAX_BYTES,
            });
        }
        Ok(sockets)
    }
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
    pub(crate) fn qmp(&self) -> PathBuf {
        self.0.join("qmp")
    }
    pub(crate) fn control(&self) -> PathBuf {
        self.0.join("control")
    }
    pub(crate) fn control_lock(&self) -> PathBuf {
        self.0.join("control.lock")
    }
    pub(crate) fn serial(&self) -> PathBuf {
        self.0.join("serial")
    }
    pub(crate) fn input(&self) -> PathBuf {
        self.0.join("input")
    }
    pub(crate) fn vnc(&self) -> PathBuf {
        self.0.join("vnc")
    }
    /// A picture of the screen; QEMU makes files here alone.
    pub(crate) fn screenshot(&self, unique: u64) -> PathBuf {
        let process = std::process::id();
        self.0
            .join(format!("{UNFINISHED}screenshot-{process}-{unique}.png"))
    }
    pub(crate) fn agent(&self) -> PathBuf {
        self.0.join("agent")
    }
    pub(crate) fn agent_lock(&self) -> PathBuf {
        self.0.join("agent.lock")
    }

    pub(crate) fn share(&self, index: usize) -> PathBuf {
        self.0.join(format!("fs{index}"))
    }
    pub(crate) fn memory(&self) -> PathBuf {
        self.0.join("memory")
    }

    /// Makes the folder anew: sockets of an earlier run are of no use.
    pub(crate) fn prepare(&self) -> Result<()> {
        self.remove();
        private_folder(&self.0)
    }

    /// Removes the sockets, as far as they are there. Nothing else: where they are comes from a file.
    pub(crate) fn remove(&self) {
        let all = [
            self.qmp(),
            self.control(),
            self.control_lock(),
            self.serial(),
            self.input(),
            self.vnc(),
            self.agent(),
            self.agent_lock(),
            self.memory(),
        ];
        let unfinished = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let unfinished = unfinished
            .filter(|entry| MachineFolder::is_unfinished(&entry.file_name().to_string_lossy()))
            .map(|entry| entry.path());
        let shares = (0..SHARES_MAX).flat_map(|index| {
            let socket = self.share(index);
            // Some virtiofsd leave their process id beside.
            let beside = self.0.join(format!("fs{index}.pid"));
            [socket, beside]
        });
        for socket in all.into_iter().chain(unfinished).chain(shares) {
            let _not_there = fs::remove_file(socket);
        }
        if let Err(error) = fs::remove_dir(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "sockets are left over");
        }
    }
}

/// Where the sockets of the machines below `home` go: a folder that only the user can enter, with a short path.
///
/// That is a folder of the login session's own (`XDG_RUNTIME_DIR`), named after `home` so that two homes never meet;
/// without such a session it is `home` itself, or, where that path is too long for sockets, a folder in `/tmp`.
pub fn runtime_folder(home: &Path) -> PathBuf {
    let name = short_hash(home.as_os_str().as_bytes());
    let fits = |runtime: &PathBuf| Sockets::of(runtime, "").is_ok();
    let session = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute() && folder.is_dir())
        .map(|folder| folder.join("windlass").join(&name));
    session
        .filter(fits)
        .or_else(|| Some(home.join("run")).filter(fits))
        .unwrap_or_else(|| {
            let user = rustix::process::getuid().as_raw();
            PathBuf::from(format!("/tmp/windlass-{user}")).join(name)
        })
}

/// Makes a folder that only the user can enter, or checks that it is one: whoever can enter it can command QEMU.
pub(crate) fn private_folder(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::io("make the folder", path))?;
    let metadata = fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
    let user = rustix::process::getuid().as_raw();
    // Whoever owns the folder above could put another one in this one's place.
    let above = path.parent().and_then(|parent| fs::metadata(parent).ok());
    let safe_above = above.is_none_or(|parent| [0, user].contains(&parent.uid()));
    let ours = metadata.is_dir() && metadata.uid() == user && safe_above;
    if !ours {
        let refusal = std::io::Error::new(
            std::io::ErrorKind::PermissionDenied,
            "it belongs to somebody else, who could command the machines",
        );
        return Err(Error::io("use the folder", path)(refusal));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(Error::io("close to others the folder", path))?;
    }
    Ok(())
}

/// Twelve hexadecimal digits that stay the same from release to release (FNV-1a, 64 bits folded to 48). Not a defence
/// against anybody: ids and homes are the user's own.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(bytes);
    let hash = hasher.finish();
    format!("{:012x}", (hash ^ (hash >> 48)) & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_names_stay_the_same_from_release_to_release() {
        assert_eq!(short_hash(b"hello-1"), short_hash(b"hello-1"));
        insta::assert_snapshot!(short_hash(b"hello-1"), @"5db77b5d930c");
        insta::assert_snapshot!(short_hash(b""), @"9ce48422e8d7");
    }

    #[test]
    fn a_runtime_folder_that_leaves_no_room_for_sockets_is_refused() {
        let error = Sockets::of(Path::new(&format!("/{}", "long/".repeat(20))), "a").unwrap_err();
        assert!(
            matches!(
                error,
                Error::SocketPathTooLong {
                    length: 126,
                    max: 107,
                    ..
                }
            ),
            "{error:?}"
        );
    }

    #[test]
    fn only_sockets_are_removed_wherever_a_record_says_that_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let sockets = Sockets::at(folder.path().to_owned());
        fs::write(sockets.qmp(), b"").unwrap();
        fs::write(folder.path().join("letter"), b"dear").unwrap();
        sockets.remove();
        assert!(!sockets.qmp().exists());
        assert!(folder.path().join("letter").exists());
        fs::remove_file(folder.path().join("letter")).unwrap();
        sockets.remove();
        assert!(!folder.path().exists());
    }

    #[test]
    fn a_runtime_folder_that_others_could_enter_is_closed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("run");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        private_folder(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }
}
