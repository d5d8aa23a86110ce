//! What Windlass made in a cloud, found by its label, and taken away in an order in which it goes.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::images::{self, Filter};
use crate::network::labelled;
use crate::session::Call;
use crate::stacks::{self, Stack};
use crate::{LABEL, Service, Session, compute};

/// How long Nova may take to let go of a server.
const PATIENCE: Duration = Duration::from_mins(5);
const KEY_PREFIX: &str = "windlass-";

/// A sort of thing that is made. The order is that in which things are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A stack, with all that is of it.
    Stack,
    /// A floating address.
    Floating,
    /// A server.
    Server,
    /// A router.
    Router,
    /// A subnet.
    Subnet,
    /// A network.
    Network,
    /// A security group.
    Group,
    /// A key pair.
    Key,
    /// An image.
    Image,
}

impl Kind {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Floating => "floating address",
            Self::Server => "server",
            Self::Router => "router",
            Self::Subnet => "subnet",
            Self::Network => "network",
            Self::Group => "security group",
            Self::Key => "key pair",
            Self::Image => "image",
        }
    }
}

/// Something that Windlass made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// What sort of thing.
    pub kind: Kind,
    /// Its id there; of a key pair, its name.
    pub id: String,
    /// Its name, or its address.
    pub name: String,
    /// The deployment that it belongs to; images and stacks belong to none.
    pub deployment: Option<String>,
}

#[derive(Deserialize)]
struct Described {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    floating_ip_address: String,
}

/// All that carries the label, of one deployment where it is named, in the order in which it is taken away.
///
/// # Errors
/// As a service refuses, or the way to it ends.
pub async fn find(session: &Session, deployment: Option<&str>) -> Result<Vec<Thing>> {
    let wanted = |it: &str| deployment.is_none_or(|wanted| wanted == it);
    let mut found = Vec::new();
    for server in compute::servers(session).await? {
        if let Some(of) = server.deployment().filter(|it| wanted(it)) {
            found.push(Thing {
                kind: Kind::Server,
                deployment: Some(of.to_owned()),
                name: server.name.clone(),
                id: server.id.clone(),
            });
        }
    }
    for (kind, path, key) in [
        (Kind::Floating, "/floatingips", "floatingips"),
        (Kind::Router, "/routers", "routers"),
        (Kind::Subnet, "/subnets", "subnets"),
        (Kind::Network, "/networks", "networks"),
        (Kind::Group, "/security-groups", "security_groups"),
    ] {
        let call = Call::get(
            Service::Network,
            path,
            format!("list each {}", kind.as_str()),
        )
        .with("project_id", session.identity().project_id.as_str());
        let all: Vec<Described> = session.list(call, key).await?;
        found.extend(all.into_iter().filter_map(|it| {
            let of = labelled(&it.description)
                .filter(|it| wanted(it))?
                .to_owned();
            Some(Thing {
                kind,
                deployment: Some(of),
                name: if it.name.is_empty() {
                    it.floating_ip_address
                } else {
                    it.name
                },
                id: it.id,
            })
        }));
    }
    for name in compute::keys(session).await? {
        if let Some(of) = name.strip_prefix(KEY_PREFIX).filter(|it| wanted(it)) {
            found.push(Thing {
                kind: Kind::Key,
                deployment: Some(of.to_owned()),
                id: name.clone(),
                name,
            });
        }
    }
    if deployment.is_none() {
        if session.has(Service::Orchestration) {
            let ours = stacks::stacks(session).await?;
            found.extend(ours.into_iter().filter(Stack::is_ours).map(|it| Thing {
                kind: Kind::Stack,
                deployment: None,
                name: it.stack_name,
                id: it.id,
            }));
        }
        let filter = Filter {
            tag: Some(LABEL.to_owned()),
            ..Filter::default()
        };
        let mine = Some(session.identity().project_id.as_str());
        for image in images::list(session, &filter).await? {
            if image.owner.as_deref() == mine {
                found.push(Thing {
                    kind: Kind::Image,
                    deployment: None,
                    name: image.shown().to_owned(),
                    id: image.id,
                });
            }
        }
    }
    found.sort_by_key(|it| it.kind);
    Ok(found)
}

/// The name that a deployment's key pair gets.
pub fn key_name(deployment: &str) -> String {
    format!("{KEY_PREFIX}{deployment}")
}

/// Takes away one thing, and waits until it is gone.
///
/// # Errors
/// As a service refuses: something that is not ours uses it.
pub async fn take_away(session: &Session, thing: &Thing) -> Result<()> {
    let doing = || format!("delete the {} {}", thing.kind.as_str(), thing.name);
    let plain = |path: String| Call::delete(Service::Network, path, doing());
    let id = &thing.id;
    match thing.kind {
        Kind::Stack => {
            let stack = match stacks::stack(session, id).await {
                Err(Error::NotFound { .. }) => return Ok(()),
                found => found?,
            };
            stacks::delete(session, &stack).await?;
            stacks::settled(session, &stack, |_| ()).await.map(drop)
        }
        Kind::Server => {
            compute::delete(session, id).await?;
            gone(session, id).await
        }
        Kind::Router => {
            leave(session, id).await?;
            settle(session, plain(format!("/routers/{id}"))).await
        }
        Kind::Floating => session.remove(plain(format!("/floatingips/{id}"))).await,
        Kind::Subnet => settle(session, plain(format!("/subnets/{id}"))).await,
        Kind::Network => settle(session, plain(format!("/networks/{id}"))).await,
        Kind::Group => settle(session, plain(format!("/security-groups/{id}"))).await,
        Kind::Key => compute::delete_key(session, id).await,
        Kind::Image => images::delete(session, id).await,
    }
}

/// Deletes what something that is just going may still use.
async fn settle(session: &Session, call: Call) -> Result<()> {
    let begun = Instant::now();
    loop {
        match session.remove(call.clone()).await {
            Err(Error::Refused { status: 409, .. })
                if begun.elapsed() < Duration::from_secs(30) =>
            {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn gone(session: &Session, id: &str) -> Result<()> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(300);
    loop {
        match compute::server(session, id).await {
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) if !error.is_passing() => return Err(error),
            Ok(server) if begun.elapsed() > PATIENCE => {
                return Err(Error::Late {
                    what: format!("The end of the server {}", server.name),
                    state: server.status,
                    seconds: PATIENCE.as_secs(),
                });
            }
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    device_owner: String,
    #[serde(default)]
    fixed_ips: Vec<FixedIp>,
}

#[derive(Deserialize)]
struct FixedIp {
    subnet_id: String,
}

/// Takes a router out of its subnets.
async fn leave(session: &Session, router: &str) -> Result<()> {
    let call =
        Call::get(Service::Network, "/ports", "list the router's ports").with("device_id", router);
    let ports: Vec<Interface> = session.fetch(call, "ports").await?;
    let inner = ports
        .iter()
        .filter(|it| it.device_owner.contains("router_interface"));
    for subnet in inner.flat_map(|it| &it.fixed_ips) {
        let call = Call::new(
            Service::Network,
            http::Method::PUT,
            format!("/routers/{router}/remove_router_interface"),
            "take a subnet from its router",
        );
        session
            .remove(call.body(json!({ "subnet_id": subnet.subnet_id })))
            .await?;
    }
    Ok(())
}
