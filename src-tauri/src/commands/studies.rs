//! Studies: one case, a table of values, a machine for each run.

use std::path::PathBuf;
use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::jobs::Job;
use windlass_workshop::studies::{
    RunSeries, StudyCaseFile, StudyForm, StudyOptions, StudyReport, StudyRoom, StudyRun,
    StudySummary, Tutorial,
};

/// The studies that are known, newest first.
#[tauri::command]
#[specta::specta]
pub async fn study_list(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<StudySummary>> {
    workshop.studies()
}

/// Makes a study of a case, or adds the study that a folder is; says its folder.
#[tauri::command]
#[specta::specta]
pub async fn study_new(workshop: State<'_, Arc<Workshop>>, path: PathBuf) -> Result<String> {
    workshop.study_take(&path)
}

/// The tutorials of OpenFOAM that lie on this computer.
#[tauri::command]
#[specta::specta]
pub async fn study_tutorials(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<Tutorial>> {
    workshop.tutorials(None)
}

/// Takes a study off the list; its folder stays.
#[tauri::command]
#[specta::specta]
pub async fn study_remove(workshop: State<'_, Arc<Workshop>>, folder: PathBuf) -> Result<()> {
    workshop.study_remove(&folder)
}

/// What a study comes to: its case, its runs, and what each of them changes.
#[tauri::command]
#[specta::specta]
pub async fn study_check(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
) -> Result<StudyReport> {
    workshop.study_check(&folder)
}

/// The text of a study's file.
#[tauri::command]
#[specta::specta]
pub async fn study_text(workshop: State<'_, Arc<Workshop>>, folder: PathBuf) -> Result<String> {
    workshop.study_text(&folder)
}

/// Replaces the text of a study's file, and says what the study comes to now.
#[tauri::command]
#[specta::specta]
pub async fn study_save_text(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
    text: String,
) -> Result<StudyReport> {
    workshop.study_save_text(&folder, &text)
}

/// Makes the packages that a study's case needs and an appliance of them, as a job; the package files come from the
/// package manager, or from a folder.
#[tauri::command]
#[specta::specta]
pub async fn study_prepare(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
    from: Option<PathBuf>,
) -> Result<Job> {
    workshop
        .inner()
        .start_study_prepare(&folder, from.as_deref())
}

/// The values of a study's case, of which any can be made to vary.
#[tauri::command]
#[specta::specta]
pub async fn study_case(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
) -> Result<Vec<StudyCaseFile>> {
    workshop.study_case(&folder)
}

/// What varies in a study, and how much its runs may take.
#[tauri::command]
#[specta::specta]
pub async fn study_form(workshop: State<'_, Arc<Workshop>>, folder: PathBuf) -> Result<StudyForm> {
    workshop.study_form(&folder)
}

/// Changes what varies, and how much the runs may take; says what the study comes to then.
#[tauri::command]
#[specta::specta]
pub async fn study_save_form(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
    form: StudyForm,
) -> Result<StudyReport> {
    workshop.study_save_form(&folder, &form)
}

/// Takes a CSV file as the table of a study's values; says what varies then.
#[tauri::command]
#[specta::specta]
pub async fn study_load_table(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
    csv: PathBuf,
) -> Result<StudyForm> {
    workshop.study_load_table(&folder, &csv)
}

/// What this computer has room for, with the settings of the study's appliance.
#[tauri::command]
#[specta::specta]
pub async fn study_room(workshop: State<'_, Arc<Workshop>>, folder: PathBuf) -> Result<StudyRoom> {
    workshop.study_room(&folder)
}

/// Does the runs of a study that are not done, as a job.
#[tauri::command]
#[specta::specta]
pub async fn study_run(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
    options: StudyOptions,
) -> Result<Job> {
    workshop.inner().start_study(&folder, options)
}

/// Stops runs, or (without numbers) all of them: at once, or when their solver has written what it has.
#[tauri::command]
#[specta::specta]
pub async fn study_stop(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
    runs: Vec<u32>,
    save: bool,
) -> Result<Option<Job>> {
    workshop.inner().study_stop(&folder, &runs, save)
}

/// Has runs calculate up to another end: those that run, and those that are over from what they wrote last.
#[tauri::command]
#[specta::specta]
pub async fn study_extend(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
    runs: Vec<u32>,
    to: String,
) -> Result<Option<Job>> {
    workshop.inner().study_extend(&folder, &runs, &to)
}

/// What a run was made of, as the text of its file.
#[tauri::command]
#[specta::specta]
pub async fn study_provenance(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
    number: u32,
) -> Result<String> {
    workshop.study_provenance(&folder, number)
}

/// Does a run once more from what is kept of it, and compares all files, as a job that fails where one is another.
#[tauri::command]
#[specta::specta]
pub async fn study_repeat(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
    number: u32,
) -> Result<Job> {
    workshop.inner().start_study_repeat(&folder, number)
}

/// Where each run of a study stands.
#[tauri::command]
#[specta::specta]
pub async fn study_runs(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
) -> Result<Vec<StudyRun>> {
    let runs = workshop.study_runs(&folder)?;
    Ok(runs.into_iter().map(StudyRun::from).collect())
}

/// What the solver of a run has said so far.
#[tauri::command]
#[specta::specta]
pub async fn study_series(
    workshop: State<'_, Arc<Workshop>>,
    folder: PathBuf,
    number: u32,
) -> Result<RunSeries> {
    workshop.study_series(&folder, number).await
}

/// Variables against outcomes, as CSV.
#[tauri::command]
#[specta::specta]
pub async fn study_results(workshop: State<'_, Arc<Workshop>>, folder: PathBuf) -> Result<String> {
    workshop.study_results(&folder)
}
