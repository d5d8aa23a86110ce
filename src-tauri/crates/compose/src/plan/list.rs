//! One directory of a plan, for a tree that is unfolded step by step.

use windlass_image::GuestPath;

use super::{Entry, EntryKind, Plan, is_below};

/// One row of a directory's listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name; lossy where it is not UTF-8.
    pub name: String,
    /// Its path, with a leading `/`.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// The size of a file, or of all files below a directory.
    pub size_bytes: u64,
    /// The name of the layer that wins.
    pub layer: String,
    /// The names of the layers that it wins over, lowest first.
    pub overrides: Vec<String>,
    /// How many entries are directly in it.
    pub child_count: usize,
}

impl Plan {
    /// One directory, folders first, then by name; `None` where there is no such directory.
    pub fn list(&self, directory: &GuestPath) -> Option<Vec<Listed>> {
        if !directory.is_root() && self.get(directory)?.kind != EntryKind::Directory {
            return None;
        }
        let depth = directory.depth() + 1;
        let mut rows: Vec<Listed> = Vec::new();
        let first = match self.entries.find(directory) {
            Ok(place) => place + 1,
            Err(place) => place,
        };
        for (path, entry) in self
            .entries
            .iter_from(first)
            .take_while(|(path, _)| is_below(path, directory))
        {
            let depth_below = path.depth() - depth;
            if depth_below == 0 {
                rows.push(self.row(&path, &entry));
            } else if let Some(row) = rows.last_mut() {
                row.size_bytes += entry.size_bytes;
                row.child_count += usize::from(depth_below == 1);
            }
        }
        rows.sort_by_key(|row| row.kind != EntryKind::Directory);
        Some(rows)
    }

    fn row(&self, path: &GuestPath, entry: &Entry) -> Listed {
        let name = |layer: &usize| self.layers[*layer].name.clone();
        Listed {
            name: String::from_utf8_lossy(path.name()).into_owned(),
            path: path.to_string(),
            kind: entry.kind.clone(),
            size_bytes: entry.size_bytes,
            layer: name(&entry.layer),
            overrides: entry.overridden.iter().map(name).collect(),
            child_count: 0,
        }
    }
}
