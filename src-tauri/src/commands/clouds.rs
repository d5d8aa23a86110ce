//! Clouds: profiles, what is there, what is wrong.

use std::path::PathBuf;
use std::sync::Arc;

use tauri::State;
use tauri::ipc::Channel;
use windlass_workshop::Workshop;
use windlass_workshop::clouds::{
    CleanUp, Cloud, CloudCheck, CloudForm, CloudImage, CloudImageFilter, CloudImagePage,
    CloudImported, CloudQuota, CloudServer, CloudServerChange, CloudServerChoices, CloudServerDeed,
    CloudServerPage, CloudThing, DeployChoices, DeployFrom, DeployOptions, PushOptions,
};
use windlass_workshop::error::Result;
use windlass_workshop::jobs::Job;

use crate::streams::{Bytes, Streams};

/// All clouds, by name.
#[tauri::command]
#[specta::specta]
pub async fn cloud_list(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<Cloud>> {
    workshop.clouds()
}

/// Adds a cloud.
#[tauri::command]
#[specta::specta]
pub async fn cloud_add(workshop: State<'_, Arc<Workshop>>, form: CloudForm) -> Result<Cloud> {
    workshop.add_cloud(form).await
}

/// Changes a cloud.
#[tauri::command]
#[specta::specta]
pub async fn cloud_update(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    form: CloudForm,
) -> Result<Cloud> {
    workshop.update_cloud(id, form).await
}

/// Forgets a cloud and its secret.
#[tauri::command]
#[specta::specta]
pub async fn cloud_remove(workshop: State<'_, Arc<Workshop>>, id: u32) -> Result<()> {
    workshop.remove_cloud(id).await
}

/// What a `clouds.yaml` or `openrc.sh` has.
#[tauri::command]
#[specta::specta]
pub async fn cloud_import_preview(
    workshop: State<'_, Arc<Workshop>>,
    path: PathBuf,
) -> Result<Vec<CloudImported>> {
    workshop.look_at_clouds(&path).await
}

/// Takes over clouds of a file; all of them where none is named.
#[tauri::command]
#[specta::specta]
pub async fn cloud_import(
    workshop: State<'_, Arc<Workshop>>,
    path: PathBuf,
    names: Vec<String>,
) -> Result<Vec<Cloud>> {
    workshop.import_clouds(&path, &names).await
}

/// Writes clouds as a `clouds.yaml`, without their secrets; all of them where none is named.
#[tauri::command]
#[specta::specta]
pub async fn cloud_export(
    workshop: State<'_, Arc<Workshop>>,
    ids: Vec<u32>,
    path: PathBuf,
) -> Result<()> {
    workshop.export_clouds(&ids, &path, false).await
}

/// Tries a cloud, step by step.
#[tauri::command]
#[specta::specta]
pub async fn cloud_check(workshop: State<'_, Arc<Workshop>>, id: u32) -> Result<CloudCheck> {
    workshop.check_cloud(id).await
}

/// How much of the project's shares is used.
#[tauri::command]
#[specta::specta]
pub async fn cloud_quotas(workshop: State<'_, Arc<Workshop>>, id: u32) -> Result<Vec<CloudQuota>> {
    workshop.cloud_quotas(id).await
}

/// Logs in with an application credential made for this computer from now on.
#[tauri::command]
#[specta::specta]
pub async fn cloud_credential_make(workshop: State<'_, Arc<Workshop>>, id: u32) -> Result<Cloud> {
    workshop.make_cloud_credential(id).await
}

/// A part of the list of a cloud's images.
#[tauri::command]
#[specta::specta]
pub async fn cloud_image_page(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    filter: CloudImageFilter,
    marker: Option<String>,
) -> Result<CloudImagePage> {
    workshop
        .cloud_image_page(id, &filter, marker.as_deref())
        .await
}

/// Changes who sees an image of a cloud, its name, or its tags.
#[tauri::command]
#[specta::specta]
pub async fn cloud_image_change(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    image: String,
    name: Option<String>,
    visibility: Option<String>,
    tags: Option<Vec<String>>,
) -> Result<CloudImage> {
    workshop
        .change_cloud_image(id, &image, name, visibility, tags)
        .await
}

/// Deletes an image of a cloud.
#[tauri::command]
#[specta::specta]
pub async fn cloud_image_delete(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    image: String,
) -> Result<()> {
    workshop.delete_cloud_image(id, &image).await
}

/// Fetches an image of a cloud into a file, as a job.
#[tauri::command]
#[specta::specta]
pub async fn cloud_image_fetch(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    image: String,
    path: PathBuf,
) -> Result<Job> {
    workshop.inner().start_cloud_image_fetch(id, &image, &path)
}

/// Sends an image to a cloud, as a job.
#[tauri::command]
#[specta::specta]
pub async fn cloud_image_push(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    image: String,
    options: PushOptions,
) -> Result<Job> {
    workshop.inner().start_push_image(id, &image, options)
}

/// What can be chosen to deploy an image or an appliance.
#[tauri::command]
#[specta::specta]
pub async fn cloud_deploy_choices(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    image: String,
    from: DeployFrom,
) -> Result<DeployChoices> {
    workshop.deploy_choices(id, &image, from).await
}

/// Deploys an image, as a job.
#[tauri::command]
#[specta::specta]
pub async fn cloud_deploy(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    image: String,
    options: DeployOptions,
) -> Result<Job> {
    workshop.inner().start_deploy(id, &image, options)
}

/// The end of what a server said on its console.
#[tauri::command]
#[specta::specta]
pub async fn cloud_server_log(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    server: String,
    lines: Option<u32>,
) -> Result<String> {
    workshop.cloud_server_log(id, &server, lines).await
}

/// A part of the list of a cloud's servers, or of what changed.
#[tauri::command]
#[specta::specta]
pub async fn cloud_server_page(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    since: Option<String>,
    marker: Option<String>,
) -> Result<CloudServerPage> {
    workshop
        .cloud_server_page(id, since.as_deref(), marker.as_deref())
        .await
}

/// One server.
#[tauri::command]
#[specta::specta]
pub async fn cloud_server(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    server: String,
) -> Result<CloudServer> {
    workshop.cloud_server(id, &server).await
}

/// A server as Nova shows it, as JSON.
#[tauri::command]
#[specta::specta]
pub async fn cloud_server_as_shown(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    server: String,
) -> Result<String> {
    workshop.cloud_server_as_shown(id, &server).await
}

/// What was done with a server, the newest first.
#[tauri::command]
#[specta::specta]
pub async fn cloud_server_history(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    server: String,
) -> Result<Vec<CloudServerDeed>> {
    workshop.cloud_server_history(id, &server).await
}

/// What the servers of a cloud can be given.
#[tauri::command]
#[specta::specta]
pub async fn cloud_server_choices(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
) -> Result<CloudServerChoices> {
    workshop.cloud_server_choices(id).await
}

/// What a server says on its console, as bytes: its log, followed; with `serial` its serial line, to type into.
#[tauri::command]
#[specta::specta]
pub async fn cloud_server_console_open(
    workshop: State<'_, Arc<Workshop>>,
    streams: State<'_, Streams>,
    id: u32,
    server: String,
    serial: bool,
    on_bytes: Channel<Bytes>,
) -> Result<String> {
    let console = if serial {
        workshop.cloud_server_serial(id, &server).await?
    } else {
        workshop.follow_cloud_server(id, &server).await?
    };
    Ok(streams.open_server(console, true, on_bytes))
}

/// The display of a server: the bytes of the VNC protocol.
#[tauri::command]
#[specta::specta]
pub async fn cloud_server_display_open(
    workshop: State<'_, Arc<Workshop>>,
    streams: State<'_, Streams>,
    id: u32,
    server: String,
    on_bytes: Channel<Bytes>,
) -> Result<String> {
    let display = workshop.cloud_server_display(id, &server).await?;
    Ok(streams.open_server(display, false, on_bytes))
}

/// Does something with a server, as a job.
#[tauri::command]
#[specta::specta]
pub async fn cloud_server_change(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    server: String,
    name: Option<String>,
    change: CloudServerChange,
) -> Result<Job> {
    workshop
        .inner()
        .start_cloud_server_change(id, &server, name.as_deref(), change)
}

/// What Windlass made in a cloud.
#[tauri::command]
#[specta::specta]
pub async fn cloud_leftovers(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
) -> Result<Vec<CloudThing>> {
    workshop.cloud_leftovers(id, None).await
}

/// Takes away what Windlass made in a cloud, as a job.
#[tauri::command]
#[specta::specta]
pub async fn cloud_cleanup(
    workshop: State<'_, Arc<Workshop>>,
    id: u32,
    what: CleanUp,
) -> Result<Job> {
    workshop.inner().start_cloud_cleanup(id, what)
}
