//! Digests at first sight, verified ever after.
//!
//! ```text
//! github https://github.com/o/r<TAB>v1/app.mpm@1.2<TAB>9c1e…    one line each, in order
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::{Error, Sha256};

/// What remembers digests.
pub trait Trust: Send + Sync {
    /// The digest that was seen first. `registry` is [`RegistryConfig::identity`](crate::RegistryConfig::identity),
    /// `place` [`Entry::trust_key`](crate::Entry::trust_key).
    fn known(&self, registry: &str, place: &str) -> Option<Sha256>;

    /// Remembers a digest that was not known, or that a person accepts instead of the one that was.
    ///
    /// # Errors
    ///
    /// When it cannot be kept; the fetch fails then.
    fn record(&self, registry: &str, place: &str, digest: Sha256) -> Result<(), Error>;

    /// Forgets a digest: what comes next is taken as seen first.
    ///
    /// # Errors
    ///
    /// When that cannot be kept.
    fn forget(&self, registry: &str, place: &str) -> Result<(), Error>;
}

type Digests = BTreeMap<(String, String), Sha256>;

/// Digests in a file. Several processes may use it: it is read anew under a lock before it is written.
#[derive(Debug)]
pub struct TrustFile {
    path: PathBuf,
    digests: Mutex<Digests>,
}

impl TrustFile {
    /// Opens the file, which need not be there yet.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read, or a line of it is none of ours.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let digests = read(&path)?;
        Ok(Self {
            path,
            digests: Mutex::new(digests),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Digests)) -> Result<(), Error> {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = crate::fetch::file::lock(&beside(&self.path, ".lock"))?;
        let mut now = read(&self.path)?;
        change(&mut now);
        crate::fetch::file::write_whole(&self.path, render(&now).as_bytes())?;
        *digests = now;
        Ok(())
    }
}

impl Trust for TrustFile {
    fn known(&self, registry: &str, place: &str) -> Option<Sha256> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.get(&(clean(registry), clean(place))).copied()
    }

    fn record(&self, registry: &str, place: &str, digest: Sha256) -> Result<(), Error> {
        self.change(|digests| {
            digests.insert((clean(registry), clean(place)), digest);
        })
    }

    fn forget(&self, registry: &str, place: &str) -> Result<(), Error> {
        self.change(|digests| {
            digests.remove(&(clean(registry), clean(place)));
        })
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A field of a line has no tabs and line ends.
fn clean(text: &str) -> String {
    text.replace(|sign: char| sign.is_control(), "\u{fffd}")
}

fn read(path: &Path) -> Result<Digests, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Digests::new()),
        Err(source) => return Err(Error::io("read", path, source)),
    };
    parse(&text).map_err(|line| Error::Damaged {
        path: path.to_path_buf(),
        line,
    })
}

/// The digests of a file's text; the number of the line that is none of ours.
fn parse(text: &str) -> Result<Digests, usize> {
    let mut digests = Digests::new();
    for (at, line) in text.lines().enumerate() {
        let mut fields = line.split('\t');
        let (Some(registry), Some(place), Some(digest), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(at + 1);
        };
        let digest = digest.parse().map_err(|_| at + 1)?;
        digests.insert((registry.to_owned(), place.to_owned()), digest);
    }
    Ok(digests)
}

fn render(digests: &Digests) -> String {
    let mut text = String::new();
    for ((registry, place), digest) in digests {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{registry}\t{place}\t{digest}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_openings_of_a_file_see_what_each_other_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust");
        let (one, two) = (
            TrustFile::open(&path).unwrap(),
            TrustFile::open(&path).unwrap(),
        );
        one.record("http a", "x", Sha256::of(b"x")).unwrap();
        two.record("http a", "y\tz", Sha256::of(b"y")).unwrap();
        let three = TrustFile::open(&path).unwrap();
        assert_eq!(three.known("http a", "x"), Some(Sha256::of(b"x")));
        assert_eq!(three.known("http a", "y\tz"), Some(Sha256::of(b"y")));
        assert_eq!(three.known("http b", "x"), None);
        three.forget("http a", "x").unwrap();
        assert_eq!(TrustFile::open(&path).unwrap().known("http a", "x"), None);
        std::fs::write(&path, "what is this\n").unwrap();
        assert!(matches!(
            TrustFile::open(&path),
            Err(Error::Damaged { line: 1, .. })
        ));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_the_same(lines in proptest::collection::vec((".*", ".*", any::<[u8; 32]>()), 0..20)) {
            let digests: Digests = lines
                .into_iter()
                .map(|(registry, place, bytes)| ((clean(&registry), clean(&place)), Sha256::from_bytes(bytes)))
                .collect();
            prop_assert_eq!(parse(&render(&digests)), Ok(digests));
        }
    }
}
