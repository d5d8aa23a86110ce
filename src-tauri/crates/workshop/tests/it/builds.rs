//! From a folder to images.

use std::collections::HashSet;
use std::path::Path;

use windlass_workshop::appliances::{DroppedKind, EntryKind, Manifests};
use windlass_workshop::builds::{Build, BuildManner, ComposeOptions};
use windlass_workshop::error::ErrorKind;
use windlass_workshop::guests::{GuestOs, RootFs};

use crate::place::{Place, finish};

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_folder_becomes_an_appliance_and_an_image() {
    let (place, workshop) = Place::with_kernel_header().await;
    let program = place.write("Mein Gruß/greet", windlass_library::HELLO);
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    place.write("Mein Gruß/etc/greeting.conf", b"Hello\n");
    let folder = place.path("Mein Gruß");

    let dropped = workshop.inspect(&folder).await.unwrap();
    assert_eq!(
        (dropped.kind, Path::new(&dropped.path)),
        (DroppedKind::Folder, folder.as_path())
    );
    assert!(!folder.join("meta").exists(), "looking writes nothing");
    let proposal = dropped.proposal.unwrap();
    assert_eq!(
        (proposal.name.as_str(), proposal.title.as_str()),
        ("mein-gru", "Mein Gruß")
    );
    insta::assert_snapshot!(format!("{}{}", proposal.run_yaml, proposal.reasons.join("\n")), @"
    runtime: native
    config_set:
      default:
        bootcmd: /greet
    config_set_default: default
    /greet is the only program in it.
    It stands on its own.
    ");

    let manifests = Manifests {
        package_yaml: proposal.package_yaml,
        run_yaml: proposal.run_yaml,
    };
    let appliance = workshop
        .add_appliance(&folder, Some(manifests))
        .await
        .unwrap();
    assert_eq!(
        (appliance.guest, appliance.root_fs),
        (GuestOs::Linux, RootFs::Ext4)
    );
    assert_eq!((&appliance.last_build, &appliance.problem), (&None, &None));
    let again = workshop.inspect(&folder).await.unwrap();
    assert_eq!((again.kind, again.proposal), (DroppedKind::Appliance, None));
    // Dropped twice, it is there once.
    assert_eq!(
        workshop.add_appliance(&folder, None).await.unwrap().id,
        appliance.id
    );
    assert_eq!(workshop.appliances().unwrap().len(), 1);

    let contents = workshop.contents(&appliance.id).await.unwrap();
    assert_eq!(contents.layers.last().unwrap().name, appliance.name);
    let etc = workshop.tree(&appliance.id, "/etc").await.unwrap();
    let conf = etc
        .iter()
        .find(|entry| entry.name == "greeting.conf")
        .unwrap();
    assert_eq!(
        (conf.kind, conf.size_bytes, conf.path.as_str()),
        (EntryKind::File, 6, "/etc/greeting.conf")
    );

    let build = async || {
        let job = workshop.start_build(&appliance.id).unwrap();
        let id = finish(&workshop, &job).await.unwrap();
        workshop.build(&id).unwrap()
    };
    let first = build().await;
    assert_eq!(
        std::fs::metadata(&first.path).unwrap().len(),
        first.size_bytes
    );
    // The boot command is a file of its own, beside those of the layers.
    assert_eq!(first.file_count, contents.file_count + 1);
    assert_eq!(build().await, first, "nothing changed, nothing is built");
    assert_eq!(
        workshop.appliance(&appliance.id).unwrap().last_build,
        Some(first.clone())
    );

    // Of the same length, and at once: it is noticed all the same.
    std::fs::write(folder.join("etc/greeting.conf"), "Salut\n").unwrap();
    let second = build().await;
    assert_ne!((&second.id, &second.digest), (&first.id, &first.digest));
    std::fs::write(folder.join("etc/greeting.conf"), "Hello\n").unwrap();
    let third = build().await;
    assert_eq!(text_in(&third, "etc/greeting.conf"), "Hello\n");
    for build in workshop.builds(Some(&appliance.id)).unwrap() {
        workshop.delete_build(&build.id).unwrap();
    }
    assert_eq!(
        build().await.digest,
        first.digest,
        "the same bytes for the same input"
    );

    // What vanished is built anew.
    let last = workshop.builds(Some(&appliance.id)).unwrap().remove(0);
    std::fs::remove_file(&last.path).unwrap();
    assert_ne!(build().await.id, last.id);
}

/// The text of a file in a build's image.
fn text_in(build: &Build, path: &str) -> String {
    let image = windlass_image::Image::open(Path::new(&build.path)).unwrap();
    let root = image.root().unwrap();
    let file = root.find(&windlass_image::GuestPath::new(path).unwrap());
    let mut bytes = [0; 4096];
    let length = root.read(&file.unwrap(), 0, &mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_made_out_of_the_last_one_by_what_differs() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    place.write("hello/data", &vec![7; 3 << 20]);
    let build = async || {
        let job = workshop.start_build(&appliance.id).unwrap();
        let id = finish(&workshop, &job).await.unwrap();
        workshop.build(&id).unwrap()
    };
    let first = build().await;
    let changes = first.changes.clone().unwrap();
    assert_eq!((changes.manner, changes.since), (BuildManner::Anew, None));

    place.write("hello/number", b"1\n");
    let second = build().await;
    let changes = second.changes.clone().unwrap();
    assert_eq!(
        (changes.manner, changes.since.as_deref()),
        (BuildManner::Updated, Some(first.id.as_str()))
    );
    assert_eq!((changes.added, changes.changed, changes.removed), (1, 0, 0));
    assert!(
        changes.bytes_written < 1 << 20,
        "{} bytes written",
        changes.bytes_written
    );
    assert_eq!(text_in(&second, "number"), "1\n");
    let first = workshop.build(&first.id).unwrap();
    // Where the file system shares the blocks of files, the first keeps its image.
    if first.has_image {
        assert_eq!(first.replaced_by, None);
    } else {
        assert_eq!(first.replaced_by.as_deref(), Some(second.id.as_str()));
        assert_eq!(first.path, second.path);
    }

    // Touched, and not changed: the build stays.
    place.write("hello/number", b"1\n");
    assert_eq!(build().await.id, second.id);
    assert_eq!(build().await.id, second.id);

    // The image of a named build is not taken away from it.
    let options = ComposeOptions {
        name: Some("kept".to_owned()),
        ..ComposeOptions::default()
    };
    let job = workshop.start_compose(&appliance.id, options).unwrap();
    assert_eq!(finish(&workshop, &job).await.unwrap(), second.id);
    place.write("hello/number", b"2\n");
    let third = build().await;
    assert_ne!(third.path, second.path);
    assert_eq!(text_in(&second, "number"), "1\n");
    assert_eq!(text_in(&third, "number"), "2\n");

    // What cannot be updated is made anew.
    place.write_appliance("hello", "/hello again");
    std::fs::remove_file(format!("{}.record", third.path)).unwrap();
    let fourth = build().await;
    assert_eq!(fourth.changes.unwrap().manner, BuildManner::Anew);
    assert!(workshop.build(&third.id).unwrap().has_image);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_of_one_appliance_at_once_both_come_out_whole() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let first = workshop.start_build(&appliance.id).unwrap();
    finish(&workshop, &first).await.unwrap();
    for round in 0..5 {
        place.write("hello/number", format!("{round}").as_bytes());
        let jobs = [(); 3].map(|()| workshop.start_build(&appliance.id).unwrap());
        for job in jobs {
            match finish(&workshop, &job).await {
                Ok(id) => {
                    let build = workshop.build(&id).unwrap();
                    assert!(build.has_image);
                    assert_eq!(text_in(&build, "number"), format!("{round}"));
                }
                // Another was quicker to make a new one out of it.
                Err(error) => assert_eq!(error.kind, ErrorKind::Conflict, "{error:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_builds_give_way_to_new_ones() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let mut made = Vec::new();
    for number in 0..7 {
        place.write("hello/number", format!("{number}").as_bytes());
        let job = workshop.start_build(&appliance.id).unwrap();
        made.push(finish(&workshop, &job).await.unwrap());
    }
    let kept = workshop.builds(Some(&appliance.id)).unwrap();
    made.reverse();
    let ids: Vec<_> = kept.iter().map(|build| build.id.as_str()).collect();
    assert_eq!(ids, made[..5]);
    let folders = || -> HashSet<String> {
        std::fs::read_dir(workshop.home().images())
            .unwrap()
            .map(|entry| entry.unwrap().path().display().to_string())
            .collect()
    };
    let folder_of = |build: &Build| {
        let folder = Path::new(&build.path).parent().unwrap();
        folder.display().to_string()
    };
    assert_eq!(folders(), kept.iter().map(folder_of).collect());

    // Of a build without an image, the row goes.
    for build in kept.iter().filter(|build| !build.has_image) {
        workshop.delete_build(&build.id).unwrap();
    }
    assert!(folders().contains(&folder_of(&kept[0])));
    workshop.delete_build(&made[0]).unwrap();
    let error = workshop.delete_build(&made[0]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(!folders().contains(&folder_of(&kept[0])));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_that_is_removed_comes_back_with_its_folder() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let job = workshop.start_build(&appliance.id).unwrap();
    let build = finish(&workshop, &job).await.unwrap();
    workshop.remove_appliance(&appliance.id).unwrap();
    assert_eq!(workshop.appliances().unwrap(), []);
    assert!(
        Path::new(&appliance.path).join("hello").is_file(),
        "the folder stays"
    );
    let error = workshop.remove_appliance(&appliance.id).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    let again = workshop
        .add_appliance(Path::new(&appliance.path), None)
        .await
        .unwrap();
    assert_eq!((again.id, again.name.as_str()), (appliance.id, "hello"));
    assert_eq!(again.last_build.unwrap().id, build);
}
