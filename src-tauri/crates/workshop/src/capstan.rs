//! What Capstan left on this computer, and taking it over.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use specta::Type;
use windlass_library::Origin;
use windlass_package::capstan_home;

use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::jobs::{Job, JobKind, Reporter};
use crate::registries::{CredentialsForm, RegistryForm, RegistryKind};

/// A `~/.capstan` folder, looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CapstanHome {
    /// The folder.
    pub path: String,
    /// How many packages are in it.
    pub packages: u32,
    /// How many images.
    pub images: u32,
    /// How many OSv loaders.
    pub loaders: u32,
    /// The registry that its configuration names.
    pub registry_url: Option<String>,
}

impl Workshop {
    /// What Capstan left in a folder, its own where none is named; nothing where it left nothing.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn capstan_home(&self, path: Option<&Path>) -> Result<Option<CapstanHome>> {
        let Some(root) = place(path).filter(|root| root.is_dir()) else {
            return Ok(None);
        };
        let home = crate::blocking(move || capstan_home::read(&root)).await??;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let loaders = home.images.iter().filter(|image| image.is_loader).count();
        Ok(Some(CapstanHome {
            path: home.root.display().to_string(),
            packages: count(home.packages.len()),
            images: count(home.images.len() - loaders),
            loaders: count(loaders),
            registry_url: home.config.repo_url,
        }))
    }

    /// Takes over what Capstan left, as a job: packages and OSv loaders come into the library, its registry among ours.
    /// Its images stay where they are; its folder is never changed.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder.
    pub fn start_capstan_import(self: &Arc<Self>, path: Option<&Path>) -> Result<Job> {
        let root = place(path).filter(|root| root.is_dir()).ok_or_else(|| {
            let shown = path.map_or("~/.capstan".to_owned(), |path| path.display().to_string());
            AppError::not_found("folder of Capstan", &shown)
                .hinted("Name it: `windlassctl capstan import FOLDER`")
        })?;
        let workshop = Arc::clone(self);
        let title = "Take over what Capstan left".to_owned();
        self.start_job(JobKind::Import, title, None, None, async move |reporter| {
            let home = {
                let root = root.clone();
                crate::blocking(move || capstan_home::read(&root)).await??
            };
            for finding in &home.findings {
                reporter.log(&finding.to_string());
            }
            let mut left = Vec::new();
            for package in home.packages {
                reporter.check()?;
                reporter.step(&format!("Adding {}", package.name));
                let origin = Origin {
                    registry: "Capstan".to_owned(),
                    url: package.archive.display().to_string(),
                    archive_sha256: None,
                };
                let added = workshop
                    .add_archive(&package.archive, Some(origin), &reporter)
                    .await;
                match added {
                    Err(error) if error.kind == ErrorKind::Cancelled => return Err(error),
                    Err(error) => left.push((package.name, error)),
                    Ok(added) => reporter.log(&format!("Added {}", added.label())),
                }
            }
            for image in home.images {
                reporter.check()?;
                if !image.is_loader {
                    reporter.log(&format!(
                        "{} is an image of Capstan and stays where it is: compose it anew from its package",
                        image.name
                    ));
                    continue;
                }
                reporter.step(&format!("Adding {}", image.name));
                if let Err(error) = workshop.add_kernels(&[image.file]).await {
                    left.push((image.name, error));
                }
            }
            if let Some(url) = home.config.repo_url {
                workshop.take_over_registry(&url, &reporter).await?;
            }
            summary(left)
        })
    }

    /// The registry that Capstan was told of, where it is none that is known.
    async fn take_over_registry(&self, url: &str, reporter: &Reporter) -> Result<()> {
        let same =
            |one: &str, other: &str| one.trim_end_matches('/') == other.trim_end_matches('/');
        if self.registries()?.iter().any(|it| same(&it.url, url)) {
            return Ok(());
        }
        let form = RegistryForm {
            name: "Capstan".to_owned(),
            kind: RegistryKind::S3,
            url: url.to_owned(),
            prefix: None,
            ca_file: None,
            proxy: None,
            minisign_key: None,
            credentials: CredentialsForm::None,
        };
        match self.add_registry(form).await {
            Ok(registry) => reporter.log(&format!("Added the registry {}", registry.url)),
            Err(error) => reporter.log(&format!("{url} was not added: {}", error.message)),
        }
        Ok(())
    }
}

/// The folder that is named, else Capstan's own.
fn place(path: Option<&Path>) -> Option<PathBuf> {
    path.map(Path::to_path_buf)
        .or_else(capstan_home::usual_place)
}

/// One error for all that could not be taken over. What could is there.
fn summary(left: Vec<(String, AppError)>) -> Result<Option<String>> {
    if left.is_empty() {
        return Ok(None);
    }
    let mut shown = AppError::new(
        ErrorKind::Input,
        format!("{} of the things there could not be taken over", left.len()),
    )
    .hinted("All others are in the library now");
    for (name, error) in left {
        let causes = std::iter::once(error.message).chain(error.chain);
        shown
            .chain
            .push(format!("{name}: {}", causes.collect::<Vec<_>>().join(": ")));
    }
    Err(shown)
}
