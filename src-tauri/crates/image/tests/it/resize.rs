//! Disks get another size; e2fsck, sfdisk, sgdisk and QEMU look at what came out.

use std::fs::{self, File};
use std::io::{BufRead, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use windlass_image::convert::{ConvertOptions, Format, convert};
use windlass_image::ext4::{self, Ext4Options, WrittenBy};
use windlass_image::resize::{ResizeOptions, Resized, resize};
use windlass_image::{
    Error, FileSystemKind, GuestPath, Image, Node, Section, Tree, Unwatched, file_system,
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn tree() -> Tree {
    let mut tree = Tree::new();
    for number in 0..300 {
        let path = GuestPath::new(format!("d{}/f{number}", number % 7)).unwrap();
        let length = 1000 * (number + 1);
        let node = Node::bytes(vec![u8::try_from(number % 251).unwrap(); length], 0o644);
        tree.insert(path, node).unwrap();
    }
    tree
}

/// An ext4 of ours at a place of a file.
fn put_ext4(path: &Path, at: u64, size_bytes: u64, written_by: WrittenBy) {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    let options = Ext4Options {
        size_bytes: Some(size_bytes),
        written_by,
        ..Ext4Options::default()
    };
    let mut section = Section::new(file, at, size_bytes).unwrap();
    ext4::write(&tree(), &mut section, &options, &mut Unwatched).unwrap();
}

fn succeeds(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

fn feed(program: &str, arguments: &[&str], input: &str) {
    let mut command = Command::new(program);
    let command = command.args(arguments).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success(), "{program} {arguments:?}");
}

/// Whether every file of the tree is there, and nothing but it and `lost+found`.
fn assert_content(image: &Image) {
    let tree = tree();
    let file_system = image.root().unwrap();
    let mut count = 0;
    for stat in file_system::walk(file_system.as_ref()) {
        let stat = stat.unwrap();
        if stat.path.as_bytes() == b"lost+found" {
            continue;
        }
        count += 1;
        if let Some(Node::File {
            size_bytes, source, ..
        }) = tree.get(&stat.path)
        {
            let windlass_image::Source::Bytes(expected) = source else {
                panic!()
            };
            let mut bytes = vec![0; usize::try_from(size_bytes).unwrap() + 1];
            let length = file_system.read(&stat, 0, &mut bytes).unwrap();
            assert!(bytes[..length] == expected[..], "{}", stat.path);
        }
    }
    assert_eq!(count, tree.len());
}

/// Checks what came out, and the file system in it from the outside.
fn check(path: &Path, resized: &Resized) {
    let image = Image::open(path).unwrap();
    assert_eq!(image.size_bytes(), resized.new_bytes);
    assert_content(&image);
    let volume = image
        .volumes()
        .iter()
        .max_by_key(|volume| volume.start_bytes)
        .unwrap();
    let file_system = image.file_system(volume).unwrap();
    assert!(volume.size_bytes - file_system.size_bytes() < 4096 * 1024);
    let raw = path.with_extension("checked");
    convert(
        path,
        &raw,
        Format::Raw,
        &ConvertOptions::default(),
        &mut Unwatched,
    )
    .unwrap();
    let place = format!("{}?offset={}", raw.display(), volume.start_bytes);
    succeeds("e2fsck", &["-f", "-n", &place]);
    fs::remove_file(raw).unwrap();
}

fn resized(path: &Path, size_bytes: u64) -> Resized {
    resize(path, size_bytes, &ResizeOptions::default(), &mut Unwatched).unwrap()
}

fn in_folder(folder: &Path, name: &str) -> (PathBuf, String) {
    let path = folder.join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

#[test]
fn a_bare_ext4_grows_step_by_step() {
    for written_by in [WrittenBy::Linux, WrittenBy::Osv] {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = in_folder(folder.path(), "volume.img");
        put_ext4(&path, 0, 70 * MIB, written_by);
        // Within the group, to its end, one block beyond, into a group of copies, and far.
        for size in [
            90 * MIB,
            128 * MIB,
            128 * MIB + 4096,
            500 * MIB + 512,
            3 * GIB + 77 * 4096,
            15 * GIB,
        ] {
            let done = resized(&path, size);
            let grown = (size != 128 * MIB + 4096).then_some(FileSystemKind::Ext4);
            assert_eq!((done.file_system, done.new_bytes), (grown, size));
            check(&path, &done);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn what_needs_more_descriptors_or_is_made_by_others_is_moved_by_resize2fs() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = in_folder(folder.path(), "volume.img");
    put_ext4(&path, 0, 70 * MIB, WrittenBy::Linux);
    let done = resized(&path, 20 * GIB);
    check(&path, &done);

    let (path, text2) = in_folder(folder.path(), "theirs.img");
    let source = folder.path().join("source");
    succeeds(
        "debugfs",
        &["-R", &format!("rdump / {}", folder.path().display()), &text],
    );
    fs::create_dir(&source).unwrap();
    for number in 0..7 {
        let name = format!("d{number}");
        fs::rename(folder.path().join(&name), source.join(&name)).unwrap();
    }
    File::create(&path).unwrap().set_len(100 * MIB).unwrap();
    succeeds("mkfs.ext4", &["-q", "-d", source.to_str().unwrap(), &text2]);
    let done = resized(&path, 300 * MIB);
    assert_eq!(done.file_system, Some(FileSystemKind::Ext4));
    check(&path, &done);
}

#[test]
fn a_partition_grows_with_its_disk() {
    let folder = tempfile::tempdir().unwrap();
    for table in ["dos", "gpt"] {
        let (path, text) = in_folder(folder.path(), &format!("{table}.img"));
        File::create(&path).unwrap().set_len(200 * MIB).unwrap();
        let script = format!("label: {table}\nstart=2048, size=20480\nstart=22528, size=163840\n");
        feed("sfdisk", &["-q", &text], &script);
        put_ext4(&path, 22528 * 512, 80 * MIB, WrittenBy::Osv);
        // Something in the gap behind the partition, where it is to grow to.
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(&[0xA5; 4096], 150 * MIB)
            .unwrap();
        let qcow2 = path.with_extension("qcow2");
        convert(
            &path,
            &qcow2,
            Format::Qcow2,
            &ConvertOptions::default(),
            &mut Unwatched,
        )
        .unwrap();
        for path in [path, qcow2] {
            for size in [200 * MIB, GIB, 2 * GIB + 512] {
                let done = resized(&path, size);
                assert_eq!((done.volume, done.new_bytes), (Some(2), size));
                check(&path, &done);
                let raw = folder.path().join("raw");
                convert(
                    &path,
                    &raw,
                    Format::Raw,
                    &ConvertOptions::default(),
                    &mut Unwatched,
                )
                .unwrap();
                let said = succeeds("sfdisk", &["-V", raw.to_str().unwrap()]);
                assert!(!said.contains("corrupt"), "{said}");
                if table == "gpt" {
                    let said = succeeds("sgdisk", &["-v", raw.to_str().unwrap()]);
                    assert!(said.contains("No problems found"), "{said}");
                }
                fs::remove_file(raw).unwrap();
            }
            if path.extension().unwrap() == "qcow2" {
                succeeds("qemu-img", &["check", path.to_str().unwrap()]);
            }
        }
    }
}

#[test]
fn a_disk_is_cut_off_where_nothing_lies_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = in_folder(folder.path(), "disk.img");
    File::create(&path).unwrap().set_len(200 * MIB).unwrap();
    feed(
        "sfdisk",
        &["-q", &text],
        "label: gpt\nstart=2048, size=163840\n",
    );
    put_ext4(&path, MIB, 80 * MIB, WrittenBy::Osv);
    let refusal = |size: u64| {
        let result = resize(&path, size, &ResizeOptions::default(), &mut Unwatched);
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Resize { .. }));
        error.to_string()
    };
    let refusals = [refusal(81 * MIB), refusal(12_345), refusal(0)];
    let done = resize(&path, 82 * MIB, &ResizeOptions::default(), &mut Unwatched).unwrap();
    assert_eq!(
        (done.volume, fs::metadata(&path).unwrap().len()),
        (None, 82 * MIB)
    );
    check(&path, &done);
    assert!(succeeds("sgdisk", &["-v", &text]).contains("No problems found"));

    // A volume that holds nothing yet, and one that holds something that is not known.
    let (empty, _) = in_folder(folder.path(), "empty.img");
    let file = File::create(&empty).unwrap();
    file.set_len(10 * MIB).unwrap();
    resize(&empty, 4 * MIB, &ResizeOptions::default(), &mut Unwatched).unwrap();
    file.write_all_at(b"something", 3 * MIB).unwrap();
    let error = resize(&empty, 2 * MIB, &ResizeOptions::default(), &mut Unwatched).unwrap_err();
    resize(&empty, 20 * MIB, &ResizeOptions::default(), &mut Unwatched).unwrap();
    assert_eq!(fs::metadata(&empty).unwrap().len(), 20 * MIB);
    insta::assert_snapshot!([&refusals[..], &[error.to_string()]].concat().join("\n"), @"
    the disk cannot have 84934656 bytes: partition 1 ends at byte 84934656
    the disk cannot have 12345 bytes: it has to be a multiple of 512
    the disk cannot have 0 bytes: it has to be a multiple of 512
    the disk cannot have 2097152 bytes: there is something at byte 3145728
    ");
}

/// What the child of the next test does: it resizes until it is killed.
#[test]
#[ignore = "a child of another test"]
fn child_that_is_killed() {
    let (Ok(image), Ok(size)) = (
        std::env::var("WINDLASS_TEST_IMAGE"),
        std::env::var("WINDLASS_TEST_SIZE"),
    ) else {
        return;
    };
    println!("begins");
    resized(Path::new(&image), size.parse().unwrap());
}

/// Has a child resize, and kills it after a while; whether it was killed before it was done.
fn killed_after(image: &Path, size_bytes: u64, wait: Duration) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "resize::child_that_is_killed",
            "--nocapture",
        ])
        .env("WINDLASS_TEST_IMAGE", image)
        .env("WINDLASS_TEST_SIZE", size_bytes.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 && !line.contains("begins") {}
    std::thread::sleep(wait);
    let _ = child.kill();
    !child.wait().unwrap().success()
}

#[test]
fn slow_killed_at_any_moment_a_disk_has_the_old_size_or_the_new_one() {
    let mut killed = 0;
    // By a patch; as a new file; by resize2fs in a copy.
    for (name, waits) in [("disk.img", 1), ("disk.qcow2", 4), ("theirs.img", 8)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let raw = folder.path().join("raw");
        put_ext4(&raw, 0, 70 * MIB, WrittenBy::Linux);
        if name == "theirs.img" {
            // With a feature that we do not grow.
            succeeds("tune2fs", &["-Q", "usrquota", raw.to_str().unwrap()]);
        }
        if name == "disk.qcow2" {
            convert(
                &raw,
                &path,
                Format::Qcow2,
                &ConvertOptions::default(),
                &mut Unwatched,
            )
            .unwrap();
            fs::remove_file(raw).unwrap();
        } else {
            fs::rename(raw, &path).unwrap();
        }
        let mut size = 70 * MIB;
        for turn in 0..20 {
            let new = size + 40 * MIB;
            killed += u32::from(killed_after(
                &path,
                new,
                Duration::from_micros(500 * waits * turn),
            ));
            let found = Image::open(&path).unwrap().size_bytes();
            assert!(
                found == size || found == new,
                "{name}, turn {turn}: {found}"
            );
            let done = Resized {
                old_bytes: size,
                new_bytes: found,
                volume: None,
                file_system: None,
            };
            check(&path, &done);
            size = found;
        }
        // What was abandoned is removed by who comes next.
        resized(&path, size + 40 * MIB);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    assert!(
        killed > 10,
        "only {killed} were killed before they were done"
    );
}
