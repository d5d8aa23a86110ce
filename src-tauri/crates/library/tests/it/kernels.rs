use std::fs;
use std::process::Command;

use tokio_util::sync::CancellationToken;
use windlass_library::{Error, Kernel, KernelState, Library};

use crate::support::{
    Place, borrowed, debian_package, kernel_package_files, linux_kernel, module, module_files,
    osv_kernel, osv_loader, show_error,
};

/// By this a child of a test knows that it is one, and where its library is.
const CHILD: &str = "WINDLASS_TEST_LIBRARY";

fn show(kernel: &Kernel) -> String {
    let file_systems: Vec<String> = kernel
        .root_file_systems
        .iter()
        .map(ToString::to_string)
        .collect();
    format!(
        "{} {}: {} {}; {} bytes, root on {}; {}\n  {}",
        kernel.id,
        kernel.guest,
        kernel.form,
        kernel.version.as_deref().unwrap_or("of unknown version"),
        kernel.size_bytes,
        file_systems.join(" or "),
        kernel.runs,
        kernel.modules.join(" "),
    )
}

fn list(library: &Library) -> String {
    let listing = library.kernels().unwrap();
    let mut lines: Vec<String> = listing.entries.iter().map(show).collect();
    lines.extend(
        listing
            .broken
            .iter()
            .map(|error| show_error(error, library.home())),
    );
    lines.join("\n").replace("  \n", "").trim_end().to_owned()
}

#[test]
fn kernels_are_told_apart_and_listed() {
    let place = Place::new();
    for (name, content) in [
        ("vmlinuz", linux_kernel("6.1.0-9-cloud-amd64")),
        ("vmlinuz-new", linux_kernel("6.1.0-56-cloud-amd64")),
        ("loader.elf", osv_kernel("v0.57.0")),
        ("loader.img", osv_loader()),
    ] {
        place.add(&place.write(name, &content)).unwrap();
    }
    insta::assert_snapshot!(list(&place.library), @"
    55187d172118bf77 osv: OSv ELF kernel v0.57.0; 184 bytes, root on rofs; OSv applications, booted directly on this computer
    db4370f463c86b3f osv: OSv loader image of unknown version; 98304 bytes, root on rofs; OSv applications, from disks that boot by themselves, as clouds need them
    ef981bc6147ec12d linux: Linux bzImage 6.1.0-56-cloud-amd64; 5120 bytes, root on ext4; Linux applications, if its virtio drivers are built in: it came without modules
    64f77b04a72d5043 linux: Linux bzImage 6.1.0-9-cloud-amd64; 5120 bytes, root on ext4; Linux applications, if its virtio drivers are built in: it came without modules
    ");

    let pairs = place.library.osv_kernels().unwrap();
    assert_eq!(
        pairs.len(),
        1,
        "a loader of unknown version goes with the only ELF"
    );
    let loader = pairs[0].loader.as_ref().unwrap();
    assert_eq!(place.library.osv_kernel(&loader.id).unwrap(), pairs[0]);
    let linux = &place.library.kernels().unwrap().entries[2];
    assert!(matches!(
        place.library.osv_kernel(&linux.id),
        Err(Error::NotOsv { .. })
    ));
}

#[test]
fn what_is_no_kernel_is_refused_with_a_remedy() {
    let place = Place::new();
    let mut transcript = Vec::new();
    for (name, content) in [
        ("kernel.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03abc".to_vec()),
        (
            "loader.qcow2",
            [b"QFI\xfb\0\0\0\x03".to_vec(), vec![0; 600]].concat(),
        ),
        ("notes.txt", b"just a few words\n".to_vec()),
        ("empty", Vec::new()),
        ("cut-off", linux_kernel("6.1.0")[..2000].to_vec()),
    ] {
        let error = place.add(&place.write(name, &content)).unwrap_err();
        transcript.push(show_error(&error, place.folder.path()));
    }
    for name in ["nowhere", "home"] {
        let error = place.add(&place.path(name)).unwrap_err();
        transcript.push(show_error(&error, place.folder.path()));
    }
    insta::assert_snapshot!(transcript.join("\n\n"), @"
    error: …/kernel.gz cannot be added as a guest kernel
    caused by: this is a packed file (gzip), not a guest kernel that Windlass can boot
    hint: unpack it first, then give an OSv loader image (`loader.img`), an OSv ELF kernel (`loader-stripped.elf`) or a Linux kernel (`vmlinuz-…`)

    error: …/loader.qcow2 cannot be added as a guest kernel
    caused by: this is a qcow2 disk image, not a guest kernel that Windlass can boot
    hint: if it holds an OSv loader, convert it first: `qemu-img convert -f qcow2 -O raw FILE loader.img`

    error: …/notes.txt cannot be added as a guest kernel
    caused by: this is text, not a guest kernel that Windlass can boot
    hint: give an OSv loader image (`loader.img`), an OSv ELF kernel (`loader-stripped.elf`) or a Linux kernel (`vmlinuz-…`)

    error: …/empty cannot be added as a guest kernel
    caused by: this is an empty file, not a guest kernel that Windlass can boot
    hint: the file is empty: fetch it again, or give an OSv loader image (`loader.img`), an OSv ELF kernel (`loader-stripped.elf`) or a Linux kernel (`vmlinuz-…`)

    error: …/cut-off cannot be added as a guest kernel
    caused by: this begins like a kernel (Linux bzImage), but at byte 2000 there is the end of the file (its header names 5120 bytes) instead of more of the kernel
    hint: the file may be cut short: fetch it again, or give an OSv loader image (`loader.img`), an OSv ELF kernel (`loader-stripped.elf`) or a Linux kernel (`vmlinuz-…`)

    error: could not read …/nowhere
    caused by: No such file or directory (os error 2)
    hint: It may have been moved or deleted meanwhile: look, and try again.

    error: …/home is not a file
    hint: Choose a kernel file: an OSv loader image or ELF kernel, a Linux bzImage (vmlinuz), or a linux-image-….deb.
    ");
    assert_eq!(place.tree(), ["kernels/", "packages/"].map(str::to_owned));
}

#[test]
fn adding_twice_is_harmless_and_heals_a_damaged_one() {
    let place = Place::new();
    let file = place.write("vmlinuz", &linux_kernel("6.1.0"));
    let kernel = place.add(&file).unwrap();
    assert_eq!(
        kernel.digest,
        blake3::hash(&linux_kernel("6.1.0")).to_hex().to_string()
    );
    assert_eq!(place.add(&file).unwrap(), kernel);
    let before = place.tree();

    fs::write(&kernel.path, b"scribble").unwrap();
    let error = place.library.verify_kernel(&kernel.id, false).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    place.add(&file).unwrap();
    assert_eq!(
        place.library.verify_kernel(&kernel.id, true).unwrap(),
        KernelState::Verified
    );
    assert_eq!(
        place.library.verify_kernel(&kernel.id, false).unwrap(),
        KernelState::Unchanged
    );
    assert_eq!(place.tree(), before);
}

#[test]
fn a_kernel_is_found_by_the_beginning_of_its_id() {
    let place = Place::new();
    for version in 0..40 {
        place
            .add(&place.write("vmlinuz", &linux_kernel(&format!("6.{version}"))))
            .unwrap();
    }
    let kernel = place.library.kernels().unwrap().entries.remove(0);
    assert_eq!(place.library.kernel(&kernel.id).unwrap(), kernel);
    assert_eq!(place.library.kernel(&kernel.digest).unwrap(), kernel);
    assert_eq!(place.library.kernel(&kernel.id[..12]).unwrap(), kernel);
    for wrong in ["", "..", "../packages", "zzzz", "ffffffffffffffff"] {
        assert!(
            matches!(place.library.kernel(wrong), Err(Error::NoKernel { .. })),
            "{wrong}"
        );
    }
    // Forty kernels cannot all begin differently.
    let ambiguous = "0123456789abcdef".chars().find_map(|digit| {
        match place.library.kernel(&digit.to_string()) {
            Err(error @ Error::Ambiguous { .. }) => Some(error),
            _ => None,
        }
    });
    assert!(ambiguous.unwrap().hint().is_some());
    place.library.remove_kernel(&kernel.id[..12]).unwrap();
    assert!(matches!(
        place.library.kernel(&kernel.id),
        Err(Error::NoKernel { .. })
    ));
    assert_eq!(place.library.kernels().unwrap().entries.len(), 39);
}

#[test]
fn a_damaged_record_does_not_hide_the_others_and_can_be_removed() {
    let place = Place::new();
    let good = place
        .add(&place.write("good", &linux_kernel("6.1.0")))
        .unwrap();
    let bad = place
        .add(&place.write("bad", &linux_kernel("6.2.0")))
        .unwrap();
    fs::write(bad.path.with_file_name("kernel.json"), "{\"format\":1").unwrap();
    insta::assert_snapshot!(list(&place.library), @"
    dbb88af206287c2e linux: Linux bzImage 6.1.0; 5120 bytes, root on ext4; Linux applications, if its virtio drivers are built in: it came without modules
    error: the record …/kernels/58bdeefe26050266/kernel.json is damaged
    caused by: EOF while parsing an object at line 1 column 11
    hint: Remove the folder that it is in, and add again what was in it.
    ");
    place.library.remove_kernel(&bad.id).unwrap();
    assert_eq!(place.library.kernels().unwrap().entries, [good]);
}

#[test]
fn a_package_of_the_distribution_brings_the_kernel_with_its_drivers() {
    let place = Place::new();
    let files = kernel_package_files("6.1.0-test");
    let Some(package) = debian_package(&place, "linux-image-6.1.0-test", &borrowed(&files)) else {
        return;
    };
    place.add(&package).unwrap();
    insta::assert_snapshot!(list(&place.library), @"
    7d178f70964b0559 linux: Linux bzImage 6.1.0-test; 5120 bytes, root on ext4; Linux applications, but it has no driver virtio_pci
      virtio_ring.ko virtio.ko virtio_blk.ko failover.ko net_failover.ko virtio_net.ko
    ");
    insta::assert_snapshot!(place.tree().join("\n"), @"
    kernels/
    kernels/7d178f70964b0559/
    kernels/7d178f70964b0559/kernel
    kernels/7d178f70964b0559/kernel.json
    kernels/7d178f70964b0559/modules/
    kernels/7d178f70964b0559/modules/failover.ko
    kernels/7d178f70964b0559/modules/net_failover.ko
    kernels/7d178f70964b0559/modules/order
    kernels/7d178f70964b0559/modules/virtio.ko
    kernels/7d178f70964b0559/modules/virtio_blk.ko
    kernels/7d178f70964b0559/modules/virtio_net.ko
    kernels/7d178f70964b0559/modules/virtio_ring.ko
    library.lock
    packages/
    temporary/
    ");
}

#[test]
fn a_damaged_package_is_refused_in_the_words_of_its_own_tool() {
    let place = Place::new();
    let files = kernel_package_files("6.1.0-test");
    let Some(package) = debian_package(&place, "linux-image-6.1.0-test", &borrowed(&files)) else {
        return;
    };
    let whole = fs::read(&package).unwrap();
    for length in [9, 200, whole.len() - 100] {
        let cut = place.write("cut.deb", &whole[..length]);
        let error = place.add(&cut).unwrap_err();
        assert!(
            error.to_string().contains("cannot be unpacked: "),
            "{length}: {error}"
        );
    }
    assert!(place.library.kernels().unwrap().entries.is_empty());
}

#[test]
fn drivers_in_a_package_of_their_own_come_to_the_kernel_of_their_version() {
    let place = Place::new();
    let files = module_files("6.1.0-test");
    let Some(package) = debian_package(&place, "linux-modules-6.1.0-test", &borrowed(&files))
    else {
        return;
    };
    let error = place.add(&package).unwrap_err();
    insta::assert_snapshot!(show_error(&error, place.folder.path()), @"
    error: …/linux-modules-6.1.0-test.deb holds modules for the kernel 6.1.0-test, which is not in the library
    hint: Choose the linux-image-….deb of a kernel, such as linux-image-6.1.0-56-cloud-amd64, or fetch the distribution's own.
    ");

    place
        .add(&place.write("vmlinuz", &linux_kernel("6.1.0-test")))
        .unwrap();
    assert!(
        place.library.kernels().unwrap().entries[0]
            .modules
            .is_empty()
    );
    let kernel = place.add(&package).unwrap();
    assert_eq!(kernel.modules.len(), 6);
    assert_eq!(
        place.library.kernels().unwrap().entries,
        std::slice::from_ref(&kernel)
    );

    // Others of the same names would not get into an initramfs that is made already.
    let initramfs = fs::read(place.library.initramfs(&kernel.id).unwrap()).unwrap();
    let mut others = files;
    others[0].1 = module("virtio");
    let others = debian_package(&place, "linux-modules-again", &borrowed(&others)).unwrap();
    assert_eq!(place.add(&others).unwrap(), kernel);
    let blk = kernel.path.with_file_name("modules").join("virtio_blk.ko");
    assert!(holds(&initramfs, &fs::read(blk).unwrap()));
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A package file around an archive that is not compressed.
fn debian_container(data: &[u8]) -> Vec<u8> {
    let control = tar::Builder::new(Vec::new()).into_inner().unwrap();
    let mut package = b"!<arch>\n".to_vec();
    for (name, content) in [
        ("debian-binary", b"2.0\n".as_slice()),
        ("control.tar", &control),
        ("data.tar", data),
    ] {
        let size = content.len();
        package.extend(format!("{name:<16}0           0     0     100644  {size:<10}`\n").bytes());
        package.extend(content);
    }
    package
}

#[test]
fn what_is_larger_than_any_kernel_is_refused_and_not_cut() {
    let place = Place::new();
    let said: Vec<String> = [
        ("boot/vmlinuz-6.1.0", (256 << 20) + 1),
        ("lib/modules/6.1.0/modules.builtin", (4 << 20) + 1),
    ]
    .into_iter()
    .filter_map(|(path, size)| {
        let mut header = tar::Header::new_gnu();
        header.set_path(path).unwrap();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        // What is behind it does not matter: it is not read.
        let mut data = header.as_bytes().to_vec();
        data.resize(1 << 20, 0);
        let package = place.write("linux-image.deb", &debian_container(&data));
        match place.add(&package) {
            Err(Error::Apt(error)) => {
                eprintln!("skipped: {error}");
                None
            }
            Err(error) => Some(show_error(&error, place.folder.path())),
            Ok(kernel) => panic!("{kernel:?}"),
        }
    })
    .collect();
    if !said.is_empty() {
        insta::assert_snapshot!(said.join("\n"), @"
        error: …/linux-image.deb has a kernel of 268435457 bytes, more than the 268435456 that one may have
        hint: Choose the linux-image-….deb of a kernel, such as linux-image-6.1.0-56-cloud-amd64, or fetch the distribution's own.
        error: …/linux-image.deb has a list of built-in modules of 4194305 bytes, more than the 4194304 that one may have
        hint: Choose the linux-image-….deb of a kernel, such as linux-image-6.1.0-56-cloud-amd64, or fetch the distribution's own.
        ");
    }
}

#[test]
fn a_package_whose_archive_goes_on_behind_its_end_is_read() {
    let place = Place::new();
    let version = "6.1.0-test";
    let mut data = tar::Builder::new(Vec::new());
    for (path, content) in kernel_package_files(version) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        data.append_data(&mut header, path, content.as_slice())
            .unwrap();
    }
    let mut data = data.into_inner().unwrap();
    // Much more than a pipe holds.
    data.resize(data.len() + (4 << 20), 0);
    let package = debian_container(&data);
    let package = place.write("linux-image.deb", &package);
    match place.add(&package) {
        Ok(kernel) => assert_eq!(kernel.version.as_deref(), Some(version)),
        Err(Error::Apt(error)) => eprintln!("skipped: {error}"),
        Err(error) => panic!("{}", show_error(&error, place.folder.path())),
    }
}

#[test]
fn cancelling_leaves_nothing() {
    let place = Place::new();
    let file = place.write("vmlinuz", &linux_kernel("6.1.0"));
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = place
        .library
        .add_kernel(&file, &mut |_| (), &cancel)
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    let tree = place.tree();
    assert_eq!(
        tree,
        ["kernels/", "library.lock", "packages/"].map(str::to_owned)
    );
}

#[test]
fn what_a_killed_writer_left_is_swept_by_the_next() {
    let place = Place::new();
    place.write("home/kernels/.new-killed/kernel", b"half");
    place.write("home/packages/.new-killed/meta/package.yaml", b"half");
    assert_eq!(list(&place.library), "");
    place
        .add(&place.write("vmlinuz", &linux_kernel("6.1.0")))
        .unwrap();
    assert!(
        place.tree().iter().all(|path| !path.contains(".new-")),
        "{:?}",
        place.tree()
    );
}

#[test]
fn many_threads_add_the_same_and_other_kernels_at_once() {
    let place = Place::new();
    let same = place.write("same", &linux_kernel("6.1.0"));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (place, same) = (&place, &same);
            scope.spawn(move || {
                place.add(same).unwrap();
                let own = place.write(
                    &format!("own{thread}"),
                    &linux_kernel(&format!("6.2.{thread}")),
                );
                let kernel = place.add(&own).unwrap();
                place.library.kernels().unwrap();
                if thread % 2 == 0 {
                    place.library.remove_kernel(&kernel.id).unwrap();
                }
            });
        }
    });
    let listing = place.library.kernels().unwrap();
    assert_eq!((listing.entries.len(), listing.broken.len()), (5, 0));
    for kernel in listing.entries {
        assert_eq!(
            place.library.verify_kernel(&kernel.id, true).unwrap(),
            KernelState::Verified
        );
    }
}

#[test]
fn two_processes_add_the_same_kernel_at_once() {
    if let Some(home) = std::env::var_os(CHILD) {
        let library = Library::open(home).unwrap();
        let file = library.home().with_file_name("vmlinuz");
        for _ in 0..20 {
            let kernel = library
                .add_kernel(&file, &mut |_| (), &CancellationToken::new())
                .unwrap();
            // The other one may have been quicker.
            let _ = library.remove_kernel(&kernel.id);
        }
        library
            .add_kernel(&file, &mut |_| (), &CancellationToken::new())
            .unwrap();
        return;
    }
    let place = Place::new();
    place.write("vmlinuz", &linux_kernel("6.1.0"));
    let mut children: Vec<_> = (0..2)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "kernels::two_processes_add_the_same_kernel_at_once",
                ])
                .env(CHILD, place.library.home())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let kernel = place.add(&place.path("vmlinuz")).unwrap();
    assert_eq!(
        place.library.verify_kernel(&kernel.id, true).unwrap(),
        KernelState::Verified
    );
    assert!(
        place.tree().iter().all(|path| !path.contains(".new-")),
        "{:?}",
        place.tree()
    );
}
