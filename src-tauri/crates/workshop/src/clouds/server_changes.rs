//! What is done with servers of clouds: each a job that waits until Nova has done it, and fails with Nova's words.
//!
//! ```text
//!   ask Nova ─► request number ─► task … task ─► settled ─► what Nova noted of the request
//!                                   └─ cancelled: we wait no longer, Nova goes on
//! ```

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_cloud::compute::{self, Action, Patience, Server};
use windlass_cloud::leftovers::{self, Kind, Thing};
use windlass_cloud::{Session, images, network, volumes};

use super::{CloudServerAction, DeployFrom, PushOptions, store};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;
use crate::jobs::{Job, JobKind, Reporter, Unit};

/// How long Nova may take; a resize copies disks.
const LONGEST: Duration = Duration::from_mins(20);

/// What is to be done with a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "do")]
pub enum CloudServerChange {
    /// Something of which no more has to be said.
    Act {
        /// What.
        action: CloudServerAction,
    },
    /// Makes an image of it as it is.
    Snapshot {
        /// What the image is to be called.
        name: String,
    },
    /// Gives it another size.
    Resize {
        /// The flavor's name.
        flavor: String,
        /// Keeps the size at once, without looking at how it runs.
        confirm: bool,
    },
    /// Puts another image into it; it keeps its addresses and volumes.
    Rebuild {
        /// An image, or an appliance.
        image: String,
        /// Which of them. What is of this computer is sent where the cloud has it not.
        from: DeployFrom,
    },
    /// Gives it a volume of the cloud.
    AttachVolume {
        /// Its name or id.
        volume: String,
    },
    /// Takes a volume from it.
    DetachVolume {
        /// Its name or id.
        volume: String,
    },
    /// Has a floating address lead to it.
    AddFloating {
        /// The outside network that it comes from; the only one, where none is named.
        from: Option<String>,
    },
    /// Has a floating address lead to it no more.
    RemoveFloating {
        /// The address.
        address: String,
    },
    /// Deletes it, and what was made for its deployment where it is the last one of it.
    Delete,
}

impl CloudServerChange {
    fn title(&self, name: &str, cloud: &str) -> String {
        let what = match self {
            Self::Act { action } => match action {
                CloudServerAction::Start => "Start",
                CloudServerAction::Stop => "Stop",
                CloudServerAction::Reboot => "Reboot",
                CloudServerAction::HardReboot => "Reboot (hard)",
                CloudServerAction::Pause => "Pause",
                CloudServerAction::Unpause => "Go on with",
                CloudServerAction::Suspend => "Suspend",
                CloudServerAction::Resume => "Resume",
                CloudServerAction::Shelve => "Shelve",
                CloudServerAction::Unshelve => "Unshelve",
                CloudServerAction::ConfirmResize => "Keep the new size of",
                CloudServerAction::RevertResize => "Take back the new size of",
            },
            Self::Snapshot { .. } => "Make an image of",
            Self::Resize { .. } => "Resize",
            Self::Rebuild { .. } => "Rebuild",
            Self::AttachVolume { .. } => "Attach a volume to",
            Self::DetachVolume { .. } => "Detach a volume from",
            Self::AddFloating { .. } => "Give a floating address to",
            Self::RemoveFloating { .. } => "Take a floating address from",
            Self::Delete => "Delete",
        };
        format!("{what} {name} on {cloud}")
    }
}

impl Workshop {
    /// Does something with a server, as a job.
    ///
    /// # Errors
    /// `NotFound` for the cloud.
    pub fn start_cloud_server_change(
        self: &Arc<Self>,
        id: u32,
        server: &str,
        name: Option<&str>,
        change: CloudServerChange,
    ) -> Result<Job> {
        let cloud = store::get(&self.database, id)?.profile.name;
        let title = change.title(name.unwrap_or(server), &cloud);
        let (workshop, server) = (Arc::clone(self), server.to_owned());
        self.start_job(
            JobKind::ChangeServer,
            title,
            None,
            None,
            async move |reporter| {
                reporter.step(&format!("Asking {cloud}"));
                let session = workshop.cloud_session(id).await?;
                let found = compute::find_server(&session, &server).await?;
                let work = Change {
                    workshop: &workshop,
                    session: &session,
                    cloud: id,
                    reporter: &reporter,
                };
                let done = work.carry_out(&found, change).await;
                workshop.events.send(Event::CloudsChanged);
                done
            },
        )
    }
}

struct Change<'a> {
    workshop: &'a Arc<Workshop>,
    session: &'a Session,
    cloud: u32,
    reporter: &'a Reporter,
}

impl Change<'_> {
    /// What it made, or the server.
    async fn carry_out(
        &self,
        server: &Server,
        change: CloudServerChange,
    ) -> Result<Option<String>> {
        match change {
            CloudServerChange::Act { action } => {
                self.act(server, action.into()).await?;
            }
            CloudServerChange::Snapshot { name } => {
                return self.snapshot(server, &name).await.map(Some);
            }
            CloudServerChange::Resize { flavor, confirm } => {
                let flavors = compute::flavors(self.session).await?;
                let wanted = flavors
                    .iter()
                    .find(|it| it.name == flavor || it.id == flavor)
                    .ok_or_else(|| AppError::not_found("flavor", &flavor))?;
                let request = compute::resize(self.session, &server.id, &wanted.id).await?;
                let after = self.settled(server, request.as_deref(), None).await?;
                if confirm && after.status == "VERIFY_RESIZE" {
                    self.act(&after, Action::ConfirmResize).await?;
                }
            }
            CloudServerChange::Rebuild { image, from } => {
                let image = self.image(&image, from).await?;
                self.reporter.step("Putting the image in its place");
                let request = compute::rebuild(self.session, &server.id, &image).await?;
                self.settled(server, request.as_deref(), None).await?;
            }
            CloudServerChange::AttachVolume { volume } => {
                let volume = volumes::find(self.session, &volume).await?;
                self.reporter.step("Attaching the volume");
                volumes::attach(self.session, &server.id, &volume, &self.patience()).await?;
            }
            CloudServerChange::DetachVolume { volume } => {
                let volume = volumes::find(self.session, &volume).await?;
                self.reporter.step("Detaching the volume");
                volumes::detach(self.session, &server.id, &volume, &self.patience()).await?;
            }
            CloudServerChange::AddFloating { from } => {
                let (id, of) = (&server.id, server.deployment());
                let address = network::give_floating(self.session, id, from.as_deref(), of).await?;
                self.reporter.log(&format!("The address is {address}"));
            }
            CloudServerChange::RemoveFloating { address } => {
                network::take_floating(self.session, &server.id, &address).await?;
            }
            CloudServerChange::Delete => {
                self.delete(server).await?;
            }
        }
        Ok(Some(server.id.clone()))
    }

    /// The id that an image has in the cloud, once it is there.
    async fn image(&self, image: &str, from: DeployFrom) -> Result<String> {
        let image = match from {
            DeployFrom::Cloud => return Ok(images::find(self.session, image).await?.id),
            DeployFrom::Image => image.to_owned(),
            DeployFrom::Appliance => {
                let built = self.workshop.image_for_cloud(image, None, self.reporter);
                built.await?.id
            }
        };
        let options = PushOptions::default();
        self.workshop
            .push_image(self.cloud, &image, &options, self.reporter)
            .await
    }

    async fn act(&self, server: &Server, action: Action) -> Result<Server> {
        let request = compute::act(self.session, &server.id, action).await?;
        self.settled(server, request.as_deref(), Some(action)).await
    }

    fn patience(&self) -> Patience {
        Patience {
            longest: LONGEST,
            cancel: self.reporter.cancellation().clone(),
        }
    }

    async fn settled(
        &self,
        server: &Server,
        request: Option<&str>,
        action: Option<Action>,
    ) -> Result<Server> {
        let patience = self.patience();
        let told = |now: &Server| {
            if let Some(task) = &now.task {
                self.reporter
                    .step(&format!("Nova: {}", task.replace('_', " ")));
            }
            if let Some(percent) = now.progress.filter(|it| *it > 0 && now.is_busy()) {
                self.reporter
                    .progress(percent.into(), Some(100), Unit::Items);
            }
        };
        let settled =
            compute::settled(self.session, &server.id, request, action, &patience, told).await;
        Ok(settled?)
    }

    async fn snapshot(&self, server: &Server, name: &str) -> Result<String> {
        let image = compute::snapshot(self.session, server, name).await?;
        let item = store::Item {
            id: image.clone(),
            cloud_id: self.cloud,
            deployment: None,
            kind: "image".to_owned(),
            name: name.to_owned(),
            remote_id: Some(image.clone()),
        };
        store::intend(&self.workshop.database, &item)?;
        let written = self.written(&image).await;
        if written.is_err() {
            // Nothing half stays.
            images::delete(self.session, &image).await?;
        }
        store::forget(&self.workshop.database, &image)?;
        written?;
        images::label(self.session, &image).await?;
        Ok(image)
    }

    /// Waits until Nova has written an image.
    async fn written(&self, image: &str) -> Result<()> {
        let begun = tokio::time::Instant::now();
        loop {
            let now = images::get(self.session, image).await?;
            match now.status.as_str() {
                "active" => return Ok(()),
                "killed" | "deleted" | "pending_delete" => {
                    return Err(AppError::new(
                        ErrorKind::Unavailable,
                        format!("Nova did not finish the image {}", now.shown()),
                    )
                    .hinted("The server's actions say more"));
                }
                status if begun.elapsed() > LONGEST => {
                    return Err(AppError::new(
                        ErrorKind::Unavailable,
                        format!("The image {} is still {status}", now.shown()),
                    ));
                }
                status => self
                    .reporter
                    .step(&format!("Nova writes the image: {status}")),
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = self.reporter.cancellation().cancelled() => return Err(AppError::cancelled()),
            }
        }
    }

    /// Waits until it is gone.
    async fn delete(&self, server: &Server) -> Result<()> {
        let deployment = server.deployment().map(str::to_owned);
        let rest = match &deployment {
            Some(of) => leftovers::find(self.session, Some(of)).await?,
            None => Vec::new(),
        };
        let alone = !rest
            .iter()
            .any(|it| it.kind == Kind::Server && it.id != server.id);
        let thing = Thing {
            kind: Kind::Server,
            id: server.id.clone(),
            name: server.name.clone(),
            deployment,
        };
        let rest = rest
            .into_iter()
            .filter(|it| it.kind != Kind::Server && alone);
        for thing in std::iter::once(thing).chain(rest) {
            self.reporter.step(&format!(
                "Deleting the {} {}",
                thing.kind.as_str(),
                thing.name
            ));
            leftovers::take_away(self.session, &thing).await?;
            store::forget_remote(&self.workshop.database, self.cloud, &thing.id)?;
        }
        Ok(())
    }
}
