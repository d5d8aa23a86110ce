//! The files of a case, and what is said of them as files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;
use windlass_package::Finding;

use crate::dictionary::{Body, Dictionary, Entry, SyntaxErrorKind, TokenKind, read_text};

/// The most files that are looked at.
const MOST: usize = 20_000;
/// A file that is larger holds a field of a mesh, and is not read whole for a check.
const SMALL_BYTES: u64 = 4 << 20;

/// Why a case could not be taken or read.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// There is none.
    #[error("there is no case in {}: no folder in it has system/controlDict", path.display())]
    None {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There are several.
    #[error("there are {} cases in {}: {}", names.len(), path.display(), names.join(", "))]
    Several {
        /// Where.
        path: PathBuf,
        /// Their folders.
        names: Vec<String>,
    },
    /// The place is taken.
    #[error("{} is already there", path.display())]
    AlreadyThere {
        /// What is there.
        path: PathBuf,
    },
    /// A link in an archive leads out of the case, or nowhere.
    #[error("{} is a link that leads out of the case, or nowhere", path.display())]
    Link {
        /// The link within the case.
        path: PathBuf,
    },
    /// An archive was refused.
    #[error(transparent)]
    Archive(#[from] Box<windlass_package::Error>),
    /// The operating system refused.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl CaseError {
    /// What to do about it, where something can be said.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::None { .. } => "Take the folder that has system, constant and 0 in it".into(),
            Self::Several { .. } => "Take one of them".into(),
            Self::AlreadyThere { .. } => "Choose another place, or remove that one".into(),
            Self::Link { .. } => "Put the file itself in its place".into(),
            Self::Archive(error) => return error.hint(),
            Self::Io { .. } => return None,
        })
    }
}

pub(super) fn has_control(folder: &Path) -> bool {
    ["controlDict", "controlDict.gz"]
        .iter()
        .any(|name| folder.join("system").join(name).is_file())
}

/// The folder itself, or the only one within two levels below it.
pub(super) fn locate(folder: &Path) -> Result<PathBuf, CaseError> {
    if has_control(folder) {
        return Ok(folder.to_owned());
    }
    let mut found: Vec<PathBuf> = WalkDir::new(folder)
        .min_depth(1)
        .max_depth(2)
        .into_iter()
        .flatten()
        .take(MOST)
        .filter(|entry| entry.file_type().is_dir() && has_control(entry.path()))
        .map(walkdir::DirEntry::into_path)
        .collect();
    found.sort();
    match found.len() {
        0 => Err(CaseError::None {
            path: folder.into(),
        }),
        1 => Ok(found.remove(0)),
        _ => Err(CaseError::Several {
            path: folder.into(),
            names: found
                .iter()
                .map(|path| {
                    path.strip_prefix(folder)
                        .unwrap_or(path)
                        .display()
                        .to_string()
                })
                .collect(),
        }),
    }
}

/// Copies the files of a case; links are followed only where they stay in it.
pub(super) fn copy(from: &Path, into: &Path) -> Result<(), CaseError> {
    let io = |doing: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| CaseError::Io {
            doing,
            path,
            source,
        }
    };
    let root = fs::canonicalize(from).map_err(io("read", from))?;
    for entry in WalkDir::new(from).sort_by_file_name() {
        let entry = entry.map_err(|error| CaseError::Io {
            doing: "read",
            path: from.into(),
            source: error.into(),
        })?;
        let path = into.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        let kind = entry.file_type();
        if kind.is_dir() {
            fs::create_dir_all(&path).map_err(io("write", &path))?;
        } else if kind.is_file()
            || kind.is_symlink()
                && fs::canonicalize(entry.path())
                    .is_ok_and(|target| target.starts_with(&root) && target.is_file())
        {
            fs::copy(entry.path(), &path).map_err(io("write", &path))?;
        }
    }
    Ok(())
}

/// Refuses links by which a case would have what is elsewhere on this computer.
pub(super) fn refuse_links(case: &Path) -> Result<(), CaseError> {
    let root = fs::canonicalize(case).map_err(|source| CaseError::Io {
        doing: "read",
        path: case.into(),
        source,
    })?;
    for entry in WalkDir::new(case).into_iter().flatten() {
        let is_inside = || fs::canonicalize(entry.path()).is_ok_and(|at| at.starts_with(&root));
        if entry.file_type().is_symlink() && !is_inside() {
            let path = entry.path().strip_prefix(case).unwrap_or(entry.path());
            return Err(CaseError::Link { path: path.into() });
        }
    }
    Ok(())
}

/// The dictionaries of a case by their path in it, without `.gz`.
pub(super) struct Files {
    pub folder: PathBuf,
    dictionaries: BTreeMap<String, Dictionary>,
    pub findings: Vec<Finding>,
}

impl Files {
    pub(super) fn read(folder: &Path) -> Result<Self, CaseError> {
        if !has_control(folder) {
            return Err(CaseError::None {
                path: folder.into(),
            });
        }
        let mut files = Self {
            folder: folder.into(),
            dictionaries: BTreeMap::new(),
            findings: Vec::new(),
        };
        for part in ["system", "constant", "0", "0.orig"] {
            let walk = WalkDir::new(folder.join(part))
                .max_depth(4)
                .sort_by_file_name();
            for entry in walk.into_iter().flatten().take(MOST) {
                let is_mesh = |name: &str| {
                    entry
                        .path()
                        .components()
                        .any(|part| part.as_os_str() == name)
                };
                let is_large = entry
                    .metadata()
                    .map_or(true, |metadata| metadata.len() > SMALL_BYTES);
                if entry.file_type().is_file()
                    && !is_large
                    && !is_mesh("triSurface")
                    && (!is_mesh("polyMesh") || is_mesh("boundary") || is_mesh("blockMeshDict"))
                {
                    files.add(entry.path());
                }
            }
        }
        let boundary = [
            "constant/polyMesh/boundary",
            "constant/polyMesh/boundary.gz",
        ];
        for path in boundary.map(|path| folder.join(path)) {
            if path.is_file() {
                files.add(&path);
            }
        }
        Ok(files)
    }

    fn add(&mut self, path: &Path) {
        let name = path
            .strip_prefix(&self.folder)
            .unwrap_or(path)
            .to_string_lossy();
        let name = name.trim_end_matches(".gz").to_owned();
        let Ok((text, _)) = read_text(path) else {
            self.findings
                .push(Finding::error("the file cannot be read").at(name));
            return;
        };
        // Tables, surfaces and scripts lie among the dictionaries.
        let head = &text[..text.len().min(8192)];
        let is_dictionary =
            head.windows(8).any(|word| word == b"FoamFile") || name == "system/controlDict";
        if !is_dictionary || name.contains(".m4") {
            return;
        }
        match Dictionary::parse(text) {
            Ok(dictionary) => {
                self.dictionaries.insert(name, dictionary);
            }
            Err(error) if error.kind == SyntaxErrorKind::Binary => {
                let note =
                    "it is written as binary data: it runs, but its values cannot be changed here";
                self.findings.push(Finding::note(note).at(name));
            }
            Err(error) => {
                self.findings.push(
                    Finding::error(error.to_string())
                        .at(name)
                        .remedy(format!("Look at line {} of the file", error.line)),
                );
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Dictionary> {
        self.dictionaries.get(name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Dictionary)> {
        self.dictionaries
            .iter()
            .map(|(name, dictionary)| (name.as_str(), dictionary))
    }

    pub(super) fn value(&self, file: &str, path: &str) -> Option<String> {
        Some(self.get(file)?.get(path)?.into_owned())
    }

    /// Whether there is such a file, packed or not, small or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists() || self.folder.join(format!("{name}.gz")).exists()
    }

    /// Code that OpenFOAM would have to compile, which needs a compiler, and is refused to root.
    pub(super) fn check_code(&mut self) {
        let mut found = Vec::new();
        for (name, dictionary) in self.all() {
            let directives = dictionary.tokens(TokenKind::Directive).into_iter();
            let code = directives
                .filter(|span| matches!(&*dictionary.at(span.clone()), "#calc" | "#codeStream"))
                .map(|span| {
                    (
                        dictionary.at(span.clone()).into_owned(),
                        dictionary.line(span.start),
                    )
                });
            let mut code: Vec<_> = code.collect();
            coded(dictionary, dictionary.entries(), &mut code);
            if let Some((what, line)) = code.into_iter().next() {
                found.push((name.to_owned(), what, line));
            }
        }
        for (name, what, line) in found {
            let message = format!(
                "line {line}: {what} has to be compiled, and there is no compiler in an appliance"
            );
            let remedy = match what.as_str() {
                "#calc" => "Write the value itself, or use #eval",
                _ => "Use a boundary condition or a function that OpenFOAM has",
            };
            self.findings
                .push(Finding::error(message).at(name).remedy(remedy));
        }
    }

    /// Files that others include.
    pub(super) fn check_includes(&mut self) {
        let mut missing = Vec::new();
        for (name, dictionary) in self.all() {
            for (directive, file) in dictionary.includes() {
                // Paths with variables are OpenFOAM's to find; some are replaced by the folders of the case.
                let below = ["<case>/", "$FOAM_CASE/", "${FOAM_CASE}/"]
                    .iter()
                    .find_map(|start| file.strip_prefix(start).map(ToOwned::to_owned))
                    .or_else(|| {
                        file.strip_prefix("<system>/")
                            .map(|file| format!("system/{file}"))
                    })
                    .or_else(|| {
                        file.strip_prefix("<constant>/")
                            .map(|file| format!("constant/{file}"))
                    });
                let path = match below {
                    Some(below) => below,
                    None if file.contains(['$', '<']) || file.starts_with('/') => continue,
                    None => {
                        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
                        folder.join(&file).to_string_lossy().into_owned()
                    }
                };
                // The folder 0 is made of 0.orig; what begins with a dot is looked for from the case.
                let path = path.strip_prefix("./").unwrap_or(&path);
                let below = file.strip_prefix("./").unwrap_or(&file);
                let original = |path: &str| match path.strip_prefix("0/") {
                    Some(rest) => self.has(&format!("0.orig/{rest}")),
                    None => false,
                };
                let is_there = [path, below]
                    .iter()
                    .any(|path| self.has(path) || original(path));
                if directive == "#include" && !is_there {
                    missing.push((name.to_owned(), file));
                }
            }
        }
        for (name, file) in missing {
            let finding =
                Finding::error(format!("it includes {file}, which is not in the case")).at(name);
            self.findings
                .push(finding.remedy("Bring the file along, at the same place"));
        }
    }

    /// Cases of the other OpenFOAM, which has other names for some things.
    pub(super) fn check_origin(&mut self) {
        let (theirs, ours) = (
            "constant/momentumTransport",
            "constant/turbulenceProperties",
        );
        if self.has(theirs) && !self.has(ours) {
            let message = format!(
                "this is a case for openfoam.org's version; openfoam.com's wants {ours} instead"
            );
            self.findings.push(Finding::error(message).at(theirs));
        }
    }
}

/// `type codedFixedValue;` and its like, with their lines.
fn coded(dictionary: &Dictionary, entries: &[Entry], found: &mut Vec<(String, usize)>) {
    for entry in entries {
        match &entry.body {
            Body::Dictionary(inner) => coded(dictionary, inner, found),
            Body::Value(value) if dictionary.keyword(entry) == "type" => {
                let kind = dictionary.at(value.clone());
                if kind.starts_with("coded") {
                    found.push((kind.into_owned(), dictionary.line(value.start)));
                }
            }
            _ => {}
        }
    }
}
