//! The queue of a study: which runs there are to do, so many at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use windlass_guest::CommandLine;
use windlass_guest::command_line::quote_word;
use windlass_machine::{
    Boot, Disk, DiskAccess, DiskFormat, HostUsage, MachineHandle, MachineSpec, Probe,
};
use windlass_study::record::{self, Record, RunState, Runs, Verdict};
use windlass_study::{ChangedFile, Run, Study};

use super::watch::Bounds;
use super::{StudyOptions, case_folder, disk, study_folder};
use crate::Workshop;
use crate::builds::{GuestKernel, Making, Provided};
use crate::error::{AppError, ErrorKind, Result};
use crate::jobs::{Job, JobKind, Reporter, Request, Unit};

/// Where a guest finds its case.
const CASE: &str = "/case";
/// Where Debian's OpenFOAM keeps its `etc`.
const OPENFOAM: (&str, &str) = ("WM_PROJECT_DIR", "/usr/share/openfoam");

/// All that the runs of a study share.
struct Shared {
    study: Study,
    case: Option<PathBuf>,
    runs: Runs,
    is_openfoam: bool,
    provided: Provided,
    kernel: GuestKernel,
    probe: Probe,
    bounds: Bounds,
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
                    .hinted("`windlassctl package pack openfoam --as debian` makes a package that has all of them")
            });
        };
        let appliance = self.find_appliance(&name)?;
        let runs = Runs::of(&folder);
        let lock = runs.lock()?.ok_or_else(|| {
            AppError::new(ErrorKind::Conflict, "Another Windlass works on this study")
                .hinted("Watch it with `windlassctl study watch`")
        })?;
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
                options,
            }),
            async move |reporter| {
                let _lock = lock;
                let record = workshop.appliance_record(&appliance.id)?;
                let kept = windlass_package::BuildSettings::load(Path::new(&appliance.path))?.value;
                let mut settings = workshop.settings_of(&kept)?;
                settings.network = false;
                settings.ports.clear();
                settings.volumes.clear();
                settings.memory_mib = check.study.limits.memory_mib.unwrap_or(settings.memory_mib);
                settings.vcpus = check.study.limits.vcpus.unwrap_or(settings.vcpus);
                if !check.steps.is_empty() {
                    settings.command = Some(command(&check.steps, check.case.is_some()));
                }
                let making = Making {
                    settings: Some(settings.to_build_settings()),
                    ..Making::default()
                };
                let provided = workshop.provide_build(&record, &making, &reporter).await?;
                let probe = workshop.probe(reporter.cancellation()).await?;
                let composition = &provided.composition;
                let kernel = workshop
                    .provide_kernel(composition.guest, composition.root_fs, &reporter)
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
                let shared = Shared {
                    case: case_folder(&check.study, &folder),
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
                let planned = check.runs.into_iter().map(|planned| planned.run).collect();
                workshop
                    .work_off(Arc::new(shared), planned, at_once, options, &reporter)
                    .await?;
                Ok(None)
            },
        )
    }

    async fn work_off(
        self: &Arc<Self>,
        shared: Arc<Shared>,
        planned: Vec<Run>,
        at_once: u32,
        options: StudyOptions,
        reporter: &Reporter,
    ) -> Result<()> {
        reporter.step("Running");
        reporter.log(&format!("{} runs, {at_once} at a time", planned.len()));
        let places = Arc::new(Semaphore::new(at_once as usize));
        let total = planned.len() as u64;
        let mut done = 0;
        let mut working = JoinSet::new();
        for run in planned {
            let changes = match &shared.case {
                Some(case) => shared.study.changes(case, &run)?,
                None => Vec::new(),
            };
            let fingerprint = shared.fingerprint(&run, &changes);
            let kept = shared.runs.load(run.number);
            if let Some(kept) = &kept
                && kept.state == RunState::Done
                && !kept.is_wanted(&fingerprint, options.retry)
            {
                done += 1;
                continue;
            }
            let (workshop, shared, reporter) =
                (Arc::clone(self), Arc::clone(&shared), reporter.clone());
            let places = Arc::clone(&places);
            working.spawn(async move {
                let _place = places.acquire().await;
                reporter.check()?;
                workshop
                    .do_run(&shared, &run, &changes, (fingerprint, kept), &reporter)
                    .await
            });
        }
        reporter.progress(done, Some(total), Unit::Items);
        let mut first_error = None;
        while let Some(ended) = working.join_next().await {
            done += 1;
            reporter.progress(done, Some(total), Unit::Items);
            let result = ended.unwrap_or_else(|error| {
                Err(AppError::from_error(ErrorKind::Internal, &error, None))
            });
            if let Err(error) = result {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// One run, from its record to its verdict; again where it was lost.
    async fn do_run(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        run: &Run,
        changes: &[ChangedFile],
        (fingerprint, kept): (String, Option<Record>),
        reporter: &Reporter,
    ) -> Result<()> {
        let same = kept.filter(|kept| kept.fingerprint == fingerprint);
        // What another process began, and did not see the end of.
        if let Some(mut record) = same
            .clone()
            .filter(|record| record.state == RunState::Running)
        {
            if let Some(handle) = self.found(&record) {
                reporter.log(&format!("Run {}: found again", record.name()));
                self.see_through(shared, &handle, &mut record, reporter)
                    .await?;
            } else {
                record.close(
                    Verdict::Lost,
                    "its machine is gone, and nobody saw how it ended",
                );
                shared.runs.save(&record)?;
            }
            if record.verdict != Some(Verdict::Lost) || record.attempts >= record::ATTEMPTS {
                return Ok(());
            }
        }
        let mut attempts = same.map_or(0, |record| record.attempts);
        loop {
            reporter.check()?;
            let mut record = Record::new(run, fingerprint.clone());
            record.attempts = attempts + 1;
            attempts += 1;
            self.begin(shared, &mut record, changes, run, reporter)
                .await?;
            let again = record.verdict == Some(Verdict::Lost) && attempts < record::ATTEMPTS;
            let message = record.message.as_deref().unwrap_or_default();
            reporter.log(&format!("Run {}: {message}", record.name()));
            if !again {
                return Ok(());
            }
            reporter.log(&format!("Run {}: once more", record.name()));
        }
    }

    fn found(&self, record: &Record) -> Option<MachineHandle> {
        self.machines.get(record.machine.as_deref()?).ok()
    }

    async fn begin(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        record: &mut Record,
        changes: &[ChangedFile],
        run: &Run,
        reporter: &Reporter,
    ) -> Result<()> {
        let folder = shared.runs.folder(record.number);
        let (case, changes) = (shared.case.clone(), changes.to_vec());
        let into = folder.clone();
        crate::blocking(move || disk::write(case.as_deref(), &changes, &into)).await??;
        let spec = self.run_spec(shared, run, &folder.join(disk::DISK))?;
        record.state = RunState::Running;
        record.machine = Some(spec.id.clone());
        record.started_at = Some(crate::now());
        // Before there is a machine: whoever finds the record looks for it.
        shared.runs.save(record)?;
        let handle = self.machines.create(spec).await?;
        if let Err(error) = handle.start(&shared.probe).await {
            record.close(Verdict::Lost, format!("its machine did not start: {error}"));
            return shared.runs.save(record).map_err(Into::into);
        }
        self.see_through(shared, &handle, record, reporter).await
    }

    /// Watches a machine to its end, reads its files back, and takes it away.
    async fn see_through(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        handle: &MachineHandle,
        record: &mut Record,
        reporter: &Reporter,
    ) -> Result<()> {
        let runs = &shared.runs;
        let watched = self
            .watch_run(handle, record, shared.bounds, reporter, |record| {
                Ok(runs.save(record)?)
            })
            .await;
        let folder = runs.folder(record.number);
        let console = folder.join("console.log");
        if let Err(error) = self.save_console(handle.id(), &console).await {
            reporter.log(&format!(
                "Run {}: its console could not be kept: {error}",
                record.name()
            ));
        }
        let place = folder.clone();
        match crate::blocking(move || disk::read_back(&place)).await? {
            Ok(()) => {
                for result in &shared.study.results {
                    if let Some(value) = result.read(&folder.join(disk::BACK), &console)? {
                        record.results.insert(result.name.clone(), value);
                    }
                }
                let _ = std::fs::remove_file(folder.join(disk::DISK));
            }
            // The disk stays, for whoever can make more of it.
            Err(error) if record.verdict.is_some_and(Verdict::is_complete) => {
                record.close(
                    Verdict::Lost,
                    format!("its files could not be read back: {error}"),
                );
            }
            Err(error) => reporter.log(&format!("Run {}: {error}", record.name())),
        }
        record.ended_at = Some(crate::now());
        runs.save(record)?;
        handle.delete().await?;
        watched
    }

    fn run_spec(&self, shared: &Shared, run: &Run, disk: &Path) -> Result<MachineSpec> {
        let (build, composition) = (&shared.provided.build, &shared.provided.composition);
        let name = format!("{}-{}", composition.name, run.name());
        let mut spec = self.machine_spec(build, composition, &shared.kernel, name, None)?;
        spec.network = None;
        spec.display = false;
        let number = spec.disks.len();
        spec.disks.push(Disk {
            path: disk.to_owned(),
            format: DiskFormat::Raw,
            access: DiskAccess::Writable,
            serial: Some("case".into()),
        });
        let Boot::Kernel {
            append,
            command_line,
            ..
        } = &mut spec.boot
        else {
            return Err(AppError::new(
                ErrorKind::Unavailable,
                "A machine that boots from its disk alone cannot be given a case",
            )
            .hinted("Add an OSv ELF kernel with `windlassctl kernel add FILE`"));
        };
        let line = command_line.as_mut().unwrap_or(append);
        let mut parsed = CommandLine::parse(line)
            .map_err(|error| AppError::from_error(ErrorKind::Input, &error, None))?;
        parsed = parsed.with_option("mount-fs", Some(&format!("ext,/dev/vblk{number},{CASE}")));
        if parsed.cwd().is_none() {
            parsed = parsed.with_option("cwd", Some(CASE));
        }
        if shared.is_openfoam {
            parsed = parsed
                .with_env(OPENFOAM.0, OPENFOAM.1)
                .with_env("PWD", CASE);
        }
        for (key, value) in run.environment(&shared.study) {
            parsed = parsed.with_env(key, value);
        }
        *line = parsed.to_string();
        Ok(spec)
    }
}

impl Shared {
    /// A digest over all that makes a run what it is.
    fn fingerprint(&self, run: &Run, changes: &[ChangedFile]) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(self.provided.build.digest.as_bytes());
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
