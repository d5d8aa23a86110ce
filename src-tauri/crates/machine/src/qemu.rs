//! The QEMU binary: where it is, and which one.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

use crate::error::{Error, Result};

/// The program's name on `PATH`.
const NAME: &str = "qemu-system-x86_64";
/// Places outside `PATH` where distributions put it.
const ELSEWHERE: [&str; 3] = [
    "/usr/libexec/qemu-kvm",
    "/opt/homebrew/bin/qemu-system-x86_64",
    "/usr/local/bin/qemu-system-x86_64",
];
/// `--version` reads a few libraries and prints two lines; on a very busy computer that may take a while.
const VERSION_TIMEOUT: Duration = Duration::from_secs(15);
/// What every QEMU's first line begins with.
const VERSION_PREFIX: &str = "QEMU emulator version ";

/// A QEMU system emulator for x86-64 that was found on this computer and said its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qemu {
    /// The binary.
    pub path: PathBuf,
    /// Its version, as it says it: `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`.
    pub version: String,
    /// When the binary was last changed, in seconds since 1970; with path and size, the key to remember a probe by.
    pub modified_at: u64,
    /// Its size.
    #[serde(default)]
    pub size_bytes: u64,
}

impl Qemu {
    /// Finds QEMU: at `path` where one is given, else by its name on `PATH`.
    ///
    /// # Errors
    /// [`Error::QemuMissing`], or [`Error::NotQemu`] if the program says something else.
    pub async fn find(path: Option<&Path>) -> Result<Self> {
        let path = match path {
            Some(path) if path.components().count() > 1 => path.to_owned(),
            Some(name) => search(env::var_os("PATH").as_deref(), name.as_os_str())?,
            None => search(env::var_os("PATH").as_deref(), OsStr::new(NAME))?,
        };
        let metadata = path.metadata().map_err(|_| Error::QemuMissing {
            looked_for: path.display().to_string(),
        })?;
        let modified_at = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |age| age.as_secs());
        let version = ask_version(&path).await?;
        Ok(Self {
            path,
            version,
            modified_at,
            size_bytes: metadata.len(),
        })
    }
}

/// Looks through a `PATH`, then through the places that are known besides.
fn search(path: Option<&OsStr>, name: &OsStr) -> Result<PathBuf> {
    let on_path = path
        .into_iter()
        .flat_map(env::split_paths)
        .map(|folder| folder.join(name));
    let known = ELSEWHERE.iter().map(PathBuf::from).filter(|_| name == NAME);
    on_path
        .chain(known)
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| Error::QemuMissing {
            looked_for: name.display().to_string(),
        })
}

async fn ask_version(path: &Path) -> Result<String> {
    let not_qemu = |found: String| Error::NotQemu {
        path: path.to_owned(),
        found,
    };
    let run = Command::new(path)
        .arg("--version")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(VERSION_TIMEOUT, run)
        .await
        .map_err(|_| not_qemu(format!("nothing within {} s", VERSION_TIMEOUT.as_secs())))?
        .map_err(|error| not_qemu(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).ok_or_else(|| {
        let said = text.lines().chain(["nothing"]).next().unwrap_or_default();
        not_qemu(said.chars().take(120).collect())
    })
}

fn parse_version(text: &str) -> Option<String> {
    let version = text.lines().next()?.strip_prefix(VERSION_PREFIX)?.trim();
    version
        .starts_with(|first: char| first.is_ascii_digit())
        .then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_distributions_print_them() {
        let table = [
            (
                "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright",
                Some("7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"),
            ),
            ("QEMU emulator version 10.1.0\n", Some("10.1.0")),
            ("qemu-img version 7.2.22\n", None),
            ("QEMU emulator version \n", None),
            ("", None),
        ];
        for (text, version) in table {
            assert_eq!(parse_version(text).as_deref(), version, "{text:?}");
        }
    }

    #[test]
    fn a_missing_qemu_says_what_was_looked_for_and_how_to_install_it() {
        let error = search(
            Some(OsStr::new("/nowhere:/neither")),
            OsStr::new("qemu-none"),
        )
        .unwrap_err();
        insta::assert_snapshot!(error, @"QEMU was not found: qemu-none");
        insta::assert_snapshot!(error.hint().unwrap(), @"Install it (Debian and Ubuntu: `apt install qemu-system-x86`), or name its path in the settings.");
    }
}
