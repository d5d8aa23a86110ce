//! windlassctl: everything the window can do, for scripts.
//!
//! ```text
//!   words ── cli ──> verb ── verbs/* ──> windlass-workshop
//!                              │
//!              output (stdout) ┴ progress, notes, failure (stderr) ──> exit status
//! ```
//!
//! Verbs and flags are Capstan's where it has them, so that its users' scripts go on working.
//! What is asked for goes to stdout, as text or with `--json` as JSON; all else goes to stderr.
//! The exit status says what sort of failure it was ([`failure`]); a machine in the foreground
//! ([`foreground`]) passes its guest's on.

mod cli;
mod context;
mod failure;
mod flags;
mod foreground;
mod output;
mod progress;
mod signals;
mod values;
mod verbs;

#[cfg(test)]
mod parity;

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// The environment variable that asks for a log on stderr, such as `debug`.
const LOG_VARIABLE: &str = "WINDLASS_LOG";

fn main() -> ExitCode {
    // A private network of machines is a process of ours.
    if let Some(status) = windlass_workshop::switch_process() {
        return ExitCode::from(status);
    }
    if std::env::var_os(LOG_VARIABLE).is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::from_env(LOG_VARIABLE))
            .with_writer(std::io::stderr)
            .init();
    }
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(status) => return ExitCode::from(status),
    };
    let failure_output = failure::Rendering {
        json: cli.global.json,
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            return ExitCode::from(failure_output.show(&failure::Failure::from(error)));
        }
    };
    let outcome = runtime.block_on(cli::run(cli));
    // Whatever still reads or waits does not keep us: all that had to be written is.
    runtime.shutdown_background();
    ExitCode::from(match outcome {
        Ok(status) => status,
        Err(failure) => failure_output.show(&failure),
    })
}
