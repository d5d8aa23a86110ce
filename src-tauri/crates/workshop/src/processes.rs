//! Which Windlass processes are alive.
//!
//! A job in the database that says "running" does so only as long as its process lives. Each
//! process therefore holds a lock on a file of its own under `processes/`; the system lets go of
//! it however the process ends. Whoever can take the lock knows that its owner is gone.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};

/// This process, alive as long as the value is.
#[derive(Debug)]
pub(crate) struct Process {
    id: String,
    path: PathBuf,
    // Held, not read: dropping it lets go of the lock.
    _lock: File,
}

impl Process {
    /// Announces this process in `folder`.
    pub(crate) fn announce(folder: &Path) -> Result<Self> {
        let id = crate::new_id();
        let path = folder.join(&id);
        // Locked before it gets its name: nobody ever sees it unlocked and takes it for dead.
        let nameless = folder.join(format!(".{id}"));
        let lock = File::create_new(&nameless).doing("create the file", &nameless)?;
        lock.lock().doing("lock the file", &nameless)?;
        std::fs::rename(&nameless, &path).doing("name the file", &path)?;
        Ok(Self {
            id,
            path,
            _lock: lock,
        })
    }

    /// The name that jobs carry.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The processes that have ended without taking their file away; their files are removed. One that is
    /// just announcing itself has no name yet, and is not looked at.
    pub(crate) fn gone(folder: &Path) -> Result<Vec<String>> {
        let mut gone = Vec::new();
        for entry in std::fs::read_dir(folder).doing("list the folder", folder)? {
            let path = entry.doing("list the folder", folder)?.path();
            if is_nameless(&path) {
                continue;
            }
            let Ok(file) = File::open(&path) else {
                continue;
            };
            if file.try_lock().is_ok() {
                if let Some(id) = path.file_name() {
                    gone.push(id.to_string_lossy().into_owned());
                }
                let _ = std::fs::remove_file(&path);
            }
        }
        Ok(gone)
    }
}

fn is_nameless(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_is_dropped_or_dies() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::announce(folder.path()).unwrap();
        assert!(Process::gone(folder.path()).unwrap().is_empty());

        // What a crash leaves behind is the file without its lock.
        std::fs::write(folder.path().join("crashed"), "").unwrap();
        assert_eq!(Process::gone(folder.path()).unwrap(), ["crashed"]);
        assert!(Process::gone(folder.path()).unwrap().is_empty());

        drop(process);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
