//! A reporter in the shapes that the crates below want: whoever watches, ends or holds their work.

use std::ops::ControlFlow;

use windlass_package::Watch;
use windlass_registry::{Control, Progress};

use super::{Reporter, Unit};

/// Tells a job of what a registry does.
#[derive(Debug, Clone)]
pub(crate) struct Telling {
    reporter: Reporter,
    unit: Unit,
}

impl Progress for Telling {
    fn step(&self, text: &str) {
        self.reporter.step(text);
    }

    fn at(&self, done: u64, total: Option<u64>) {
        self.reporter.progress(done, total, self.unit);
    }
}

/// Tells a job of work that blocks, and ends it when the job is cancelled.
#[derive(Debug)]
pub(crate) struct Watching {
    reporter: Reporter,
    done: u64,
    total: Option<u64>,
}

impl Watch for Watching {
    fn step(&mut self, text: &str) {
        self.reporter.step(text);
        self.done = 0;
    }

    fn expect(&mut self, total_bytes: u64) {
        self.total = Some(total_bytes);
    }

    fn advance(&mut self, bytes: u64) -> ControlFlow<()> {
        self.done += bytes;
        self.reporter.progress(self.done, self.total, Unit::Bytes);
        if self.reporter.cancellation().is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Reporter {
    /// Counts things.
    pub(crate) fn items(&self) -> Telling {
        self.telling(Unit::Items)
    }

    /// Counts bytes.
    pub(crate) fn bytes(&self) -> Telling {
        self.telling(Unit::Bytes)
    }

    fn telling(&self, unit: Unit) -> Telling {
        Telling {
            reporter: self.clone(),
            unit,
        }
    }

    /// Watches work that blocks.
    pub(crate) fn watching(&self) -> Watching {
        Watching {
            reporter: self.clone(),
            done: 0,
            total: None,
        }
    }

    /// What ends and holds a registry's work as the job is cancelled, paused and resumed.
    pub(crate) fn control(&self) -> Control {
        let control = Control::with(self.cancellation().clone());
        let held = control.clone();
        let mut pause = self.pause();
        // Ends with the job, which has the other end.
        tokio::spawn(async move {
            loop {
                if *pause.borrow_and_update() {
                    held.pause();
                } else {
                    held.resume();
                }
                if pause.changed().await.is_err() {
                    return;
                }
            }
        });
        control
    }
}
