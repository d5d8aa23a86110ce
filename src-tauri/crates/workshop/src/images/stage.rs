//! Files on their way out of an image, by a pointer that drags them.
//!
//! A program that takes dragged files is given addresses and copies from there, whenever it likes. So they are copied
//! into a folder of our own first, and stay there until the next start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Workshop;
use crate::disk::write_whole;
use crate::error::{IoContext, Result};

impl Workshop {
    /// Copies files and folders of an image to where another program can take them, and says where that is.
    ///
    /// # Errors
    /// `NotFound` when there is no such image or path in it; whatever copying them runs into.
    pub async fn stage_for_drag(
        self: &Arc<Self>,
        image: &str,
        volume: Option<u32>,
        paths: &[String],
    ) -> Result<Vec<PathBuf>> {
        let folder = self.home.dragged().join(crate::new_id());
        std::fs::create_dir_all(&folder).doing("create the folder", &folder)?;
        let job = self.start_extract(image, volume, paths, folder.clone(), false)?;
        self.finish_job(&job.id, |_| ()).await?;
        let mut ready = Vec::new();
        for entry in std::fs::read_dir(&folder).doing("read the folder", &folder)? {
            ready.push(entry.doing("read the folder", &folder)?.path());
        }
        Ok(ready)
    }

    /// Deletes what was dragged out before this start: whoever took it has copied it by now.
    pub fn forget_dragged(&self) {
        let folder = self.home.dragged();
        if let Err(error) = std::fs::remove_dir_all(&folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "files that were dragged out could not be deleted");
        }
    }

    /// Writes a text to a file, or leaves the file as it was.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn save_text(&self, path: &Path, text: String) -> Result<()> {
        let path = path.to_path_buf();
        crate::blocking(move || write_whole(&path, text.as_bytes())).await?
    }
}
