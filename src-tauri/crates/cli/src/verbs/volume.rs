//! `volume`: disks that outlive the machines that use them.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Subcommand;
use windlass_workshop::volumes::{NewVolume, Volume, VolumeContent, VolumeFormat, VolumeMount};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{lines, size, table, word};
use crate::progress;
use crate::signals::Signals;
use crate::values;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a volume: with ext4, unless it is to be empty
    Create {
        /// Its name
        name: String,
        /// How large it is, such as 2G; with --folder, what that needs and some room
        #[arg(long, short, value_name = "SIZE", value_parser = values::size_bytes)]
        size: Option<u64>,
        /// The format of its file
        #[arg(long, value_enum, default_value_t = Format::Qcow2)]
        format: Format,
        /// Put what is in this folder on it
        #[arg(long, value_name = "FOLDER", conflicts_with = "empty")]
        folder: Option<PathBuf>,
        /// Make no file system on it
        #[arg(long)]
        empty: bool,
    },
    /// List volumes
    #[command(alias = "list")]
    Ls,
    /// Copy files and folders out of a volume
    Cp {
        /// The volume
        volume: String,
        /// Paths on it, then the folder that they are copied into
        #[arg(required = true, num_args = 2.., value_names = ["PATH", "FOLDER"])]
        paths: Vec<String>,
        /// Replace files that are there
        #[arg(long, short)]
        force: bool,
    },
    /// Give a volume another size, and the file system on it
    Resize {
        /// The volume
        volume: String,
        /// What it is to have, such as 4G
        #[arg(value_parser = values::size_bytes)]
        size: u64,
    },
    /// Give a machine a volume, whether it runs or not
    Attach {
        /// Name or id of a machine
        machine: String,
        /// The volume, and where the guest mounts it; without a path it is only attached
        #[arg(value_name = "NAME:/PATH", value_parser = values::volume_mount)]
        volume: VolumeMount,
    },
    /// Take a volume from a machine, whether it runs or not
    Detach {
        /// Name or id of a machine
        machine: String,
        /// The volume
        volume: String,
    },
    /// Delete volumes with all that is on them
    #[command(alias = "delete")]
    Rm {
        /// The volumes
        #[arg(required = true, value_name = "VOLUME")]
        volumes: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        force: bool,
    },
}

/// A format, as flags spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// The disk's bytes, with holes
    Raw,
    /// QEMU's, which grows as it is written
    Qcow2,
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let output = context.output;
        match self {
            Self::Attach { machine, volume } => {
                let name = volume.volume.clone();
                workshop.attach_volume(&machine, volume).await?;
                output.note(&format!("{machine} has the volume {name}"));
            }
            Self::Detach { machine, volume } => {
                workshop.detach_volume(&machine, &volume).await?;
                output.note(&format!("{machine} has the volume {volume} no more"));
            }
            Self::Create {
                name,
                size,
                format,
                folder,
                empty,
            } => {
                let new = NewVolume {
                    name,
                    format: match format {
                        Format::Raw => VolumeFormat::Raw,
                        Format::Qcow2 => VolumeFormat::Qcow2,
                    },
                    size_bytes: size,
                    content: match folder {
                        Some(path) => VolumeContent::Folder { path },
                        None if empty => VolumeContent::Empty,
                        None => VolumeContent::Ext4,
                    },
                };
                let job = workshop.start_volume_create(new)?;
                let mut signals = Signals::listen()?;
                let job = progress::wait(context, &job, &mut signals).await?;
                let volume = workshop.volume(&job.produced.unwrap_or_default())?;
                output.show(&volume, |it| {
                    format!("Made {} ({})", it.name, self::size(it.size_bytes))
                })?;
            }
            Self::Ls => output.show(&workshop.volumes().await?, |it| listed(it))?,
            Self::Cp {
                volume,
                mut paths,
                force,
            } => {
                // It has to be a volume, and not another image of that name.
                let volume = workshop.volume(&volume)?;
                let folder = std::path::absolute(paths.pop().unwrap_or_default())?;
                let job = workshop.start_extract(&volume.path, None, &paths, folder, force)?;
                let mut signals = Signals::listen()?;
                let job = progress::wait(context, &job, &mut signals).await?;
                output.show(&job.produced.unwrap_or_default(), |folder| {
                    format!("Copied to {folder}")
                })?;
            }
            Self::Resize {
                volume,
                size: bytes,
            } => {
                let job = workshop.start_volume_resize(&volume, bytes)?;
                let mut signals = Signals::listen()?;
                progress::wait(context, &job, &mut signals).await?;
                output.show(&workshop.volume(&volume)?, |it| {
                    format!("{} has {} now", it.name, self::size(it.size_bytes))
                })?;
            }
            Self::Rm { volumes, force } => {
                for name in &volumes {
                    let volume = workshop.volume(name)?;
                    if !force && !agrees(context, &volume).await? {
                        return Ok(1);
                    }
                    workshop.delete_volume(name).await?;
                }
                output.show(&volumes, |names| {
                    lines(names, |name| format!("Deleted {name}"))
                })?;
            }
        }
        Ok(0)
    }
}

/// Asks whether a volume may go, and says what goes with it.
async fn agrees(context: &Context, volume: &Volume) -> Result<bool, Failure> {
    let sizes = context.workshop.image_sizes(&volume.name, None, "/").await;
    let held = match sizes {
        Ok(sizes) => {
            let files: u64 = sizes.iter().map(|it| it.file_count).sum();
            let bytes: u64 = sizes.iter().map(|it| it.size_bytes).sum();
            format!(
                "{} with {} on it",
                crate::output::count(files, "file", "files"),
                size(bytes)
            )
        }
        Err(_) => format!("all that is on its {}", size(volume.size_bytes)),
    };
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            format!("Deleting {} loses {held}", volume.name),
            "Say --force to delete it all the same",
        ));
    }
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "Delete {} and lose {held}? [y/N] ", volume.name)?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn listed(volumes: &[Volume]) -> String {
    let rows: Vec<_> = volumes
        .iter()
        .map(|volume| {
            [
                volume.name.clone(),
                word(&volume.format),
                volume.file_system.clone().unwrap_or_default(),
                size(volume.size_bytes),
                size(volume.allocated_bytes),
                volume.used_by.join(", "),
            ]
        })
        .collect();
    table(
        ["NAME", "FORMAT", "FS", "SIZE", "ON DISK", "USED BY"],
        &rows,
        "No volumes; `windlassctl volume create NAME --size 1G` makes one",
    )
}
