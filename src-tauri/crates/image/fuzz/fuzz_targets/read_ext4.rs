//! Any bytes behind a superblock that says ext4: opened, walked, and every file read.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use windlass_image::ext4::Ext4;
use windlass_image::{FileSystem, file_system};

fuzz_target!(|bytes: &[u8]| {
    let mut image = vec![0; 1024];
    image.extend_from_slice(bytes);
    if image.len() < 2048 {
        return;
    }
    image[1080..1082].copy_from_slice(&[0x53, 0xEF]);
    let Ok(ext4) = Ext4::open(Arc::new(image)) else { return };
    for stat in file_system::walk(&ext4).map_while(Result::ok).take(1000) {
        let _ = ext4.read(&stat, 0, &mut [0; 512]);
    }
});
