//! The text of one file: of an image, or of a folder that an image is compared with.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_image::GuestPath;

use super::browse::{file_size, read_up_to};
use super::model::ImageText;
use super::open::guest_path;
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};

/// The most of a file that is shown as text.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// A file with a NUL in its first bytes is no text.
const LOOKED_AT_BYTES: usize = 8 << 10;

impl Workshop {
    /// The text of a file in an image, or below a folder, as far as a page can show it.
    ///
    /// # Errors
    /// `NotFound`; `Input` for what is no file, or where the image is damaged.
    pub async fn image_read_text(
        self: &Arc<Self>,
        image: &str,
        volume: Option<u32>,
        path: &str,
    ) -> Result<ImageText> {
        let path = guest_path(path)?;
        let workshop = Arc::clone(self);
        let name = image.to_owned();
        let folder = crate::blocking(move || workshop.compared_folder(&name)).await?;
        if let Some(folder) = folder {
            return crate::blocking(move || text_below(&folder, &path)).await?;
        }
        self.with_image(image, move |open| {
            let file_system = open.file_system(volume)?;
            let stat = file_system.find(&path)?;
            let size_bytes = file_size(&stat)?;
            let wanted = size_bytes.min(TEXT_BYTES_MAX);
            let bytes = read_up_to(file_system.as_ref(), &stat, wanted)?;
            Ok(shown(&bytes, size_bytes))
        })
        .await
    }

    /// The folder that a side of a comparison is; none where it is an image.
    pub(super) fn compared_folder(&self, name: &str) -> Option<PathBuf> {
        let path = Path::new(name);
        let is_folder = path.is_dir() && (name.contains('/') || self.named_image(name).is_err());
        is_folder.then(|| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }
}

/// The text of a file below a folder, which no link leads out of.
fn text_below(folder: &Path, path: &GuestPath) -> Result<ImageText> {
    let below = std::ffi::OsStr::from_bytes(path.as_bytes());
    let below = Path::new(below);
    let at = folder.join(below.strip_prefix("/").unwrap_or(below));
    let outside = || {
        AppError::new(
            ErrorKind::Input,
            format!("`{}` leads out of the folder", at.display()),
        )
    };
    let real = fs::canonicalize(folder).doing("find", folder)?;
    let parent = at.parent().unwrap_or(folder);
    if !fs::canonicalize(parent)
        .doing("find", parent)?
        .starts_with(&real)
    {
        return Err(outside());
    }
    let metadata = fs::symlink_metadata(&at).doing("read", &at)?;
    if !metadata.is_file() {
        return Err(AppError::new(
            ErrorKind::Input,
            format!("`{}` is no file", at.display()),
        ));
    }
    let mut bytes = Vec::new();
    File::open(&at)
        .and_then(|file| file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes))
        .doing("read", &at)?;
    Ok(shown(&bytes, metadata.len()))
}

fn shown(bytes: &[u8], size_bytes: u64) -> ImageText {
    let truncated = size_bytes > bytes.len() as u64;
    let text = text_of(bytes, truncated);
    ImageText {
        is_binary: text.is_none(),
        text: text.unwrap_or_default(),
        truncated,
        size_bytes,
    }
}

/// Bytes as text; none where they are something else. The last character may be cut off.
fn text_of(bytes: &[u8], cut: bool) -> Option<String> {
    let start = &bytes[..bytes.len().min(LOOKED_AT_BYTES)];
    if start.contains(&0) {
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.to_owned()),
        Err(error) if cut && error.error_len().is_none() => {
            let valid = &bytes[..error.valid_up_to()];
            Some(String::from_utf8_lossy(valid).into_owned())
        }
        // Latin-1 and the like: readable but for the odd letter.
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let odd = text.chars().filter(|it| *it == char::REPLACEMENT_CHARACTER);
            (odd.count() * 10 < text.len()).then(|| text.into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_what_is_none() {
        assert_eq!(text_of(b"", false).as_deref(), Some(""));
        assert_eq!(text_of("größe".as_bytes(), false).as_deref(), Some("größe"));
        assert_eq!(text_of(b"\x7fELF\0\0", false), None);
        assert_eq!(text_of(&[0xff; 100], false), None);
        // Cut inside of a character.
        assert_eq!(
            text_of(&"größe".as_bytes()[..3], true).as_deref(),
            Some("gr")
        );
        assert_eq!(
            text_of(b"Latin-1: gr\xf6sse und noch viel mehr", false).as_deref(),
            Some("Latin-1: gr\u{fffd}sse und noch viel mehr")
        );
    }
}
