//! Disks that come and go while the machine runs.
//!
//! QEMU is told through its second monitor, then the machine's record; a guest is told by the hardware. Linux takes a disk
//! at once; OSv looks for disks only as it boots.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use windlass_guest::GuestOs;

use crate::control::{Turn, take_turn};
use crate::error::{Error, Result};
use crate::handle::MachineHandle;
use crate::qmp::Command;
use crate::resources;
use crate::spec::{Disk, DiskAccess, DiskFormat};
use crate::status::MachineState;

/// A guest lets go of a disk within a second; one that does not listen never does.
const LET_GO_TIMEOUT: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

impl MachineHandle {
    /// Gives the machine one more disk: at once where it runs, else at its next start.
    ///
    /// # Errors
    /// [`Error::Spec`] for an overlay; [`Error::NoHotplug`] where the guest that runs would not see it; QEMU's refusal.
    pub async fn attach_disk(&self, disk: Disk) -> Result<()> {
        if disk.access == DiskAccess::Overlay {
            return Err(Error::Spec {
                field: "disks",
                problem: "a disk with an overlay comes with the machine".to_owned(),
            });
        }
        if let Some(turn) = self.turn_if_live().await? {
            if self.spec().disposable && disk.access == DiskAccess::Writable {
                return Err(Error::Spec {
                    field: "disks",
                    problem: "a disposable machine takes one only before it starts".to_owned(),
                });
            }
            let nodes = turn
                .execute(Command::new("query-named-block-nodes"))
                .await?;
            let number = free_number(&nodes);
            // QEMU opens nothing but what is in this folder.
            let link = self.link(number);
            let _left_over = fs::remove_file(&link);
            fs::hard_link(&disk.path, &link).map_err(Error::io("link", &disk.path))?;
            for command in attach_commands(number, &disk, &link) {
                let name = command.name;
                let done = turn.execute(command).await;
                if let Err(error) = done {
                    if name == "device_add" {
                        let node = json!({ "node-name": format!("disk{number}") });
                        let _undone = turn.execute(Command::with("blockdev-del", node)).await;
                    }
                    let _undone = fs::remove_file(&link);
                    return Err(error);
                }
            }
        }
        self.edit(move |spec| spec.disks.push(disk)).await
    }

    /// Takes away the disk of this file: at once where the machine runs and the guest lets it go.
    ///
    /// # Errors
    /// [`Error::Spec`] where it has no such disk; [`Error::NoHotplug`]; [`Error::NoAnswer`] where the guest keeps it.
    pub async fn detach_disk(&self, path: &Path) -> Result<()> {
        let disks = self.spec().disks;
        let place = disks.iter().position(|disk| disk.path == path);
        // Where the root is a shared folder, the first disk is a volume as well, which its serial number tells.
        let of_root = disks.first().is_some_and(|disk| disk.serial.is_none());
        if place.is_none_or(|place| place == 0 && of_root) {
            return Err(Error::Spec {
                field: "disks",
                problem: format!("{} is none that could be taken away", path.display()),
            });
        }
        if let Some(turn) = self.turn_if_live().await? {
            let nodes = turn
                .execute(Command::new("query-named-block-nodes"))
                .await?;
            if let Some(number) = number_of(&nodes, path) {
                let card = json!({ "id": resources::device(number) });
                turn.execute(Command::with("device_del", card)).await?;
                let_go(&turn, number).await?;
                let _none_where_it_was_there_from_the_start = fs::remove_file(self.link(number));
            }
        }
        let path = path.to_owned();
        self.edit(move |spec| spec.disks.retain(|disk| disk.path != path))
            .await
    }

    fn link(&self, number: usize) -> PathBuf {
        let folder = self.shared.folder.attached();
        folder.join(format!("disk{number}"))
    }

    /// A turn at the monitor of a machine whose guest can be given and taken disks; none where it rests.
    async fn turn_if_live(&self) -> Result<Option<Turn>> {
        let state = self.status().borrow().state;
        match state {
            MachineState::Running if self.spec().guest == GuestOs::Linux => {
                Ok(Some(take_turn(&self.shared.sockets()?).await?))
            }
            MachineState::Running => Err(Error::NoHotplug),
            state if state.is_live() => Err(Error::WrongState {
                request: "change the disks of",
                state,
            }),
            _ => Ok(None),
        }
    }
}

fn attach_commands(number: usize, disk: &Disk, file: &Path) -> [Command; 2] {
    let driver = match disk.format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    };
    let node = json!({
        "driver": driver,
        "node-name": format!("disk{number}"),
        "read-only": disk.access == DiskAccess::ReadOnly,
        "discard": "unmap",
        "file": { "driver": "file", "filename": file.to_string_lossy() },
    });
    let mut card = json!({
        "driver": "virtio-blk-pci",
        "id": resources::device(number),
        "drive": format!("disk{number}"),
        // As in the command line.
        "rerror": "stop",
        "werror": "stop",
    });
    if let Some(serial) = &disk.serial {
        card["serial"] = Value::from(serial.as_str());
    }
    [
        Command::with("blockdev-add", node),
        Command::with("device_add", card),
    ]
}

fn numbered(nodes: &Value) -> impl Iterator<Item = (usize, &Value)> {
    let nodes = nodes.as_array().map(Vec::as_slice).unwrap_or_default();
    nodes.iter().filter_map(|node| {
        let number = node["node-name"].as_str()?.strip_prefix("disk")?;
        Some((number.parse().ok()?, node))
    })
}

fn free_number(nodes: &Value) -> usize {
    numbered(nodes)
        .map(|(number, _)| number + 1)
        .max()
        .unwrap_or(0)
}

fn number_of(nodes: &Value, path: &Path) -> Option<usize> {
    let key = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some((file.dev(), file.ino()))
    };
    let wanted = key(path)?;
    numbered(nodes)
        .find(|(_, node)| {
            let file = node["image"]["filename"].as_str();
            file.and_then(|file| key(Path::new(file))) == Some(wanted)
        })
        .map(|(number, _)| number)
}

/// Waits until the guest has let go of a disk, and has QEMU close its file.
async fn let_go(turn: &Turn, number: usize) -> Result<()> {
    let deadline = Instant::now() + LET_GO_TIMEOUT;
    loop {
        let node = json!({ "node-name": format!("disk{number}") });
        match turn.execute(Command::with("blockdev-del", node)).await {
            Ok(_) => return Ok(()),
            Err(Error::Qmp { .. }) if Instant::now() < deadline => sleep(LOOK_INTERVAL).await,
            Err(Error::Qmp { .. }) => {
                return Err(Error::NoAnswer {
                    what: "waited for the guest to let go of the disk".to_owned(),
                });
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_found_by_their_files_and_numbered_after_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        fs::write(path("a"), b"").unwrap();
        fs::write(path("b"), b"").unwrap();
        fs::hard_link(path("b"), path("link")).unwrap();
        let nodes = json!([
            { "node-name": "#block1", "image": { "filename": path("a") } },
            { "node-name": "disk0", "image": { "filename": path("a") } },
            { "node-name": "disk3", "image": { "filename": path("link") } },
        ]);
        assert_eq!(free_number(&nodes), 4);
        assert_eq!(number_of(&nodes, &path("b")), Some(3));
        assert_eq!(number_of(&nodes, &path("c")), None);
        assert_eq!(free_number(&json!([])), 0);
    }
}
