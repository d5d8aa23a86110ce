//! Volumes at a machine.

use std::path::Path;

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_guest::CommandLine;
use windlass_machine::{Boot, Disk, DiskAccess, DiskFormat, MachineSpec};

use super::VolumeFormat;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;
use crate::machines::is_live;

/// The most disks of a machine: guests name them with a letter.
const DISKS_MAX: usize = 26;

/// A volume that a machine is to have, and where the guest mounts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume's name.
    pub volume: String,
    /// Where the guest mounts it; none: it is attached, and the guest does what it likes with it.
    pub path: Option<String>,
}

impl Workshop {
    /// Adds volumes to a machine that is about to be made.
    pub(crate) fn attach_volumes(
        &self,
        spec: &mut MachineSpec,
        volumes: &[VolumeMount],
    ) -> Result<()> {
        for wanted in volumes {
            let path = self.existing_volume(&wanted.volume)?;
            self.refuse_running(&wanted.volume, &path)?;
            if spec.disks.iter().any(|disk| disk.path == path) {
                return Err(AppError::new(
                    ErrorKind::Input,
                    format!("The volume `{}` is named twice", wanted.volume),
                ));
            }
            let number = spec.disks.len();
            if number >= DISKS_MAX {
                return Err(AppError::new(
                    ErrorKind::Input,
                    "A machine can have 25 volumes at most",
                ));
            }
            if let Some(place) = &wanted.path {
                let kind = self.mountable(&wanted.volume, &path)?;
                mount(
                    &mut spec.boot,
                    &format!("{kind},/dev/vblk{number},{place}"),
                    place,
                )?;
            }
            spec.disks.push(Disk {
                format: match VolumeFormat::of(&path) {
                    Some(VolumeFormat::Qcow2) => DiskFormat::Qcow2,
                    _ => DiskFormat::Raw,
                },
                path,
                access: DiskAccess::Writable,
                serial: Some(wanted.volume.clone()),
            });
        }
        Ok(())
    }

    /// Gives a machine a volume: at once where it runs and its guest can take it, and from its next start on.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where another machine runs with the volume, or the guest takes no disk while it runs; what
    /// kept the guest from mounting it, after which it is attached all the same.
    pub async fn attach_volume(&self, machine: &str, wanted: VolumeMount) -> Result<()> {
        let handle = self.machine_handle(machine)?;
        let before = handle.spec();
        let mut after = before.clone();
        self.attach_volumes(&mut after, std::slice::from_ref(&wanted))?;
        let (Some(disk), boot) = (after.disks.pop(), after.boot) else {
            return Ok(());
        };
        let runs = is_live(&handle);
        handle.attach_disk(disk).await?;
        handle.edit(move |spec| spec.boot = boot).await?;
        self.events.send(Event::VolumesChanged);
        let Some(place) = wanted.path.filter(|_| runs) else {
            return Ok(());
        };
        if !before.agent {
            return Err(AppError::new(
                ErrorKind::Unavailable,
                format!(
                    "The volume `{}` is attached, but nobody in the guest can be told to mount it",
                    wanted.volume
                ),
            )
            .hinted("It is mounted at the machine's next start")
            .hinted("Or run the appliance with `--allow-changes`, which lets the guest be told"));
        }
        let kind = match self.volume(&wanted.volume)?.file_system.as_deref() {
            Some("ROFS") => "rofs",
            _ => "ext4",
        };
        let request = windlass_guest::agent::Request::Mount {
            serial: wanted.volume,
            kind: kind.to_owned(),
            path: place.into_bytes(),
        };
        Ok(handle.agent().await?.done(&request).await?)
    }

    /// Takes a volume from a machine: at once where it runs and its guest lets it go.
    ///
    /// # Errors
    /// `NotFound` where the machine has no such volume; `Conflict` where a program of the guest uses it.
    pub async fn detach_volume(&self, machine: &str, volume: &str) -> Result<()> {
        let handle = self.machine_handle(machine)?;
        let spec = handle.spec();
        let named = |disk: &Disk| disk.serial.as_deref() == Some(volume);
        let number = spec
            .disks
            .iter()
            .position(named)
            .ok_or_else(|| AppError::not_found("volume of this machine", volume))?;
        if let Some(place) = mounted_at(&spec.boot, number)
            && is_live(&handle)
            && spec.agent
        {
            let path = place.into_bytes();
            let request = windlass_guest::agent::Request::Unmount { path };
            handle.agent().await?.done(&request).await?;
        }
        if let Some(disk) = spec.disks.get(number) {
            handle.detach_disk(&disk.path).await?;
        }
        handle
            .edit(move |spec| unmount(&mut spec.boot, number))
            .await?;
        self.events.send(Event::VolumesChanged);
        Ok(())
    }

    /// By which word guests mount what is on a volume.
    fn mountable(&self, name: &str, path: &Path) -> Result<&'static str> {
        let volume = self.shown_volume(path)?;
        match volume.file_system.as_deref() {
            Some("ext4") => Ok("ext"),
            Some("ROFS") => Ok("rofs"),
            _ => Err(AppError::new(
                ErrorKind::Input,
                format!("The volume `{name}` has no file system that a guest can mount"),
            )
            .hinted("Attach it without a path, and let the guest make a file system on it")
            .hinted("Or make a volume with ext4: `windlassctl volume create NAME --size 1G`")),
        }
    }

    /// Refuses to start a machine one of whose volumes another one writes to.
    pub(crate) fn check_volumes(&self, spec: &MachineSpec) -> Result<()> {
        for disk in &spec.disks {
            if disk.access == DiskAccess::Writable {
                let name = disk.path.file_stem().unwrap_or_default().to_string_lossy();
                if !disk.path.is_file() {
                    return Err(AppError::not_found("volume", &name)
                        .hinted("Run the appliance again without it"));
                }
                self.refuse_running(&name, &disk.path)?;
            }
        }
        Ok(())
    }
}

/// The command line of a guest.
pub(super) fn line_of(boot: &mut Boot) -> Option<&mut String> {
    match boot {
        Boot::Kernel {
            append,
            command_line,
            ..
        } => Some(command_line.as_mut().unwrap_or(append)),
        Boot::Disk => None,
    }
}

/// The number of the disk, and where it is mounted.
fn mount_of(value: &str) -> Option<(usize, &str)> {
    let mut parts = value.splitn(3, ',').skip(1);
    let number = parts.next()?.strip_prefix("/dev/vblk")?.parse().ok()?;
    Some((number, parts.next()?))
}

/// The volumes of a machine, and where its guest mounts them.
pub(crate) fn volumes_of(spec: &MachineSpec) -> Vec<VolumeMount> {
    let disks = spec.disks.iter().enumerate();
    let volumes = disks.filter_map(|(number, disk)| {
        let volume = disk.serial.clone()?;
        let path = mounted_at(&spec.boot, number);
        Some(VolumeMount { volume, path })
    });
    volumes.collect()
}

/// Where the guest mounts a disk.
fn mounted_at(boot: &Boot, number: usize) -> Option<String> {
    let mut boot = boot.clone();
    let line = CommandLine::parse(line_of(&mut boot)?).ok()?;
    let mut mounts = line.values("mount-fs").filter_map(mount_of);
    mounts
        .find(|(of, _)| *of == number)
        .map(|(_, place)| place.to_owned())
}

/// Tells the guest nothing of a disk any more; those after it have lower numbers now.
fn unmount(boot: &mut Boot, number: usize) {
    let Some(line) = line_of(boot) else { return };
    let Ok(parsed) = CommandLine::parse(line) else {
        return;
    };
    let changed = |value: &str| match mount_of(value) {
        Some((of, _)) if of == number => None,
        Some((of, place)) if of > number => {
            let kind = value.split(',').next().unwrap_or_default();
            Some(format!("{kind},/dev/vblk{},{place}", of - 1))
        }
        _ => Some(value.to_owned()),
    };
    *line = parsed.with_values_changed("mount-fs", changed).to_string();
}

/// Tells the guest to mount a disk, or a folder.
pub(super) fn mount(boot: &mut Boot, option: &str, place: &str) -> Result<()> {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ',' | '"' | '\\');
    if !place.starts_with('/') || place.len() < 2 || !place.chars().all(plain) {
        return Err(AppError::new(
            ErrorKind::Input,
            format!("`{place}` is no path that a volume can be mounted at"),
        )
        .hinted("Name an absolute path, such as /data"));
    }
    let Boot::Kernel {
        append,
        command_line,
        ..
    } = boot
    else {
        return Err(AppError::new(
            ErrorKind::Unavailable,
            "A machine that boots from its disk alone cannot be told to mount a volume",
        )
        .hinted("Add an OSv ELF kernel with `windlassctl kernel add FILE`")
        .hinted("Or attach the volume without a path, and name it in the image's command line"));
    };
    let line = command_line.as_mut().unwrap_or(append);
    let parsed = CommandLine::parse(line)
        .map_err(|error| AppError::from_error(ErrorKind::Input, &error, None))?;
    *line = parsed.with_option("mount-fs", Some(option)).to_string();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_told_where_to_mount() {
        let kernel = |append: &str, command_line: Option<&str>| Boot::Kernel {
            kernel: "kernel".into(),
            initrd: None,
            append: append.to_owned(),
            command_line: command_line.map(str::to_owned),
        };
        let mut osv = kernel("--rootfs=rofs /hello", None);
        mount(&mut osv, "ext,/dev/vblk1,/data", "/data").unwrap();
        mount(&mut osv, "ext,/dev/vblk2,/more", "/more").unwrap();
        let Boot::Kernel { append, .. } = osv else {
            unreachable!()
        };
        insta::assert_snapshot!(append, @"--rootfs=rofs --mount-fs=ext,/dev/vblk1,/data --mount-fs=ext,/dev/vblk2,/more /hello");
        let mut shorter = Boot::Kernel {
            kernel: "kernel".into(),
            initrd: None,
            append,
            command_line: None,
        };
        assert_eq!(mounted_at(&shorter, 2).as_deref(), Some("/more"));
        unmount(&mut shorter, 1);
        assert_eq!(mounted_at(&shorter, 1).as_deref(), Some("/more"));
        assert_eq!(mounted_at(&shorter, 2), None);
        let mut linux = kernel("", Some("/hello a b"));
        mount(&mut linux, "ext,/dev/vblk1,/data", "/data").unwrap();
        let Boot::Kernel { command_line, .. } = linux else {
            unreachable!()
        };
        insta::assert_snapshot!(command_line.unwrap(), @"--mount-fs=ext,/dev/vblk1,/data /hello a b");
        for place in ["data", "/", "/a b", "/a,b", "", "/a\"b"] {
            assert!(mount(&mut kernel("", None), "", place).is_err(), "{place}");
        }
    }
}
