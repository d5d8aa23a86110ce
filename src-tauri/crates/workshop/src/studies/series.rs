//! What a run's solver says over time, thinned to as many points as a plot can show.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use specta::Type;
use windlass_study::log::{Log, LogReader};
use windlass_study::record::{RunState, Runs};

use super::study_folder;
use crate::Workshop;
use crate::error::{AppError, IoContext, Result};

/// About as many points as a plot is wide.
const POINTS: usize = 1200;
/// How much of a log is read at once.
const READ_BYTES: usize = 256 << 10;
/// How much of the log's end is shown.
const TAIL_BYTES: usize = 64 << 10;

/// What a solver said over time.
#[derive(Debug, Clone, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct RunSeries {
    /// Times or iterations.
    pub times: Vec<f64>,
    /// Fields that are solved for: their initial residuals.
    pub residuals: Vec<SeriesColumn>,
    /// Courant numbers, continuity and force coefficients.
    pub others: Vec<SeriesColumn>,
    /// The residuals at which the solver is content.
    pub targets: Vec<SeriesTarget>,
    /// The end of what its programs said.
    pub tail: String,
}

/// A curve; nothing where there is no number.
#[derive(Debug, Clone, PartialEq, Serialize, Type)]
pub struct SeriesColumn {
    /// The field, or what else it is.
    pub name: String,
    /// As many as there are times.
    pub values: Vec<Option<f64>>,
}

/// A residual that is to be reached.
#[derive(Debug, Clone, PartialEq, Serialize, Type)]
pub struct SeriesTarget {
    /// A field, or the pattern of several.
    pub field: String,
    /// The initial residual at which it counts as converged.
    pub tolerance: f64,
}

impl Workshop {
    /// What the solver of a run has said so far, while it runs and afterwards.
    ///
    /// # Errors
    /// `NotFound` where there is no study, or the run was never begun.
    pub async fn study_series(&self, folder: &Path, number: u32) -> Result<RunSeries> {
        let runs = Runs::of(&study_folder(folder)?);
        let record = runs
            .load(number as usize)
            .ok_or_else(|| AppError::not_found("run", &number.to_string()))?;
        let live = (record.machine.as_deref())
            .filter(|_| record.state == RunState::Running)
            .and_then(|machine| self.console(machine, 0).ok());
        // Of a run that goes on, what its earlier machines said; the present one says the rest itself.
        let kept_bytes = match &live {
            Some(_) => record.console_bytes,
            None => u64::MAX,
        };
        let path = runs.folder(number as usize).join("console.log");
        let mut reading = crate::blocking(move || Reading::of_file(&path, kept_bytes)).await??;
        if let Some(mut console) = live {
            let mut buffer = vec![0; READ_BYTES];
            // The log file may not be there yet.
            while let Ok(count @ 1..) = console.read_available(&mut buffer).await {
                reading.push(&buffer[..count]);
            }
        }
        Ok(reading.finish())
    }
}

#[derive(Default)]
struct Reading {
    reader: LogReader,
    tail: Vec<u8>,
}

impl Reading {
    /// The beginning of a log that may not be there yet.
    fn of_file(path: &Path, bytes: u64) -> Result<Self> {
        let mut reading = Self::default();
        let Ok(file) = File::open(path) else {
            return Ok(reading);
        };
        let mut file = file.take(bytes);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = file.read(&mut buffer).doing("read", path)?;
            if count == 0 {
                return Ok(reading);
            }
            reading.push(&buffer[..count]);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 8 * TAIL_BYTES {
            self.tail.drain(..self.tail.len() - TAIL_BYTES);
        }
    }

    fn finish(self) -> RunSeries {
        let start = self.tail.len().saturating_sub(TAIL_BYTES);
        let tail = String::from_utf8_lossy(&self.tail[start..]).replace('\r', "");
        series(&self.reader.finish(), tail)
    }
}

fn series(log: &Log, tail: String) -> RunSeries {
    let history = &log.history;
    let steps = history.times.len();
    let kept = kept(steps);
    let column = |name: &String| {
        let values = history.column(name).unwrap_or_default();
        SeriesColumn {
            name: name.clone(),
            values: thinned(values, &kept),
        }
    };
    let is_residual = |name: &&String| log.residuals.contains_key(*name);
    let is_final = |name: &&String| name.ends_with(" final");
    RunSeries {
        times: kept
            .iter()
            .filter_map(|bucket| history.times.get(bucket.1))
            .copied()
            .collect(),
        residuals: history
            .names()
            .iter()
            .filter(is_residual)
            .map(column)
            .collect(),
        others: history
            .names()
            .iter()
            .filter(|name| !is_residual(name) && !is_final(name))
            .map(column)
            .collect(),
        targets: log
            .targets
            .iter()
            .map(|target| SeriesTarget {
                field: target.field.clone(),
                tolerance: target.tolerance,
            })
            .collect(),
        tail,
    }
}

/// The steps of each point: from the first to the last of them.
fn kept(steps: usize) -> Vec<(usize, usize)> {
    let width = steps.div_ceil(POINTS).max(1);
    let end = |start: usize| (start + width).min(steps) - 1;
    (0..steps)
        .step_by(width)
        .map(|start| (start, end(start)))
        .collect()
}

/// Of each stretch the value that is farthest from zero: a peak is never lost.
fn thinned(values: &[f64], stretches: &[(usize, usize)]) -> Vec<Option<f64>> {
    let of = |(first, last): &(usize, usize)| {
        let stretch = values.get(*first..=*last)?.iter().copied();
        stretch
            .filter(|value| value.is_finite())
            .max_by(|one, other| one.abs().total_cmp(&other.abs()))
    };
    stretches.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_iterations_become_as_many_points_as_fit_and_no_peak_is_lost() {
        let mut reading = Reading::default();
        for step in 1..=10_000 {
            let residual = if step == 5003 {
                0.9
            } else {
                1.0 / f64::from(step + 1)
            };
            let lines = format!(
                "Time = {step}\n\nsmoothSolver:  Solving for Ux, Initial residual = {residual}, Final residual = 1e-09, No Iterations 2\n"
            );
            reading.push(lines.as_bytes());
        }
        let series = reading.finish();
        assert!(series.times.len() <= POINTS, "{}", series.times.len());
        assert_eq!(series.times.last(), Some(&10_000.0));
        let [field] = &series.residuals[..] else {
            panic!("{:?}", series.residuals)
        };
        assert_eq!(
            (field.name.as_str(), field.values.len()),
            ("Ux", series.times.len())
        );
        let late = &field.values[100..];
        assert!(late.contains(&Some(0.9)), "the peak is there");
        assert!(series.tail.len() <= TAIL_BYTES && series.tail.ends_with("Iterations 2\n"));
    }
}
