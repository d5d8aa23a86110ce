//! A folder as it is, or what was in an archive.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use walkdir::DirEntry;

use super::draft::{Description, Draft};
use super::{Kind, PackOptions, Plan};
use crate::archive::{self, Limits};
use crate::package::read_small_text;
use crate::{Error, Ignore, Manifest, Watch, ignore, manifest, propose, run_file};

/// What is in a package's `meta/` and comes as text.
const TEXTS: [&str; 2] = [manifest::FILE, run_file::FILE];

pub(super) fn plan(
    folder: &Path,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    let mut draft = Draft::default();
    let description = describe(folder, &mut draft, options, watch)?;
    take(folder, &mut draft, &|_| true, watch)?;
    draft.finish(Kind::Folder, description, options, watch)
}

pub(super) fn plan_archive(
    path: &Path,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    let mut draft = Draft::default();
    // Its name is what the proposal calls the package.
    let folder = draft.scratch(options)?.join(archive::stem(path));
    archive::unpack(path, &folder, &Limits::default(), watch)?;
    let description = describe(&folder, &mut draft, options, watch)?;
    take(&folder, &mut draft, &|_| true, watch)?;
    draft.finish(Kind::Archive, description, options, watch)
}

/// What the folder says that it is, or what is proposed for it.
pub(super) fn describe(
    folder: &Path,
    draft: &mut Draft,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Description, Error> {
    watch.step("Looking what it is");
    if let Some(text) = read_small_text(&folder.join(manifest::FILE))? {
        let parsed = Manifest::parse(&text, manifest::FILE)?;
        draft.findings.extend(parsed.notes);
        let is_as_it_is = options.name.is_none() && options.version.is_none();
        let mut description = Description::new(parsed.value, None, options)?;
        if is_as_it_is {
            description.package_yaml = text;
        }
        description.run_yaml = read_small_text(&folder.join(run_file::FILE))?;
        return Ok(description);
    }
    let proposal = propose(folder)?;
    draft.findings.extend(proposal.problems);
    let parsed = Manifest::parse(&proposal.package_yaml, manifest::FILE)?;
    let mut description = Description::new(parsed.value, None, options)?;
    description.run_yaml = proposal.run_yaml;
    Ok(description)
}

/// The files of the folder, but for what `.capstanignore` leaves out and what is not `is_wanted`.
pub(super) fn take(
    folder: &Path,
    draft: &mut Draft,
    is_wanted: &dyn Fn(&Path) -> bool,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    watch.step("Listing its files");
    let rules = match read_small_text(&folder.join(ignore::FILE))? {
        Some(text) => Ignore::parse(&text)?,
        None => Ignore::default(),
    };
    let is_taken = |entry: &DirEntry| {
        let within = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        // What describes the package goes along, though no image gets it.
        if within.starts_with(crate::META_DIRECTORY) || within == Path::new(ignore::FILE) {
            return !TEXTS.iter().any(|text| within == Path::new(text));
        }
        within.as_os_str().is_empty()
            || (!rules.is_ignored(within.as_os_str().as_bytes()) && is_wanted(within))
    };
    let reason = "because it is in the folder";
    draft.tree(folder, Path::new("/"), reason, false, &is_taken, watch)
}
