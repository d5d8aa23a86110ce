//! Small pictures of machines' screens.
//!
//! ```text
//!   QEMU ─screendump, bare colours─► PPM ─► made smaller here ─► PNG of a few kB
//! ```
//!
//! QEMU writes a PNG in the thread that the guest's devices work in; so it is not asked for one. Most screens stay as they
//! are for long: the last picture of each machine is kept with the digest of its screen.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};

/// No side of a thumbnail is longer.
const SIDE_MAX: u32 = 640;
/// A screen of 16384 by 8192 is larger than any.
const SCREEN_SIDE_MAX: u32 = 16_384;
const SCREEN_BYTES_MAX: u64 = 512 << 20;

/// The last picture of each machine.
#[derive(Debug, Default)]
pub(crate) struct Thumbnails(Mutex<HashMap<String, Kept>>);

/// A picture, of which screen it is, and how large it may be.
#[derive(Debug)]
struct Kept {
    screen: blake3::Hash,
    sides: (u32, u32),
    png: Vec<u8>,
}

impl Thumbnails {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The picture of a screen: the one that is kept, or one that is made now.
    fn of(&self, id: &str, screen: &[u8], sides: (u32, u32)) -> Result<Vec<u8>> {
        let digest = blake3::hash(screen);
        let is_same = |kept: &&Kept| (kept.screen, kept.sides) == (digest, sides);
        if let Some(kept) = self.lock().get(id).filter(is_same) {
            return Ok(kept.png.clone());
        }
        let png = smaller(screen, sides.0, sides.1)?;
        let kept = Kept {
            screen: digest,
            sides,
            png: png.clone(),
        };
        self.lock().insert(id.to_owned(), kept);
        Ok(png)
    }

    /// Forgets those of machines that are no more.
    fn keep_only(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|id, _| is_there(id));
    }
}

impl Workshop {
    /// What the display shows now, no wider and no higher than so many pixels, as PNG.
    ///
    /// # Errors
    /// `Conflict` unless it runs; `Unavailable` without a display.
    pub async fn machine_thumbnail(&self, id: &str, width: u32, height: u32) -> Result<Vec<u8>> {
        let handle = self.machine_handle(id)?;
        let screen = handle.screen().await?;
        let (thumbnails, id) = (Arc::clone(&self.thumbnails), handle.id().to_owned());
        thumbnails.keep_only(|id| self.machines.get(id).is_ok());
        crate::blocking(move || thumbnails.of(&id, &screen, (width, height))).await?
    }
}

fn smaller(screen: &[u8], width: u32, height: u32) -> Result<Vec<u8>> {
    let bad = |error: image::ImageError| AppError::from_error(ErrorKind::Internal, &error, None);
    let mut reader = ImageReader::with_format(Cursor::new(screen), ImageFormat::Pnm);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SCREEN_SIDE_MAX);
    limits.max_image_height = Some(SCREEN_SIDE_MAX);
    limits.max_alloc = Some(SCREEN_BYTES_MAX);
    reader.limits(limits);
    let screen = reader.decode().map_err(bad)?;
    let side = |wanted: u32| wanted.clamp(1, SIDE_MAX);
    let (width, height) = (side(width), side(height));
    let small = if screen.width() <= width && screen.height() <= height {
        screen
    } else {
        // Whole pixels are averaged first, which is quick; the filter has little left to do.
        screen
            .thumbnail(width * 2, height * 2)
            .resize(width, height, FilterType::Triangle)
    };
    let small = DynamicImage::ImageRgb8(small.into_rgb8());
    let mut png = Vec::new();
    small
        .write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
        .map_err(bad)?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_becomes_a_small_picture_of_the_same_shape() {
        let mut screen = b"P6\n1280 800\n255\n".to_vec();
        for at in 0..1280_u32 * 800 {
            screen.extend(if at % 1280 < 640 {
                [250, 0, 0]
            } else {
                [0, 0, 250]
            });
        }
        let png = smaller(&screen, 96, 96).unwrap();
        let small = image::load_from_memory(&png).unwrap().into_rgb8();
        assert_eq!(small.dimensions(), (96, 60));
        assert_eq!(small.get_pixel(10, 10).0, [250, 0, 0]);
        assert_eq!(small.get_pixel(90, 50).0, [0, 0, 250]);
        assert!(png.len() < 2000, "{} bytes", png.len());
    }

    #[test]
    fn a_picture_is_made_anew_where_screen_or_size_are_others() {
        let screen = |colour: u8| {
            let mut screen = b"P6\n4 4\n255\n".to_vec();
            screen.extend([colour; 48]);
            screen
        };
        let thumbnails = Thumbnails::default();
        let first = thumbnails.of("a", &screen(1), (2, 2)).unwrap();
        // What is kept is given, whatever it is.
        thumbnails.lock().get_mut("a").unwrap().png.push(0);
        let again = thumbnails.of("a", &screen(1), (2, 2)).unwrap();
        assert_eq!(again.len(), first.len() + 1);
        assert_eq!(thumbnails.of("b", &screen(1), (2, 2)).unwrap(), first);
        assert_ne!(thumbnails.of("a", &screen(1), (4, 4)).unwrap(), first);
        assert_ne!(thumbnails.of("a", &screen(9), (2, 2)).unwrap(), first);
        thumbnails.keep_only(|id| id == "b");
        assert_eq!(thumbnails.lock().len(), 1);
    }

    #[test]
    fn what_is_no_screen_is_refused() {
        for bytes in [
            &b""[..],
            b"P6\n1280 800\n255\nabc",
            b"P6\n99999999 99999999\n255\n",
        ] {
            smaller(bytes, 96, 96).unwrap_err();
        }
    }
}
