//! Studies: one image, one case, a table of values; a machine for each run, and a table of what came out.
//!
//! ```text
//!   study.yaml + case ── check ──> what each run changes, what is the matter with the case
//!                        run ────> image, once
//!                                  for each run: disk.img (the case as it has it) ─> machine ─> files back, verdict
//! ```
//!
//! The queue is the study's own folder ([`windlass_study::record`]): a run whose record says that it is done, of the same
//! image, files and steps, is not run again. One process at a time works on it; when that one is killed its machines go on,
//! and the next one finds them, or finds that they are lost.

mod disk;
mod form;
mod osv;
mod prepare;
mod provenance;
mod queue;
mod series;
mod shelf;
mod start;
mod steer;
mod view;
mod watch;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_package::pack::recipe::Recipe;
use windlass_package::yaml::Parsed;
use windlass_study::record::Runs;
pub use windlass_study::record::{Record, RunState, Verdict};
use windlass_study::study::FILE;
use windlass_study::{Case, Difference, Run, Study, StudyError, case, parallel};

pub use form::{
    StudyCaseEntry, StudyCaseFile, StudyCombine, StudyForm, StudyLimits, StudyRoom, StudyVariable,
    VariablePlace, VariableValues,
};
pub use series::{RunSeries, SeriesTarget};
pub use view::{ChangedLine, RunOutcome, StudyPlan, StudyRun, StudySummary, Tutorial};

use crate::Workshop;
use crate::appliances::Finding;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::GuestOs;

/// A study and what it comes to, as it is shown.
#[derive(Debug, Clone, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StudyReport {
    /// What it is called.
    pub title: Option<String>,
    /// The appliance whose image all runs share, where the study names one.
    pub appliance: Option<String>,
    /// The programs that will run, in order.
    pub steps: Vec<String>,
    /// The solver that the case names.
    pub application: Option<String>,
    /// The cells of the mesh, where that is known before.
    pub cells: Option<u64>,
    /// The packages that an image for the case needs, and why.
    pub packages: Vec<ProposedPackage>,
    /// The guest kernel that suits the case, where it is one of OpenFOAM.
    pub guest: Option<GuestOs>,
    /// Why.
    pub guest_reason: Option<String>,
    /// What was noticed in the case and in the study's file.
    pub findings: Vec<Finding>,
    /// Its runs, each with the lines that it changes.
    pub runs: Vec<StudyPlan>,
}

/// A package that an image for a case needs.
#[derive(Debug, Clone, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ProposedPackage {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Whether the library has it.
    pub is_installed: bool,
    /// The recipe by which it can be made here.
    pub recipe: Option<String>,
}

/// A study and what it comes to, before anything runs.
#[derive(Debug)]
pub(crate) struct StudyCheck {
    /// The study.
    pub study: Study,
    /// What was noticed in its file.
    pub notes: Vec<windlass_package::Finding>,
    /// The case, where it is one of OpenFOAM.
    pub case: Option<Case>,
    /// The programs that will run, in order.
    pub steps: Vec<String>,
    /// Its runs, each with the lines that it changes.
    pub runs: Vec<PlannedRun>,
}

/// A run before it is begun.
#[derive(Debug)]
pub(crate) struct PlannedRun {
    /// Its number and values.
    pub run: Run,
    /// The lines of the case that it changes.
    pub differences: Vec<Difference>,
}

/// How a study is run, beside what its file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StudyOptions {
    /// Whether runs that failed, were stopped or lost are begun again.
    pub retry: bool,
    /// These runs only; all where there are none.
    #[serde(default)]
    pub runs: Vec<u32>,
    /// This run once more, beside what came out of it, to compare the two.
    #[serde(default)]
    pub repeat: Option<u32>,
}

impl StudyOptions {
    fn is_meant(&self, run: &Run) -> bool {
        let is_it = |number: &u32| *number as usize == run.number;
        self.runs.is_empty() || self.runs.iter().any(is_it)
    }
}

impl From<StudyError> for AppError {
    fn from(error: StudyError) -> Self {
        let kind = match &error {
            StudyError::Io { .. } => ErrorKind::Unavailable,
            _ => ErrorKind::Input,
        };
        Self::from_error(kind, &error, error.hint())
    }
}

impl From<case::CaseError> for AppError {
    fn from(error: case::CaseError) -> Self {
        let kind = match &error {
            case::CaseError::Io { .. } => ErrorKind::Unavailable,
            case::CaseError::AlreadyThere { .. } => ErrorKind::Conflict,
            _ => ErrorKind::Input,
        };
        Self::from_error(kind, &error, error.hint())
    }
}

impl Workshop {
    /// Makes a study in a new folder: the case taken in whole, and a `study.yaml` that has the steps it needs.
    ///
    /// # Errors
    /// `Input` when there is no case in what is given, or it is hostile; `Conflict` when the folder is there already.
    pub fn study_new(&self, from: &Path, folder: &Path) -> Result<StudyReport> {
        let from = &case::tutorials::resolve(from);
        if folder.join(FILE).exists() {
            return Err(AppError::new(
                ErrorKind::Conflict,
                format!("There is a study in `{}` already", folder.display()),
            ));
        }
        std::fs::create_dir_all(folder).doing("make the folder", folder)?;
        let into = folder.join("case");
        case::take(from, &into)?;
        let case = Case::inspect(&into)?;
        let name = case::locate(from).unwrap_or_else(|_| from.to_owned());
        let study = Study {
            title: name
                .file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
            case: Some("case".into()),
            steps: parallel::as_one(case.steps.iter().map(case::Step::line).collect()),
            ..Study::default()
        };
        let path = folder.join(FILE);
        std::fs::write(&path, study.to_yaml()?).doing("write", &path)?;
        self.study_check(folder)
    }

    /// The tutorials of OpenFOAM that lie on this computer, or in a folder; none where there are none.
    ///
    /// # Errors
    /// `NotFound` when the folder that is named is not there.
    pub fn tutorials(&self, folder: Option<&Path>) -> Result<Vec<Tutorial>> {
        let folder = match folder {
            Some(folder) => Some(std::fs::canonicalize(folder).doing("find the folder", folder)?),
            None => case::tutorials::folder(),
        };
        let listed = folder.map(|folder| case::tutorials::list(&folder));
        Ok(listed
            .unwrap_or_default()
            .into_iter()
            .map(Tutorial::from)
            .collect())
    }

    /// What a study comes to: its runs, what each changes, and what is the matter with its case.
    ///
    /// # Errors
    /// `Input` when its file, its case or a value has a mistake.
    pub fn study_check(&self, folder: &Path) -> Result<StudyReport> {
        Ok(self.checked(folder)?.report(self))
    }

    pub(crate) fn checked(&self, folder: &Path) -> Result<StudyCheck> {
        let folder = &study_folder(folder)?;
        self.checked_text(folder, Study::load(folder)?)
    }

    /// The same of a text that is not kept yet.
    #[expect(
        clippy::unused_self,
        reason = "what a study is checked against will be the library's packages"
    )]
    pub(crate) fn checked_text(&self, folder: &Path, read: Parsed<Study>) -> Result<StudyCheck> {
        let study = read.value;
        let place = case_folder(&study, folder);
        let is_openfoam = place
            .as_deref()
            .is_some_and(|case| case::locate(case).is_ok());
        let mut case = match &place {
            Some(place) if is_openfoam => Some(Case::inspect(place)?),
            _ => None,
        };
        let mut steps = study.steps.clone();
        if let Some(case) = &mut case {
            if steps.is_empty() {
                steps = parallel::as_one(case.steps.iter().map(case::Step::line).collect());
            }
            if let Some(parallel) = &study.parallel {
                steps = parallel.steps(steps);
                case.findings.extend(parallel.findings());
                case.guest = windlass_guest::GuestOs::Linux;
                case.guest_reason = format!(
                    "the solver runs as {} processes, which OSv cannot",
                    parallel.cores
                );
            }
            for package in case.packages_of(&steps) {
                if case.packages.iter().all(|other| other.name != package.name) {
                    case.packages.push(package);
                }
            }
        }
        let mut runs = Vec::new();
        for run in study.runs(folder)? {
            let changes = match &place {
                Some(place) => study.changes(place, &run)?,
                None => Vec::new(),
            };
            let differences = changes
                .iter()
                .flat_map(windlass_study::ChangedFile::differences);
            runs.push(PlannedRun {
                differences: differences.collect(),
                run,
            });
        }
        Ok(StudyCheck {
            study,
            notes: read.notes,
            case,
            steps,
            runs,
        })
    }

    /// Where each run of a study stands.
    ///
    /// # Errors
    /// `Input` when the study's file has a mistake.
    pub fn study_runs(&self, folder: &Path) -> Result<Vec<Record>> {
        let folder = &study_folder(folder)?;
        let kept = Runs::of(folder);
        let runs = Study::load(folder)?.value.runs(folder)?;
        let known = runs.into_iter().map(|run| match kept.load(run.number) {
            Some(record) if record.values == run.values => record,
            _ => Record::new(&run, String::new()),
        });
        Ok(known.collect())
    }

    /// Variables against outcomes, as CSV.
    ///
    /// # Errors
    /// `Input` when the study's file has a mistake.
    pub fn study_results(&self, folder: &Path) -> Result<String> {
        Ok(windlass_study::record::results_csv(
            &self.study_runs(folder)?,
        )?)
    }
}

impl StudyCheck {
    fn report(self, workshop: &Workshop) -> StudyReport {
        let case = self.case.as_ref();
        let found = case.map(|case| case.findings.clone()).unwrap_or_default();
        StudyReport {
            application: case.and_then(|case| case.application.clone()),
            cells: case.and_then(|case| case.mesh.cells),
            packages: case
                .iter()
                .flat_map(|case| &case.packages)
                .map(|package| ProposedPackage {
                    is_installed: workshop.has_package(&package.name),
                    recipe: Recipe::of(&package.name).map(|recipe| recipe.name.clone()),
                    name: package.name.clone(),
                    reason: package.reason.clone(),
                })
                .collect(),
            guest: case.map(|case| case.guest.into()),
            guest_reason: case.map(|case| case.guest_reason.clone()),
            findings: found
                .into_iter()
                .chain(self.notes)
                .map(Finding::from)
                .collect(),
            title: self.study.title,
            appliance: self.study.appliance,
            steps: self.steps,
            runs: self.runs.into_iter().map(StudyPlan::from).collect(),
        }
    }
}

/// The folder of a study, given as such or by its file.
fn study_folder(path: &Path) -> Result<PathBuf> {
    let folder = if path.is_file() {
        path.parent().unwrap_or(Path::new("."))
    } else {
        path
    };
    let folder = std::path::absolute(folder).doing("find", folder)?;
    if folder.join(FILE).is_file() {
        return Ok(folder);
    }
    Err(
        AppError::not_found("study", &folder.display().to_string()).hinted(format!(
            "A study is a folder with a {FILE}; `windlassctl study new CASE FOLDER` makes one"
        )),
    )
}

fn case_folder(study: &Study, folder: &Path) -> Option<PathBuf> {
    study.case.as_ref().map(|case| folder.join(case))
}
