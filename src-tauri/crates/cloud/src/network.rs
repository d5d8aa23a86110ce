//! Neutron: networks, routers, security groups, floating addresses. What is made carries the label in its description.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::session::Call;
use crate::{LABEL, Service, Session};

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Whether floating addresses come from it.
    #[serde(default, rename = "router:external")]
    pub external: bool,
    /// Whether other projects use it, too.
    #[serde(default)]
    pub shared: bool,
    /// Ids of its subnets.
    #[serde(default)]
    pub subnets: Vec<String>,
}

/// How a port is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port that is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// How it is spoken to.
    pub protocol: Protocol,
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

/// What is written into the description of all that is made for a deployment.
pub(crate) fn label(deployment: &str) -> String {
    format!("{LABEL} {deployment}")
}

/// The deployment that a description names.
pub(crate) fn labelled(description: &str) -> Option<&str> {
    description.strip_prefix(LABEL)?.strip_prefix(' ')
}

/// All networks that the project may use.
///
/// # Errors
/// As Neutron refuses, or the way to it ends.
pub async fn networks(session: &Session) -> Result<Vec<Network>> {
    session
        .list(
            Call::get(Service::Network, "/networks", "list networks"),
            "networks",
        )
        .await
}

/// One network, by name or id.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Ambiguous`].
pub fn find<'a>(networks: &'a [Network], wanted: &str) -> Result<&'a Network> {
    let mut found = networks
        .iter()
        .filter(|it| it.id == wanted || it.name == wanted);
    match (found.next(), found.count()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(Error::NotFound {
            what: "network",
            name: wanted.to_owned(),
        }),
        (Some(_), more) => Err(Error::Ambiguous {
            what: "network",
            name: wanted.to_owned(),
            count: more + 1,
        }),
    }
}

async fn make(session: &Session, kind: &str, what: &str, body: Value) -> Result<String> {
    let mut whole = serde_json::Map::new();
    whole.insert(kind.to_owned(), body);
    let path = format!("/{kind}s").replace('_', "-");
    let call = Call::post(
        Service::Network,
        path,
        Value::Object(whole),
        format!("make {what}"),
    );
    let made: Made = session.fetch(call, kind).await?;
    Ok(made.id)
}

/// Makes a network.
///
/// # Errors
/// As Neutron refuses: the quota.
pub async fn make_network(session: &Session, name: &str, deployment: &str) -> Result<String> {
    make(
        session,
        "network",
        "a network",
        json!({ "name": name, "description": label(deployment) }),
    )
    .await
}

/// Makes a subnet of a network.
///
/// # Errors
/// As Neutron refuses: the quota.
pub async fn make_subnet(
    session: &Session,
    name: &str,
    network: &str,
    deployment: &str,
) -> Result<String> {
    let body = json!({
        "name": name,
        "network_id": network,
        "ip_version": 4,
        "cidr": "10.123.0.0/24",
        "description": label(deployment),
    });
    make(session, "subnet", "a subnet", body).await
}

/// Makes a router between a network outside and a subnet.
///
/// # Errors
/// As Neutron refuses: the quota.
pub async fn make_router(
    session: &Session,
    name: &str,
    external: &str,
    deployment: &str,
) -> Result<String> {
    let body = json!({
        "name": name,
        "external_gateway_info": { "network_id": external },
        "description": label(deployment),
    });
    make(session, "router", "a router", body).await
}

/// Joins a subnet to a router.
///
/// # Errors
/// As Neutron refuses.
pub async fn join(session: &Session, router: &str, subnet: &str) -> Result<()> {
    let call = Call::new(
        Service::Network,
        http::Method::PUT,
        format!("/routers/{router}/add_router_interface"),
        "join a subnet to a router",
    );
    session
        .call(call.body(json!({ "subnet_id": subnet })))
        .await
        .map(|_| ())
}

/// Makes a security group that lets these ports through, and ping.
///
/// # Errors
/// As Neutron refuses: the quota.
pub async fn make_group(session: &Session, name: &str, deployment: &str) -> Result<String> {
    let body = json!({ "name": name, "description": label(deployment) });
    make(session, "security_group", "a security group", body).await
}

/// Lets ports through a security group, and ping.
///
/// # Errors
/// As Neutron refuses: the quota.
pub async fn open_ports(session: &Session, group: &str, ports: &[Port]) -> Result<()> {
    let rule = |protocol: &str, number: Option<u16>| {
        json!({
            "security_group_id": group,
            "direction": "ingress",
            "ethertype": "IPv4",
            "protocol": protocol,
            "port_range_min": number,
            "port_range_max": number,
        })
    };
    let mut rules = vec![rule("icmp", None)];
    rules.extend(ports.iter().map(|it| {
        let protocol = match it.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        rule(protocol, Some(it.number))
    }));
    let body = json!({ "security_group_rules": rules });
    let call = Call::post(
        Service::Network,
        "/security-group-rules",
        body,
        "open ports",
    );
    session.call(call).await.map(|_| ())
}

/// Gets a floating address, and has it lead to a server. The id and the address.
///
/// # Errors
/// As Neutron refuses: the quota, no router between the networks.
pub async fn make_floating(
    session: &Session,
    external: &str,
    server: &str,
    deployment: &str,
) -> Result<(String, String)> {
    let call =
        Call::get(Service::Network, "/ports", "list the server's ports").with("device_id", server);
    let ports: Vec<Made> = session.fetch(call, "ports").await?;
    let Some(port) = ports.first() else {
        return Err(Error::NotFound {
            what: "port",
            name: server.to_owned(),
        });
    };
    let body = json!({ "floatingip": {
        "floating_network_id": external,
        "port_id": port.id,
        "description": label(deployment),
    } });
    let call = Call::post(
        Service::Network,
        "/floatingips",
        body,
        "make a floating address",
    );
    let made: Value = session.fetch(call, "floatingip").await?;
    let text = |key: &str| {
        made.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Ok((text("id"), text("floating_ip_address")))
}

/// Has a floating address lead to a server: one that is free, else a new one from the outside network (its name or id; the only
/// one, where none is named). The address. A new one goes with the server's deployment.
///
/// # Errors
/// [`Error::Input`] where an outside network has to be named; as Neutron refuses.
pub async fn give_floating(
    session: &Session,
    server: &str,
    external: Option<&str>,
    deployment: Option<&str>,
) -> Result<String> {
    let call = Call::get(Service::Network, "/ports", "list the server's ports");
    let ports: Vec<Made> = session
        .fetch(call.with("device_id", server), "ports")
        .await?;
    let Some(port) = ports.first() else {
        return Err(Error::NotFound {
            what: "port",
            name: server.to_owned(),
        });
    };
    let outside: Vec<_> = networks(session)
        .await?
        .into_iter()
        .filter(|it| it.external)
        .collect();
    let wanted = |it: &&Network| external.is_none_or(|name| it.name == name || it.id == name);
    let mut fit = outside.iter().filter(wanted);
    let (Some(network), None) = (fit.next(), fit.next()) else {
        let names: Vec<_> = outside.iter().map(|it| it.name.as_str()).collect();
        return Err(Error::input(
            match external {
                Some(name) => format!("There is no outside network {name}"),
                None => {
                    "Which outside network the address is to come from has to be said".to_owned()
                }
            },
            format!("This cloud has: {}", names.join(", ")),
        ));
    };
    let call = Call::get(Service::Network, "/floatingips", "list floating addresses");
    let all: Vec<Floating> = session
        .list(
            call.with("floating_network_id", network.id.as_str()),
            "floatingips",
        )
        .await?;
    let mine = session.identity().project_id.as_str();
    let free = all
        .into_iter()
        .find(|it| it.port_id.is_none() && it.project_id.as_deref().is_none_or(|of| of == mine));
    if let Some(free) = free {
        lead(session, &free.id, Some(&port.id)).await?;
        return Ok(free.address);
    }
    let mut floating = json!({ "floating_network_id": network.id, "port_id": port.id });
    if let Some(of) = deployment {
        floating["description"] = label(of).into();
    }
    let body = json!({ "floatingip": floating });
    let call = Call::post(
        Service::Network,
        "/floatingips",
        body,
        "make a floating address",
    );
    let made: Floating = session.fetch(call, "floatingip").await?;
    Ok(made.address)
}

/// Has a floating address lead to a server no more. One that Windlass made is deleted; another stays the project's.
///
/// # Errors
/// [`Error::NotFound`]; as Neutron refuses.
pub async fn take_floating(session: &Session, server: &str, address: &str) -> Result<()> {
    let call = Call::get(Service::Network, "/floatingips", "list floating addresses");
    let all: Vec<Floating> = session
        .list(call.with("floating_ip_address", address), "floatingips")
        .await?;
    let found = all.into_iter().find(|it| {
        let details = it.port_details.as_ref();
        it.address == address && details.is_some_and(|it| it.device_id == server)
    });
    let Some(found) = found else {
        return Err(Error::NotFound {
            what: "floating address of this server",
            name: address.to_owned(),
        });
    };
    if labelled(&found.description).is_none() {
        return lead(session, &found.id, None).await;
    }
    let path = format!("/floatingips/{}", found.id);
    let call = Call::delete(Service::Network, path, "delete a floating address");
    session.remove(call).await
}

async fn lead(session: &Session, floating: &str, port: Option<&str>) -> Result<()> {
    let call = Call::new(
        Service::Network,
        http::Method::PUT,
        format!("/floatingips/{floating}"),
        "move a floating address",
    );
    let body = json!({ "floatingip": { "port_id": port } });
    session.call(call.body(body)).await.map(|_| ())
}

#[derive(Deserialize)]
struct Floating {
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    port_id: Option<String>,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(rename = "floating_ip_address")]
    address: String,
    #[serde(default)]
    port_details: Option<PortDetails>,
}

#[derive(Deserialize)]
struct PortDetails {
    #[serde(default)]
    device_id: String,
}

/// The floating addresses that lead to servers, by the server's id. Nova hears of them a while later, and of some never.
///
/// # Errors
/// As Neutron refuses, or the way to it ends.
pub async fn floating_addresses(session: &Session) -> Result<BTreeMap<String, Vec<String>>> {
    let call = Call::get(Service::Network, "/floatingips", "list floating addresses");
    let all: Vec<Floating> = session.list(call, "floatingips").await?;
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for floating in all {
        if let Some(port) = floating.port_details.filter(|it| !it.device_id.is_empty()) {
            of.entry(port.device_id).or_default().push(floating.address);
        }
    }
    Ok(of)
}
