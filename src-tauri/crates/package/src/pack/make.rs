//! A plan becomes a package's folder: written beside its place, and put there whole.

use std::path::{Path, PathBuf};

use super::plan::{Content, Plan};
use super::{Packed, Staging};
use crate::watch::advance;
use crate::{Error, Manifest, RunFile, Watch, manifest, run_file};

pub(super) fn make(
    plan: &Plan,
    destination: &Path,
    replace: bool,
    watch: &mut dyn Watch,
) -> Result<Packed, Error> {
    // They may have been edited since.
    let name = Manifest::parse(&plan.package_yaml, manifest::FILE)?
        .value
        .name;
    if let Some(text) = &plan.run_yaml {
        RunFile::parse(text, run_file::FILE)?;
    }
    watch.step("Copying files");
    watch.expect(plan.total_bytes());
    let mut staging = Staging::begin(destination)?;
    // What is beneath a link would be written wherever that leads.
    let mut no_folder: Option<&Path> = None;
    for entry in plan.taken() {
        if no_folder.is_some_and(|path| entry.guest.starts_with(path)) {
            return Err(Error::Unsuitable {
                path: entry.guest.clone(),
                found: "is in a folder that is a file or a link, too".into(),
                remedy: "Leave one of them out.".into(),
            });
        }
        match &entry.content {
            Content::Copy(host) | Content::Unpacked(host) => {
                staging.copy(host, &entry.guest, entry.mode, watch)?;
            }
            Content::Bytes(bytes) => {
                staging.write(&entry.guest, bytes, entry.mode)?;
                advance(watch, bytes.len() as u64)?;
            }
            Content::Link(target) => staging.link(&entry.guest, target)?,
            Content::Directory => {
                staging.directory(&entry.guest)?;
                continue;
            }
        }
        no_folder = Some(&entry.guest);
    }
    for compile in &plan.compile {
        compile.run(&mut staging, watch)?;
    }
    watch.step("Writing the manifest");
    let (file_count, size_bytes) = (staging.file_count, staging.size_bytes);
    let write = |staging: &mut Staging, file: &str, text: &str| {
        staging.write(&PathBuf::from(file), text.as_bytes(), 0o644)
    };
    write(&mut staging, manifest::FILE, &plan.package_yaml)?;
    if let Some(text) = &plan.run_yaml {
        write(&mut staging, run_file::FILE, text)?;
    }
    Ok(Packed {
        name,
        root: staging.finish(replace)?,
        file_count,
        size_bytes,
        findings: plan.findings.clone(),
    })
}
