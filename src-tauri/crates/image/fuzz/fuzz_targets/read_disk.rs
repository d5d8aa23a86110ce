//! Any bytes as a disk: recognised, its partitions, command line and superblocks read.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use windlass_image::{detect, ext4, mbr, osv, rofs};

fuzz_target!(|bytes: &[u8]| {
    let mut disk = Cursor::new(bytes);
    let _ = detect(&mut disk);
    let _ = mbr::read(&mut disk);
    let _ = osv::read_command_line(&mut disk);
    let _ = ext4::Superblock::read(&mut disk);
    if let Ok((_, section)) = osv::root_partition(disk) {
        let _ = rofs::Reader::open(section).map(|reader| reader.walk().count());
    }
});
