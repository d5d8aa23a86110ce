//! What a dropped thing can be packed as.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::{Kind, oci};
use crate::archive;
use crate::closure::Elf;
use crate::package::META_DIRECTORY;

/// What this path can be packed as, the likeliest first; nothing for what can be packed in no way.
pub fn kinds(path: &Path) -> Vec<Kind> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => kinds_of_folder(path),
        Ok(metadata) if metadata.is_file() => kinds_of_file(path),
        _ => Vec::new(),
    }
}

fn kinds_of_folder(folder: &Path) -> Vec<Kind> {
    let has = |name: &str| folder.join(name).exists();
    let has_ending = |ending: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        names.any(|name| name.to_string_lossy().ends_with(ending))
    };
    let mut kinds = Vec::new();
    if oci::is_layout(folder) {
        kinds.push(Kind::Oci);
    }
    // A package is what it says itself.
    let is_package = has(META_DIRECTORY) && folder.join(crate::manifest::FILE).is_file();
    if is_package {
        kinds.push(Kind::Folder);
    }
    if has("package.json") || has("server.js") {
        kinds.push(Kind::Node);
    }
    if has("requirements.txt") || has("pyproject.toml") || has_ending(".py") {
        kinds.push(Kind::Python);
    }
    if !is_package {
        kinds.push(Kind::Folder);
    }
    kinds
}

fn kinds_of_file(file: &Path) -> Vec<Kind> {
    let mut start = Vec::new();
    let read = File::open(file).and_then(|file| file.take(4).read_to_end(&mut start));
    if read.is_err() {
        return Vec::new();
    }
    let extension = file.extension().unwrap_or_default().to_ascii_lowercase();
    if start.starts_with(b"\x7fELF") {
        let is_program = Elf::open(file).is_ok_and(|elf| elf.is_program || elf.is_static());
        return is_program.then_some(Kind::Program).into_iter().collect();
    }
    if start.starts_with(b"PK") && (extension == "jar" || extension == "war") {
        return vec![Kind::Jar, Kind::Archive];
    }
    if !archive::is_archive_name(file) {
        return Vec::new();
    }
    if extension == "tar" && oci::is_image_tar(file) {
        return vec![Kind::Oci, Kind::Archive];
    }
    vec![Kind::Archive]
}
