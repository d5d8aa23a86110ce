//! The digest of something large, from the digests of its parts.
//!
//! BLAKE3 is a tree of chunks. Cut at multiples of [`BYTES`], a power of two, every part is a subtree of
//! its own: parts can be digested by several threads, and kept, so that a change costs one part and not the
//! whole. Put together they make just the digest that BLAKE3 gives of the whole.
//!
//! ```text
//!   1 MiB   1 MiB   1 MiB   rest         of()
//!      └──┬───┘       └──┬───┘
//!         └──────┬───────┘               whole()
//!             digest
//! ```

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root,
    merge_subtrees_root,
};

/// The size of a part.
pub const BYTES: u64 = 1 << 20;

/// The digest of a part; of the only one it is the digest of the whole.
pub type Subtree = [u8; 32];

/// Digests one part: `bytes` from `offset` on, a multiple of [`BYTES`], of `total_bytes`. It is as long as a part, or
/// the last one.
pub fn of(offset: u64, total_bytes: u64, bytes: &[u8]) -> Subtree {
    if total_bytes <= BYTES {
        return *blake3::hash(bytes).as_bytes();
    }
    let mut hasher = Hasher::new();
    hasher.set_input_offset(offset);
    hasher.update(bytes);
    hasher.finalize_non_root()
}

/// How many parts so many bytes have; one at least.
pub fn count(total_bytes: u64) -> u64 {
    total_bytes.div_ceil(BYTES).max(1)
}

/// Puts the parts together, all of them, in their order.
pub fn whole(parts: &[Subtree], total_bytes: u64) -> blake3::Hash {
    if let [only] = parts {
        return blake3::Hash::from_bytes(*only);
    }
    let (left, right) = halves(parts, total_bytes);
    merge_subtrees_root(&merged(left), &merged(right), Mode::Hash)
}

type Half<'parts> = (&'parts [Subtree], u64);

fn halves(parts: &[Subtree], total_bytes: u64) -> (Half<'_>, Half<'_>) {
    let left_bytes = left_subtree_len(total_bytes);
    let split = usize::try_from(left_bytes / BYTES).unwrap_or(usize::MAX);
    let (left, right) = parts.split_at(split.min(parts.len()));
    ((left, left_bytes), (right, total_bytes - left_bytes))
}

fn merged((parts, total_bytes): Half<'_>) -> ChainingValue {
    match parts {
        [] => [0; 32],
        [only] => *only,
        _ => {
            let (left, right) = halves(parts, total_bytes);
            merge_subtrees_non_root(&merged(left), &merged(right), Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0_u32..5 << 20)
            .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect();
        for length in [
            0,
            1,
            1 << 20,
            (1 << 20) + 1,
            2 << 20,
            (3 << 20) + 5000,
            (4 << 20) + 1023,
            5 << 20,
        ] {
            let bytes = &bytes[..length];
            let total = length as u64;
            let mut parts: Vec<Subtree> = bytes
                .chunks(1 << 20)
                .enumerate()
                .map(|(index, part)| of(index as u64 * BYTES, total, part))
                .collect();
            if parts.is_empty() {
                parts.push(of(0, 0, &[]));
            }
            assert_eq!(parts.len() as u64, count(total));
            assert_eq!(whole(&parts, total), blake3::hash(bytes), "{length}");
        }
    }
}
