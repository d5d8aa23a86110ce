//! Conversions that are killed, or whose disk gets full: the old file or the new one, and nothing else in the end.

use std::fs;
use std::io::BufRead as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use windlass_image::convert::{ConvertOptions, Format, convert};
use windlass_image::{Unwatched, disk};

/// So often each is really killed.
const KILLS: u32 = 12;

const FORMATS: [Format; 5] = [
    Format::Raw,
    Format::Qcow2,
    Format::Vmdk,
    Format::Vdi,
    Format::Vhdx,
];

/// A disk that is divided by an MBR, as an image has to be to be opened; the rest is noise of one kind.
fn raw(path: &Path, size_bytes: usize, seed: u8) {
    let mut state = u64::from(seed) + 1;
    let mut bytes: Vec<u8> = (0..size_bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect();
    bytes[..512].fill(0);
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    fs::write(path, bytes).unwrap();
}

fn digest(path: &Path) -> blake3::Hash {
    let (_, disk) = disk::open(path).unwrap();
    let mut bytes = vec![0; usize::try_from(disk.size_bytes()).unwrap()];
    disk.read_at(0, &mut bytes).unwrap();
    blake3::hash(&bytes)
}

fn replacing() -> ConvertOptions {
    ConvertOptions {
        replace: true,
        ..ConvertOptions::default()
    }
}

/// What the child of the next test does: it converts until it is killed.
#[test]
#[ignore = "a child of another test"]
fn child_that_is_killed() {
    let (Ok(from), Ok(to), Ok(format)) = (
        std::env::var("WINDLASS_TEST_FROM"),
        std::env::var("WINDLASS_TEST_TO"),
        std::env::var("WINDLASS_TEST_FORMAT"),
    ) else {
        return;
    };
    let format = FORMATS[format.parse::<usize>().unwrap()];
    println!("begins");
    convert(
        from.as_ref(),
        to.as_ref(),
        format,
        &replacing(),
        &mut Unwatched,
    )
    .unwrap();
    println!("ends");
}

/// How long the child took, or nothing when it was killed before it was done.
fn child(from: &Path, to: &Path, format: usize, wait: Option<Duration>) -> Option<Duration> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "convert_ends::child_that_is_killed",
            "--nocapture",
        ])
        .env("WINDLASS_TEST_FROM", from)
        .env("WINDLASS_TEST_TO", to)
        .env("WINDLASS_TEST_FORMAT", format.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut wait_for = |word: &str| {
        let mut line = String::new();
        while out.read_line(&mut line).unwrap() > 0 && !line.contains(word) {}
    };
    wait_for("begins");
    let begin = Instant::now();
    match wait {
        Some(wait) => {
            std::thread::sleep(wait);
            let _ = child.kill();
        }
        None => wait_for("ends"),
    }
    let took = begin.elapsed();
    child.wait().unwrap().success().then_some(took)
}

#[test]
fn slow_killed_at_any_moment_a_converted_disk_is_the_old_or_the_new_one() {
    for (number, format) in FORMATS.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from.raw"), folder.path().join("to"));
        raw(&from, 6 << 20, 0);
        let mut took = child(&from, &to, number, None).unwrap();
        let (mut now, mut killed) = (digest(&to), 0);
        assert_eq!(now, digest(&from));
        for turn in 1..=100_u8 {
            if killed == KILLS {
                break;
            }
            raw(&from, 6 << 20, turn);
            let wait = took.mul_f64(f64::from(turn % 20) / 20.0);
            match child(&from, &to, number, Some(wait)) {
                None => killed += 1,
                // This machine has become faster.
                Some(_) => took = took.mul_f64(0.9),
            }
            let (found, new) = (digest(&to), digest(&from));
            assert!(found == now || found == new, "{format:?}, turn {turn}");
            now = found;
        }
        assert_eq!(killed, KILLS, "{format:?}");
        // What was abandoned is removed by who comes next.
        convert(&from, &to, format, &replacing(), &mut Unwatched).unwrap();
        assert_eq!(digest(&to), digest(&from));
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "{format:?}"
        );
    }
}

#[test]
fn on_a_disk_that_is_full_nothing_is_left_and_the_old_file_stays() {
    let (folder, small) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=6m", "windlass-test"])
        .arg(small.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: only root can mount a small file system");
        return;
    }
    let (from, to) = (folder.path().join("from.raw"), small.path().join("to"));
    let mut wrong = Vec::new();
    for format in FORMATS {
        raw(&from, 1 << 20, 1);
        convert(&from, &to, format, &replacing(), &mut Unwatched).unwrap();
        let before = digest(&to);
        raw(&from, 8 << 20, 2);
        let result = convert(&from, &to, format, &replacing(), &mut Unwatched);
        let words = result.err().map(|error| {
            let source = std::error::Error::source(&error);
            format!(
                "{error} {}",
                source.map(ToString::to_string).unwrap_or_default()
            )
        });
        let is_told = words
            .as_ref()
            .is_some_and(|words| words.contains("space") || words.contains("room"));
        let names = fs::read_dir(small.path()).unwrap().count();
        if !is_told || digest(&to) != before || names != 1 {
            wrong.push(format!("{format:?}: {words:?}, {names} files"));
        }
        fs::remove_file(&to).unwrap();
    }
    let unmounted = Command::new("umount").arg(small.path()).status();
    assert!(unmounted.unwrap().success());
    assert_eq!(wrong, Vec::<String>::new());
}
