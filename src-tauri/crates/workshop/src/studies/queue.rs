//! The queue of a study: which runs there are to do, so many at a time.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use windlass_guest::CommandLine;
use windlass_machine::{Boot, Disk, DiskAccess, DiskFormat, MachineHandle, MachineSpec};
use windlass_study::record::{self, Record, RunState, Runs, Verdict};
use windlass_study::{ChangedFile, Run, Wish};

use super::start::Shared;
use super::watch::RunWatch;
use super::{StudyOptions, disk, osv, provenance, steer};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::GuestOs;
use crate::jobs::{Reporter, Unit};

/// What the programs of a run said, in its folder.
const CONSOLE: &str = "console.log";
/// How often it is looked whether a run that is over is to go on.
const LOOK: Duration = Duration::from_secs(1);
/// Where a guest finds its case.
pub(super) const CASE: &str = "/case";
/// What Open MPI has to be told in a guest: that it is root on purpose; that all processes are on this machine, where it
/// needs no other to be asked by ssh; and where programs are.
const MPI: [(&str, &str); 7] = [
    ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
    ("OMPI_MCA_btl", "self,vader"),
    ("OMPI_MCA_pml", "ob1"),
    ("OMPI_MCA_plm", "isolated"),
    ("HOME", "/tmp"),
    ("PATH", "/usr/bin:/bin"),
];
/// Where Debian's OpenFOAM keeps its `etc`.
const OPENFOAM: (&str, &str) = ("WM_PROJECT_DIR", "/usr/share/openfoam");

/// What is to be done with a run.
enum Task {
    /// It is begun, or watched where it runs already.
    Do {
        fingerprint: String,
        kept: Option<Record>,
    },
    /// It goes on from what it wrote last.
    GoOn { kept: Record, end: String },
}

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
        let total = planned.len() as u64;
        let mut waiting = VecDeque::new();
        for run in &planned {
            let kept = shared.runs.load(run.number);
            let is_running = (kept.as_ref()).is_some_and(|kept| kept.state == RunState::Running);
            if !options.is_meant(run) && !is_running {
                continue;
            }
            let fingerprint = shared.fingerprint(run, &shared.changes(run)?);
            let is_over = (kept.as_ref()).is_some_and(|kept| {
                kept.state == RunState::Done && !kept.is_wanted(&fingerprint, options.retry)
            });
            if !is_over {
                waiting.push_back((run, Task::Do { fingerprint, kept }));
            }
        }
        let mut working = JoinSet::new();
        let mut first_error = None;
        loop {
            for run in &planned {
                if let Some((kept, end)) = extension(&shared.runs, run) {
                    waiting.push_back((run, Task::GoOn { kept, end }));
                }
            }
            // In their order; none once somebody has cancelled.
            while working.len() < at_once as usize && reporter.check().is_ok() {
                let Some((run, task)) = waiting.pop_front() else {
                    break;
                };
                let (workshop, shared, reporter) =
                    (Arc::clone(self), Arc::clone(&shared), reporter.clone());
                let run = run.clone();
                working.spawn(async move { workshop.work(&shared, &run, task, &reporter).await });
            }
            let left = (waiting.len() + working.len()) as u64;
            reporter.progress(total.saturating_sub(left), Some(total), Unit::Items);
            let ended = tokio::select! {
                ended = working.join_next() => ended,
                () = tokio::time::sleep(LOOK) => continue,
            };
            let Some(ended) = ended else { break };
            let result = ended.unwrap_or_else(|error| {
                Err(AppError::from_error(ErrorKind::Internal, &error, None))
            });
            if let Err(error) = result {
                first_error.get_or_insert(error);
            }
        }
        reporter.check()?;
        first_error.map_or(Ok(()), Err)
    }

    async fn work(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        run: &Run,
        task: Task,
        reporter: &Reporter,
    ) -> Result<()> {
        let changes = shared.changes(run)?;
        match task {
            Task::Do { fingerprint, kept } => {
                self.do_run(shared, run, &changes, (fingerprint, kept), reporter)
                    .await
            }
            Task::GoOn { kept, end } => {
                self.go_on(shared, run, &changes, (&kept, &end), reporter)
                    .await
            }
        }
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
        // What runs, and is not what the study says any more, makes room.
        let other = kept
            .as_ref()
            .filter(|kept| kept.state == RunState::Running && kept.fingerprint != fingerprint);
        if let Some(handle) = other.and_then(|kept| self.found(kept)) {
            handle.delete().await?;
        }
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
            if !self.is_to_be_tried_again(shared, &record) {
                return Ok(());
            }
        }
        let before = same.unwrap_or_default();
        let mut attempts = before.attempts;
        loop {
            reporter.check()?;
            if shared.runs.is_stopped() {
                return Ok(());
            }
            let mut record = match &before.extended_to {
                // What it had before is there still: files take the place of others when all have come.
                Some(end) if before.goes_on => before.going_on(end, before.kept_bytes),
                end => Record {
                    extended_to: end.clone(),
                    ..Record::new(run, fingerprint.clone())
                },
            };
            record.attempts = attempts + 1;
            attempts += 1;
            self.begin(shared, &mut record, changes, run, reporter)
                .await?;
            let again = self.is_to_be_tried_again(shared, &record);
            let message = record.message.as_deref().unwrap_or_default();
            reporter.log(&format!("Run {}: {message}", record.name()));
            if !again {
                return Ok(());
            }
            reporter.log(&format!("Run {}: once more", record.name()));
        }
    }

    /// Has the solver of a run that is over go on from what it wrote last.
    async fn go_on(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        run: &Run,
        changes: &[ChangedFile],
        (kept, end): (&Record, &str),
        reporter: &Reporter,
    ) -> Result<()> {
        let console = shared.runs.folder(run.number).join(CONSOLE);
        let said = console.metadata().map_or(0, |metadata| metadata.len());
        reporter.log(&format!("Run {}: goes on to {end}", kept.name()));
        let mut record = kept.going_on(end, said);
        loop {
            record.attempts += 1;
            self.begin(shared, &mut record, changes, run, reporter)
                .await?;
            let message = record.message.as_deref().unwrap_or_default();
            reporter.log(&format!("Run {}: {message}", record.name()));
            if !self.is_to_be_tried_again(shared, &record) {
                return Ok(());
            }
            let attempts = record.attempts;
            record = Record {
                attempts,
                ..record.going_on(end, said)
            };
        }
    }

    /// Whether a run failed for reasons of ours, and nobody has stopped it.
    #[expect(clippy::unused_self, reason = "it reads as a question to the workshop")]
    fn is_to_be_tried_again(&self, shared: &Shared, record: &Record) -> bool {
        let is_stopped = (shared.runs.wish(record.number)).is_some_and(|wish| wish.is_end());
        record.verdict == Some(Verdict::Lost)
            && record.attempts < record::ATTEMPTS
            && !is_stopped
            && !shared.runs.is_stopped()
    }

    fn found(&self, record: &Record) -> Option<MachineHandle> {
        self.machines.get(record.machine.as_deref()?).ok()
    }

    pub(super) async fn begin(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        record: &mut Record,
        changes: &[ChangedFile],
        run: &Run,
        reporter: &Reporter,
    ) -> Result<()> {
        let folder = shared.runs.folder(record.number);
        steer::forget(&folder);
        // What was wanted of an earlier attempt; that it is to go on is done now.
        if let Some(wish) = shared.runs.wish(record.number) {
            shared.runs.grant(record.number, &wish);
        }
        let (mut case, mut changes) = (shared.case.clone(), changes.to_vec());
        if let Some(end) = &record.extended_to {
            if record.goes_on {
                let back = folder.join(disk::BACK);
                changes = vec![steer::going_on(&back, end)?];
                case = Some(back);
            } else if let Some(case) = &case {
                changes = steer::with_end(case, changes, end)?;
            }
        }
        if let (Some(case), true) = (&case, shared.is_openfoam) {
            record.end_time = steer::end_time(case, &changes);
        }
        if record.goes_on && shared.boots > 1 {
            record.boot = shared.solver;
        }
        let (into, written) = (folder.clone(), changes.clone());
        crate::blocking(move || disk::write(case.as_deref(), &written, &into)).await??;
        record.started_at = Some(crate::now());
        let spec = self.run_spec(shared, run, record, &folder.join(disk::DISK))?;
        provenance::begin(shared, record, &changes, &spec)?;
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
        let spec = self.run_spec(shared, run, record, &disk)?;
        record.state = RunState::Running;
        record.machine = Some(spec.id.clone());
        // Before there is a machine: whoever finds the record looks for it.
        shared.runs.save(record)?;
        // Who stopped the study just now did not see that this one begins.
        if shared.runs.is_stopped() && !record.goes_on && shared.runs.wish(record.number).is_none()
        {
            shared.runs.want(record.number, &Wish::Stop)?;
        }
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
        let mut watch = RunWatch::begin(shared, record, &console)?;
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
        steer::forget(&folder);
        if let Some(wish) = runs.wish(record.number).filter(Wish::is_end) {
            runs.grant(record.number, &wish);
        }
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
                steer::restore(folder, &folder.join(disk::BACK))?;
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
        let (place, ended) = (folder.to_owned(), record.clone());
        crate::blocking(move || provenance::end(&place, &ended)).await??;
        Ok(shared.runs.save(record)?)
    }

    fn run_spec(
        &self,
        shared: &Shared,
        run: &Run,
        record: &Record,
        disk: &Path,
    ) -> Result<MachineSpec> {
        let (build, composition) = (&shared.provided.build, &shared.provided.composition);
        let name = format!("{}-{}", composition.name, run.name());
        let mut spec = self.machine_spec(build, composition, &shared.kernel, name, None)?;
        spec.network = None;
        spec.display = false;
        // Somebody may want its solver to save.
        spec.agent = composition.guest == GuestOs::Linux;
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
            parsed.commands = osv::commands(parsed.commands, record.boot, shared.is_openfoam);
        } else if record.goes_on {
            let earlier = shared.solver.min(parsed.commands.len().saturating_sub(1));
            parsed.commands.drain(..earlier);
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
        if shared.study.parallel.is_some() {
            for (key, value) in MPI {
                parsed = parsed.with_env(key, value);
            }
        }
        for (key, value) in run.environment(&shared.study) {
            parsed = parsed.with_env(key, value);
        }
        *line = parsed.to_string();
        Ok(spec)
    }
}

/// What is known of a run that is over, and the end up to which it is wanted to go on.
fn extension(runs: &Runs, run: &Run) -> Option<(Record, String)> {
    let Some(wish @ Wish::Extend { .. }) = runs.wish(run.number) else {
        return None;
    };
    let kept = runs.load(run.number)?;
    let can = kept.values == run.values && kept.may_go_on();
    if kept.state != RunState::Done {
        return None;
    }
    // Taken now: it is begun once.
    runs.grant(run.number, &wish);
    match wish {
        Wish::Extend { to } if can => Some((kept, to)),
        _ => None,
    }
}
