//! Package files of Debian and Ubuntu.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tar::{Archive, EntryType};
use tokio_util::sync::CancellationToken;

use super::child::{Reaped, guarded, start_error};
use super::modules::{
    Module, Modules, WANTED, depends, in_load_order, missing, module_name, read_module,
};
use crate::error::{Error, IoContext};

/// No kernel is as large as this.
const KERNEL_BYTES_MAX: u64 = 256 << 20;

/// The list of drivers that are built in is a few kilobytes long.
const BUILTIN_BYTES_MAX: u64 = 4 << 20;

/// More of what `dpkg-deb` says than this is of no use.
const SAID_BYTES_MAX: u64 = 4096;

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
    cancel: &'a CancellationToken,
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
        cancel,
        wanted: WANTED.iter().map(|name| (*name).to_owned()).collect(),
        kernel: None,
        release: None,
        builtin: BTreeSet::new(),
        modules: BTreeMap::new(),
    };
    for _ in 0..PASSES_MAX {
        let known = search.modules.len();
        for package in packages {
            search.read(package)?;
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
    fn read(&mut self, package: &Path) -> Result<(), Error> {
        let mut command = Command::new("dpkg-deb");
        command
            .env("LC_ALL", "C")
            .arg("--fsys-tarfile")
            .arg(package);
        let mut command = guarded(&command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = Reaped(
            command
                .spawn()
                .map_err(|error| start_error(command.get_program(), error))?,
        );
        let stdout = child.0.stdout.take();
        let stderr = child.0.stderr.take();
        // It says a line or two at most, which never fills the pipe.
        let read = stdout.map_or(Ok(()), |stdout| self.read_tar(stdout, package));
        if matches!(read, Err(Error::Cancelled)) {
            return read;
        }
        let mut said = String::new();
        if let Some(stderr) = stderr {
            // It has ended, or ends now: nobody reads what it writes any more.
            let read = stderr.take(SAID_BYTES_MAX).read_to_string(&mut said);
            read.context("unpack", package)?;
        }
        let status = child.0.wait().context("unpack", package)?;
        // Its own words are better than ours about a stream that ended too soon. Killed, it says nothing: then it was us who
        // stopped reading, and know why.
        if let Some(line) = said.lines().next()
            && !status.success()
        {
            let line = line.trim().trim_start_matches("dpkg-deb: error: ");
            return Err(Error::NotAKernelPackage {
                path: package.to_path_buf(),
                found: format!("cannot be unpacked: {line}"),
            });
        }
        read
    }

    fn read_tar(&mut self, tar: impl Read, package: &Path) -> Result<(), Error> {
        let mut archive = Archive::new(tar);
        for entry in archive.entries().context("unpack", package)? {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let mut entry = entry.context("unpack", package)?;
            if entry.header().entry_type() != EntryType::Regular {
                continue;
            }
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            self.take(&path, &mut entry, package)?;
        }
        // An archive goes on behind its end. Who writes it would fail if nobody read that.
        let mut rest = archive.into_inner();
        let mut buffer = [0; 8192];
        while rest.read(&mut buffer).context("unpack", package)? > 0 {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }

    /// Keeps a file if it is one of those that are looked for.
    fn take(&mut self, path: &str, file: &mut impl Read, package: &Path) -> Result<(), Error> {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        if path.starts_with("boot/vmlinuz-") {
            if self.kernel.is_none() {
                let kernel = self.folder.join("vmlinuz");
                let mut copy = File::create(&kernel).context("write", &kernel)?;
                std::io::copy(&mut file.take(KERNEL_BYTES_MAX), &mut copy)
                    .context("unpack", package)?;
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
            let mut list = String::new();
            file.take(BUILTIN_BYTES_MAX)
                .read_to_string(&mut list)
                .context("unpack", package)?;
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
