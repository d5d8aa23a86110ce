//! Capstan's layout: what files are, by their names.
//!
//! ```text
//! packages/NAME.mpm + NAME.yaml            a package and its manifest
//! NAME.mpm.x86_64 + NAME.yaml              the same, as OSv's releases have it
//! [NAMESPACE/]IMAGE/IMAGE.qemu.gz + index.yaml
//! osv-loader.qemu[.x86_64] + index.yaml    the loader, which disks begin with
//! loader.elf.x86_64, osv-loader.elf.x86_64 the kernel, for direct boot
//! ….gz                                     any of them, compressed
//! ….minisig                                the signature of the file beside it
//! ```

use std::collections::HashMap;

use super::RemoteFile;
use crate::EntryKind;

const ARCHITECTURES: [&str; 3] = ["x86_64", "aarch64", "arm64"];

/// A file that means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// Which of the files it is.
    pub(crate) file: usize,
    /// Which of them describes it: a manifest of a package, an index of all else.
    pub(crate) description: Option<usize>,
    /// Which of them is its signature.
    pub(crate) signature: Option<usize>,
    pub(crate) kind: EntryKind,
    pub(crate) name: String,
    pub(crate) architecture: Option<String>,
}

/// What of these files means something.
pub(crate) fn drafts(files: &[RemoteFile]) -> Vec<Draft> {
    let by_path: HashMap<&str, usize> = files
        .iter()
        .enumerate()
        .map(|(at, file)| (file.path.as_str(), at))
        .collect();
    let drafts = files.iter().enumerate().filter_map(|(at, file)| {
        let (folder, leaf) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let (kind, stem, architecture) = meaning(leaf)?;
        let beside = |name: &str| {
            let path = if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            };
            by_path.get(path.as_str()).copied()
        };
        let description = match kind {
            EntryKind::Package => beside(&format!("{stem}.yaml")),
            _ => beside("index.yaml"),
        };
        // An image is called by its folder, namespace and all, where that has its name.
        let called = folder.strip_prefix("repository/").unwrap_or(folder);
        let name = if kind != EntryKind::Package && called.rsplit('/').next() == Some(stem) {
            called
        } else {
            stem
        };
        Some(Draft {
            file: at,
            description,
            signature: beside(&format!("{leaf}.minisig")),
            kind,
            name: name.to_owned(),
            architecture,
        })
    });
    drafts.collect()
}

/// What a file is by its name, the name without what says that, and the machine it is for.
fn meaning(leaf: &str) -> Option<(EntryKind, &str, Option<String>)> {
    let leaf = leaf.strip_suffix(".gz").unwrap_or(leaf);
    let (leaf, architecture) = ARCHITECTURES
        .iter()
        .find_map(|name| {
            let rest = leaf.strip_suffix(name)?.strip_suffix('.')?;
            Some((rest, Some((*name).to_owned())))
        })
        .unwrap_or((leaf, None));
    let (stem, suffix) = leaf.rsplit_once('.')?;
    let kind = match suffix {
        "mpm" => EntryKind::Package,
        "qemu" if stem.starts_with("osv-loader") => EntryKind::Loader,
        "qemu" => EntryKind::Image,
        "elf" => EntryKind::Kernel,
        _ => return None,
    };
    (!stem.is_empty() && !stem.starts_with('.')).then_some((kind, stem, architecture))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Locator;
    use proptest::prelude::*;

    fn files(paths: &[&str]) -> Vec<RemoteFile> {
        let file = |path: &&str| RemoteFile {
            path: (*path).to_owned(),
            locator: Locator::at(*path),
            size_bytes: None,
            digest: None,
            stamp: None,
            version: None,
            created: None,
        };
        paths.iter().map(file).collect()
    }

    #[test]
    fn files_are_what_capstan_takes_them_for() {
        let files = files(&[
            "packages/osv.cli.mpm",
            "packages/osv.cli.yaml",
            "packages/osv.cli.mpm.minisig",
            "packages/lonely.mpm",
            "mike/osv-loader/index.yaml",
            "mike/osv-loader/osv-loader.qemu.gz",
            "v0.57.0/osv-loader.qemu.x86_64",
            "v0.57.0/osv-loader-hidden.qemu.x86_64.gz",
            "v0.57.0/loader-hidden.elf.x86_64.gz",
            "v0.57.0/index.yaml",
            "v0.57.0/osv.httpserver-api.mpm.x86_64",
            "v0.57.0/osv.httpserver-api.yaml",
            "cloudius/osv-base/osv-base.qemu.gz",
            "v0.57.0/osv-version",
            ".mpm",
            "README.md",
        ]);
        let named = |at: Option<usize>| at.map_or("-", |at| &files[at].path);
        let lines = drafts(&files).into_iter().map(|draft| {
            format!(
                "{:?} {} {} <- {} + {} + {}",
                draft.kind,
                draft.name,
                draft.architecture.as_deref().unwrap_or("any"),
                named(Some(draft.file)),
                named(draft.description),
                named(draft.signature),
            )
        });
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
        Package osv.cli any <- packages/osv.cli.mpm + packages/osv.cli.yaml + packages/osv.cli.mpm.minisig
        Package lonely any <- packages/lonely.mpm + - + -
        Loader mike/osv-loader any <- mike/osv-loader/osv-loader.qemu.gz + mike/osv-loader/index.yaml + -
        Loader osv-loader x86_64 <- v0.57.0/osv-loader.qemu.x86_64 + v0.57.0/index.yaml + -
        Loader osv-loader-hidden x86_64 <- v0.57.0/osv-loader-hidden.qemu.x86_64.gz + v0.57.0/index.yaml + -
        Kernel loader-hidden x86_64 <- v0.57.0/loader-hidden.elf.x86_64.gz + v0.57.0/index.yaml + -
        Package osv.httpserver-api x86_64 <- v0.57.0/osv.httpserver-api.mpm.x86_64 + v0.57.0/osv.httpserver-api.yaml + -
        Image cloudius/osv-base any <- cloudius/osv-base/osv-base.qemu.gz + - + -
        ");
    }

    proptest! {
        #[test]
        fn no_names_make_it_panic(paths in proptest::collection::vec("(/|\\.|mpm|gz|qemu|elf|x86_64|a|é){0,8}", 0..20)) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let _ = drafts(&files(&paths));
        }
    }
}
