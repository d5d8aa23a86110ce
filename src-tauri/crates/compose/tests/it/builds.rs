use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use windlass_compose::{DigestCache, FileList, Progress, Step, build};
use windlass_guest::{GuestOs, RootFs};
use windlass_image::{ImageKind, detect, osv};

use crate::support::{Workshop, fill, names_in};

const FILES: [&str; 5] = [
    "hello = ELF !",
    "usr/lib/libhello.so -> libhello.so.1",
    "usr/lib/libhello.so.1 = 12",
    "var/empty/",
    "größe = 1",
];

const KINDS: [(GuestOs, RootFs); 3] = [
    (GuestOs::Osv, RootFs::Rofs),
    (GuestOs::Osv, RootFs::Ext4),
    (GuestOs::Linux, RootFs::Ext4),
];

#[test]
fn an_osv_disk_carries_its_command_line_and_a_list_of_its_files() {
    let mut workshop = Workshop::new();
    workshop.layer("hello", &FILES);
    let built = workshop
        .build(GuestOs::Osv, RootFs::Rofs, "--env=A=b /hello world")
        .unwrap();
    let mut disk = File::open(&built.path).unwrap();
    assert_eq!(detect(&mut disk).unwrap(), ImageKind::OsvKernelLessDisk);
    assert_eq!(built.size_bytes, disk.metadata().unwrap().len());
    assert_eq!(
        built.digest,
        blake3::hash(&fs::read(&built.path).unwrap())
            .to_hex()
            .to_string()
    );

    let list = FileList::read(&built.path).unwrap();
    assert_eq!(
        (list.digest.as_str(), list.size_bytes),
        (built.digest.as_str(), built.size_bytes)
    );
    assert_eq!(list.file_count(), built.file_count);
    let mut text = Vec::new();
    list.write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap().replace(&built.digest, "…");
    insta::assert_snapshot!(text, @r#"
    {"format":1,"guest":"osv","rootFs":"rofs","digest":"…","sizeBytes":2101248,"commandLine":"--env=A=b --rootfs=rofs /hello world","files":[
    {"path":"/data","kind":"directory","mode":493,"layer":"base"},
    {"path":"/dev","kind":"directory","mode":493,"layer":"base"},
    {"path":"/etc","kind":"directory","mode":493,"layer":"base"},
    {"path":"/etc/fstab","kind":"file","mode":420,"sizeBytes":118,"digest":"a1afebc006c014a695cca96d874ee9b123b4d49b0a0f82f92dc581ecbbef90fd","layer":"base"},
    {"path":"/etc/hosts","kind":"file","mode":420,"sizeBytes":20,"digest":"f16092148f84b2eef72591be103e155d66601471464dfeb35590c334f45e85f0","layer":"base"},
    {"path":"/etc/mnttab","kind":"symlink","target":"/proc/mounts","layer":"base"},
    {"path":"/größe","kind":"file","mode":420,"sizeBytes":1,"digest":"d63bd9a826af91c1fea371965a64e11ee20f13e46b5f52c59901136605b3a487","layer":"hello"},
    {"path":"/hello","kind":"file","mode":493,"sizeBytes":3,"digest":"ceb6a209f7cd592ef235cb2c23e12d7f6e39b82b8a86adfffd026131dba4f07e","layer":"hello"},
    {"path":"/proc","kind":"directory","mode":493,"layer":"base"},
    {"path":"/run","kind":"directory","mode":493,"layer":"base"},
    {"path":"/sys","kind":"directory","mode":493,"layer":"base"},
    {"path":"/tmp","kind":"directory","mode":1023,"layer":"base"},
    {"path":"/usr","kind":"directory","mode":493,"layer":"hello"},
    {"path":"/usr/lib","kind":"directory","mode":493,"layer":"hello"},
    {"path":"/usr/lib/libhello.so","kind":"symlink","target":"libhello.so.1","layer":"hello"},
    {"path":"/usr/lib/libhello.so.1","kind":"file","mode":420,"sizeBytes":2,"digest":"b944a0a3b20cf5927e594ff306d256d16cd5b0ba3e27b3285f40d7ef5e19695b","layer":"hello"},
    {"path":"/var","kind":"directory","mode":493,"layer":"hello"},
    {"path":"/var/empty","kind":"directory","mode":493,"layer":"hello"}
    ]}
    "#);
    assert_eq!(
        names_in(workshop.folder.path()),
        ["disk.img", "disk.img.record", "hello"]
    );
}

#[test]
fn a_linux_image_has_the_command_line_in_a_file() {
    let mut workshop = Workshop::new();
    workshop.layer("hello", &FILES);
    let built = workshop
        .build(GuestOs::Linux, RootFs::Ext4, "--env=A=b /hello world")
        .unwrap();
    let mut image = File::open(&built.path).unwrap();
    let superblock = windlass_image::ext4::Superblock::read(&mut image).unwrap();
    assert_eq!(superblock.size_bytes, built.size_bytes);
    let list = FileList::read(&built.path).unwrap();
    let line = list
        .files
        .iter()
        .find(|file| file.path == "/etc/windlass/command-line")
        .unwrap();
    let expected = blake3::hash(b"--env=A=b /hello world\n")
        .to_hex()
        .to_string();
    assert_eq!(line.digest.as_deref(), Some(expected.as_str()));
}

#[test]
fn the_same_files_make_the_same_bytes_wherever_they_lie_and_whenever_they_were_written() {
    for (guest, root_fs) in KINDS {
        let mut here = Workshop::new();
        here.layer("hello", &FILES);
        let mut there = Workshop::new();
        // Another order of creation, and other times.
        let root = there.layer("hello", &[]);
        let reversed: Vec<&str> = FILES.iter().rev().copied().collect();
        fill(&root, &reversed);
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for name in ["hello", "usr/lib/libhello.so.1"] {
            let file = File::options().write(true).open(root.join(name)).unwrap();
            file.set_times(
                FileTimes::new()
                    .set_modified(long_ago)
                    .set_accessed(long_ago),
            )
            .unwrap();
        }
        there.take("hello");

        let first = here.build(guest, root_fs, "/hello").unwrap();
        let bytes = fs::read(&first.path).unwrap();
        let again = here.build(guest, root_fs, "/hello").unwrap();
        assert!(
            bytes == fs::read(&again.path).unwrap(),
            "{guest} {root_fs} twice"
        );
        let other = there.build(guest, root_fs, "/hello").unwrap();
        assert!(
            bytes == fs::read(&other.path).unwrap(),
            "{guest} {root_fs} elsewhere"
        );
        assert_eq!(
            FileList::read(&first.path).unwrap(),
            FileList::read(&other.path).unwrap()
        );
    }
}

#[test]
fn progress_only_grows_and_ends_at_its_total() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("big", &[]);
    fs::write(root.join("data.bin"), vec![7; 20 << 20]).unwrap();
    let plan = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap();
    let mut seen: Vec<Progress> = Vec::new();
    let recipe = workshop.recipe("/data.bin");
    build(
        &plan,
        &recipe,
        &DigestCache::default(),
        &mut |progress| seen.push(progress),
        &CancellationToken::new(),
    )
    .unwrap();
    assert!(
        seen.windows(2)
            .all(|pair| pair[0].done_bytes <= pair[1].done_bytes),
        "{seen:?}"
    );
    assert!(seen.len() > 20, "{}", seen.len());
    let last = seen.last().unwrap();
    assert_eq!(
        (last.step, last.done_bytes),
        (Step::Finish, last.total_bytes)
    );
}

#[test]
fn a_build_takes_the_place_of_the_one_before_and_of_what_a_killed_one_left() {
    let mut workshop = Workshop::new();
    workshop.layer("hello", &["hello = 1 !"]);
    fs::write(workshop.path(".disk.img.building-killed"), "half").unwrap();
    fs::write(workshop.path("disk.img"), "old").unwrap();
    // One that goes on is locked.
    let living = File::create(workshop.path(".disk.img.building-alive")).unwrap();
    living.lock().unwrap();
    workshop
        .build(GuestOs::Osv, RootFs::Rofs, "/hello")
        .unwrap();
    assert_eq!(
        names_in(workshop.folder.path()),
        [
            ".disk.img.building-alive",
            "disk.img",
            "disk.img.record",
            "hello"
        ]
    );
    let mut disk = File::open(workshop.path("disk.img")).unwrap();
    assert_eq!(
        osv::read_command_line(&mut disk).unwrap(),
        "--rootfs=rofs /hello"
    );
}

#[test]
fn two_builds_to_one_place_do_not_collide() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("big", &[]);
    fs::write(root.join("data.bin"), vec![7; 4 << 20]).unwrap();
    let digests: Vec<String> = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    workshop
                        .build(GuestOs::Osv, RootFs::Rofs, "/data.bin")
                        .unwrap()
                        .digest
                })
            })
            .collect();
        builds
            .into_iter()
            .map(|build| build.join().unwrap())
            .collect()
    });
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
    let left = blake3::hash(&fs::read(workshop.path("disk.img")).unwrap())
        .to_hex()
        .to_string();
    assert_eq!(left, digests[0]);
    assert_eq!(
        names_in(workshop.folder.path()),
        ["big", "disk.img", "disk.img.record"]
    );
}

#[test]
fn unchanged_files_are_not_read_again() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("hello", &["hello = ELF !"]);
    std::thread::sleep(Duration::from_millis(2100));
    let cache_path = workshop.path("digests");
    let digest_of = |path: &Path| {
        let plan = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap();
        let cache = DigestCache::open(&cache_path);
        build(
            &plan,
            &workshop.recipe("/hello"),
            &cache,
            &mut |_| (),
            &CancellationToken::new(),
        )
        .unwrap();
        let list = FileList::read(path).unwrap();
        list.files
            .into_iter()
            .find(|file| file.path == "/hello")
            .unwrap()
            .digest
            .unwrap()
    };
    let before = digest_of(&workshop.path("disk.img"));
    assert_eq!(DigestCache::open(&cache_path).len(), 1);
    assert_eq!(digest_of(&workshop.path("disk.img")), before);
    fs::write(root.join("hello"), "FLE").unwrap();
    assert_ne!(
        digest_of(&workshop.path("disk.img")),
        before,
        "the same size, and other content"
    );
}
