//! Small changes of an image in its place.

use std::path::PathBuf;
use std::sync::Arc;

use windlass_compose::base::LINUX_COMMAND_LINE;
use windlass_image::{Layout, Source, edit};

use super::convert::in_use;
use super::open::{Named, guest_path};
use crate::Workshop;
use crate::builds::Lease;
use crate::error::{AppError, ErrorKind, IoContext, Result};

impl Workshop {
    /// Refuses an image that may not be written to just now.
    pub(super) fn check_writable(&self, named: &Named) -> Result<()> {
        if let Some(machine) = self.image_user(&named.path) {
            return Err(in_use(&machine));
        }
        Ok(())
    }

    /// Holds an image alone, to write to it.
    pub(super) fn hold_to_write(&self, named: &Named) -> Result<Option<Lease>> {
        self.check_writable(named)?;
        let Some(build) = &named.build else {
            return Ok(None);
        };
        let lease = Lease::to_write(&named.path)?;
        if lease.is_none() || !self.build(&build.id)?.has_image {
            return Err(AppError::new(
                ErrorKind::Conflict,
                "The image is being read or updated just now",
            )
            .hinted("Wait until the job that uses it has ended"));
        }
        Ok(lease)
    }

    /// Takes down that an image was written to: it is not what was built any more.
    pub(super) fn settle_after_write(&self, named: &Named) -> Result<()> {
        self.open_images.forget(&named.path);
        if let Some(build) = &named.build {
            self.set_written(build)?;
        }
        Ok(())
    }

    /// Sets the boot command line that an image carries.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine uses the image; `Input` when it carries none, or the text does not fit.
    pub async fn set_image_command_line(self: &Arc<Self>, image: &str, text: &str) -> Result<()> {
        let (workshop, image, text) = (Arc::clone(self), image.to_owned(), text.to_owned());
        crate::blocking(move || {
            let named = workshop.named_image(&image)?;
            let _lease = workshop.hold_to_write(&named)?;
            let open = workshop.open_images.open(&named.path)?;
            let in_file = open.image.osv().is_none() && open.image.layout() == Layout::Bare;
            if in_file {
                // The init of a Linux guest starts by a file of the root.
                let bytes: Arc<[u8]> = Arc::from(format!("{}\n", text.trim_end()).as_bytes());
                let size_bytes = bytes.len() as u64;
                let path = guest_path(LINUX_COMMAND_LINE)?;
                let source = Source::Bytes(bytes);
                edit::replace_file(&named.path, None, &path, source, size_bytes)?;
            } else {
                edit::set_command_line(&named.path, &text)?;
            }
            workshop.settle_after_write(&named)
        })
        .await?
    }

    /// Gives a file of an image the bytes of a file of this computer.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine uses the image; `Input` where the file system cannot be written.
    pub async fn replace_image_file(
        self: &Arc<Self>,
        image: &str,
        volume: Option<u32>,
        path: &str,
        from: PathBuf,
    ) -> Result<()> {
        let (workshop, image) = (Arc::clone(self), image.to_owned());
        let path = guest_path(path)?;
        crate::blocking(move || {
            let named = workshop.named_image(&image)?;
            let file = std::fs::metadata(&from).doing("read", &from)?;
            if !file.is_file() {
                return Err(AppError::new(
                    ErrorKind::Input,
                    format!("`{}` is no file", from.display()),
                ));
            }
            let _lease = workshop.hold_to_write(&named)?;
            let source = Source::Path(from);
            edit::replace_file(&named.path, volume, &path, source, file.len())?;
            workshop.settle_after_write(&named)
        })
        .await?
    }
}
