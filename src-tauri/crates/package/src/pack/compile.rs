//! Python's files, compiled once and for all.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use walkdir::WalkDir;

use super::Staging;
use crate::helper::{self, Failure};
use crate::{Error, Watch};

/// Compiling the standard library takes a second or two.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A folder of the package to be compiled by an interpreter of this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compile {
    pub interpreter: PathBuf,
    /// Where it is in the guest.
    pub folder: PathBuf,
}

impl Compile {
    /// Compiles: a guest that had to do it at each boot would take some seconds longer. What is
    /// compiled holds whatever the time of its source, which an image drops.
    ///
    /// It is no failure when that does not work: the guest then does it itself.
    pub fn run(&self, staging: &mut Staging, watch: &mut dyn Watch) -> Result<(), Error> {
        watch.step("Compiling Python's files");
        let within = staging
            .root()
            .join(self.folder.strip_prefix("/").unwrap_or(Path::new("")));
        let mut command = Command::new(&self.interpreter);
        let switches = ["-I", "-S", "-m", "compileall", "-q", "-j", "0"];
        command
            .args(switches)
            .args(["--invalidation-mode", "unchecked-hash", "-s"])
            .arg(staging.root())
            .args(["-p", "/"])
            .arg(&within);
        if let Err(Failure::Cancelled) = helper::run(&mut command, Some(TIMEOUT), watch) {
            return Err(Error::Cancelled);
        }
        let compiled = WalkDir::new(&within).into_iter().filter_map(Result::ok);
        let is_compiled =
            |entry: &walkdir::DirEntry| entry.path().extension().is_some_and(|kind| kind == "pyc");
        for entry in compiled.filter(is_compiled) {
            staging.file_count += 1;
            staging.size_bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        }
        Ok(())
    }
}
