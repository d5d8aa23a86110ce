//! What somebody wants of a run: a file in its folder, for whichever process works on the queue.
//!
//! ```text
//!   runs/007/wish.json    {"want":"save"} · {"want":"stop"} · {"want":"extend","to":"100"}
//!   runs/.stop            no run begins any more, until the study is run again
//! ```
//!
//! A window, a command line and the process that works on the queue need not be the same one, nor know of each other.

use std::fs;
use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::StudyError;
use crate::record::Runs;

/// What is wanted of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "want")]
pub enum Wish {
    /// The solver writes what it has, and ends; the steps after it are done.
    Save,
    /// Its machine ends now, with what is on its disk.
    Stop,
    /// The solver calculates up to another end; where it has ended already, it goes on from what it wrote last.
    Extend {
        /// The new end, as controlDict has it.
        to: String,
    },
}

impl Wish {
    /// Whether the run is to end.
    pub fn is_end(&self) -> bool {
        !matches!(self, Self::Extend { .. })
    }
}

impl Runs {
    fn wish_path(&self, number: usize) -> std::path::PathBuf {
        self.folder(number).join("wish.json")
    }

    fn stop_path(&self) -> std::path::PathBuf {
        self.whole_folder().join(".stop")
    }

    /// What is wanted of a run, if anything.
    pub fn wish(&self, number: usize) -> Option<Wish> {
        serde_json::from_slice(&fs::read(self.wish_path(number)).ok()?).ok()
    }

    /// Keeps what is wanted of a run, in the place of what was wanted before.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn want(&self, number: usize, wish: &Wish) -> Result<(), StudyError> {
        let (folder, path) = (self.folder(number), self.wish_path(number));
        let write = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            serde_json::to_writer(&mut file, wish)?;
            file.flush()?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| StudyError::Io {
            doing: "write",
            path: path.clone(),
            source,
        })
    }

    /// Forgets a wish that was granted, or that came too late; one that came in its place stays.
    pub fn grant(&self, number: usize, wish: &Wish) {
        if self.wish(number).as_ref() == Some(wish) {
            let _ = fs::remove_file(self.wish_path(number));
        }
    }

    /// Whether no run is to begin.
    pub fn is_stopped(&self) -> bool {
        self.stop_path().exists()
    }

    /// Says whether runs may begin.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn set_stopped(&self, stopped: bool) -> Result<(), StudyError> {
        let path = self.stop_path();
        let written = if stopped {
            fs::create_dir_all(self.whole_folder()).and_then(|()| fs::write(&path, b""))
        } else {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        written.map_err(|source| StudyError::Io {
            doing: "write",
            path,
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_wish_takes_the_place_of_an_earlier_one_and_is_not_forgotten_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::of(folder.path());
        assert_eq!(runs.wish(7), None);
        runs.want(7, &Wish::Save).unwrap();
        runs.want(7, &Wish::Stop).unwrap();
        runs.grant(7, &Wish::Save);
        assert_eq!(runs.wish(7), Some(Wish::Stop));
        runs.grant(7, &Wish::Stop);
        assert_eq!(runs.wish(7), None);
        fs::write(runs.folder(7).join("wish.json"), b"{\"want\":\"moon\"}").unwrap();
        assert_eq!(runs.wish(7), None, "what is not known is no wish");
        assert!(!runs.is_stopped());
        runs.set_stopped(true).unwrap();
        assert!(runs.is_stopped());
        runs.set_stopped(false).unwrap();
        runs.set_stopped(false).unwrap();
        assert!(!runs.is_stopped());
    }
}
