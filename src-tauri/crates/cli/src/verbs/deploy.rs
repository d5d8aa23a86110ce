//! `deploy`, `cleanup` and Capstan's `stack`: images as servers of a cloud, and what was made for them taken away.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use windlass_workshop::appliances::Port;
use windlass_workshop::builds::ComposeOptions;
use windlass_workshop::clouds::{CloudServer, CloudThing, DeployOptions, PushOptions};
use windlass_workshop::error::{AppError, ErrorKind};

use super::cloud::open;
use super::{server, target};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{self, BuildFlags, MachineFlags};
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
    /// The image: one that boots by itself; with --remote, one of the cloud
    image: String,
    /// The cloud
    #[arg(long, value_name = "NAME")]
    cloud: String,
    /// The image is one of the cloud: nothing is sent
    #[arg(long)]
    remote: bool,
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
        let options = DeployOptions {
            name: self.name,
            count: self.count,
            remote: self.remote,
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

async fn deploy(context: &Context, cloud: &str, image: &str, options: DeployOptions) -> Outcome {
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
        let job =
            context
                .workshop
                .start_cloud_cleanup(cloud.id, self.deployment.clone(), self.images)?;
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

/// Where Capstan's `stack` finds its cloud: flags, or the OS_* variables.
#[derive(Debug, Default, Args)]
pub(crate) struct Login {
    /// A cloud that Windlass knows; without it, the flags below and the OS_* variables name one
    #[arg(long, value_name = "NAME")]
    cloud: Option<String>,
    /// The address of Keystone
    #[arg(long = "OS_AUTH_URL", env = "OS_AUTH_URL", value_name = "URL")]
    auth_url: Option<String>,
    /// The project's id, as Capstan calls it
    #[arg(long = "OS_TENANT_ID", env = "OS_TENANT_ID", value_name = "ID")]
    tenant_id: Option<String>,
    /// The project, as Capstan calls it
    #[arg(long = "OS_TENANT_NAME", env = "OS_TENANT_NAME", value_name = "NAME")]
    tenant_name: Option<String>,
    /// The project
    #[arg(long = "OS_PROJECT_NAME", env = "OS_PROJECT_NAME", value_name = "NAME")]
    project_name: Option<String>,
    /// Who logs in
    #[arg(long = "OS_USERNAME", env = "OS_USERNAME", value_name = "NAME")]
    username: Option<String>,
    /// The password; as a flag everybody on this computer can read it, so give the variable
    #[arg(
        long = "OS_PASSWORD",
        env = "OS_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true
    )]
    password: Option<String>,
    /// The region
    #[arg(long = "OS_REGION_NAME", env = "OS_REGION_NAME", value_name = "NAME")]
    region: Option<String>,
}

impl Login {
    /// The cloud's name: one that is known, or one that is taken over from what is said.
    async fn cloud(self, context: &Context) -> Result<String, Failure> {
        if let Some(name) = self.cloud {
            return Ok(name);
        }
        let mut words: Vec<(String, String)> = std::env::vars()
            .filter(|(name, _)| name.starts_with("OS_"))
            .collect();
        for (name, value) in [
            ("OS_AUTH_URL", self.auth_url),
            ("OS_TENANT_ID", self.tenant_id),
            ("OS_TENANT_NAME", self.tenant_name),
            ("OS_PROJECT_NAME", self.project_name),
            ("OS_USERNAME", self.username),
            ("OS_PASSWORD", self.password),
            ("OS_REGION_NAME", self.region),
        ] {
            if let Some(value) = value {
                words.retain(|(known, _)| known != name);
                words.push((name.to_owned(), value));
            }
        }
        super::unlock(context).await?;
        let clouds = context.workshop.import_cloud_words(words).await?;
        Ok(clouds
            .into_iter()
            .next()
            .map(|it| it.name)
            .unwrap_or_default())
    }
}

/// Compose the package in the current folder, or take an image that is there, and send it to OpenStack.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The name of the image
    image: String,
    /// The smallest disk of a server
    #[arg(long, short, value_name = "SIZE", value_parser = values::size_mib)]
    size: Option<u32>,
    /// The flavor, whose disk bounds the image
    #[arg(long, short)]
    flavor: Option<String>,
    #[command(flatten)]
    build: BuildFlags,
    /// The boot command, instead of a run configuration
    #[arg(long, value_name = "COMMAND")]
    run: Option<String>,
    /// Accepted for Capstan's scripts; the local image is always kept
    #[arg(long, short)]
    keep_image: bool,
    /// Accepted for Capstan's scripts; packages that this computer can supply are always packed
    #[arg(long, short)]
    pull_missing: bool,
    /// Accepted for Capstan's scripts
    #[arg(long, short, hide = true)]
    verbose: bool,
    #[command(flatten)]
    login: Login,
}

impl Push {
    async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let cloud = self.login.cloud(context).await?;
        let cloud = open(context, &cloud).await?;
        let min_disk_gib = workshop
            .stack_disk_gib(cloud.id, self.size, self.flavor.as_deref())
            .await?;
        let mut signals = Signals::listen()?;
        let here = Path::new(".");
        if here.join("meta/package.yaml").is_file() {
            let appliance = target::in_folder(context, here).await?;
            let base = workshop.run_form(&appliance.id)?.settings;
            let build = BuildFlags {
                bootable: self.build.disk.is_none(),
                ..self.build
            };
            let options = ComposeOptions {
                settings: flags::overlay(
                    &base,
                    &build,
                    &MachineFlags::default(),
                    self.run.as_deref(),
                ),
                name: Some(self.image.clone()),
                ..ComposeOptions::default()
            };
            let job = workshop.start_compose(&appliance.id, options)?;
            progress::wait(context, &job, &mut signals).await?;
        }
        let options = PushOptions {
            name: Some(self.image.clone()),
            min_disk_gib,
            ..PushOptions::default()
        };
        let job = workshop.start_push_image(cloud.id, &self.image, options)?;
        let job = progress::wait(context, &job, &mut signals).await?;
        context
            .output
            .show(&job.produced, |it| it.clone().unwrap_or_default())?;
        Ok(0)
    }
}

/// A size in megabytes, as Capstan has it here, or with a unit.
fn megabytes(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) => values::size_mib(text),
    }
}

/// What Capstan called `stack`, made right.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Stack {
    /// Compose the package in the current folder, or take an image that is there, and send it to OpenStack
    Push(Box<Push>),
    /// Run servers of an image that is in OpenStack
    Run {
        /// The image's name or id there
        image: String,
        /// The flavor; the smallest that fits, when nothing is said
        #[arg(long, short)]
        flavor: Option<String>,
        /// The least memory, in MB or with a unit
        #[arg(long, short, value_name = "SIZE", value_parser = megabytes)]
        memory: Option<u32>,
        /// The servers' name
        #[arg(long, short)]
        name: Option<String>,
        /// How many servers
        #[arg(long, short, default_value_t = 1)]
        count: u32,
        /// Accepted for Capstan's scripts
        #[arg(long, short, hide = true)]
        verbose: bool,
        #[command(flatten)]
        login: Login,
    },
}

impl Stack {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Push(push) => push.run(context).await,
            Self::Run {
                image,
                flavor,
                memory,
                name,
                count,
                verbose: _,
                login,
            } => {
                let cloud = login.cloud(context).await?;
                let options = DeployOptions {
                    remote: true,
                    flavor,
                    memory_mib: memory,
                    name,
                    count,
                    ..DeployOptions::default()
                };
                deploy(context, &cloud, &image, options).await
            }
        }
    }
}
