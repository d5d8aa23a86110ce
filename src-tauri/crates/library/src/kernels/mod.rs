//! Guest kernels: added, listed, verified, removed.

use std::fs::File;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;
use windlass_guest::kernel::KernelForm;
use windlass_guest::{GuestOs, RootFs};

use crate::error::{Error, IoContext};
use crate::file::{copy_digesting, take_away};
use crate::library::{Library, Listing, UNFINISHED_PREFIX};

mod add;
mod osv;
pub(crate) mod record;

pub use osv::OsvKernel;

use record::{KERNEL_FILE, Record, modified_ns};

/// How many digits of a digest make an id.
pub(crate) const ID_DIGITS: usize = 16;

/// A guest kernel of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The first 16 digits of its digest; unique in the library.
    pub id: String,
    /// What boots from it.
    pub guest: GuestOs,
    /// Which sort of file it is.
    pub form: KernelForm,
    /// Its own version, such as `v0.57.0-398-g0e34e4dc` or `6.1.0-56-cloud-amd64`.
    pub version: Option<String>,
    /// The BLAKE3 digest of its file, in hexadecimal.
    pub digest: String,
    /// The size of its file, without modules.
    pub size_bytes: u64,
    /// The root file systems that it can mount; of a ZFS builder the one that it makes.
    pub root_file_systems: Vec<RootFs>,
    /// Whether it has the tools that make a ZFS file system.
    pub makes_zfs: bool,
    /// Its drivers beside the file, in load order; empty where they are built in.
    pub modules: Vec<String>,
    /// What it can run, as a sentence without a full stop.
    pub runs: String,
    /// When it was added, in seconds since 1970.
    pub added_at: u64,
    /// The file itself.
    pub path: PathBuf,
}

/// What a check of a kernel's file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelState {
    /// Size and time of change are those of when it was last digested.
    Unchanged,
    /// Its file was read, and the digest is right.
    Verified,
}

impl Library {
    /// All guest kernels: OSv before Linux, the newest version of each first.
    ///
    /// # Errors
    /// When the folder cannot be listed. A kernel that cannot be read is in [`Listing::broken`].
    pub fn kernels(&self) -> Result<Listing<Kernel>, Error> {
        let folder = self.kernels_folder();
        let mut listing = Listing::default();
        for entry in std::fs::read_dir(&folder).context("list", &folder)? {
            let entry = entry.context("list", &folder)?;
            let Ok(id) = entry.file_name().into_string() else {
                continue;
            };
            if id.starts_with(UNFINISHED_PREFIX) || !is_id_start(&id) {
                continue;
            }
            match Record::read(&entry.path()) {
                Ok(record) => listing.entries.push(record.into_kernel(&entry.path(), &id)),
                // It was removed while we looked.
                Err(Error::Io { .. }) if !entry.path().exists() => {}
                Err(error) => listing.broken.push(error),
            }
        }
        listing.entries.sort_by(|one, other| {
            let version =
                |kernel: &Kernel| version_key(kernel.version.as_deref().unwrap_or_default());
            (one.guest.cmp(&other.guest))
                .then_with(|| version(other).cmp(&version(one)))
                .then_with(|| other.added_at.cmp(&one.added_at))
                .then_with(|| one.id.cmp(&other.id))
        });
        Ok(listing)
    }

    /// The kernel with this id or digest, or with an id that begins so and no other does.
    ///
    /// # Errors
    /// [`Error::NoKernel`] where there is none, [`Error::Ambiguous`] where there are several, [`Error::Record`] where
    /// its record cannot be read.
    pub fn kernel(&self, id: &str) -> Result<Kernel, Error> {
        let no_kernel = || Error::NoKernel { id: id.to_owned() };
        if !is_id_start(id) {
            return Err(no_kernel());
        }
        let start = &id[..id.len().min(ID_DIGITS)];
        let folder = self.kernels_folder().join(start);
        if start.len() == ID_DIGITS && folder.is_dir() {
            let kernel = Record::read(&folder)?.into_kernel(&folder, start);
            return if kernel.digest.starts_with(id) {
                Ok(kernel)
            } else {
                Err(no_kernel())
            };
        }
        let mut found: Vec<Kernel> = self
            .kernels()?
            .entries
            .into_iter()
            .filter(|kernel| kernel.id.starts_with(id))
            .collect();
        match found.len() {
            0 => Err(no_kernel()),
            1 => Ok(found.remove(0)),
            count => Err(Error::Ambiguous {
                id: id.to_owned(),
                count,
            }),
        }
    }

    /// Removes a kernel.
    ///
    /// # Errors
    /// [`Error::NoKernel`], or when its folder cannot be removed.
    pub fn remove_kernel(&self, id: &str) -> Result<(), Error> {
        let _lock = self.lock(&CancellationToken::new())?;
        let folder = match self.kernel(id) {
            Ok(kernel) => self.kernels_folder().join(kernel.id),
            // A damaged one can be removed by its whole id.
            Err(Error::Record { .. } | Error::Io { .. }) => {
                self.kernels_folder().join(&id[..id.len().min(ID_DIGITS)])
            }
            Err(error) => return Err(error),
        };
        take_away(&folder)
    }

    /// Checks that a kernel's file is what was added. Size and time of change are enough where they are those of the
    /// last time; `full` reads it all the same.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the digest is another; I/O errors.
    pub fn verify_kernel(&self, id: &str, full: bool) -> Result<KernelState, Error> {
        let id = self.kernel(id)?.id;
        let (state, modified_ns) = self.check_kernel(&id, full)?;
        if state == KernelState::Verified
            && let Err(error) = self.record_seen(&id, modified_ns)
        {
            // It only saves the next one the reading.
            tracing::debug!(%error, "the check was not recorded");
        }
        Ok(state)
    }

    /// The check alone; gives the time of change of the file that was checked.
    fn check_kernel(&self, id: &str, full: bool) -> Result<(KernelState, Option<u64>), Error> {
        let folder = self.kernels_folder().join(id);
        let record = Record::read(&folder)?;
        let path = folder.join(KERNEL_FILE);
        let mut file = File::open(&path).context("read", &path)?;
        let metadata = file.metadata().context("read", &path)?;
        let modified_ns = modified_ns(&metadata);
        let is_as_seen = metadata.len() == record.size_bytes
            && modified_ns.is_some()
            && modified_ns == record.seen_modified_ns;
        if is_as_seen && !full {
            return Ok((KernelState::Unchanged, modified_ns));
        }
        let (digest, _) = copy_digesting(
            &mut file,
            &path,
            &mut std::io::sink(),
            Path::new("/dev/null"),
            &mut |_| (),
            &CancellationToken::new(),
        )?;
        let found = digest.to_hex().to_string();
        if found != record.digest {
            return Err(Error::Damaged {
                id: id.to_owned(),
                path,
                found,
                expected: record.digest,
            });
        }
        Ok((KernelState::Verified, modified_ns))
    }

    /// Notes the time of change of a file whose digest was right. Another writer may have given the kernel modules
    /// meanwhile: the record is read again, under the lock.
    fn record_seen(&self, id: &str, modified_ns: Option<u64>) -> Result<(), Error> {
        // Not worth waiting for.
        let at_once = CancellationToken::new();
        at_once.cancel();
        let _lock = self.lock(&at_once)?;
        let folder = self.kernels_folder().join(id);
        let mut record = Record::read(&folder)?;
        if record.seen_modified_ns != modified_ns {
            record.seen_modified_ns = modified_ns;
            record.write(&folder)?;
        }
        Ok(())
    }
}

/// Whether a text can begin an id or digest; nothing else may become part of a path.
fn is_id_start(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 2 * blake3::OUT_LEN
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Orders versions by their numbers: `6.1.0-56` after `6.1.0-9`.
fn version_key(version: &str) -> Vec<(u64, String)> {
    let mut key = Vec::new();
    let mut rest = version.trim_start_matches('v');
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest[..digits]
            .parse()
            .unwrap_or(if digits > 0 { u64::MAX } else { 0 });
        rest = &rest[digits..];
        let words = rest
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(rest.len());
        key.push((number, rest[..words].to_owned()));
        rest = &rest[words..];
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let mut versions = [
            "6.1.0-9-cloud-amd64",
            "v0.57.0-398-g0e34e4dc",
            "6.1.0-56-cloud-amd64",
            "v0.57.0",
            "6.12.1",
            "",
        ];
        versions.sort_by_key(|version| version_key(version));
        assert_eq!(
            versions,
            [
                "",
                "v0.57.0",
                "v0.57.0-398-g0e34e4dc",
                "6.1.0-9-cloud-amd64",
                "6.1.0-56-cloud-amd64",
                "6.12.1"
            ]
        );
    }

    #[test]
    fn only_digits_of_a_digest_can_begin_an_id() {
        for id in ["", "..", "3F", "3f/..", "kernels", &"a".repeat(65)] {
            assert!(!is_id_start(id), "{id}");
        }
        assert!(is_id_start("3f9a"));
    }
}
