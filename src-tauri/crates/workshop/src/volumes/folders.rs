//! Folders of this computer that guests see.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_guest::{CommandLine, GuestOs};
use windlass_machine::{Boot, MachineSpec, Share};

use super::attach::{line_of, mount};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::Event;

/// A folder of this computer that a guest sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct SharedFolder {
    /// The folder.
    pub folder: PathBuf,
    /// Where the guest mounts it.
    pub path: String,
    /// Whether the guest may only read it. OSv reads only, in any case.
    #[serde(default)]
    pub read_only: bool,
}

/// By which name a guest finds the folder of a number.
fn device(guest: GuestOs, number: usize) -> String {
    match guest {
        GuestOs::Osv => format!("/dev/virtiofs{number}"),
        GuestOs::Linux => format!("share{number}"),
    }
}

/// Lets a machine see folders, from its next start on. OSv reads them only.
pub(crate) fn share_folders(spec: &mut MachineSpec, shares: &[SharedFolder]) -> Result<()> {
    for share in shares {
        let folder = share
            .folder
            .canonicalize()
            .doing("look at", &share.folder)?;
        if !folder.is_dir() {
            return Err(AppError::new(
                ErrorKind::Input,
                format!("{} is no folder", share.folder.display()),
            ));
        }
        if shares_of(spec).iter().any(|kept| kept.path == share.path) {
            return Err(AppError::new(
                ErrorKind::Conflict,
                format!("The guest has a folder at {} already", share.path),
            )
            .hinted("Choose another path"));
        }
        let device = device(spec.guest, spec.shares.len());
        let option = format!("virtiofs,{device},{}", share.path);
        mount(&mut spec.boot, &option, &share.path)?;
        spec.shares.push(Share {
            folder,
            read_only: share.read_only || spec.guest == GuestOs::Osv,
        });
    }
    Ok(())
}

/// The folders that a machine was told to mount; the root of a live run is none of them.
pub(crate) fn shares_of(spec: &MachineSpec) -> Vec<SharedFolder> {
    let numbered = spec.shares.iter().enumerate();
    let shares = numbered.filter_map(|(number, share)| {
        Some(SharedFolder {
            folder: share.folder.clone(),
            path: mounted_at(&spec.boot, &device(spec.guest, number))?,
            read_only: share.read_only,
        })
    });
    shares.collect()
}

/// Takes the folder that is mounted somewhere from a machine; those after it have lower numbers then.
fn unshare_folder(spec: &mut MachineSpec, path: &str) -> Result<()> {
    let guest = spec.guest;
    let at = |number: usize| mounted_at(&spec.boot, &device(guest, number));
    let gone = (0..spec.shares.len())
        .find(|number| at(*number).as_deref() == Some(path))
        .ok_or_else(|| AppError::not_found("shared folder of this machine", path))?;
    spec.shares.remove(gone);
    let count = spec.shares.len();
    let Some(line) = line_of(&mut spec.boot) else {
        return Ok(());
    };
    let parsed = CommandLine::parse(line)
        .map_err(|error| AppError::from_error(ErrorKind::Input, &error, None))?;
    let changed = |value: &str| {
        let Some((of, place)) = mount_of(value) else {
            return Some(value.to_owned());
        };
        if of == device(guest, gone) {
            return None;
        }
        let later = (gone + 1..=count).find(|number| of == device(guest, *number));
        Some(match later {
            Some(number) => format!("virtiofs,{},{place}", device(guest, number - 1)),
            None => value.to_owned(),
        })
    };
    *line = parsed.with_values_changed("mount-fs", changed).to_string();
    Ok(())
}

/// The device of a folder, and where it is mounted.
fn mount_of(value: &str) -> Option<(&str, &str)> {
    value.strip_prefix("virtiofs,")?.split_once(',')
}

fn mounted_at(boot: &Boot, device: &str) -> Option<String> {
    let mut boot = boot.clone();
    let line = CommandLine::parse(line_of(&mut boot)?).ok()?;
    let mut mounts = line.values("mount-fs").filter_map(mount_of);
    mounts
        .find(|(of, _)| *of == device)
        .map(|(_, place)| place.to_owned())
}

impl Workshop {
    /// Lets a machine's guest see a folder, from its next start on.
    ///
    /// # Errors
    /// `NotFound`; `Input` where that cannot be; `Conflict` where something else is mounted there.
    pub async fn share_folder(&self, machine: &str, share: SharedFolder) -> Result<()> {
        let handle = self.machine_handle(machine)?;
        let mut after = handle.spec();
        share_folders(&mut after, &[share])?;
        handle
            .edit(move |spec| (spec.shares, spec.boot) = (after.shares, after.boot))
            .await?;
        self.events.send(Event::VolumesChanged);
        Ok(())
    }

    /// Takes the folder that is mounted at a path from a machine's guest, from its next start on.
    ///
    /// # Errors
    /// `NotFound` where the machine has no such folder.
    pub async fn unshare_folder(&self, machine: &str, path: &str) -> Result<()> {
        let handle = self.machine_handle(machine)?;
        let mut after = handle.spec();
        unshare_folder(&mut after, path)?;
        handle
            .edit(move |spec| (spec.shares, spec.boot) = (after.shares, after.boot))
            .await?;
        self.events.send(Event::VolumesChanged);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_and_go_by_their_number() {
        let folder = tempfile::tempdir().unwrap();
        for guest in [GuestOs::Linux, GuestOs::Osv] {
            let mut spec = spec(guest);
            for path in ["/a", "/b", "/c"] {
                let share = SharedFolder {
                    folder: folder.path().to_owned(),
                    path: path.to_owned(),
                    read_only: path == "/c",
                };
                share_folders(&mut spec, &[share]).unwrap();
            }
            unshare_folder(&mut spec, "/b").unwrap();
            let left = shares_of(&spec);
            let left: Vec<_> = left.iter().map(|it| (&*it.path, it.read_only)).collect();
            // OSv reads only, whatever was asked for.
            assert_eq!(left, [("/a", guest == GuestOs::Osv), ("/c", true)]);
            assert_eq!(spec.shares.len(), 2);
            assert_eq!(
                unshare_folder(&mut spec, "/b").unwrap_err().kind,
                ErrorKind::NotFound
            );
            let twice = SharedFolder {
                folder: folder.path().to_owned(),
                path: "/c".to_owned(),
                read_only: false,
            };
            assert_eq!(
                share_folders(&mut spec, &[twice]).unwrap_err().kind,
                ErrorKind::Conflict
            );
        }
    }

    fn spec(guest: GuestOs) -> MachineSpec {
        serde_json::from_value(serde_json::json!({
            "id": "one",
            "name": "one",
            "guest": if guest == GuestOs::Osv { "osv" } else { "linux" },
            "vcpus": 1,
            "memory_mib": 64,
            "boot": {
                "kind": "kernel",
                "kernel": "/kernel",
                "initrd": null,
                "append": if guest == GuestOs::Osv { "--verbose /hello" } else { "" },
                "command_line": if guest == GuestOs::Osv { None } else { Some("/hello") },
            },
        }))
        .unwrap()
    }
}
