//! Any bytes behind a header that says qcow2: opened, and its first and last clusters read.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use windlass_image::disk::{Qcow2, ReadAt};

fuzz_target!(|bytes: &[u8]| {
    let mut image = b"QFI\xfb\0\0\0".to_vec();
    image.extend_from_slice(bytes);
    let Ok(disk) = Qcow2::open(Arc::new(image), None) else { return };
    let mut buffer = [0; 4096];
    for offset in [0, disk.size_bytes() / 2, disk.size_bytes().saturating_sub(4096)] {
        let _ = disk.read_at(offset, &mut buffer);
    }
});
