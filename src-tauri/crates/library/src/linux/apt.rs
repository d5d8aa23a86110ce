//! The distribution's package manager, as far as anybody may use it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_util::sync::CancellationToken;
use windlass_package::helper::Output;

use super::child;
use super::error::AptError;
use crate::error::{Error, IoContext};
use crate::progress::{Progress, Step};

/// The names that stand for a distribution's newest kernel, the smallest kernel first.
const KERNEL_NAMES: [&str; 5] = [
    "linux-image-cloud-amd64",
    "linux-image-kvm",
    "linux-image-virtual",
    "linux-image-amd64",
    "linux-image-generic",
];

/// How to reach the distribution's package manager; [`Default`] takes the programs of the search path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apt {
    /// The program `apt-get`.
    pub apt_get: PathBuf,
    /// The program `apt-cache`.
    pub apt_cache: PathBuf,
    /// Put before the arguments of both, such as `-o`, `Dir::State=…`.
    pub options: Vec<String>,
}

impl Default for Apt {
    fn default() -> Self {
        Self {
            apt_get: "apt-get".into(),
            apt_cache: "apt-cache".into(),
            options: Vec::new(),
        }
    }
}

/// The package that holds the kernel, found without downloading anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinuxPackage {
    /// Its name, such as `linux-image-6.1.0-56-cloud-amd64`.
    pub name: String,
    /// The package that holds the modules, where it is another.
    pub modules: Option<String>,
}

impl LinuxPackage {
    /// Its package, and that of the modules.
    pub(super) fn names(&self) -> Vec<&str> {
        [Some(self.name.as_str()), self.modules.as_deref()]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl Apt {
    /// Finds the package of the distribution's newest cloud kernel.
    ///
    /// # Errors
    /// [`AptError::NoApt`]; [`AptError::NoLists`] where apt knows no kernel.
    pub fn find_linux(&self, cancel: &CancellationToken) -> Result<LinuxPackage, Error> {
        for name in KERNEL_NAMES {
            let depends = self.depends(name, cancel)?;
            let Some(image) = depends
                .into_iter()
                .find(|name| is_kernel(name, "linux-image-"))
            else {
                continue;
            };
            let depends = self.depends(&image, cancel)?;
            let modules = depends
                .into_iter()
                .find(|name| is_kernel(name, "linux-modules-"));
            return Ok(LinuxPackage {
                name: image,
                modules,
            });
        }
        Err(AptError::NoLists {
            names: KERNEL_NAMES.map(str::to_owned).to_vec(),
        }
        .into())
    }

    /// The names of the packages that a package depends on; empty where it is not known.
    fn depends(&self, name: &str, cancel: &CancellationToken) -> Result<Vec<String>, Error> {
        let mut command = Command::new(&self.apt_cache);
        command.args(&self.options).args(["depends", name]);
        let output = child::run(&mut command, &mut || (), cancel)?;
        Ok(parse_depends(&output.stdout))
    }

    /// Downloads the packages into a folder, and gives their files there.
    pub(crate) fn download(
        &self,
        names: &[&str],
        folder: &Path,
        progress: &mut dyn FnMut(Progress),
        cancel: &CancellationToken,
    ) -> Result<Vec<PathBuf>, Error> {
        let first = names.first().copied().unwrap_or_default();
        let command = || {
            let mut command = Command::new(&self.apt_get);
            command.current_dir(folder).args(&self.options).args([
                "-o",
                "Acquire::Retries=2",
                "-o",
                "Acquire::http::Timeout=30",
                "-qq",
                "download",
            ]);
            command
        };
        let uris = child::run(
            command().arg("--print-uris").args(names),
            &mut || (),
            cancel,
        )?;
        check(&uris, first)?;
        let total_bytes = parse_sizes(&uris.stdout);
        let mut tick = || {
            let done_bytes = folder_bytes(folder);
            progress(Progress {
                step: Step::Download,
                done_bytes,
                total_bytes,
            });
        };
        let output = child::run(command().args(names), &mut tick, cancel)?;
        check(&output, first)?;

        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).context("list", folder)? {
            let path = entry.context("list", folder)?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                files.push(path);
            }
        }
        if files.len() < names.len() {
            let command = format!("apt-get download {}", names.join(" "));
            let said = "it ended well, but left no package file".to_owned();
            return Err(AptError::Failed { command, said }.into());
        }
        files.sort();
        Ok(files)
    }
}

/// Whether a package is a kernel of a certain version, and not a name that stands for one.
fn is_kernel(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

/// Reads the answer of `apt-cache depends`: lines such as `  Depends: NAME` or ` |Depends: NAME`.
fn parse_depends(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim_start_matches([' ', '|']);
            line.strip_prefix("Depends: ")
                .or_else(|| line.strip_prefix("PreDepends: "))
        })
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.starts_with('<'))
        .collect()
}

/// Adds up the third word of lines such as `'http://…' NAME.deb 26713492 SHA256:…`.
fn parse_sizes(text: &str) -> Option<u64> {
    let sizes: Option<Vec<u64>> = text
        .lines()
        .filter(|line| line.starts_with('\''))
        .map(|line| line.split_whitespace().nth(2)?.parse().ok())
        .collect();
    sizes
        .filter(|sizes| !sizes.is_empty())
        .map(|sizes| sizes.iter().sum())
}

/// The bytes of all files in a folder, as far as they can be seen.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// Makes an error in words of what apt says when it fails.
fn check(output: &Output, package: &str) -> Result<(), AptError> {
    if output.status.success() {
        return Ok(());
    }
    Err(explain(&output.stderr, package))
}

fn explain(stderr: &str, package: &str) -> AptError {
    const NO_SPACE: [&str; 3] = ["No space left", "enough free space", "Disk quota exceeded"];
    const UNKNOWN: [&str; 3] = [
        "Unable to locate package",
        "No packages found",
        "Can't find a source",
    ];
    const OUT_OF_DATE: [&str; 3] = ["404", "Hash Sum mismatch", "File has unexpected size"];
    const OFFLINE: [&str; 8] = [
        "Temporary failure resolving",
        "Could not resolve",
        "Something wicked happened resolving",
        "Could not connect",
        "Unable to connect",
        "Connection failed",
        "Connection timed out",
        "Network is unreachable",
    ];
    let said: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("E:") || line.starts_with("Err"))
        .collect();
    let said = if said.is_empty() {
        stderr.trim().to_owned()
    } else {
        said.join("\n")
    };
    let says = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    if says(&NO_SPACE) {
        AptError::NoSpace { said }
    } else if says(&UNKNOWN) {
        AptError::NoLists {
            names: vec![package.to_owned()],
        }
    } else if says(&OUT_OF_DATE) {
        AptError::OutOfDate {
            package: package.to_owned(),
            said,
        }
    } else if says(&OFFLINE) {
        AptError::Offline { said }
    } else {
        AptError::Failed {
            command: format!("apt-get download {package}"),
            said,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_found_behind_the_names_that_stand_for_it() {
        let debian = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(parse_depends(debian), ["linux-image-6.1.0-56-cloud-amd64"]);
        let ubuntu = "linux-image-6.8.0-31-generic\n  PreDepends: <kmod>\n |Depends: linux-base\n  \
                      Depends: linux-modules-6.8.0-31-generic\n  Conflicts: linux-image-unsigned-6.8.0-31-generic\n";
        let modules: Vec<String> = parse_depends(ubuntu)
            .into_iter()
            .filter(|name| is_kernel(name, "linux-modules-"))
            .collect();
        assert_eq!(modules, ["linux-modules-6.8.0-31-generic"]);
        assert!(!is_kernel("linux-image-generic-hwe-22.04", "linux-image-"));
    }

    #[test]
    fn sizes_are_added_up() {
        let uris = "'http://server/a.deb' a.deb 26713492 SHA256:00\n'http://server/b.deb' b.deb 8 SHA256:00\n";
        assert_eq!(parse_sizes(uris), Some(26_713_500));
        assert_eq!(parse_sizes("E: nothing"), None);
    }

    #[test]
    fn what_apt_says_becomes_an_error_with_a_remedy() {
        let transcript: Vec<String> = [
            "E: Failed to fetch http://server/pool/l.deb  Temporary failure resolving 'server'\nE: Some files failed to download",
            "E: Failed to fetch http://server/pool/l.deb  404  Not Found [IP: 127.0.0.1 80]",
            "E: Unable to locate package linux-image-6.1",
            "E: You don't have enough free space in /tmp/x.",
            "E: Sub-process broke",
        ]
        .iter()
        .map(|stderr| {
            let error = explain(stderr, "linux-image-6.1");
            format!("{error}\n  hint: {}", error.hint().unwrap_or_default())
        })
        .collect();
        insta::assert_snapshot!(transcript.join("\n"), @"
        the distribution's servers could not be reached
          hint: Check the network connection and the proxy settings of apt, then try again, or add a Linux kernel from a file.
        the package lists are out of date: the server no longer has linux-image-6.1
          hint: Run `sudo apt-get update`, then try again.
        apt knows none of the kernel packages linux-image-6.1
          hint: Run `sudo apt-get update` to get the lists of packages, then try again.
        there is not enough disk space to fetch the kernel
          hint: Free some 200 MB, then try again.
        apt-get download linux-image-6.1 failed: E: Sub-process broke
          hint: Run the command in a terminal to see all that it says, or add a Linux kernel from a file.
        ");
    }
}
