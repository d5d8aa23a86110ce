//! Layers are laid over each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_guest::{GuestOs, RootFs};
use windlass_image::GuestPath;
use windlass_image::spill::Sorted;
use windlass_package::Finding;
use windlass_package::boot::Script;
use windlass_package::closure::bound_at_load;

use super::{Entry, EntryKind, LayerSummary, Origin, Plan, is_below};
use crate::base::{self, Base};
use crate::error::{Error, IoContext};
use crate::layer::LayerKind;
use crate::scan::{ScannedKind, ScannedLayer};

/// The permission bits of what we make up.
const MADE_FILE: u32 = 0o644;
const MADE_DIRECTORY: u32 = 0o755;
const SYMLINK: u32 = 0o777;

/// Where the library lies that OSv's driver of ext4 calls.
const LWEXT4: &str = "usr/lib/liblwext4.so";
/// It is a quarter of a megabyte.
const LWEXT4_MAX_BYTES: u64 = 16 << 20;

/// What large plans lie in, in messages.
const TEMPORARY: &str = "a temporary file";

pub(super) fn compose(
    layers: Vec<ScannedLayer>,
    guest: GuestOs,
    root_fs: RootFs,
    scripts: &[Script],
) -> Result<Plan, Error> {
    let mut merge = Merge::default();
    merge.add_base(guest, root_fs)?;
    for layer in layers {
        merge.add_layer(layer)?;
    }
    merge.add_scripts(scripts)?;
    if guest == GuestOs::Osv {
        merge.bind_ext4()?;
    }
    Ok(Plan {
        guest,
        root_fs,
        layers: merge.layers,
        entries: merge.entries,
        findings: merge.findings,
    })
}

#[derive(Default)]
struct Merge {
    layers: Vec<LayerSummary>,
    entries: Sorted<Entry>,
    findings: Vec<Finding>,
}

impl Merge {
    fn add_base(&mut self, guest: GuestOs, root_fs: RootFs) -> Result<(), Error> {
        self.layers.push(LayerSummary {
            name: base::NAME.to_owned(),
            version: None,
            kind: LayerKind::Base,
            path: PathBuf::new(),
            file_count: 0,
            size_bytes: 0,
        });
        for (path, what) in base::base(guest, root_fs) {
            let path = made_path(path, base::NAME)?;
            let (kind, mode, origin) = match what {
                Base::Directory(mode) => (EntryKind::Directory, mode, Origin::None),
                Base::File(bytes) => (EntryKind::File, MADE_FILE, Origin::Made(bytes)),
                Base::Symlink(target) => (
                    EntryKind::Symlink {
                        target: target.into(),
                    },
                    SYMLINK,
                    Origin::None,
                ),
            };
            let entry = entry(kind, mode, origin, 0);
            self.count(&entry);
            self.entries.put(path, entry);
        }
        Ok(())
    }

    fn add_layer(&mut self, scanned: ScannedLayer) -> Result<(), Error> {
        let index = self.layers.len();
        let folder: Arc<Path> = scanned.layer.root.as_path().into();
        let layer = scanned.layer.clone();
        self.layers.push(LayerSummary {
            name: layer.name,
            version: layer.version,
            kind: layer.kind,
            path: layer.root,
            file_count: 0,
            size_bytes: 0,
        });
        let count = scanned.len();
        let mut found = scanned.into_entries();
        let entries = found.by_ref().map(|found| {
            let (kind, mode, origin) = match found.kind {
                ScannedKind::Directory => (EntryKind::Directory, found.mode, Origin::None),
                ScannedKind::Symlink { target } => {
                    (EntryKind::Symlink { target }, SYMLINK, Origin::None)
                }
                ScannedKind::File { stamp } => {
                    let folder = Arc::clone(&folder);
                    (EntryKind::File, found.mode, Origin::Host { folder, stamp })
                }
            };
            (found.path, entry(kind, mode, origin, index))
        });
        self.lay_over(entries, count)?;
        found.check().context("read", Path::new(TEMPORARY))
    }

    /// Lays entries, sorted as ours are, over what is there.
    fn lay_over(
        &mut self,
        new: impl Iterator<Item = (GuestPath, Entry)>,
        count: usize,
    ) -> Result<(), Error> {
        let old = std::mem::take(&mut self.entries);
        self.entries.reserve(old.len() + count);
        let mut all = old.into_iter();
        let mut old = all.by_ref().peekable();
        for (path, mut entry) in new {
            while let Some((there, below)) = old.next_if(|(there, _)| *there < path) {
                self.entries.push(there, below);
            }
            self.count(&entry);
            let Some((_, there)) = old.next_if(|(there, _)| *there == path) else {
                self.entries.push(path, entry);
                continue;
            };
            entry.lies_over(&there);
            match (&there.kind, &entry.kind) {
                (EntryKind::Directory, EntryKind::Directory) => {}
                (EntryKind::Directory, _) => {
                    let mut files = 0;
                    while let Some((_, gone)) = old.next_if(|(other, _)| is_below(other, &path)) {
                        files += usize::from(gone.kind != EntryKind::Directory);
                    }
                    self.took_directory_away(&path, &entry, files);
                }
                (_, EntryKind::Directory) => self.took_place(&path, &entry, &there),
                _ => {}
            }
            self.entries.push(path, entry);
        }
        for (path, entry) in old {
            self.entries.push(path, entry);
        }
        all.check().context("read", Path::new(TEMPORARY))
    }

    /// Lays the run scripts over all.
    fn add_scripts(&mut self, scripts: &[Script]) -> Result<(), Error> {
        let mut new: BTreeMap<GuestPath, Entry> = BTreeMap::new();
        for script in scripts {
            let path = made_path(&script.path, &script.package)?;
            // The last of that name: an appliance may be called as a package is.
            let layer = self
                .layers
                .iter()
                .rposition(|layer| layer.name == script.package);
            let layer = layer.unwrap_or(self.layers.len() - 1);
            if new.contains_key(&path) {
                self.lay_all_over(std::mem::take(&mut new))?;
            }
            let is_directory = |folder: &GuestPath| {
                let there = new.get(folder).cloned();
                let there = there.or_else(|| self.entries.get(folder));
                there.is_some_and(|there| there.kind == EntryKind::Directory)
            };
            if let Some(folder) = path.parent().filter(|folder| !folder.is_root())
                && !is_directory(&folder)
            {
                let made = entry(EntryKind::Directory, MADE_DIRECTORY, Origin::None, layer);
                new.insert(folder, made);
            }
            let origin = Origin::Made(script.content.as_bytes().into());
            new.insert(path, entry(EntryKind::File, MADE_FILE, origin, layer));
        }
        self.lay_all_over(new)
    }

    /// OSv's ext4 comes as a library, which must not call into the program: see [`bound_at_load`].
    fn bind_ext4(&mut self) -> Result<(), Error> {
        let path = made_path(LWEXT4, base::NAME)?;
        let Some(there) = self.entries.get(&path) else {
            return Ok(());
        };
        let Origin::Host { folder, .. } = &there.origin else {
            return Ok(());
        };
        if there.size_bytes > LWEXT4_MAX_BYTES {
            return Ok(());
        }
        let host = path.below(folder);
        let bytes = fs::read(&host).context("read", &host)?;
        let Some(bound) = bound_at_load(&bytes) else {
            return Ok(());
        };
        let made = Entry {
            origin: Origin::Made(bound.into()),
            ..there
        };
        // It lies in the place of the same file.
        self.layers[made.layer].file_count -= 1;
        self.layers[made.layer].size_bytes -= made.size_bytes;
        self.lay_all_over([(path, made)].into())
    }

    fn lay_all_over(&mut self, new: BTreeMap<GuestPath, Entry>) -> Result<(), Error> {
        match new.len() {
            0 => Ok(()),
            count => self.lay_over(new.into_iter(), count),
        }
    }

    /// Counts what a layer holds.
    fn count(&mut self, entry: &Entry) {
        if entry.kind != EntryKind::Directory {
            let layer = &mut self.layers[entry.layer];
            layer.file_count += 1;
            layer.size_bytes += entry.size_bytes;
        }
    }

    /// A directory takes the place of a file or symlink.
    fn took_place(&mut self, path: &GuestPath, entry: &Entry, old: &Entry) {
        let message = format!(
            "the folder of {} takes the place of a {} of {}",
            self.layers[entry.layer].name,
            word(&old.kind),
            self.layers[old.layer].name,
        );
        let remedy = match &old.kind {
            EntryKind::Symlink { target } => format!(
                "Move what is in it to {}, where the symlink points to",
                String::from_utf8_lossy(target)
            ),
            _ => "Rename one of the two".to_owned(),
        };
        self.findings.push(
            Finding::warning(message)
                .at(path.to_string())
                .remedy(remedy),
        );
    }

    /// A file or symlink takes the place of a folder: what was in it is gone.
    fn took_directory_away(&mut self, path: &GuestPath, by: &Entry, files: usize) {
        if files > 0 {
            let message = format!(
                "the {} of {} takes the place of a folder with {files} {}",
                word(&by.kind),
                self.layers[by.layer].name,
                if files == 1 { "file" } else { "files" },
            );
            let remedy = "Rename one of the two, or leave one out with a line in .capstanignore";
            self.findings.push(
                Finding::warning(message)
                    .at(path.to_string())
                    .remedy(remedy),
            );
        }
    }
}

impl Entry {
    /// Notes over whom it lies; two directories become one.
    fn lies_over(&mut self, old: &Self) {
        if old.kind == EntryKind::Directory && self.kind == EntryKind::Directory {
            return;
        }
        self.overridden.clone_from(&old.overridden);
        if old.layer != self.layer {
            self.overridden.push(old.layer);
        }
    }
}

fn made_path(path: &str, layer: &str) -> Result<GuestPath, Error> {
    GuestPath::new(path).map_err(|source| Error::Path {
        layer: layer.to_owned(),
        source,
    })
}

fn entry(kind: EntryKind, mode: u32, origin: Origin, layer: usize) -> Entry {
    let size_bytes = match &origin {
        Origin::None => 0,
        Origin::Made(bytes) => bytes.len() as u64,
        Origin::Host { stamp, .. } => stamp.size_bytes,
    };
    Entry {
        kind,
        size_bytes,
        mode,
        layer,
        overridden: Vec::new(),
        origin,
    }
}

fn word(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::Directory => "folder",
        EntryKind::File => "file",
        EntryKind::Symlink { .. } => "symlink",
    }
}
