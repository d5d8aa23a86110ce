//! Runs stopped, saved and made to go on: what is wanted is a file ([`windlass_study::wish`]), and whoever works on the
//! queue does it, through the agent in the guest.
//!
//! ```text
//!   Stop and save   controlDict in the guest: stopAt writeNow ─> the solver writes and ends, the later steps are done
//!   Stop now        the guest is asked to end; what is on its disk comes back
//!   Extend          a run that calculates: controlDict in the guest: endTime
//!                   one that is over: a new disk of its files, startFrom latestTime, its steps from the solver on
//! ```
//!
//! The files that come back have the controlDict that the run began with: what stopped it is no part of its case.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use windlass_machine::MachineHandle;
use windlass_study::control::{self, CONTROL};
use windlass_study::dictionary::DictionaryError;
use windlass_study::record::{Record, RunState, Runs};
use windlass_study::{ChangedFile, Wish};

use super::queue::CASE;
use super::{StudyOptions, disk, study_folder};
use crate::Workshop;
use crate::disk::write_whole;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::Job;

/// The controlDict as it was before a solver was told anything, in a run's folder.
const BEGAN_WITH: &str = "controlDict.before";
/// A solver sees a change by the file's time, and passes over one that came shortly after another: told again so often.
const AGAIN: Duration = Duration::from_secs(15);
/// The longest controlDict.
const CONTROL_BYTES: usize = 1 << 20;

impl Workshop {
    /// Stops runs, or (without numbers) all that run and all that wait: at once, or when their solver has written what
    /// it has. The job that sees to it, where no process works on the study yet.
    ///
    /// # Errors
    /// `Conflict` where such a run does not run, or cannot be told to save.
    pub fn study_stop(
        self: &Arc<Self>,
        folder: &Path,
        numbers: &[u32],
        save: bool,
    ) -> Result<Option<Job>> {
        let folder = study_folder(folder)?;
        let runs = Runs::of(&folder);
        let all = self.study_runs(&folder)?;
        let running = |record: &&Record| record.state == RunState::Running;
        let told: Vec<&Record> = if numbers.is_empty() {
            all.iter().filter(running).collect()
        } else {
            let one = |number: &u32| {
                let record = find(&all, *number)?;
                Some(record).filter(running).ok_or_else(|| {
                    AppError::new(
                        ErrorKind::Conflict,
                        format!("Run {} does not run", record.name()),
                    )
                })
            };
            numbers.iter().map(one).collect::<Result<_>>()?
        };
        if save {
            for record in &told {
                self.check_can_save(record)?;
            }
        }
        if numbers.is_empty() {
            runs.set_stopped(true)?;
        }
        let wish = if save { Wish::Save } else { Wish::Stop };
        for record in &told {
            runs.want(record.number, &wish)?;
        }
        self.see_to(&folder, &runs, told)
    }

    /// Has runs calculate up to another end: those that run at once, those that are over from what they wrote last. The
    /// job that sees to it, where no process works on the study yet.
    ///
    /// # Errors
    /// `Input` where the end is none, or no later one; `Conflict` where a run has nothing that it could go on from.
    pub fn study_extend(
        self: &Arc<Self>,
        folder: &Path,
        numbers: &[u32],
        to: &str,
    ) -> Result<Option<Job>> {
        let folder = study_folder(folder)?;
        let to = to.trim();
        let end = to.parse::<f64>().ok().filter(|end| end.is_finite());
        let end = end.ok_or_else(|| {
            AppError::new(ErrorKind::Input, format!("`{to}` is no time to end at"))
        })?;
        let runs = Runs::of(&folder);
        let all = self.study_runs(&folder)?;
        let told: Vec<&Record> = if numbers.is_empty() {
            let can = |record: &&Record| record.state == RunState::Running || record.may_go_on();
            all.iter().filter(can).collect()
        } else {
            let one = |number: &u32| find(&all, *number);
            numbers.iter().map(one).collect::<Result<_>>()?
        };
        for record in &told {
            check_can_go_on(record, &runs, end)?;
            if record.state == RunState::Running {
                self.check_can_save(record)?;
            }
        }
        let wish = Wish::Extend { to: to.to_owned() };
        for record in &told {
            runs.want(record.number, &wish)?;
        }
        self.see_to(&folder, &runs, told)
    }

    /// Begins to work on the runs where no other process does.
    fn see_to(
        self: &Arc<Self>,
        folder: &Path,
        runs: &Runs,
        told: Vec<&Record>,
    ) -> Result<Option<Job>> {
        if told.is_empty() || runs.is_locked() {
            return Ok(None);
        }
        let number = |record: &Record| u32::try_from(record.number).unwrap_or(u32::MAX);
        let options = StudyOptions {
            retry: false,
            runs: told.into_iter().map(number).collect(),
            repeat: None,
        };
        match self.start_study(folder, options) {
            // Another one was faster, and looks for wishes as we would.
            Err(error) if error.kind == ErrorKind::Conflict => Ok(None),
            started => started.map(Some),
        }
    }

    /// Refuses to save a run whose guest has nobody who could tell its solver.
    fn check_can_save(&self, record: &Record) -> Result<()> {
        let handle = record
            .machine
            .as_deref()
            .and_then(|id| self.machines.get(id).ok());
        match handle {
            Some(handle) if !handle.spec().agent => Err(AppError::new(
                ErrorKind::Conflict,
                format!(
                    "Nobody can tell the solver of run {} anything: it runs on OSv",
                    record.name()
                ),
            )
            .hinted("Stop it at once, or run the study on Linux")),
            _ => Ok(()),
        }
    }
}

fn find(all: &[Record], number: u32) -> Result<&Record> {
    let found = all.iter().find(|record| record.number == number as usize);
    found.ok_or_else(|| AppError::not_found("run", &number.to_string()))
}

fn check_can_go_on(record: &Record, runs: &Runs, end: f64) -> Result<()> {
    if record.state != RunState::Running {
        let back = runs.folder(record.number).join(disk::BACK).join(CONTROL);
        if !record.may_go_on() || !back.is_file() {
            let message = format!("Run {} has nothing to go on from", record.name());
            return Err(AppError::new(ErrorKind::Conflict, message)
                .hinted("Runs that came to their end, or were stopped and saved, can go on"));
        }
    }
    match record.last_time {
        Some(last) if end <= last => {
            let message = format!("Run {} is at {last} already", record.name());
            Err(AppError::new(ErrorKind::Input, message).hinted("Say a later end"))
        }
        _ => Ok(()),
    }
}

/// What a run that is over is to begin with: its own files, going on.
pub(super) fn going_on(back: &Path, end: &str) -> Result<ChangedFile> {
    Ok(ChangedFile::by(back, CONTROL, |text| {
        control::going_on(text, end)
    })?)
}

/// The end of a run that was moved while it ran, for the next attempt at it.
pub(super) fn with_end(
    case: &Path,
    mut changes: Vec<ChangedFile>,
    end: &str,
) -> Result<Vec<ChangedFile>> {
    let change = |text: &[u8]| control::ending_at(text, end);
    let place = changes
        .iter()
        .position(|change| change.file == Path::new(CONTROL));
    let moved = match place {
        Some(place) => changes
            .swap_remove(place)
            .changed(change)
            .map_err(|error| broken(&error))?,
        None => ChangedFile::by(case, CONTROL, change)?,
    };
    changes.push(moved);
    Ok(changes)
}

/// Where the solver ends, by the case as a run has it.
pub(super) fn end_time(case: &Path, changes: &[ChangedFile]) -> Option<f64> {
    let own = changes
        .iter()
        .find(|change| change.file == Path::new(CONTROL));
    match own {
        Some(change) => control::end_time(change.text()),
        None => control::end_time(&std::fs::read(case.join(CONTROL)).ok()?),
    }
}

/// What is done about the wishes of a run while its machine runs.
#[derive(Debug)]
pub(super) struct Steering {
    runs: Runs,
    number: usize,
    telling: Option<(Wish, JoinHandle<Result<()>>)>,
    told_at: Option<Instant>,
    /// What could not be done is said once.
    refused: Option<String>,
}

/// What comes of a look at the wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Steered {
    /// The machine is to end.
    Stop,
    /// The solver was told to save.
    Saving,
    /// The solver calculates up to there.
    Extended(String),
    /// The solver could not be told.
    Refused(String),
}

impl Steering {
    pub(super) fn of(runs: &Runs, number: usize) -> Self {
        Self {
            runs: runs.clone(),
            number,
            telling: None,
            told_at: None,
            refused: None,
        }
    }

    fn began_with(&self) -> PathBuf {
        self.runs.folder(self.number).join(BEGAN_WITH)
    }

    /// Whether the solver is told to write and end.
    pub(super) fn is_saving(&self) -> bool {
        self.runs.wish(self.number) == Some(Wish::Save) && self.began_with().is_file()
    }

    /// Has the solver told to write and to end, as if somebody had wanted it.
    pub(super) fn save(&self) -> Result<()> {
        Ok(self.runs.want(self.number, &Wish::Save)?)
    }

    /// Looks what is wanted, and does the next thing about it. Never waits for the guest.
    pub(super) async fn look(&mut self, handle: &MachineHandle) -> Option<Steered> {
        if let Some((wish, telling)) = self.telling.take_if(|(_, telling)| telling.is_finished()) {
            self.told_at = Some(Instant::now());
            let told = telling.await.unwrap_or_else(|error| {
                Err(AppError::from_error(ErrorKind::Internal, &error, None))
            });
            return match (told, wish) {
                (Ok(()), Wish::Extend { to }) => {
                    self.runs
                        .grant(self.number, &Wish::Extend { to: to.clone() });
                    self.told_at = None;
                    Some(Steered::Extended(to))
                }
                (Ok(()), _) => Some(Steered::Saving),
                (Err(error), _) if self.refused.as_ref() != Some(&error.message) => {
                    self.refused = Some(error.message.clone());
                    Some(Steered::Refused(error.message))
                }
                (Err(_), _) => None,
            };
        }
        let wish = self.runs.wish(self.number)?;
        if wish == Wish::Stop {
            return Some(Steered::Stop);
        }
        let soon = self.told_at.is_some_and(|told| told.elapsed() < AGAIN);
        if self.telling.is_none() && !soon {
            let (handle, wanted, before) = (handle.clone(), wish.clone(), self.began_with());
            let telling = tokio::spawn(async move { tell(&handle, &wanted, &before).await });
            self.telling = Some((wish, telling));
        }
        None
    }
}

/// Changes the controlDict in the guest; what it was before is kept first.
async fn tell(handle: &MachineHandle, wish: &Wish, before: &Path) -> Result<()> {
    let path = format!("{CASE}/{CONTROL}");
    let mut agent = handle.agent().await?;
    let seen = agent.look_at(path.as_bytes()).await?;
    if seen.size_bytes > CONTROL_BYTES as u64 {
        return Err(AppError::new(
            ErrorKind::Input,
            "The controlDict is too long",
        ));
    }
    let mut text = Vec::new();
    agent.read_file(path.as_bytes(), &mut text).await?;
    if !control::is_read_again(&text) {
        let message = "The solver does not read its controlDict again: runTimeModifiable is off";
        return Err(AppError::new(ErrorKind::Conflict, message)
            .hinted("Stop it at once, or set runTimeModifiable to yes before the next run"));
    }
    let (changed, kept) = match wish {
        Wish::Extend { to } => {
            let changed = control::ending_at(&text, to).map_err(|error| broken(&error))?;
            (changed.clone(), before.exists().then_some(changed))
        }
        _ => (
            control::saving(&text).map_err(|error| broken(&error))?,
            (!before.exists()).then_some(text),
        ),
    };
    if let Some(kept) = kept {
        write_whole(before, &kept)?;
    }
    let digest = *blake3::hash(&changed).as_bytes();
    let length = changed.len() as u64;
    let mut source = changed.as_slice();
    agent
        .write_file(
            path.as_bytes(),
            seen.mode,
            length,
            digest,
            &mut source,
            |_| {},
        )
        .await?;
    Ok(())
}

/// Gives the files that came back the controlDict that the run began with.
pub(super) fn restore(run: &Path, back: &Path) -> Result<()> {
    let before = run.join(BEGAN_WITH);
    if before.is_file() {
        let text = std::fs::read(&before).doing("read", &before)?;
        write_whole(&back.join(CONTROL), &text)?;
    }
    Ok(())
}

/// Forgets what an earlier attempt was told.
pub(super) fn forget(run: &Path) {
    let _ = std::fs::remove_file(run.join(BEGAN_WITH));
}

fn broken(error: &DictionaryError) -> AppError {
    AppError::from_error(ErrorKind::Input, error, None)
}
