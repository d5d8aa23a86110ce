//! Two views of an appliance's merged tree: who lies over whom, and where the bytes are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use windlass_compose as compose;

use super::{Conflict, ConflictLoser, SizeNode};
use crate::Workshop;
use crate::appliances::Composition;
use crate::error::Result;

/// The most conflicts that are told.
const CONFLICTS_MOST: usize = 10_000;
/// The most nodes of a size map.
const SIZE_NODES_MOST: usize = 2_000;
/// The most children of one node of it; the others are taken together.
const CHILDREN_MOST: usize = 60;
/// Files that are larger than this are not compared byte by byte.
const COMPARED_MOST_BYTES: u64 = 64 << 20;

impl Workshop {
    /// The paths that several layers have a file at.
    ///
    /// # Errors
    /// `NotFound`; `Input` when it cannot be composed.
    pub async fn conflicts(self: &Arc<Self>, id: &str) -> Result<Vec<Conflict>> {
        let composition = self.recent_composition(id).await?;
        crate::blocking(move || conflicts_of(&composition.plan)).await
    }

    /// Where the bytes of an image would be.
    ///
    /// # Errors
    /// `NotFound`; `Input` when it cannot be composed.
    pub async fn size_map(self: &Arc<Self>, id: &str) -> Result<SizeNode> {
        let composition = self.recent_composition(id).await?;
        crate::blocking(move || {
            let plan = &composition.plan;
            let files = plan
                .entries()
                .filter(|(_, entry)| entry.kind != compose::EntryKind::Directory)
                .map(|(path, entry)| {
                    let layer = plan.layers().get(entry.layer).map(|it| it.name.as_str());
                    let path = String::from_utf8_lossy(path.as_bytes()).into_owned();
                    (path, entry.size_bytes, layer.map(str::to_owned))
                });
            size_map(files)
        })
        .await
    }

    async fn recent_composition(self: &Arc<Self>, id: &str) -> Result<Arc<Composition>> {
        let workshop = Arc::clone(self);
        let record = self.appliance_record(id)?;
        crate::blocking(move || match workshop.plans.get(&record.id) {
            Some(composition) => Ok(composition),
            None => workshop.compose(&record, None, &CancellationToken::new()),
        })
        .await?
    }
}

/// The paths at which a file lies over another layer's.
pub(super) fn conflicts_of(plan: &compose::Plan) -> Vec<Conflict> {
    let layers = plan.layers();
    let name = |layer: usize| {
        layers
            .get(layer)
            .map(|layer| layer.name.clone())
            .unwrap_or_default()
    };
    plan.entries()
        .filter(|(_, entry)| {
            entry.kind != compose::EntryKind::Directory && !entry.overridden.is_empty()
        })
        .take(CONFLICTS_MOST)
        .map(|(path, entry)| {
            let inside = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
            let place = |layer: usize| -> Option<PathBuf> {
                let layer = layers.get(layer)?;
                (!layer.path.as_os_str().is_empty()).then(|| layer.path.join(inside))
            };
            let size = |layer: usize| {
                place(layer)
                    .and_then(|path| std::fs::symlink_metadata(path).ok())
                    .map_or(0, |metadata| metadata.len())
            };
            let winner = place(entry.layer);
            let same = entry
                .overridden
                .iter()
                .all(|layer| match (&winner, place(*layer)) {
                    (Some(one), Some(other)) => is_same(one, &other).unwrap_or(false),
                    _ => false,
                });
            Conflict {
                path: format!("/{}", inside.display()),
                winner: name(entry.layer),
                losers: entry
                    .overridden
                    .iter()
                    .map(|layer| ConflictLoser {
                        layer: name(*layer),
                        size_bytes: size(*layer),
                    })
                    .collect(),
                same,
            }
        })
        .collect()
}

/// Whether two files, or two links, say the same.
fn is_same(one: &Path, other: &Path) -> std::io::Result<bool> {
    let (first, second) = (
        std::fs::symlink_metadata(one)?,
        std::fs::symlink_metadata(other)?,
    );
    if first.is_symlink() && second.is_symlink() {
        return Ok(std::fs::read_link(one)? == std::fs::read_link(other)?);
    }
    let comparable = first.is_file()
        && second.is_file()
        && first.len() == second.len()
        && first.len() <= COMPARED_MOST_BYTES;
    if !comparable {
        return Ok(false);
    }
    let (mut one, mut other) = (
        BufReader::new(File::open(one)?).bytes(),
        BufReader::new(File::open(other)?).bytes(),
    );
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (first, second) if first != second => return Ok(false),
            _ => {}
        }
    }
}

/// A directory while the map grows.
#[derive(Debug, Default)]
struct Directory {
    size_bytes: u64,
    directories: BTreeMap<String, Directory>,
    files: Vec<(String, u64, Option<String>)>,
}

/// The map of files with their sizes and layers: the largest directories unfolded first.
fn size_map(files: impl Iterator<Item = (String, u64, Option<String>)>) -> SizeNode {
    let mut root = Directory::default();
    for (path, size_bytes, layer) in files {
        let mut at = &mut root;
        at.size_bytes += size_bytes;
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            at = at.directories.entry(part.to_owned()).or_default();
            at.size_bytes += size_bytes;
        }
        at.files.push((name.to_owned(), size_bytes, layer));
    }
    // Which directories are unfolded, decided from the largest on, so that the map fits.
    let mut unfolded = std::collections::HashSet::new();
    let mut waiting = BinaryHeap::from([(root.size_bytes, Reverse(String::new()))]);
    let mut nodes = 1;
    while let Some((_, Reverse(path))) = waiting.pop() {
        let Some(directory) = descend(&root, &path) else {
            continue;
        };
        let count = directory.directories.len() + directory.files.len();
        let count = count.min(CHILDREN_MOST + 1);
        if nodes + count > SIZE_NODES_MOST {
            continue;
        }
        nodes += count;
        for (name, child) in &directory.directories {
            waiting.push((child.size_bytes, Reverse(format!("{path}/{name}"))));
        }
        unfolded.insert(path);
    }
    node(&root, "/", "", &unfolded)
}

fn descend<'a>(root: &'a Directory, path: &str) -> Option<&'a Directory> {
    path.split('/')
        .filter(|part| !part.is_empty())
        .try_fold(root, |at, part| at.directories.get(part))
}

fn node(
    directory: &Directory,
    name: &str,
    path: &str,
    unfolded: &std::collections::HashSet<String>,
) -> SizeNode {
    let mut children: Vec<SizeNode> = Vec::new();
    if unfolded.contains(path) {
        children.extend(
            directory
                .directories
                .iter()
                .map(|(name, child)| node(child, name, &format!("{path}/{name}"), unfolded)),
        );
        children.extend(
            directory
                .files
                .iter()
                .map(|(name, size_bytes, layer)| SizeNode {
                    name: name.clone(),
                    path: format!("{path}/{name}"),
                    size_bytes: *size_bytes,
                    layer: layer.clone(),
                    children: Vec::new(),
                }),
        );
        children.sort_by(|a, b| {
            b.size_bytes
                .cmp(&a.size_bytes)
                .then_with(|| a.name.cmp(&b.name))
        });
        if children.len() > CHILDREN_MOST {
            let rest = children.split_off(CHILDREN_MOST);
            children.push(SizeNode {
                name: "…".to_owned(),
                path: path.to_owned(),
                size_bytes: rest.iter().map(|node| node.size_bytes).sum(),
                layer: None,
                children: Vec::new(),
            });
        }
    }
    SizeNode {
        name: name.to_owned(),
        path: if path.is_empty() { "/" } else { path }.to_owned(),
        size_bytes: directory.size_bytes,
        layer: None,
        children,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(node: &SizeNode) -> usize {
        1 + node.children.iter().map(count).sum::<usize>()
    }

    #[test]
    fn a_map_is_largest_first_and_adds_up() {
        let files = [
            ("usr/lib/libc.so", 300),
            ("usr/bin/app", 500),
            ("etc/hosts", 1),
        ];
        let map = size_map(
            files
                .into_iter()
                .map(|(path, size)| (path.to_owned(), size, Some("app".to_owned()))),
        );
        assert_eq!(map.size_bytes, 801);
        assert_eq!(map.children[0].path, "/usr");
        assert_eq!(map.children[0].children[0].name, "bin");
        assert_eq!(map.children[1].children[0].layer.as_deref(), Some("app"));
    }

    #[test]
    fn a_map_of_very_many_files_stays_small_and_loses_no_bytes() {
        let files = (0..300).flat_map(|folder| {
            (0..300).map(move |file| (format!("d{folder}/f{file}"), 1 + folder, None))
        });
        let total: u64 = (0..300).map(|folder| 300 * (1 + folder)).sum();
        let map = size_map(files);
        assert!(count(&map) <= SIZE_NODES_MOST + 1, "{}", count(&map));
        assert_eq!(map.size_bytes, total);
        let below: u64 = map.children.iter().map(|node| node.size_bytes).sum();
        assert_eq!(below, total);
        assert_eq!(map.children.last().unwrap().name, "…");
    }
}
