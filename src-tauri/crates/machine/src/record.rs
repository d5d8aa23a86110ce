//! A machine's record on disk, `machine.json`: what it is made of, and how its present or last run stands.
//!
//! It is written by whoever holds the machine's lock (or creates it), beside and then renamed, so that readers see
//! the old or the new one, never a half.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::lifecycle::Wish;
use crate::paths::{MachineFolder, UNFINISHED};
use crate::spec::MachineSpec;
use crate::status::Status;

/// The layout of the record; a reader that meets a higher one leaves the machine alone.
const VERSION: u32 = 1;

/// All that is kept of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    version: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) spec: MachineSpec,
    pub(crate) status: Status,
    pub(crate) run: Option<Run>,
}

/// The present or last run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    /// The folder of its sockets; another process may have another idea of the runtime folder.
    pub(crate) sockets: PathBuf,
    /// QEMU's command line, program first; text for people, so bytes that are no UTF-8 are lost.
    pub(crate) command: Vec<String>,
    /// The version of that QEMU.
    pub(crate) qemu_version: String,
    /// Where in the console log it begins, in bytes.
    pub(crate) console_start: u64,
    /// QEMU's process: its id alone says nothing, it may be another's by now.
    pub(crate) process: Option<ProcessKey>,
    /// What the user wanted last of it; whoever takes it over has to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wish: Option<Wish>,
}

/// A process that cannot be mistaken for another one, however often ids come round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessKey {
    pub(crate) pid: i32,
    /// When it was started, in clock ticks since the host's start (`/proc/PID/stat`, field 22).
    pub(crate) start_ticks: u64,
    /// Which start of the host that was (`/proc/sys/kernel/random/boot_id`).
    pub(crate) boot_id: String,
}

/// How much a write has to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The end of this process.
    Process,
    /// A power cut.
    Power,
}

impl Record {
    pub(crate) fn new(spec: MachineSpec) -> Self {
        Self {
            version: VERSION,
            created_at: Timestamp::now(),
            spec,
            status: Status::default(),
            run: None,
        }
    }

    /// Stands in for a record that cannot be read, so that the machine can be shown and deleted.
    pub(crate) fn unreadable(id: &str) -> Self {
        Self::new(MachineSpec {
            id: id.to_owned(),
            name: id.to_owned(),
            guest: windlass_guest::GuestOs::Linux,
            vcpus: 1,
            memory_mib: 0,
            boot: crate::spec::Boot::Disk,
            disks: Vec::new(),
            network: None,
            networks: Vec::new(),
            display: false,
            agent: false,
            shares: Vec::new(),
            disposable: false,
            patience: crate::spec::Patience::default(),
            console_max_mib: crate::spec::console_max_mib(),
            resources: crate::spec::Resources::default(),
            group: None,
            labels: serde_json::Value::Null,
        })
    }

    pub(crate) fn read(folder: &MachineFolder) -> Result<Self> {
        let path = folder.record();
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        Self::parse(&bytes).map_err(|source| Error::Record { path, source })
    }

    fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let record: Self = serde_json::from_slice(bytes)?;
        if record.version > VERSION {
            return Err(serde::de::Error::custom(format!(
                "written by a newer Windlass (layout {}, this one knows {VERSION})",
                record.version
            )));
        }
        Ok(record)
    }

    pub(crate) fn write(&self, folder: &MachineFolder, durability: Durability) -> Result<()> {
        let path = folder.record();
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|source| Error::Record {
            path: path.clone(),
            source,
        })?;
        bytes.push(b'\n');
        write_atomically(&path, &bytes, durability).map_err(Error::io("write", path))
    }
}

/// A file that is renamed when it is whole; what a kill leaves of it is recognised by its name.
pub(crate) fn beside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(folder)
}

/// Writes beside and renames.
pub(crate) fn write_atomically(
    path: &Path,
    bytes: &[u8],
    durability: Durability,
) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = beside(folder)?;
    file.write_all(bytes)?;
    if durability == Durability::Power {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    if durability == Durability::Power {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_a_new_machine_and_what_reads_it_back() {
        let mut record = Record::unreadable("hello-1");
        record.created_at = Timestamp::UNIX_EPOCH;
        let text = serde_json::to_string_pretty(&record).unwrap();
        assert_eq!(Record::parse(text.as_bytes()).unwrap(), record);
        insta::assert_snapshot!(text, @r#"
    {
      "version": 1,
      "createdAt": "1970-01-01T00:00:00Z",
      "spec": {
        "id": "hello-1",
        "name": "hello-1",
        "guest": "linux",
        "vcpus": 1,
        "memory_mib": 0,
        "boot": {
          "kind": "disk"
        },
        "disks": [],
        "network": null,
        "display": false,
        "patience": {
          "stop_ms": 10000,
          "power_ms": 5000,
          "address_ms": 45000
        },
        "console_max_mib": 128
      },
      "status": {
        "state": "created",
        "exitStatus": null,
        "message": null,
        "remedy": null,
        "ports": [],
        "address": null,
        "networks": [],
        "accelerator": null,
        "startedAt": null,
        "endedAt": null,
        "pid": null,
        "notices": []
      },
      "run": null
    }
        "#);
    }

    #[test]
    fn records_of_the_future_are_left_alone() {
        let mut record = Record::unreadable("hello-1");
        record.version = VERSION + 1;
        let text = serde_json::to_string(&record).unwrap();
        let error = Record::parse(text.as_bytes()).unwrap_err();
        insta::assert_snapshot!(error, @"written by a newer Windlass (layout 2, this one knows 1)");
    }
}
