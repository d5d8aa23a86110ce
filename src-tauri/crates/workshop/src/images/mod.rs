//! Images, looked at from inside: builds, imported images, volumes, and any file that holds a disk.
//!
//! ```text
//!   build id ─────┐
//!   imported id ──┼─► a file ─► open, kept ─► info, list, search, text, sizes     at once
//!   volume id ────┤     │
//!   path ─────────┘     └─────► extract, compare, verify, convert, resize         jobs
//! ```
//!
//! Paths in an image are bytes; on the way to the window and back they are text of
//! [`windlass_image::escape`]. What a job found is kept beside its log, so that it can be shown page by
//! page, and once more after a restart.

mod browse;
mod convert;
mod edit;
mod imported;
mod lists;
mod model;
mod open;
mod results;
mod stage;
mod text;
mod work;

pub use model::{
    ComparisonFilter, ConvertOptions, ImageChange, ImageComparison, ImageDifference,
    ImageDifferences, ImageEntry, ImageEntryKind, ImageFault, ImageFinding, ImageFormat,
    ImageFound, ImageInfo, ImageLayout, ImageOsv, ImageSize, ImageText, ImageVerification,
    ImageVolume, ImportedImage, ListKind,
};
pub(crate) use open::OpenImages;
pub(crate) use results::Comparisons;
pub(crate) use work::counting;

use crate::error::{AppError, ErrorKind};

impl From<windlass_image::Error> for AppError {
    fn from(error: windlass_image::Error) -> Self {
        use windlass_image::Error;
        let kind = match &error {
            Error::Cancelled => ErrorKind::Cancelled,
            Error::NotFound { .. } => ErrorKind::NotFound,
            Error::Open { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            Error::Open { .. }
            | Error::Read { .. }
            | Error::Write { .. }
            | Error::Create { .. }
            | Error::NoRoom { .. } => ErrorKind::Unavailable,
            Error::Changed { .. } | Error::Busy { .. } | Error::Exists { .. } => {
                ErrorKind::Conflict
            }
            _ => ErrorKind::Input,
        };
        Self::from_error(kind, &error, error.hint())
    }
}

impl From<windlass_image::PathError> for AppError {
    fn from(error: windlass_image::PathError) -> Self {
        Self::from_error(ErrorKind::Input, &error, None)
    }
}
