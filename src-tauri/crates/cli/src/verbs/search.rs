//! `search`, and what registries are asked before anything is looked for.

use std::fmt::Write as _;

use clap::Args;
use windlass_workshop::packages::{PackageDetails, PackageFilter, PackageKind, PackagePage};
use windlass_workshop::registries::{CredentialsForm, RegistryForm, RegistryState};

use super::registry::kind_of;
use super::unlock;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{fields, size, table};
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
    pub(super) async fn id(&self, context: &Context) -> Result<Option<u32>, Failure> {
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
pub(super) async fn ask_new(context: &Context, only: Option<u32>) -> Result<(), Failure> {
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
        let mut never: Vec<String> = Vec::new();
        if !page.offline.is_empty() {
            let registries = context.workshop.registries()?.into_iter();
            never.extend(
                registries
                    .filter(|it| it.refreshed.is_none())
                    .map(|it| it.name),
            );
        }
        context.output.show(&page, |page| found(page, &never))?;
        Ok(0)
    }
}

/// `never` are the registries that never answered yet.
fn found(page: &PackagePage, never: &[String]) -> String {
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
        let known = if never.contains(name) {
            "it never answered yet, so that nothing is known of what it has"
        } else {
            "this is what it had when it was last asked"
        };
        let _ = writeln!(text, "{name} is offline: {known}");
    }
    text
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
