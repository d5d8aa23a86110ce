//! A machine's own layer over a shared, read-only disk image: an empty qcow2 file that names the image as its base.
//!
//! Written here rather than by `qemu-img`, which comes in a package of its own and takes longer than the guest does to
//! boot. The layout (QEMU's `docs/interop/qcow2.txt`), version 3, clusters of 64 KiB:
//!
//! ```text
//!   cluster 0   header (104 bytes), header extensions, name of the base
//!   cluster 1   refcount table: one entry, to cluster 2
//!   cluster 2   refcount block: 1 for every cluster of this file
//!   cluster 3.. L1 table: zeros, nothing is written yet
//! ```

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::record::{Durability, write_atomically};
use crate::spec::DiskFormat;

const CLUSTER_BITS: u32 = 16;
const CLUSTER_BYTES: u64 = 1 << CLUSTER_BITS;
/// What one L1 entry covers: a cluster of 8-byte L2 entries, a cluster each.
const L1_ENTRY_COVERS_BYTES: u64 = CLUSTER_BYTES / 8 * CLUSTER_BYTES;
const SECTOR_BYTES: u64 = 512;
const MAGIC: [u8; 4] = *b"QFI\xfb";
/// The limit of the format itself.
const BASE_NAME_MAX_BYTES: usize = 1023;
/// The largest base that is taken (8 TiB): keeps the tables small.
const SIZE_MAX_BYTES: u64 = 8 << 40;

/// Makes the overlay `path` over `base`, unless it is there already.
pub(crate) fn ensure(path: &Path, base: &Path, format: DiskFormat) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let size_bytes = virtual_size(base, format)?;
    let bytes = empty_overlay(base, format, size_bytes)?;
    write_atomically(path, &bytes, Durability::Power).map_err(Error::io("write", path))
}

/// What a guest sees as the size of the disk in an image.
fn virtual_size(base: &Path, format: DiskFormat) -> Result<u64> {
    let mut file = File::open(base).map_err(Error::io("open", base))?;
    match format {
        DiskFormat::Raw => {
            let length = file.metadata().map_err(Error::io("look at", base))?.len();
            Ok(length.next_multiple_of(SECTOR_BYTES))
        }
        DiskFormat::Qcow2 => {
            let mut header = [0; 32];
            file.read_exact(&mut header)
                .map_err(Error::io("read the header of", base))?;
            let (magic, rest) = header.split_at(4);
            if magic != MAGIC {
                return Err(Error::BaseImage {
                    path: base.to_owned(),
                    problem: "it is said to be qcow2, and is not".to_owned(),
                });
            }
            let mut size = [0; 8];
            size.copy_from_slice(&rest[20..28]);
            Ok(u64::from_be_bytes(size))
        }
    }
}

fn empty_overlay(base: &Path, format: DiskFormat, size_bytes: u64) -> Result<Vec<u8>> {
    let refuse = |problem: String| Error::BaseImage {
        path: base.to_owned(),
        problem,
    };
    let name = base.as_os_str().as_bytes();
    if name.len() > BASE_NAME_MAX_BYTES {
        return Err(refuse(format!(
            "its path is longer than {BASE_NAME_MAX_BYTES} bytes"
        )));
    }
    if size_bytes == 0 || size_bytes > SIZE_MAX_BYTES {
        return Err(refuse(format!("a disk of {size_bytes} bytes")));
    }
    let format_name: &[u8] = match format {
        DiskFormat::Raw => b"raw",
        DiskFormat::Qcow2 => b"qcow2",
    };
    let l1_entries = size_bytes.div_ceil(L1_ENTRY_COVERS_BYTES);
    let clusters = 3 + (l1_entries * 8).div_ceil(CLUSTER_BYTES);

    // Header extensions follow the header: the base's format (padded to 8), and the end of extensions.
    let mut extensions = 0xe279_2aca_u32.to_be_bytes().to_vec();
    extensions.extend(
        u32::try_from(format_name.len())
            .unwrap_or_default()
            .to_be_bytes(),
    );
    extensions.extend(format_name);
    extensions.resize(extensions.len().next_multiple_of(8), 0);
    extensions.extend([0; 8]);
    let name_offset = 104 + extensions.len() as u64;

    let mut image = Vec::new();
    let u32s = |image: &mut Vec<u8>, values: &[u32]| {
        image.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    };
    let u64s = |image: &mut Vec<u8>, values: &[u64]| {
        image.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    };
    image.extend(MAGIC);
    u32s(&mut image, &[3]); // version
    u64s(&mut image, &[name_offset]);
    u32s(
        &mut image,
        &[u32::try_from(name.len()).unwrap_or_default(), CLUSTER_BITS],
    );
    u64s(&mut image, &[size_bytes]);
    u32s(
        &mut image,
        &[0, u32::try_from(l1_entries).unwrap_or_default()],
    ); // no encryption; L1 entries
    u64s(&mut image, &[3 * CLUSTER_BYTES, CLUSTER_BYTES]); // L1 table, refcount table
    u32s(&mut image, &[1, 0]); // refcount table's clusters, snapshots
    u64s(&mut image, &[0, 0, 0, 0]); // snapshots' offset; incompatible, compatible, autoclear features
    u32s(&mut image, &[4, 104]); // refcounts of 16 bits; header length
    image.extend(extensions);
    image.extend(name);

    image.resize(usize::try_from(CLUSTER_BYTES).unwrap_or_default(), 0);
    u64s(&mut image, &[2 * CLUSTER_BYTES]);
    image.resize(usize::try_from(2 * CLUSTER_BYTES).unwrap_or_default(), 0);
    for _ in 0..clusters {
        image.extend(1_u16.to_be_bytes());
    }
    image.resize(
        usize::try_from(clusters * CLUSTER_BYTES).unwrap_or_default(),
        0,
    );
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_overlay_is_small_and_of_the_size_of_its_base() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base.img");
        std::fs::write(&base, vec![7; 1_000_000]).unwrap();
        let first = folder.path().join("first.qcow2");
        ensure(&first, &base, DiskFormat::Raw).unwrap();
        assert_eq!(first.metadata().unwrap().len(), 4 * CLUSTER_BYTES);
        assert_eq!(virtual_size(&first, DiskFormat::Qcow2).unwrap(), 1_000_448);
        let second = folder.path().join("second.qcow2");
        ensure(&second, &first, DiskFormat::Qcow2).unwrap();
        assert_eq!(virtual_size(&second, DiskFormat::Qcow2).unwrap(), 1_000_448);
        check_with_qemu(&second);
    }

    #[test]
    fn what_no_overlay_can_be_made_over_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base.img");
        std::fs::write(&base, vec![0; 512]).unwrap();
        let path = folder.path().join("overlay.qcow2");
        let error = ensure(&path, &base, DiskFormat::Qcow2)
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("it is said to be qcow2, and is not"),
            "{error}"
        );
        std::fs::write(&base, b"").unwrap();
        let error = ensure(&path, &base, DiskFormat::Raw)
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("a disk of 0 bytes"), "{error}");
        assert!(!path.exists());
    }

    /// QEMU's own opinion, where its tools are installed.
    fn check_with_qemu(path: &Path) {
        let check = std::process::Command::new("qemu-img")
            .arg("check")
            .arg(path)
            .output();
        match check {
            Ok(check) => assert!(check.status.success(), "{check:?}"),
            Err(error) => println!("not checked by qemu-img: {error}"),
        }
    }
}
