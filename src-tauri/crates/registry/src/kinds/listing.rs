//! From the files of a registry to entries: what they are, and what their descriptions say.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt};
use windlass_package::Manifest;
use windlass_package::index::ImageIndex;

use super::layout::{self, Draft};
use super::{Known, Listing, RemoteFile, Source};
use crate::{Control, Entry, EntryKind, Error, Limits, Locator, Progress};

/// A description is a small text.
const DESCRIPTION_MAX_BYTES: usize = 256 << 10;

/// All that a registry has.
pub(crate) async fn entries(
    source: &(impl Source + Sync),
    known: &Known<'_>,
    limits: &Limits,
    control: &Control,
    progress: &dyn Progress,
) -> Result<Vec<Entry>, Error> {
    let (mut entries, files) = match source.list(known, control, progress).await? {
        Listing::Entries(entries) => (entries, Vec::new()),
        Listing::Files(files) => (Vec::new(), files),
        Listing::Both(entries, files) => (entries, files),
    };
    let drafts = layout::drafts(&files);
    let before: HashMap<&str, &Entry> = known
        .previous
        .into_iter()
        .flat_map(|catalogue| &catalogue.entries)
        .map(|entry| (entry.locator.place.as_str(), entry))
        .collect();
    let total = drafts.len() as u64;
    progress.step("Reading descriptions");
    // What did not change is known already; an index is that of many files, and read once.
    let mut wanted: Vec<usize> = Vec::new();
    let mut told = Vec::with_capacity(drafts.len());
    for draft in &drafts {
        let same = before
            .get(files[draft.file].locator.place.as_str())
            .filter(|entry| entry.stamp.is_some() && entry.stamp == stamp(&files, draft));
        if same.is_none() {
            wanted.extend(draft.description);
        }
        told.push(same);
    }
    wanted.sort_unstable();
    wanted.dedup();
    let already = total - wanted.len().min(drafts.len()) as u64;
    let done = std::sync::atomic::AtomicU64::new(already);
    let texts: HashMap<usize, String> = futures_util::stream::iter(wanted)
        .map(|at| {
            let locator = &files[at].locator;
            let done = &done;
            async move {
                control.pass().await?;
                let text = description(source, locator, limits, control).await?;
                let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                progress.at(done.min(total), Some(total));
                Ok::<_, Error>(text.map(|text| (at, text)))
            }
        })
        .buffer_unordered(limits.parallel.max(1))
        .try_filter_map(|told| async move { Ok(told) })
        .try_collect()
        .await?;
    for (draft, same) in drafts.iter().zip(told) {
        let text = draft.description.and_then(|at| texts.get(&at));
        entries.push(entry(
            &files,
            draft,
            same.copied(),
            text.map(String::as_str),
        ));
    }
    progress.at(total, Some(total));
    Ok(entries)
}

/// The text of a description; `None` when there is none after all, or none that can be read.
async fn description(
    source: &(impl Source + Sync),
    locator: &Locator,
    limits: &Limits,
    control: &Control,
) -> Result<Option<String>, Error> {
    match small_text(source, locator, limits, control).await {
        Ok(text) => Ok(Some(text)),
        // One bad file is no reason to do without all others.
        Err(
            error @ (Error::Status { .. }
            | Error::Malformed { .. }
            | Error::TooLarge { .. }
            | Error::Redirect { .. }),
        ) => {
            tracing::warn!(place = locator.place, %error, "a description is left out");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads a small text whole.
pub(crate) async fn small_text(
    source: &(impl Source + Sync),
    locator: &Locator,
    limits: &Limits,
    control: &Control,
) -> Result<String, Error> {
    let mut opened = source.open(locator, None, control).await?;
    let mut bytes = Vec::new();
    let too_large = || Error::TooLarge {
        place: locator.place.clone(),
        limit_bytes: DESCRIPTION_MAX_BYTES as u64,
    };
    if opened
        .total
        .is_some_and(|total| total > DESCRIPTION_MAX_BYTES as u64)
    {
        return Err(too_large());
    }
    loop {
        let next = tokio::time::timeout(limits.stall, opened.body.next());
        match control.until(next).await? {
            Err(_) => return Err(crate::http::slow(&locator.place)),
            Ok(None) => break,
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk?),
        }
        if bytes.len() > DESCRIPTION_MAX_BYTES {
            return Err(too_large());
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::malformed(locator.place.clone(), "it is not UTF-8 text"))
}

/// What changes when a file or its description does.
fn stamp(files: &[RemoteFile], draft: &Draft) -> Option<String> {
    let of = |at: usize| files[at].stamp.as_deref();
    match draft.description {
        Some(description) => Some(format!("{} {}", of(draft.file)?, of(description)?)),
        None => of(draft.file).map(str::to_owned),
    }
}

fn entry(files: &[RemoteFile], draft: &Draft, same: Option<&Entry>, text: Option<&str>) -> Entry {
    let file = &files[draft.file];
    let mut entry = match same {
        Some(same) => same.clone(),
        None => Entry::new(draft.kind, &draft.name, file.locator.clone()),
    };
    entry.locator = file.locator.clone();
    entry.architecture.clone_from(&draft.architecture);
    entry.size_bytes = file.size_bytes;
    entry.digest = file.digest;
    entry.signature = draft.signature.map(|at| files[at].locator.clone());
    entry.stamp = stamp(files, draft);
    match (draft.kind, text) {
        (_, None) => {}
        (EntryKind::Package, Some(text)) => describe_package(&mut entry, text),
        (_, Some(text)) => describe_image(&mut entry, text),
    }
    if entry.version.is_none() {
        entry.version.clone_from(&file.version);
    }
    if entry.created.is_none() {
        entry.created.clone_from(&file.created);
    }
    entry
}

fn describe_package(entry: &mut Entry, text: &str) {
    let manifest = match Manifest::parse(text, &entry.locator.place) {
        Ok(parsed) => parsed.value,
        Err(error) => {
            tracing::warn!(place = entry.locator.place, %error, "a manifest is left out");
            return;
        }
    };
    entry.require = manifest.requirements();
    if windlass_package::is_valid_name(&manifest.name) {
        entry.name = manifest.name;
    }
    entry.title = Some(manifest.title).filter(|title| *title != entry.name);
    entry.author = Some(manifest.author);
    entry.version = manifest.version;
    entry.created = manifest.created;
    entry.platform = manifest.platform;
}

fn describe_image(entry: &mut Entry, text: &str) {
    match ImageIndex::parse(text, &entry.locator.place) {
        Ok(parsed) => {
            entry.version = parsed.value.version;
            entry.created = parsed.value.created;
            entry.description = parsed.value.description;
        }
        Err(error) => {
            tracing::warn!(place = entry.locator.place, %error, "an index is left out");
        }
    }
}
