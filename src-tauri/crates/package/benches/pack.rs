//! Packages are made, against `tar`, `gzip` and `cp` of the same files on the same disk.
//!
//! ```text
//! cargo bench -p windlass-package --bench pack [-- --json FILE]
//!
//! 10,000 small files, 117 MiB
//!   write_mpm                      …
//!   tar -czf                       …
//! ```
//!
//! Both sides find their source in the page cache. What we make ends with its data on the disk, which `tar` and `cp` do not by
//! themselves: they are followed by `sync -f`. `WINDLASS_BENCH_FOLDER` says on which disk; else it is that of the target
//! folder. What a program needs is found for the `node` and `python3` of this computer; there the limit is to read as much.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that cannot measure has nothing to say"
)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use windlass_guest::GuestOs;
use windlass_package::archive::write_mpm;
use windlass_package::pack::{self, PackOptions, PackSource};

const ROUNDS: usize = 5;

/// How many files of which size a package has.
const SHAPES: [(&str, usize, usize); 2] = [
    ("10,000 small files", 10_000, 12 << 10),
    ("20 large files", 20, 16 << 20),
];

/// Something that fills a folder, and what it is called.
type Side<'a> = (String, &'a dyn Fn(&Path));

/// What was measured: a group, what is measured, its bytes if that is a rate, and its times.
type Row = (String, String, Option<u64>, Vec<Duration>);

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
    let mut content = Vec::with_capacity(length + 16);
    while content.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
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

fn is_here(program: &str) -> bool {
    let asked = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

fn sync(folder: &Path) {
    run("sync", &["-f", folder.to_str().unwrap()]);
}

/// The times of the sides in turns, so that a busy moment meets all.
fn in_turns(parent: &Path, sides: &[Side<'_>]) -> Vec<Vec<Duration>> {
    let mut times = vec![Vec::new(); sides.len()];
    for _ in 0..ROUNDS {
        for (times, (_, fill)) in times.iter_mut().zip(sides) {
            sync(parent);
            let into = tempfile::tempdir_in(parent).unwrap();
            let begun = Instant::now();
            fill(into.path());
            times.push(begun.elapsed());
        }
    }
    times
}

fn archives(folder: &Path, source: &Path, group: &str, size_bytes: u64, rows: &mut Vec<Row>) {
    let from = source.to_str().unwrap();
    let ours = |into: &Path| {
        let mut out = File::create(into.join("a.mpm")).unwrap();
        write_mpm(source, &mut out, &mut ()).unwrap();
        out.sync_all().unwrap();
    };
    let tar = |compressor: &str, into: &Path| {
        let archive = into.join("a.tgz");
        let switch = format!("--use-compress-program={compressor}");
        let (archive, switch) = (archive.to_str().unwrap(), switch.as_str());
        run("tar", &[switch, "-cf", archive, "-C", from, "."]);
        sync(into);
    };
    let gzip = |into: &Path| tar("gzip", into);
    let pigz = |into: &Path| tar("pigz", into);
    let mut sides: Vec<Side<'_>> = vec![
        ("write_mpm".into(), &ours),
        ("tar -czf, sync".into(), &gzip),
    ];
    if is_here("pigz") {
        sides.push(("tar by pigz, sync".into(), &pigz));
    }
    let times = in_turns(folder, &sides);
    let named = sides.iter().map(|(name, _)| name.clone()).zip(times);
    rows.extend(named.map(|(name, times)| (group.into(), name, Some(size_bytes), times)));
}

fn folders(folder: &Path, source: &Path, group: &str, size_bytes: u64, rows: &mut Vec<Row>) {
    let options = PackOptions::new(GuestOs::Linux);
    let source_folder = PackSource::Folder(source.to_path_buf());
    let plan = pack::plan(&source_folder, &options, &mut ()).unwrap();
    let planned = |_: &Path| {
        pack::plan(&source_folder, &options, &mut ()).unwrap();
    };
    let ours = |into: &Path| {
        pack::make(&plan, &into.join("made"), &mut ()).unwrap();
    };
    let copied = |into: &Path| {
        run(
            "cp",
            &["-r", source.to_str().unwrap(), into.to_str().unwrap()],
        );
        sync(into);
    };
    let sides: [Side<'_>; 3] = [
        ("pack::make".into(), &ours),
        ("cp -r, sync".into(), &copied),
        ("pack::plan".into(), &planned),
    ];
    let times = in_turns(folder, &sides);
    let named = sides.iter().map(|(name, _)| name.clone()).zip(times);
    rows.extend(named.map(|(name, times)| (group.into(), name, Some(size_bytes), times)));
}

/// What a program of this computer needs: found, and read from one end to the other.
fn closures(folder: &Path, rows: &mut Vec<Row>) {
    let programs = [pack::find_node(), pack::find_python()];
    for interpreter in programs.into_iter().flatten() {
        let program = interpreter.program.canonicalize().unwrap();
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        let found = windlass_package::closure::closure(std::slice::from_ref(&program)).unwrap();
        let files: Vec<PathBuf> = found
            .objects
            .iter()
            .map(|object| object.host.clone())
            .collect();
        let size_bytes: u64 = files
            .iter()
            .map(|file| fs::metadata(file).unwrap().len())
            .sum();
        let group = format!(
            "what {name} needs, {} libraries, {} MiB",
            files.len(),
            size_bytes >> 20
        );
        let closure = |_: &Path| {
            windlass_package::closure::closure(std::slice::from_ref(&program)).unwrap();
        };
        let source = PackSource::Program(program.clone());
        let planned = |_: &Path| {
            pack::plan(&source, &PackOptions::new(GuestOs::Linux), &mut ()).unwrap();
        };
        let read = |_: &Path| {
            for file in &files {
                fs::read(file).unwrap();
            }
        };
        let sides: [Side<'_>; 3] = [
            ("closure".into(), &closure),
            ("pack::plan".into(), &planned),
            ("reading it all".into(), &read),
        ];
        let times = in_turns(folder, &sides);
        let named = sides.iter().map(|(name, _)| name.clone()).zip(times);
        rows.extend(named.map(|(name, times)| (group.clone(), name, None, times)));
    }
}

fn print(rows: &[Row]) {
    let mut before = "";
    for (group, name, size_bytes, times) in rows {
        if group != before {
            println!("\n{group}");
            before = group;
        }
        let (lowest, median, highest) = summary(times);
        let range = format!("{lowest:.3} – {highest:.3} s");
        let rate = size_bytes.map_or(String::new(), |bytes| {
            let mebibytes = f64::from(u32::try_from(bytes >> 20).unwrap());
            format!("{:.0} MiB/s", mebibytes / median)
        });
        println!("  {name:28} {median:7.3} s  {rate:>11}   {range}");
    }
}

/// The least, the median and the most, in seconds.
fn summary(times: &[Duration]) -> (f64, f64, f64) {
    let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    (
        seconds[0],
        seconds[seconds.len() / 2],
        seconds[seconds.len() - 1],
    )
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test` starts benchmarks, too, to see whether they can be.
    if arguments.iter().all(|argument| argument != "--bench") {
        return;
    }
    let mut rows = Vec::new();
    for (shape, files, bytes) in SHAPES {
        let folder = folder();
        let source = folder.path().join("measured");
        let size_bytes = package(&source, files, bytes);
        let group = format!("{shape}, {} MiB", size_bytes >> 20);
        archives(folder.path(), &source, &group, size_bytes, &mut rows);
        folders(folder.path(), &source, &group, size_bytes, &mut rows);
    }
    closures(folder().path(), &mut rows);
    print(&rows);
    let mut file = arguments
        .iter()
        .skip_while(|argument| *argument != "--json");
    if let Some(file) = file.nth(1) {
        let rows: Vec<serde_json::Value> = rows
            .iter()
            .map(|(group, name, size_bytes, times)| {
                let samples: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
                serde_json::json!({
                    "group": group, "name": name, "sizeBytes": size_bytes, "samples": samples,
                })
            })
            .collect();
        let text = serde_json::to_string_pretty(&rows).unwrap();
        File::create(file)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }
}
