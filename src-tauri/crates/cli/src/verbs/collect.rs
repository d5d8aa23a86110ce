//! `package collect`: the merged tree, who wins each path.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;
use windlass_workshop::appliances::{Collected, EntryKind};
use windlass_workshop::error::AppError;

use super::findings;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{count, size, table, word};
use crate::signals::Signals;

/// Of more paths of requirement, the number is told.
const PATHS_MAX: usize = 3;

/// Lay a package over those it requires.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Collect {
    /// The package's folder
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    path: PathBuf,
    /// Show the tree without writing mpm-pkg/
    #[arg(long)]
    dry_run: bool,
    /// Show only the paths that several layers have a file at, and who wins
    #[arg(long)]
    conflicts: bool,
    /// Fetch the packages that are missing first
    #[arg(long, short)]
    pull_missing: bool,
    /// Accepted for Capstan's scripts
    #[arg(long, short, hide = true)]
    verbose: bool,
}

impl Collect {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let cancel = CancellationToken::new();
        let mut signals = Signals::listen()?;
        if self.pull_missing {
            let job = context.workshop.start_provide(&self.path)?;
            crate::progress::wait(context, &job, &mut signals).await?;
        }
        let collect = context.workshop.collect_package(
            &self.path,
            !(self.dry_run || self.conflicts),
            &cancel,
        );
        tokio::pin!(collect);
        let mut collected = tokio::select! {
            collected = &mut collect => collected?,
            _ = signals.next() => {
                cancel.cancel();
                let _ = collect.await;
                return Err(AppError::cancelled().into());
            }
        };
        if self.conflicts {
            collected
                .entries
                .retain(|it| it.kind != EntryKind::Directory && !it.overrides.is_empty());
        }
        context.output.show(&collected, show)?;
        Ok(0)
    }
}

fn show(collected: &Collected) -> String {
    let layers: Vec<_> = collected
        .layers
        .iter()
        .map(|layer| {
            [
                layer.name.clone(),
                word(&layer.kind),
                layer.version.clone().unwrap_or_default(),
                count(layer.file_count, "file", "files"),
                size(layer.size_bytes),
                because(collected, &layer.name),
            ]
        })
        .collect();
    let head = ["LAYER", "KIND", "VERSION", "FILES", "SIZE", "REQUIRED BY"];
    let mut text = table(head, &layers, "");
    let entries: Vec<_> = collected
        .entries
        .iter()
        .map(|entry| {
            let path = match (entry.kind, &entry.target) {
                (EntryKind::Directory, _) => format!("{}/", entry.path),
                (_, Some(target)) => format!("{} -> {target}", entry.path),
                _ => entry.path.clone(),
            };
            let size = if entry.kind == EntryKind::File {
                size(entry.size_bytes)
            } else {
                String::new()
            };
            let over = if entry.overrides.is_empty() {
                String::new()
            } else {
                format!("over {}", entry.overrides.join(", "))
            };
            [path, size, entry.layer.clone(), over]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(["PATH", "SIZE", "FROM", ""], &entries, ""));
    let _ = write!(
        text,
        "\n{}, {}\n",
        count(collected.file_count, "file", "files"),
        size(collected.size_bytes)
    );
    if let Some(place) = &collected.written_to {
        let _ = writeln!(text, "Written to {place}");
    }
    text.push_str(&findings::lines(&collected.findings));
    text
}

/// By which paths of requirement a package is there, from the one that is collected.
fn because(collected: &Collected, package: &str) -> String {
    let paths = collected.why.get(package).map_or(&[][..], Vec::as_slice);
    let mut told: Vec<String> = paths
        .iter()
        .take(PATHS_MAX)
        .map(|path| {
            let before = path.split_last().map_or(&[][..], |(_, before)| before);
            let names = std::iter::once(&collected.name).chain(before);
            names.cloned().collect::<Vec<_>>().join(" -> ")
        })
        .collect();
    if paths.len() > PATHS_MAX {
        told.push(format!("{} more", paths.len() - PATHS_MAX));
    }
    told.join(", ")
}
