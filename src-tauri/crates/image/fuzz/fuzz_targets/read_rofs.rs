//! Any bytes behind a superblock that says ROFS: opened, walked, and every file read.

#![no_main]

use std::io::{Cursor, Read};

use libfuzzer_sys::fuzz_target;
use windlass_image::rofs::Reader;

fuzz_target!(|bytes: &[u8]| {
    let mut image = [0xDEAD_BEAD_u64, 1, 512].map(u64::to_le_bytes).concat();
    image.extend_from_slice(bytes);
    let Ok(mut reader) = Reader::open(Cursor::new(image)) else { return };
    let entries: Vec<_> = reader.walk().map_while(Result::ok).collect();
    for entry in entries {
        let _ = reader.find(&entry.path);
        if let Ok(mut content) = reader.read(&entry) {
            let _ = content.read(&mut [0; 512]);
        }
    }
});
