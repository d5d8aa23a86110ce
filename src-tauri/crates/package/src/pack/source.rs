//! What can be packed, and how.

use std::path::PathBuf;

use windlass_guest::GuestOs;

/// What is to be packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackSource {
    /// A folder as it is.
    Folder(PathBuf),
    /// What is in an archive.
    Archive(PathBuf),
    /// A program with all that it needs.
    Program(PathBuf),
    /// The folder of a Node project.
    NodeProject(PathBuf),
    /// The folder of a Python project, with its virtual environment.
    PythonProject(PathBuf),
    /// A `.jar`, with a Java runtime.
    Jar(PathBuf),
    /// Packages of the distribution, by name, with what they depend on.
    Debian(Vec<String>),
    /// An OCI image: a layout folder, a tar of one, or what `docker save` writes.
    OciLayout(PathBuf),
}

/// What something can be packed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// [`PackSource::Folder`].
    Folder,
    /// [`PackSource::Archive`].
    Archive,
    /// [`PackSource::Program`].
    Program,
    /// [`PackSource::NodeProject`].
    Node,
    /// [`PackSource::PythonProject`].
    Python,
    /// [`PackSource::Jar`].
    Jar,
    /// [`PackSource::Debian`].
    Debian,
    /// [`PackSource::OciLayout`].
    Oci,
}

impl Kind {
    /// The source of this kind: `value` is a path or, for Debian, names separated by blanks.
    pub fn source(self, value: &str) -> PackSource {
        let path = || PathBuf::from(value);
        match self {
            Self::Folder => PackSource::Folder(path()),
            Self::Archive => PackSource::Archive(path()),
            Self::Program => PackSource::Program(path()),
            Self::Node => PackSource::NodeProject(path()),
            Self::Python => PackSource::PythonProject(path()),
            Self::Jar => PackSource::Jar(path()),
            Self::Debian => {
                PackSource::Debian(value.split_whitespace().map(str::to_owned).collect())
            }
            Self::Oci => PackSource::OciLayout(path()),
        }
    }
}

impl PackSource {
    /// What it is packed as.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Folder(_) => Kind::Folder,
            Self::Archive(_) => Kind::Archive,
            Self::Program(_) => Kind::Program,
            Self::NodeProject(_) => Kind::Node,
            Self::PythonProject(_) => Kind::Python,
            Self::Jar(_) => Kind::Jar,
            Self::Debian(_) => Kind::Debian,
            Self::OciLayout(_) => Kind::Oci,
        }
    }
}

/// How it is to be packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackOptions {
    /// The guest that it is to run in: decides which libraries are shipped, and where they lie.
    pub guest: GuestOs,
    /// The package's name; `None` takes one from the source.
    pub name: Option<String>,
    /// The package's version; `None` takes that of the source.
    pub version: Option<String>,
    /// Paths of the guest that stay out, each with what is beneath it. A `*` stands for any part of
    /// a name.
    pub leave_out: Vec<String>,
    /// What goes in beside what was found; libraries that it needs come along.
    pub add: Vec<Addition>,
    /// Whether the program may be run for a few seconds to see which libraries it opens by name.
    pub observe: bool,
    /// Whether the Java runtime is reduced to the modules that are used, where there is a JDK.
    pub java_reduce: bool,
    /// Whether documentation and manual pages of the distribution's packages are kept.
    pub keep_documents: bool,
    /// Where what has to be unpacked or made for the plan lies as long as the plan; `None` takes the
    /// system's folder for temporary files, which may be small.
    pub scratch: Option<PathBuf>,
}

impl PackOptions {
    /// The usual options for a guest: nothing left out or added, no program run, Java reduced.
    pub fn new(guest: GuestOs) -> Self {
        Self {
            guest,
            name: None,
            version: None,
            leave_out: Vec::new(),
            add: Vec::new(),
            observe: false,
            java_reduce: true,
            keep_documents: false,
            scratch: None,
        }
    }
}

/// A file or folder of this computer that goes in beside what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// Where it is here.
    pub host: PathBuf,
    /// Where it will be in the guest.
    pub guest: String,
}
