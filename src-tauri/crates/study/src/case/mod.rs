//! An OpenFOAM case as it came: checked in words before anything runs.
//!
//! ```text
//!   folder ──> Files: every dictionary, read or with its mistake
//!     ├── mesh ──────> is there, or how it is made; its patches
//!     ├── fields ────> 0 or 0.orig, each patch of the mesh in each field
//!     ├── steps ─────> application of controlDict, blockMesh, what a simple Allrun says
//!     └── packages ──> core, turbulence, mesh, functions … and why each; the guest kernel and why
//! ```
//!
//! Nothing is run and nothing is expanded: where a macro or an `#include` decides, the check is silent rather than wrong.
//! Programs and libraries are those of Debian's `openfoam` 1912 (`programs.txt`, `libraries.txt`).

mod entries;
mod fields;
mod files;
mod mesh;
mod packages;
mod steps;
pub mod tutorials;

use std::path::{Path, PathBuf};

use windlass_guest::GuestOs;
use windlass_package::Finding;
use windlass_package::archive::{self, Limits};

pub use entries::{CaseEntry, CaseFile, entries};
pub use files::CaseError;
pub use mesh::{Mesh, Patch};
pub use packages::Proposed;
pub use steps::Step;

use files::Files;

/// What a case is, and what is the matter with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The solver that controlDict names.
    pub application: Option<String>,
    /// `endTime`, as it stands there.
    pub end_time: Option<String>,
    /// The mesh.
    pub mesh: Mesh,
    /// The fields that the run begins with.
    pub fields: Vec<String>,
    /// The programs that run, in order.
    pub steps: Vec<Step>,
    /// Libraries that dictionaries load.
    pub libraries: Vec<String>,
    /// The packages that an image needs, and why.
    pub packages: Vec<Proposed>,
    /// The guest kernel that suits it.
    pub guest: GuestOs,
    /// Why.
    pub guest_reason: String,
    /// What was noticed; an error keeps it from running.
    pub findings: Vec<Finding>,
}

impl Case {
    /// Reads and checks a case.
    ///
    /// # Errors
    ///
    /// There is no case in the folder; it cannot be read.
    pub fn inspect(folder: &Path) -> Result<Self, CaseError> {
        let mut files = Files::read(folder)?;
        let mesh = mesh::find(&mut files);
        let fields = fields::check(&mut files, &mesh);
        let application = files.value("system/controlDict", "application");
        let end_time = files.value("system/controlDict", "endTime");
        let steps = steps::find(&mut files, &mesh, application.as_deref());
        let libraries = packages::libraries(&mut files);
        let packages = packages::propose(&steps, &libraries, &packages::functions(&files));
        let (guest, guest_reason) = packages::guest(&steps);
        files.check_code();
        files.check_includes();
        files.check_origin();
        let mut findings = files.findings;
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(Self {
            application,
            end_time,
            mesh,
            fields,
            steps,
            libraries,
            packages,
            guest,
            guest_reason,
            findings,
        })
    }

    /// The packages that other steps than its own need beside, given as lines of `study.yaml`.
    pub fn packages_of(&self, steps: &[String]) -> Vec<Proposed> {
        let step = |line: &String| Step::of_line(line);
        let steps: Vec<Step> = steps.iter().filter_map(step).collect();
        packages::propose(&steps, &[], &[])
    }

    /// Whether something was found that keeps it from running.
    pub fn can_run(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity != windlass_package::Severity::Error)
    }
}

/// Where the case is in what was dropped: the folder itself, or one below it.
///
/// # Errors
///
/// There is none, or there are several; the error names them.
pub fn locate(folder: &Path) -> Result<PathBuf, CaseError> {
    files::locate(folder)
}

/// Takes a case from a folder or an archive into the new folder `into`, all of it or nothing.
///
/// # Errors
///
/// It is no case; the archive is damaged, hostile or too large; it cannot be written.
pub fn take(from: &Path, into: &Path) -> Result<(), CaseError> {
    let io = |doing: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| CaseError::Io {
            doing,
            path,
            source,
        }
    };
    let parent = into.parent().unwrap_or(Path::new("."));
    let draft = tempfile::Builder::new()
        .prefix(".windlass-")
        .tempdir_in(parent)
        .map_err(io("write into", parent))?;
    let whole = draft.path().join("case");
    if from.is_dir() {
        files::copy(&locate(from)?, &whole)?;
    } else {
        archive::unpack(from, &whole, &Limits::default(), &mut ()).map_err(Box::new)?;
    }
    let case = locate(&whole)?;
    files::refuse_links(&case)?;
    if into.exists() {
        return Err(CaseError::AlreadyThere { path: into.into() });
    }
    std::fs::rename(&case, into).map_err(io("write", into))
}
