//! Folders of this computer that a guest sees, by virtiofs: a `virtiofsd` for each, which ends with QEMU.
//!
//! ```text
//!   guest ── virtiofs, a tag ── QEMU ── <sockets>/fs0 ── virtiofsd ── the folder
//! ```
//!
//! QEMU itself opens nothing of the folder. The guest's memory is shared with `virtiofsd`, so a machine with shares has memory
//! of that kind. There are two programs of the name: QEMU's own, up to 7.2, which only root can run, and its successor.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command as Question, Stdio};
use std::time::Duration;

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

/// A program that shares folders.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Virtiofsd {
    path: PathBuf,
    /// QEMU's own, with other options.
    is_of_qemu: bool,
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
    match spec.shares.iter().find(|share| !share.is_absolute()) {
        Some(share) => Err(refuse(format!(
            "{} is not an absolute path",
            share.display()
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
        if !share.is_dir() {
            return Err(Error::FileMissing {
                what: "shared folder",
                path: share.clone(),
            });
        }
        let socket = sockets.share(index);
        let log = folder.share_log(index);
        let output = File::create(&log).map_err(Error::io("write", &log))?;
        let mut command = Command::new(&program.path);
        command
            .args(arguments(&program, &socket, share, is_root()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .kill_on_drop(false)
            .process_group(0);
        let child = command.spawn().map_err(Error::io("start", &program.path))?;
        children.push(child);
        let came = came_up(&socket, children.last_mut()).await;
        if !came {
            stop(&mut children);
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(Error::Share {
                path: share.clone(),
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

fn find() -> Result<Virtiofsd> {
    let path = PLACES
        .map(PathBuf::from)
        .into_iter()
        .find(|it| it.is_file());
    let path = path.ok_or(Error::NoVirtiofsd)?;
    let asked = Question::new(&path).arg("--version").output();
    let said = asked.map_err(Error::io("start", &path))?.stdout;
    Ok(Virtiofsd {
        path,
        is_of_qemu: String::from_utf8_lossy(&said).contains("QEMU Project"),
    })
}

/// A user's `virtiofsd` has no rights to give up; root's shuts itself into the folder.
fn arguments(program: &Virtiofsd, socket: &Path, folder: &Path, is_root: bool) -> Vec<String> {
    let socket = socket.display();
    let folder = folder.display();
    if program.is_of_qemu {
        return vec![
            format!("--socket-path={socket}"),
            "-o".to_owned(),
            format!("source={folder},sandbox=namespace,cache=auto"),
        ];
    }
    let sandbox = if is_root { "namespace" } else { "none" };
    vec![
        format!("--socket-path={socket}"),
        format!("--shared-dir={folder}"),
        format!("--sandbox={sandbox}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_programs_are_told_in_their_own_words() {
        let said = |is_of_qemu, is_root| {
            let program = Virtiofsd {
                path: "virtiofsd".into(),
                is_of_qemu,
            };
            arguments(&program, Path::new("/run/fs0"), Path::new("/srv"), is_root).join(" ")
        };
        insta::assert_snapshot!(said(true, true), @"--socket-path=/run/fs0 -o source=/srv,sandbox=namespace,cache=auto");
        insta::assert_snapshot!(said(false, false), @"--socket-path=/run/fs0 --shared-dir=/srv --sandbox=none");
        insta::assert_snapshot!(said(false, true), @"--socket-path=/run/fs0 --shared-dir=/srv --sandbox=namespace");
    }
}
