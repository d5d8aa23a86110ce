//! Hearing of what other processes make and change in the folder of all machines, rather than looking again and again.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, WatchFlags};
use tokio::io::unix::AsyncFd;

use crate::readiness::watch_readable;

/// A folder of machines that is watched, and those of its machines that are known.
#[derive(Debug)]
pub(crate) struct FolderWatch {
    folder: PathBuf,
    changes: AsyncFd<OwnedFd>,
    machines: BTreeSet<String>,
}

impl FolderWatch {
    /// Has to be called on a tokio runtime.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        let changes =
            inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        // Machines come and go by a rename.
        let what = WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
        inotify::add_watch(&changes, folder, what)?;
        Ok(Self {
            folder: folder.to_owned(),
            changes: watch_readable(changes)?,
            machines: BTreeSet::new(),
        })
    }

    /// Hears of these machines' records as well; says whether one of them was not heard before.
    pub(crate) fn hear_of(&mut self, ids: &BTreeSet<String>) -> bool {
        self.machines.retain(|id| ids.contains(id));
        let mut is_new = false;
        for id in ids {
            if self.machines.contains(id) {
                continue;
            }
            // A record is renamed when it is whole.
            let folder = self.folder.join(id);
            let heard = inotify::add_watch(self.changes.get_ref(), folder, WatchFlags::MOVED_TO);
            if heard.is_ok() {
                self.machines.insert(id.clone());
                is_new = true;
            }
        }
        is_new
    }

    /// Waits for a change, and takes all that are announced.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        let mut ready = self.changes.readable_mut().await?;
        let mut buffer = [0; 4096];
        while rustix::io::read(ready.get_inner(), &mut buffer).is_ok_and(|count| count > 0) {}
        ready.clear_ready();
        Ok(())
    }
}
