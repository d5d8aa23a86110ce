//! Small changes of an image in its place.

use std::path::PathBuf;
use std::sync::Arc;

use super::work::not_yet;
use crate::Workshop;
use crate::error::Result;

impl Workshop {
    /// Sets the boot command line that an image carries.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine uses the image; `Input` when it carries none, or the text does not fit.
    pub async fn set_image_command_line(self: &Arc<Self>, _image: &str, _text: &str) -> Result<()> {
        Err(not_yet())
    }

    /// Gives a file of an image the bytes of a file of this computer.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a machine uses the image; `Input` where the file system cannot be written.
    pub async fn replace_image_file(
        self: &Arc<Self>,
        _image: &str,
        _volume: Option<u32>,
        _path: &str,
        _from: PathBuf,
    ) -> Result<()> {
        Err(not_yet())
    }
}
