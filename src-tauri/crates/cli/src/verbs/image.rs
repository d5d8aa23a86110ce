//! `image`: what is in an image, and what can be done with it.
//!
//! An IMAGE is a build's id, the name of a composed or imported image or of a volume, or a file with a disk of any
//! format. Paths in it are absolute.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use windlass_workshop::appliances::EnvValue;
use windlass_workshop::clouds::PushOptions;
use windlass_workshop::images::{
    ComparisonFilter, ConvertOptions, ImageEntryKind, ImageFormat, ListKind,
};

mod words;

use self::words::{compared, imported, info, listed, verified};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, count, lines, size, table};
use crate::progress;
use crate::signals::Signals;
use crate::values;

/// Send an image to a cloud; the same bytes are never sent twice.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The image: one that boots by itself
    image: String,
    /// The cloud
    #[arg(long, short, value_name = "NAME")]
    cloud: String,
    /// What it is to be called there
    #[arg(long)]
    name: Option<String>,
    /// Its format there; what the cloud takes, when nothing is said
    #[arg(long, value_parser = ["qcow2", "raw"])]
    format: Option<String>,
    /// Who sees it
    #[arg(long, value_parser = ["private", "shared", "community", "public"])]
    visibility: Option<String>,
    /// A tag, beside that of Windlass
    #[arg(long)]
    tag: Vec<String>,
    /// The least memory that it runs in
    #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
    memory: Option<u32>,
    /// A property, beside and instead of those for its guest
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::env)]
    property: Vec<EnvValue>,
}

impl Push {
    async fn run(self, context: &Context) -> Outcome {
        let cloud = super::cloud::open(context, &self.cloud).await?;
        let options = PushOptions {
            name: self.name,
            format: self.format.map(|it| match it.as_str() {
                "raw" => ImageFormat::Raw,
                _ => ImageFormat::Qcow2,
            }),
            visibility: self.visibility,
            tags: self.tag,
            min_memory_mib: self.memory,
            min_disk_gib: None,
            properties: self
                .property
                .into_iter()
                .map(|it| (it.name, it.value))
                .collect(),
        };
        let mut signals = Signals::listen()?;
        let job = context
            .workshop
            .start_push_image(cloud.id, &self.image, options)?;
        let job = progress::wait(context, &job, &mut signals).await?;
        context
            .output
            .show(&job.produced, |it| it.clone().unwrap_or_default())?;
        Ok(0)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Send an image to a cloud; the same bytes are never sent twice
    Push(Push),
    /// Show what an image is
    Info {
        /// The image
        image: String,
    },
    /// List what is in a folder of an image
    Ls {
        #[command(flatten)]
        at: At,
        /// The folder
        #[arg(default_value = "/")]
        path: String,
    },
    /// Show all that is below a folder of an image
    Tree {
        #[command(flatten)]
        at: At,
        /// The folder
        #[arg(default_value = "/")]
        path: String,
    },
    /// Print a file of an image
    Cat {
        #[command(flatten)]
        at: At,
        /// The file
        path: String,
    },
    /// Find paths of an image by their names
    Search {
        #[command(flatten)]
        at: At,
        /// What their names have in them; with a slash, the whole path is looked at
        text: String,
        /// How many are shown
        #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
        limit: u32,
    },
    /// Show what takes how much room in a folder of an image
    Sizes {
        #[command(flatten)]
        at: At,
        /// The folder
        #[arg(default_value = "/")]
        path: String,
    },
    /// Copy files and folders out of an image
    Cp {
        #[command(flatten)]
        at: At,
        /// Paths in the image, then the folder that they are copied into
        #[arg(required = true, num_args = 2.., value_names = ["PATH", "FOLDER"])]
        paths: Vec<String>,
        /// Replace files that are there
        #[arg(long, short)]
        force: bool,
    },
    /// Copy all that is in an image into a folder
    Extract {
        #[command(flatten)]
        at: At,
        /// The folder
        folder: PathBuf,
        /// Replace files that are there
        #[arg(long, short)]
        force: bool,
    },
    /// Compare an image with another one, or with a folder; ends with 1 where they differ
    Diff {
        /// The image
        image: String,
        /// The other image, or a folder
        other: String,
    },
    /// Read an image and compare it with its list of files; ends with 1 where it differs
    Verify {
        /// The image
        image: String,
    },
    /// Set the boot command line that an image carries
    SetCmdline {
        /// The image
        image: String,
        /// The command line
        text: String,
    },
    /// Give a file of an image the bytes of another file
    Replace {
        #[command(flatten)]
        at: At,
        /// The file in the image
        path: String,
        /// The file with the bytes
        from: PathBuf,
    },
    /// Make the disk of an image larger or smaller
    Resize {
        /// The image
        image: String,
        /// What it is to have, such as 2G
        #[arg(value_parser = values::size_bytes)]
        size: u64,
    },
    /// Write an image in another format
    Convert {
        /// The image
        image: String,
        /// The new file
        file: PathBuf,
        /// Its format; by the end of its name where nothing is said
        #[arg(long, short, value_enum)]
        format: Option<Format>,
        /// Compress it: qcow2, and vmdk as it is in an OVA
        #[arg(long, short)]
        compress: bool,
        /// Replace the file where it is there
        #[arg(long)]
        force: bool,
    },
    /// Take an image from elsewhere into the library: raw, qcow2, vmdk, vdi or vhdx, compressed or not
    Import {
        /// The image's file
        file: PathBuf,
    },
    /// List the images that came from elsewhere
    Imported,
    /// Delete images that came from elsewhere
    Rm {
        /// Their names or ids
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Write lists of what is in a build beside each other into a folder
    Lists {
        /// The build
        build: String,
        /// The folder
        folder: PathBuf,
        /// Which; all where nothing is said
        #[arg(long = "kind", value_enum)]
        kinds: Vec<List>,
    },
}

/// An image, and which of its volumes.
#[derive(Debug, Args)]
pub(crate) struct At {
    /// The image
    image: String,
    /// The number of a partition; the root, where nothing is said
    #[arg(long, value_name = "NUMBER")]
    volume: Option<u32>,
}

/// A format, as flags spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// The disk's bytes, with holes
    #[value(alias = "img")]
    Raw,
    /// QEMU's
    Qcow2,
    /// That of `VMware`
    Vmdk,
    /// That of `VirtualBox`
    Vdi,
    /// Hyper-V's
    Vhdx,
    /// The files as an archive
    Tar,
    /// A folder with kernel and disk
    Pair,
}

/// A list, as flags spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum List {
    /// Files with their digests
    Files,
    /// A bill of materials as SPDX
    Spdx,
    /// A bill of materials as `CycloneDX`
    Cyclonedx,
}

impl Verb {
    #[expect(clippy::too_many_lines, reason = "one arm for each verb")]
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let output = context.output;
        match self {
            Self::Push(push) => return push.run(context).await,
            Self::Info { image } => {
                output.show(&workshop.image_info(&image).await?, info)?;
            }
            Self::Ls { at, path } => {
                let entries = match workshop.image_stat(&at.image, at.volume, &path).await? {
                    entry if entry.kind != ImageEntryKind::Directory => vec![entry],
                    _ => workshop.image_list(&at.image, at.volume, &path).await?,
                };
                output.show(&entries, |entries| listed(entries, |entry| &entry.name))?;
            }
            Self::Tree { at, path } => {
                let all = workshop.image_tree(&at.image, at.volume, &path).await?;
                output.show(&all, |all| listed(all, |entry| &entry.path))?;
            }
            Self::Cat { at, path } => {
                let mut failed = None;
                workshop
                    .read_image_file(&at.image, at.volume, &path, &mut |bytes| {
                        Output::raw(bytes)
                            .map_err(|failure| failed = Some(failure))
                            .is_ok()
                    })
                    .await?;
                if let Some(failure) = failed {
                    return Err(failure);
                }
            }
            Self::Search { at, text, limit } => {
                let found = workshop
                    .image_search(&at.image, at.volume, &text, limit)
                    .await?;
                output.show(&found, |found| listed(&found.entries, |entry| &entry.path))?;
                if found.more {
                    output.note("There is more; --limit shows it");
                }
            }
            Self::Sizes { at, path } => {
                let sizes = workshop.image_sizes(&at.image, at.volume, &path).await?;
                output.show(&sizes, |sizes| {
                    let rows: Vec<_> = sizes
                        .iter()
                        .map(|it| {
                            [
                                size(it.size_bytes),
                                count(it.file_count, "file", "files"),
                                it.name.clone(),
                            ]
                        })
                        .collect();
                    table(["SIZE", "FILES", "NAME"], &rows, "Nothing is in it")
                })?;
            }
            Self::Cp {
                at,
                mut paths,
                force,
            } => {
                let folder = PathBuf::from(paths.pop().unwrap_or_default());
                extract(context, &at, &paths, folder, force).await?;
            }
            Self::Extract { at, folder, force } => {
                extract(context, &at, &["/".to_owned()], folder, force).await?;
            }
            Self::Diff { image, other } => {
                let job = workshop.start_compare(&image, &other)?;
                let mut signals = Signals::listen()?;
                let job = progress::wait(context, &job, &mut signals).await?;
                let filter = ComparisonFilter::default();
                let found = workshop
                    .image_comparison(&job.id, filter, 0, u32::MAX)
                    .await?;
                output.show(&found, compared)?;
                return Ok(u8::from(!found.rows.is_empty()));
            }
            Self::Verify { image } => {
                let job = workshop.start_image_verify(&image)?;
                let mut signals = Signals::listen()?;
                let job = progress::wait(context, &job, &mut signals).await?;
                let found = workshop.image_verification(&job.id).await?;
                output.show(&found, verified)?;
                return Ok(u8::from(!found.differences.is_empty()));
            }
            Self::SetCmdline { image, text } => {
                workshop.set_image_command_line(&image, &text).await?;
                output.show(&text, |text| format!("{image} starts with `{text}`"))?;
            }
            Self::Replace { at, path, from } => {
                workshop
                    .replace_image_file(&at.image, at.volume, &path, from)
                    .await?;
                output.show(&path, |path| format!("Replaced {path}"))?;
            }
            Self::Resize { image, size: bytes } => {
                let job = workshop.start_image_resize(&image, bytes)?;
                let mut signals = Signals::listen()?;
                progress::wait(context, &job, &mut signals).await?;
                output.show(&workshop.image_info(&image).await?, |info| {
                    format!("{image} has {} now", size(info.size_bytes))
                })?;
            }
            Self::Convert {
                image,
                file,
                format,
                compress,
                force,
            } => {
                let format = match format {
                    Some(format) => format,
                    None => format_of(&file)?,
                };
                let options = ConvertOptions {
                    compressed: compress,
                    replace: force,
                };
                let job = workshop.start_convert(&image, &file, format.into(), options)?;
                let mut signals = Signals::listen()?;
                let job = progress::wait(context, &job, &mut signals).await?;
                output.show(&job.produced.unwrap_or_default(), |path| {
                    format!("Wrote {path}")
                })?;
            }
            Self::Import { file } => {
                let job = workshop.start_image_import(&file)?;
                let mut signals = Signals::listen()?;
                let job = progress::wait(context, &job, &mut signals).await?;
                let id = job.produced.unwrap_or_default();
                let images = workshop.imported_images().await?;
                let image = images.into_iter().find(|image| image.id == id);
                output.show(&image, |image| {
                    image.as_ref().map_or_else(String::new, |image| {
                        format!("Imported {} ({})", image.name, size(image.size_bytes))
                    })
                })?;
            }
            Self::Imported => {
                output.show(&workshop.imported_images().await?, |it| imported(it))?;
            }
            Self::Rm { images } => {
                for image in &images {
                    workshop.delete_imported_image(image).await?;
                }
                output.show(&images, |images| {
                    lines(images, |image| format!("Deleted {image}"))
                })?;
            }
            Self::Lists {
                build,
                folder,
                kinds,
            } => {
                let kinds: Vec<ListKind> = if kinds.is_empty() {
                    vec![ListKind::Files, ListKind::Spdx, ListKind::Cyclonedx]
                } else {
                    kinds.into_iter().map(ListKind::from).collect()
                };
                let job = workshop.start_export_lists(&build, folder, &kinds)?;
                let mut signals = Signals::listen()?;
                let job = progress::wait(context, &job, &mut signals).await?;
                output.show(&job.produced.unwrap_or_default(), |path| {
                    format!("Wrote the lists into {path}")
                })?;
            }
        }
        Ok(0)
    }
}

async fn extract(
    context: &Context,
    at: &At,
    paths: &[String],
    folder: PathBuf,
    force: bool,
) -> Result<(), Failure> {
    let workshop = &context.workshop;
    let folder = std::path::absolute(folder)?;
    let job = workshop.start_extract(&at.image, at.volume, paths, folder, force)?;
    let mut signals = Signals::listen()?;
    let job = progress::wait(context, &job, &mut signals).await?;
    context
        .output
        .show(&job.produced.unwrap_or_default(), |folder| {
            format!("Copied to {folder}")
        })
}

fn format_of(file: &std::path::Path) -> Result<Format, Failure> {
    let extension = file.extension().unwrap_or_default().to_string_lossy();
    clap::ValueEnum::from_str(&extension, true).map_err(|_| {
        Failure::usage(
            format!(
                "`{}` does not say which format it is to have",
                file.display()
            ),
            "Name the format with --format",
        )
    })
}

impl From<Format> for ImageFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Raw => Self::Raw,
            Format::Qcow2 => Self::Qcow2,
            Format::Vmdk => Self::Vmdk,
            Format::Vdi => Self::Vdi,
            Format::Vhdx => Self::Vhdx,
            Format::Tar => Self::Tar,
            Format::Pair => Self::KernelAndDisk,
        }
    }
}

impl From<List> for ListKind {
    fn from(list: List) -> Self {
        match list {
            List::Files => Self::Files,
            List::Spdx => Self::Spdx,
            List::Cyclonedx => Self::Cyclonedx,
        }
    }
}
