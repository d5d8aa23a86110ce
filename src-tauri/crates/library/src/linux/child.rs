//! The distribution's programs, as this crate waits for them.

use std::ops::ControlFlow;
use std::process::Command;

use tokio_util::sync::CancellationToken;
use windlass_package::helper::{self, Failure, Output};

use super::AptError;
use crate::error::Error;

/// Runs a program to its end, calling `tick` now and then.
pub(crate) fn run(
    command: &mut Command,
    tick: &mut dyn FnMut(),
    cancel: &CancellationToken,
) -> Result<Output, Error> {
    let mut is_cancelled = until(cancel);
    let mut watch = |bytes: u64| {
        tick();
        is_cancelled(bytes)
    };
    helper::run(command, None, &mut watch).map_err(|failure| {
        let program = command.get_program().to_string_lossy().into_owned();
        match failure {
            Failure::NotFound => AptError::NoApt { program }.into(),
            Failure::Io(source) => AptError::Start { program, source }.into(),
            Failure::Endless => AptError::Failed {
                command: program,
                said: "it did not stop talking".to_owned(),
            }
            .into(),
            Failure::Cancelled => Error::Cancelled,
        }
    })
}

/// Waits until that is cancelled.
pub(crate) fn until(cancel: &CancellationToken) -> impl FnMut(u64) -> ControlFlow<()> {
    |_| {
        if cancel.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
