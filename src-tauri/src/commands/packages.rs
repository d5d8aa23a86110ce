//! Packages: found, described, fetched, published, made.

use std::path::PathBuf;
use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::appliances::TreeEntry;
use windlass_workshop::error::Result;
use windlass_workshop::jobs::Job;
use windlass_workshop::packages::{
    AcceptedDigest, Graph, PackageDetails, PackageFilter, PackagePage, PackageUpdate,
};
use windlass_workshop::packing::{PackKind, PackOptions, PackPreview, PackSource};
use windlass_workshop::recipes::RecipeInfo;

/// Packages of the library and of all registries; an empty query finds all.
#[tauri::command]
#[specta::specta]
pub async fn package_search(
    workshop: State<'_, Arc<Workshop>>,
    query: String,
    filter: PackageFilter,
    offset: u32,
    limit: u32,
) -> Result<PackagePage> {
    workshop
        .search_packages(&query, &filter, offset, limit)
        .await
}

/// All that is known of a package.
#[tauri::command]
#[specta::specta]
pub async fn package_details(
    workshop: State<'_, Arc<Workshop>>,
    name: String,
    version: Option<String>,
) -> Result<PackageDetails> {
    workshop
        .inner()
        .package_details(&name, version.as_deref())
        .await
}

/// One folder of a package's files.
#[tauri::command]
#[specta::specta]
pub async fn package_tree(
    workshop: State<'_, Arc<Workshop>>,
    name: String,
    version: Option<String>,
    path: String,
) -> Result<Vec<TreeEntry>> {
    workshop
        .package_tree(&name, version.as_deref(), &path)
        .await
}

/// What a package needs, and what that needs.
#[tauri::command]
#[specta::specta]
pub async fn package_graph(
    workshop: State<'_, Arc<Workshop>>,
    name: String,
    version: Option<String>,
) -> Result<Graph> {
    workshop
        .inner()
        .package_graph(&name, version.as_deref())
        .await
}

/// Fetches a package with all that it needs.
#[tauri::command]
#[specta::specta]
pub async fn package_pull(
    workshop: State<'_, Arc<Workshop>>,
    name: String,
    version: Option<String>,
    registry_id: Option<u32>,
) -> Result<Job> {
    workshop
        .inner()
        .start_pull(&name, version.as_deref(), registry_id)
}

/// Removes a package, or one version of it, from the library.
#[tauri::command]
#[specta::specta]
pub async fn package_remove(
    workshop: State<'_, Arc<Workshop>>,
    name: String,
    version: Option<String>,
) -> Result<()> {
    workshop.remove_package(&name, version.as_deref()).await
}

/// Accepts that a registry's package is another one than that seen first.
#[tauri::command]
#[specta::specta]
pub async fn package_accept_digest(
    workshop: State<'_, Arc<Workshop>>,
    registry_id: u32,
    name: String,
    version: Option<String>,
    found: Option<String>,
) -> Result<AcceptedDigest> {
    workshop
        .inner()
        .accept_digest(registry_id, &name, version.as_deref(), found.as_deref())
        .await
}

/// Gives a package of the library to a registry.
#[tauri::command]
#[specta::specta]
pub async fn package_publish(
    workshop: State<'_, Arc<Workshop>>,
    name: String,
    version: Option<String>,
    registry_id: u32,
) -> Result<Job> {
    workshop
        .inner()
        .start_publish(&name, version.as_deref(), registry_id)
}

/// Writes a package as `.mpm`, with its manifest beside it.
#[tauri::command]
#[specta::specta]
pub async fn package_export(
    workshop: State<'_, Arc<Workshop>>,
    name: String,
    version: Option<String>,
    path: PathBuf,
) -> Result<Job> {
    workshop
        .inner()
        .start_export(&name, version.as_deref(), &path)
}

/// Which packages of the library a registry has newer versions of.
#[tauri::command]
#[specta::specta]
pub async fn package_update_plan(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<PackageUpdate>> {
    workshop.inner().update_plan().await
}

/// Fetches the newest versions of packages.
#[tauri::command]
#[specta::specta]
pub async fn package_update(workshop: State<'_, Arc<Workshop>>, names: Vec<String>) -> Result<Job> {
    workshop.inner().start_update(&names)
}

/// What a dropped thing can be packed as, best first.
#[tauri::command]
#[specta::specta]
pub async fn pack_kinds(
    workshop: State<'_, Arc<Workshop>>,
    path: PathBuf,
) -> Result<Vec<PackKind>> {
    workshop.pack_kinds(&path).await
}

/// Fetches a container image that is not on this computer, so that a preview of it is there at once; nothing where it
/// is here already.
#[tauri::command]
#[specta::specta]
pub async fn pack_fetch_image(
    workshop: State<'_, Arc<Workshop>>,
    source: PackSource,
) -> Result<Option<Job>> {
    workshop.inner().start_fetch_image(&source)
}

/// The package that would be made; nothing is written.
#[tauri::command]
#[specta::specta]
pub async fn pack_preview(
    workshop: State<'_, Arc<Workshop>>,
    source: PackSource,
    options: PackOptions,
) -> Result<PackPreview> {
    workshop.pack_preview(source, options).await
}

/// Makes the package and puts it into the library.
#[tauri::command]
#[specta::specta]
pub async fn pack_make(
    workshop: State<'_, Arc<Workshop>>,
    source: PackSource,
    options: PackOptions,
    package_yaml: String,
    run_yaml: Option<String>,
) -> Result<Job> {
    workshop
        .inner()
        .start_pack(&source, options, package_yaml, run_yaml)
}

/// The families of packages that can be made here, and which of them the library has.
#[tauri::command]
#[specta::specta]
pub async fn recipe_list(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<RecipeInfo>> {
    Ok(workshop.recipes())
}

/// Makes packages by recipe, as a job; the package files come from the package manager, or from a folder.
#[tauri::command]
#[specta::specta]
pub async fn recipe_build(
    workshop: State<'_, Arc<Workshop>>,
    names: Vec<String>,
    from: Option<PathBuf>,
) -> Result<Job> {
    workshop.inner().start_recipe(&names, from.as_deref())
}
