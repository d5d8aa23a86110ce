//! Where a guest finds a path: behind links to folders.

use std::path::{Component, Path, PathBuf};

use super::Draft;
use crate::Error;
use crate::pack::plan::{Content, Entry};

/// A guest's own limit, so that links which lead in a circle end.
const SYMLINKS_MAX: usize = 40;

impl Draft {
    /// The path at which a guest would find this one: `..` and links to folders followed, the last
    /// name as it is. A file on the way is an error.
    pub fn settle(&self, guest: &Path) -> Result<PathBuf, Error> {
        let unsuitable = |found: &str| Error::Unsuitable {
            path: guest.to_path_buf(),
            found: found.to_owned(),
            remedy: "Leave it out.".into(),
        };
        let mut rest: Vec<std::ffi::OsString> = Vec::new();
        let push = |path: &Path, rest: &mut Vec<std::ffi::OsString>| {
            for component in path.components().rev() {
                match component {
                    Component::Normal(name) => rest.push(name.to_owned()),
                    Component::ParentDir => rest.push("..".into()),
                    _ => {}
                }
            }
        };
        push(guest, &mut rest);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            at.push(name);
            if rest.is_empty() {
                break;
            }
            match self.entries.get(&at).map(|entry| &entry.content) {
                Some(Content::Link(target)) => {
                    links += 1;
                    if links > SYMLINKS_MAX {
                        return Err(unsuitable("is behind links that lead in a circle"));
                    }
                    at.pop();
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    push(target, &mut rest);
                }
                Some(Content::Directory) | None => {}
                Some(_) => return Err(unsuitable("is in a folder that is a file, too")),
            }
        }
        if at == Path::new("/") {
            return Err(unsuitable("is no name of a file"));
        }
        Ok(at)
    }

    /// The entry that a guest finds at a path, links followed.
    pub fn follow(&self, guest: &Path) -> Option<&Entry> {
        let mut at = guest.to_path_buf();
        for _ in 0..SYMLINKS_MAX {
            let entry = self.entries.get(&self.settle(&at).ok()?)?;
            let Content::Link(target) = &entry.content else {
                return Some(entry);
            };
            at = entry.guest.parent().unwrap_or(Path::new("/")).join(target);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_through_links() {
        let mut draft = Draft::default();
        let link = |draft: &mut Draft, from: &str, to: &str| {
            draft.link(Path::new(from), Path::new(to), "").unwrap();
        };
        link(&mut draft, "/lib", "usr/lib");
        link(&mut draft, "/out", "../../etc");
        link(&mut draft, "/a", "b");
        link(&mut draft, "/b", "a");
        let settle = |path: &str| {
            draft
                .settle(Path::new(path))
                .map_err(|error| error.to_string())
        };
        insta::assert_debug_snapshot!(
            ["/lib/x.so", "/out/passwd", "/a/x", "/x/../../y", "/.."].map(settle)
        );
    }
}
