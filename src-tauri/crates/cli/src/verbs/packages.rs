//! `package remove`, `publish`, `export`, `import` and `build`: packages of the library come and go.

use std::path::PathBuf;

use clap::Args;

use super::library::follow;
use super::unlock;
use crate::context::Context;
use crate::failure::Outcome;
use crate::progress;
use crate::signals::Signals;

/// Remove a package from the library.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Its name
    name: String,
    /// One version, or the beginning of a digest; all versions, when nothing is said
    #[arg(long)]
    version: Option<String>,
}

impl Remove {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        workshop
            .remove_package(&self.name, self.version.as_deref())
            .await?;
        context
            .output
            .show(&self.name, |name| format!("Removed {name}"))?;
        Ok(0)
    }
}

/// Give a package of the library to a registry.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Its name
    name: String,
    /// The registry's name: a folder, an S3 bucket or an OCI registry
    registry: String,
    /// Its version; the newest, when nothing is said
    #[arg(long)]
    version: Option<String>,
}

impl Publish {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let registry = context.workshop.registry(&self.registry)?;
        if registry.needs_login {
            unlock(context).await?;
        }
        let job =
            context
                .workshop
                .start_publish(&self.name, self.version.as_deref(), registry.id)?;
        let mut signals = Signals::listen()?;
        let job = progress::wait(context, &job, &mut signals).await?;
        context.output.show(&job, |job| {
            let place = job.produced.as_deref().unwrap_or_default();
            format!("Published {} to {place}", self.name)
        })?;
        Ok(0)
    }
}

/// Write a package as one file, with its manifest beside it.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Its name
    name: String,
    /// The `.mpm`, or a folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Its version; the newest, when nothing is said
    #[arg(long)]
    version: Option<String>,
}

impl Export {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let job = workshop.start_export(&self.name, self.version.as_deref(), &self.path)?;
        let mut signals = Signals::listen()?;
        let job = progress::wait(context, &job, &mut signals).await?;
        context.output.show(&job, |job| {
            format!("Wrote {}", job.produced.as_deref().unwrap_or_default())
        })?;
        Ok(0)
    }
}

/// Add archives and folders of packages to the library.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Folders, or archives (.mpm, .tar.gz, .tar.xz, .tar.zst, .zip); the current folder, when nothing is said
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Accepted for Capstan's scripts
    #[arg(long, short, hide = true)]
    verbose: bool,
}

impl Import {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        follow(context, &context.workshop.start_add_packages(&self.paths)?).await
    }
}

/// Write the package in a folder as one file.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// Its folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The file; NAME.mpm in the folder, when nothing is said
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Accepted for Capstan's scripts
    #[arg(long, short, hide = true)]
    verbose: bool,
}

impl Build {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let job = context
            .workshop
            .start_package_build(&self.path, self.out.as_deref())?;
        let mut signals = Signals::listen()?;
        let job = progress::wait(context, &job, &mut signals).await?;
        context.output.show(&job, |job| {
            format!("Wrote {}", job.produced.as_deref().unwrap_or_default())
        })?;
        Ok(0)
    }
}
