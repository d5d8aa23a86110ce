//! Volumes, from making them to a guest that writes on one.

use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::volumes::{NewVolume, VolumeContent, VolumeFormat, VolumeMount};

use crate::place::{Place, console, ended, finish};

fn new(name: &str, format: VolumeFormat, content: VolumeContent) -> NewVolume {
    let size_bytes = match content {
        VolumeContent::Folder { .. } => None,
        _ => Some(32 << 20),
    };
    NewVolume {
        name: name.to_owned(),
        format,
        size_bytes,
        content,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_made_browsed_and_deleted() {
    let place = Place::new();
    let workshop = place.open().await;
    place.write("data/sub/table.csv", b"a,b\n1,2\n");
    std::os::unix::fs::symlink("sub/table.csv", place.path("data/link")).unwrap();
    let folder = || VolumeContent::Folder {
        path: place.path("data"),
    };
    let make = async |new: NewVolume| -> Result<String, AppError> {
        let job = workshop.start_volume_create(new)?;
        finish(&workshop, &job).await
    };
    for (name, format, content) in [
        ("empty", VolumeFormat::Raw, VolumeContent::Empty),
        ("empty2", VolumeFormat::Qcow2, VolumeContent::Empty),
        ("ext4", VolumeFormat::Raw, VolumeContent::Ext4),
        ("ext4-2", VolumeFormat::Qcow2, VolumeContent::Ext4),
        ("full", VolumeFormat::Raw, folder()),
        ("full2", VolumeFormat::Qcow2, folder()),
    ] {
        assert_eq!(make(new(name, format, content)).await.unwrap(), name);
    }
    let volumes = workshop.volumes().await.unwrap();
    let shown: Vec<_> = volumes
        .iter()
        .map(|it| {
            let system = it.file_system.as_deref().unwrap_or("-");
            format!("{} {:?} {system}", it.name, it.format)
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @"
    empty Raw -
    empty2 Qcow2 -
    ext4 Raw ext4
    ext4-2 Qcow2 ext4
    full Raw ext4
    full2 Qcow2 ext4
    ");
    assert!(volumes[..4].iter().all(|it| it.size_bytes == 32 << 20));
    for name in ["full", "full2"] {
        let text = workshop.image_read_text(name, None, "/sub/table.csv").await;
        assert_eq!(text.unwrap().text, "a,b\n1,2\n");
    }
    let out = place.path("out");
    let job = workshop.start_extract("full2", None, &["/".to_owned()], out.clone(), false);
    finish(&workshop, &job.unwrap()).await.unwrap();
    assert!(out.join("link").is_file());

    for (name, kind) in [
        ("full", ErrorKind::Conflict),
        ("../out", ErrorKind::Input),
        ("a b", ErrorKind::Input),
        ("", ErrorKind::Input),
        ("-x", ErrorKind::Input),
        ("a-name-that-is-much-too-long", ErrorKind::Input),
    ] {
        let error = make(new(name, VolumeFormat::Raw, VolumeContent::Ext4)).await;
        assert_eq!(error.unwrap_err().kind, kind, "{name}");
    }
    workshop.delete_volume("full").await.unwrap();
    let error = workshop.delete_volume("full").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(workshop.volumes().await.unwrap().len(), 5);
    let left = std::fs::read_dir(workshop.home().volumes()).unwrap();
    assert_eq!(left.count(), 5, "nothing unfinished is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_grows_with_the_file_system_on_it() {
    let place = Place::new();
    let workshop = place.open().await;
    place.write("data/kept", b"kept\n");
    let content = VolumeContent::Folder {
        path: place.path("data"),
    };
    let mut wanted = new("grows", VolumeFormat::Raw, content);
    wanted.size_bytes = Some(32 << 20);
    let job = workshop.start_volume_create(wanted).unwrap();
    finish(&workshop, &job).await.unwrap();
    let job = workshop.start_volume_resize("grows", 64 << 20).unwrap();
    finish(&workshop, &job).await.unwrap();
    let volume = workshop.volume("grows").unwrap();
    assert_eq!(volume.size_bytes, 64 << 20);
    let text = workshop.image_read_text("grows", None, "/kept").await;
    assert_eq!(text.unwrap().text, "kept\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_what_a_guest_writes_on_a_volume_outlives_its_machine() {
    let (place, workshop) = Place::with_linux().await;
    let content = VolumeContent::Ext4;
    let job = workshop
        .start_volume_create(new("data", VolumeFormat::Qcow2, content))
        .unwrap();
    finish(&workshop, &job).await.unwrap();
    let appliance = place.hello(&workshop, "/hello").await;
    let mut settings = workshop.run_form(&appliance.id).unwrap().settings;
    settings.command = Some("--redirect=/volume/said /hello".to_owned());
    settings.volumes = vec![VolumeMount {
        volume: "data".to_owned(),
        path: Some("/volume".to_owned()),
    }];
    let preview = workshop.preview_boot(&appliance.id, &settings).unwrap();
    assert!(
        preview.command.contains("--volume data:/volume"),
        "{}",
        preview.command
    );
    workshop.save_settings(&appliance.id, settings).unwrap();
    let job = workshop.start_run(&appliance.id).unwrap();
    let id = finish(&workshop, &job).await.unwrap();
    let volume = workshop.volume("data").unwrap();
    assert_eq!(volume.used_by.len(), 1);
    let error = workshop.delete_volume("data").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    let machine = ended(&workshop, &id).await;
    assert_eq!(
        machine.exit_status,
        Some(0),
        "{}",
        console(&workshop, &id).await
    );
    workshop.delete_machine(&id).await.unwrap();
    let text = workshop
        .image_read_text("data", None, "/said")
        .await
        .unwrap();
    assert!(text.text.contains("Hello"), "{text:?}");
    workshop.delete_volume("data").await.unwrap();
}
