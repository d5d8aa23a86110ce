//! `deploy` and `cleanup`: images as servers of a cloud, and what was made for them taken away.

use std::path::PathBuf;

use clap::Args;
use windlass_workshop::appliances::Port;
use windlass_workshop::clouds::{
    CleanUp, CloudServer, CloudThing, DeployFrom, DeployOptions, PushOptions,
};
use windlass_workshop::error::{AppError, ErrorKind};

use super::cloud::open;
use super::server;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::table;
use crate::progress;
use crate::signals::Signals;
use crate::values;

/// Deploy an image: send it, and make servers of it.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag, and independent of the others"
)]
pub(crate) struct Deploy {
    /// The image: one that boots by itself; with --remote, one of the cloud; with --appliance, an appliance
    image: String,
    /// The cloud
    #[arg(long, value_name = "NAME")]
    cloud: String,
    /// The image is one of the cloud: nothing is sent
    #[arg(long, conflicts_with = "appliance")]
    remote: bool,
    /// It is an appliance: it is built so that it boots by itself
    #[arg(long)]
    appliance: bool,
    /// The run configuration of the appliance, with no image of its own
    #[arg(long, value_name = "NAME", requires = "appliance")]
    configuration: Option<String>,
    /// The servers' name
    #[arg(long, short)]
    name: Option<String>,
    /// How many servers
    #[arg(long, short, default_value_t = 1, value_name = "NUMBER")]
    count: u32,
    /// The flavor; the smallest that fits, when nothing is said
    #[arg(long, short)]
    flavor: Option<String>,
    /// The least memory
    #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
    memory: Option<u32>,
    /// The network; the only one, when nothing is said
    #[arg(long, conflicts_with = "new_network")]
    network: Option<String>,
    /// Make a network, with subnet and router
    #[arg(long)]
    new_network: bool,
    /// Give each server an address by which it is reached from outside
    #[arg(long)]
    floating: bool,
    /// Where such addresses come from
    #[arg(long, value_name = "NETWORK", requires = "floating")]
    external: Option<String>,
    /// Let a port through; those of the appliance, when nothing is said
    #[arg(long, short, value_name = "PORT[/udp]", value_parser = values::port)]
    port: Vec<Port>,
    /// A key pair of the cloud
    #[arg(long, conflicts_with = "public_key")]
    key: Option<String>,
    /// The public half of a key of this computer
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// What the guests are told
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// The availability zone
    #[arg(long)]
    zone: Option<String>,
    /// Leave what was made where it fails
    #[arg(long)]
    keep: bool,
}

fn read(path: Option<PathBuf>) -> Result<Option<String>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let mut shown = AppError::new(
            ErrorKind::NotFound,
            format!("Cannot read `{}`", path.display()),
        );
        shown.chain.push(error.to_string());
        shown
    })?;
    Ok(Some(text))
}

impl Deploy {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let from = match (self.remote, self.appliance) {
            (true, _) => DeployFrom::Cloud,
            (_, true) => DeployFrom::Appliance,
            _ => DeployFrom::Image,
        };
        let options = DeployOptions {
            name: self.name,
            count: self.count,
            from,
            configuration: self.configuration,
            flavor: self.flavor,
            memory_mib: self.memory,
            network: self.network,
            new_network: self.new_network,
            floating: self.floating,
            external: self.external,
            ports: (!self.port.is_empty()).then_some(self.port),
            key: self.key,
            public_key: read(self.public_key)?,
            user_data: read(self.user_data)?,
            zone: self.zone,
            keep: self.keep,
            push: PushOptions::default(),
        };
        deploy(context, &self.cloud, &self.image, options).await
    }
}

pub(super) async fn deploy(
    context: &Context,
    cloud: &str,
    image: &str,
    options: DeployOptions,
) -> Outcome {
    let cloud = open(context, cloud).await?;
    let mut signals = Signals::listen()?;
    let job = context.workshop.start_deploy(cloud.id, image, options)?;
    let job = progress::wait(context, &job, &mut signals).await?;
    let mut servers = context.workshop.cloud_servers(cloud.id, true).await?;
    servers.retain(|it| it.deployment == job.produced);
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    context
        .output
        .show(&servers, |it: &Vec<CloudServer>| server::list(it))?;
    Ok(0)
}

/// Take away what Windlass made in a cloud.
#[derive(Debug, Args)]
pub(crate) struct Cleanup {
    /// The cloud
    cloud: String,
    /// One deployment, instead of all
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,
    /// Delete images, too
    #[arg(long, conflicts_with = "deployment")]
    images: bool,
    /// Only what has this id; may be given several times
    #[arg(long, value_name = "ID", conflicts_with_all = ["deployment", "images"])]
    only: Vec<String>,
    /// Only show what there is
    #[arg(long)]
    dry_run: bool,
}

impl Cleanup {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let cloud = open(context, &self.cloud).await?;
        if self.dry_run {
            let things = context
                .workshop
                .cloud_leftovers(cloud.id, self.deployment.as_deref())
                .await?;
            context.output.show(things.as_slice(), list)?;
            return Ok(0);
        }
        let mut signals = Signals::listen()?;
        let what = CleanUp {
            deployment: self.deployment.clone(),
            images: self.images,
            only: (!self.only.is_empty()).then_some(self.only),
        };
        let job = context.workshop.start_cloud_cleanup(cloud.id, what)?;
        progress::wait(context, &job, &mut signals).await?;
        let left = context
            .workshop
            .cloud_leftovers(cloud.id, self.deployment.as_deref())
            .await?;
        context.output.show(left.as_slice(), list)?;
        Ok(0)
    }
}

fn list(things: &[CloudThing]) -> String {
    let rows: Vec<_> = things
        .iter()
        .map(|it| {
            [
                it.kind.clone(),
                it.name.clone(),
                it.deployment.clone().unwrap_or_default(),
                it.id.clone(),
            ]
        })
        .collect();
    table(
        ["WHAT", "NAME", "DEPLOYMENT", "ID"],
        &rows,
        "Nothing of Windlass is in this cloud",
    )
}
