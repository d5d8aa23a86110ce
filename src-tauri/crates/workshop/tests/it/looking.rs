//! Looking into images, and what can be done with them.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use windlass_workshop::Workshop;
use windlass_workshop::builds::Build;
use windlass_workshop::error::ErrorKind;
use windlass_workshop::images::{
    ComparisonFilter, ConvertOptions, ImageEntryKind, ImageFault, ImageFormat, ImageLayout,
    ListKind,
};

use crate::place::{Place, finish};

async fn built(place: &Place, workshop: &Arc<Workshop>) -> Build {
    let appliance = place.hello(workshop, "/hello").await;
    place.write("hello/etc/greeting.conf", b"Hello\n");
    place.write("hello/data/large", &vec![7; 300_000]);
    place.write("hello/data/100% sure", b"sure\n");
    std::os::unix::fs::symlink("greeting.conf", place.path("hello/etc/link")).unwrap();
    let job = workshop.start_build(&appliance.id).unwrap();
    let id = finish(workshop, &job).await.unwrap();
    workshop.build(&id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_browsed_without_starting_it() {
    let (place, workshop) = Place::with_kernel_header().await;
    let build = built(&place, &workshop).await;
    let info = workshop.image_info(&build.id).await.unwrap();
    assert_eq!(
        (info.build_id.as_deref(), info.appliance.as_deref()),
        (Some(build.id.as_str()), Some("hello"))
    );
    assert_eq!(
        (info.format.as_str(), info.layout, info.root),
        ("raw", ImageLayout::Bare, Some(0))
    );
    assert!(info.has_file_list && info.in_use_by.is_none());
    assert_eq!(
        info.guest_command_line.as_deref(),
        Some("runscript /run/default")
    );
    assert_eq!(info.volumes[0].file_system.as_deref(), Some("ext4"));
    // By its path it is the same image.
    assert_eq!(workshop.image_info(&build.path).await.unwrap(), info);

    let list = |path| workshop.image_list(&build.id, None, path);
    let names = |entries: &[windlass_workshop::images::ImageEntry]| {
        entries.iter().fold(String::new(), |mut text, entry| {
            let _ = writeln!(
                text,
                "{} {:?} {:?} {:?}",
                entry.path, entry.kind, entry.size_bytes, entry.target
            );
            text
        })
    };
    let entries = list("/data").await.unwrap();
    insta::assert_snapshot!(names(&entries), @r#"
    /data/100%25 sure File Some(5) None
    /data/large File Some(300000) None
    "#);
    assert_eq!(entries[0].name, "100% sure");
    let text = async |path: &str| workshop.image_read_text(&build.id, Some(0), path).await;
    assert_eq!(text(&entries[0].path).await.unwrap().text, "sure\n");
    let large = text("/data/large").await.unwrap();
    assert_eq!((large.is_binary, large.truncated), (false, false));
    let error = text("/etc/link").await.unwrap_err();
    assert_eq!(error.message, "/etc/link is a link to greeting.conf");
    assert_eq!(list("/none").await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(list("/../x").await.unwrap_err().kind, ErrorKind::Input);

    let found = workshop.image_search(&build.id, None, "GREET", 10).await;
    insta::assert_snapshot!(names(&found.unwrap().entries), @"/etc/greeting.conf File Some(6) None");
    let few = workshop
        .image_search(&build.id, None, "e", 2)
        .await
        .unwrap();
    assert_eq!((few.entries.len(), few.more), (2, true));

    let sizes = workshop.image_sizes(&build.id, None, "/").await.unwrap();
    let data = sizes.iter().find(|size| size.name == "data").unwrap();
    assert_eq!(
        (data.kind, data.size_bytes, data.file_count),
        (ImageEntryKind::Directory, 300_005, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_copied_out_whole_or_not_at_all() {
    let (place, workshop) = Place::with_kernel_header().await;
    let build = built(&place, &workshop).await;
    let folder = place.path("out");
    let extract = async |paths: &[&str], replace| {
        let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
        let job = workshop.start_extract(&build.id, None, &paths, folder.clone(), replace);
        finish(&workshop, &job.unwrap()).await
    };
    extract(&["/data", "/etc/link"], false).await.unwrap();
    assert_eq!(
        std::fs::read(folder.join("data/large")).unwrap(),
        vec![7; 300_000]
    );
    assert_eq!(
        std::fs::read_link(folder.join("link")).unwrap(),
        Path::new("greeting.conf")
    );
    // What is there is not written over, and nothing else is left.
    let error = extract(&["/etc/greeting.conf", "/data"], false)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["data", "link"]);
    std::fs::remove_dir_all(folder.join("data")).unwrap();
    extract(&["/"], true).await.unwrap();
    assert_eq!(
        std::fs::read(folder.join("hello")).unwrap(),
        windlass_library::HELLO
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_compared_verified_and_changed() {
    let (place, workshop) = Place::with_kernel_header().await;
    let first = built(&place, &workshop).await;
    let verify = async |image: &str| {
        let job = workshop.start_image_verify(image).unwrap();
        finish(&workshop, &job).await.unwrap_or_default();
        workshop.image_verification(&job.id).await.unwrap()
    };
    let whole = verify(&first.id).await;
    assert_eq!(whole.differences, []);
    assert!(whole.checked_bytes > 300_000);

    let compare = async |left: &str, right: &str| {
        let job = workshop.start_compare(left, right).unwrap();
        finish(&workshop, &job).await.unwrap_or_default();
        let filter = ComparisonFilter::default();
        let found = workshop
            .image_comparison(&job.id, filter, 0, 100)
            .await
            .unwrap();
        found.rows.iter().fold(String::new(), |mut text, row| {
            let _ = writeln!(
                text,
                "{:?} {} {:?} {:?}",
                row.what, row.path, row.left_bytes, row.right_bytes
            );
            text
        })
    };
    // The base of the guest and the boot command are not in the folder, the manifests not in the image.
    let folder = place.path("hello");
    let against = compare(&first.id, folder.to_str().unwrap()).await;
    assert!(
        !against.contains("/data") && !against.contains("greeting"),
        "{against}"
    );
    std::fs::write(folder.join("etc/greeting.conf"), "Salut\n").unwrap();
    let against = compare(&first.id, folder.to_str().unwrap()).await;
    assert!(
        against.contains("Changed /etc/greeting.conf Some(6) Some(6)"),
        "{against}"
    );

    // The text of a file is read on either side; no link leads out of the folder.
    let side = folder.to_str().unwrap();
    let text = workshop
        .image_read_text(side, None, "/etc/greeting.conf")
        .await;
    assert_eq!(text.unwrap().text, "Salut\n");
    std::os::unix::fs::symlink("/etc", folder.join("out")).unwrap();
    for path in ["/out/passwd", "/out", "/etc", "/nowhere"] {
        workshop
            .image_read_text(side, None, path)
            .await
            .unwrap_err();
    }
    std::fs::remove_file(folder.join("out")).unwrap();

    std::fs::remove_file(folder.join("data/100% sure")).unwrap();
    place.write("hello/data/new", b"new");
    let job = workshop.start_build(&first.appliance_id).unwrap();
    let second = finish(&workshop, &job).await.unwrap();
    // The first one is compared by its list where its image became the second's.
    insta::assert_snapshot!(compare(&first.id, &second).await, @"
    Removed /data/100%25 sure Some(5) None
    Added /data/new None Some(3)
    Changed /etc/greeting.conf Some(6) Some(6)
    ");
    assert_eq!(verify(&second).await.differences, []);

    let new = place.write("longer", b"a good deal longer\n");
    workshop
        .replace_image_file(&second, None, "/etc/greeting.conf", new)
        .await
        .unwrap();
    let text = workshop
        .image_read_text(&second, None, "/etc/greeting.conf")
        .await;
    assert_eq!(text.unwrap().text, "a good deal longer\n");
    workshop
        .set_image_command_line(&second, "/hello again")
        .await
        .unwrap();
    let info = workshop.image_info(&second).await.unwrap();
    assert_eq!(info.guest_command_line.as_deref(), Some("/hello again"));
    let found: Vec<_> = verify(&second)
        .await
        .differences
        .into_iter()
        .map(|found| (found.path, found.what))
        .collect();
    assert_eq!(
        found,
        [
            ("/etc/greeting.conf".to_owned(), ImageFault::Content),
            ("/etc/windlass/command-line".to_owned(), ImageFault::Content)
        ]
    );
    // It is not what the appliance comes to any more.
    let job = workshop.start_build(&first.appliance_id).unwrap();
    let third = finish(&workshop, &job).await.unwrap();
    assert_ne!(third, second);
    let text = workshop
        .image_read_text(&third, None, "/etc/greeting.conf")
        .await;
    assert_eq!(text.unwrap().text, "Salut\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_written_in_other_formats() {
    let (place, workshop) = Place::with_kernel_header().await;
    let build = built(&place, &workshop).await;
    let convert = async |name: &str, format, compressed| {
        let options = ConvertOptions {
            compressed,
            ..ConvertOptions::default()
        };
        let path = place.path(name);
        let job = workshop.start_convert(&build.id, &path, format, options);
        finish(&workshop, &job.unwrap()).await
    };
    for (name, format, compressed) in [
        ("disk.img", ImageFormat::Raw, false),
        ("disk.qcow2", ImageFormat::Qcow2, true),
        ("disk.vmdk", ImageFormat::Vmdk, false),
        ("stream.vmdk", ImageFormat::Vmdk, true),
        ("disk.vdi", ImageFormat::Vdi, false),
        ("disk.vhdx", ImageFormat::Vhdx, false),
    ] {
        let made = convert(name, format, compressed).await.unwrap();
        let text = workshop
            .image_read_text(&made, None, "/etc/greeting.conf")
            .await;
        assert_eq!(text.unwrap().text, "Hello\n", "{name}");
    }
    let lists = place.path("lists");
    let kinds = [ListKind::Files, ListKind::Spdx, ListKind::Cyclonedx];
    let job = workshop.start_export_lists(&build.id, lists.clone(), &kinds);
    finish(&workshop, &job.unwrap()).await.unwrap();
    for name in ["hello.files.json", "hello.spdx.json", "hello.cdx.json"] {
        let text = std::fs::read_to_string(lists.join(name)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(value.to_string().contains("/etc/greeting.conf"), "{name}");
    }
    convert("files.tar", ImageFormat::Tar, false).await.unwrap();
    assert!(place.path("files.tar").metadata().unwrap().len() > 300_000);
    let error = convert("disk.img", ImageFormat::Raw, false)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
}
