//! Bytes of an image that are looked at again and again, a few pages of them in memory.

use std::io::{Read, Seek, SeekFrom};

use crate::Error;

const PAGE_BYTES: usize = 64 << 10;
/// One for each table, and some for who looks at several places.
const PAGES: usize = 8;

/// A part of an image.
#[derive(Debug)]
pub(super) struct Window<R> {
    pub(super) image: R,
    start: u64,
    length: u64,
    /// The page that was used last is the last.
    pages: Vec<(u64, Box<[u8]>)>,
}

impl<R: Read + Seek> Window<R> {
    pub(super) fn new(image: R, start: u64, length: u64) -> Self {
        Self {
            image,
            start,
            length,
            pages: Vec::new(),
        }
    }

    /// Where the window starts in the image.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Fills a buffer from `at` on, which with all of it has to lie in the window.
    pub(super) fn read_at(&mut self, mut at: u64, mut buffer: &mut [u8]) -> Result<(), Error> {
        while !buffer.is_empty() {
            let (number, within) = (at / PAGE_BYTES as u64, at % PAGE_BYTES as u64);
            let within = usize::try_from(within).unwrap_or(0);
            let page = self.page(number)?;
            let count = buffer.len().min(page.len().saturating_sub(within));
            if count == 0 {
                let source = std::io::ErrorKind::UnexpectedEof.into();
                let offset = self.start + at;
                return Err(Error::Read { offset, source });
            }
            let (now, rest) = buffer.split_at_mut(count);
            now.copy_from_slice(&page[within..within + count]);
            buffer = rest;
            at += count as u64;
        }
        Ok(())
    }

    pub(super) fn u16_at(&mut self, at: u64) -> Result<u16, Error> {
        let mut field = [0; 2];
        self.read_at(at, &mut field)?;
        Ok(u16::from_le_bytes(field))
    }

    fn page(&mut self, number: u64) -> Result<&[u8], Error> {
        match self.pages.iter().rposition(|(known, _)| *known == number) {
            Some(place) if place + 1 < self.pages.len() => {
                let page = self.pages.remove(place);
                self.pages.push(page);
            }
            Some(_) => {}
            None => {
                let first = number * PAGE_BYTES as u64;
                let length = self.length.saturating_sub(first).min(PAGE_BYTES as u64);
                let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)].into_boxed_slice();
                let at = self.start + first;
                self.image
                    .seek(SeekFrom::Start(at))
                    .and_then(|_| self.image.read_exact(&mut bytes))
                    .map_err(Error::read(at))?;
                if self.pages.len() >= PAGES {
                    self.pages.remove(0);
                }
                self.pages.push((number, bytes));
            }
        }
        Ok(self.pages.last().map_or(&[], |(_, bytes)| bytes))
    }
}
