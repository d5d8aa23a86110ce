//! Nova: sizes, servers, and what is done with them.

mod actions;
mod changes;
pub mod consoles;
mod server;
mod settling;

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

pub use actions::{Action, Deed, act, history, snapshot};
pub use changes::{rebuild, resize};
pub use server::{
    Attached, Fault, Page, Server, Size, as_shown, console_log, find_server, page, server, servers,
};
pub use settling::{Patience, settled};

use crate::error::Result;
use crate::session::Call;
use crate::{LABEL, Service, Session};

/// The size of a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Flavor {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Virtual processors.
    pub vcpus: u64,
    /// Memory in MiB.
    #[serde(rename = "ram")]
    pub memory_mib: u64,
    /// Its root disk in GiB; with 0, as large as the image.
    #[serde(rename = "disk")]
    pub disk_gib: u64,
}

/// What a guest needs of a flavor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// The disk, in GiB.
    pub disk_gib: u64,
    /// The memory, in MiB.
    pub memory_mib: u64,
    /// Virtual processors.
    pub vcpus: u64,
}

impl Flavor {
    /// What is too small of it, in words.
    pub fn lacks(&self, need: &Need) -> Option<String> {
        let mut lacking = Vec::new();
        if self.disk_gib != 0 && self.disk_gib < need.disk_gib {
            lacking.push(format!(
                "its disk has {} GiB, and {} are needed",
                self.disk_gib, need.disk_gib
            ));
        }
        if self.memory_mib < need.memory_mib {
            lacking.push(format!(
                "its memory is {} MiB, and {} are needed",
                self.memory_mib, need.memory_mib
            ));
        }
        if self.vcpus < need.vcpus {
            lacking.push(format!(
                "it has {} processors, and {} are needed",
                self.vcpus, need.vcpus
            ));
        }
        (!lacking.is_empty()).then(|| lacking.join("; "))
    }
}

/// All flavors, the smallest first.
///
/// # Errors
/// As Nova refuses, or the way to it ends.
pub async fn flavors(session: &Session) -> Result<Vec<Flavor>> {
    let call = Call::get(Service::Compute, "/flavors/detail", "list flavors");
    let mut found: Vec<Flavor> = session.list(call, "flavors").await?;
    found.sort_by(|a, b| size(a).cmp(&size(b)).then_with(|| a.name.cmp(&b.name)));
    Ok(found)
}

fn size(flavor: &Flavor) -> (u64, u64, u64) {
    (flavor.memory_mib, flavor.vcpus, flavor.disk_gib)
}

/// The smallest flavor that has what is needed.
pub fn propose<'a>(flavors: &'a [Flavor], need: &Need) -> Option<&'a Flavor> {
    flavors
        .iter()
        .filter(|it| it.lacks(need).is_none())
        .min_by_key(|it| size(it))
}

/// What is asked of Nova to make a server.
#[derive(Debug, Clone, Default)]
pub struct NewServer {
    /// Its name.
    pub name: String,
    /// The deployment that it belongs to.
    pub deployment: String,
    /// The flavor's id.
    pub flavor: String,
    /// The image's id.
    pub image: String,
    /// Ids of networks.
    pub networks: Vec<String>,
    /// Ids of security groups.
    pub groups: Vec<String>,
    /// The name of a key pair.
    pub key: Option<String>,
    /// What the guest is told, in base64.
    pub user_data: Option<String>,
    /// The availability zone.
    pub zone: Option<String>,
    /// What is noted beside our own label.
    pub metadata: BTreeMap<String, String>,
}

/// Asks for a server; it is made by and by. Its id.
///
/// # Errors
/// As Nova refuses: the quota, a flavor that is too small for the image.
pub async fn create(session: &Session, new: &NewServer) -> Result<String> {
    let mut metadata = new.metadata.clone();
    metadata.insert(LABEL.to_owned(), new.deployment.clone());
    let mut server = json!({
        "name": new.name,
        "flavorRef": new.flavor,
        "imageRef": new.image,
        "metadata": metadata,
        "networks": new.networks.iter().map(|it| json!({ "uuid": it })).collect::<Vec<_>>(),
    });
    if !new.groups.is_empty() {
        server["security_groups"] = new.groups.iter().map(|it| json!({ "name": it })).collect();
    }
    for (key, value) in [
        ("key_name", &new.key),
        ("user_data", &new.user_data),
        ("availability_zone", &new.zone),
    ] {
        if let Some(value) = value {
            server[key] = json!(value);
        }
    }
    let doing = format!("make the server {}", new.name);
    let call = Call::post(
        Service::Compute,
        "/servers",
        json!({ "server": server }),
        doing,
    );
    let made: Made = session.fetch(call, "server").await?;
    Ok(made.id)
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

/// Deletes a server; that it is gone already is no error.
///
/// # Errors
/// As Nova refuses.
pub async fn delete(session: &Session, id: &str) -> Result<()> {
    session
        .remove(Call::delete(
            Service::Compute,
            format!("/servers/{id}"),
            "delete a server",
        ))
        .await
}

/// Names of the key pairs of the user.
///
/// # Errors
/// As Nova refuses, or the way to it ends.
pub async fn keys(session: &Session) -> Result<Vec<String>> {
    let call = Call::get(Service::Compute, "/os-keypairs", "list key pairs");
    let found: Vec<Value> = session.fetch(call, "keypairs").await?;
    let names = found
        .iter()
        .filter_map(|it| it.pointer("/keypair/name")?.as_str());
    Ok(names.map(str::to_owned).collect())
}

/// Gives Nova the public half of a key.
///
/// # Errors
/// As Nova refuses: no public key, the quota.
pub async fn import_key(session: &Session, name: &str, public: &str) -> Result<()> {
    let body = json!({ "keypair": { "name": name, "public_key": public } });
    let call = Call::post(Service::Compute, "/os-keypairs", body, "take a public key");
    session.call(call).await.map(|_| ())
}

/// Deletes a key pair; that it is gone already is no error.
///
/// # Errors
/// As Nova refuses.
pub async fn delete_key(session: &Session, name: &str) -> Result<()> {
    // A name of ours, made of letters that a path may have.
    let call = Call::new(
        Service::Compute,
        Method::DELETE,
        format!("/os-keypairs/{name}"),
        "delete a key pair",
    );
    session.remove(call).await
}

/// Availability zones that take servers.
///
/// # Errors
/// As Nova refuses, or the way to it ends.
pub async fn zones(session: &Session) -> Result<Vec<String>> {
    let call = Call::get(Service::Compute, "/os-availability-zone", "list zones");
    let found: Vec<Value> = session.fetch(call, "availabilityZoneInfo").await?;
    let open = found
        .iter()
        .filter(|it| it.pointer("/zoneState/available").and_then(Value::as_bool) != Some(false));
    Ok(open
        .filter_map(|it| it.get("zoneName")?.as_str().map(str::to_owned))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flavor(name: &str, vcpus: u64, memory_mib: u64, disk_gib: u64) -> Flavor {
        Flavor {
            id: name.to_owned(),
            name: name.to_owned(),
            vcpus,
            memory_mib,
            disk_gib,
        }
    }

    #[test]
    fn the_smallest_flavor_that_fits_is_proposed() {
        let flavors = [
            flavor("large", 8, 16384, 80),
            flavor("small", 1, 512, 1),
            flavor("medium", 2, 2048, 0),
            flavor("wide", 4, 2048, 40),
        ];
        let need = |disk_gib, memory_mib, vcpus| Need {
            disk_gib,
            memory_mib,
            vcpus,
        };
        let name = |need| propose(&flavors, &need).map(|it| it.name.as_str());
        assert_eq!(name(need(1, 64, 1)), Some("small"));
        // A disk of 0 is as large as the image.
        assert_eq!(name(need(10, 512, 1)), Some("medium"));
        assert_eq!(name(need(10, 512, 3)), Some("wide"));
        assert_eq!(name(need(100, 4096, 1)), None);
        assert_eq!(
            flavors[1].lacks(&need(2, 1024, 1)).unwrap(),
            "its disk has 1 GiB, and 2 are needed; its memory is 512 MiB, and 1024 are needed"
        );
    }
}
