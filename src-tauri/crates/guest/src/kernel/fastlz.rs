//! `FastLZ`, the compression of the kernel within an OSv loader image (its `fastlz/`), both of its levels.
//!
//! ```text
//! first byte   level - 1 in its upper three bits, else as a control byte below 32
//! 000LLLLL     L + 1 bytes follow, to be taken as they are
//! LLLDDDDD d   repeat: L + 2 bytes from (D << 8 | d) + 1 back
//! 111DDDDD n d the length goes on: level 1 in one byte, level 2 in bytes until one is not 255
//! ```
//!
//! In level 2 a distance of 8191 with d = 255 is followed by two more bytes of distance (big-endian, plus 8191).

/// The farthest that level 2 reaches without further bytes.
const NEAR_DISTANCE: usize = 8191;

/// Unpacks `input` into at most `limit_bytes`; `None` where it is not what `FastLZ` writes.
pub(super) fn decompress(input: &[u8], limit_bytes: usize) -> Option<Vec<u8>> {
    let is_level_2 = match input.first()? >> 5 {
        0 => false,
        1 => true,
        _ => return None,
    };
    let mut output = Vec::with_capacity(limit_bytes.min(1 << 20));
    let mut bytes = input.iter().map(|byte| usize::from(*byte));
    let mut control = bytes.next()? & 31;
    loop {
        if control < 32 {
            for _ in 0..=control {
                output.push(u8::try_from(bytes.next()?).ok()?);
            }
        } else {
            let mut length = (control >> 5) + 2;
            let mut distance = (control & 31) << 8;
            if control >> 5 == 7 {
                loop {
                    let more = bytes.next()?;
                    length += more;
                    if !is_level_2 || more != 255 {
                        break;
                    }
                }
            }
            let low = bytes.next()?;
            distance += low;
            if is_level_2 && low == 255 && distance == NEAR_DISTANCE {
                distance = NEAR_DISTANCE + (bytes.next()? << 8);
                distance += bytes.next()?;
            }
            let start = output.len().checked_sub(distance + 1)?;
            if output.len() + length > limit_bytes {
                return None;
            }
            // The copy may read what it has just written.
            for index in start..start + length {
                output.push(output[index]);
            }
        }
        if output.len() > limit_bytes {
            return None;
        }
        match bytes.next() {
            Some(next) => control = next,
            None => return Some(output),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_and_repeats() {
        // "abc", then 6 bytes from 3 back, then "d".
        let input = [2, b'a', b'b', b'c', 4 << 5, 2, 0, b'd'];
        assert_eq!(decompress(&input, 100).unwrap(), b"abcabcabcd");
        assert_eq!(decompress(&input, 9), None, "more than was asked for");
        assert_eq!(decompress(&input[..3], 100), None, "cut short");
        // Level 2: one byte, repeated 1 + 7 + 2 + 255 + 3 times.
        let input = [1 << 5, b'x', 7 << 5, 255, 3, 0];
        assert_eq!(decompress(&input, 1000).unwrap(), vec![b'x'; 268]);
        assert_eq!(
            decompress(&[0, b'a', 1 << 5, 9], 100),
            None,
            "from before the beginning"
        );
    }

    proptest! {
        #[test]
        fn anything_can_be_unpacked(input in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decompress(&input, 10_000);
        }
    }
}
