//! What a `.jar` says of itself.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;

use super::APPLICATION;
use crate::error::IoContext;
use crate::watch::advance;
use crate::{Error, Finding, Watch, version};

const MANIFEST: &str = "META-INF/MANIFEST.MF";
const MANIFEST_MAX_BYTES: u64 = 1 << 20;
/// Java 1.0 has this number, and each later version the next one.
const FIRST_CLASS_VERSION: u16 = 44;
const CLASS_PATH_MAX: usize = 10_000;
/// So much of an application is looked at.
const BOOT_MAX_BYTES: u64 = 2 << 30;

/// What a `.jar` says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jar {
    pub path: PathBuf,
    /// Its file name.
    pub name: String,
    pub title: Option<String>,
    pub vendor: Option<String>,
    pub version: Option<String>,
    main_class: Option<String>,
    /// Other archives that it needs, relative to its folder.
    named: Vec<String>,
    /// Whether it holds its libraries as archives.
    pub is_spring_boot: bool,
    /// The Java that its main class was compiled for.
    pub java_version: Option<u32>,
}

impl Jar {
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).context("read", path)?;
        let unsuitable = |found: String| Error::Unsuitable {
            path: path.to_path_buf(),
            found,
            remedy: "Build it again, or choose another file.".into(),
        };
        let mut archive = ZipArchive::new(file)
            .map_err(|error| unsuitable(format!("is no Java archive: {error}")))?;
        let mut text = String::new();
        if let Ok(entry) = archive.by_name(MANIFEST) {
            let read = entry.take(MANIFEST_MAX_BYTES).read_to_string(&mut text);
            read.map_err(|error| {
                unsuitable(format!("has a manifest that cannot be read: {error}"))
            })?;
        }
        let main = attributes(&text);
        let value = |wanted: &str| {
            let found = main
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found
                .map(|(_, value)| value.clone())
                .filter(|value| !value.is_empty())
        };
        // Of Spring Boot, the main class is its launcher, and this the application's.
        let start = value("Start-Class");
        let class = start.clone().or_else(|| value("Main-Class"));
        let java_version = class.and_then(|class| {
            let place = format!("{}.class", class.replace('.', "/"));
            let places = [format!("BOOT-INF/classes/{place}"), place];
            places
                .iter()
                .find_map(|place| class_version(&mut archive, place))
        });
        let named = value("Class-Path").unwrap_or_default();
        Ok(Self {
            path: path.to_path_buf(),
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            title: value("Implementation-Title"),
            vendor: value("Implementation-Vendor"),
            version: value("Implementation-Version").filter(|text| version::rank(text).is_some()),
            main_class: value("Main-Class"),
            named: named
                .split_whitespace()
                .take(CLASS_PATH_MAX)
                .map(str::to_owned)
                .collect(),
            is_spring_boot: value("Spring-Boot-Version").is_some() || start.is_some(),
            java_version,
        })
    }

    /// The archives that it names and that are there: in this computer and in the guest.
    pub fn class_path(&self) -> Vec<(PathBuf, PathBuf)> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let files = self.inside().filter_map(|name| {
            let host = folder.join(name);
            host.is_file()
                .then(|| (host, Path::new(APPLICATION).join(name)))
        });
        files.collect()
    }

    /// Unpacks the classes and libraries of a Spring Boot application, for jdeps to look at.
    pub fn unpack_boot(&self, folder: &Path, watch: &mut dyn Watch) -> Result<Vec<PathBuf>, Error> {
        let file = File::open(&self.path).context("read", &self.path)?;
        let damaged = |error: zip::result::ZipError| Error::Unsuitable {
            path: self.path.clone(),
            found: format!("is a damaged Java archive: {error}"),
            remedy: "Build it again.".into(),
        };
        let mut archive = ZipArchive::new(file).map_err(damaged)?;
        let classes = folder.join("classes");
        fs::create_dir_all(&classes).context("create", &classes)?;
        let mut parts = vec![classes.clone()];
        let mut left_bytes = BOOT_MAX_BYTES;
        for at in 0..archive.len() {
            advance(watch, 0)?;
            let entry = archive.by_index(at).map_err(damaged)?;
            let Some(name) = entry.enclosed_name().filter(|_| entry.is_file()) else {
                continue;
            };
            let is_kind = |kind: &str| name.extension().is_some_and(|other| other == kind);
            let path = if let Ok(class) = name.strip_prefix("BOOT-INF/classes") {
                is_kind("class").then(|| classes.join(class))
            } else {
                // Under numbers: what they are called matters to nobody.
                let is_library = name.starts_with("BOOT-INF/lib") && is_kind("jar");
                is_library.then(|| folder.join(format!("{at}.jar")))
            };
            let Some(path) = path else { continue };
            if is_kind("jar") {
                parts.push(path.clone());
            }
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).context("create", parent)?;
            let mut output = File::create(&path).context("write", &path)?;
            let copied = io::copy(&mut entry.take(left_bytes), &mut output);
            left_bytes -= copied.context("unpack", &path)?;
        }
        Ok(parts)
    }

    /// Names that lead nowhere else.
    fn inside(&self) -> impl Iterator<Item = &String> {
        let is_inside = |name: &&String| {
            let mut components = Path::new(name).components();
            components.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        };
        self.named.iter().filter(is_inside)
    }

    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.main_class.is_none() {
            findings.push(
                Finding::error("its manifest names no main class, so that it cannot be started")
                    .at(&self.name)
                    .remedy("Name a class in the command: `java -cp /app/FILE.jar CLASS`."),
            );
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let lacking = |name: &&String| {
            !self.inside().any(|other| other == *name) || !folder.join(name).is_file()
        };
        for name in self
            .named
            .iter()
            .filter(lacking)
            .filter(|name| !name.ends_with('/'))
        {
            findings.push(
                Finding::warning(format!(
                    "it names {name} in its class path, which is not beside it"
                ))
                .at(&self.name)
                .remedy("Put it beside the archive, or add it."),
            );
        }
        findings
    }
}

/// The main attributes of a manifest; a line that begins with a blank goes on with the one before.
fn attributes(text: &str) -> Vec<(String, String)> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix(' ') {
            if let Some((_, value)) = attributes.last_mut() {
                value.push_str(rest);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            attributes.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    attributes
}

/// The Java that a class was compiled for.
fn class_version(archive: &mut ZipArchive<File>, name: &str) -> Option<u32> {
    let mut start = [0; 8];
    archive.by_name(name).ok()?.read_exact(&mut start).ok()?;
    let number = u16::from_be_bytes([start[6], start[7]]);
    (start.starts_with(&[0xca, 0xfe, 0xba, 0xbe]))
        .then(|| number.checked_sub(FIRST_CLASS_VERSION).map(u32::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_of_a_manifest() {
        let text = "Manifest-Version: 1.0\r\nClass-Path: lib/a.jar li\r\n b/b.jar\r\nMain-Class: a.B\r\n\r\nName: x\r\nMain-Class: no\r\n";
        insta::assert_debug_snapshot!(attributes(text));
    }
}
