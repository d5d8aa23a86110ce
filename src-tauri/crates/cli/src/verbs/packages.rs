//! `package` with registries and the library: search, pull, pack, publish and the like.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use windlass_workshop::packages::{
    Graph, GraphNodeKind, PackageDetails, PackageFilter, PackageKind, PackagePage, PackageUpdate,
};
use windlass_workshop::registries::{CredentialsForm, RegistryForm, RegistryState};

use super::library::follow;
use super::registry::kind_of;
use super::unlock;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{fields, size, table, word};
use crate::progress;
use crate::signals::Signals;

/// Where a verb looks, besides the library.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Where {
    /// Only the registry of this name
    #[arg(long, value_name = "NAME")]
    registry: Option<String>,
    /// Only the registry at this address, which is added where it is not known
    #[arg(long, short, value_name = "URL", env = "CAPSTAN_REPO_URL")]
    url: Option<String>,
}

impl Where {
    /// The id of the registry that is named, where one is.
    async fn id(&self, context: &Context) -> Result<Option<u32>, Failure> {
        let workshop = &context.workshop;
        if let Some(name) = &self.registry {
            return Ok(Some(workshop.registry(name)?.id));
        }
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let plain = |url: &str| url.trim_end_matches('/').to_owned();
        let known = workshop.registries()?;
        if let Some(registry) = known.iter().find(|it| plain(&it.url) == plain(url)) {
            return Ok(Some(registry.id));
        }
        let host = url.split("://").last().unwrap_or(url);
        let form = RegistryForm {
            name: host.trim_end_matches('/').to_owned(),
            kind: kind_of(url),
            url: url.clone(),
            prefix: None,
            ca_file: None,
            proxy: None,
            minisign_key: None,
            credentials: CredentialsForm::None,
        };
        let added = workshop.add_registry(form).await?;
        context
            .output
            .note(&format!("Added the registry {}", added.name));
        Ok(Some(added.id))
    }
}

/// Asks the registries that were never asked; those that do not answer are named, and no failure.
async fn ask_new(context: &Context, only: Option<u32>) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    for registry in context.workshop.registries()? {
        let wanted = registry.enabled && only.is_none_or(|id| id == registry.id);
        if !wanted || registry.state != RegistryState::Never {
            continue;
        }
        if registry.needs_login {
            unlock(context).await?;
        }
        let job = context.workshop.start_refresh(Some(registry.id))?;
        match progress::wait(context, &job, &mut signals).await {
            Err(Failure::App(error))
                if error.kind != windlass_workshop::error::ErrorKind::Cancelled =>
            {
                context.output.note(&format!(
                    "{} was left out: {}",
                    registry.name,
                    error.chain.first().unwrap_or(&error.message)
                ));
            }
            outcome => drop(outcome?),
        }
    }
    Ok(())
}

/// Find packages and guest kernels.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Words of names, titles and descriptions; all, when nothing is said
    text: Option<String>,
    /// Only what is in the library
    #[arg(long)]
    installed: bool,
    /// Only guest kernels
    #[arg(long)]
    kernels: bool,
    /// The most that are shown
    #[arg(long, default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    place: Where,
}

impl Search {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let id = self.place.id(context).await?;
        if !self.installed {
            ask_new(context, id).await?;
        }
        let filter = PackageFilter {
            installed: self.installed.then_some(true),
            registry_id: id,
            runtime: None,
            kind: self.kernels.then_some(PackageKind::Kernel),
        };
        let text = self.text.unwrap_or_default();
        let page = context
            .workshop
            .search_packages(&text, &filter, 0, self.limit)
            .await?;
        context.output.show(&page, found)?;
        Ok(0)
    }
}

fn found(page: &PackagePage) -> String {
    let rows: Vec<_> = page
        .rows
        .iter()
        .map(|row| {
            let mut version = row.version.clone().unwrap_or_default();
            if let Some(newer) = &row.update_to {
                let _ = write!(version, " ({newer})");
            }
            [
                row.name.clone(),
                version,
                if row.installed { "yes" } else { "" }.to_owned(),
                row.registry.clone().unwrap_or_default(),
                row.size_bytes.map(size).unwrap_or_default(),
                row.title.clone(),
            ]
        })
        .collect();
    let headings = ["NAME", "VERSION", "HERE", "REGISTRY", "SIZE", "TITLE"];
    let mut text = table(headings, &rows, "Nothing was found\n");
    if (page.rows.len() as u64) < u64::from(page.total) {
        let _ = writeln!(text, "… {} in all", page.total);
    }
    for name in &page.offline {
        let _ = writeln!(
            text,
            "{name} is offline: this is what it had when it was last asked"
        );
    }
    text
}

/// Fetch a package with all that it needs.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Its name
    name: String,
    /// Its version; the newest, when nothing is said
    #[arg(long)]
    version: Option<String>,
    #[command(flatten)]
    place: Where,
    /// Accepted for Capstan's scripts
    #[arg(long, short, hide = true)]
    platform: Option<String>,
}

impl Pull {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let id = self.place.id(context).await?;
        for registry in context.workshop.registries()? {
            if registry.needs_login && registry.enabled {
                unlock(context).await?;
            }
        }
        // Capstan's `pull` gets the loader, too.
        let job = if self.name.rsplit('/').next() == Some("osv-loader") {
            context.workshop.start_osv_fetch(self.version.as_deref())?
        } else {
            context
                .workshop
                .start_pull(&self.name, self.version.as_deref(), id)?
        };
        follow(context, &job).await
    }
}

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

/// Fetch newer versions of packages.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Only packages with this in their names
    text: Option<String>,
    /// Only show what there is
    #[arg(long)]
    plan: bool,
    /// Accepted for Capstan's scripts
    #[arg(long, short, hide = true)]
    verbose: bool,
}

impl Update {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        ask_new(context, None).await?;
        let mut plan = context.workshop.update_plan().await?;
        if let Some(text) = &self.text {
            plan.retain(|update| update.name.contains(text));
        }
        if self.plan || plan.is_empty() {
            context.output.show(&plan, |plan| updates(plan))?;
            return Ok(0);
        }
        let names: Vec<_> = plan.iter().map(|update| update.name.clone()).collect();
        let job = context.workshop.start_update(&names)?;
        let mut signals = Signals::listen()?;
        progress::wait(context, &job, &mut signals).await?;
        context.output.show(&plan, |plan| updates(plan))?;
        Ok(0)
    }
}

fn updates(plan: &[PackageUpdate]) -> String {
    let rows: Vec<_> = plan
        .iter()
        .map(|update| {
            [
                update.name.clone(),
                update.from.clone().unwrap_or_default(),
                update.to.clone(),
                update.registry.clone(),
            ]
        })
        .collect();
    table(
        ["NAME", "FROM", "TO", "REGISTRY"],
        &rows,
        "All packages are the newest that registries are known to have",
    )
}

/// Show what a package or an appliance needs, and what that needs.
#[derive(Debug, Args)]
pub(crate) struct ShowGraph {
    /// A package, or an appliance
    name: String,
    /// The package's version
    #[arg(long)]
    version: Option<String>,
}

impl ShowGraph {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let graph = match workshop.find_appliance(&self.name) {
            Ok(appliance) if self.version.is_none() => {
                workshop.appliance_graph(&appliance.id).await?
            }
            _ => {
                workshop
                    .package_graph(&self.name, self.version.as_deref())
                    .await?
            }
        };
        context.output.show(&graph, tree)?;
        Ok(0)
    }
}

/// The graph as an indented tree; what was told already is only named again.
fn tree(graph: &Graph) -> String {
    let mut text = String::new();
    let mut told = Vec::new();
    if let Some(root) = graph.nodes.first() {
        branch(graph, &root.id, None, 0, &mut told, &mut text);
    }
    text
}

fn branch(
    graph: &Graph,
    id: &str,
    constraint: Option<&str>,
    depth: usize,
    told: &mut Vec<String>,
    text: &mut String,
) {
    let Some(node) = graph.nodes.iter().find(|node| node.id == id) else {
        return;
    };
    let _ = write!(text, "{:indent$}{}", "", node.name, indent = depth * 2);
    if let Some(version) = &node.version {
        let _ = write!(text, " {version}");
    }
    if let Some(constraint) = constraint {
        let _ = write!(text, " ({constraint})");
    }
    match node.kind {
        GraphNodeKind::Missing => text.push_str(", nowhere to be had"),
        GraphNodeKind::Package if !node.installed => text.push_str(", not in the library"),
        _ => {}
    }
    let again = told.iter().any(|it| it == id);
    let needs: Vec<_> = graph.edges.iter().filter(|edge| edge.from == id).collect();
    if again && !needs.is_empty() {
        text.push_str(" …");
    }
    text.push('\n');
    if again {
        return;
    }
    told.push(id.to_owned());
    for edge in needs {
        branch(
            graph,
            &edge.to,
            edge.constraint.as_deref(),
            depth + 1,
            told,
            text,
        );
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

/// What a registry says of a package that is not here.
pub(super) fn describe_remote(details: &PackageDetails) -> String {
    let or_none = |value: &Option<String>| value.clone().unwrap_or_default();
    let versions: Vec<_> = details
        .versions
        .iter()
        .map(|version| {
            let registry = version.registry.clone().unwrap_or_default();
            format!("{} ({registry})", or_none(&version.version))
        })
        .collect();
    let require: Vec<_> = details
        .require
        .iter()
        .map(|it| match &it.constraint {
            Some(constraint) => format!("{} {constraint}", it.name),
            None => it.name.clone(),
        })
        .collect();
    fields(&[
        ("Name", details.name.clone()),
        ("Title", details.title.clone()),
        ("Author", or_none(&details.author)),
        ("Versions", versions.join("\n")),
        ("Created", or_none(&details.created)),
        ("Platform", or_none(&details.platform)),
        ("Requires", require.join("\n")),
        ("Size", details.size_bytes.map(size).unwrap_or_default()),
        ("From", or_none(&details.origin)),
        ("Description", or_none(&details.description)),
    ])
}

/// Print the JSON Schema of a manifest.
pub(crate) fn schema(context: &Context, file: &str) -> Outcome {
    let file = if file == "run" {
        windlass_workshop::appliances::ManifestFile::Run
    } else {
        windlass_workshop::appliances::ManifestFile::Package
    };
    let text = windlass_workshop::Workshop::manifest_schema(file);
    let value: serde_json::Value = serde_json::from_str(&text)?;
    context.output.show(&value, |_| text.clone())?;
    Ok(0)
}

/// Check the manifests of the package in a folder.
pub(crate) fn check(context: &Context, folder: &Path) -> Outcome {
    use windlass_workshop::appliances::{ManifestFile, Severity};
    let mut wrong = false;
    let mut all = Vec::new();
    for (file, path) in [
        (ManifestFile::Package, "meta/package.yaml"),
        (ManifestFile::Run, "meta/run.yaml"),
    ] {
        let text = match std::fs::read_to_string(folder.join(path)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        if text.is_empty() {
            continue;
        }
        for mistake in context.workshop.check_text(file, &text) {
            wrong |= mistake.severity == Severity::Error;
            all.push((path, mistake));
        }
    }
    context.output.show(&all, |all| {
        let mut text = String::new();
        for (path, mistake) in all {
            let severity = word(&mistake.severity);
            let _ = writeln!(
                text,
                "{path}:{}:{}: {severity}: {}",
                mistake.line, mistake.column, mistake.message
            );
            if let Some(hint) = &mistake.hint {
                let _ = writeln!(text, "  hint: {hint}");
            }
        }
        if all.is_empty() {
            text.push_str("Nothing to complain of\n");
        }
        text
    })?;
    Ok(if wrong { 65 } else { 0 })
}
