//! Builds that are killed anywhere: the images and the database agree afterwards.

use std::path::Path;
use std::time::{Duration, Instant};

use windlass_compose::{FileKind, FileList};
use windlass_image::{GuestPath, Image};
use windlass_workshop::Workshop;
use windlass_workshop::builds::Build;

use crate::place::{Place, finish};
use crate::processes::Other;

/// So often.
const KILLS: u32 = 30;

/// Every file of a build's image is what its list says, and the list is that of the build.
fn check(build: &Build) {
    let path = Path::new(&build.path);
    let image = Image::open(path).unwrap();
    let root = image.root().unwrap();
    let list = FileList::read(path).unwrap();
    assert_eq!(list.digest, build.digest, "the list is that of the build");
    assert_eq!(list.file_count() as u64, build.file_count);
    for file in list.files.iter().filter(|it| it.kind == FileKind::File) {
        let stat = root.find(&GuestPath::from_escaped(&file.path).unwrap());
        let (stat, mut offset) = (stat.unwrap(), 0);
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let length = root.read(&stat, offset, &mut buffer).unwrap();
            if length == 0 {
                break;
            }
            hasher.update(&buffer[..length]);
            offset += length as u64;
        }
        let digest = hasher.finalize().to_hex().to_string();
        assert_eq!(Some(&digest), file.digest.as_ref(), "{}", file.path);
    }
}

fn check_all(workshop: &Workshop, appliance: &str) {
    let builds = workshop.builds(Some(appliance)).unwrap();
    let mut folders: Vec<_> = std::fs::read_dir(workshop.home().images())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let mut images: Vec<_> = builds
        .iter()
        .filter(|build| build.has_image)
        .map(|build| Path::new(&build.path).parent().unwrap().to_owned())
        .collect();
    folders.sort();
    images.sort();
    assert_eq!(
        folders, images,
        "each image has one build, and nothing else is left"
    );
    assert!(!images.is_empty());
    builds
        .iter()
        .filter(|build| build.has_image)
        .for_each(check);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_killed_anywhere_leaves_the_old_one_or_the_new_one() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await.id;
    for number in 0..200 {
        place.write(&format!("hello/data/{number}"), &vec![number; 20_000]);
    }
    let job = workshop.start_build(&appliance).unwrap();
    finish(&workshop, &job).await.unwrap();
    drop(workshop);
    let change = |round: u32| {
        place.write("hello/number", round.to_string().as_bytes());
        let large = usize::try_from(round * 100_000).unwrap();
        place.write("hello/large", &vec![b'x'; large]);
    };
    // How long one takes that is left alone.
    change(1);
    let started = Instant::now();
    let mut other = Other::start(&place.home(), &format!("build {appliance}"));
    other.says("done").unwrap();
    let whole = started.elapsed();
    other.end();
    for round in 0..KILLS {
        change(round + 2);
        let other = Other::start(&place.home(), &format!("build {appliance}"));
        // Opening the home comes first; the last ones may come too late.
        let part = f64::from(round) / f64::from(KILLS);
        let wait = whole.mul_f64(1.0 + part * 1.5);
        std::thread::sleep(wait.min(Duration::from_secs(10)));
        other.kill();
        let workshop = place.open().await;
        check_all(&workshop, &appliance);
        workshop.close().await;
    }
    let workshop = place.open().await;
    let job = workshop.start_build(&appliance).unwrap();
    finish(&workshop, &job).await.unwrap();
    check_all(&workshop, &appliance);
}
