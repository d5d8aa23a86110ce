//! An image in another format or of another size.

use std::path::Path;
use std::sync::Arc;

use windlass_image::convert::{self, Format};
use windlass_image::export::Compression;
use windlass_image::resize::{self, ResizeOptions};

use super::model::{ConvertOptions, ImageFormat};
use super::work::{counting, not_yet};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
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
            image: self.lasting_name(image, &named),
            destination: destination.clone(),
            format,
            options,
        };
        let format = match (format, options.compressed) {
            (ImageFormat::Raw, _) => Format::Raw,
            (ImageFormat::Qcow2, _) => Format::Qcow2,
            (ImageFormat::Vmdk, false) => Format::Vmdk,
            (ImageFormat::Vmdk, true) => Format::VmdkStream,
            (ImageFormat::Vdi, _) => Format::Vdi,
            (ImageFormat::Vhdx, _) => Format::Vhdx,
            (ImageFormat::Tar, _) => Format::Tar,
            (ImageFormat::KernelAndDisk, _) => return Err(not_yet()),
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

    /// Makes the disk of an image larger or smaller, as a job.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine uses it, or it is a build.
    pub fn start_image_resize(self: &Arc<Self>, image: &str, size_bytes: u64) -> Result<Job> {
        let named = self.named_image(image)?;
        self.check_writable(&named)?;
        let request = Request::ResizeImage {
            image: self.lasting_name(image, &named),
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
                let done = resize::resize(
                    &named.path,
                    size_bytes,
                    &ResizeOptions::default(),
                    &mut watch,
                )?;
                reporter.log(&format!(
                    "{} bytes before, {} now",
                    done.old_bytes, done.new_bytes
                ));
                if let Some(file_system) = done.file_system {
                    reporter.log(&format!("The {file_system} has grown with the disk"));
                }
                workshop.settle_after_write(&named)?;
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
