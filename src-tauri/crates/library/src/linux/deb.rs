//! What is taken out of the package files of Debian and Ubuntu: the kernel, and some of its modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tar::EntryType;
use tokio_util::sync::CancellationToken;
use windlass_package::deb::{self, DebError};

use super::AptError;
use super::child::until;
use super::modules::{
    Module, Modules, WANTED, depends, in_load_order, missing, module_name, read_module,
};
use crate::error::{Error, IoContext};

/// No kernel is as large as this.
const KERNEL_BYTES_MAX: u64 = 256 << 20;

/// The list of drivers that are built in is a few kilobytes long.
const BUILTIN_BYTES_MAX: u64 = 4 << 20;

/// How often dependencies are followed by reading the packages again. Once suffices but for kernels yet unseen.
const PASSES_MAX: usize = 8;

/// What was taken out of package files.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// The kernel's file.
    pub(super) kernel: Option<PathBuf>,
    /// Its release, by the folder of its modules.
    pub(super) release: Option<String>,
    /// Its modules.
    pub(super) modules: Modules,
}

/// What is known while packages are read.
struct Search<'a> {
    folder: &'a Path,
    wanted: BTreeSet<String>,
    kernel: Option<PathBuf>,
    release: Option<String>,
    builtin: BTreeSet<String>,
    modules: BTreeMap<String, Module>,
}

/// Takes the kernel and the wanted modules out of package files, into a folder.
pub(super) fn unpack(
    packages: &[&Path],
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<Unpacked, Error> {
    let mut search = Search {
        folder,
        wanted: WANTED.iter().map(|name| (*name).to_owned()).collect(),
        kernel: None,
        release: None,
        builtin: BTreeSet::new(),
        modules: BTreeMap::new(),
    };
    for _ in 0..PASSES_MAX {
        let known = search.modules.len();
        for package in packages {
            search.read(package, cancel)?;
        }
        let missing = missing(&search.modules);
        if missing.is_empty() || search.modules.len() == known {
            break;
        }
        search.wanted.extend(missing);
    }
    if let Some(name) = missing(&search.modules).first() {
        return Err(Error::NotAKernelPackage {
            path: packages
                .first()
                .map_or_else(PathBuf::new, |path| path.to_path_buf()),
            found: format!("does not hold the module {name}, which others of it depend on"),
        });
    }
    Ok(Unpacked {
        kernel: search.kernel,
        release: search.release,
        modules: in_load_order(search.modules, &search.builtin),
    })
}

impl Search<'_> {
    /// Reads one package from its beginning to its end.
    fn read(&mut self, package: &Path, cancel: &CancellationToken) -> Result<(), Error> {
        deb::read(package, &mut until(cancel), |entry| {
            if entry.header().entry_type() != EntryType::Regular {
                return Ok(());
            }
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            self.take(&path, entry.size(), entry, package)
        })
    }

    /// Keeps a file if it is one of those that are looked for.
    fn take(
        &mut self,
        path: &str,
        size_bytes: u64,
        file: &mut impl Read,
        package: &Path,
    ) -> Result<(), Error> {
        let at_most = |limit_bytes: u64, what: &str| {
            if size_bytes <= limit_bytes {
                return Ok(());
            }
            Err(Error::NotAKernelPackage {
                path: package.to_path_buf(),
                found: format!(
                    "has {what} of {size_bytes} bytes, more than the {limit_bytes} that one may have"
                ),
            })
        };
        let path = path.trim_start_matches("./").trim_start_matches('/');
        if path.starts_with("boot/vmlinuz-") {
            if self.kernel.is_none() {
                at_most(KERNEL_BYTES_MAX, "a kernel")?;
                let kernel = self.folder.join("vmlinuz");
                let mut copy = File::create(&kernel).context("write", &kernel)?;
                std::io::copy(file, &mut copy).context("unpack", package)?;
                self.kernel = Some(kernel);
            }
            return Ok(());
        }
        let inside = path.strip_prefix("usr/").unwrap_or(path);
        let Some((release, inside)) = inside
            .strip_prefix("lib/modules/")
            .and_then(|inside| inside.split_once('/'))
        else {
            return Ok(());
        };
        self.release.get_or_insert_with(|| release.to_owned());
        if inside == "modules.builtin" {
            at_most(BUILTIN_BYTES_MAX, "a list of built-in modules")?;
            let mut list = String::new();
            file.read_to_string(&mut list).context("unpack", package)?;
            self.builtin
                .extend(list.lines().filter_map(module_name).map(|(name, _)| name));
            return Ok(());
        }
        let Some((name, compression)) = module_name(inside) else {
            return Ok(());
        };
        if !self.wanted.contains(&name) || self.modules.contains_key(&name) {
            return Ok(());
        }
        let bytes = read_module(file, compression).context("unpack a module of", package)?;
        let depends = depends(&bytes).map_err(|problem| Error::NotAKernelPackage {
            path: package.to_path_buf(),
            found: format!("has a damaged module {name}: {problem}"),
        })?;
        let file_name = format!("{name}.ko");
        let path = self.folder.join(&file_name);
        std::fs::write(&path, bytes).context("write", &path)?;
        self.modules.insert(
            name,
            Module {
                file_name,
                path,
                depends,
            },
        );
        Ok(())
    }
}

impl From<DebError> for Error {
    fn from(error: DebError) -> Self {
        let program = || deb::READER.to_owned();
        match error {
            DebError::NoReader => AptError::NoApt { program: program() }.into(),
            DebError::Start(source) => AptError::Start {
                program: program(),
                source,
            }
            .into(),
            DebError::Refused { path, said } => Self::NotAKernelPackage {
                path,
                found: format!("cannot be unpacked: {said}"),
            },
            DebError::Io { path, source } => Self::Io {
                doing: "unpack",
                path,
                source,
            },
            DebError::Cancelled => Self::Cancelled,
        }
    }
}
