//! A package of the library as one file: written somewhere, or given to a registry.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_package::{Package, archive, manifest};
use windlass_registry::Publication;

use crate::Workshop;
use crate::disk::write_whole;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::{Job, JobKind, Reporter};

/// The ending of a package's file.
const ENDING: &str = "mpm";

impl Workshop {
    /// Gives a package of the library to a registry, as a job.
    ///
    /// # Errors
    /// `NotFound`; `Input` when nothing can be published there.
    pub fn start_publish(
        self: &Arc<Self>,
        name: &str,
        version: Option<&str>,
        registry: u32,
    ) -> Result<Job> {
        let package = self.installed_package(name, version)?;
        let record = self.registry_record(registry)?;
        let shown = self.registry(record.name())?;
        if !shown.publishable {
            return Err(AppError::new(
                ErrorKind::Input,
                format!("Nothing can be published to {}", record.name()),
            )
            .hinted("Publish to a folder, an S3 bucket or an OCI registry"));
        }
        let workshop = Arc::clone(self);
        self.start_job(
            JobKind::Publish,
            format!("Publish {} to {}", package.label(), record.name()),
            None,
            None,
            async move |reporter| {
                let workplace = workshop.library.workplace()?;
                let archive = workplace.path().join(format!("{}.{ENDING}", package.name));
                let text =
                    write_archive(&package.label(), &package.path, &archive, &reporter).await?;
                reporter.step(&format!("Publishing {}", package.label()));
                let registry = workshop.open_registry(&record).await?;
                reporter.set_pausable(true);
                let publication = Publication {
                    archive,
                    manifest: text,
                    signature: None,
                    replace: false,
                };
                let (control, telling) = (reporter.control(), reporter.bytes());
                let published = registry.publish(&publication, &control, &telling).await?;
                for place in &published.places {
                    reporter.log(place);
                }
                reporter.log(&format!("sha256 {}", published.sha256));
                reporter.set_pausable(false);
                // What the registry has now is shown at once. That it is there does not hang on this.
                if let Err(error) = workshop.refresh(&record, &reporter).await {
                    reporter.log(&format!("{}: {}", record.name(), error.message));
                }
                Ok(published.places.into_iter().next())
            },
        )
    }

    /// Writes a package of the library as one file, with its manifest beside it, as a job. A folder gets the file under
    /// the package's own name.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn start_export(
        self: &Arc<Self>,
        name: &str,
        version: Option<&str>,
        path: &Path,
    ) -> Result<Job> {
        let package = self.installed_package(name, version)?;
        let path = std::path::absolute(path).doing("find", path)?;
        let path = if path.is_dir() {
            path.join(format!("{}.{ENDING}", package.name))
        } else {
            path
        };
        self.start_job(
            JobKind::Export,
            format!("Export {}", package.label()),
            None,
            None,
            async move |reporter| {
                let text = write_archive(&package.label(), &package.path, &path, &reporter).await?;
                // As Capstan has it: `NAME.mpm` and `NAME.yaml`.
                write_whole(&path.with_extension("yaml"), text.as_bytes())?;
                Ok(Some(path.display().to_string()))
            },
        )
    }

    /// Writes the package in a folder as one file, as a job: `NAME.mpm` in the folder where nothing is said.
    ///
    /// # Errors
    /// `NotFound`; `Input` when its manifest has a mistake, or it has none.
    pub fn start_package_build(self: &Arc<Self>, folder: &Path, out: Option<&Path>) -> Result<Job> {
        let folder = std::fs::canonicalize(folder).doing("find the folder", folder)?;
        let package = Package::open(&folder)?;
        if !package.has_manifest {
            return Err(AppError::new(
                ErrorKind::NotFound,
                format!("There is no package in `{}`", folder.display()),
            )
            .hinted("`windlassctl package init --yes` writes a manifest that fits what is in it"));
        }
        let name = package.manifest.name;
        let out = match out {
            Some(out) => std::path::absolute(out).doing("find", out)?,
            None => folder.join(format!("{name}.{ENDING}")),
        };
        let title = format!("Write {name} as one file");
        self.start_job(JobKind::Export, title, None, None, async move |reporter| {
            write_archive(&name, &folder, &out, &reporter).await?;
            Ok(Some(out.display().to_string()))
        })
    }
}

/// Writes the archive whole or not at all; the text of its manifest.
async fn write_archive(
    label: &str,
    tree: &Path,
    path: &Path,
    reporter: &Reporter,
) -> Result<String> {
    reporter.step(&format!("Writing {label}"));
    let (tree, path): (PathBuf, PathBuf) = (tree.to_owned(), path.to_owned());
    let mut watching = reporter.watching();
    crate::blocking(move || {
        let text = tree.join(manifest::FILE);
        let text = std::fs::read_to_string(&text).doing("read", &text)?;
        let folder = path.parent().unwrap_or(&path);
        let mut growing = tempfile::Builder::new()
            .prefix(".windlass-")
            .permissions(std::fs::Permissions::from_mode(0o644))
            .tempfile_in(folder)
            .doing("write into the folder", folder)?;
        {
            let mut out = std::io::BufWriter::with_capacity(1 << 18, growing.as_file_mut());
            archive::write_mpm(&tree, &mut out, &mut watching)?;
            std::io::Write::flush(&mut out).doing("write the file", &path)?;
        }
        growing
            .as_file()
            .sync_all()
            .doing("write the file", &path)?;
        growing
            .persist(&path)
            .map_err(|error| error.error)
            .doing("write the file", &path)?;
        Ok(text)
    })
    .await?
}
