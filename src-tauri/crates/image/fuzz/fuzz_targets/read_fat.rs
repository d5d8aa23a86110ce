//! Any bytes behind numbers of a small FAT file system: opened, walked, and every file read.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use windlass_image::fat::Fat;
use windlass_image::{FileSystem, file_system};

fuzz_target!(|bytes: &[u8]| {
    let mut image = bytes.to_vec();
    if image.len() < 1024 {
        return;
    }
    image[0] = 0xEB;
    image[11..13].copy_from_slice(&512_u16.to_le_bytes());
    image[21] = 0xF8;
    image[510..512].copy_from_slice(&[0x55, 0xAA]);
    let Ok(fat) = Fat::open(Arc::new(image)) else { return };
    for stat in file_system::walk(&fat).map_while(Result::ok).take(1000) {
        let _ = fat.read(&stat, 0, &mut [0; 512]);
    }
});
