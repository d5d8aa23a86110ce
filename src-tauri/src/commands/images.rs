//! Images, looked at from inside, and what can be done with them.

use std::path::PathBuf;
use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::images::{
    ComparisonFilter, ConvertOptions, ImageComparison, ImageEntry, ImageFormat, ImageFound,
    ImageInfo, ImageSize, ImageText, ImageVerification, ImportedImage, ListKind,
};

use crate::desktop::Desktop;
use crate::drag::DragEnd;

/// What an image is.
#[tauri::command]
#[specta::specta]
pub async fn image_info(workshop: State<'_, Arc<Workshop>>, image: String) -> Result<ImageInfo> {
    workshop.image_info(&image).await
}

/// What is directly in a folder of an image.
#[tauri::command]
#[specta::specta]
pub async fn image_list(
    workshop: State<'_, Arc<Workshop>>,
    image: String,
    volume: Option<u32>,
    path: String,
) -> Result<Vec<ImageEntry>> {
    workshop.image_list(&image, volume, &path).await
}

/// The paths of an image that have a text in their names.
#[tauri::command]
#[specta::specta]
pub async fn image_search(
    workshop: State<'_, Arc<Workshop>>,
    image: String,
    volume: Option<u32>,
    text: String,
    limit: u32,
) -> Result<ImageFound> {
    workshop.image_search(&image, volume, &text, limit).await
}

/// The text of a file in an image.
#[tauri::command]
#[specta::specta]
pub async fn image_read_text(
    workshop: State<'_, Arc<Workshop>>,
    image: String,
    volume: Option<u32>,
    path: String,
) -> Result<ImageText> {
    workshop.image_read_text(&image, volume, &path).await
}

/// How much each child of a folder holds, largest first.
#[tauri::command]
#[specta::specta]
pub async fn image_sizes(
    workshop: State<'_, Arc<Workshop>>,
    image: String,
    volume: Option<u32>,
    path: String,
) -> Result<Vec<ImageSize>> {
    workshop.image_sizes(&image, volume, &path).await
}

/// Lets the user drag files and folders of an image into another program; ends when they were let go.
#[tauri::command]
#[specta::specta]
pub async fn image_drag_out(
    workshop: State<'_, Arc<Workshop>>,
    desktop: State<'_, Desktop>,
    image: String,
    volume: Option<u32>,
    paths: Vec<String>,
) -> Result<DragEnd> {
    let ready = workshop
        .inner()
        .stage_for_drag(&image, volume, &paths)
        .await?;
    Ok(desktop.drag_out(ready).await)
}

/// Copies files and folders of an image into a folder; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn image_extract(
    workshop: State<'_, Arc<Workshop>>,
    image: String,
    volume: Option<u32>,
    paths: Vec<String>,
    folder: PathBuf,
) -> Result<String> {
    let job = workshop
        .inner()
        .start_extract(&image, volume, &paths, folder, false)?;
    Ok(job.id)
}

/// Compares an image with the digests in its list of files; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn image_verify(workshop: State<'_, Arc<Workshop>>, image: String) -> Result<String> {
    Ok(workshop.inner().start_image_verify(&image)?.id)
}

/// What a verification found.
#[tauri::command]
#[specta::specta]
pub async fn image_verification(
    workshop: State<'_, Arc<Workshop>>,
    job_id: String,
) -> Result<ImageVerification> {
    workshop.image_verification(&job_id).await
}

/// Compares an image with another one, or with a folder; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn image_compare(
    workshop: State<'_, Arc<Workshop>>,
    left: String,
    right: String,
) -> Result<String> {
    Ok(workshop.inner().start_compare(&left, &right)?.id)
}

/// A page of what a comparison found.
#[tauri::command]
#[specta::specta]
pub async fn image_comparison(
    workshop: State<'_, Arc<Workshop>>,
    job_id: String,
    filter: ComparisonFilter,
    offset: u32,
    limit: u32,
) -> Result<ImageComparison> {
    workshop
        .image_comparison(&job_id, filter, offset, limit)
        .await
}

/// Sets the boot command line that an image carries.
#[tauri::command]
#[specta::specta]
pub async fn image_set_command_line(
    workshop: State<'_, Arc<Workshop>>,
    image: String,
    text: String,
) -> Result<()> {
    workshop.set_image_command_line(&image, &text).await
}

/// Gives a file of an image the bytes of a file of this computer.
#[tauri::command]
#[specta::specta]
pub async fn image_replace_file(
    workshop: State<'_, Arc<Workshop>>,
    image: String,
    volume: Option<u32>,
    path: String,
    from: PathBuf,
) -> Result<()> {
    workshop
        .replace_image_file(&image, volume, &path, from)
        .await
}

/// Writes an image in another format; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn image_convert(
    workshop: State<'_, Arc<Workshop>>,
    image: String,
    destination: PathBuf,
    format: ImageFormat,
    options: ConvertOptions,
) -> Result<String> {
    let job = workshop
        .inner()
        .start_convert(&image, &destination, format, options)?;
    Ok(job.id)
}

/// Takes an image of any format into the library; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn image_import(workshop: State<'_, Arc<Workshop>>, path: PathBuf) -> Result<String> {
    Ok(workshop.inner().start_image_import(&path)?.id)
}

/// Makes the disk of an image larger or smaller; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn image_resize(
    workshop: State<'_, Arc<Workshop>>,
    image: String,
    size_bytes: u64,
) -> Result<String> {
    Ok(workshop.inner().start_image_resize(&image, size_bytes)?.id)
}

/// The images that came from elsewhere, newest first.
#[tauri::command]
#[specta::specta]
pub async fn images(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<ImportedImage>> {
    workshop.imported_images().await
}

/// Deletes an image that came from elsewhere.
#[tauri::command]
#[specta::specta]
pub async fn image_delete(workshop: State<'_, Arc<Workshop>>, image: String) -> Result<()> {
    workshop.delete_imported_image(&image).await
}

/// Writes lists of what is in a build into a folder; the job's id.
#[tauri::command]
#[specta::specta]
pub async fn build_export_lists(
    workshop: State<'_, Arc<Workshop>>,
    build: String,
    folder: PathBuf,
    kinds: Vec<ListKind>,
) -> Result<String> {
    let job = workshop
        .inner()
        .start_export_lists(&build, folder, &kinds)?;
    Ok(job.id)
}
