//! The queue of a study: which runs there are to do, so many at a time.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use windlass_guest::CommandLine;
use windlass_machine::{Boot, Disk, DiskAccess, DiskFormat, MachineHandle, MachineSpec};
use windlass_study::record::{self, Record, RunState, Verdict};
use windlass_study::{ChangedFile, Run};

use super::start::Shared;
use super::watch::RunWatch;
use super::{StudyOptions, disk, osv};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::GuestOs;
use crate::jobs::{Reporter, Unit};

/// What the programs of a run said, in its folder.
const CONSOLE: &str = "console.log";
/// Where a guest finds its case.
const CASE: &str = "/case";
/// Where Debian's OpenFOAM keeps its `etc`.
const OPENFOAM: (&str, &str) = ("WM_PROJECT_DIR", "/usr/share/openfoam");

impl Workshop {
    /// Does the runs that are not done, so many at a time.
    pub(super) async fn work_off(
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
                self.see_through(shared, handle, &mut record, run, reporter)
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
        record.started_at = Some(crate::now());
        match self.boot_run(shared, record, run).await? {
            Some(handle) => {
                self.see_through(shared, handle, record, run, reporter)
                    .await
            }
            None => Ok(()),
        }
    }

    /// Starts the machine that a run is to have next; nothing where it does not start, which the record says then.
    async fn boot_run(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        record: &mut Record,
        run: &Run,
    ) -> Result<Option<MachineHandle>> {
        let disk = shared.runs.folder(record.number).join(disk::DISK);
        let spec = self.run_spec(shared, run, record.boot, &disk)?;
        record.state = RunState::Running;
        record.machine = Some(spec.id.clone());
        // Before there is a machine: whoever finds the record looks for it.
        shared.runs.save(record)?;
        let handle = self.machines.create(spec).await?;
        if let Err(error) = handle.start(&shared.probe).await {
            record.close(Verdict::Lost, format!("its machine did not start: {error}"));
            shared.runs.save(record)?;
            return Ok(None);
        }
        Ok(Some(handle))
    }

    /// Watches the machines of a run to their end, reads its files back, and takes them away.
    async fn see_through(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        mut handle: MachineHandle,
        record: &mut Record,
        run: &Run,
        reporter: &Reporter,
    ) -> Result<()> {
        let runs = &shared.runs;
        let folder = runs.folder(record.number);
        let console = folder.join(CONSOLE);
        let mut watch = RunWatch::begin(shared.bounds, record, &console)?;
        let watched = loop {
            let ended = self
                .watch_run(&handle, record, &mut watch, reporter, |record| {
                    Ok(runs.save(record)?)
                })
                .await;
            if let Err(error) = self.keep_console(&handle, record, &console).await {
                reporter.log(&format!(
                    "Run {}: its console could not be kept: {error}",
                    record.name()
                ));
            }
            let is_last = record.boot + 1 >= shared.boots;
            if let (Ok(()), true) = (&ended, is_last || !watch.ended_well()) {
                break watch.conclude(record);
            }
            ended?;
            handle.delete().await?;
            record.boot += 1;
            record.console_bytes = console.metadata().map_or(0, |metadata| metadata.len());
            match self.boot_run(shared, record, run).await? {
                Some(next) => handle = next,
                None => return Ok(()),
            }
        };
        self.take_back(shared, record, &folder, reporter).await?;
        handle.delete().await?;
        watched
    }

    /// Reads the files of a run back, and what is wanted of them.
    async fn take_back(
        &self,
        shared: &Shared,
        record: &mut Record,
        folder: &Path,
        reporter: &Reporter,
    ) -> Result<()> {
        let place = folder.to_owned();
        match crate::blocking(move || disk::read_back(&place)).await? {
            Ok(()) => {
                for result in &shared.study.results {
                    let console = folder.join(CONSOLE);
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
        Ok(shared.runs.save(record)?)
    }

    fn run_spec(
        &self,
        shared: &Shared,
        run: &Run,
        boot: usize,
        disk: &Path,
    ) -> Result<MachineSpec> {
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
        let case = match composition.guest {
            GuestOs::Linux => CASE,
            GuestOs::Osv => osv::CASE,
        };
        if composition.guest == GuestOs::Osv {
            parsed.commands = osv::commands(parsed.commands, boot, shared.is_openfoam);
        }
        parsed = parsed.with_option("mount-fs", Some(&format!("ext,/dev/vblk{number},{case}")));
        if parsed.cwd().is_none() {
            parsed = parsed.with_option("cwd", Some(case));
        }
        if shared.is_openfoam {
            parsed = parsed
                .with_env(OPENFOAM.0, OPENFOAM.1)
                .with_env("PWD", case);
        }
        for (key, value) in run.environment(&shared.study) {
            parsed = parsed.with_env(key, value);
        }
        *line = parsed.to_string();
        Ok(spec)
    }
}
