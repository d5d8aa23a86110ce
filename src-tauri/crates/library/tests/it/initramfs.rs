use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use windlass_library::{Error, HELLO, INIT};

use crate::support::{
    Place, borrowed, debian_package, kernel_package_files, linux_kernel, osv_kernel,
};

/// The entries of an archive: name, mode, content.
fn read(path: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut file = fs::File::open(path).unwrap();
    let mut entries = Vec::new();
    loop {
        let mut reader = cpio::newc::Reader::new(file).unwrap();
        if reader.entry().is_trailer() {
            return entries;
        }
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        entries.push((
            reader.entry().name().to_owned(),
            reader.entry().mode(),
            content,
        ));
        file = reader.finish().unwrap();
    }
}

#[test]
fn our_programs_are_static_and_small() {
    for (name, program) in [("init", INIT), ("hello", HELLO)] {
        assert!(program.starts_with(b"\x7fELF"), "{name}");
        assert!(
            program.len() < 4 << 20,
            "{name} has {} bytes",
            program.len()
        );
        // A static program names no dynamic linker.
        assert!(
            !program.windows(9).any(|part| part == b"/ld-linux"),
            "{name} is not static"
        );
    }
    let place = Place::new();
    let hello = place.write("hello", HELLO);
    let mut permissions = fs::metadata(&hello).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(&hello, permissions).unwrap();
    let output = Command::new(hello).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn it_holds_init_and_the_drivers_in_load_order() {
    let place = Place::new();
    let files = kernel_package_files("6.1.0-test");
    let Some(package) = debian_package(&place, "linux-image-6.1.0-test", &borrowed(&files)) else {
        return;
    };
    let kernel = place.add(&package).unwrap();
    let path = place.library.initramfs(&kernel.id).unwrap();
    let entries = read(&path);
    let shown: Vec<String> = entries
        .iter()
        .map(|(name, mode, content)| {
            let size = if name == "init" {
                "all of it".to_owned()
            } else {
                content.len().to_string()
            };
            format!("{mode:06o} {name} {size}")
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @"
    040755 dev 0
    040755 modules 0
    020600 dev/console 0
    100755 init all of it
    100644 modules/virtio_ring.ko 307
    100644 modules/virtio.ko 307
    100644 modules/virtio_blk.ko 325
    100644 modules/failover.ko 307
    100644 modules/net_failover.ko 315
    100644 modules/virtio_net.ko 326
    100644 modules/order 135
    ");
    let content = |name: &str| &entries.iter().find(|entry| entry.0 == name).unwrap().2;
    assert!(content("init") == INIT);
    insta::assert_snapshot!(String::from_utf8_lossy(content("modules/order")), @"
    /modules/virtio_ring.ko
    /modules/virtio.ko
    /modules/virtio_blk.ko
    /modules/failover.ko
    /modules/net_failover.ko
    /modules/virtio_net.ko
    ");
    assert_eq!(
        fs::metadata(&path).unwrap().len() % 512,
        0,
        "another archive may follow"
    );

    // The same again, from memory and made anew.
    assert_eq!(place.library.initramfs(&kernel.id).unwrap(), path);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(fs::read(place.library.initramfs(&kernel.id).unwrap()).unwrap() == bytes);
}

#[test]
fn other_tools_read_it() {
    let place = Place::new();
    let kernel = place
        .add(&place.write("vmlinuz", &linux_kernel("6.1.0")))
        .unwrap();
    let path = place.library.initramfs(&kernel.id).unwrap();
    let listed = Command::new("cpio")
        .arg("-it")
        .stdin(fs::File::open(&path).unwrap())
        .output();
    let Ok(listed) = listed else {
        eprintln!("skipped: no cpio here");
        return;
    };
    let names = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(
        names.lines().collect::<Vec<_>>(),
        ["dev", "modules", "dev/console", "init", "modules/order"]
    );
}

#[test]
fn an_osv_kernel_has_none() {
    let place = Place::new();
    let kernel = place
        .add(&place.write("loader.elf", &osv_kernel("v0.57.0")))
        .unwrap();
    assert!(matches!(
        place.library.initramfs(&kernel.id),
        Err(Error::NotLinux { .. })
    ));
}
