//! Linux disks that boot by themselves, composed and updated; with parts that only look like GRUB's.

use std::fs;

use tokio_util::sync::CancellationToken;
use windlass_compose::{DigestCache, Manner, Recipe, build_or_update};
use windlass_guest::{GuestOs, RootFs};
use windlass_image::{GuestPath, Image};

use crate::layouts::linux_boot;
use crate::support::{Workshop, fill};

#[test]
fn a_bootable_disk_is_updated_and_made_anew_when_its_kernel_changes() {
    let mut workshop = Workshop::new();
    workshop.layer("hello", &["hello = ELF", "windlass/vmlinuz = not a kernel"]);
    let boot = linux_boot(workshop.folder.path());
    let recipe = |line: &str| Recipe {
        boot: Some(boot.clone()),
        ..workshop.recipe(line)
    };
    let make = |recipe: &Recipe| {
        let plan = workshop.plan(GuestOs::Linux, RootFs::Ext4).unwrap();
        let cancel = CancellationToken::new();
        let digests = DigestCache::default();
        build_or_update(&plan, recipe, &digests, &mut |_| (), &cancel).unwrap()
    };
    let line = |build: &windlass_compose::Build| {
        let image = Image::open(&build.path).unwrap();
        assert!(image.boots().by_bios && image.boots().by_uefi);
        image.linux().unwrap().command_line.clone().unwrap()
    };
    let first = make(&recipe("/hello"));
    assert_eq!(first.changes.manner, Manner::Anew);
    assert_eq!(line(&first), "/hello");
    let digest = blake3::hash(&fs::read(&first.path).unwrap())
        .to_hex()
        .to_string();
    assert_eq!(first.digest, digest);
    assert_eq!(make(&recipe("/hello")).changes.manner, Manner::Unchanged);

    fill(&workshop.path("hello"), &["more = a file more"]);
    let second = make(&recipe("/hello --again"));
    assert_eq!(
        second.changes.manner,
        Manner::Updated,
        "{:?}",
        second.changes
    );
    assert_eq!(line(&second), "/hello --again");
    let digest = blake3::hash(&fs::read(&second.path).unwrap())
        .to_hex()
        .to_string();
    assert_eq!(second.digest, digest);
    let root = Image::open(&second.path).unwrap().root().unwrap();
    assert!(root.find(&GuestPath::new("more").unwrap()).is_ok());

    fs::write(&boot.kernel, vec![0x4D; 100_001]).unwrap();
    let third = make(&recipe("/hello --again"));
    assert_eq!(third.changes.manner, Manner::Anew);
    let plain = make(&workshop.recipe("/hello --again"));
    assert_eq!(plain.changes.manner, Manner::Anew);
    assert!(plain.size_bytes < third.size_bytes);
}
