//! What came of a file so far.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file;
use crate::{Error, Sha256};

/// A file that is not all there, and ours alone while it is open.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    state_path: PathBuf,
    /// Locked, and what is written to.
    file: File,
    what: String,
    state: Option<State>,
}

/// What a part is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    what: String,
    /// What to recognise the file by when it is asked for again.
    pub(crate) validator: Option<String>,
    /// Its length, where that was said.
    pub(crate) total: Option<u64>,
}

impl Part {
    /// Opens the part of what has this name, new or as it was left.
    pub(crate) fn open(folder: &Path, what: &str) -> Result<Self, Error> {
        let name = Sha256::of(what.as_bytes()).to_string();
        let path = folder.join(format!("{}{}.part", file::UNFINISHED_PREFIX, &name[..16]));
        let state_path = path.with_extension("part.json");
        loop {
            let opened = file::try_lock_to_read(&path)?;
            // Whoever had it may have finished and given it its name between our opening and our lock.
            if !file::is_at(&opened, &path) {
                continue;
            }
            let text = std::fs::read(&state_path).ok();
            let state = text
                .and_then(|text| serde_json::from_slice::<State>(&text).ok())
                .filter(|state| state.what == what);
            let mut part = Self {
                path,
                state_path,
                file: opened,
                what: what.to_owned(),
                state,
            };
            if part.state.is_none() {
                part.clear()?;
            }
            return Ok(part);
        }
    }

    /// What is known of the file.
    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// How much there is.
    pub(crate) fn len(&self) -> Result<u64, Error> {
        let metadata = self.file.metadata();
        Ok(metadata
            .map_err(|source| self.failed("read", source))?
            .len())
    }

    /// A second handle of the file.
    pub(crate) fn handle(&self) -> Result<File, Error> {
        self.file
            .try_clone()
            .map_err(|source| self.failed("read", source))
    }

    /// Remembers what the file is, before anything of it is written.
    pub(crate) fn is_of(
        &mut self,
        validator: Option<String>,
        total: Option<u64>,
    ) -> Result<(), Error> {
        let state = State {
            what: self.what.clone(),
            validator,
            total,
        };
        if self.state.as_ref() != Some(&state) {
            let text =
                serde_json::to_vec(&state).map_err(|source| self.failed("write", source.into()))?;
            file::write_whole(&self.state_path, &text)?;
            self.state = Some(state);
        }
        Ok(())
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        self.state = None;
        match std::fs::remove_file(&self.state_path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &self.state_path, source));
            }
            _ => {}
        }
        self.file
            .set_len(0)
            .map_err(|source| self.failed("write", source))
    }

    /// Makes sure that what was written survives a power cut.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file
            .sync_all()
            .map_err(|source| self.failed("write", source))
    }

    /// Gives the file its name.
    pub(crate) fn rename(self, path: &Path) -> Result<(), Error> {
        std::fs::rename(&self.path, path).map_err(|source| Error::io("create", path, source))?;
        let _ = std::fs::remove_file(&self.state_path);
        file::sync_folder(file::folder_of(path))
    }

    /// Takes it away.
    pub(crate) fn remove(mut self) -> Result<(), Error> {
        self.clear()?;
        std::fs::remove_file(&self.path).map_err(|source| self.failed("remove", source))
    }

    pub(crate) fn failed(&self, doing: &'static str, source: std::io::Error) -> Error {
        Error::io(doing, &self.path, source)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
