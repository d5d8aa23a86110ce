//! How fast files are pulled, against `curl` of the same file from the same server, and how fast 100,000 packages are
//! searched, loaded and kept in memory.
//!
//! `cargo bench -p windlass-registry`; the median of all rounds is told, and the worst.

#![expect(clippy::expect_used, reason = "who measures looks on")]
#![expect(clippy::print_stdout, reason = "figures are what this is for")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_registry::{
    Catalogue, Control, Credentials, Entry, EntryKind, Locator, Registry, RegistryConfig,
    RegistryKind, Search, TrustFile,
};

const PACKAGES: u32 = 100_000;
const FILE_BYTES: usize = 512 << 20;
const ROUNDS: usize = 7;

fn main() {
    search();
    pull();
}

fn search() {
    let before = resident();
    let catalogue = catalogue();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalogue.jsonl");
    catalogue.save(&path).expect("a file");
    drop(catalogue);
    let size = std::fs::metadata(&path).expect("a file").len();
    let mut loaded = None;
    let load = rounds(5, || loaded = Catalogue::load(&path).expect("a catalogue"));
    let catalogue = Arc::new(loaded.expect("a catalogue"));
    let mut search = Search::default();
    let index = rounds(5, || search = Search::over([catalogue.clone()]));
    println!("{PACKAGES} packages, {} MiB as a file", size >> 20);
    println!("  load the file          {}", told(&load));
    println!("  make it searchable     {}", told(&index));
    if let (Some(before), Some(now)) = (before, resident()) {
        println!("  memory, all of it      {} MiB", (now - before) >> 20);
    }
    let mut worst = Duration::ZERO;
    for text in [
        "",
        "openfoam",
        "simple solver",
        "e",
        "node 20 web",
        "opnefoam",
        "zzzz",
    ] {
        // As one types: each beginning is asked for.
        let mut times = Vec::new();
        for end in text
            .char_indices()
            .map(|(at, _)| at)
            .skip(1)
            .chain([text.len()])
        {
            let typed = &text[..end];
            times.extend(rounds(20, || {
                std::hint::black_box(search.page(typed, 0, 50, |_, _| true));
            }));
        }
        times.sort();
        worst = worst.max(times[times.len() - 1]);
        println!("  type {text:<17} {}", told(&times));
    }
    println!("  the slowest keystroke  {worst:.2?}");
}

fn catalogue() -> Catalogue {
    const WHAT: [&str; 8] = [
        "node", "openfoam", "python", "osv", "redis", "nginx", "java", "mpi",
    ];
    const FOR: [&str; 7] = [
        "web", "solver", "simple", "cache", "demo", "runtime", "cluster",
    ];
    let pick = |list: &[&'static str], at: u32| list[at as usize % list.len()];
    let mut entries = Vec::new();
    for at in 0..PACKAGES {
        let (what, purpose) = (pick(&WHAT, at), pick(&FOR, at / 8));
        let name = format!("{what}-{}.{purpose}-{at}", at % 30);
        let place = Locator::at(format!("https://registry.example/packages/{name}.mpm"));
        let mut entry = Entry::new(EntryKind::Package, name, place);
        entry.title = Some(format!("The {what} of {purpose}"));
        entry.version = Some(format!("{}.{}.{}", at % 9, at % 20, at % 7));
        entry.size_bytes = Some(u64::from(at) * 1000);
        entry.author = Some("Somebody of the project".to_owned());
        entry.description = Some(format!(
            "What one needs of {what} where {purpose} is to run as an appliance."
        ));
        entries.push(entry);
    }
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    Catalogue {
        registry: "bench".to_owned(),
        identity: "bench".to_owned(),
        refreshed: jiff::Timestamp::UNIX_EPOCH,
        entries,
    }
}

fn pull() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let source = folder.path().join("source");
    let mut file = std::fs::File::create(&source).expect("a file");
    let block: Vec<u8> = (0..1_u32 << 20)
        .map(|at| at.to_le_bytes()[at as usize % 3])
        .collect();
    for _ in 0..FILE_BYTES >> 20 {
        file.write_all(&block).expect("a disk with room");
    }
    let url = serve(&source);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = RegistryConfig {
        proxy: Some("none".to_owned()),
        ..RegistryConfig::new(RegistryKind::Http, "bench", &url)
    };
    let registry = Registry::open(config, Credentials::None).expect("a registry");
    let entry = Entry::new(
        EntryKind::Package,
        "big",
        Locator::at(format!("{url}big.mpm")),
    );
    let (mut ours, mut curls, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    let into = folder.path().join("into");
    let curled = folder.path().join("curled");
    for _ in 0..ROUNDS {
        let trust = TrustFile::open(folder.path().join("trust")).expect("a file");
        ours.extend(rounds(1, || {
            let fetched =
                runtime.block_on(registry.fetch(&entry, &into, &trust, &Control::default(), &()));
            assert_eq!(fetched.expect("a file").size_bytes, FILE_BYTES as u64);
        }));
        let run = |program: &str, args: &[&str]| {
            let status = Command::new(program)
                .args(args)
                .stdout(Stdio::null())
                .status();
            assert!(status.expect("a program").success());
        };
        let (to, from) = (curled.to_str().expect("UTF-8"), format!("{url}big.mpm"));
        curls.extend(rounds(1, || {
            run("curl", &["-s", "--noproxy", "*", "-o", to, &from]);
        }));
        sums.extend(rounds(1, || run("sha256sum", &[to])));
    }
    for times in [&mut ours, &mut curls, &mut sums] {
        times.sort();
    }
    println!("{} MiB from this computer", FILE_BYTES >> 20);
    println!("  fetch: written, synced and digested   {}", rate(&ours));
    println!("  curl: written                         {}", rate(&curls));
    println!("  sha256sum of it                       {}", rate(&sums));
    println!(
        "  fetch / (curl + sha256sum)            {:.2}",
        ratio(&ours, &curls, &sums)
    );
}

/// A server that sends this file, whatever is asked for.
fn serve(path: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("a port"));
    let path = path.to_path_buf();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            let path = path.clone();
            std::thread::spawn(move || {
                let mut asked = [0; 4096];
                let _ = socket.read(&mut asked);
                let mut file = std::fs::File::open(path).expect("a file");
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {FILE_BYTES}\r\netag: \"1\"\r\nconnection: close\r\n\r\n"
                );
                let _ = socket.write_all(head.as_bytes());
                let _ = std::io::copy(&mut file, &mut socket);
            });
        }
    });
    url
}

fn rounds(count: usize, mut work: impl FnMut()) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        work();
        times.push(begun.elapsed());
    }
    times.sort();
    times
}

fn median(times: &[Duration]) -> Duration {
    times[times.len() / 2]
}

fn told(times: &[Duration]) -> String {
    format!(
        "{:>9.2?}, at worst {:.2?}",
        median(times),
        times[times.len() - 1]
    )
}

#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
fn rate(times: &[Duration]) -> String {
    let rate = (FILE_BYTES >> 20) as f64 / median(times).as_secs_f64();
    format!("{} ({rate:.0} MiB/s)", told(times))
}

fn ratio(ours: &[Duration], curl: &[Duration], sum: &[Duration]) -> f64 {
    median(ours).as_secs_f64() / (median(curl) + median(sum)).as_secs_f64()
}

/// The memory that this program has, in bytes.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
