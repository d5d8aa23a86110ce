//! Running an appliance from its folders, with no image made: the merged tree is laid out beside the machine, and the guest
//! has it as its root by virtiofs.
//!
//! ```text
//!   live/<machine>/     the merged tree: hard links to the appliance's and its packages' files
//!      └ virtiofs ──▶ OSv: the root, read-only.  Linux: the root, with a layer in memory above it that takes all writes
//! ```
//!
//! Edit and run again: that costs a scan and the links. What the guest writes is gone when it ends.

use std::path::PathBuf;

use windlass_guest::CommandLine;
use windlass_machine::{Boot, MachineSpec, Share};

use crate::Workshop;
use crate::appliances::Composition;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::GuestOs;

impl Workshop {
    fn live_root(&self, machine: &str) -> PathBuf {
        self.home.root().join("live").join(machine)
    }

    /// Gives a machine that is about to be made the merged tree as its root, instead of its image.
    pub(super) async fn make_live(
        &self,
        spec: &mut MachineSpec,
        composition: &std::sync::Arc<Composition>,
    ) -> Result<()> {
        self.sweep_live();
        let root = self.live_root(&spec.id);
        std::fs::create_dir_all(&root).doing("make the folder", &root)?;
        let (plan, place) = (std::sync::Arc::clone(composition), root.clone());
        crate::blocking(move || {
            plan.plan
                .lay_out(&place)
                .doing("lay out the files in", &place)
        })
        .await??;
        spec.disks.clear();
        spec.shares.insert(
            0,
            Share {
                folder: root,
                read_only: false,
            },
        );
        let Boot::Kernel {
            append,
            command_line,
            ..
        } = &mut spec.boot
        else {
            return Err(AppError::new(
                ErrorKind::Unavailable,
                "A machine without a disk needs a kernel that QEMU loads itself",
            )
            .hinted("Add an OSv ELF kernel with `windlassctl kernel add FILE`"));
        };
        match composition.guest {
            GuestOs::Osv => {
                let line = CommandLine::parse(append)
                    .map_err(|error| AppError::from_error(ErrorKind::Input, &error, None))?;
                let line = line.with_values_changed("rootfs", |_| None);
                *append = line.with_option("rootfs", Some("virtiofs")).to_string();
            }
            GuestOs::Linux => {
                if let Some(line) = command_line
                    && let Ok(parsed) = CommandLine::parse(line)
                {
                    *line = parsed.with_values_changed("rootfs", |_| None).to_string();
                }
                *append = format!("windlass.root=virtiofs:share0 {append}");
            }
        }
        Ok(())
    }

    /// Removes the trees of machines that are no more.
    fn sweep_live(&self) {
        let folder = self.home.root().join("live");
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            if self.machines.get(&id).is_err()
                && let Err(error) = std::fs::remove_dir_all(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "a tree is left over");
            }
        }
    }
}
