//! Composes one folder into an image, as the benchmark does: `compose FOLDER IMAGE rofs|osv-ext4|linux-ext4 [DIGESTS]`.
//!
//! The folder is a package. An image that is there is updated. Prints what was done and how long it took, as JSON.
#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use windlass_compose::{
    DigestCache, Layer, LayerKind, Progress, Recipe, Step, build_or_update, plan,
};
use windlass_guest::{CommandLine, GuestOs, RootFs};
use windlass_package::Package;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, image, kind, rest @ ..] = words.as_slice() else {
        return Err("compose FOLDER IMAGE rofs|osv-ext4|linux-ext4 [DIGESTS]".into());
    };
    let (guest, root_fs) = match kind.as_str() {
        "rofs" => (GuestOs::Osv, RootFs::Rofs),
        "osv-ext4" => (GuestOs::Osv, RootFs::Ext4),
        _ => (GuestOs::Linux, RootFs::Ext4),
    };
    let cancel = CancellationToken::new();
    let digests = rest
        .first()
        .map_or_else(DigestCache::default, DigestCache::open);
    let begun = Instant::now();
    let package = Package::open(PathBuf::from(folder))?;
    let layers = [Layer::from_package(&package, LayerKind::Appliance)];
    let plan = plan(&layers, guest, root_fs, &[], &cancel)?;
    let planned = begun.elapsed();
    let recipe = Recipe {
        destination: PathBuf::from(image),
        command_line: CommandLine::parse("/hello")?,
        loader: None,
        boot: None,
        size_bytes: None,
        filler: None,
    };
    // When each step was seen first.
    let mut steps: Vec<(Step, Duration)> = Vec::new();
    let mut progress = |report: Progress| {
        if steps.last().is_none_or(|(step, _)| *step != report.step) {
            steps.push((report.step, begun.elapsed()));
        }
    };
    let build = build_or_update(&plan, &recipe, &digests, &mut progress, &cancel)?;
    digests.save()?;
    let whole = begun.elapsed();
    let at = |wanted: Step| steps.iter().find(|(step, _)| *step == wanted);
    let at = |wanted: Step| at(wanted).map_or(whole, |(_, at)| *at);
    let ms = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() * 1e3;
    let (write, digest, finish) = (at(Step::Write), at(Step::Digest), at(Step::Finish));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak
        .and_then(|peak| peak.trim().strip_suffix(" kB"))
        .unwrap_or("0")
        .trim();
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = Duration::try_from(cpu)?;
    println!(
        r#"{{"manner":"{:?}","reason":{:?},"added":{},"changed":{},"removed":{},"bytesWritten":{},"sizeBytes":{},"planMs":{:.2},"layoutMs":{:.2},"writeMs":{:.2},"digestMs":{:.2},"finishMs":{:.2},"wholeMs":{:.2},"cpuMs":{:.2},"peakKib":{peak}}}"#,
        build.changes.manner,
        build.changes.reason.unwrap_or_default(),
        build.changes.added,
        build.changes.changed,
        build.changes.removed,
        build.changes.bytes_written,
        build.size_bytes,
        planned.as_secs_f64() * 1e3,
        ms(planned, write),
        ms(write, digest),
        ms(digest, finish),
        ms(finish, whole),
        whole.as_secs_f64() * 1e3,
        cpu.as_secs_f64() * 1e3,
    );
    Ok(())
}
