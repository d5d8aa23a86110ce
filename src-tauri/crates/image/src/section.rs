//! A part of a disk as if it were a whole one: how a partition is read and written in place.

use std::io::{self, Read, Seek, SeekFrom, Write};

/// The bytes `start..start + size` of a stream.
#[derive(Debug)]
pub struct Section<S> {
    inner: S,
    start_bytes: u64,
    size_bytes: u64,
    position: u64,
}

impl<S: Seek> Section<S> {
    /// Opens a part of `inner` and goes to its first byte.
    ///
    /// # Errors
    /// Where `inner` cannot seek there.
    pub fn new(mut inner: S, start_bytes: u64, size_bytes: u64) -> io::Result<Self> {
        if start_bytes.checked_add(size_bytes).is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        inner.seek(SeekFrom::Start(start_bytes))?;
        Ok(Self {
            inner,
            start_bytes,
            size_bytes,
            position: 0,
        })
    }

    /// The stream that this is a part of.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// How much of `wanted` bytes lies inside, from the position on.
    fn inside(&self, wanted: usize) -> usize {
        let left = self.size_bytes.saturating_sub(self.position);
        usize::try_from(left).map_or(wanted, |left| left.min(wanted))
    }
}

impl<S: Read + Seek> Read for Section<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let inside = self.inside(buffer.len());
        let count = self.inner.read(&mut buffer[..inside])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<S: Write + Seek> Write for Section<S> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let inside = self.inside(buffer.len());
        let count = self.inner.write(&buffer[..inside])?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<S: Seek> Seek for Section<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.size_bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let target = position.and_then(|position| self.start_bytes.checked_add(position));
        let (Some(position), Some(target)) = (position, target) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.inner.seek(SeekFrom::Start(target))?;
        self.position = position;
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_section_ends_where_it_ends() {
        let mut section = Section::new(Cursor::new(b"0123456789".to_vec()), 2, 5).unwrap();
        let mut all = Vec::new();
        section.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"23456");
        assert_eq!(section.seek(SeekFrom::End(-2)).unwrap(), 3);
        assert_eq!(section.write(b"abcdef").unwrap(), 2);
        assert!(section.seek(SeekFrom::Current(-6)).is_err());
        assert_eq!(section.into_inner().into_inner(), b"01234ab789");
    }
}
