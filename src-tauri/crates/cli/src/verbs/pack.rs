//! `package pack`: packages from folders, archives, programs, projects and images.

use std::path::Path;

use clap::Args;
use windlass_workshop::error::AppError;
use windlass_workshop::guests::GuestOs;
use windlass_workshop::packing::{PackAddition, PackKind, PackOptions, PackPreview, PackSource};

use super::{findings, unlock};
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{count, fields, size, table};
use crate::progress;
use crate::signals::Signals;
use crate::values::Guest;

/// Make a package from a folder, an archive, a program, a project, or packages of the distribution.
#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// A path; with `--as debian`, names of packages; with `--as oci`, an image such as debian:12, too
    #[arg(required = true)]
    what: Vec<String>,
    /// What it is packed as; told from what it is, when nothing is said
    #[arg(long = "as", value_name = "KIND", value_parser = ["folder", "archive", "program", "node", "python", "jar", "debian", "oci"])]
    kind: Option<String>,
    /// The guest that it is to run in
    #[arg(long, value_enum, default_value = "linux")]
    guest: Guest,
    /// The package's name
    #[arg(long, short)]
    name: Option<String>,
    /// The package's version
    #[arg(long, short)]
    version: Option<String>,
    /// A path of the guest that stays out; repeat for several
    #[arg(long, value_name = "PATH")]
    leave_out: Vec<String>,
    /// A file of this computer that goes in; repeat for several
    #[arg(long, value_name = "HOST:GUEST", value_parser = addition)]
    add: Vec<PackAddition>,
    /// Run the program for a few seconds to see which files it opens
    #[arg(long)]
    observe: bool,
    /// Keep the whole Java runtime
    #[arg(long)]
    whole_java: bool,
    /// Only show what would be in it, and why
    #[arg(long)]
    preview: bool,
}

fn addition(text: &str) -> Result<PackAddition, String> {
    match text.split_once(':') {
        Some((host, guest)) if !host.is_empty() && guest.starts_with('/') => Ok(PackAddition {
            host: std::path::absolute(host)
                .map_err(|error| error.to_string())?
                .display()
                .to_string(),
            guest: guest.to_owned(),
        }),
        _ => Err("write HOST:GUEST, such as ./app.conf:/etc/app.conf".to_owned()),
    }
}

impl Pack {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let value = self.what.join(" ");
        let kind = match self.kind.as_deref() {
            Some("folder") => PackKind::Folder,
            Some("archive") => PackKind::Archive,
            Some("program") => PackKind::Program,
            Some("node") => PackKind::Node,
            Some("python") => PackKind::Python,
            Some("jar") => PackKind::Jar,
            Some("oci") => PackKind::Oci,
            Some(_) => PackKind::Debian,
            None => *workshop
                .pack_kinds(Path::new(&value))
                .await?
                .first()
                .ok_or_else(|| {
                    AppError::new(
                        windlass_workshop::error::ErrorKind::Input,
                        format!("`{value}` is nothing that can be packed"),
                    )
                    .hinted("Say what it is with --as")
                })?,
        };
        let mut source = PackSource {
            kind,
            value,
            guest: GuestOs::from(self.guest),
        };
        if let Some(image) = source.remote_image()? {
            let host = |url: &str| url.split("://").last().unwrap_or(url).to_owned();
            let wants_login = workshop
                .registries()?
                .iter()
                .any(|it| it.enabled && it.needs_login && host(&it.url).starts_with(&image.host));
            if wants_login {
                unlock(context).await?;
            }
        }
        if let Some(job) = workshop.start_fetch_image(&source)? {
            let mut signals = Signals::listen()?;
            progress::wait(context, &job, &mut signals).await?;
        } else if kind != PackKind::Debian {
            source.value = std::path::absolute(&source.value)?.display().to_string();
        }
        let options = PackOptions {
            name: self.name,
            version: self.version,
            leave_out: self.leave_out,
            add: self.add,
            observe: self.observe,
            java_reduce: !self.whole_java,
        };
        let preview = workshop
            .pack_preview(source.clone(), options.clone())
            .await?;
        if self.preview {
            context.output.show(&preview, show)?;
            return Ok(0);
        }
        let job = workshop.start_pack(
            &source,
            options,
            preview.package_yaml.clone(),
            preview.run_yaml.clone(),
        )?;
        if !context.output.json {
            let lines = findings::lines(&preview.findings);
            if !lines.is_empty() {
                context.output.note(lines.trim_end());
            }
        }
        let mut signals = Signals::listen()?;
        let job = progress::wait(context, &job, &mut signals).await?;
        context.output.show(&job, |job| {
            format!(
                "Packed {}: {} in {}",
                job.produced.as_deref().unwrap_or_default(),
                count(
                    preview.groups.iter().map(|group| group.files).sum(),
                    "file",
                    "files"
                ),
                size(preview.total_bytes)
            )
        })?;
        Ok(0)
    }
}

fn show(preview: &PackPreview) -> String {
    let mut text = fields(&[
        ("Name", preview.name.clone()),
        ("Version", preview.version.clone().unwrap_or_default()),
        ("Title", preview.title.clone()),
        ("Size", size(preview.total_bytes)),
    ]);
    let rows: Vec<_> = preview
        .files
        .iter()
        .map(|file| {
            let mark = if file.left {
                "left out"
            } else if file.required {
                "required"
            } else {
                ""
            };
            [
                file.guest.clone(),
                size(file.size_bytes),
                mark.to_owned(),
                file.reason.clone(),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(["PATH", "SIZE", "", "WHY"], &rows, ""));
    if preview.truncated {
        text.push_str("… and more\n");
    }
    text.push_str(&findings::lines(&preview.findings));
    text
}
