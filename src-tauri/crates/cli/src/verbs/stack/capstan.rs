//! Capstan's `stack push`, made right, and where Capstan's verbs find their cloud.

use std::path::Path;

use clap::Args;
use windlass_workshop::builds::ComposeOptions;
use windlass_workshop::clouds::PushOptions;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{self, BuildFlags, MachineFlags};
use crate::progress;
use crate::signals::Signals;
use crate::values;
use crate::verbs::cloud::open;
use crate::verbs::target;

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
    pub(super) async fn cloud(self, context: &Context) -> Result<String, Failure> {
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
        crate::verbs::unlock(context).await?;
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
    pub(super) async fn run(self, context: &Context) -> Outcome {
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
