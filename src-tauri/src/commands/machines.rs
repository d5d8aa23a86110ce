//! Machines, their consoles and displays.

use std::path::PathBuf;
use std::sync::Arc;

use tauri::State;
use tauri::ipc::{Channel, InvokeBody, Request};
use windlass_workshop::Workshop;
use windlass_workshop::error::{AppError, ErrorKind, Result};
use windlass_workshop::group_files::{GroupFigure, GroupView};
use windlass_workshop::jobs::Job;
use windlass_workshop::machines::{
    GroupPlace, LoadPoint, Loads, Machine, MachineDetails, MachineResources, MemoryShortage, Pushed,
};

use crate::streams::{Bytes, Streams};

/// All machines.
#[tauri::command]
#[specta::specta]
pub async fn machine_list(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<Machine>> {
    workshop.machines()
}

/// Starts a machine that is not running.
#[tauri::command]
#[specta::specta]
pub async fn machine_start(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.start_machine(&id).await
}

/// Halts the guest where it is.
#[tauri::command]
#[specta::specta]
pub async fn machine_pause(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.pause_machine(&id).await
}

/// Lets a paused guest go on.
#[tauri::command]
#[specta::specta]
pub async fn machine_resume(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.resume_machine(&id).await
}

/// Asks the guest to end, and ends it when it does not.
#[tauri::command]
#[specta::specta]
pub async fn machine_stop(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.stop_machine(&id).await
}

/// Ends a machine at once.
#[tauri::command]
#[specta::specta]
pub async fn machine_kill(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.kill_machine(&id).await
}

/// Stops a machine where it runs, and starts it.
#[tauri::command]
#[specta::specta]
pub async fn machine_restart(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.restart_machine(&id).await
}

/// Makes a machine that is as another one.
#[tauri::command]
#[specta::specta]
pub async fn machine_clone(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    name: Option<String>,
    with_changes: bool,
) -> Result<Machine> {
    workshop
        .clone_machine(&id, name.as_deref(), with_changes)
        .await
}

/// Puts a machine into a group, or takes it out of its group.
#[tauri::command]
#[specta::specta]
pub async fn machine_group(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    place: Option<GroupPlace>,
) -> Result<()> {
    workshop.set_machine_group(&id, place).await
}

/// How much of this computer a machine may take.
#[tauri::command]
#[specta::specta]
pub async fn machine_resources(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
) -> Result<MachineResources> {
    workshop.machine_resources(&id)
}

/// Changes how much of this computer a machine may take, from its next start on.
#[tauri::command]
#[specta::specta]
pub async fn machine_resources_set(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    resources: MachineResources,
) -> Result<()> {
    workshop.set_machine_resources(&id, resources).await
}

/// Whether this computer lacks the memory to start some machines, and new ones of an appliance beside them.
#[tauri::command]
#[specta::specta]
pub async fn machine_memory_shortage(
    workshop: State<'_, Arc<Workshop>>,
    machines: Vec<String>,
    appliance: Option<String>,
    memory_mib: Option<u32>,
    count: u32,
) -> Result<Option<MemoryShortage>> {
    workshop.memory_shortage(&machines, appliance.as_deref(), memory_mib, count)
}

/// Writes what a report of trouble with a machine needs, without secrets.
#[tauri::command]
#[specta::specta]
pub async fn machine_debug_bundle(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    path: PathBuf,
) -> Result<()> {
    workshop.inner().debug_bundle(&id, &path).await
}

/// Starts the machines of a group's file.
#[tauri::command]
#[specta::specta]
pub async fn group_up(workshop: State<'_, Arc<Workshop>>, path: PathBuf) -> Result<Job> {
    workshop.start_group_up(&path)
}

/// A group by its name, or by the path of its file or folder.
#[tauri::command]
#[specta::specta]
pub async fn group_view(workshop: State<'_, Arc<Workshop>>, group: String) -> Result<GroupView> {
    workshop.group_view(&group)
}

/// The figures that a group's services say of themselves.
#[tauri::command]
#[specta::specta]
pub async fn group_figures(
    workshop: State<'_, Arc<Workshop>>,
    group: String,
) -> Result<Vec<GroupFigure>> {
    workshop.group_figures(&group).await
}

/// Starts the machines of a group in their order.
#[tauri::command]
#[specta::specta]
pub async fn group_start(workshop: State<'_, Arc<Workshop>>, name: String) -> Result<()> {
    workshop.start_group(&name).await
}

/// Stops the machines of a group, the last to start first.
#[tauri::command]
#[specta::specta]
pub async fn group_stop(workshop: State<'_, Arc<Workshop>>, name: String) -> Result<()> {
    workshop.stop_group(&name).await
}

/// Deletes the machines of a group.
#[tauri::command]
#[specta::specta]
pub async fn group_delete(workshop: State<'_, Arc<Workshop>>, name: String) -> Result<()> {
    workshop.delete_group(&name).await
}

/// Deletes a machine with its console log and its writes.
#[tauri::command]
#[specta::specta]
pub async fn machine_delete(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<()> {
    workshop.delete_machine(&id).await
}

/// Gives a machine another name.
#[tauri::command]
#[specta::specta]
pub async fn machine_rename(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    name: String,
) -> Result<()> {
    workshop.rename_machine(&id, &name).await
}

/// The exact QEMU command, and where things are.
#[tauri::command]
#[specta::specta]
pub async fn machine_details(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
) -> Result<MachineDetails> {
    workshop.machine_details(&id)
}

/// Saves what the display shows now as a PNG file.
#[tauri::command]
#[specta::specta]
pub async fn machine_screenshot(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    path: PathBuf,
) -> Result<()> {
    workshop.save_screenshot(&id, &path).await
}

/// What the display shows now, as a small PNG.
#[tauri::command]
#[specta::specta]
pub async fn machine_thumbnail(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    width: u32,
    height: u32,
) -> Result<Bytes> {
    Ok(Bytes(workshop.machine_thumbnail(&id, width, height).await?))
}

/// Sends what changed in the appliance to a machine that runs.
#[tauri::command]
#[specta::specta]
pub async fn machine_push(workshop: State<'_, Arc<Workshop>>, id: String) -> Result<Job> {
    workshop.start_push(&id)
}

/// What a push would do now.
#[tauri::command]
#[specta::specta]
pub async fn machine_push_preview(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
) -> Result<Pushed> {
    workshop.push_preview(&id).await
}

/// What the last push to a machine did.
#[tauri::command]
#[specta::specta]
pub async fn machine_last_push(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
) -> Result<Option<Pushed>> {
    workshop.last_push(&id)
}

/// Opens a forwarded port in the browser.
#[tauri::command]
#[specta::specta]
pub async fn machine_open_port(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    guest_port: u16,
) -> Result<()> {
    workshop.open_port(&id, guest_port)
}

/// Streams the console from a byte on; the stream's id.
#[tauri::command]
#[specta::specta]
pub async fn console_open(
    workshop: State<'_, Arc<Workshop>>,
    streams: State<'_, Streams>,
    id: String,
    from_byte: u64,
    on_bytes: Channel<Bytes>,
) -> Result<String> {
    let console = workshop.console(&id, from_byte)?.for_a_screen();
    Ok(streams.open_console(console, on_bytes))
}

/// Says that so many bytes of a console were drawn.
#[tauri::command]
#[specta::specta]
pub async fn console_acknowledge(
    streams: State<'_, Streams>,
    stream: String,
    bytes: u32,
) -> Result<()> {
    streams.acknowledge(&stream, bytes as usize)
}

/// Saves the whole console log as a file.
#[tauri::command]
#[specta::specta]
pub async fn console_save(
    workshop: State<'_, Arc<Workshop>>,
    id: String,
    path: PathBuf,
) -> Result<()> {
    workshop.save_console(&id, &path).await
}

/// Streams the display; the stream's id.
#[tauri::command]
#[specta::specta]
pub async fn display_open(
    workshop: State<'_, Arc<Workshop>>,
    streams: State<'_, Streams>,
    id: String,
    on_bytes: Channel<Bytes>,
) -> Result<String> {
    Ok(streams.open_display(workshop.display(&id).await?, on_bytes))
}

/// Closes a stream.
#[tauri::command]
#[specta::specta]
pub async fn stream_close(streams: State<'_, Streams>, stream: String) -> Result<()> {
    streams.close(&stream);
    Ok(())
}

/// Sends raw bytes into a stream, which the header `stream` names. Raw bodies cannot be described
/// to tauri-specta: the window's wrapper for this command is written by hand.
#[tauri::command]
pub async fn stream_write(streams: State<'_, Streams>, request: Request<'_>) -> Result<()> {
    let stream = request
        .headers()
        .get("stream")
        .and_then(|value| value.to_str().ok());
    match (stream, request.body()) {
        (Some(stream), InvokeBody::Raw(bytes)) => streams.write(stream, bytes.clone()).await,
        _ => Err(AppError::new(
            ErrorKind::Input,
            "A stream takes raw bytes and a header that names it",
        )),
    }
}

/// What this computer and its machines did after a time, in milliseconds since 1970.
#[tauri::command]
#[specta::specta]
pub async fn machine_loads(workshop: State<'_, Arc<Workshop>>, since: u64) -> Result<Loads> {
    Ok(workshop.loads(since))
}

/// What a machine, or this computer, did in the last minutes.
#[tauri::command]
#[specta::specta]
pub async fn machine_load_history(
    workshop: State<'_, Arc<Workshop>>,
    id: Option<String>,
    minutes: u32,
) -> Result<Vec<LoadPoint>> {
    workshop.load_history(id.as_deref(), minutes)
}
