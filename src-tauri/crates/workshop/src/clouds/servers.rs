//! Servers of clouds: listed, looked at, and told what to do.

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_cloud::compute::{self, Action, Server};
use windlass_cloud::leftovers::{self, Kind, Thing};
use windlass_cloud::network;

use super::store;
use crate::Workshop;
use crate::error::Result;
use crate::events::Event;

/// A server of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudServer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it stands, in Nova's word: `ACTIVE`, `BUILD`, `SHUTOFF`, `ERROR`, …
    pub status: String,
    /// What is being done with it.
    pub task: Option<String>,
    /// Addresses in its networks.
    pub fixed: Vec<String>,
    /// Addresses by which it is reached from outside.
    pub floating: Vec<String>,
    /// The id of its image.
    pub image: Option<String>,
    /// The name of its flavor.
    pub flavor: Option<String>,
    /// When it was made (RFC 3339).
    pub made: String,
    /// The deployment that it belongs to, where Windlass made it.
    pub deployment: Option<String>,
    /// Why it failed, in Nova's words.
    pub fault: Option<String>,
}

/// What can be done with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum CloudServerAction {
    /// Starts it.
    Start,
    /// Asks its guest to stop.
    Stop,
    /// Asks its guest to start anew.
    Reboot,
    /// Starts it anew, as if by its button.
    HardReboot,
    /// Holds it in memory.
    Pause,
    /// Lets it go on.
    Unpause,
    /// Puts it to disk.
    Suspend,
    /// Brings it back.
    Resume,
    /// Frees what it takes, and keeps what it is.
    Shelve,
    /// Brings it back.
    Unshelve,
}

crate::guests::mirror!(CloudServerAction, Action: Start, Stop, Reboot, HardReboot, Pause, Unpause, Suspend, Resume, Shelve, Unshelve);

fn shown(
    server: &Server,
    floating: Option<&Vec<String>>,
    flavors: &[compute::Flavor],
) -> CloudServer {
    let mut outside = server.floating_addresses();
    for address in floating.into_iter().flatten() {
        if !outside.contains(address) {
            outside.push(address.clone());
        }
    }
    let flavor = flavors
        .iter()
        .find(|it| Some(it.id.as_str()) == server.flavor_id());
    CloudServer {
        id: server.id.clone(),
        name: server.name.clone(),
        status: server.status.clone(),
        task: server.task.clone(),
        fixed: server.fixed_addresses(),
        floating: outside,
        image: server.image_id().map(str::to_owned),
        flavor: flavor.map(|it| it.name.clone()),
        made: server.created.clone(),
        deployment: server.deployment().map(str::to_owned),
        fault: server.fault.as_ref().map(|it| it.message.clone()),
    }
}

impl Workshop {
    /// The servers of a cloud; those that Windlass made, with `ours`.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub async fn cloud_servers(&self, id: u32, ours: bool) -> Result<Vec<CloudServer>> {
        let session = self.cloud_session(id).await?;
        let (servers, floating, flavors) = tokio::try_join!(
            compute::servers(&session),
            network::floating_addresses(&session),
            compute::flavors(&session),
        )?;
        let wanted = servers
            .iter()
            .filter(|it| !ours || it.deployment().is_some());
        Ok(wanted
            .map(|it| shown(it, floating.get(&it.id), &flavors))
            .collect())
    }

    /// One server, by its name or id.
    ///
    /// # Errors
    /// `NotFound`; `Input` when there are several of the name.
    pub async fn cloud_server(&self, id: u32, server: &str) -> Result<CloudServer> {
        let session = self.cloud_session(id).await?;
        let found = compute::find_server(&session, server).await?;
        let (floating, flavors) = tokio::try_join!(
            network::floating_addresses(&session),
            compute::flavors(&session)
        )?;
        Ok(shown(&found, floating.get(&found.id), &flavors))
    }

    /// The end of what a server said on its console.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` as long as there is nothing.
    pub async fn cloud_server_log(
        &self,
        id: u32,
        server: &str,
        lines: Option<u32>,
    ) -> Result<String> {
        let session = self.cloud_session(id).await?;
        let found = compute::find_server(&session, server).await?;
        Ok(compute::console_log(&session, &found.id, lines).await?)
    }

    /// Does something with a server.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is not in a state for that.
    pub async fn act_on_cloud_server(
        &self,
        id: u32,
        server: &str,
        action: CloudServerAction,
    ) -> Result<()> {
        let session = self.cloud_session(id).await?;
        let found = compute::find_server(&session, server).await?;
        compute::act(&session, &found.id, action.into()).await?;
        self.events.send(Event::CloudsChanged);
        Ok(())
    }

    /// Deletes a server, and what was made for its deployment where it is the last one of it. Waits until it is gone.
    ///
    /// # Errors
    /// `NotFound`; when the cloud refuses.
    pub async fn delete_cloud_server(&self, id: u32, server: &str) -> Result<()> {
        let session = self.cloud_session(id).await?;
        let found = compute::find_server(&session, server).await?;
        let deployment = found.deployment().map(str::to_owned);
        let rest = match &deployment {
            Some(of) => leftovers::find(&session, Some(of)).await?,
            None => Vec::new(),
        };
        let alone = !rest
            .iter()
            .any(|it| it.kind == Kind::Server && it.id != found.id);
        let thing = Thing {
            kind: Kind::Server,
            id: found.id.clone(),
            name: found.name.clone(),
            deployment,
        };
        let rest = rest
            .into_iter()
            .filter(|it| it.kind != Kind::Server && alone);
        for thing in std::iter::once(thing).chain(rest) {
            leftovers::take_away(&session, &thing).await?;
            store::forget_remote(&self.database, id, &thing.id)?;
        }
        self.events.send(Event::CloudsChanged);
        Ok(())
    }
}
