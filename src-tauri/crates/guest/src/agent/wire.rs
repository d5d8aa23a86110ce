//! Frames: bytes to numbered bodies and back. No I/O.

use super::FRAME_MAX_BYTES;

/// What a frame begins with.
pub(super) const MARKER: u8 = 0xa7;

/// Marker and length.
const HEAD_BYTES: usize = 5;

/// Number and tag.
const BODY_MIN_BYTES: usize = 5;

/// Bytes that are no frame, or a frame that says nothing known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Where a frame should begin, something else does.
    #[error("byte {offset}: a frame begins with 0xa7, not with {found:#04x}")]
    Marker {
        /// Where, in bytes since the connection began.
        offset: u64,
        /// The byte.
        found: u8,
    },
    /// A frame of a length that none has.
    #[error(
        "byte {offset}: a frame of {length} bytes; they have between {BODY_MIN_BYTES} and {FRAME_MAX_BYTES}"
    )]
    Length {
        /// Where, in bytes since the connection began.
        offset: u64,
        /// The length that it claims.
        length: u32,
    },
    /// A tag that this side does not know.
    #[error("byte 0 of the body: {tag} is the tag of nothing that is known here")]
    Tag {
        /// The tag.
        tag: u8,
    },
    /// A field that cannot be.
    #[error("byte {offset} of the body: {field} {problem}")]
    Field {
        /// Where in the body, from its tag on.
        offset: usize,
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl WireError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Tag { .. } => {
                Some("Start a new machine: host and guest are of different versions".to_owned())
            }
            _ => None,
        }
    }
}

/// A frame: its number, and its tag with the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of the request, and of its answers.
    pub number: u32,
    /// Tag and fields.
    pub body: Vec<u8>,
}

/// Takes bytes in pieces of any size and gives frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// How much of the buffer was taken.
    taken: usize,
    /// How much was taken before the buffer begins.
    offset: u64,
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes. [`Decoder::next`] is to be called until it has no more, so that no more than a frame
    /// and these bytes are ever held.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.offset += self.taken as u64;
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if all of it is there.
    ///
    /// # Errors
    /// [`WireError::Marker`], [`WireError::Length`]. One byte is passed over then; the next call goes on looking.
    #[expect(
        clippy::should_implement_trait,
        reason = "there is more after None, which no iterator has"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, WireError> {
        while self.buffer.get(self.taken) == Some(&0) {
            self.taken += 1;
        }
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let offset = self.offset + self.taken as u64;
        let Some(first) = rest.first() else {
            return Ok(None);
        };
        if *first != MARKER {
            self.taken += 1;
            let found = *first;
            return Err(WireError::Marker { offset, found });
        }
        let Some(length) = rest.get(1..HEAD_BYTES).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length);
        let count = usize::try_from(length).unwrap_or(usize::MAX);
        if !(BODY_MIN_BYTES..=FRAME_MAX_BYTES).contains(&count) {
            self.taken += 1;
            return Err(WireError::Length { offset, length });
        }
        let Some(content) = rest.get(HEAD_BYTES..HEAD_BYTES + count) else {
            return Ok(None);
        };
        let (number, body) = content.split_at(4);
        let frame = Frame {
            number: u32::from_le_bytes(number.try_into().unwrap_or_default()),
            body: body.to_vec(),
        };
        self.taken += HEAD_BYTES + count;
        Ok(Some(frame))
    }
}

/// A frame that is being written.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(number: u32, tag: u8) -> Self {
        let mut bytes = vec![MARKER, 0, 0, 0, 0];
        bytes.extend(number.to_le_bytes());
        bytes.push(tag);
        Self(bytes)
    }

    pub(super) fn number<const LENGTH: usize>(mut self, bytes: [u8; LENGTH]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend(length.to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// The frame, with its length put in.
    pub(super) fn finish(mut self) -> Vec<u8> {
        debug_assert!(self.0.len() - HEAD_BYTES <= FRAME_MAX_BYTES);
        let length = u32::try_from(self.0.len() - HEAD_BYTES).unwrap_or(u32::MAX);
        self.0[1..HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
        self.0
    }
}

/// A body that is being read, behind its tag.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    pub(super) fn problem(&self, field: &'static str, problem: &'static str) -> WireError {
        WireError::Field {
            offset: self.at,
            field,
            problem,
        }
    }

    fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(count);
        let Some(bytes) = end.and_then(|end| self.body.get(self.at..end)) else {
            return Err(self.problem(field, "is cut off"));
        };
        self.at += count;
        Ok(bytes)
    }

    pub(super) fn array<const LENGTH: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; LENGTH], WireError> {
        let bytes = self.take(field, LENGTH)?;
        bytes
            .try_into()
            .map_err(|_| self.problem(field, "is cut off"))
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        self.array(field).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, WireError> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, WireError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// `0` or `1`.
    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, WireError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.problem(field, "is neither 0 nor 1")),
        }
    }

    pub(super) fn bytes(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.u32(field)?).unwrap_or(usize::MAX);
        if length > max {
            return Err(self.problem(field, "is too long"));
        }
        self.take(field, length)
    }

    pub(super) fn text(&mut self, field: &'static str, max: usize) -> Result<String, WireError> {
        let bytes = self.bytes(field, max)?;
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned)
            .map_err(|_| self.problem(field, "is not UTF-8"))
    }

    /// Nothing may come after the last field.
    pub(super) fn end(&self) -> Result<(), WireError> {
        if self.at == self.body.len() {
            return Ok(());
        }
        Err(self.problem("the end", "is not the end"))
    }
}
