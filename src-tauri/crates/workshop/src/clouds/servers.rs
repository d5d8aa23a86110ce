//! Servers of clouds: listed page by page, then by what changed; looked at.
//!
//! ```text
//!   window, first ──► page ─► page ─► … ─► as of T
//!           later ──► changed since T: one call, of few servers, those that are gone among them
//! ```

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_cloud::compute::consoles::{self, Console};
use windlass_cloud::compute::{self, Action, Server};
use windlass_cloud::{Service, Session, network, volumes};

use crate::Workshop;
use crate::error::Result;

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
    /// What is being done with it, in Nova's word: `spawning`, `rebooting`, …
    pub task: Option<String>,
    /// Whether something is being done with it.
    pub busy: bool,
    /// Addresses in its networks.
    pub fixed: Vec<String>,
    /// Addresses by which it is reached from outside.
    pub floating: Vec<String>,
    /// The names of its networks.
    pub networks: Vec<String>,
    /// The id of its image.
    pub image: Option<String>,
    /// The name of its flavor.
    pub flavor: Option<String>,
    /// Its processors, where Nova tells them.
    pub vcpus: Option<u64>,
    /// Its memory in MiB, where Nova tells it.
    pub memory_mib: Option<u64>,
    /// The ids of its volumes.
    pub volumes: Vec<String>,
    /// The availability zone that it runs in.
    pub zone: Option<String>,
    /// The name of its key pair.
    pub key: Option<String>,
    /// When it was made (RFC 3339).
    pub made: String,
    /// When it changed last (RFC 3339).
    pub updated: String,
    /// The deployment that it belongs to, where Windlass made it.
    pub deployment: Option<String>,
    /// Why it failed, in Nova's words.
    pub fault: Option<String>,
    /// What Nova lets be done with it as it is now.
    pub can: Vec<CloudServerAction>,
    /// Whether it can get another size or another image, as it is now.
    pub changeable: bool,
}

/// What can be done with a server, without more being said.
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
    /// Keeps the size that it was given.
    ConfirmResize,
    /// Goes back to the size that it had.
    RevertResize,
}

crate::guests::mirror!(CloudServerAction, Action: Start, Stop, Reboot, HardReboot, Pause, Unpause, Suspend, Resume, Shelve, Unshelve, ConfirmResize, RevertResize);

/// A part of the list of a cloud's servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudServerPage {
    /// The servers.
    pub servers: Vec<CloudServer>,
    /// The ids of those that are no more.
    pub gone: Vec<String>,
    /// From where the next part goes on; nothing after the last.
    pub next: Option<String>,
    /// What to ask for changes since, with the first part.
    pub as_of: Option<String>,
}

/// Something that was done with a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudServerDeed {
    /// The number of the request, by which the cloud's keeper finds it in the logs.
    pub request: String,
    /// What was asked for, in Nova's word: `create`, `stop`, `reboot`, …
    pub action: String,
    /// When (RFC 3339).
    pub started: String,
    /// Whether it failed.
    pub failed: bool,
    /// Why, in Nova's words.
    pub fault: Option<String>,
}

pub(super) fn shown(server: &Server) -> CloudServer {
    let size = server.size();
    CloudServer {
        id: server.id.clone(),
        name: server.name.clone(),
        status: server.status.clone(),
        task: server.task.clone(),
        busy: server.is_busy(),
        fixed: server.fixed_addresses(),
        floating: server.floating_addresses(),
        networks: server.networks(),
        image: server.image_id().map(str::to_owned),
        flavor: size.as_ref().map(|it| it.name.clone()),
        vcpus: size.as_ref().map(|it| it.vcpus),
        memory_mib: size.as_ref().map(|it| it.memory_mib),
        volumes: server.volumes.iter().map(|it| it.id.clone()).collect(),
        zone: server.zone.clone().filter(|it| !it.is_empty()),
        key: server.key_name.clone(),
        made: server.created.clone(),
        updated: server.updated.clone(),
        deployment: server.deployment().map(str::to_owned),
        fault: server.fault.as_ref().map(|it| it.message.clone()),
        can: Action::ALL
            .into_iter()
            .filter(|it| it.fits(server))
            .map(Into::into)
            .collect(),
        changeable: !server.is_busy() && matches!(server.status.as_str(), "ACTIVE" | "SHUTOFF"),
    }
}

/// Older Novas tell a flavor's id alone.
async fn sized(session: &Session, servers: &[Server], shown: &mut [CloudServer]) -> Result<()> {
    if shown.iter().all(|it| it.flavor.is_some()) {
        return Ok(());
    }
    let flavors = compute::flavors(session).await?;
    for (server, shown) in servers.iter().zip(shown) {
        let flavor = flavors
            .iter()
            .find(|it| Some(it.id.as_str()) == server.flavor_id());
        if let Some(flavor) = flavor.filter(|_| shown.flavor.is_none()) {
            shown.flavor = Some(flavor.name.clone());
            shown.vcpus = Some(flavor.vcpus);
            shown.memory_mib = Some(flavor.memory_mib);
        }
    }
    Ok(())
}

impl Workshop {
    /// A part of the list of a cloud's servers, after `marker`; those alone that changed `since`, where that is said. One call.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub async fn cloud_server_page(
        &self,
        id: u32,
        since: Option<&str>,
        marker: Option<&str>,
    ) -> Result<CloudServerPage> {
        let session = self.cloud_session(id).await?;
        let page = compute::page(&session, since, marker).await?;
        let (gone, there): (Vec<_>, Vec<_>) = page.servers.into_iter().partition(Server::is_gone);
        let mut servers: Vec<_> = there.iter().map(shown).collect();
        sized(&session, &there, &mut servers).await?;
        Ok(CloudServerPage {
            servers,
            gone: gone.into_iter().map(|it| it.id).collect(),
            next: page.next,
            as_of: page.as_of,
        })
    }

    /// The servers of a cloud; those that Windlass made, with `ours`.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub async fn cloud_servers(&self, id: u32, ours: bool) -> Result<Vec<CloudServer>> {
        let session = self.cloud_session(id).await?;
        let (servers, floating) = tokio::try_join!(
            compute::servers(&session),
            network::floating_addresses(&session),
        )?;
        let wanted: Vec<_> = servers
            .into_iter()
            .filter(|it| !ours || it.deployment().is_some())
            .collect();
        let mut all: Vec<_> = wanted.iter().map(shown).collect();
        sized(&session, &wanted, &mut all).await?;
        for server in &mut all {
            with_floating(server, floating.get(&server.id));
        }
        Ok(all)
    }

    /// One server, by its name or id.
    ///
    /// # Errors
    /// `NotFound`; `Input` when there are several of the name.
    pub async fn cloud_server(&self, id: u32, server: &str) -> Result<CloudServer> {
        let session = self.cloud_session(id).await?;
        let found = [compute::find_server(&session, server).await?];
        let floating = network::floating_addresses(&session).await?;
        let mut one = [shown(&found[0])];
        sized(&session, &found, &mut one).await?;
        let [mut one] = one;
        with_floating(&mut one, floating.get(&found[0].id));
        Ok(one)
    }

    /// A server as Nova shows it, as JSON.
    ///
    /// # Errors
    /// `NotFound`; when the cloud cannot be asked.
    pub async fn cloud_server_as_shown(&self, id: u32, server: &str) -> Result<String> {
        let session = self.cloud_session(id).await?;
        let found = compute::find_server(&session, server).await?;
        let value = compute::as_shown(&session, &found.id).await?;
        Ok(format!("{value:#}"))
    }

    /// What was done with a server, the newest first.
    ///
    /// # Errors
    /// `NotFound`; when the cloud cannot be asked.
    pub async fn cloud_server_history(
        &self,
        id: u32,
        server: &str,
    ) -> Result<Vec<CloudServerDeed>> {
        let session = self.cloud_session(id).await?;
        let found = compute::find_server(&session, server).await?;
        let deeds = compute::history(&session, &found.id).await?;
        let told = deeds.into_iter().map(|it| CloudServerDeed {
            failed: it.failed(),
            fault: it.fault().map(str::to_owned),
            // Nova leaves out that it is UTC.
            started: format!("{}Z", it.started.trim_end_matches('Z')),
            request: it.request,
            action: it.action,
        });
        Ok(told.collect())
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
}

/// What a server can be given, to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudServerChoices {
    /// Flavors, the smallest first.
    pub flavors: Vec<CloudServerFlavor>,
    /// Volumes of the project; none where the cloud has no Cinder.
    pub volumes: Vec<CloudVolume>,
    /// Networks that floating addresses come from.
    pub external: Vec<String>,
}

/// A size of servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudServerFlavor {
    /// Its name.
    pub name: String,
    /// Virtual processors.
    pub vcpus: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Its root disk in GiB; with 0, as large as the image.
    pub disk_gib: u64,
}

/// A volume of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudVolume {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its size in GiB.
    pub size_gib: u64,
    /// Where it stands: `available`, `in-use`, …
    pub status: String,
    /// The ids of servers that have it.
    pub servers: Vec<String>,
}

impl Workshop {
    /// What the servers of a cloud can be given.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub async fn cloud_server_choices(&self, id: u32) -> Result<CloudServerChoices> {
        let session = self.cloud_session(id).await?;
        let volumes = async {
            if session.has(Service::Volume) {
                volumes::volumes(&session).await
            } else {
                Ok(Vec::new())
            }
        };
        let (flavors, volumes, networks) = tokio::try_join!(
            compute::flavors(&session),
            volumes,
            network::networks(&session)
        )?;
        let flavors = flavors.into_iter().map(|it| CloudServerFlavor {
            name: it.name,
            vcpus: it.vcpus,
            memory_mib: it.memory_mib,
            disk_gib: it.disk_gib,
        });
        let volumes = volumes.into_iter().map(|it| CloudVolume {
            name: it.shown().to_owned(),
            servers: it.attachments.into_iter().map(|it| it.server_id).collect(),
            id: it.id,
            size_gib: it.size_gib,
            status: it.status,
        });
        let external = networks.into_iter().filter(|it| it.external);
        Ok(CloudServerChoices {
            flavors: flavors.collect(),
            volumes: volumes.collect(),
            external: external.map(|it| it.name).collect(),
        })
    }
}

/// A console of a server: what is read is what it says, what is written is typed.
pub type ServerConsole = tokio::io::DuplexStream;

impl Workshop {
    /// What a server says on its console from the beginning of its log on, followed. What is written goes nowhere.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub async fn follow_cloud_server(&self, id: u32, server: &str) -> Result<ServerConsole> {
        let session = self.cloud_session(id).await?;
        let found = compute::find_server(&session, server).await?;
        Ok(consoles::follow(session, found.id))
    }

    /// The serial console of a server, to type into.
    ///
    /// # Errors
    /// When the cloud offers none, the server does not run, or the cloud's proxy cannot be reached.
    pub async fn cloud_server_serial(&self, id: u32, server: &str) -> Result<ServerConsole> {
        self.cloud_server_console(id, server, Console::Serial).await
    }

    /// The display of a server, by VNC.
    ///
    /// # Errors
    /// As [`cloud_server_serial`](Self::cloud_server_serial).
    pub async fn cloud_server_display(&self, id: u32, server: &str) -> Result<ServerConsole> {
        self.cloud_server_console(id, server, Console::Display)
            .await
    }

    async fn cloud_server_console(
        &self,
        id: u32,
        server: &str,
        console: Console,
    ) -> Result<ServerConsole> {
        let session = self.cloud_session(id).await?;
        let found = compute::find_server(&session, server).await?;
        Ok(consoles::console(&session, &found.id, console).await?)
    }
}

/// Nova learns of floating addresses a second later than Neutron.
fn with_floating(server: &mut CloudServer, floating: Option<&Vec<String>>) {
    for address in floating.into_iter().flatten() {
        if !server.floating.contains(address) {
            server.floating.push(address.clone());
        }
    }
}
