//! `kernel`: what boots an image.

use std::path::PathBuf;

use clap::Subcommand;
use windlass_workshop::error::AppError;
use windlass_workshop::kernels::{Kernel, KernelForm};

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{lines, size, table};
use crate::progress;
use crate::signals::Signals;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Add kernel files; an OSv loader, an OSv ELF and a Linux kernel are told apart by what is in them
    Add {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the library's kernels
    List,
    /// Fetch this distribution's own Linux kernel, or OSv from a registry
    Fetch {
        /// What to fetch
        #[arg(default_value = "linux", value_parser = ["linux", "osv"])]
        guest: String,
        /// The version of OSv; the newest, when nothing is said
        #[arg(long)]
        version: Option<String>,
    },
    /// Remove kernels from the library
    Remove {
        /// Ids of kernels, or the beginning of them
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match self {
            Self::Add { files } => {
                let kernels = workshop.add_kernels(&files).await?;
                context.output.show(&kernels, |kernels| list(kernels))?;
            }
            Self::List => {
                context
                    .output
                    .show(&workshop.kernels()?, |kernels| list(kernels))?;
            }
            Self::Fetch { guest, version } => {
                let mut signals = Signals::listen()?;
                let job = if guest == "osv" {
                    workshop.start_osv_fetch(version.as_deref())?
                } else {
                    workshop.start_kernel_fetch()?
                };
                let job = progress::wait(context, &job, &mut signals).await?;
                let id = job.produced.unwrap_or_default();
                let kernels = workshop.kernels()?;
                let kernel = kernels
                    .into_iter()
                    .find(|kernel| kernel.id == id)
                    .ok_or_else(|| AppError::not_found("kernel", &id))?;
                context
                    .output
                    .show(&kernel, |kernel| list(std::slice::from_ref(kernel)))?;
            }
            Self::Remove { ids } => {
                for id in &ids {
                    workshop.remove_kernel(&whole_id(context, id)?)?;
                }
                context
                    .output
                    .show(&ids, |ids| lines(ids, |id| format!("Removed {id}")))?;
            }
        }
        Ok(0)
    }
}

/// The kernel whose id begins so, where there is only one.
fn whole_id(context: &Context, beginning: &str) -> Result<String, AppError> {
    let kernels = context.workshop.kernels()?;
    let mut found = kernels
        .into_iter()
        .filter(|kernel| kernel.id.starts_with(beginning));
    match (found.next(), found.next()) {
        (Some(kernel), None) if !beginning.is_empty() => Ok(kernel.id),
        _ => Err(AppError::not_found("kernel", beginning)
            .hinted("`windlassctl kernel list` shows their ids")),
    }
}

fn list(kernels: &[Kernel]) -> String {
    let rows: Vec<_> = kernels
        .iter()
        .map(|kernel| {
            let form = match kernel.form {
                KernelForm::OsvLoader => "loader image",
                KernelForm::OsvElf => "ELF kernel",
                KernelForm::OsvZfsBuilder => "ZFS builder",
                KernelForm::Linux => "kernel",
            };
            let roots: Vec<_> = kernel.root_fs.iter().map(ToString::to_string).collect();
            [
                kernel.id.clone(),
                format!("{} {form}", kernel.guest.title()),
                kernel.version.clone(),
                roots.join(", "),
                size(kernel.size_bytes),
            ]
        })
        .collect();
    table(
        ["ID", "KIND", "VERSION", "ROOT FS", "SIZE"],
        &rows,
        "No guest kernels; `windlassctl kernel fetch` gets this distribution's Linux kernel",
    )
}
