//! What goes over a machine's network cards, kept as a pcap file for other programs to look into.

use std::path::PathBuf;

use serde_json::json;

use crate::control::{Turn, take_turn};
use crate::error::{Error, Result};
use crate::handle::MachineHandle;
use crate::qmp::Command;

/// More files than anybody keeps.
const CAPTURES_MAX: u32 = 10_000;
/// Of longer frames, this is kept.
const FRAME_MAX_BYTES: u32 = 65_536;

impl MachineHandle {
    /// Begins to keep what goes over a card: that of a private network, or the one behind this computer's address. Gives
    /// the file, which grows until [`stop_capture`](Self::stop_capture) or the machine's end.
    ///
    /// # Errors
    /// [`Error::WrongState`] unless it runs; [`Error::Network`] where it has no such card; QEMU's refusal.
    pub async fn start_capture(&self, network: Option<&str>) -> Result<PathBuf> {
        let spec = self.spec();
        let card = match network {
            None => spec.network.is_some().then(|| "net0".to_owned()),
            Some(name) => {
                let joins = self.status().borrow().networks.clone();
                let place = joins.iter().position(|join| join.network == name);
                place.map(|index| format!("private{index}"))
            }
        };
        let card = card.ok_or_else(|| Error::Network {
            network: network.unwrap_or("of this computer").to_owned(),
            problem: "the machine has no card there".to_owned(),
        })?;
        let turn = self.turn().await?;
        if captures(&turn).await?.contains(&format!("capture-{card}")) {
            return Err(Error::Network {
                network: network.unwrap_or("of this computer").to_owned(),
                problem: "its traffic is being kept already".to_owned(),
            });
        }
        let file = (1..CAPTURES_MAX)
            .map(|number| self.shared.folder.capture(number))
            .find(|path| !path.exists())
            .unwrap_or_else(|| self.shared.folder.capture(CAPTURES_MAX));
        // QEMU may write what is there, and make nothing.
        std::fs::write(&file, b"").map_err(Error::io("write", &file))?;
        let filter = json!({
            "qom-type": "filter-dump",
            "id": format!("capture-{card}"),
            "netdev": card,
            "file": file.to_string_lossy(),
            "maxlen": FRAME_MAX_BYTES,
        });
        turn.execute(Command::with("object-add", filter)).await?;
        Ok(file)
    }

    /// Ends all captures.
    ///
    /// # Errors
    /// [`Error::WrongState`] unless it runs.
    pub async fn stop_capture(&self) -> Result<()> {
        let turn = self.turn().await?;
        for id in captures(&turn).await? {
            let filter = json!({ "id": id });
            turn.execute(Command::with("object-del", filter)).await?;
        }
        Ok(())
    }

    /// The files with what was kept so far, oldest first, and whether more is being kept.
    ///
    /// # Errors
    /// If the machine's folder cannot be read, or QEMU does not answer.
    pub async fn captures(&self) -> Result<(Vec<PathBuf>, bool)> {
        let files = (1..=CAPTURES_MAX)
            .map(|number| self.shared.folder.capture(number))
            .take_while(|path| path.exists())
            .collect();
        let is_live = self.status().borrow().state.is_live();
        let goes_on = is_live && !captures(&self.turn().await?).await?.is_empty();
        Ok((files, goes_on))
    }

    async fn turn(&self) -> Result<Turn> {
        let state = self.status().borrow().state;
        if !state.is_live() {
            return Err(Error::WrongState {
                request: "capture the traffic of",
                state,
            });
        }
        take_turn(&self.shared.sockets()?).await
    }
}

/// The filters of ours that QEMU has.
async fn captures(turn: &Turn) -> Result<Vec<String>> {
    let path = json!({ "path": "/objects" });
    let objects = turn.execute(Command::with("qom-list", path)).await?;
    let objects = objects.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(objects
        .iter()
        .filter(|object| object["type"] == "child<filter-dump>")
        .filter_map(|object| object["name"].as_str().map(str::to_owned))
        .filter(|name| name.starts_with("capture-"))
        .collect())
}
