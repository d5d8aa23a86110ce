//! Any bytes as an image: raw or qcow2, any division, any file system, listed and read as the browser does.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use windlass_image::{Image, disk, file_system};

fuzz_target!(|bytes: &[u8]| {
    let Ok((format, disk)) = disk::of(Arc::new(bytes.to_vec())) else { return };
    let Ok(image) = Image::of(Path::new("fuzzed"), format, disk) else { return };
    for volume in image.volumes() {
        let Ok(file_system) = image.file_system(volume) else { continue };
        for stat in file_system::walk(file_system.as_ref()).map_while(Result::ok).take(1000) {
            let _ = file_system.read(&stat, 0, &mut [0; 512]);
        }
    }
});
