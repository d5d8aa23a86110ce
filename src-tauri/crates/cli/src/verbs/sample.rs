//! `sample`: appliances that run offline.

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{size, table};
use crate::progress;
use crate::signals::Signals;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the samples
    List,
    /// Make a sample; one that is there already stays as it is
    Create {
        /// The sample
        id: String,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::List => context
                .output
                .show(&context.workshop.samples(), |samples| {
                    let rows: Vec<_> = samples
                        .iter()
                        .map(|sample| {
                            let note = sample.missing.as_deref().unwrap_or(&sample.description);
                            [sample.id.clone(), note.to_owned()]
                        })
                        .collect();
                    table(["SAMPLE", ""], &rows, "")
                })?,
            Self::Create { id } => {
                let mut signals = Signals::listen()?;
                let samples = context.workshop.samples();
                if let Some(download) = samples
                    .iter()
                    .find(|sample| sample.id == id)
                    .and_then(|sample| sample.download.as_ref())
                {
                    context.output.note(&format!(
                        "Downloads {} once: {}. Ctrl+C stops it.",
                        size(download.size_bytes),
                        download.source
                    ));
                }
                let job = context.workshop.start_sample(&id).map_err(|error| {
                    error.hinted("`windlassctl sample list` shows those that there are")
                })?;
                let job = progress::wait(context, &job, &mut signals).await?;
                let appliance = context
                    .workshop
                    .appliance(&job.produced.unwrap_or_default())?;
                context.output.show(&appliance, |appliance| {
                    format!(
                        "Made {} in {}\n`windlassctl run {0}` runs it",
                        appliance.name, appliance.path
                    )
                })?;
            }
        }
        Ok(0)
    }
}
