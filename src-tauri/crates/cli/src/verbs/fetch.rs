//! `pull` and `package update`: packages come from registries.

use clap::Args;
use windlass_workshop::packages::PackageUpdate;

use super::library::follow;
use super::search::{Where, ask_new};
use super::unlock;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::table;
use crate::progress;
use crate::signals::Signals;

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
