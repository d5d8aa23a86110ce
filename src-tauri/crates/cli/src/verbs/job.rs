//! `job`: builds and other long work.

use clap::Subcommand;
use windlass_workshop::jobs::{Job, JobState};

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{Output, table, time, word};
use crate::progress;
use crate::signals::Signals;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List jobs, newest first
    List {
        /// How many
        #[arg(long, short, default_value_t = 20, value_name = "NUMBER")]
        limit: u32,
    },
    /// Print what a job said
    Log {
        /// The job's id
        id: String,
    },
    /// Ask a job to stop and take back what is half done
    Cancel {
        /// The job's id
        id: String,
    },
    /// Start a failed or cancelled job again, and wait for it
    Retry {
        /// The job's id
        id: String,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match self {
            Self::List { limit } => {
                context
                    .output
                    .show(&workshop.jobs(limit, None)?, |jobs| list(jobs))?;
            }
            Self::Log { id } => {
                let log = workshop.job_log(&id)?;
                if context.output.json {
                    context
                        .output
                        .show(&serde_json::json!({ "id": id, "log": log }), |_| {
                            String::new()
                        })?;
                } else {
                    Output::raw(log.as_bytes())?;
                }
            }
            Self::Cancel { id } => {
                workshop.cancel_job(&id)?;
                context.output.show(&workshop.job(&id)?, say)?;
            }
            Self::Retry { id } => {
                let mut signals = Signals::listen()?;
                let job = workshop.retry_job(&id)?;
                let job = progress::wait(context, &job, &mut signals).await?;
                context.output.show(&job, say)?;
            }
        }
        Ok(0)
    }
}

fn say(job: &Job) -> String {
    format!("{}: {}", job.title, word(&job.state))
}

fn list(jobs: &[Job]) -> String {
    let rows: Vec<_> = jobs
        .iter()
        .map(|job| {
            let note = match (&job.error, &job.step) {
                (Some(error), _) => error.message.lines().next().unwrap_or_default().to_owned(),
                (None, Some(step)) if job.state == JobState::Running => step.clone(),
                _ => String::new(),
            };
            [
                time(&job.started_at),
                job.title.clone(),
                word(&job.state),
                note,
                job.id.clone(),
            ]
        })
        .collect();
    table(["STARTED", "JOB", "STATE", "", "ID"], &rows, "No jobs yet")
}
