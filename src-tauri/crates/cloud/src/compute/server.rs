//! Servers as Nova has them, listed page by page and by what changed since.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::images::looks_like_id;
use crate::session::Call;
use crate::{LABEL, Service, Session};

/// From here on Nova tells a server's size with it.
const SIZE_TOLD: &str = "2.47";
/// What changes while a list is made must not be missed by the next: it begins that much before.
const OVERLAP: Duration = Duration::from_secs(30);

/// Why a server failed, in Nova's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// The words.
    #[serde(default)]
    pub message: String,
    /// When (RFC 3339).
    #[serde(default)]
    pub created: String,
}

/// What a flavor gave a server when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Size {
    /// The flavor's name then.
    #[serde(rename = "original_name")]
    pub name: String,
    /// Virtual processors.
    pub vcpus: u64,
    /// Memory in MiB.
    #[serde(rename = "ram")]
    pub memory_mib: u64,
    /// Its root disk in GiB.
    #[serde(rename = "disk")]
    pub disk_gib: u64,
}

/// A volume that a server has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Attached {
    /// The volume's id.
    pub id: String,
}

/// A server as Nova has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Server {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it stands: `BUILD`, `ACTIVE`, `SHUTOFF`, `ERROR`, …
    pub status: String,
    /// What is being done with it.
    #[serde(default, rename = "OS-EXT-STS:task_state")]
    pub task: Option<String>,
    /// When it was made (RFC 3339).
    #[serde(default)]
    pub created: String,
    /// When it changed last (RFC 3339).
    #[serde(default)]
    pub updated: String,
    /// How far what is being done is, in percent, where Nova says so.
    #[serde(default)]
    pub progress: Option<u8>,
    /// What its makers noted.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Why it failed.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// The name of its key pair.
    #[serde(default)]
    pub key_name: Option<String>,
    /// The availability zone that it runs in.
    #[serde(default, rename = "OS-EXT-AZ:availability_zone")]
    pub zone: Option<String>,
    /// Its volumes.
    #[serde(default, rename = "os-extended-volumes:volumes_attached")]
    pub volumes: Vec<Attached>,
    #[serde(default)]
    addresses: BTreeMap<String, Vec<Address>>,
    #[serde(default)]
    image: Value,
    #[serde(default)]
    flavor: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Address {
    addr: String,
    #[serde(default, rename = "OS-EXT-IPS:type")]
    kind: String,
}

impl Server {
    /// Addresses in its networks.
    pub fn fixed_addresses(&self) -> Vec<String> {
        self.addresses_of(|it| it.kind != "floating")
    }

    /// Addresses by which it is reached from outside.
    pub fn floating_addresses(&self) -> Vec<String> {
        self.addresses_of(|it| it.kind == "floating")
    }

    fn addresses_of(&self, wanted: impl Fn(&Address) -> bool) -> Vec<String> {
        let all = self.addresses.values().flatten();
        all.filter(|it| wanted(it))
            .map(|it| it.addr.clone())
            .collect()
    }

    /// The names of its networks.
    pub fn networks(&self) -> Vec<String> {
        self.addresses.keys().cloned().collect()
    }

    /// The id of its image; none where it boots from a volume.
    pub fn image_id(&self) -> Option<&str> {
        self.image.get("id").and_then(Value::as_str)
    }

    /// The id of its flavor, where an older Nova tells that alone.
    pub fn flavor_id(&self) -> Option<&str> {
        self.flavor.get("id").and_then(Value::as_str)
    }

    /// Its size, where Nova tells it.
    pub fn size(&self) -> Option<Size> {
        Size::deserialize(&self.flavor).ok()
    }

    /// The deployment that it belongs to, where Windlass made it.
    pub fn deployment(&self) -> Option<&str> {
        self.metadata.get(LABEL).map(String::as_str)
    }

    /// Whether it is no more; lists of what changed since have such.
    pub fn is_gone(&self) -> bool {
        matches!(self.status.as_str(), "DELETED" | "SOFT_DELETED")
    }

    /// Whether something is being done with it.
    pub fn is_busy(&self) -> bool {
        self.task.is_some()
            || matches!(
                self.status.as_str(),
                "BUILD"
                    | "REBUILD"
                    | "RESIZE"
                    | "REVERT_RESIZE"
                    | "MIGRATING"
                    | "REBOOT"
                    | "HARD_REBOOT"
                    | "PASSWORD"
            )
    }
}

/// A part of the list of servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The servers.
    pub servers: Vec<Server>,
    /// From where the next part goes on; nothing after the last.
    pub next: Option<String>,
    /// What to ask for changes since, where this is the first part (RFC 3339, by the cloud's clock).
    pub as_of: Option<String>,
}

/// A part of the servers of the project, after the marker; those alone that changed since, where that is said: what was
/// deleted since is among them.
///
/// # Errors
/// As Nova refuses, or the way to it ends.
pub async fn page(session: &Session, since: Option<&str>, marker: Option<&str>) -> Result<Page> {
    let mut call = Call::get(Service::Compute, "/servers/detail", "list servers");
    if let Some(since) = since {
        call = call.with("changes-since", since);
    }
    let part = match session
        .page(&call.clone().at(SIZE_TOLD), "servers", marker)
        .await
    {
        Err(Error::Refused { status: 406, .. }) => session.page(&call, "servers", marker).await?,
        part => part?,
    };
    let as_of = part.date.as_deref().and_then(before);
    Ok(Page {
        servers: part.items,
        next: part.next,
        as_of,
    })
}

fn before(date: &str) -> Option<String> {
    let date: SystemTime = httpdate::parse_http_date(date).ok()?;
    let at = Timestamp::try_from(date.checked_sub(OVERLAP)?).ok()?;
    Some(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// All servers of the project.
///
/// # Errors
/// As Nova refuses, or the way to it ends.
pub async fn servers(session: &Session) -> Result<Vec<Server>> {
    let mut all = Vec::new();
    let mut marker = None;
    loop {
        let part = page(session, None, marker.as_deref()).await?;
        all.extend(part.servers);
        if part.next.is_none() || part.next == marker {
            return Ok(all);
        }
        marker = part.next;
    }
}

/// One server, by its id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn server(session: &Session, id: &str) -> Result<Server> {
    let call = Call::get(Service::Compute, format!("/servers/{id}"), "show a server");
    let found = match session.fetch(call.clone().at(SIZE_TOLD), "server").await {
        Err(Error::Refused { status: 406, .. }) => session.fetch(call, "server").await,
        found => found,
    };
    found.map_err(|error| match error {
        Error::Refused { status: 404, .. } => Error::NotFound {
            what: "server",
            name: id.to_owned(),
        },
        error => error,
    })
}

/// One server as Nova shows it, word for word.
///
/// # Errors
/// As Nova refuses, or the way to it ends.
pub async fn as_shown(session: &Session, id: &str) -> Result<Value> {
    let call = Call::get(Service::Compute, format!("/servers/{id}"), "show a server");
    match session.fetch(call.clone().at(SIZE_TOLD), "server").await {
        Err(Error::Refused { status: 406, .. }) => session.fetch(call, "server").await,
        found => found,
    }
}

/// One server, by its name or id.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Ambiguous`].
pub async fn find_server(session: &Session, wanted: &str) -> Result<Server> {
    if looks_like_id(wanted) {
        match server(session, wanted).await {
            // A name may look like an id.
            Err(Error::NotFound { .. }) => {}
            found => return found,
        }
    }
    let mut named = servers(session).await?;
    named.retain(|it| it.name == wanted);
    match named.len() {
        1 => Ok(named.remove(0)),
        0 => Err(Error::NotFound {
            what: "server",
            name: wanted.to_owned(),
        }),
        count => Err(Error::Ambiguous {
            what: "server",
            name: wanted.to_owned(),
            count,
        }),
    }
}

/// The end of what a server said on its console.
///
/// # Errors
/// As Nova refuses: 409 as long as there is none.
pub async fn console_log(session: &Session, id: &str, lines: Option<u32>) -> Result<String> {
    let body = json!({ "os-getConsoleOutput": { "length": lines } });
    let call = Call::post(
        Service::Compute,
        format!("/servers/{id}/action"),
        body,
        "show the console's log",
    );
    session.fetch(call, "output").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_changes_begins_before_the_list_that_came_last() {
        assert_eq!(
            before("Mon, 23 Nov 2026 00:00:10 GMT").as_deref(),
            Some("2026-11-22T23:59:40Z")
        );
        assert_eq!(before("yesterday"), None);
    }

    #[test]
    fn old_and_new_novas_are_understood() {
        let new: Server = serde_json::from_value(json!({
            "id": "1", "name": "web", "status": "ACTIVE", "image": "",
            "flavor": { "original_name": "m1.tiny", "vcpus": 1, "ram": 512, "disk": 1, "extra_specs": {} },
            "addresses": { "inside": [
                { "addr": "10.0.0.7", "version": 4, "OS-EXT-IPS:type": "fixed" },
                { "addr": "192.0.2.7", "version": 4, "OS-EXT-IPS:type": "floating" },
            ] },
            "os-extended-volumes:volumes_attached": [{ "id": "v", "delete_on_termination": false }],
        }))
        .unwrap();
        assert_eq!(new.size().unwrap().name, "m1.tiny");
        assert_eq!((new.image_id(), new.volumes.len()), (None, 1));
        assert_eq!(new.floating_addresses(), ["192.0.2.7"]);
        let old: Server = serde_json::from_value(json!({
            "id": "1", "name": "web", "status": "BUILD", "flavor": { "id": "7", "links": [] },
        }))
        .unwrap();
        assert_eq!(
            (old.size(), old.flavor_id(), old.is_busy()),
            (None, Some("7"), true)
        );
    }
}
