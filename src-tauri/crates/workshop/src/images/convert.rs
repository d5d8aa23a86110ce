//! An image in another format or of another size.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_compose as compose;
use windlass_image::Watch as _;
use windlass_image::convert::{self, Format};
use windlass_image::export::Compression;
use windlass_image::linux::{self, Pair, PairFiles};
use windlass_image::resize::{self, ResizeOptions};

use super::model::{ConvertOptions, ImageFormat};
use super::open::Named;
use super::work::counting;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::GuestOs;
use crate::jobs::{Job, JobKind, Request};

impl Workshop {
    /// Writes an image in another format, as a job that ends with the new file's path.
    ///
    /// # Errors
    /// `NotFound` when there is no such image.
    pub fn start_convert(
        self: &Arc<Self>,
        image: &str,
        destination: &Path,
        format: ImageFormat,
        options: ConvertOptions,
    ) -> Result<Job> {
        let named = self.named_image(image)?;
        let destination =
            std::path::absolute(destination).doing("find the folder of", destination)?;
        let name = destination.file_name().unwrap_or_default();
        let request = Request::Convert {
            image: Self::lasting_name(image, &named),
            destination: destination.clone(),
            format,
            options,
        };
        if format == ImageFormat::KernelAndDisk {
            return self.start_pair(named, destination, &request);
        }
        let format = match (format, options.compressed) {
            (ImageFormat::Raw, _) => Format::Raw,
            (ImageFormat::Qcow2, _) => Format::Qcow2,
            (ImageFormat::Vmdk, false) => Format::Vmdk,
            (ImageFormat::Vmdk, true) => Format::VmdkStream,
            (ImageFormat::Vdi, _) => Format::Vdi,
            (ImageFormat::Vhdx, _) => Format::Vhdx,
            (ImageFormat::Tar | ImageFormat::KernelAndDisk, _) => Format::Tar,
        };
        let title = format!(
            "Write {} as {}",
            self.shown_name(image, &named),
            name.to_string_lossy()
        );
        let options = convert::ConvertOptions {
            compression: options.compressed.then_some(Compression::Zstd),
            volume: None,
            replace: options.replace,
        };
        let subject = named.build.as_ref().map(|it| it.appliance_id.clone());
        self.start_blocking(
            JobKind::Convert,
            title,
            subject,
            &request,
            move |workshop, reporter| {
                let (_open, _lease) = workshop.hold(&named)?;
                reporter.step("Writing");
                let total = convert::total_bytes(&named.path, format, &options)?;
                let mut watch = counting(reporter, total);
                let done =
                    convert::convert(&named.path, &destination, format, &options, &mut watch)?;
                reporter.log(&format!(
                    "{} bytes in a file of {}",
                    done.size_bytes, done.file_bytes
                ));
                if done.left_out > 0 {
                    reporter.log(&format!("{} devices and the like left out", done.left_out));
                }
                Ok(Some(destination.display().to_string()))
            },
        )
    }

    /// Writes a build as kernel, initramfs, parameters and disk into a folder, as a job.
    fn start_pair(
        self: &Arc<Self>,
        named: Named,
        folder: PathBuf,
        request: &Request,
    ) -> Result<Job> {
        let Some(build) = named.build.clone() else {
            return Err(AppError::new(
                ErrorKind::Input,
                "It is not known which kernel boots this image",
            )
            .hinted("Only builds can be written with their kernel"));
        };
        let name = self.appliance(&build.appliance_id)?.name;
        let (kernel, initramfs) = match build.guest {
            GuestOs::Linux => (
                self.library.kernel(&build.kernel_id)?.path,
                Some(self.library.initramfs(&build.kernel_id)?),
            ),
            GuestOs::Osv => {
                let kernels = self.library.osv_kernels()?.into_iter();
                let mut ours = kernels.filter(|kernel| {
                    let mut files = kernel.loader.iter().chain(&kernel.elf);
                    files.any(|file| file.id == build.kernel_id)
                });
                let elf = ours.find_map(|kernel| kernel.elf).ok_or_else(|| {
                    AppError::new(
                        ErrorKind::Unavailable,
                        "The library has no OSv ELF kernel for this build",
                    )
                    .hinted("Add one with `windlassctl kernel add FILE`, or write the disk alone")
                })?;
                (elf.path, None)
            }
        };
        self.start_blocking(
            JobKind::Convert,
            format!("Write {name} as kernel and disk"),
            Some(build.appliance_id),
            request,
            move |workshop, reporter| {
                let (open, _lease) = workshop.hold(&named)?;
                std::fs::create_dir_all(&folder).doing("create the folder", &folder)?;
                reporter.step("Writing");
                let info = workshop.info(&named, &open)?;
                let line = info.osv.and_then(|osv| osv.command_line);
                let line = line.or(info.guest_command_line).unwrap_or_default();
                let pair = Pair {
                    kernel: &kernel,
                    initramfs: initramfs.as_deref(),
                    command_line: &line,
                    disk: open.image.disk(),
                };
                let files = PairFiles::of(&folder, &name);
                let mut watch = counting(reporter, open.image.size_bytes());
                linux::write_pair(&files, &pair, &mut watch)?;
                Ok(Some(folder.display().to_string()))
            },
        )
    }

    /// Makes the disk of an image larger or smaller, as a job.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine uses it, or it is a build.
    pub fn start_image_resize(self: &Arc<Self>, image: &str, size_bytes: u64) -> Result<Job> {
        let named = self.named_image(image)?;
        self.check_writable(&named)?;
        let request = Request::ResizeImage {
            image: Self::lasting_name(image, &named),
            size_bytes,
        };
        let title = format!("Resize {}", self.shown_name(image, &named));
        let subject = named.build.as_ref().map(|it| it.appliance_id.clone());
        self.start_blocking(
            JobKind::ResizeImage,
            title,
            subject,
            &request,
            move |workshop, reporter| {
                let _lease = workshop.hold_to_write(&named)?;
                reporter.step("Resizing");
                let mut watch = counting(reporter, 0);
                let (done, digest) = if named.build.is_some() {
                    let cancel = reporter.cancellation();
                    let mut told = |bytes| watch.advance(bytes);
                    let done = compose::resize_image(&named.path, size_bytes, &mut told, cancel);
                    let done = done.map_err(|error| match error {
                        compose::Error::Image { source, .. } => AppError::from(*source),
                        other => other.into(),
                    })?;
                    (done.resized, done.digest)
                } else {
                    let options = ResizeOptions::default();
                    let done = resize::resize(&named.path, size_bytes, &options, &mut watch)?;
                    (done, None)
                };
                reporter.log(&format!(
                    "{} bytes before, {} now",
                    done.old_bytes, done.new_bytes
                ));
                if let Some(file_system) = done.file_system {
                    reporter.log(&format!("The {file_system} has grown with the disk"));
                }
                match (&named.build, &digest) {
                    (Some(build), Some(digest)) => {
                        workshop.open_images.forget(&named.path);
                        workshop.set_resized(build, done.new_bytes, digest)?;
                    }
                    _ => workshop.settle_after_write(&named)?,
                }
                Ok(None)
            },
        )
    }
}

/// The words for what a machine keeps from being written.
pub(super) fn in_use(machine: &str) -> AppError {
    AppError::new(
        ErrorKind::Conflict,
        format!("The machine `{machine}` uses this image"),
    )
    .hinted("Delete the machine first, or convert the image and change the copy")
}
