//! Paths as the guest sees them: raw bytes, relative to its root.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest path that a guest can name (Linux' and OSv's `PATH_MAX`, less the final NUL and the
/// leading slash that a [`GuestPath`] does not store).
const PATH_BYTES_MAX: usize = 4094;

/// A path inside a guest: `/`-separated components, without the leading `/`; the root is empty.
///
/// Names are bytes, because that is what Linux and OSv hold; most are UTF-8. No component is empty,
/// `.` or `..`, and none holds a NUL.
///
/// Paths are ordered by component, so that a directory is followed by all that is in it before its
/// next sibling: `a`, `a/b`, `a-b`.
///
/// A copy shares the bytes: a plan, its tree and its record hold each path once.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct GuestPath(Arc<[u8]>);

/// Why some bytes are not a path inside a guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Two slashes in a row, or one at the end.
    #[error("\"{path}\" has an empty component")]
    EmptyComponent {
        /// The refused path, as text.
        path: String,
    },
    /// `.` or `..`, which would lead elsewhere.
    #[error("\"{path}\" has the component \"{component}\"")]
    DotComponent {
        /// The refused path, as text.
        path: String,
        /// `.` or `..`.
        component: &'static str,
    },
    /// A NUL byte, which ends a name in every guest.
    #[error("\"{path}\" holds a NUL byte")]
    Nul {
        /// The refused path, as text, up to the NUL.
        path: String,
    },
    /// More bytes than a guest accepts as a path.
    #[error("the path is {found_bytes} bytes long, a guest takes {limit_bytes}: \"{start}…\"")]
    TooLong {
        /// The first bytes of the refused path, as text.
        start: String,
        /// The length of the path.
        found_bytes: usize,
        /// The longest one possible.
        limit_bytes: usize,
    },
}

impl GuestPath {
    /// The root directory.
    pub fn root() -> Self {
        Self::default()
    }

    /// Takes a path, with or without a leading `/`.
    ///
    /// # Errors
    /// [`PathError`] says what is wrong with the path.
    pub fn new(path: impl Into<Vec<u8>>) -> Result<Self, PathError> {
        let mut path = path.into();
        if path.first() == Some(&b'/') {
            path.remove(0);
        }
        if path.is_empty() {
            return Ok(Self::root());
        }
        let text = || String::from_utf8_lossy(&path).into_owned();
        if path.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong {
                start: String::from_utf8_lossy(&path[..64]).into_owned(),
                found_bytes: path.len(),
                limit_bytes: PATH_BYTES_MAX,
            });
        }
        for component in path.split(|&byte| byte == b'/') {
            match component {
                b"" => return Err(PathError::EmptyComponent { path: text() }),
                b"." => {
                    return Err(PathError::DotComponent {
                        path: text(),
                        component: ".",
                    });
                }
                b".." => {
                    return Err(PathError::DotComponent {
                        path: text(),
                        component: "..",
                    });
                }
                _ => {}
            }
        }
        if let Some(end) = path.iter().position(|&byte| byte == 0) {
            return Err(PathError::Nul {
                path: String::from_utf8_lossy(&path[..end]).into_owned(),
            });
        }
        Ok(Self(path.into()))
    }

    /// A path that was one before.
    pub(crate) fn known(path: &[u8]) -> Self {
        Self(path.into())
    }

    /// The path of `name` in this directory.
    ///
    /// # Errors
    /// [`PathError`] where `name` is not one valid component or the path gets too long.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        let is_plain = !name.is_empty()
            && !matches!(name, b"." | b"..")
            && !name.iter().any(|byte| matches!(byte, b'/' | 0))
            && self.0.len() + 1 + name.len() <= PATH_BYTES_MAX;
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.len());
        path.extend_from_slice(&self.0);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        if is_plain {
            return Ok(Self(path.into()));
        }
        if name.is_empty() || name.contains(&b'/') {
            return Err(PathError::EmptyComponent {
                path: format!("{self}/{}", String::from_utf8_lossy(name)),
            });
        }
        Self::new(path)
    }

    /// Where it is if the root is this folder of this computer.
    pub fn below(&self, folder: &Path) -> PathBuf {
        let text = OsStr::from_bytes(&self.0);
        let mut path = PathBuf::with_capacity(folder.as_os_str().len() + 1 + text.len());
        path.push(folder);
        path.push(text);
        path
    }

    /// Whether this is the root directory.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, without a leading `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        let start = self
            .0
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |slash| slash + 1);
        &self.0[start..]
    }

    /// The directory that this path is in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => Self(self.0[..slash].into()),
            None => Self::root(),
        })
    }

    /// The bytes of the directory that this path is in.
    pub(crate) fn parent_bytes(&self) -> &[u8] {
        let slash = self.0.iter().rposition(|&byte| byte == b'/');
        &self.0[..slash.unwrap_or(0)]
    }

    /// The components from the root down; none for the root itself.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty())
    }

    /// How many directories deep the path lies: 0 for the root, 1 for what is in it.
    pub fn depth(&self) -> usize {
        self.components().count()
    }
}

/// `/` sorts before every byte that a name can hold.
fn rank(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

impl GuestPath {
    /// Compares the bytes of two paths as the paths themselves are compared.
    pub fn compare(one: &[u8], other: &[u8]) -> Ordering {
        // Neighbours of a sorted tree have much in common: eight bytes at a time.
        let (ours, theirs) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
        let same = ours
            .iter()
            .zip(theirs)
            .take_while(|(ours, theirs)| ours == theirs);
        let start = 8 * same.count();
        match one[start..]
            .iter()
            .zip(&other[start..])
            .find(|(ours, theirs)| ours != theirs)
        {
            Some((&ours, &theirs)) => rank(ours).cmp(&rank(theirs)),
            None => one.len().cmp(&other.len()),
        }
    }
}

impl Ord for GuestPath {
    fn cmp(&self, other: &Self) -> Ordering {
        Self::compare(&self.0, &other.0)
    }
}

impl PartialOrd for GuestPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for GuestPath {
    /// Writes the path with its leading `/`; bytes that are not UTF-8 become `�`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"/{}\"", self.0.escape_ascii())
    }
}

impl TryFrom<&str> for GuestPath {
    type Error = PathError;

    fn try_from(path: &str) -> Result<Self, PathError> {
        Self::new(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GuestPath {
        GuestPath::new(text).unwrap()
    }

    #[test]
    fn a_directory_is_followed_by_its_content_before_its_siblings() {
        let mut paths = ["a-b", "a/b/c", "b", "a", "a/b", "a.b", "", "a/b-"].map(path);
        paths.sort();
        let sorted: Vec<String> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(
            sorted,
            ["/", "/a", "/a/b", "/a/b/c", "/a/b-", "/a-b", "/a.b", "/b"]
        );
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let refused = ["a//b", "a/", "//a", ".", "a/./b", "..", "a/../b", "a\0b"];
        let words: Vec<String> = refused
            .iter()
            .map(|path| GuestPath::new(*path).unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(words.join("\n"), @r#"
        "a//b" has an empty component
        "a/" has an empty component
        "/a" has an empty component
        "." has the component "."
        "a/./b" has the component "."
        ".." has the component ".."
        "a/../b" has the component ".."
        "a" holds a NUL byte
        "#);
        assert!(GuestPath::new(vec![b'x'; PATH_BYTES_MAX]).is_ok());
        let error = GuestPath::new(vec![b'x'; PATH_BYTES_MAX + 1]).unwrap_err();
        assert!(
            matches!(
                error,
                PathError::TooLong {
                    found_bytes: 4095,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_path_knows_its_parts() {
        let deep = path("/usr/lib/libc.so");
        assert_eq!(deep.name(), b"libc.so");
        assert_eq!(deep.parent(), Some(path("usr/lib")));
        assert_eq!(deep.depth(), 3);
        assert_eq!(
            deep.components().collect::<Vec<_>>(),
            [&b"usr"[..], b"lib", b"libc.so"]
        );
        assert_eq!(path("usr").parent(), Some(GuestPath::root()));
        assert_eq!(GuestPath::root().parent(), None);
        assert_eq!(GuestPath::root().depth(), 0);
        assert_eq!(
            GuestPath::root()
                .join(b"usr")
                .unwrap()
                .join(b"lib")
                .unwrap(),
            path("usr/lib")
        );
        assert!(path("usr").join(b"a/b").is_err());
        assert!(path("usr").join(b"..").is_err());
    }
}
