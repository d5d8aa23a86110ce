//! From an image in a cloud to servers that run.
//!
//! ```text
//!   flavor ─► network (there, or made with subnet and router) ─► security group ─► key
//!        ─► N servers ─► each ACTIVE, or Nova's fault ─► floating addresses
//! ```
//!
//! Before each call that makes something, [`Journal::intent`] is told; what is made carries the deployment's label from its
//! first moment. So whatever ends a deployment, [`take_back`] finds all of it.

use std::time::Duration;

use base64::Engine as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::compute::{self, Need, NewServer, Server};
use crate::error::{Error, Result};
use crate::images::Image;
use crate::leftovers::{self, Kind};
use crate::network::{self, Network, Port};
use crate::{Session, quota};

/// Nova takes no more user data than this, in base64.
const MOST_USER_DATA: usize = 65535;
/// How long a server may take to become active.
const PATIENCE: Duration = Duration::from_mins(10);
/// How many servers are made at once.
pub const MOST_SERVERS: u32 = 200;

/// Which network servers are put into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NetworkChoice {
    /// The only one of the project; one is made where there is none.
    #[default]
    Only,
    /// One that is there, by name or id.
    Named(String),
    /// A new one, with subnet and router.
    New,
}

/// Which key may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A key pair that is there, by its name.
    Named(String),
    /// The public half of a key of this computer.
    Public(String),
}

/// What is to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name for programs: the label of all that is made.
    pub deployment: String,
    /// The servers' name; with several, numbers follow.
    pub name: String,
    /// How many servers.
    pub count: u32,
    /// What they boot.
    pub image: Image,
    /// What each needs, beside what the image says of itself.
    pub need: Need,
    /// The flavor, by name or id; the smallest that fits, where none is named.
    pub flavor: Option<String>,
    /// The network.
    pub network: NetworkChoice,
    /// Whether each gets an address by which it is reached from outside.
    pub floating: bool,
    /// Where such addresses come from, by name or id; the only network outside, where none is named.
    pub external: Option<String>,
    /// Ports that are let through.
    pub ports: Vec<Port>,
    /// The key.
    pub key: Option<Key>,
    /// What the guests are told.
    pub user_data: Option<String>,
    /// The availability zone.
    pub zone: Option<String>,
}

/// Hears of a deployment, and writes down what is about to be made.
pub trait Journal: Send + Sync {
    /// A step begins.
    fn step(&self, words: &str);
    /// So many servers of so many are ready.
    fn progress(&self, done: u64, total: u64);
    /// Something is about to be made; what it goes by in the journal.
    ///
    /// # Errors
    /// When that cannot be written down; then it is not made.
    fn intent(&self, kind: Kind, name: &str) -> Result<String>;
    /// It was made, and has this id there.
    ///
    /// # Errors
    /// When that cannot be written down.
    fn made(&self, intent: &str, id: &str) -> Result<()>;
    /// Cancelled when nobody wants it any more.
    fn cancellation(&self) -> CancellationToken;
}

/// A server that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// It, as Nova has it. Of its floating address Nova hears a while later.
    pub server: Server,
    /// The address by which it is reached from outside.
    pub floating: Option<String>,
}

impl Plan {
    /// What each server needs, with what the image says of itself.
    pub fn needed(&self) -> Need {
        Need {
            disk_gib: self.need.disk_gib.max(self.image.min_disk),
            memory_mib: self.need.memory_mib.max(self.image.min_ram),
            vcpus: self.need.vcpus,
        }
    }

    fn names(&self) -> Vec<String> {
        match self.count {
            1 => vec![self.name.clone()],
            count => (1..=count)
                .map(|number| format!("{}-{number}", self.name))
                .collect(),
        }
    }

    fn check(&self) -> Result<()> {
        if self.count == 0 || self.count > MOST_SERVERS {
            return Err(Error::input(
                format!("{} servers cannot be made at once", self.count),
                format!("Ask for 1 to {MOST_SERVERS}"),
            ));
        }
        if self.name.trim().is_empty() || self.name.len() > 200 {
            return Err(Error::input(
                "A server has to have a name",
                "Give it one of at most 200 letters",
            ));
        }
        if self.image.status != "active" {
            return Err(Error::Failed {
                what: format!("The image {}", self.image.shown()),
                state: self.image.status.clone(),
                fault: "only an image that is active can be deployed".to_owned(),
            });
        }
        Ok(())
    }
}

/// Makes the servers and waits until they run. What was made stays where this fails: [`take_back`] takes it away.
///
/// # Errors
/// As a service refuses: the quota, a flavor that is too small; Nova's fault; [`Error::Cancelled`].
pub async fn deploy(
    session: &Session,
    plan: &Plan,
    journal: &dyn Journal,
) -> Result<Vec<Deployed>> {
    plan.check()?;
    let user_data = plan
        .user_data
        .as_ref()
        .map(|it| base64::engine::general_purpose::STANDARD.encode(it));
    if user_data
        .as_ref()
        .is_some_and(|it| it.len() > MOST_USER_DATA)
    {
        return Err(Error::input(
            "The user data is larger than Nova takes",
            "Give at most 48 KiB",
        ));
    }
    journal.step("Choosing a flavor");
    let flavor = flavor(session, plan).await?;
    let networks = network::networks(session).await?;
    let external = external(plan, &networks)?;
    let network = network(session, plan, &networks, external.as_deref(), journal).await?;
    let group = group(session, plan, journal).await?;
    let key = key(session, plan, journal).await?;
    let mut ids = Vec::new();
    for name in plan.names() {
        go_on(journal)?;
        journal.step(&format!("Making the server {name}"));
        let intent = journal.intent(Kind::Server, &name)?;
        let new = NewServer {
            name,
            deployment: plan.deployment.clone(),
            flavor: flavor.clone(),
            image: plan.image.id.clone(),
            networks: vec![network.clone()],
            groups: vec![group.clone()],
            key: key.clone(),
            user_data: user_data.clone(),
            zone: plan.zone.clone(),
            ..NewServer::default()
        };
        let id = compute::create(session, &new).await?;
        journal.made(&intent, &id)?;
        ids.push(id);
    }
    journal.step("Waiting until the servers run");
    let total = ids.len() as u64;
    let cancel = journal.cancellation();
    for (done, id) in (1..).zip(&ids) {
        tokio::select! {
            () = cancel.cancelled() => return Err(Error::Cancelled),
            outcome = active(session, id) => outcome?,
        }
        journal.progress(done, total);
    }
    let external = external.filter(|_| plan.floating);
    let mut deployed = Vec::new();
    for id in &ids {
        let mut floating = None;
        if let Some(external) = &external {
            go_on(journal)?;
            journal.step("Getting an address");
            let intent = journal.intent(Kind::Floating, id)?;
            let (made, address) =
                network::make_floating(session, external, id, &plan.deployment).await?;
            journal.made(&intent, &made)?;
            floating = Some(address);
        }
        deployed.push(Deployed {
            server: compute::server(session, id).await?,
            floating,
        });
    }
    go_on(journal)?;
    Ok(deployed)
}

/// Asked before each call that makes something: one that is under way is waited for, as what it makes would be missed otherwise.
fn go_on(journal: &dyn Journal) -> Result<()> {
    if journal.cancellation().is_cancelled() {
        return Err(Error::Cancelled);
    }
    Ok(())
}

/// The flavor's id, where it is large enough and the quota leaves room for it.
async fn flavor(session: &Session, plan: &Plan) -> Result<String> {
    let flavors = compute::flavors(session).await?;
    let need = plan.needed();
    let chosen = match &plan.flavor {
        Some(wanted) => {
            let found = flavors
                .iter()
                .find(|it| it.name == *wanted || it.id == *wanted);
            let found = found.ok_or_else(|| Error::NotFound {
                what: "flavor",
                name: wanted.clone(),
            })?;
            if let Some(lacks) = found.lacks(&need) {
                let fits = compute::propose(&flavors, &need);
                return Err(Error::input(
                    format!("The flavor {} is too small: {lacks}", found.name),
                    fits.map_or_else(
                        || "No flavor of this cloud is large enough".to_owned(),
                        |it| format!("The smallest that fits is {}", it.name),
                    ),
                ));
            }
            found
        }
        None => compute::propose(&flavors, &need).ok_or_else(|| {
            Error::input(
                format!(
                    "No flavor of this cloud has {} GiB of disk and {} MiB of memory",
                    need.disk_gib, need.memory_mib
                ),
                "Make the image smaller, or ask the cloud's keeper for a larger flavor",
            )
        })?,
    };
    let count = u64::from(plan.count);
    for quota in quota::quotas(session).await? {
        let wanted = match quota.what {
            "servers" => count,
            "virtual processors" => count * chosen.vcpus,
            "memory (MiB)" => count * chosen.memory_mib,
            "floating addresses" if plan.floating => count,
            _ => continue,
        };
        if let Some(left) = quota.left().filter(|left| *left < wanted) {
            return Err(Error::Quota {
                doing: format!("make {count} of {}", plan.name),
                said: format!("{wanted} {} are wanted, and {left} are left", quota.what),
            });
        }
    }
    Ok(chosen.id.clone())
}

/// The network outside: the one that is named, or the only one. None where there is none and none is needed.
fn external(plan: &Plan, networks: &[Network]) -> Result<Option<String>> {
    if let Some(wanted) = &plan.external {
        return network::find(networks, wanted).map(|it| Some(it.id.clone()));
    }
    let outside: Vec<_> = networks.iter().filter(|it| it.external).collect();
    match outside.as_slice() {
        [] if plan.floating => Err(Error::input(
            "This cloud has no network outside from which addresses could come",
            "Deploy without a floating address",
        )),
        [] => Ok(None),
        [first, ..] if outside.len() == 1 || !plan.floating => Ok(Some(first.id.clone())),
        several => {
            let names: Vec<_> = several.iter().map(|it| it.name.as_str()).collect();
            Err(Error::input(
                format!("Addresses may come from {}", names.join(", ")),
                "Say from which",
            ))
        }
    }
}

async fn network(
    session: &Session,
    plan: &Plan,
    networks: &[Network],
    external: Option<&str>,
    journal: &dyn Journal,
) -> Result<String> {
    let inside: Vec<_> = networks
        .iter()
        .filter(|it| !it.external && !it.subnets.is_empty())
        .collect();
    match (&plan.network, inside.as_slice()) {
        (NetworkChoice::Named(wanted), _) => {
            return network::find(networks, wanted).map(|it| it.id.clone());
        }
        (NetworkChoice::Only, [only]) => return Ok(only.id.clone()),
        (NetworkChoice::Only, [_, ..]) => {
            let names: Vec<_> = inside.iter().map(|it| it.name.as_str()).collect();
            return Err(Error::input(
                format!("There are several networks: {}", names.join(", ")),
                "Say which, or have a new one made",
            ));
        }
        (NetworkChoice::Only, []) | (NetworkChoice::New, _) => {}
    }
    journal.step("Making a network");
    let (name, deployment) = (&plan.name, &plan.deployment);
    go_on(journal)?;
    let intent = journal.intent(Kind::Network, name)?;
    let made = network::make_network(session, name, deployment).await?;
    journal.made(&intent, &made)?;
    go_on(journal)?;
    let intent = journal.intent(Kind::Subnet, name)?;
    let subnet = network::make_subnet(session, name, &made, deployment).await?;
    journal.made(&intent, &subnet)?;
    if let Some(external) = external {
        go_on(journal)?;
        let intent = journal.intent(Kind::Router, name)?;
        let router = network::make_router(session, name, external, deployment).await?;
        journal.made(&intent, &router)?;
        network::join(session, &router, &subnet).await?;
    }
    Ok(made)
}

async fn group(session: &Session, plan: &Plan, journal: &dyn Journal) -> Result<String> {
    journal.step("Making a security group");
    go_on(journal)?;
    let intent = journal.intent(Kind::Group, &plan.name)?;
    let group = network::make_group(session, &plan.name, &plan.deployment).await?;
    journal.made(&intent, &group)?;
    network::open_ports(session, &group, &plan.ports).await?;
    Ok(group)
}

async fn key(session: &Session, plan: &Plan, journal: &dyn Journal) -> Result<Option<String>> {
    match &plan.key {
        None => Ok(None),
        Some(Key::Named(name)) => {
            if compute::keys(session).await?.contains(name) {
                return Ok(Some(name.clone()));
            }
            Err(Error::NotFound {
                what: "key pair",
                name: name.clone(),
            })
        }
        Some(Key::Public(public)) => {
            let name = leftovers::key_name(&plan.deployment);
            go_on(journal)?;
            let intent = journal.intent(Kind::Key, &name)?;
            compute::import_key(session, &name, public).await?;
            journal.made(&intent, &name)?;
            Ok(Some(name))
        }
    }
}

/// Waits until a server runs.
async fn active(session: &Session, id: &str) -> Result<()> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(300);
    loop {
        let server = compute::server(session, id).await?;
        match server.status.as_str() {
            "ACTIVE" => return Ok(()),
            "ERROR" => {
                return Err(Error::Failed {
                    what: format!("The server {}", server.name),
                    state: server.status,
                    fault: server.fault.map(|it| it.message).unwrap_or_default(),
                });
            }
            _ if begun.elapsed() > PATIENCE => {
                return Err(Error::Late {
                    what: format!("The server {}", server.name),
                    state: server.status,
                    seconds: PATIENCE.as_secs(),
                });
            }
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

/// Takes away all that was made for a deployment; `tell` hears of each thing before it goes.
///
/// # Errors
/// The first refusal, after all else was tried.
pub async fn take_back(
    session: &Session,
    deployment: &str,
    mut tell: impl FnMut(&leftovers::Thing),
) -> Result<usize> {
    let mut taken = 0;
    let mut failed = None;
    for thing in leftovers::find(session, Some(deployment)).await? {
        tell(&thing);
        match leftovers::take_away(session, &thing).await {
            Ok(()) => taken += 1,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(taken), Err)
}
