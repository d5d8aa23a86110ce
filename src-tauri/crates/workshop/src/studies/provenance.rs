//! What a run was made of, kept beside its results: enough to do it again, and to see whether the same comes out.
//!
//! ```text
//!   runs/007/provenance.json   image, packages, kernel, case, changed lines, commands, versions, host; then each result's digest
//!   runs/007/repeat/           the same run once more; all files of both are compared
//! ```
//!
//! Digests of files are SHA-256; those of the image and of the guest kernel are BLAKE3, as everywhere in Windlass.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use windlass_machine::{Boot, MachineSpec};
use windlass_study::record::{Record, Runs, Verdict};
use windlass_study::{ChangedFile, Difference, Run};

use super::start::Shared;
use super::{StudyOptions, disk, study_folder};
use crate::Workshop;
use crate::builds::GuestKernel;
use crate::disk::write_whole;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::{Job, Reporter};

const FILE: &str = "provenance.json";
/// Where a run is done once more.
const REPEAT: &str = "repeat";
/// Files that differ are named so far.
const NAMED: usize = 10;

/// Digests of files by their path.
pub(super) type Digests = BTreeMap<String, String>;

/// A package of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PackageUsed {
    pub(super) name: String,
    pub(super) version: Option<String>,
    /// Over the paths, the modes and the contents of its files.
    pub(super) sha256: String,
}

/// What a run was made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Provenance {
    windlass: String,
    number: usize,
    values: Vec<(String, String)>,
    fingerprint: String,
    appliance: String,
    image_blake3: String,
    packages: Vec<PackageUsed>,
    guest: String,
    kernel_version: String,
    kernel_blake3: String,
    /// What the guest was told to run, with its environment.
    command_line: String,
    memory_mib: u32,
    vcpus: u32,
    qemu: String,
    accelerator: String,
    host: String,
    processor: String,
    /// The text of `study.yaml`.
    study: String,
    /// The files of the case as they are for all runs.
    case_sha256: Digests,
    /// The lines that are others in this run.
    changes: Vec<Difference>,
    started_at: Option<String>,
    /// Whether the run went on from what it had written, or was told to end elsewhere.
    extended_to: Option<String>,
    ended_at: Option<String>,
    verdict: Option<Verdict>,
    /// The files that came back.
    results_sha256: Digests,
}

impl Workshop {
    /// What a run was made of, as the text of its file.
    ///
    /// # Errors
    /// `NotFound` where there is no such run, or it was never begun.
    pub fn study_provenance(&self, folder: &Path, number: u32) -> Result<String> {
        let runs = Runs::of(&study_folder(folder)?);
        let path = runs.folder(number as usize).join(FILE);
        fs::read_to_string(&path).map_err(|_| AppError::not_found("run", &number.to_string()))
    }

    /// Does a run once more from what is kept of it, and compares all files with what came out then, as a job: it fails
    /// where one is another.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it did not come to its own end, or where what it is made of is not the same any more.
    pub fn start_study_repeat(self: &Arc<Self>, folder: &Path, number: u32) -> Result<Job> {
        let folder = study_folder(folder)?;
        let kept = read(&Runs::of(&folder).folder(number as usize))
            .ok_or_else(|| AppError::not_found("run", &number.to_string()))?;
        if !kept.verdict.is_some_and(Verdict::is_complete) || kept.extended_to.is_some() {
            let message = format!("Run {number:03} did not come to its end by itself");
            return Err(AppError::new(ErrorKind::Conflict, message)
                .hinted("Runs that were stopped or made to go on depend on when that was"));
        }
        let options = StudyOptions {
            repeat: Some(number),
            ..StudyOptions::default()
        };
        self.start_study(&folder, options)
    }

    pub(super) async fn repeat_run(
        self: &Arc<Self>,
        mut shared: Shared,
        run: &Run,
        reporter: &Reporter,
    ) -> Result<()> {
        let folder = shared.runs.folder(run.number);
        let kept =
            read(&folder).ok_or_else(|| AppError::not_found("run", &run.number.to_string()))?;
        let changes = shared.changes(run)?;
        refuse_others(&kept, &shared, &changes)?;
        if kept.image_blake3 != shared.provided.build.digest {
            reporter.log("The image has other bytes: the same packages, laid out otherwise");
        }
        reporter.step("Repeating");
        let again = folder.join(REPEAT);
        if again.exists() {
            fs::remove_dir_all(&again).doing("remove", &again)?;
        }
        shared.runs = Runs::of(&again);
        let shared = Arc::new(shared);
        let fingerprint = shared.fingerprint(run, &changes);
        let mut record = Record::new(run, fingerprint);
        self.begin(&shared, &mut record, &changes, run, reporter)
            .await?;
        let now = read(&shared.runs.folder(run.number)).unwrap_or_else(|| kept.clone());
        if !record.verdict.is_some_and(Verdict::is_complete) {
            let message = record.message.unwrap_or_default();
            return Err(AppError::new(
                ErrorKind::Conflict,
                format!("The second time: {message}"),
            ));
        }
        let others = others(&kept.results_sha256, &now.results_sha256);
        if others.is_empty() {
            let count = kept.results_sha256.len();
            reporter.log(&format!("All {count} files are the same, byte for byte"));
            return Ok(());
        }
        let named = others.iter().take(NAMED).copied().collect::<Vec<_>>();
        let message = format!(
            "{} of {} files not the same: {}",
            others.len(),
            kept.results_sha256.len(),
            named.join(", ")
        );
        let mut error = AppError::new(ErrorKind::Conflict, message);
        if (&kept.qemu, &kept.accelerator, &kept.processor)
            != (&now.qemu, &now.accelerator, &now.processor)
        {
            error = error
                .hinted("The computer is another one: its processor, its accelerator or its QEMU");
        }
        Err(error)
    }
}

/// Refuses where what a run was made of is not there any more.
fn refuse_others(kept: &Provenance, shared: &Shared, changes: &[ChangedFile]) -> Result<()> {
    let other = |what: String| {
        AppError::new(
            ErrorKind::Conflict,
            format!("{what}: it would not be the same run"),
        )
        .hinted("Run the study anew, or bring back what it was made of")
    };
    if kept.packages != shared.packages {
        let is_other = |package: &&PackageUsed| !shared.packages.contains(package);
        let names: Vec<&str> = kept
            .packages
            .iter()
            .filter(is_other)
            .map(|one| one.name.as_str())
            .collect();
        return Err(other(format!(
            "The packages are others ({})",
            names.join(", ")
        )));
    }
    if kept.kernel_blake3 != kernel(&shared.kernel).1 {
        return Err(other("The guest kernel is another one".into()));
    }
    let others = others(&kept.case_sha256, &shared.inputs);
    if !others.is_empty() {
        let named = others.iter().take(NAMED).copied().collect::<Vec<_>>();
        return Err(other(format!(
            "The case has changed ({})",
            named.join(", ")
        )));
    }
    if kept.changes != differences(changes) {
        return Err(other("The study changes other lines of the case".into()));
    }
    Ok(())
}

fn others<'a>(before: &'a Digests, now: &'a Digests) -> Vec<&'a str> {
    let mut others: Vec<&str> = before
        .iter()
        .filter(|(path, digest)| now.get(*path) != Some(*digest))
        .map(|(path, _)| path.as_str())
        .collect();
    let new = now.keys().filter(|path| !before.contains_key(*path));
    others.extend(new.map(String::as_str));
    others
}

fn differences(changes: &[ChangedFile]) -> Vec<Difference> {
    changes.iter().flat_map(ChangedFile::differences).collect()
}

fn kernel(kernel: &GuestKernel) -> (String, String) {
    match kernel {
        GuestKernel::Linux(kernel) => {
            let version = kernel.version.clone();
            (version.unwrap_or_default(), kernel.digest.clone())
        }
        GuestKernel::Osv(kernel) => {
            kernel
                .elf
                .as_ref()
                .or(kernel.loader.as_ref())
                .map_or_else(Default::default, |kernel| {
                    let version = kernel.version.clone();
                    (version.unwrap_or_default(), kernel.digest.clone())
                })
        }
    }
}

/// Keeps what a run that begins is made of.
pub(super) fn begin(
    shared: &Shared,
    record: &Record,
    changes: &[ChangedFile],
    spec: &MachineSpec,
) -> Result<()> {
    let (build, probe) = (&shared.provided.build, &shared.probe);
    let (kernel_version, kernel_blake3) = kernel(&shared.kernel);
    let provenance = Provenance {
        windlass: env!("CARGO_PKG_VERSION").into(),
        number: record.number,
        values: record.values.clone(),
        fingerprint: record.fingerprint.clone(),
        appliance: shared.provided.composition.name.clone(),
        image_blake3: build.digest.clone(),
        packages: shared.packages.clone(),
        guest: shared.provided.composition.guest.to_string(),
        kernel_version,
        kernel_blake3,
        command_line: match &spec.boot {
            Boot::Kernel {
                append,
                command_line,
                ..
            } => command_line.as_ref().unwrap_or(append).clone(),
            Boot::Disk => String::new(),
        },
        memory_mib: spec.memory_mib,
        vcpus: spec.vcpus,
        qemu: probe.qemu.version.clone(),
        accelerator: format!("{:?}", probe.accelerator).to_lowercase(),
        host: probe.host.clone(),
        processor: processor(),
        study: shared.study.to_yaml()?,
        case_sha256: shared.inputs.clone(),
        changes: differences(changes),
        started_at: record.started_at.clone(),
        extended_to: record.extended_to.clone(),
        ended_at: None,
        verdict: None,
        results_sha256: Digests::new(),
    };
    write(&shared.runs.folder(record.number), &provenance)
}

/// Adds how a run ended, and the digests of what came back.
pub(super) fn end(run: &Path, record: &Record) -> Result<()> {
    let Some(mut provenance) = read(run) else {
        return Ok(());
    };
    provenance.ended_at.clone_from(&record.ended_at);
    provenance.verdict = record.verdict;
    provenance.extended_to.clone_from(&record.extended_to);
    let back = run.join(disk::BACK);
    if back.is_dir() {
        provenance.results_sha256 = digests(&back)?;
    }
    write(run, &provenance)
}

fn read(run: &Path) -> Option<Provenance> {
    serde_json::from_slice(&fs::read(run.join(FILE)).ok()?).ok()
}

fn write(run: &Path, provenance: &Provenance) -> Result<()> {
    let mut text = serde_json::to_string_pretty(provenance)
        .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
    text.push('\n');
    write_whole(&run.join(FILE), text.as_bytes())
}

/// The packages of an image, each with one digest over all of it.
pub(super) fn packages(layers: &[windlass_compose::LayerSummary]) -> Result<Vec<PackageUsed>> {
    let mut packages = Vec::new();
    for layer in layers.iter().filter(|layer| layer.path.is_dir()) {
        let mut hasher = Sha256::new();
        for (path, digest) in digests(&layer.path)? {
            hasher.update(format!("{digest}  {path}\n"));
        }
        packages.push(PackageUsed {
            name: layer.name.clone(),
            version: layer.version.clone(),
            sha256: hex(&hasher.finalize()),
        });
    }
    Ok(packages)
}

/// The digest of every file below a folder, by its path; of a link that of where it points.
pub(super) fn digests(folder: &Path) -> Result<Digests> {
    let mut digests = Digests::new();
    let mut open = vec![folder.to_owned()];
    let mut buffer = vec![0; 256 << 10];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).doing("list the folder", &next)? {
            let place = entry.doing("list the folder", &next)?.path();
            let metadata = fs::symlink_metadata(&place).doing("read", &place)?;
            let mut hasher = Sha256::new();
            if metadata.is_dir() {
                open.push(place);
                continue;
            } else if metadata.is_symlink() {
                let target = fs::read_link(&place).doing("read", &place)?;
                hasher.update(target.to_string_lossy().as_bytes());
            } else if metadata.is_file() {
                let mut file = File::open(&place).doing("read", &place)?;
                loop {
                    let count = file.read(&mut buffer).doing("read", &place)?;
                    if count == 0 {
                        break;
                    }
                    hasher.update(&buffer[..count]);
                }
            } else {
                continue;
            }
            let path = place.strip_prefix(folder).unwrap_or(&place);
            digests.insert(path.to_string_lossy().into_owned(), hex(&hasher.finalize()));
        }
    }
    Ok(digests)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(':')).map_or_else(
        || std::env::consts::ARCH.into(),
        |(_, name)| name.trim().into(),
    )
}
