//! Packages come into the library, against `tar`, `gzip` and `cp` of the same files on the same disk.
//!
//! ```text
//! cargo bench -p windlass-library
//! ```
//!
//! Both sides find their source in the page cache. The library ends with its data on the disk (`syncfs`), which tar does not
//! by itself: it is followed by `sync -f`. WINDLASS_BENCH_FOLDER says on which disk; else it is that of the target folder.
#![expect(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark that cannot measure has nothing to say"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use windlass_library::Library;

/// How many files of which size a package has.
const SHAPES: [(&str, usize, usize); 2] = [
    ("10,000 small files", 10_000, 12 << 10),
    ("20 large files", 20, 16 << 20),
];

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
fn filled(rounds: u64, parent: &Path, fill: impl Fn(&Path)) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        let into = tempfile::tempdir_in(parent).unwrap();
        run("sync", &["-f", parent.to_str().unwrap()]);
        let begun = Instant::now();
        fill(into.path());
        spent += begun.elapsed();
    }
    spent
}

fn import(criterion: &mut Criterion) {
    for (shape, files, bytes) in SHAPES {
        let folder = folder();
        let source = folder.path().join("measured");
        let size_bytes = package(&source, files, bytes);
        let archive = folder.path().join("measured.mpm");
        let (from, packed) = (source.to_str().unwrap(), archive.to_str().unwrap());
        run("tar", &["-czf", packed, "-C", from, "."]);
        let mut group = criterion.benchmark_group(shape);
        group.throughput(Throughput::Bytes(size_bytes));
        group.sample_size(10);
        let add = |path: &Path, into: &Path| {
            let library = Library::open(into).unwrap();
            library.add_package(path, None, &mut ()).unwrap();
        };
        let synced = |program: &str, args: &[&str], into: &Path| {
            run(program, args);
            run("sync", &["-f", into.to_str().unwrap()]);
        };
        let mut measure = |name: &str, fill: &dyn Fn(&Path)| {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|rounds| filled(rounds, folder.path(), fill));
            });
        };
        measure("archive: library", &|into| add(&archive, into));
        measure("archive: tar -xzf, sync", &|into| {
            synced("tar", &["-xzf", packed, "-C", into.to_str().unwrap()], into);
        });
        measure("archive: tar -xzf", &|into| {
            run("tar", &["-xzf", packed, "-C", into.to_str().unwrap()]);
        });
        measure("archive: gzip -t", &|_| {
            run("gzip", &["-tS", ".mpm", packed])
        });
        measure("folder: library", &|into| add(&source, into));
        measure("folder: cp -r, sync", &|into| {
            synced("cp", &["-r", from, into.to_str().unwrap()], into);
        });
        group.finish();
    }
}

criterion_group!(benches, import);
criterion_main!(benches);
