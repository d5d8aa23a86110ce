//! What keeps a machine from starting, and how it is said.

use std::path::Path;

use windlass_machine::{Accelerator, DiskAccess, DiskFormat, Error, Qemu};

use crate::{Home, IDLE, guest, host, story};

#[tokio::test]
async fn the_probe_runs_a_guest_and_says_why_it_is_slow() {
    let probe = host().await;
    assert!(probe.fits(&Qemu::find(None).await.unwrap()));
    assert_eq!(probe.accelerator == Accelerator::Tcg, probe.note.is_some());
    let remembered = serde_json::to_string(probe).unwrap();
    assert_eq!(
        serde_json::from_str::<windlass_machine::Probe>(&remembered).unwrap(),
        *probe
    );
}

#[tokio::test]
async fn a_missing_qemu_is_a_clear_error() {
    let error = Qemu::find(Some(Path::new("/nowhere/qemu")))
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"QEMU was not found: /nowhere/qemu");
    let error = Qemu::find(Some(Path::new("/bin/true"))).await.unwrap_err();
    let prefix = "/bin/true does not answer as QEMU does: ";
    assert!(error.to_string().starts_with(prefix), "{error}");
}

#[tokio::test]
async fn a_disk_image_that_is_gone_is_named() {
    let home = Home::new();
    let machines = home.open().await;
    let spec = home.spec("guest", &guest("", IDLE));
    std::fs::remove_file(&spec.disks[0].path).unwrap();
    let machine = machines.create(spec).await.unwrap();
    let error = machine.start(host().await).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::FileMissing {
                what: "disk image",
                ..
            }
        ),
        "{error}"
    );
    insta::assert_snapshot!(error.hint().unwrap(), @"Build the appliance again.");
    assert!(
        story(&machine.ended().await)
            .starts_with("Failed, status None: The disk image is not there")
    );
}

#[tokio::test]
async fn a_disk_image_that_is_none_is_explained_and_the_machine_can_be_started_again() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("guest", &guest("", IDLE));
    spec.disks[0].format = DiskFormat::Qcow2;
    let machine = machines.create(spec).await.unwrap();
    let mut stories = Vec::new();
    for _ in 0..2 {
        let error = machine.start(host().await).await.unwrap_err();
        assert!(matches!(error, Error::StartFailed { .. }), "{error:?}");
        stories.push(story(&machine.ended().await).replace(home.path().to_str().unwrap(), "HOME"));
    }
    assert_eq!(stories[0], stories[1]);
    insta::assert_snapshot!(stories[0], @r"
    Failed, status None: A disk image is not what it is said to be (QEMU: -blockdev driver=qcow2,node-name=disk0,read-only=on,discard=unmap,file.driver=file,file.filename=HOME/guest.img: Image is not in qcow2 format).
      -> Build the appliance again.
    ");
}

#[tokio::test]
async fn a_disk_that_another_machine_writes_to_is_said_to_be_in_use() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("first", &guest("", IDLE));
    spec.disks[0].access = DiskAccess::Writable;
    let first = machines.create(spec.clone()).await.unwrap();
    first.start(host().await).await.unwrap();
    spec.id = "second".to_owned();
    let second = machines.create(spec).await.unwrap();
    let error = second.start(host().await).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a disk image is in use by another machine"),
        "{error}"
    );
    first.kill().await.unwrap();
    second.start(host().await).await.unwrap();
    second.kill().await.unwrap();
}

#[tokio::test]
async fn two_machines_write_over_one_shared_image_each_in_an_overlay() {
    let home = Home::new();
    let machines = home.open().await;
    let mut spec = home.spec("first", &guest("hello", IDLE));
    spec.disks[0].access = DiskAccess::Overlay;
    let before = std::fs::read(&spec.disks[0].path).unwrap();
    for id in ["first", "second"] {
        spec.id = id.to_owned();
        let machine = machines.create(spec.clone()).await.unwrap();
        machine.start(host().await).await.unwrap();
        crate::console_until(&mut machine.follow_console(0).unwrap(), "hello").await;
        assert!(machine.details().folder.join("disk0.qcow2").exists());
    }
    for machine in machines.list() {
        machine.kill().await.unwrap();
    }
    assert_eq!(std::fs::read(&spec.disks[0].path).unwrap(), before);
}

#[tokio::test]
async fn a_runtime_folder_with_a_long_path_is_refused_with_its_remedy() {
    let home = Home::new();
    let runtime = home.path().join("x".repeat(100));
    let error = windlass_machine::Machines::open(&home.machines_folder(), &runtime)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::SocketPathTooLong { max: 107, .. }),
        "{error:?}"
    );
}
