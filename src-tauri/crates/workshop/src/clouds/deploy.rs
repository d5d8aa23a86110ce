//! Deployments: an image of this computer, or of the cloud, as servers that run there.
//!
//! ```text
//!   image ─► sent (once) ─► intents in the database ─► made ─► servers
//!                               └ fails, cancelled: taken back, unless the user wants to look
//!                               └ killed: `cleanup` finds it by its label and by its intents
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use specta::Type;
use tokio_util::sync::CancellationToken;
use windlass_cloud::compute::{self, Need};
use windlass_cloud::deploy::{self, Journal, Key, NetworkChoice, Plan};
use windlass_cloud::images;
use windlass_cloud::leftovers::{self, Kind, Thing};
use windlass_cloud::network::{self, Port as CloudPort, Protocol as CloudProtocol};

use super::images::PushOptions;
use super::{CloudQuota, store};
use crate::Workshop;
use crate::appliances::Port;
use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;
use crate::guests::Protocol;
use crate::jobs::{Job, JobKind, Reporter, Request, Unit};

/// What is deployed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum DeployFrom {
    /// An image of this computer that boots by itself.
    #[default]
    Image,
    /// An appliance, by its id or name: it is built so that it boots by itself.
    Appliance,
    /// An image of the cloud, by its name or id: nothing is sent.
    Cloud,
}

/// How an image is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", default)]
pub struct DeployOptions {
    /// The servers' name; that of the image, where nothing is said.
    pub name: Option<String>,
    /// How many servers.
    pub count: u32,
    /// What it is that is deployed.
    pub from: DeployFrom,
    /// The run configuration of an appliance, with no image of its own; the appliance's, where nothing is said.
    pub configuration: Option<String>,
    /// The flavor; the smallest that fits, where nothing is said.
    pub flavor: Option<String>,
    /// The least memory, in MiB; that of the appliance, where nothing is said.
    pub memory_mib: Option<u32>,
    /// The network; the only one, where nothing is said.
    pub network: Option<String>,
    /// Whether a new network is made, with subnet and router.
    pub new_network: bool,
    /// Whether each server gets an address by which it is reached from outside.
    pub floating: bool,
    /// Where such addresses come from; the only network outside, where nothing is said.
    pub external: Option<String>,
    /// Ports that are let through; those of the appliance, where nothing is said.
    pub ports: Option<Vec<Port>>,
    /// The name of a key pair of the cloud.
    pub key: Option<String>,
    /// The public half of a key of this computer.
    pub public_key: Option<String>,
    /// What the guests are told.
    pub user_data: Option<String>,
    /// The availability zone.
    pub zone: Option<String>,
    /// Whether what was made stays where it fails.
    pub keep: bool,
    /// How the image is sent.
    pub push: PushOptions,
}

impl Default for DeployOptions {
    fn default() -> Self {
        Self {
            name: None,
            count: 1,
            from: DeployFrom::Image,
            configuration: None,
            flavor: None,
            memory_mib: None,
            network: None,
            new_network: false,
            floating: false,
            external: None,
            ports: None,
            key: None,
            public_key: None,
            user_data: None,
            zone: None,
            keep: false,
            push: PushOptions::default(),
        }
    }
}

/// A flavor, and whether it is large enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudFlavor {
    /// Its name.
    pub name: String,
    /// Virtual processors.
    pub vcpus: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Its disk in GiB; with 0, as large as the image.
    pub disk_gib: u64,
    /// What is too small of it, in words.
    pub lacks: Option<String>,
    /// Whether it is the smallest that fits.
    pub proposed: bool,
}

/// What can be chosen for a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct DeployChoices {
    /// What the servers would be called.
    pub name: String,
    /// The least memory of the appliance, in MiB.
    pub memory_mib: u32,
    /// Flavors, the smallest first.
    pub flavors: Vec<CloudFlavor>,
    /// Networks that servers can be in.
    pub networks: Vec<String>,
    /// Networks that floating addresses come from.
    pub external: Vec<String>,
    /// Names of key pairs.
    pub keys: Vec<String>,
    /// Availability zones.
    pub zones: Vec<String>,
    /// Ports of the appliance.
    pub ports: Vec<Port>,
    /// The project's shares.
    pub quotas: Vec<CloudQuota>,
}

/// Something that Windlass made in a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudThing {
    /// What sort of thing.
    pub kind: String,
    /// Its id there.
    pub id: String,
    /// Its name, or its address.
    pub name: String,
    /// The deployment that it belongs to.
    pub deployment: Option<String>,
}

/// Which of the things that Windlass made are to be taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", default)]
pub struct CleanUp {
    /// Those of one deployment.
    pub deployment: Option<String>,
    /// Images, too.
    pub images: bool,
    /// Those of these ids alone, whatever they are.
    pub only: Option<Vec<String>>,
}

impl CleanUp {
    fn takes(&self, thing: &Thing) -> bool {
        match &self.only {
            Some(ids) => ids.contains(&thing.id),
            None => self.images || thing.kind != Kind::Image,
        }
    }
}

impl CloudThing {
    fn of(thing: &Thing) -> Self {
        Self {
            kind: thing.kind.as_str().to_owned(),
            id: thing.id.clone(),
            name: thing.name.clone(),
            deployment: thing.deployment.clone(),
        }
    }
}

/// Tells a job of a deployment, and the database of what is about to be made.
struct JobJournal {
    workshop: Arc<Workshop>,
    reporter: Reporter,
    cloud_id: u32,
    deployment: String,
}

fn unwritten(error: AppError) -> windlass_cloud::Error {
    windlass_cloud::Error::Input {
        found: error.message,
        remedy: error.hints.join("; "),
    }
}

impl Journal for JobJournal {
    fn step(&self, words: &str) {
        self.reporter.step(words);
    }

    fn progress(&self, done: u64, total: u64) {
        self.reporter.progress(done, Some(total), Unit::Items);
    }

    fn intent(&self, kind: Kind, name: &str) -> windlass_cloud::Result<String> {
        let id = crate::new_id();
        let item = store::Item {
            id: id.clone(),
            cloud_id: self.cloud_id,
            deployment: Some(self.deployment.clone()),
            kind: kind.as_str().to_owned(),
            name: name.to_owned(),
            remote_id: None,
        };
        store::intend(&self.workshop.database, &item).map_err(unwritten)?;
        Ok(id)
    }

    fn made(&self, intent: &str, id: &str) -> windlass_cloud::Result<()> {
        store::made(&self.workshop.database, intent, id).map_err(unwritten)
    }

    fn cancellation(&self) -> CancellationToken {
        self.reporter.cancellation().clone()
    }
}

/// What an image of this computer asks for.
#[derive(Default)]
struct Wishes {
    name: String,
    memory_mib: u32,
    vcpus: u32,
    ports: Vec<Port>,
}

impl Workshop {
    fn wishes(&self, image: &str, from: DeployFrom) -> Result<Wishes> {
        match from {
            DeployFrom::Cloud => {
                return Ok(Wishes {
                    name: image.to_owned(),
                    ..Wishes::default()
                });
            }
            DeployFrom::Appliance => {
                let appliance = self.find_appliance(image)?;
                let settings = self.run_form(&appliance.id)?.settings;
                return Ok(Wishes {
                    name: appliance.name,
                    memory_mib: settings.memory_mib,
                    vcpus: settings.vcpus,
                    ports: settings.ports,
                });
            }
            DeployFrom::Image => {}
        }
        let named = self.named_image(image)?;
        let name = self.shown_name(image, &named);
        let Some(build) = &named.build else {
            return Ok(Wishes {
                name,
                ..Wishes::default()
            });
        };
        let Ok(form) = self.run_form(&build.appliance_id) else {
            return Ok(Wishes {
                name,
                ..Wishes::default()
            });
        };
        Ok(Wishes {
            name,
            memory_mib: form.settings.memory_mib,
            vcpus: form.settings.vcpus,
            ports: form.settings.ports,
        })
    }

    /// What can be chosen to deploy an image to a cloud.
    ///
    /// # Errors
    /// `NotFound` for the image; when the cloud cannot be asked.
    pub async fn deploy_choices(
        &self,
        id: u32,
        image: &str,
        from: DeployFrom,
    ) -> Result<DeployChoices> {
        let wishes = self.wishes(image, from)?;
        let session = self.cloud_session(id).await?;
        let mut need = Need {
            disk_gib: 0,
            memory_mib: wishes.memory_mib.into(),
            vcpus: wishes.vcpus.into(),
        };
        match from {
            DeployFrom::Cloud => {
                let image = images::find(&session, image).await?;
                (need.disk_gib, need.memory_mib) = (image.min_disk, image.min_ram);
            }
            DeployFrom::Image => {
                let path = self.named_image(image)?.path;
                let bytes = std::fs::metadata(path).map_or(0, |it| it.len());
                need.disk_gib = bytes.div_ceil(1 << 30);
            }
            DeployFrom::Appliance => {
                // As large as the last image; what is not built yet fits into the smallest disk of most.
                let built = self.find_appliance(image)?.last_build;
                need.disk_gib = built.map_or(1, |it| it.size_bytes.div_ceil(1 << 30));
            }
        }
        let flavors = compute::flavors(&session).await?;
        let proposed = compute::propose(&flavors, &need).map(|it| it.id.clone());
        let networks = network::networks(&session).await?;
        let named = |external: bool| {
            let of = networks.iter().filter(move |it| it.external == external);
            of.map(|it| it.name.clone()).collect::<Vec<_>>()
        };
        Ok(DeployChoices {
            name: wishes.name,
            memory_mib: wishes.memory_mib,
            networks: named(false),
            external: named(true),
            keys: compute::keys(&session).await?,
            zones: compute::zones(&session).await?,
            ports: wishes.ports,
            quotas: self.cloud_quotas(id).await?,
            flavors: flavors
                .into_iter()
                .map(|it| CloudFlavor {
                    lacks: it.lacks(&need),
                    proposed: proposed.as_ref() == Some(&it.id),
                    name: it.name,
                    vcpus: it.vcpus,
                    memory_mib: it.memory_mib,
                    disk_gib: it.disk_gib,
                })
                .collect(),
        })
    }

    /// Deploys an image, as a job that ends with the deployment's id. Where it fails, what was made is taken back.
    ///
    /// # Errors
    /// `NotFound` for the cloud or the image.
    pub fn start_deploy(
        self: &Arc<Self>,
        id: u32,
        image: &str,
        options: DeployOptions,
    ) -> Result<Job> {
        let cloud = store::get(&self.database, id)?.profile.name;
        let wishes = self.wishes(image, options.from)?;
        let name = options.name.clone().unwrap_or_else(|| wishes.name.clone());
        let subject = match options.from {
            DeployFrom::Cloud => None,
            DeployFrom::Image => self.named_image(image)?.build.map(|it| it.appliance_id),
            DeployFrom::Appliance => Some(self.find_appliance(image)?.id),
        };
        let request = Request::Deploy {
            cloud: id,
            image: image.to_owned(),
            options: Box::new(options.clone()),
        };
        let title = format!("Deploy {name} to {cloud}");
        let (workshop, image) = (Arc::clone(self), image.to_owned());
        self.start_job(
            JobKind::Deploy,
            title,
            subject,
            Some(&request),
            async move |reporter| {
                let deployment = workshop
                    .deploy(id, &image, name, wishes, options, &reporter)
                    .await?;
                Ok(Some(deployment))
            },
        )
    }

    async fn deploy(
        self: &Arc<Self>,
        id: u32,
        image: &str,
        name: String,
        wishes: Wishes,
        mut options: DeployOptions,
        reporter: &Reporter,
    ) -> Result<String> {
        reporter.step("Logging in");
        let session = self.cloud_session(id).await?;
        let remote = match options.from {
            DeployFrom::Cloud => images::find(&session, image).await?,
            DeployFrom::Image => {
                let sent = self.push_image(id, image, &options.push, reporter).await?;
                images::get(&session, &sent).await?
            }
            DeployFrom::Appliance => {
                let wanted = options.configuration.take();
                let built = self.image_for_cloud(image, wanted, reporter).await?;
                options.user_data = options.user_data.or(built.user_data);
                options.push.name.get_or_insert_with(|| name.clone());
                let sent = self
                    .push_image(id, &built.id, &options.push, reporter)
                    .await?;
                images::get(&session, &sent).await?
            }
        };
        let deployment = crate::new_id();
        let ports = options.ports.unwrap_or(wishes.ports);
        let plan = Plan {
            deployment: deployment.clone(),
            name,
            count: options.count,
            image: remote,
            need: Need {
                disk_gib: 0,
                memory_mib: options.memory_mib.unwrap_or(wishes.memory_mib).into(),
                vcpus: wishes.vcpus.into(),
            },
            flavor: options.flavor,
            network: match options.network {
                _ if options.new_network => NetworkChoice::New,
                Some(name) => NetworkChoice::Named(name),
                None => NetworkChoice::Only,
            },
            floating: options.floating,
            external: options.external,
            ports: ports
                .iter()
                .map(|it| CloudPort {
                    number: it.guest,
                    protocol: match it.protocol {
                        Protocol::Tcp => CloudProtocol::Tcp,
                        Protocol::Udp => CloudProtocol::Udp,
                    },
                })
                .collect(),
            key: options
                .public_key
                .map(Key::Public)
                .or(options.key.map(Key::Named)),
            user_data: options.user_data,
            zone: options.zone,
        };
        let journal = JobJournal {
            workshop: Arc::clone(self),
            reporter: reporter.clone(),
            cloud_id: id,
            deployment: deployment.clone(),
        };
        let outcome = deploy::deploy(&session, &plan, &journal).await;
        self.events.send(Event::CloudsChanged);
        match outcome {
            Ok(servers) => {
                for it in servers {
                    let at = it.server.fixed_addresses().into_iter().chain(it.floating);
                    reporter.log(&format!(
                        "{} runs at {}",
                        it.server.name,
                        at.collect::<Vec<_>>().join(", ")
                    ));
                }
                Ok(deployment)
            }
            Err(error) if options.keep => Err(AppError::from(error).hinted(format!(
                "Take back what was made: `windlassctl cleanup CLOUD --deployment {deployment}`"
            ))),
            Err(error) => {
                reporter.log(&error.to_string());
                reporter.step("Taking back what was made");
                let mut error = AppError::from(error);
                let tell = |thing: &Thing| {
                    reporter.log(&format!("{} {}", thing.kind.as_str(), thing.name));
                };
                match deploy::take_back(&session, &deployment, tell).await {
                    Ok(_) => store::forget_deployment(&self.database, &deployment)?,
                    Err(left) => {
                        error.chain.push(left.to_string());
                        error = error.hinted(format!(
                            "Something is left of it: `windlassctl cleanup CLOUD --deployment {deployment}`"
                        ));
                    }
                }
                Err(error)
            }
        }
    }

    /// The smallest disk that a size or a flavor asks for, in GiB.
    ///
    /// # Errors
    /// `NotFound` for the flavor.
    pub async fn stack_disk_gib(
        &self,
        id: u32,
        size_mib: Option<u32>,
        flavor: Option<&str>,
    ) -> Result<Option<u32>> {
        let of_flavor = match flavor {
            None => None,
            Some(wanted) => {
                let session = self.cloud_session(id).await?;
                let flavors = compute::flavors(&session).await?;
                let found = flavors
                    .iter()
                    .find(|it| it.name == wanted || it.id == wanted);
                Some(
                    found
                        .ok_or_else(|| AppError::not_found("flavor", wanted))?
                        .disk_gib,
                )
            }
        };
        let of_size = size_mib.map(|it| u64::from(it).div_ceil(1024));
        Ok(of_flavor.max(of_size).and_then(|it| u32::try_from(it).ok()))
    }

    /// What Windlass made in a cloud; of one deployment, where it is named. What was meant to be made and is not there is forgotten.
    ///
    /// # Errors
    /// When the cloud cannot be asked.
    pub async fn cloud_leftovers(
        &self,
        id: u32,
        deployment: Option<&str>,
    ) -> Result<Vec<CloudThing>> {
        let session = self.cloud_session(id).await?;
        let found = leftovers::find(&session, deployment).await?;
        if deployment.is_none() {
            self.reconcile(id, &found)?;
        }
        Ok(found.iter().map(CloudThing::of).collect())
    }

    /// Forgets intents of which nothing came, of jobs that have ended.
    fn reconcile(&self, id: u32, found: &[Thing]) -> Result<()> {
        let young = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(30);
        for item in store::items(&self.database, id)? {
            let there = found.iter().any(|it| {
                Some(&it.id) == item.remote_id.as_ref()
                    || (item.remote_id.is_none() && it.deployment == item.deployment)
            });
            let fresh = item
                .made_at
                .parse::<jiff::Timestamp>()
                .is_ok_and(|at| at > young);
            if !there && !fresh {
                store::forget(&self.database, &item.id)?;
            }
        }
        Ok(())
    }

    /// Takes away what Windlass made in a cloud, as a job: all of it, or one deployment. Images stay, unless they are asked for.
    ///
    /// # Errors
    /// `NotFound` for the cloud.
    pub fn start_cloud_cleanup(self: &Arc<Self>, id: u32, what: CleanUp) -> Result<Job> {
        let cloud = store::get(&self.database, id)?.profile.name;
        let workshop = Arc::clone(self);
        let title = format!("Clean up {cloud}");
        self.start_job(JobKind::CleanUp, title, None, None, async move |reporter| {
            reporter.step("Looking for what Windlass made");
            let session = workshop.cloud_session(id).await?;
            let mut found = leftovers::find(&session, what.deployment.as_deref()).await?;
            found.retain(|it| what.takes(it));
            let total = found.len() as u64;
            let mut failed = Vec::new();
            for (done, thing) in (1..).zip(&found) {
                reporter.check()?;
                reporter.step(&format!(
                    "Deleting the {} {}",
                    thing.kind.as_str(),
                    thing.name
                ));
                match leftovers::take_away(&session, thing).await {
                    Ok(()) => store::forget_remote(&workshop.database, id, &thing.id)?,
                    Err(error) => {
                        failed.push(format!("{} {}: {error}", thing.kind.as_str(), thing.name));
                    }
                }
                reporter.progress(done, Some(total), Unit::Items);
            }
            workshop.events.send(Event::CloudsChanged);
            if failed.is_empty() {
                reporter.log(&format!("{total} things were deleted"));
                return Ok(None);
            }
            let mut error = AppError::new(
                ErrorKind::Conflict,
                format!("{} of {total} things could not be deleted", failed.len()),
            )
            .hinted("Something that Windlass did not make may use them; delete that first");
            error.chain = failed;
            Err(error)
        })
    }
}
