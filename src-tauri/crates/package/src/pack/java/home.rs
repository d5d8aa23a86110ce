//! The Java runtimes of this computer.

use std::env;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::package::read_small_text;

/// A Java runtime of this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    pub folder: PathBuf,
    /// Such as `17.0.15`.
    pub version: String,
    pub major: u32,
    /// Whether `jlink` and `jdeps` are there.
    pub has_jdk: bool,
}

impl Home {
    /// A runtime that runs programs for this version: one with `jlink` where that is wished, and
    /// the one that is used here where there is a choice.
    pub fn find(needed: Option<u32>, prefer_jdk: bool) -> Result<Self, Error> {
        let homes = all();
        let fits = |home: &&Self| needed.is_none_or(|needed| home.major >= needed);
        let fitting = || homes.iter().filter(fits);
        let found = fitting()
            .find(|home| home.has_jdk == prefer_jdk || !prefer_jdk)
            .or_else(|| fitting().next());
        found.cloned().ok_or_else(|| {
            let (program, package) = match needed {
                Some(needed) => (
                    format!("Java {needed} or later"),
                    format!("openjdk-{needed}-jdk-headless"),
                ),
                None => ("Java".into(), "default-jdk-headless".into()),
            };
            Error::NoProgram {
                program,
                remedy: format!(
                    "Install it (Debian and Ubuntu: `sudo apt install {package}`), and try again."
                ),
            }
        })
    }

    /// A runtime of one of these versions, with `jlink`.
    pub fn find_jdk(versions: &RangeInclusive<u32>) -> Result<Self, Error> {
        let fits = |home: &Self| home.has_jdk && versions.contains(&home.major);
        all().into_iter().find(fits).ok_or_else(|| Error::NoProgram {
            program: format!("A Java development kit, version {} to {},", versions.start(), versions.end()),
            remedy: format!(
                "Install it (Debian and Ubuntu: `sudo apt install openjdk-{}-jdk-headless`), and try again.",
                versions.start()
            ),
        })
    }

    fn open(folder: &Path) -> Option<Self> {
        let folder = fs::canonicalize(folder).ok()?;
        let text = read_small_text(&folder.join("release")).ok()??;
        let version = text
            .lines()
            .find_map(|line| line.strip_prefix("JAVA_VERSION="))?
            .trim_matches('"')
            .to_owned();
        let mut numbers = version.split(['.', '_', '-']);
        let major = match numbers.next()?.parse().ok()? {
            1 => numbers.next()?.parse().ok()?,
            major => major,
        };
        let has = |name: &str| folder.join("bin").join(name).is_file();
        let (is_runtime, has_jdk) = (has("java"), has("jlink") && has("jdeps"));
        is_runtime.then_some(Self {
            folder,
            version,
            major,
            has_jdk,
        })
    }
}

/// The one that the environment names, that of the search path, and the distribution's.
fn all() -> Vec<Home> {
    let named = env::var_os("JAVA_HOME").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).find_map(|folder| {
        let program = fs::canonicalize(folder.join("java")).ok()?;
        Some(program.parent()?.parent()?.to_path_buf())
    });
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/jvm")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    installed.sort();
    let mut homes: Vec<Home> = Vec::new();
    for folder in named.into_iter().chain(on_path).chain(installed) {
        if let Some(home) = Home::open(&folder)
            && !homes.contains(&home)
        {
            homes.push(home);
        }
    }
    homes
}
