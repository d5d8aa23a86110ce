//! How far a job is, and Ctrl+C while it works.
//!
//! On a terminal one line is drawn over and over; elsewhere each step is a line.

use std::io::{IsTerminal, Write};

use windlass_workshop::error::AppError;
use windlass_workshop::jobs::{Job, JobState, Unit};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, size};
use crate::signals::Signals;

/// Waits for a job. The first Ctrl+C cancels it and waits for what is half done to be taken back;
/// the second leaves at once.
pub(crate) async fn wait(
    context: &Context,
    job: &Job,
    signals: &mut Signals,
) -> Result<Job, Failure> {
    let mut line = Line::new(context.output);
    let mut asked = false;
    let ended = {
        let finish = context.workshop.finish_job(&job.id, |job| line.show(job));
        tokio::pin!(finish);
        loop {
            tokio::select! {
                ended = &mut finish => break ended,
                _ = signals.next() => {
                    if asked || context.workshop.cancel_job(&job.id).is_err() {
                        break Err(AppError::cancelled());
                    }
                    asked = true;
                }
            }
        }
    };
    line.clear();
    let ended = ended?;
    match (ended.state, &ended.error) {
        (JobState::Failed, Some(error)) => Err(error.clone().into()),
        (JobState::Cancelled, _) => Err(AppError::cancelled().into()),
        _ => Ok(ended),
    }
}

/// The line that says how far it is.
#[derive(Debug)]
struct Line {
    output: Output,
    terminal: bool,
    step: Option<String>,
}

impl Line {
    fn new(output: Output) -> Self {
        Self {
            output,
            terminal: std::io::stderr().is_terminal(),
            step: None,
        }
    }

    fn show(&mut self, job: &Job) {
        if self.output.quiet || job.is_over() {
            return;
        }
        let Some(step) = &job.step else { return };
        if self.terminal {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{}", drawn(step, job));
        } else if self.step.as_ref() != Some(step) {
            self.output.note(step);
        }
        self.step = Some(step.clone());
    }

    fn clear(&self) {
        if self.terminal && self.step.is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// The step with a bar where its end is known.
fn drawn(step: &str, job: &Job) -> String {
    const WIDTH: u64 = 20;
    let amount = |number| match job.unit {
        Unit::Bytes => size(number),
        Unit::Items => number.to_string(),
    };
    match job.total.filter(|total| *total > 0) {
        Some(total) => {
            let done = job.done.min(total);
            let filled = u128::from(done) * u128::from(WIDTH) / u128::from(total);
            let filled = usize::try_from(filled).unwrap_or(0);
            let bar = "━".repeat(filled) + &" ".repeat(20 - filled.min(20));
            format!("{step}  {bar}  {} of {}", amount(done), amount(total))
        }
        None if job.done > 0 => format!("{step}  {}", amount(job.done)),
        None => step.to_owned(),
    }
}
