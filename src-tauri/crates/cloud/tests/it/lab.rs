//! The lab's clouds.

use std::path::PathBuf;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;
use windlass_cloud::images::Watch;
use windlass_cloud::profile::{Imported, read_folder};
use windlass_cloud::{Result, Session};

/// The file that names the lab's clouds, where the lab runs. `none` is how `./dev test quick` says that it does not.
fn clouds() -> Option<PathBuf> {
    let said = std::env::var_os("WINDLASS_TEST_CLOUDS");
    if said.is_none() {
        let ci = std::env::var_os("CI").is_some_and(|it| it != "false");
        assert!(
            !ci,
            "WINDLASS_TEST_CLOUDS is not set: ./dev test starts the OpenStack that this test needs"
        );
    }
    let path = said.filter(|it| it != "none").map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: ./dev test starts the OpenStack that this test needs, as root");
    }
    path
}

/// A cloud of the lab, by its name there.
pub(crate) fn cloud(name: &str) -> Option<Imported> {
    let mut found = read_folder(&clouds()?).unwrap();
    let at = found.iter().position(|it| it.profile.name == name).unwrap();
    Some(found.swap_remove(at))
}

/// Logged in.
pub(crate) async fn session(name: &str) -> Option<Session> {
    let cloud = cloud(name)?;
    Some(
        Session::connect(&cloud.profile, &cloud.secrets)
            .await
            .unwrap(),
    )
}

/// A name of this run alone: tests share the lab.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", new_id())
}

pub(crate) fn new_id() -> String {
    let id = uuid::Uuid::now_v7();
    id.hyphenated().to_string()
}

/// Hears what happens, and can cancel after so many bytes.
#[derive(Default)]
pub(crate) struct Listener {
    pub(crate) said: Mutex<Vec<String>>,
    pub(crate) intents: Mutex<Vec<String>>,
    pub(crate) cancel: CancellationToken,
    pub(crate) cancel_at: Option<u64>,
    pub(crate) furthest: Mutex<u64>,
}

impl Watch for Listener {
    fn step(&self, words: &str) {
        self.said.lock().unwrap().push(words.to_owned());
    }

    fn progress(&self, done: u64, total: u64) {
        assert!(done <= total);
        *self.furthest.lock().unwrap() = done;
        let sending = self
            .said
            .lock()
            .unwrap()
            .last()
            .is_some_and(|it| it.starts_with("Sending"));
        if sending && self.cancel_at.is_some_and(|at| done >= at) {
            self.cancel.cancel();
        }
    }

    fn intent(&self, id: &str) -> Result<()> {
        self.intents.lock().unwrap().push(id.to_owned());
        Ok(())
    }

    fn settled(&self, id: &str) {
        self.intents.lock().unwrap().retain(|it| it != id);
    }

    fn new_id(&self) -> String {
        new_id()
    }

    fn cancellation(&self) -> CancellationToken {
        self.cancel.clone()
    }
}
