//! Names as text that any bytes can be told from.
//!
//! What is not UTF-8, and `%` itself, becomes `%` and two digits; everything else stays as it is.

use std::fmt::Write as _;

use crate::{GuestPath, PathError};

/// Bytes as text.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for part in chunk.valid().split_inclusive('%') {
            match part.strip_suffix('%') {
                Some(before) => text.extend([before, "%25"]),
                None => text.push_str(part),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string never fails.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The bytes of such a text. A `%` that no two digits follow stands for itself.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        let digits = match behind {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match digits {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &behind[2..];
            }
            None => bytes.push(*first),
        }
    }
    bytes
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

impl GuestPath {
    /// The path as text with a leading `/`, from which [`GuestPath::from_escaped`] makes it again.
    pub fn escaped(&self) -> String {
        format!("/{}", escape(self.as_bytes()))
    }

    /// The path that a text stands for.
    ///
    /// # Errors
    /// [`PathError`] says what is wrong with it.
    pub fn from_escaped(text: &str) -> Result<Self, PathError> {
        Self::new(unescape(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_bytes_become_text() {
        assert_eq!(escape("usr/größe".as_bytes()), "usr/größe");
        assert_eq!(escape(b"100%/\xff\xfe"), "100%25/%FF%FE");
        assert_eq!(escape(b"%%"), "%25%25");
    }

    #[test]
    fn a_lone_percent_sign_stands_for_itself() {
        assert_eq!(unescape("100%"), b"100%");
        assert_eq!(unescape("100%zz/%2"), b"100%zz/%2");
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&bytes)), bytes);
        }
    }
}
