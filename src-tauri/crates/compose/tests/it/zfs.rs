//! Disks that a builder guest fills: made whole or not at all. The guest is played by what receives as cpiod does.

use std::fs;
use std::net::TcpListener;
use std::thread;

use tokio_util::sync::CancellationToken;
use windlass_compose::{Error, ZfsRecipe, build_zfs, cpiod};
use windlass_guest::{CommandLine, GuestOs, RootFs};
use windlass_image::{mbr, osv};

use crate::cpiod::receive;
use crate::support::{Workshop, names_in};

fn recipe(workshop: &Workshop) -> ZfsRecipe {
    ZfsRecipe {
        destination: workshop.path("zfs.img"),
        loader: None,
        command_line: CommandLine::parse("/app/tool").unwrap(),
        size_bytes: None,
    }
}

#[test]
fn a_disk_is_named_when_a_guest_has_filled_it() {
    let mut workshop = Workshop::new();
    workshop.layer("service", &["app/tool = x !", "app/link -> tool"]);
    let plan = workshop.plan(GuestOs::Osv, RootFs::Ext4).unwrap();
    let recipe = recipe(&workshop);
    let cancel = CancellationToken::new();
    let mut received = None;
    let disk = build_zfs(
        &plan,
        &recipe,
        &mut |disk, members| {
            assert!(!recipe.destination.exists(), "not yet");
            assert_eq!(disk.metadata().unwrap().len() % 512, 0);
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let guest = thread::spawn(move || receive(listener.accept().unwrap().0, "/zfs/"));
            cpiod::send("127.0.0.1", port, members, &mut |_| (), &cancel)?;
            received = Some(guest.join().unwrap().unwrap());
            Ok(())
        },
        &cancel,
    )
    .unwrap();
    let received = received.unwrap();
    // A disk of its own needs what we add as well.
    for path in [
        "/zfs/app/tool",
        "/zfs/app/link",
        "/zfs/etc/fstab",
        "/zfs/dev",
    ] {
        assert!(received.contains_key(path), "{path}: {:?}", received.keys());
    }
    let mut file = fs::File::open(&disk.path).unwrap();
    assert_eq!(
        osv::read_command_line(&mut file).unwrap(),
        "--rootfs=zfs /app/tool"
    );
    let partitions = mbr::read(&mut file).unwrap();
    let [partition] = partitions.as_slice() else {
        panic!("{partitions:?}");
    };
    assert_eq!((partition.number, partition.seen_by_osv), (2, true));
    assert_eq!(
        partition.start_bytes + partition.size_bytes,
        disk.size_bytes
    );
}

#[test]
fn what_fails_leaves_nothing() {
    let mut workshop = Workshop::new();
    workshop.layer("service", &["app/tool = x !"]);
    let recipe = recipe(&workshop);
    fs::write(&recipe.destination, "the old one").unwrap();
    let before = names_in(workshop.folder.path());
    let cancel = CancellationToken::new();
    let refused = || Error::Cpiod {
        address: "the builder".to_owned(),
        problem: "it ended".to_owned(),
    };
    let plan = workshop.plan(GuestOs::Osv, RootFs::Ext4).unwrap();
    let error = build_zfs(&plan, &recipe, &mut |_, _| Err(refused()), &cancel).unwrap_err();
    assert!(error.to_string().ends_with("it ended"), "{error}");
    let cancelled = build_zfs(
        &plan,
        &recipe,
        &mut |_, _| {
            cancel.cancel();
            Ok(())
        },
        &cancel,
    );
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    let linux = workshop.plan(GuestOs::Linux, RootFs::Ext4).unwrap();
    let error = build_zfs(
        &linux,
        &recipe,
        &mut |_, _| Ok(()),
        &CancellationToken::new(),
    );
    assert!(matches!(error, Err(Error::RootFs { .. })));
    assert_eq!(names_in(workshop.folder.path()), before);
    assert_eq!(
        fs::read_to_string(&recipe.destination).unwrap(),
        "the old one"
    );
}
