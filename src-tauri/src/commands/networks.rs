//! Private networks, and what goes over the cards of machines.

use std::sync::Arc;

use tauri::State;
use windlass_workshop::Workshop;
use windlass_workshop::error::Result;
use windlass_workshop::machines::{Captures, NetworkPlace, PrivateNetwork};

/// The bridges and tap devices of this computer that a machine can be on: `bridge:br0`, `tap:tap0`.
#[tauri::command]
#[specta::specta]
pub async fn host_links(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<String>> {
    Ok(workshop.host_links())
}

/// All private networks, by name.
#[tauri::command]
#[specta::specta]
pub async fn private_networks(workshop: State<'_, Arc<Workshop>>) -> Result<Vec<PrivateNetwork>> {
    workshop.private_networks().await
}

/// Begins to keep what goes over a machine's card; gives the file.
#[tauri::command]
#[specta::specta]
pub async fn capture_start(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    network: Option<String>,
) -> Result<String> {
    workshop.start_capture(&machine, network.as_deref()).await
}

/// Ends all captures of a machine.
#[tauri::command]
#[specta::specta]
pub async fn capture_stop(workshop: State<'_, Arc<Workshop>>, machine: String) -> Result<Captures> {
    workshop.stop_capture(&machine).await
}

/// What was kept of a machine's traffic.
#[tauri::command]
#[specta::specta]
pub async fn captures(workshop: State<'_, Arc<Workshop>>, machine: String) -> Result<Captures> {
    workshop.captures(&machine).await
}

/// Puts a machine on a private network, from its next start on.
#[tauri::command]
#[specta::specta]
pub async fn network_join(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    place: NetworkPlace,
) -> Result<()> {
    workshop.join_network(&machine, place).await
}

/// Takes a machine off a private network, from its next start on.
#[tauri::command]
#[specta::specta]
pub async fn network_leave(
    workshop: State<'_, Arc<Workshop>>,
    machine: String,
    network: String,
) -> Result<()> {
    workshop.leave_network(&machine, &network).await
}
