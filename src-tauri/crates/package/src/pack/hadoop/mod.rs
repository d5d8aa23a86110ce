//! Hadoop's distributed file system, with a Java runtime: a package that no registry has, made out of an archive of the
//! Python package index, which brings Hadoop's own libraries along.
//!
//! ```text
//!   pip download ──> pyspark-2.4.8.tar.gz ── 52 of its .jar ──> /hadoop/lib/
//!   jlink ─────────────────────────────────────────────────────> /usr/lib/jvm/jre/
//!   bash, df, ls …, which Hadoop starts ──────────────────────> /bin/
//! ```

mod download;

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use windlass_guest::GuestOs;

use super::{Description, Draft, Kind, PackOptions, Plan, java};
use crate::closure::{self, Layout};
use crate::error::IoContext;
use crate::watch::advance;
use crate::{Error, Manifest, Watch};

/// The name of the package.
pub(super) const PACKAGE: &str = "hadoop-hdfs-2.7.3";

/// Where an archive comes from, and what it has to be.
#[derive(Debug)]
struct Source {
    project: &'static str,
    version: &'static str,
    sha256: &'static str,
    size_bytes: u64,
}

const SOURCE: Source = Source {
    project: "pyspark",
    version: "2.4.8",
    sha256: "3a19b71b8dc8dd91ebc943604a05e1ab01bce052456d42937035632d852d78dc",
    size_bytes: 220_464_734,
};

/// So much is downloaded.
pub(super) const DOWNLOAD_BYTES: u64 = SOURCE.size_bytes;

/// Those of its libraries that the servers and the shell of the file system load.
const JARS: &str = include_str!("jars.txt");
/// No library is as large.
const JAR_MAX_BYTES: u64 = 64 << 20;
/// Where they lie in the archive.
const JARS_FOLDER: &str = "deps/jars";

/// What they use of Java; jdeps misses what Hadoop finds by name.
const MODULES: [&str; 11] = [
    "java.base",
    "java.desktop",
    "java.logging",
    "java.management",
    "java.naming",
    "java.security.jgss",
    "java.security.sasl",
    "java.sql",
    "java.xml",
    "jdk.security.auth",
    "jdk.unsupported",
];
/// It needs what Java calls the subject of a thread, which later ones have no more.
pub(super) const JAVA: std::ops::RangeInclusive<u32> = 17..=22;

/// Programs that it starts: to learn how much room there is, whose a file is, and to change who may read it.
const PROGRAMS: [&str; 13] = [
    "/bin/bash",
    "/bin/cat",
    "/bin/chmod",
    "/bin/df",
    "/bin/ln",
    "/bin/ls",
    "/bin/mv",
    "/bin/rm",
    "/bin/sleep",
    "/usr/bin/du",
    "/usr/bin/id",
    "/usr/bin/sha256sum",
    "/usr/bin/stat",
];

pub(super) fn plan(scratch: &Path, watch: &mut dyn Watch) -> Result<Plan, Error> {
    let mut options = PackOptions::new(GuestOs::Linux);
    options.scratch = Some(scratch.to_path_buf());
    let mut draft = Draft::default();
    // First what is on this computer: who lacks it learns so before the download.
    java::linked(
        &MODULES,
        JAVA,
        "because Hadoop runs on Java",
        &options,
        &mut draft,
        watch,
    )?;
    let programs = PROGRAMS.map(PathBuf::from);
    let needed = closure::closure(&programs)?;
    draft.closure(&needed, Layout::HostPaths)?;
    for name in programs {
        let at = fs::canonicalize(&name).context("find", &name)?;
        super::link_names(&at, &[name], &mut draft)?;
    }
    super::link_names(Path::new("/bin/bash"), &["/bin/sh".into()], &mut draft)?;
    super::name_service(&mut draft)?;

    let folder = draft.scratch(&options)?;
    let archive = download::fetch(&SOURCE, &folder, watch)?;
    watch.step("Unpacking Hadoop");
    for jar in unpack(&archive, &folder, watch)? {
        let guest = Path::new("/hadoop/lib").join(jar.file_name().unwrap_or_default());
        draft.file(&jar, &guest, "because it is part of Hadoop")?;
        draft.require(&guest);
    }
    // Its pages in the browser need these to be there.
    for pages in ["hdfs", "datanode"] {
        let guest = Path::new("/hadoop/web/webapps")
            .join(pages)
            .join("index.html");
        draft.write(&guest, b"", "because Hadoop looks for its pages")?;
    }
    let manifest = Manifest {
        name: PACKAGE.into(),
        title: "Hadoop HDFS 2.7.3 with Java".into(),
        author: "The Apache Software Foundation; packed on this computer".into(),
        version: Some("2.7.3".into()),
        platform: super::platform(),
        ..Manifest::default()
    };
    let description = Description::new(manifest, None, &options)?;
    draft.finish(Kind::Program, description, &options, watch)
}

/// Takes the libraries out of the archive.
fn unpack(archive: &Path, folder: &Path, watch: &mut dyn Watch) -> Result<Vec<PathBuf>, Error> {
    let damaged = |found: String| Error::Unsuitable {
        path: archive.to_path_buf(),
        found,
        remedy: "Try again.".into(),
    };
    let wanted: Vec<&str> = JARS.lines().collect();
    let file = BufReader::new(File::open(archive).context("read", archive)?);
    let mut reader = tar::Archive::new(GzDecoder::new(file));
    let mut found = Vec::new();
    for entry in reader.entries().context("read", archive)? {
        advance(watch, 0)?;
        let mut entry = entry.context("read", archive)?;
        let path = entry.path().context("read", archive)?.into_owned();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        let is_library = path
            .parent()
            .is_some_and(|parent| parent.ends_with(JARS_FOLDER));
        let Some(name) = wanted.iter().find(|wanted| is_library && **wanted == name) else {
            continue;
        };
        if entry.size() > JAR_MAX_BYTES {
            return Err(damaged(format!("has a {name} of {} bytes", entry.size())));
        }
        let to = folder.join(name);
        let mut output = File::create(&to).context("write", &to)?;
        let size = std::io::copy(&mut entry, &mut output).context("unpack", &to)?;
        advance(watch, size)?;
        found.push(to);
    }
    found.sort();
    if let Some(lacking) = wanted
        .iter()
        .find(|wanted| !found.iter().any(|path| path.ends_with(wanted)))
    {
        return Err(damaged(format!("has no {lacking}")));
    }
    Ok(found)
}
