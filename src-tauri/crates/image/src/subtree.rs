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

/// The digests of the first parts where they are zero and one of several. Disks are mostly empty, and nobody need digest
/// that anew. Made by this module's test.
static ZEROS: &[[u8; 32]; 512] = include_zeros();

const fn include_zeros() -> &'static [[u8; 32]; 512] {
    match include_bytes!("subtree.zeros")
        .as_chunks::<32>()
        .0
        .as_array()
    {
        Some(zeros) => zeros,
        None => panic!("the table is of another size"),
    }
}

/// As [`of`], for a part of zeros.
pub fn of_zeros(offset: u64, total_bytes: u64) -> Subtree {
    static EMPTY: [u8; 1 << 20] = [0; 1 << 20];
    let length = total_bytes.saturating_sub(offset).min(BYTES);
    let known = usize::try_from(offset / BYTES)
        .ok()
        .and_then(|place| ZEROS.get(place));
    match known {
        Some(zeros) if length == BYTES && total_bytes > BYTES => *zeros,
        _ => of(
            offset,
            total_bytes,
            &EMPTY[..usize::try_from(length).unwrap_or(0)],
        ),
    }
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
    fn zeros_are_known() {
        let table: Vec<u8> = (0..512)
            .flat_map(|place| of(place * BYTES, u64::MAX, &vec![0; 1 << 20]))
            .collect();
        if std::env::var_os("WINDLASS_GENERATE").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/subtree.zeros");
            return std::fs::write(path, &table).unwrap();
        }
        assert_eq!(ZEROS.as_flattened(), table);
        for total in [5, 1 << 20, (1 << 20) + 5, (600 << 20) + 5] {
            for offset in (0..total).step_by(1 << 20) {
                let length = usize::try_from((total - offset).min(BYTES)).unwrap();
                assert_eq!(of_zeros(offset, total), of(offset, total, &vec![0; length]));
            }
        }
    }

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
