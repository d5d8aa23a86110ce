//! `library` and `capstan`: what is on this computer as a whole, and taking over what Capstan left.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use windlass_workshop::capstan::CapstanHome;
use windlass_workshop::jobs::Job;
use windlass_workshop::library::{LibraryUsage, PrunePlan};

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{fields, size, table, word};
use crate::progress;
use crate::signals::Signals;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show how much the library takes
    Usage,
    /// Read all of the library and compare it with its digests
    Verify,
    /// Mend what is damaged: from what else is there, or by fetching it again
    Repair,
    /// Remove what no appliance and no package needs
    Prune {
        /// Only show what would go
        #[arg(long)]
        plan: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CapstanVerb {
    /// Show what Capstan left on this computer
    Look {
        /// Its folder; `$CAPSTAN_ROOT` or `~/.capstan`, when nothing is said
        folder: Option<PathBuf>,
    },
    /// Take over Capstan's packages, loaders and registry; its folder stays as it is
    Import {
        /// Its folder; `$CAPSTAN_ROOT` or `~/.capstan`, when nothing is said
        folder: Option<PathBuf>,
    },
}

/// Waits for a job and says what came of it: the lines of its log.
pub(super) async fn follow(context: &Context, job: &Job) -> Outcome {
    let mut signals = Signals::listen()?;
    let job = progress::wait(context, job, &mut signals).await?;
    let log = context.workshop.job_log(&job.id).unwrap_or_default();
    context.output.show(&job, |job| said(job, &log))?;
    Ok(0)
}

/// What a job's log says of its outcome, without times and steps.
fn said(job: &Job, log: &str) -> String {
    let mut told: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("  ").map(|(_, said)| said))
        .filter(|said| *said != "Done" && !said.ends_with('…'))
        .collect();
    let last = told.pop().unwrap_or_default();
    if last.is_empty() {
        format!("{}: {}", job.title, word(&job.state))
    } else {
        last.to_owned()
    }
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match self {
            Self::Usage => {
                context
                    .output
                    .show(&workshop.library_usage().await?, usage)?;
                Ok(0)
            }
            Self::Verify => follow(context, &workshop.start_verify()?).await,
            Self::Repair => follow(context, &workshop.start_repair()?).await,
            Self::Prune { plan: true } => {
                context.output.show(&workshop.prune_plan().await?, plan)?;
                Ok(0)
            }
            Self::Prune { plan: false } => follow(context, &workshop.start_prune()?).await,
        }
    }
}

impl CapstanVerb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match self {
            Self::Look { folder } => {
                let home = workshop.capstan_home(folder.as_deref()).await?;
                context.output.show(&home, |home| look(home.as_ref()))?;
                Ok(0)
            }
            Self::Import { folder } => {
                follow(context, &workshop.start_capstan_import(folder.as_deref())?).await
            }
        }
    }
}

fn usage(usage: &LibraryUsage) -> String {
    fields(&[
        ("Packages", size(usage.packages_bytes)),
        ("Different files", usage.objects.to_string()),
        ("Saved by sharing", size(usage.shared_bytes)),
        ("Guest kernels", size(usage.kernels_bytes)),
        ("Images", size(usage.builds_bytes)),
        ("Partly fetched", size(usage.partial_bytes)),
    ])
}

fn plan(plan: &PrunePlan) -> String {
    let rows: Vec<_> = plan
        .items
        .iter()
        .map(|item| {
            [
                item.what.clone(),
                word(&item.kind),
                size(item.size_bytes),
                item.reason.clone(),
            ]
        })
        .collect();
    let mut text = table(
        ["WHAT", "KIND", "SIZE", "WHY"],
        &rows,
        "Nothing is superfluous",
    );
    if !rows.is_empty() {
        let _ = write!(text, "\n{} in all\n", size(plan.total_bytes));
    }
    text
}

fn look(home: Option<&CapstanHome>) -> String {
    let Some(home) = home else {
        return "Capstan left nothing here".to_owned();
    };
    fields(&[
        ("Folder", home.path.clone()),
        ("Packages", home.packages.to_string()),
        ("Images", home.images.to_string()),
        ("OSv loaders", home.loaders.to_string()),
        (
            "Registry",
            home.registry_url.clone().unwrap_or_else(|| "-".to_owned()),
        ),
    ])
}
