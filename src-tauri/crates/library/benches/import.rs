//! Packages come into the library, against `tar`, `gzip` and `cp` of the same files on the same disk.
//!
//! ```text
//! cargo bench -p windlass-library
//!
//! 10,000 small files, 117 MiB
//!   library, from the archive      …
//!   tar -xzf, sync                 …
//! ```
//!
//! Both sides find their source in the page cache. The library ends with its data on the disk (`syncfs`), which tar does not
//! by itself: it is followed by `sync -f`. `WINDLASS_BENCH_FOLDER` says on which disk; else it is that of the target folder.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that cannot measure has nothing to say"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use windlass_library::Library;

const ROUNDS: usize = 5;

/// How many files of which size a package has.
const SHAPES: [(&str, usize, usize); 2] = [
    ("10,000 small files", 10_000, 12 << 10),
    ("20 large files", 20, 16 << 20),
];

/// Something that fills a folder, and what it is called.
type Side<'a> = (&'a str, &'a dyn Fn(&Path));

/// Where nothing is kept in memory only.
fn folder() -> TempDir {
    let place = std::env::var_os("WINDLASS_BENCH_FOLDER")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    fs::create_dir_all(&place).unwrap();
    tempfile::tempdir_in(place).unwrap()
}

/// Bytes that compress to about half, as programs do.
fn content(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64 * 2 + 0x9e37_79b9_7f4a_7c15;
    let mut content = Vec::with_capacity(length + 8);
    while content.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        content.extend_from_slice(&bytes);
        // A word that was there before.
        content.extend_from_slice(b" of text");
    }
    content.truncate(length);
    content
}

fn package(folder: &Path, files: usize, bytes: usize) -> u64 {
    fs::create_dir_all(folder.join("meta")).unwrap();
    let manifest = "name: measured\ntitle: Measured\nauthor: Anonymous\nversion: 1.0\n";
    fs::write(folder.join("meta/package.yaml"), manifest).unwrap();
    for file in 0..files {
        let folder = folder.join(format!("lib/{}", file / 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("file-{file}")), content(file, bytes)).unwrap();
    }
    (files * bytes) as u64
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}");
}

/// The time of something that fills a folder, which is removed again.
fn filled(parent: &Path, fill: &dyn Fn(&Path)) -> Duration {
    let into = tempfile::tempdir_in(parent).unwrap();
    let begun = Instant::now();
    fill(into.path());
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn measure(shape: &str, files: usize, bytes: usize) {
    let folder = folder();
    let source = folder.path().join("measured");
    let size_bytes = package(&source, files, bytes);
    let archive = folder.path().join("measured.mpm");
    let (from, packed) = (source.to_str().unwrap(), archive.to_str().unwrap());
    run("tar", &["-czf", packed, "-C", from, "."]);
    let add = |path: &Path, into: &Path| {
        let library = Library::open(into).unwrap();
        library.add_package(path, None, &mut ()).unwrap();
    };
    let sync = |into: &Path| run("sync", &["-f", into.to_str().unwrap()]);
    let tar = |into: &Path| run("tar", &["-xzf", packed, "-C", into.to_str().unwrap()]);
    let sides: [Side<'_>; 6] = [
        ("library, from the archive", &|into| add(&archive, into)),
        ("tar -xzf, sync", &|into| {
            tar(into);
            sync(into);
        }),
        ("tar -xzf", &tar),
        ("gzip -t", &|_| run("gzip", &["-tS", ".mpm", packed])),
        ("library, from the folder", &|into| add(&source, into)),
        ("cp -r, sync", &|into| {
            run("cp", &["-r", from, into.to_str().unwrap()]);
            sync(into);
        }),
    ];
    let mut times = vec![Vec::new(); sides.len()];
    for _ in 0..ROUNDS {
        // In turns, so that a busy moment meets all.
        for (times, (_, fill)) in times.iter_mut().zip(&sides) {
            sync(folder.path());
            times.push(filled(folder.path(), fill));
        }
    }
    println!("\n{shape}, {} MiB", size_bytes >> 20);
    for (times, (name, _)) in times.into_iter().zip(&sides) {
        let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        let range = format!("{:.2} – {:.2} s", least.as_secs_f64(), most.as_secs_f64());
        let time = median(times.clone());
        let rate = f64::from(u32::try_from(size_bytes >> 20).unwrap()) / time.as_secs_f64();
        println!(
            "  {name:28} {:6.2} s  {rate:6.0} MiB/s   {range}",
            time.as_secs_f64()
        );
    }
}

fn main() {
    // `cargo test` starts benchmarks, too, to see whether they can be.
    if std::env::args().all(|argument| argument != "--bench") {
        return;
    }
    for (shape, files, bytes) in SHAPES {
        measure(shape, files, bytes);
    }
}
