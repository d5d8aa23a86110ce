//! Changes to an OSv guest that runs: by its REST API, else by cpiod, where its image has one of them.
//!
//! What is not possible is said before anything is sent: a ROFS root is read-only; neither way knows everything that
//! a Linux guest's agent does.

use windlass_compose::cpiod::{self, Member, MemberContent};
use windlass_compose::osv_rest::{self, OsvRest};
use windlass_compose::{Change, Push};
use windlass_image::GuestPath;
use windlass_machine::{MachineHandle, Port, Protocol};

use super::push::Prepared;
use crate::appliances::Composition;
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::{GuestOs, RootFs};
use crate::jobs::{Reporter, Unit};

/// Where modules of OSv are in an image, and the ports that they listen on.
const REST: &str = "/libhttpserver-api.so";
const CPIOD: [&str; 2] = ["/tools/cpiod.so", "/cpiod.so"];

/// What an OSv guest is changed through: a port of this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Rest(u16),
    Cpiod(u16),
}

/// The ports that a machine needs beside its own so that it can be changed, and looked into.
pub(crate) fn channels(composition: &Composition) -> Vec<Port> {
    if composition.guest != GuestOs::Osv {
        return Vec::new();
    }
    let is_writable = composition.root_fs != RootFs::Rofs;
    let has =
        |path: &&str| GuestPath::new(*path).is_ok_and(|path| composition.plan.get(&path).is_some());
    let taken = &composition.settings.ports;
    let wanted = [
        has(&REST).then_some(osv_rest::PORT),
        (is_writable && CPIOD.iter().any(has)).then_some(cpiod::PORT),
    ];
    wanted
        .into_iter()
        .flatten()
        .filter(|guest| !taken.iter().any(|port| port.guest == *guest))
        .map(|guest| Port {
            host: None,
            guest,
            protocol: Protocol::Tcp,
        })
        .collect()
}

/// Finds the way into a guest, and that all there is to do can be done by it.
pub(super) fn channel(handle: &MachineHandle, prepared: &Prepared) -> Result<Channel> {
    let refuse = |message: &str| AppError::new(ErrorKind::Conflict, message);
    if prepared.composition.root_fs == RootFs::Rofs {
        return Err(
            refuse("OSv's ROFS root is read-only: nothing can be pushed to this machine")
                .hinted("Run the appliance again, which takes a moment")
                .hinted("Or choose ext4 as its root file system"),
        );
    }
    let ports = handle.status().borrow().ports.clone();
    let forwarded = |guest| {
        let port = ports
            .iter()
            .find(|port| port.guest == guest && port.protocol == Protocol::Tcp);
        port.map(|port| port.host)
    };
    let channel = forwarded(osv_rest::PORT)
        .map(Channel::Rest)
        .or_else(|| forwarded(cpiod::PORT).map(Channel::Cpiod))
        .ok_or_else(|| {
            refuse("This OSv guest listens to nobody: its image has neither the REST API nor cpiod")
                .hinted("Add the package osv.httpserver-api, and begin the boot command with `/libhttpserver-api.so &!`")
                .hinted("Or put `cpiod.so` at /tools, and begin the boot command with `/tools/cpiod.so --prefix / &!`")
        })?;
    for change in &prepared.push.changes {
        if let Some(problem) = impossible(channel, change) {
            let path = change.path();
            return Err(refuse(&format!("{path}: {problem}"))
                .hinted("Run the appliance again: a new machine has all of it"));
        }
    }
    Ok(channel)
}

/// Why a change cannot be made, in words.
fn impossible(channel: Channel, change: &Change) -> Option<&'static str> {
    match (channel, change) {
        (Channel::Rest(_), Change::Symlink { .. }) => {
            Some("OSv's REST API cannot make a symbolic link")
        }
        (Channel::Cpiod(_), Change::Remove { .. }) => Some("cpiod cannot remove anything"),
        (Channel::Cpiod(_), Change::Mode { .. }) => Some("cpiod cannot change a mode alone"),
        // It is an error for cpiod where there is one, and that ends the guest.
        (Channel::Cpiod(_), Change::Symlink { .. }) => {
            Some("cpiod gives up at a symbolic link that is there already")
        }
        _ => None,
    }
}

/// Sends all changes.
pub(super) async fn send(channel: Channel, push: &Push, reporter: &Reporter) -> Result<()> {
    let push = push.clone();
    let reporter = reporter.clone();
    crate::blocking(move || match channel {
        Channel::Rest(port) => by_rest(port, &push, &reporter),
        Channel::Cpiod(port) => by_cpiod(port, &push, &reporter),
    })
    .await?
}

fn by_rest(port: u16, push: &Push, reporter: &Reporter) -> Result<()> {
    let guest = OsvRest::new("127.0.0.1", port);
    reporter.log(&format!("OSv {} answers", guest.version()?));
    let mut sent = 0;
    for change in &push.changes {
        reporter.check()?;
        match change {
            Change::File {
                path,
                mode,
                size_bytes,
                source,
                ..
            } => {
                let mut told = |bytes| {
                    sent += bytes;
                    reporter.progress(sent, Some(push.bytes), Unit::Bytes);
                };
                let cancel = reporter.cancellation();
                guest.write_file(path, *mode, *size_bytes, source, &mut told, cancel)?;
            }
            Change::Directory { path, mode } => guest.make_directory(path, *mode)?,
            Change::Mode { path, mode } => guest.set_mode(path, *mode)?,
            Change::Remove { path, is_replaced } => match guest.remove(path) {
                // The guest has put files of its own there.
                Err(error) if !is_replaced => {
                    reporter.log(&format!("{path} stays: {error}"));
                }
                removed => removed?,
            },
            Change::Symlink { .. } => {}
        }
    }
    Ok(())
}

fn by_cpiod(port: u16, push: &Push, reporter: &Reporter) -> Result<()> {
    let members: Vec<Member> = push
        .changes
        .iter()
        .filter_map(|change| {
            let content = match change {
                Change::File {
                    mode,
                    size_bytes,
                    source,
                    ..
                } => MemberContent::File {
                    mode: *mode,
                    size_bytes: *size_bytes,
                    source: source.clone(),
                },
                Change::Directory { mode, .. } => MemberContent::Directory { mode: *mode },
                _ => return None,
            };
            Some(Member {
                path: change.path().clone(),
                content,
            })
        })
        .collect();
    let mut told = |bytes| reporter.progress(bytes, None, Unit::Bytes);
    cpiod::send(
        "127.0.0.1",
        port,
        &members,
        &mut told,
        reporter.cancellation(),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_way_cannot_do_is_told_before_it_is_tried() {
        let path = GuestPath::new("a").unwrap();
        let remove = Change::Remove {
            path: path.clone(),
            is_replaced: false,
        };
        let link = Change::Symlink {
            path: path.clone(),
            target: b"b".to_vec(),
        };
        let directory = Change::Directory { path, mode: 0o755 };
        assert_eq!(impossible(Channel::Rest(1), &remove), None);
        assert!(impossible(Channel::Rest(1), &link).is_some());
        assert!(impossible(Channel::Cpiod(1), &remove).is_some());
        assert!(impossible(Channel::Cpiod(1), &link).is_some());
        assert_eq!(impossible(Channel::Cpiod(1), &directory), None);
    }
}
