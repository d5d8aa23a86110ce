//! `appliance layers`, `sizes`, `lock`, `fix`: what an appliance is made of.

use std::fmt::Write as _;

use windlass_workshop::appliances::{Contents, LockInfo, SizeNode};
use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::packages::Requirement;

use super::library::follow;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{count, lines, size, table, word};

/// Shows, or sets, the packages that an appliance lies over.
pub(crate) async fn layers(context: &Context, name: &str, set: Option<Vec<String>>) -> Outcome {
    let workshop = &context.workshop;
    let id = workshop.find_appliance(name)?.id;
    let contents = match set {
        None => workshop.contents(&id).await?,
        Some(words) => {
            let require: Vec<_> = words
                .iter()
                .filter(|word| !word.is_empty())
                .map(|word| requirement(word))
                .collect();
            workshop.set_layers(&id, &require).await?.contents
        }
    };
    context.output.show(&contents, show)?;
    Ok(0)
}

/// `node >=18, <21` as the name and the versions that will do.
fn requirement(text: &str) -> Requirement {
    let text = text.trim();
    let end = text.find([' ', '<', '>', '=', '^', '~']);
    let (name, constraint) = text.split_at(end.unwrap_or(text.len()));
    Requirement {
        name: name.to_owned(),
        constraint: Some(constraint.trim().to_owned()).filter(|it| !it.is_empty()),
    }
}

fn show(contents: &Contents) -> String {
    let rows: Vec<_> = contents
        .layers
        .iter()
        .map(|layer| {
            [
                layer.name.clone(),
                word(&layer.kind),
                layer.version.clone().unwrap_or_default(),
                count(layer.file_count, "file", "files"),
                size(layer.size_bytes),
            ]
        })
        .collect();
    let mut text = table(["LAYER", "KIND", "VERSION", "FILES", "SIZE"], &rows, "");
    text.push_str(&super::findings::lines(&contents.findings));
    text
}

/// Shows where the bytes of an image would be.
pub(crate) async fn sizes(context: &Context, name: &str, depth: usize) -> Outcome {
    let id = context.workshop.find_appliance(name)?.id;
    let map = context.workshop.size_map(&id).await?;
    context.output.show(&map, |map| {
        let mut text = String::new();
        branch(map, depth, 0, &mut text);
        text
    })?;
    Ok(0)
}

fn branch(node: &SizeNode, depth: usize, at: usize, text: &mut String) {
    let name = if at == 0 { &node.path } else { &node.name };
    let _ = writeln!(
        text,
        "{:>9}  {:indent$}{name}",
        size(node.size_bytes),
        "",
        indent = at * 2
    );
    if at < depth {
        for child in &node.children {
            branch(child, depth, at + 1, text);
        }
    }
}

/// Shows an appliance's lock file, or makes it anew.
pub(crate) async fn lock(context: &Context, name: &str, update: bool) -> Outcome {
    let workshop = &context.workshop;
    let id = workshop.find_appliance(name)?.id;
    if update {
        follow(context, &workshop.start_lock_update(&id)?).await?;
        if context.output.json {
            return Ok(0);
        }
    }
    let info = workshop.lock_info(&id).await?;
    context.output.show(&info, locked)?;
    Ok(0)
}

fn locked(info: &LockInfo) -> String {
    if !info.locked {
        return "No lock file: each build uses the newest packages that fit; --update makes one"
            .to_owned();
    }
    let rows: Vec<_> = info
        .packages
        .iter()
        .map(|package| {
            [
                package.name.clone(),
                package.version.clone().unwrap_or_default(),
                package.digest.chars().take(16).collect(),
                package.origin.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let mut text = table(
        ["NAME", "VERSION", "DIGEST", "FROM"],
        &rows,
        "The lock file names no packages\n",
    );
    for stale in &info.stale {
        let _ = writeln!(text, "stale: {stale}");
    }
    text
}

/// Shows what can be mended, or mends one of them.
pub(crate) async fn fix(context: &Context, name: &str, number: Option<usize>) -> Outcome {
    let workshop = &context.workshop;
    let id = workshop.find_appliance(name)?.id;
    let contents = workshop.contents(&id).await?;
    let offers: Vec<_> = contents
        .findings
        .into_iter()
        .filter(|finding| finding.fix.is_some())
        .collect();
    let Some(number) = number else {
        context.output.show(&offers, |offers| {
            if offers.is_empty() {
                return "Nothing that could be mended by itself".to_owned();
            }
            let mut at = 0;
            lines(offers, |finding| {
                at += 1;
                let remedy = finding.remedy.clone().unwrap_or_default();
                format!("{at}  {finding}\n   {remedy}")
            })
        })?;
        return Ok(0);
    };
    let offer = number
        .checked_sub(1)
        .and_then(|at| offers.into_iter().nth(at));
    let Some((finding, fix)) = offer.and_then(|it| it.fix.clone().map(|fix| (it, fix))) else {
        return Err(AppError::new(
            ErrorKind::NotFound,
            format!("There is no finding {number} that could be mended"),
        )
        .into());
    };
    workshop.fix_finding(&id, fix)?;
    context
        .output
        .show(&finding, |finding| format!("Mended: {finding}"))?;
    Ok(0)
}
