//! The beginning of a study: what all of its runs share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use windlass_guest::command_line::quote_word;
use windlass_machine::{HostUsage, Probe};
use windlass_study::record::{self, Runs};
use windlass_study::{ChangedFile, Run, Study};

use super::provenance::{Digests, PackageUsed};
use super::watch::Bounds;
use super::{StudyCheck, StudyOptions, case_folder, osv, provenance, study_folder};
use crate::Workshop;
use crate::appliances::Appliance;
use crate::builds::{GuestKernel, Making, Provided};
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::GuestOs;
use crate::jobs::{Job, JobKind, Reporter, Request};

/// All that the runs of a study share.
pub(super) struct Shared {
    pub(super) study: Study,
    pub(super) case: Option<PathBuf>,
    pub(super) runs: Runs,
    pub(super) is_openfoam: bool,
    pub(super) provided: Provided,
    pub(super) kernel: GuestKernel,
    pub(super) probe: Probe,
    pub(super) bounds: Bounds,
    /// The packages of the image.
    pub(super) packages: Vec<PackageUsed>,
    /// The files of the case, before any run changes them.
    pub(super) inputs: Digests,
    /// The step that is the solver's: a run that goes on begins with it.
    pub(super) solver: usize,
    /// How many machines a run takes, one after the other: OSv ends with its first program.
    pub(super) boots: usize,
}

/// Refuses a case that cannot run, by the first thing that is wrong with it.
fn refuse_broken(case: &super::Case) -> Result<()> {
    let Some(wrong) = case.findings.iter().find(|_| !case.can_run()) else {
        return Ok(());
    };
    let place = wrong.path.as_deref().unwrap_or("the case");
    let mut error = AppError::new(ErrorKind::Input, format!("{place}: {}", wrong.message));
    error.hints.extend(wrong.remedy.clone());
    Err(error)
}

/// Memory that several processes need at least: what they share, and each of them.
const MEMORY_OF_MPI_MIB: u32 = 128;
const MEMORY_OF_PROCESS_MIB: u32 = 160;

impl Workshop {
    /// Does the runs of a study that are not done, as a job. What is done already stays.
    ///
    /// # Errors
    /// `Input` when the study or its case has a mistake; `Conflict` when another process works on it.
    pub fn start_study(self: &Arc<Self>, folder: &Path, options: StudyOptions) -> Result<Job> {
        let folder = study_folder(folder)?;
        let check = self.checked(&folder)?;
        if let Some(case) = &check.case {
            refuse_broken(case)?;
        }
        let Some(name) = check.study.appliance.clone() else {
            let packages = check.case.iter().flat_map(|case| &case.packages);
            let names: Vec<&str> = packages.map(|package| package.name.as_str()).collect();
            let error = AppError::new(
                ErrorKind::Input,
                "The study does not say which appliance it runs",
            );
            let error = error.hinted("Add a line `appliance: NAME` to study.yaml");
            return Err(if names.is_empty() {
                error
            } else {
                error
                    .hinted(format!("Its case needs {}", names.join(", ")))
                    .hinted("`windlassctl study prepare FOLDER` makes what is missing of them, and an appliance that has them")
            });
        };
        let appliance = self.study_appliance(&folder, &name)?;
        let runs = Runs::of(&folder);
        let lock = runs.lock()?.ok_or_else(|| {
            AppError::new(ErrorKind::Conflict, "Another Windlass works on this study")
                .hinted("Watch it with `windlassctl study watch`")
        })?;
        if options.runs.is_empty() && options.repeat.is_none() {
            runs.set_stopped(false)?;
        }
        let workshop = Arc::clone(self);
        let title = check
            .study
            .title
            .clone()
            .unwrap_or_else(|| appliance.name.clone());
        self.start_job(
            JobKind::Study,
            format!("Run the study {title}"),
            Some(folder.to_string_lossy().into_owned()),
            Some(&Request::Study {
                folder: folder.clone(),
                options: options.clone(),
            }),
            async move |reporter| {
                let _lock = lock;
                let planned: Vec<Run> = check
                    .runs
                    .iter()
                    .map(|planned| planned.run.clone())
                    .collect();
                let (shared, at_once) = workshop
                    .share(check, &appliance, folder, runs, &reporter)
                    .await?;
                if let Some(number) = options.repeat {
                    let is_it = |run: &&Run| run.number == number as usize;
                    let run = planned.iter().find(is_it);
                    let run = run.ok_or_else(|| AppError::not_found("run", &number.to_string()))?;
                    workshop.repeat_run(shared, run, &reporter).await?;
                    return Ok(None);
                }
                workshop
                    .work_off(Arc::new(shared), planned, at_once, options, &reporter)
                    .await?;
                Ok(None)
            },
        )
    }

    /// What all runs need: the image, the kernel; and how many of them go at the same time.
    async fn share(
        self: &Arc<Self>,
        check: StudyCheck,
        appliance: &Appliance,
        folder: PathBuf,
        runs: Runs,
        reporter: &Reporter,
    ) -> Result<(Shared, u32)> {
        let record = self.appliance_record(&appliance.id)?;
        let kept = windlass_package::BuildSettings::load(Path::new(&appliance.path))?.value;
        let mut settings = self.settings_of(&kept)?;
        settings.network = false;
        settings.ports.clear();
        settings.volumes.clear();
        settings.memory_mib = check.study.limits.memory_mib.unwrap_or(settings.memory_mib);
        settings.vcpus = check.study.limits.vcpus.unwrap_or(settings.vcpus);
        if let Some(parallel) = &check.study.parallel {
            settings.vcpus = check.study.limits.vcpus.unwrap_or(parallel.cores);
            let least = MEMORY_OF_MPI_MIB + parallel.cores * MEMORY_OF_PROCESS_MIB;
            if check.study.limits.memory_mib.is_none() {
                settings.memory_mib = settings.memory_mib.max(least);
            }
        }
        if !check.steps.is_empty() {
            settings.command = Some(command(&check.steps, check.case.is_some()));
        }
        let making = Making {
            settings: Some(settings.to_build_settings()),
            ..Making::default()
        };
        let provided = self.provide_build(&record, &making, reporter).await?;
        let probe = self.probe(reporter.cancellation()).await?;
        let composition = &provided.composition;
        if composition.guest == GuestOs::Osv {
            let image = PathBuf::from(&provided.build.path);
            let root_fs = composition.root_fs;
            crate::blocking(move || osv::check(&image, root_fs)).await??;
        }
        let kernel = self
            .provide_kernel(composition.guest, composition.root_fs, reporter)
            .await?;
        let limits = check.study.limits;
        let usage = HostUsage::now();
        let at_once = record::at_once(
            limits.at_once,
            settings.vcpus,
            settings.memory_mib,
            usage.as_ref().map_or(1, |usage| usage.processors),
            usage
                .as_ref()
                .map_or(0, |usage| usage.memory_available_bytes >> 20),
        );
        let boots = match composition.guest {
            GuestOs::Osv => check.steps.len().max(1),
            GuestOs::Linux => 1,
        };
        let application = (check.case.as_ref()).and_then(|case| case.application.as_deref());
        let is_solver = |step: &String| {
            let mut words = step.split_whitespace();
            words.any(|word| Some(word.rsplit('/').next().unwrap_or(word)) == application)
        };
        let case = case_folder(&check.study, &folder);
        let (layers, from) = (composition.plan.layers().to_vec(), case.clone());
        let (packages, inputs) = crate::blocking(move || {
            let inputs = from.map_or_else(|| Ok(Digests::new()), |case| provenance::digests(&case));
            Ok::<_, AppError>((provenance::packages(&layers)?, inputs?))
        })
        .await??;
        let shared = Shared {
            packages,
            inputs,
            boots,
            solver: check.steps.iter().position(is_solver).unwrap_or(0),
            case,
            is_openfoam: check.case.is_some(),
            study: check.study,
            runs,
            provided,
            kernel,
            probe,
            bounds: Bounds {
                longest: limits
                    .minutes
                    .map(|minutes| Duration::from_secs(u64::from(minutes) * 60)),
                stop_when_diverged: limits.stop_when_diverged.unwrap_or(true),
            },
        };
        Ok((shared, at_once))
    }
}

impl Shared {
    /// The files of the case that a run changes.
    pub(super) fn changes(&self, run: &Run) -> Result<Vec<ChangedFile>> {
        match &self.case {
            Some(case) => Ok(self.study.changes(case, run)?),
            None => Ok(Vec::new()),
        }
    }

    /// A digest over all that makes a run what it is.
    pub(super) fn fingerprint(&self, run: &Run, changes: &[ChangedFile]) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(self.provided.build.digest.as_bytes());
        for (path, digest) in &self.inputs {
            add(path.as_bytes());
            add(digest.as_bytes());
        }
        for change in changes {
            add(change.file.to_string_lossy().as_bytes());
            add(change.text());
        }
        for (key, value) in run.environment(&self.study) {
            add(key.as_bytes());
            add(value.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// The steps as a command line: programs of OpenFOAM by their place in Debian's packages.
fn command(steps: &[String], is_openfoam: bool) -> String {
    let steps = steps.iter().map(|step| {
        let (program, rest) = step.trim().split_once(' ').unwrap_or((step.trim(), ""));
        let program = if is_openfoam && !program.contains('/') {
            quote_word(&format!("/usr/bin/{program}"))
        } else {
            program.to_owned()
        };
        format!("{program} {rest}").trim().to_owned()
    });
    steps.collect::<Vec<_>>().join("; ")
}
