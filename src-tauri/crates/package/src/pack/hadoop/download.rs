//! The archive that Hadoop is in, fetched by pip, which knows this computer's proxies and mirrors.
//!
//! pip asks a source archive for its name and version by running its `setup.py`. It is given another back end
//! (`metadata.py`), which reads them: nothing of the archive runs here.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use walkdir::WalkDir;

use super::Source;
use crate::error::IoContext;
use crate::helper;
use crate::pack::interpreter;
use crate::{Error, Watch};

const BACK_END: &str = include_str!("metadata.py");
/// The longest that the download may take, on a slow line.
const TIMEOUT: Duration = Duration::from_hours(4);
/// How often it is looked how much of it has come.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Fetches the archive into a folder that is there; its digest is checked.
pub(super) fn fetch(
    source: &Source,
    folder: &Path,
    watch: &mut dyn Watch,
) -> Result<PathBuf, Error> {
    let python = interpreter::with_pip().ok_or_else(|| Error::NoProgram {
        program: "pip".into(),
        remedy: "Install it (Debian and Ubuntu: `sudo apt install python3-pip`), and try again."
            .into(),
    })?;
    let [back_end, partial, whole] = ["back-end", "partial", "whole"].map(|name| folder.join(name));
    let module = back_end.join("setuptools");
    for new in [&module, &partial, &whole] {
        fs::create_dir_all(new).context("create", new)?;
    }
    let write = |path: PathBuf, text: &str| fs::write(&path, text).context("write", &path);
    write(module.join("__init__.py"), "")?;
    write(module.join("build_meta.py"), BACK_END)?;
    let wanted = folder.join("wanted.txt");
    write(
        wanted.clone(),
        &format!(
            "{}=={} --hash=sha256:{}\n",
            source.project, source.version, source.sha256
        ),
    )?;
    watch.step(&format!(
        "Downloading {} {} from the Python package index",
        source.project, source.version
    ));
    watch.expect(source.size_bytes);
    let mut command = Command::new(python);
    command
        .args(["-m", "pip", "download", "--no-deps", "--no-cache-dir"])
        .args([
            "--no-binary",
            ":all:",
            "--use-pep517",
            "--no-build-isolation",
        ])
        .args([
            "--disable-pip-version-check",
            "--no-input",
            "--progress-bar",
            "off",
        ])
        .arg("--requirement")
        .arg(&wanted)
        .arg("--dest")
        .arg(&whole)
        .env("TMPDIR", &partial)
        .env("PYTHONPATH", &back_end)
        .current_dir(folder);
    let mut arriving = Arriving {
        watch,
        folder: &partial,
        looked: Instant::now(),
        seen: 0,
    };
    let output = helper::run(&mut command, Some(TIMEOUT), &mut arriving)
        .map_err(|failure| failure.of("pip", "Install pip, and try again."))?;
    let archive = fs::read_dir(&whole)
        .context("list", &whole)?
        .flatten()
        .map(|entry| entry.path())
        .next();
    match archive {
        Some(archive) if output.status.success() => Ok(archive),
        _ => Err(not_downloaded(source, &output.stderr)),
    }
}

/// What pip complained of last, and what to do.
fn not_downloaded(source: &Source, stderr: &str) -> Error {
    let unreachable = [
        "Connection",
        "connection",
        "resolve",
        "timed out",
        "Network",
        "Retrying",
        "unreachable",
    ];
    let said = stderr
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("ERROR: "))
        .unwrap_or("pip does not say why");
    let (found, remedy) = if stderr.contains("DO NOT MATCH THE HASHES") {
        (
            "is not what it was when this recipe was written: its digest differs".to_owned(),
            "Do not use it; look for a newer Windlass.",
        )
    } else if unreachable.iter().any(|word| stderr.contains(word)) {
        (
            "could not be downloaded: the Python package index was not reached".to_owned(),
            "Connect this computer to the network, and try again. Behind a proxy, `pip config` has to know it.",
        )
    } else {
        (
            format!("could not be downloaded: {said}"),
            "`pip download` says more in a terminal.",
        )
    };
    Error::Unsuitable {
        path: format!("{}-{}.tar.gz", source.project, source.version).into(),
        found,
        remedy: remedy.into(),
    }
}

/// Tells of what comes in while pip runs, which says nothing itself.
struct Arriving<'a> {
    watch: &'a mut dyn Watch,
    folder: &'a Path,
    looked: Instant,
    seen: u64,
}

impl Watch for Arriving<'_> {
    fn advance(&mut self, _bytes: u64) -> ControlFlow<()> {
        if self.looked.elapsed() < LOOK_INTERVAL {
            return self.watch.advance(0);
        }
        self.looked = Instant::now();
        // pip unpacks it beside what it has fetched: only the archive itself counts.
        let archives = WalkDir::new(self.folder).max_depth(2).into_iter().flatten();
        let here = archives
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".tar.gz"))
            .filter_map(|entry| entry.metadata().ok())
            .map(|metadata| metadata.len())
            .sum::<u64>();
        let new = here.saturating_sub(self.seen);
        self.seen = self.seen.max(here);
        self.watch.advance(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::hadoop::SOURCE;

    fn told(stderr: &str) -> String {
        let error = not_downloaded(&SOURCE, stderr);
        format!("{error}\n{}\n", error.hint().unwrap())
    }

    #[test]
    fn what_keeps_it_from_coming_is_told() {
        insta::assert_snapshot!([
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'\nERROR: Could not find a version that satisfies the requirement\n",
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n",
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
        ].map(told).join("---\n"));
    }
}
