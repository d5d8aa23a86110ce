//! From an entry to a file that may be used.
//!
//! ```text
//!   FOLDER/.windlass-0f2b….part         what came so far           locked while it is written
//!   FOLDER/.windlass-0f2b….part.json    what it is of: place, validator, length
//!
//!   part of an earlier try ── digested again ──┐
//!                                              v
//!   open at its end ──> chunks ──> writer: file and SHA-256 ──> all there? ──> the registry's digest
//!        ^                │                                        │            ──> signature
//!        └── cut, stalled, held: the part stays ───────────────────┘            ──> Trust
//!                                                                               ──> unpack .gz ──> NAME
//! ```
//!
//! What was taken up from an earlier try and then does not agree is fetched once more from the beginning; what came in one
//! go and does not agree is thrown away with an error. A part whose server gives nothing to recognise the file by is
//! kept only where the registry's digest will tell.

pub(crate) mod file;
mod part;
mod transfer;
mod verify;

use std::path::{Path, PathBuf};

use crate::kinds::Kind;
use crate::{Control, Entry, Error, Limits, Progress, RegistryConfig, Sha256, Trust};

use self::part::Part;
pub(crate) use self::verify::{public_key, wrong_key};

/// A file that was fetched, and is what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file, unpacked where it came as `.gz`: in a folder of its own, for another process may fetch the same.
    pub path: PathBuf,
    /// The digest of what was transferred.
    pub sha256: Sha256,
    /// The bytes of the file at `path`.
    pub size_bytes: u64,
    /// Whether what was transferred was unpacked.
    pub unpacked: bool,
    /// The trusted comment of its signature, where the registry has a key.
    pub signature: Option<String>,
    /// Whether its digest was seen for the first time.
    pub first_seen: bool,
}

impl Fetched {
    /// Removes the file, or what is left where it was. What cannot be removed is cleaned up with other downloads.
    pub fn discard(self) {
        if let Some(folder) = self.path.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// All that a fetch needs to know.
pub(crate) struct Job<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) config: &'a RegistryConfig,
    pub(crate) limits: &'a Limits,
    pub(crate) entry: &'a Entry,
    /// Whether the file gets a folder of its own: two that fetch the same do not take it from each other then.
    pub(crate) apart: bool,
    pub(crate) control: &'a Control,
    pub(crate) progress: &'a dyn Progress,
}

impl Job<'_> {
    /// Fetches into a folder.
    pub(crate) async fn run(&self, folder: &Path, trust: &dyn Trust) -> Result<Fetched, Error> {
        let (identity, key) = (self.config.identity(), self.entry.trust_key());
        let known = trust.known(&identity, &key);
        if let (Some(known), Some(found)) = (known, self.entry.digest)
            && known != found
        {
            return Err(self.replaced(known, found));
        }
        if self
            .entry
            .size_bytes
            .is_some_and(|size| size > self.limits.file_bytes)
        {
            return Err(self.too_large());
        }
        let signature = verify::signature(self).await?;
        let expected = self.entry.digest.or(known);

        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|source| Error::io("create", folder, source))?;
        let mut part = Part::open(folder, &format!("{identity} {key}"))?;
        self.progress.step(&format!("Fetching {}", self.entry.name));
        let outcome = transfer::run(self, &mut part, expected).await;
        let mut got = match outcome {
            Ok(got) => got,
            Err(error) => {
                if part.len()? == 0 {
                    part.remove()?;
                }
                return Err(error);
            }
        };
        if got.resumed
            && expected
                .or(got.said)
                .is_some_and(|expected| expected != got.sha256)
        {
            // What was kept may have been of another file; only the whole in one go is proof.
            tracing::info!(
                place = self.entry.locator.place,
                "what was kept does not fit; once more from the beginning"
            );
            part.clear()?;
            got = transfer::run(self, &mut part, expected).await?;
        }
        let verified = self.judge(&part, &got, known, signature).await;
        let comment = match verified {
            Ok(comment) => comment,
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) => {
                part.remove()?;
                return Err(error);
            }
        };
        let own = if self.apart {
            let made = tempfile::Builder::new()
                .prefix("fetched-")
                .tempdir_in(folder);
            Some(made.map_err(|source| Error::io("create a folder in", folder, source))?)
        } else {
            None
        };
        let into = own.as_ref().map_or(folder, |own| own.path());
        let path = into.join(self.entry.file_name());
        let unpacked = self.entry.is_gzipped();
        let size_bytes = if unpacked {
            self.progress
                .step(&format!("Unpacking {}", self.entry.name));
            match verify::unpack(self, &part, &path).await {
                Ok(size_bytes) => size_bytes,
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => {
                    part.remove()?;
                    return Err(error);
                }
            }
        } else {
            part.sync()?;
            got.size_bytes
        };
        if known.is_none() {
            trust.record(&identity, &key, got.sha256)?;
        }
        if unpacked {
            part.remove()?;
        } else {
            part.rename(&path)?;
        }
        if let Some(own) = own {
            file::sync_folder(folder)?;
            let _ = own.keep();
        }
        Ok(Fetched {
            path,
            sha256: got.sha256,
            size_bytes,
            unpacked,
            signature: comment,
            first_seen: known.is_none(),
        })
    }

    /// Whether what came is what it should be; the trusted comment of its signature.
    async fn judge(
        &self,
        part: &Part,
        got: &transfer::Got,
        known: Option<Sha256>,
        signature: Option<verify::Signature>,
    ) -> Result<Option<String>, Error> {
        let place = || self.entry.locator.place.clone();
        if let Some(expected) = self.entry.size_bytes
            && expected != got.size_bytes
        {
            return Err(Error::Length {
                place: place(),
                expected,
                found: got.size_bytes,
            });
        }
        for expected in [self.entry.digest, got.said].into_iter().flatten() {
            if expected != got.sha256 {
                return Err(Error::Digest {
                    place: place(),
                    expected,
                    found: got.sha256,
                });
            }
        }
        if let Some(known) = known
            && known != got.sha256
        {
            return Err(self.replaced(known, got.sha256));
        }
        match signature {
            Some(signature) => verify::check(self, part, signature).await.map(Some),
            None => Ok(None),
        }
    }

    fn replaced(&self, known: Sha256, found: Sha256) -> Error {
        Error::Replaced {
            registry: self.config.identity(),
            place: self.entry.trust_key(),
            known,
            found,
        }
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            place: self.entry.locator.place.clone(),
            limit_bytes: self.limits.file_bytes,
        }
    }
}
