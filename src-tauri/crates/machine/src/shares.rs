//! Folders of this computer that a guest sees, by virtiofs: a `virtiofsd` for each, which ends with QEMU.
//!
//! ```text
//!   guest ── virtiofs, a tag ── QEMU ── <sockets>/fs0 ── virtiofsd ── the folder
//! ```
//!
//! QEMU itself opens nothing of the folder. The guest's memory is shared with `virtiofsd`, so a machine with shares has memory
//! of that kind. There are two programs of the name: QEMU's own, up to 7.2, which only root can run, and its successor.
//!
//! A folder that is only to be read is so for `virtiofsd` already, whatever the guest does: a new one has an option for it; any
//! other is started where the folder is mounted read-only, in a mount namespace of its own. There is no 9p beside that: neither
//! OSv nor the cloud kernels of Debian, which are our Linux guests, know it.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command as Question, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::error::{Error, Result};
use crate::paths::{MachineFolder, Sockets};
use crate::spec::{MachineSpec, SHARES_MAX};

/// Where distributions put it; it is seldom in the PATH.
const PLACES: [&str; 5] = [
    "/usr/libexec/virtiofsd",
    "/usr/lib/virtiofsd",
    "/usr/lib/qemu/virtiofsd",
    "/usr/bin/virtiofsd",
    "/usr/local/libexec/virtiofsd",
];
const START_TIMEOUT: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Starts a program that sees a folder read-only: in namespaces of its own, which a user may make as well as root may.
const READ_ONLY: &str =
    r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@""#;

/// A folder of this computer that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Share {
    /// The folder: an absolute path.
    pub folder: PathBuf,
    /// Whether the guest may only read it.
    pub read_only: bool,
}

/// As a machine's record has it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    Writable(PathBuf),
    ReadOnly { read_only: PathBuf },
}

impl From<Kept> for Share {
    fn from(kept: Kept) -> Self {
        let (folder, read_only) = match kept {
            Kept::Writable(folder) => (folder, false),
            Kept::ReadOnly { read_only } => (read_only, true),
        };
        Self { folder, read_only }
    }
}

impl From<Share> for Kept {
    fn from(Share { folder, read_only }: Share) -> Self {
        if read_only {
            Self::ReadOnly { read_only: folder }
        } else {
            Self::Writable(folder)
        }
    }
}

/// A program that shares folders.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Virtiofsd {
    path: PathBuf,
    /// QEMU's own, with other options.
    is_of_qemu: bool,
    /// Whether it can be told to let a folder only be read.
    knows_read_only: bool,
}

/// Checks what a machine says of its shares.
pub(crate) fn validate(spec: &MachineSpec) -> Result<()> {
    let refuse = |problem: String| Error::Spec {
        field: "shares",
        problem,
    };
    if spec.shares.len() > SHARES_MAX {
        return Err(refuse(format!("{SHARES_MAX} folders at most")));
    }
    let mut folders = spec.shares.iter().map(|share| &share.folder);
    match folders.find(|folder| !folder.is_absolute()) {
        Some(folder) => Err(refuse(format!(
            "{} is not an absolute path",
            folder.display()
        ))),
        None => Ok(()),
    }
}

/// Starts what shares a machine's folders, and waits until it can be connected to.
pub(crate) async fn start(
    spec: &MachineSpec,
    folder: &MachineFolder,
    sockets: &Sockets,
) -> Result<Vec<Child>> {
    if spec.shares.is_empty() {
        return Ok(Vec::new());
    }
    let program = find()?;
    let mut children = Vec::new();
    for (index, share) in spec.shares.iter().enumerate() {
        if !share.folder.is_dir() {
            return Err(Error::FileMissing {
                what: "shared folder",
                path: share.folder.clone(),
            });
        }
        let socket = sockets.share(index);
        let log = folder.share_log(index);
        let output = File::create(&log).map_err(Error::io("write", &log))?;
        let words = words(&program, &socket, share, is_root());
        let (first, rest) = words.split_first().ok_or(Error::NoVirtiofsd)?;
        let mut command = Command::new(first);
        command
            .args(rest)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .kill_on_drop(false)
            .process_group(0);
        let child = command.spawn().map_err(Error::io("start", first))?;
        children.push(child);
        let came = came_up(&socket, children.last_mut()).await;
        if !came {
            stop(&mut children);
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(Error::Share {
                path: share.folder.clone(),
                problem: said.lines().last().unwrap_or("it says nothing").to_owned(),
            });
        }
    }
    Ok(children)
}

/// Ends what shared folders, where it has not ended with QEMU.
pub(crate) fn stop(children: &mut Vec<Child>) {
    for mut child in children.drain(..) {
        let _ended_already = child.start_kill();
    }
}

async fn came_up(socket: &Path, child: Option<&mut Child>) -> bool {
    let Some(child) = child else { return false };
    let began = Instant::now();
    while began.elapsed() < START_TIMEOUT {
        if socket.exists() {
            return true;
        }
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        sleep(LOOK_INTERVAL).await;
    }
    false
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// Why no folder of this computer can be shared with a guest; none where it can.
#[must_use]
pub fn no_folders() -> Option<&'static str> {
    match find() {
        Ok(program) => why_not(&program, is_root()),
        Err(_) => Some("the program virtiofsd is missing"),
    }
}

fn why_not(program: &Virtiofsd, is_root: bool) -> Option<&'static str> {
    let is_roots_alone = program.is_of_qemu && !is_root;
    is_roots_alone.then_some("QEMU's own virtiofsd works for root alone")
}

fn find() -> Result<Virtiofsd> {
    let mut places = PLACES.map(PathBuf::from).into_iter();
    let path = places
        .find(|place| place.is_file())
        .ok_or(Error::NoVirtiofsd)?;
    let says = |option| {
        let asked = Question::new(&path).arg(option).output();
        let said = asked.map_err(Error::io("start", &path))?.stdout;
        Ok(String::from_utf8_lossy(&said).into_owned())
    };
    Ok(Virtiofsd {
        is_of_qemu: says("--version")?.contains("QEMU Project"),
        knows_read_only: says("--help")?.contains("--readonly"),
        path,
    })
}

/// What is started for a share: the program and its arguments. A user's `virtiofsd` has no rights to give up; root's shuts
/// itself into the folder.
fn words(program: &Virtiofsd, socket: &Path, share: &Share, is_root: bool) -> Vec<OsString> {
    let Share { folder, read_only } = share;
    let with = |option: &str, path: &Path| {
        let mut word = OsString::from(option);
        word.push(path);
        word
    };
    let mut words = Vec::new();
    let by_namespace = *read_only && !program.knows_read_only;
    if by_namespace {
        words.push("unshare".into());
        if !is_root {
            words.push("--map-root-user".into());
        }
        words.extend(["--mount", "sh", "-c", READ_ONLY, "sh"].map(OsString::from));
        words.push(folder.into());
    }
    words.push(program.path.clone().into());
    words.push(with("--socket-path=", socket));
    if program.is_of_qemu {
        let mut source = with("source=", folder);
        source.push(",sandbox=namespace,cache=auto");
        words.extend(["-o".into(), source]);
        return words;
    }
    words.push(with("--shared-dir=", folder));
    let sandbox = if is_root { "namespace" } else { "none" };
    words.push(format!("--sandbox={sandbox}").into());
    if *read_only && program.knows_read_only {
        words.push("--readonly".into());
    }
    words
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    const OF_QEMU: (bool, bool) = (true, false);
    const OLD: (bool, bool) = (false, false);
    const NEW: (bool, bool) = (false, true);

    fn said((is_of_qemu, knows_read_only): (bool, bool), is_root: bool, read_only: bool) -> String {
        let program = Virtiofsd {
            path: "virtiofsd".into(),
            is_of_qemu,
            knows_read_only,
        };
        let share = Share {
            folder: "/srv".into(),
            read_only,
        };
        let words = words(&program, Path::new("/run/fs0"), &share, is_root);
        words.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn both_programs_are_told_in_their_own_words() {
        insta::assert_snapshot!(said(OF_QEMU, true, false), @"virtiofsd --socket-path=/run/fs0 -o source=/srv,sandbox=namespace,cache=auto");
        insta::assert_snapshot!(said(NEW, false, false), @"virtiofsd --socket-path=/run/fs0 --shared-dir=/srv --sandbox=none");
        insta::assert_snapshot!(said(OLD, true, false), @"virtiofsd --socket-path=/run/fs0 --shared-dir=/srv --sandbox=namespace");
    }

    #[test]
    fn a_folder_that_is_only_read_is_so_for_the_program_that_shares_it() {
        insta::assert_snapshot!(said(NEW, false, true), @"virtiofsd --socket-path=/run/fs0 --shared-dir=/srv --sandbox=none --readonly");
        insta::assert_snapshot!(said(OLD, false, true), @r#"unshare --map-root-user --mount sh -c mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@" sh /srv virtiofsd --socket-path=/run/fs0 --shared-dir=/srv --sandbox=none"#);
        insta::assert_snapshot!(said(OF_QEMU, true, true), @r#"unshare --mount sh -c mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@" sh /srv virtiofsd --socket-path=/run/fs0 -o source=/srv,sandbox=namespace,cache=auto"#);
    }

    #[test]
    fn the_program_of_qemu_is_of_no_use_to_a_user() {
        let program = |is_of_qemu| Virtiofsd {
            path: "virtiofsd".into(),
            is_of_qemu,
            knows_read_only: false,
        };
        insta::assert_snapshot!(why_not(&program(true), false).unwrap(), @"QEMU's own virtiofsd works for root alone");
        assert_eq!(why_not(&program(true), true), None);
        assert_eq!(why_not(&program(false), false), None);
    }

    #[test]
    fn records_of_before_have_paths_alone() {
        let text = r#"["/a",{"read_only":"/b"}]"#;
        let shares: Vec<Share> = serde_json::from_str(text).unwrap();
        let kept: Vec<_> = shares
            .iter()
            .map(|it| (it.folder.to_str().unwrap(), it.read_only))
            .collect();
        assert_eq!(kept, [("/a", false), ("/b", true)]);
        assert_eq!(serde_json::to_string(&shares).unwrap(), text);
    }

    /// What `unshare` and `mount` make of it here, without a guest; a computer may refuse its users namespaces.
    #[test]
    fn nothing_can_be_changed_where_a_folder_is_mounted_read_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "as it was").unwrap();
        let script = folder.path().join("tries");
        let tries = "#!/bin/sh\ncd \"${2#--shared-dir=}\" || exit 9\ncat file\nchmod 600 file; echo more >>file; rm file; touch new; mkdir dir\n";
        std::fs::write(&script, tries).unwrap();
        let program = Virtiofsd {
            path: "/bin/sh".into(),
            is_of_qemu: false,
            knows_read_only: false,
        };
        let share = Share {
            folder: folder.path().to_owned(),
            read_only: true,
        };
        let mut words = words(&program, Path::new("/none"), &share, is_root());
        let at = words.iter().position(|word| word == "/bin/sh").unwrap();
        words.insert(at + 1, script.into());
        let output = Question::new(&words[0]).args(&words[1..]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if errors.contains("unshare") || errors.contains("mount:") {
            assert!(!is_root(), "{errors}");
            eprintln!("skipped: this computer gives its users no namespaces: {errors}");
            return;
        }
        assert_eq!(String::from_utf8_lossy(&output.stdout), "as it was");
        assert_eq!(
            errors.matches("Read-only file system").count(),
            5,
            "{errors}"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "as it was");
    }
}
