//! What a report of trouble with a machine needs, as one file: without secrets.
//!
//! ```text
//! NAME.zip
//! ├── about.json        Windlass, the system, the doctor's findings, this computer's memory and processors
//! ├── machine.json      the machine's record: what it is made of, how its run stands
//! ├── command.txt       QEMU's command line
//! ├── console.log       the first and the last of what the guest said
//! ├── qemu.log          what QEMU said
//! ├── job.log           what the job said that made it
//! └── windlass.log      the last of Windlass's own log
//! ```
//!
//! Out of all of it goes what is known to be secret: values of variables that a package calls secret or whose name does, and
//! what registries are logged in to with; and what looks like one: passwords in addresses, headers that log in.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_machine::{Boot, HostUsage, MachineHandle};
use zip::write::SimpleFileOptions;

use super::labels;
use super::redact::{Redactor, is_secret_name};
use crate::Workshop;
use crate::error::Result;
use crate::packages::VariableKind;

/// What is taken of the beginning and of the end of a console.
const CONSOLE_MAX_BYTES: u64 = 2 << 20;
/// What is taken of the end of each other log.
const LOG_MAX_BYTES: u64 = 512 << 10;
/// Among so many of the last jobs, the one that made the machine is looked for.
const JOBS: u32 = 200;

impl Workshop {
    /// Writes what a report of trouble with a machine needs, without secrets, as a ZIP.
    ///
    /// # Errors
    /// When the file cannot be written; nothing of it is left then.
    pub async fn debug_bundle(self: &Arc<Self>, id: &str, path: &Path) -> Result<()> {
        let handle = self.machine_handle(id)?;
        let mut redactor = self.redactor(&handle);
        for secret in self.registry_secrets().await {
            redactor.hide(&secret);
        }
        let doctor = self.doctor().await;
        let workshop = Arc::clone(self);
        let path = path.to_path_buf();
        crate::blocking(move || {
            let details = handle.details();
            let host = HostUsage::now();
            let about = serde_json::json!({
                "windlass": env!("CARGO_PKG_VERSION"),
                "system": system(),
                "processors": host.map(|host| host.processors),
                "memoryTotalBytes": host.map(|host| host.memory_total_bytes),
                "memoryAvailableBytes": host.map(|host| host.memory_available_bytes),
                "doctor": doctor,
            });
            let record = details.folder.join("machine.json");
            let texts = [
                ("about.json", pretty(&about)),
                ("machine.json", tail(&record, LOG_MAX_BYTES)),
                ("command.txt", details.command.join("\n")),
                (
                    "console.log",
                    console(&details.console_log, details.console_start),
                ),
                ("qemu.log", tail(&details.qemu_log, LOG_MAX_BYTES)),
                ("job.log", workshop.log_of_making(handle.id())),
                ("windlass.log", newest_log(&workshop.home.logs())),
            ];
            crate::disk::write_whole_with(&path, |file| write(file, &texts, &redactor))
        })
        .await?
    }

    /// What is to be taken out of a machine's texts.
    fn redactor(&self, handle: &MachineHandle) -> Redactor {
        let mut redactor = Redactor::default();
        let spec = handle.spec();
        let labels = labels(handle);
        let form = labels.appliance_id.and_then(|id| self.run_form(&id).ok());
        let mut names = Vec::new();
        let mut values = Vec::new();
        if let Some(form) = form {
            let secret = form
                .environment
                .iter()
                .filter(|it| it.kind == VariableKind::Secret);
            names.extend(secret.map(|it| it.name.clone()));
            let defaults = form.environment.iter();
            values.extend(defaults.filter_map(|it| Some((it.name.clone(), it.default.clone()?))));
            values.extend(form.settings.env.into_iter().map(|it| (it.name, it.value)));
            let configured = form.configurations.into_iter().flat_map(|it| it.env);
            values.extend(configured.map(|it| (it.name, it.value)));
        }
        let for_once = labels
            .settings
            .into_iter()
            .flat_map(|settings| settings.env);
        values.extend(for_once.map(|it| (it.name, it.value)));
        for (name, value) in values {
            if names.contains(&name) || is_secret_name(&name) {
                redactor.hide(&value);
            }
        }
        // What it was started with may be older than what its appliance says now.
        if let Boot::Kernel {
            append,
            command_line,
            ..
        } = &spec.boot
        {
            redactor.hide_assignments(append);
            redactor.hide_assignments(command_line.as_deref().unwrap_or_default());
        }
        redactor
    }

    /// What the job said that made a machine.
    fn log_of_making(&self, id: &str) -> String {
        let jobs = self.jobs(JOBS, None).unwrap_or_default();
        let made = jobs.iter().find(|job| job.produced.as_deref() == Some(id));
        made.and_then(|job| self.job_log(&job.id).ok())
            .unwrap_or_default()
    }
}

fn write(file: &mut File, texts: &[(&str, String)], redactor: &Redactor) -> io::Result<()> {
    let mut zip = zip::ZipWriter::new(file);
    for (name, text) in texts {
        zip.start_file(*name, SimpleFileOptions::default())?;
        zip.write_all(redactor.clean(text).as_bytes())?;
    }
    zip.finish()?;
    Ok(())
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn system() -> String {
    let uname = rustix::system::uname();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or_default();
    format!(
        "{} {} {} {}",
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy(),
        name.trim_matches('"')
    )
}

/// A stretch of a file, as text; nothing where it cannot be read.
fn stretch(path: &Path, from: u64, max_bytes: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(max_bytes).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    // What was given back of a long log reads as zeros.
    String::from_utf8_lossy(&read().unwrap_or_default()).replace('\0', "")
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn tail(path: &Path, max_bytes: u64) -> String {
    stretch(path, length(path).saturating_sub(max_bytes), max_bytes)
}

/// The end of a run's console.
pub(crate) fn end_of_console(path: &Path, start: u64, max_bytes: u64) -> String {
    let from = length(path).saturating_sub(max_bytes).max(start);
    stretch(path, from, max_bytes)
}

/// The first and the last of a run's console.
fn console(path: &Path, start: u64) -> String {
    let end = length(path);
    if end.saturating_sub(start) <= 2 * CONSOLE_MAX_BYTES {
        return stretch(path, start, 2 * CONSOLE_MAX_BYTES);
    }
    let left_out = end - start - 2 * CONSOLE_MAX_BYTES;
    format!(
        "{}\n[{left_out} bytes are left out]\n{}",
        stretch(path, start, CONSOLE_MAX_BYTES),
        tail(path, CONSOLE_MAX_BYTES)
    )
}

/// The end of the newest file in a folder of logs.
fn newest_log(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let newest: Option<PathBuf> = entries.map(|entry| entry.path()).max();
    newest
        .map(|path| tail(&path, LOG_MAX_BYTES))
        .unwrap_or_default()
}
