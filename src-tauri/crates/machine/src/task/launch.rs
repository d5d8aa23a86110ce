//! Starting QEMU: everything between the press of a button and a process.

use std::fs;
use std::path::Path;

use tokio::process::Child;
use windlass_guest::GuestOs;

use crate::command_line::{CommandLine, Launch};
use crate::confine::Confinement;
use crate::error::{Error, Result};
use crate::network::{Joined, NetworkAddress};
use crate::paths::{Sockets, private_folder};
use crate::ports::Reservation;
use crate::probe::Probe;
use crate::process::Process;
use crate::record::{Durability, Run};
use crate::spec::{Boot, DiskAccess, ForwardedPort, MachineSpec};
use crate::task::Shared;
use crate::{initramfs, network, overlay, shares, snapshots};

/// A QEMU that was started.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) process: Process,
    pub(super) ports: Vec<ForwardedPort>,
    pub(super) sockets: Sockets,
    pub(super) networks: Vec<NetworkAddress>,
    /// What shares folders with it.
    pub(super) helpers: Vec<Child>,
}

/// Starts QEMU for a machine whose lock is held.
pub(super) async fn launch(shared: &Shared, probe: &Probe) -> Result<Launched> {
    let spec = shared.record().spec;
    spec.validate()?;
    private_folder(&shared.runtime)?;
    let sockets = Sockets::of(&shared.runtime, &shared.id)?;
    sockets.prepare()?;
    let mut joined = Vec::new();
    for join in &spec.networks {
        joined.push(network::join(&shared.runtime, &shared.switch_program, &spec, join).await?);
    }
    prepare_files(shared, &spec, &joined)?;

    let wanted = spec
        .network
        .as_ref()
        .map_or(&[][..], |network| &network.ports);
    let reservation = Reservation::take(wanted, |port, protocol| {
        shared.neighbours.holder_of(&shared.id, port, protocol)
    })?;
    let console_start = console_start(shared);
    let command_line = CommandLine::new(Launch {
        spec: &spec,
        probe,
        folder: &shared.folder,
        sockets: &sockets,
        ports: &reservation.ports,
        networks: &joined,
        from_memory: snapshots::take_marker(&shared.folder),
    });
    shared.change_record(|record| {
        record.run = Some(Run {
            sockets: sockets.path().to_owned(),
            command: command_line.words(),
            qemu_version: probe.qemu.version.clone(),
            console_start,
            process: None,
            wish: None,
        });
    });
    // Before the process: if we die in between, the next of us knows where to look for it.
    shared.save(Durability::Process).await?;
    let ports = reservation.hand_over();
    let confinement = Confinement::of(&spec, &shared.folder, &sockets);
    let mut helpers = shares::start(&spec, &shared.folder, &sockets).await?;
    let log = shared.folder.qemu_log();
    let process = network::files(&joined)
        .map_err(Error::io("share", &log))
        .and_then(|files| Process::spawn(&command_line, &log, &confinement, files))
        .inspect_err(|_| shares::stop(&mut helpers))?;
    shared.change_record(|record| {
        if let Some(run) = &mut record.run {
            run.process = process.key().cloned();
        }
    });
    Ok(Launched {
        process,
        ports,
        sockets,
        helpers,
        networks: joined
            .into_iter()
            .map(|joined| NetworkAddress {
                network: joined.network,
                address: joined.address,
                names: joined.names,
            })
            .collect(),
    })
}

/// Where in the console log the next run begins.
pub(super) fn console_start(shared: &Shared) -> u64 {
    let log = shared.folder.console_log();
    log.metadata().map_or(0, |metadata| metadata.len())
}

/// Checks the files that the machine boots from, and makes those of its own.
fn prepare_files(shared: &Shared, spec: &MachineSpec, joined: &[Joined]) -> Result<()> {
    if let Boot::Kernel {
        kernel,
        initrd,
        command_line,
        ..
    } = &spec.boot
    {
        must_be_there("guest kernel", kernel)?;
        if let Some(initrd) = initrd {
            must_be_there("initramfs", initrd)?;
            if let (GuestOs::Linux, Some(command_line)) = (spec.guest, command_line) {
                let line = network::on_command_line(spec, joined, command_line);
                initramfs::write(&shared.folder.initramfs(), initrd, &line)?;
            }
        }
    }
    let attached = shared.folder.attached();
    // What was linked for another run is named by its own path now.
    for index in 0..32 {
        let _none = fs::remove_file(attached.join(format!("disk{index}")));
    }
    fs::create_dir_all(&attached).map_err(Error::io("make the folder", attached))?;
    for (index, disk) in spec.disks.iter().enumerate() {
        must_be_there("disk image", &disk.path)?;
        if spec.access(disk) == DiskAccess::Overlay {
            if spec.disposable {
                let _none = std::fs::remove_file(shared.folder.overlay(index));
            }
            overlay::ensure(&shared.folder.overlay(index), &disk.path, disk.format)?;
        }
    }
    Ok(())
}

fn must_be_there(what: &'static str, path: &Path) -> Result<()> {
    if path.is_file() {
        return Ok(());
    }
    Err(Error::FileMissing {
        what,
        path: path.to_owned(),
    })
}
