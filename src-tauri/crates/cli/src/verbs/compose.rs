//! `package compose`: an image from the package in a folder.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use windlass_workshop::appliances::ApplianceSettings;
use windlass_workshop::builds::{ComposeOptions, ZfsFiles};
use windlass_workshop::guests::{GuestOs, RootFs};

use super::target;
use crate::context::Context;
use crate::failure::Outcome;
use crate::flags::{self, BuildFlags, MachineFlags};
use crate::output::{count, size};
use crate::progress;
use crate::signals::Signals;
use crate::values;

/// Compose an image.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Compose {
    /// The name of the image; `run NAME` runs it
    name: String,
    #[command(flatten)]
    build: BuildFlags,
    /// The boot command, instead of a run configuration
    #[arg(long, value_name = "COMMAND")]
    run: Option<String>,
    /// The size of a writable root file system, such as 2G; content and some room, when nothing is said
    #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
    size: Option<u32>,
    /// Write the image into this file instead of keeping it among the builds
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The package's folder
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    path: PathBuf,
    /// Accepted for Capstan's scripts; packages that this computer can supply are always packed
    #[arg(long, short)]
    pull_missing: bool,
    /// With --out: write only what differs into the file that is there. A kept build is updated in any case
    #[arg(long)]
    update: bool,
    /// Read each file, instead of trusting that one with the size and times of the last build is what it was
    #[arg(long)]
    verify: bool,
    /// Make a disk with a ZFS root, written by this guest of OSv's (zfs_builder-stripped.elf) instead of the library's
    #[arg(long, value_name = "FILE", requires = "out")]
    zfs_builder: Option<PathBuf>,
    /// The loader image of an OSv that has ZFS, for --zfs-builder, instead of the library's
    #[arg(long, value_name = "FILE", requires = "zfs_builder")]
    zfs_loader: Option<PathBuf>,
    /// Accepted for Capstan's scripts
    #[arg(long, short, hide = true)]
    verbose: bool,
}

/// An image that was written to a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    path: String,
    size_bytes: u64,
}

impl Compose {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let mut signals = Signals::listen()?;
        let workshop = &context.workshop;
        let appliance = target::in_folder(context, &self.path).await?;
        let base = workshop.run_form(&appliance.id)?.settings;
        let settings = flags::overlay(
            &base,
            &self.build,
            &MachineFlags::default(),
            self.run.as_deref(),
        );
        let into_file = self.out.is_some();
        let settings = if self.zfs_builder.is_some() {
            Some(ApplianceSettings {
                guest: GuestOs::Osv,
                root_fs: RootFs::Zfs,
                ..settings.unwrap_or(base)
            })
        } else {
            settings
        };
        let options = ComposeOptions {
            settings,
            size_bytes: self.size.map(|mib| u64::from(mib) << 20),
            name: Some(self.name.clone()),
            out: self.out,
            update: self.update,
            verify: self.verify,
            zfs: ZfsFiles {
                builder: self.zfs_builder,
                loader: self.zfs_loader,
            },
        };
        let job = workshop.start_compose(&appliance.id, options)?;
        let job = progress::wait(context, &job, &mut signals).await?;
        let produced = job.produced.unwrap_or_default();
        if into_file {
            let size_bytes = std::fs::metadata(&produced)?.len();
            let written = Written {
                path: produced,
                size_bytes,
            };
            context.output.show(&written, |image| {
                format!("Composed {} ({})", image.path, size(image.size_bytes))
            })?;
            return Ok(0);
        }
        let build = workshop.build(&produced)?;
        context.output.show(&build, |build| {
            format!(
                "Composed {} for {}: {} in {}, {} on {}\n{}",
                self.name,
                build.guest.title(),
                count(build.file_count, "file", "files"),
                size(build.content_bytes),
                size(build.size_bytes),
                build.root_fs,
                build.path
            )
        })?;
        Ok(0)
    }
}
