//! `package init`, `describe`, `list`.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use windlass_workshop::appliances::{Manifests, PackageInit, Proposal};
use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::files::FileKind;
use windlass_workshop::packages::PackageDescription;

use super::findings;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{count, fields, size, table};

/// Give a folder a manifest.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The name by which other packages require it
    #[arg(long, short)]
    name: Option<String>,
    /// What a person reads
    #[arg(long, short)]
    title: Option<String>,
    /// Who makes it
    #[arg(long, short)]
    author: Option<String>,
    /// Its version, such as 1.0.0
    #[arg(long, short)]
    version: Option<String>,
    /// A package that it needs; repeat for several
    #[arg(long, value_name = "PACKAGE")]
    require: Vec<String>,
    /// What runs it: native, node, java or python
    #[arg(long)]
    runtime: Option<String>,
    /// On what it is made
    #[arg(long, short)]
    platform: Option<String>,
    /// Write what is proposed without asking
    #[arg(long, short)]
    yes: bool,
    /// Replace the manifest that is there
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let init = PackageInit {
            name: self.name,
            title: self.title,
            author: self.author,
            version: self.version,
            require: self.require,
            runtime: self.runtime,
            platform: self.platform,
        };
        if !self.path.exists() && init.is_complete() {
            std::fs::create_dir_all(&self.path)?;
        }
        let proposal = context.workshop.propose_package(&self.path, &init).await?;
        let write = init.is_complete() || self.yes || agreed(context, &proposal)?;
        if write {
            let manifests = Manifests {
                package_yaml: proposal.package_yaml.clone(),
                run_yaml: proposal.run_yaml.clone(),
            };
            context
                .workshop
                .write_package(&self.path, manifests, self.force)
                .await?;
        }
        context.output.show(&proposal, |proposal| {
            let mut text = String::new();
            if write {
                let meta = self.path.join("meta");
                let files = if proposal.run_yaml.is_empty() {
                    "package.yaml"
                } else {
                    "package.yaml and run.yaml"
                };
                text = format!("Wrote {files} of {} into {}\n", proposal.name, shown(&meta));
            } else if !std::io::stdin().is_terminal() {
                text = describe_proposal(proposal);
            }
            text
        })?;
        if !write && !std::io::stdin().is_terminal() {
            context
                .output
                .note("Nothing was written; `--yes` writes this");
        }
        Ok(0)
    }
}

fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    text.strip_prefix("./").map_or(text.clone(), str::to_owned)
}

/// Shows a proposal on a terminal and asks. Elsewhere nobody can agree.
pub(super) fn agreed(context: &Context, proposal: &Proposal) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || context.output.json {
        return Ok(false);
    }
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{}Write these? [Y/n] ", describe_proposal(proposal))?;
    stderr.flush()?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer)?;
    Ok(read > 0 && matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}

pub(super) fn describe_proposal(proposal: &Proposal) -> String {
    let mut text = String::new();
    if proposal.file_count > 0 {
        let files = count(proposal.file_count, "file", "files");
        let _ = writeln!(text, "{files}, {}", size(proposal.size_bytes));
    }
    for reason in &proposal.reasons {
        let _ = writeln!(text, "- {reason}");
    }
    let _ = write!(
        text,
        "\nmeta/package.yaml\n{}",
        indented(&proposal.package_yaml)
    );
    if !proposal.run_yaml.is_empty() {
        let _ = write!(text, "\nmeta/run.yaml\n{}", indented(&proposal.run_yaml));
    }
    if !proposal.problems.is_empty() {
        text.push('\n');
        text.push_str(&findings::lines(&proposal.problems));
    }
    text
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| {
            if line.is_empty() {
                "\n".to_owned()
            } else {
                format!("  {line}\n")
            }
        })
        .collect()
}

/// Show what a package says of itself.
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// A package of the library, an appliance, or a folder
    name: String,
    /// List its files too
    #[arg(long, short, visible_alias = "files")]
    content: bool,
}

impl Describe {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match workshop.describe_package(&self.name, self.content) {
            Ok(description) => context.output.show(&description, describe)?,
            // A registry may have it.
            Err(error) if error.kind == ErrorKind::NotFound => {
                let Ok(details) = workshop.package_details(&self.name, None).await else {
                    return Err(error.into());
                };
                context
                    .output
                    .show(&details, super::search::describe_remote)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(0)
    }
}

/// Add a guest kernel or a package.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Files; as with Capstan, a name may come first
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Accepted for Capstan's scripts
    #[arg(short, hide = true)]
    version: Option<String>,
    /// Accepted for Capstan's scripts
    #[arg(short = 'c', hide = true)]
    created: Option<String>,
    /// Accepted for Capstan's scripts
    #[arg(short, hide = true)]
    description: Option<String>,
}

impl Import {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let mut files = self.files;
        if files.len() > 1 && files.first().is_some_and(|name| !name.exists()) {
            files.remove(0);
        }
        let mut packages = Vec::new();
        let mut kernels = Vec::new();
        for file in files {
            if file.is_dir() {
                packages.push(file);
                continue;
            }
            match windlass_workshop::files::describe_file(&file)?.kind {
                FileKind::Kernel => kernels.push(file),
                FileKind::Archive => packages.push(file),
                FileKind::Image => {
                    return Err(AppError::new(
                        ErrorKind::Input,
                        format!("`{}` is a disk that was composed already", file.display()),
                    )
                    .hinted("Windlass composes images from packages: import its package")
                    .into());
                }
            }
        }
        if !kernels.is_empty() {
            let added = workshop.add_kernels(&kernels).await?;
            context.output.show(&added, |added| {
                crate::output::lines(added, |it| format!("Added guest kernel {}", it.id))
            })?;
        }
        if packages.is_empty() {
            return Ok(0);
        }
        super::library::follow(context, &workshop.start_add_packages(&packages)?).await
    }
}

fn describe(package: &PackageDescription) -> String {
    let or_none = |value: &Option<String>| value.clone().unwrap_or_default();
    let list = |values: Vec<String>| values.join("\n");
    let configurations = package
        .configurations
        .iter()
        .map(|configuration| {
            let mut line = configuration.name.clone();
            if configuration.is_default {
                line.push_str(" (default)");
            }
            if let Some(base) = &configuration.base {
                let _ = write!(line, ", based on {base}");
            }
            for env in &configuration.env {
                let _ = write!(line, "\n  {env}");
            }
            line
        })
        .collect();
    let mut text = fields(&[
        ("Name", package.name.clone()),
        ("Title", package.title.clone()),
        ("Author", package.author.clone()),
        ("Version", or_none(&package.version)),
        (
            "Created",
            package.created.clone().unwrap_or_else(|| "N/A".to_owned()),
        ),
        ("Platform", or_none(&package.platform)),
        ("Requires", list(package.require.clone())),
        ("Runtime", or_none(&package.runtime)),
        ("Configurations", list(configurations)),
        ("Folder", package.path.clone()),
    ]);
    if let Some(readme) = &package.readme {
        let _ = writeln!(text, "\n{}", readme.trim_end());
    }
    if let Some(files) = &package.files {
        let _ = writeln!(text, "\n{}", files.join("\n"));
    }
    text
}

/// Lists the packages of the library.
pub(crate) fn list(context: &Context) -> Outcome {
    let packages = context.workshop.packages()?;
    context.output.show(&packages, |packages| {
        let rows: Vec<_> = packages
            .iter()
            .map(|package| {
                [
                    package.name.clone(),
                    package.version.clone().unwrap_or_default(),
                    package.require.join(", "),
                    package.title.clone(),
                ]
            })
            .collect();
        table(
            ["NAME", "VERSION", "REQUIRES", "TITLE"],
            &rows,
            "No packages in the library yet",
        )
    })?;
    Ok(0)
}
