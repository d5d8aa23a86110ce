//! Stacks: an appliance, or a group of them, launched by a cloud's Heat; and the same as files to be used without us.
//!
//! ```text
//!   appliance, or windlass-group.yaml ──► parts: images, command lines, volumes   [describe]
//!        ├─► a Heat template, a script of `openstack` commands, Kubernetes resources: as text
//!        └─► images built and sent ─► launched, or previewed and updated ─► watched ─► deleted
//! ```

mod describe;
mod model;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use windlass_blueprint::{Blueprint, commands, heat, kubevirt};
use windlass_cloud::stacks::{self as remote, Happening};

pub use model::{
    CloudStack, StackEvent, StackFormat, StackOptions, StackPreview, StackResource, StackSource,
};

use crate::Workshop;
use crate::clouds::PushOptions;
use crate::error::{AppError, ErrorKind, Result};
use crate::events::Event;
use crate::jobs::{Job, JobKind, Reporter, Request, Unit};

/// The parameter of a template that says where floating addresses come from.
const OUTSIDE: &str = "external_network";
/// The one that says which key may log in.
const KEY: &str = "key_name";

impl Workshop {
    /// What an appliance or a group is as text for another engine. Nothing is built or sent: the text names images, which
    /// [`start_stack_launch`](Self::start_stack_launch) would send under the same names.
    ///
    /// # Errors
    /// `NotFound`; `Input` when the group's file has a mistake, or a name in it cannot be a host's.
    pub async fn stack_text(
        self: &Arc<Self>,
        source: &StackSource,
        format: StackFormat,
        options: &StackOptions,
    ) -> Result<String> {
        let described = self.describe_stack(source, options).await?;
        let blueprint = described.blueprint(options, |part| match format {
            StackFormat::Kubernetes => options.container_image(part),
            StackFormat::Heat | StackFormat::Commands => part.to_owned(),
        })?;
        Ok(match format {
            StackFormat::Heat => heat::template(&blueprint),
            StackFormat::Commands => commands::script(&blueprint),
            StackFormat::Kubernetes => kubevirt::resources(&blueprint),
        })
    }

    /// The same, written to a file. One that is there is replaced.
    ///
    /// # Errors
    /// As [`stack_text`](Self::stack_text); when the file cannot be written.
    pub async fn save_stack_text(
        self: &Arc<Self>,
        source: &StackSource,
        format: StackFormat,
        options: &StackOptions,
        path: &Path,
    ) -> Result<()> {
        let text = self.stack_text(source, format, options).await?;
        let path = path.to_owned();
        crate::blocking(move || crate::disk::write_whole(&path, text.as_bytes())).await?
    }

    /// Builds and sends the images, and has the cloud's Heat launch the stack, as a job that ends with its name. A stack of
    /// this name that is there is updated.
    ///
    /// # Errors
    /// `NotFound` for the cloud; as [`stack_text`](Self::stack_text).
    pub fn start_stack_launch(
        self: &Arc<Self>,
        cloud: u32,
        source: &StackSource,
        options: StackOptions,
    ) -> Result<Job> {
        let there = self.cloud(&cloud.to_string())?.name;
        let workshop = Arc::clone(self);
        let request = Request::StackLaunch {
            cloud,
            source: source.clone(),
            options: Box::new(options.clone()),
        };
        let source = source.clone();
        self.start_job(
            JobKind::Stack,
            format!("Launch {} on {there}", source.shown()),
            None,
            Some(&request),
            async move |reporter| {
                let name = workshop
                    .launch_stack(cloud, &source, &options, &reporter)
                    .await?;
                Ok(Some(name))
            },
        )
    }

    async fn launch_stack(
        self: &Arc<Self>,
        cloud: u32,
        source: &StackSource,
        options: &StackOptions,
        reporter: &Reporter,
    ) -> Result<String> {
        reporter.step("Reading what it is made of");
        let described = self.describe_stack(source, options).await?;
        let blueprint = described.blueprint(options, str::to_owned)?;
        let mut images = BTreeMap::new();
        for part in &described.parts {
            reporter.check()?;
            reporter.step(&format!("Building {}", part.image));
            let provided = self
                .provide_configured(
                    &part.record,
                    part.own.clone(),
                    part.settings.clone(),
                    reporter,
                )
                .await?;
            if images.contains_key(&part.image) {
                continue;
            }
            let id = self
                .send_for_stack(cloud, &provided.build.id, &part.image, reporter)
                .await?;
            images.insert(part.image.clone(), id);
        }
        for (volume, image) in described.volume_images() {
            reporter.check()?;
            self.provide_stack_volume(&volume, reporter).await?;
            self.send_for_stack(cloud, &volume, &image, reporter)
                .await?;
        }
        let session = self.cloud_session(cloud).await?;
        let parameters = parameters(&blueprint, &images, options);
        let template = heat::template(&blueprint);
        let name = &blueprint.name;
        let there = remote::stacks(&session)
            .await?
            .into_iter()
            .find(|it| it.stack_name == *name);
        let stack = match there {
            Some(stack) if !stack.is_ours() => {
                return Err(AppError::new(
                    ErrorKind::Conflict,
                    format!("There is a stack {name} in this cloud, and Windlass did not make it"),
                )
                .hinted("Give this one another name"));
            }
            Some(stack) => {
                reporter.step("Updating the stack");
                remote::update(&session, &stack, &template, &parameters).await?;
                remote::stack(&session, &stack.id).await?
            }
            None => {
                reporter.step("Launching the stack");
                remote::launch(&session, name, &template, &parameters).await?
            }
        };
        let total = remote::resources(&session, &stack)
            .await
            .map_or(0, |all| all.len());
        self.watch_stack(&session, &stack, total, reporter).await?;
        self.events.send(Event::CloudsChanged);
        Ok(blueprint.name)
    }

    /// Follows a stack until Heat has done with it.
    async fn watch_stack(
        &self,
        session: &windlass_cloud::Session,
        stack: &remote::Stack,
        total: usize,
        reporter: &Reporter,
    ) -> Result<()> {
        let mut done = 0;
        let total = u64::try_from(total).ok().filter(|it| *it > 0);
        let tell = |it: &Happening| {
            if it.resource_status.ends_with("_COMPLETE") && it.resource_name != stack.stack_name {
                done += 1;
                reporter.progress(
                    total.map_or(done, |total| done.min(total)),
                    total,
                    Unit::Items,
                );
            }
            let why = match it.resource_status_reason.as_str() {
                "" | "state changed" => String::new(),
                why => format!(" ({why})"),
            };
            let state = it.resource_status.to_ascii_lowercase().replace('_', " ");
            reporter.step(&format!("{}: {state}{why}", it.resource_name));
        };
        let settled = tokio::select! {
            () = reporter.cancellation().cancelled() => return Err(AppError::cancelled()),
            settled = remote::settled(session, stack, tell) => settled,
        };
        match settled {
            Ok(Some(stack)) => {
                for output in &stack.outputs {
                    if let Some(address) = output.output_value.as_str() {
                        reporter.log(&format!("{}: {address}", output.description));
                    }
                }
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(AppError::from(error).hinted(format!(
                "What was made stays to be looked at; `windlassctl stack delete CLOUD {}` takes it away",
                stack.stack_name
            ))),
        }
    }

    /// Sends an image under its name in the template, unless its bytes are there.
    async fn send_for_stack(
        self: &Arc<Self>,
        cloud: u32,
        image: &str,
        name: &str,
        reporter: &Reporter,
    ) -> Result<String> {
        let options = PushOptions {
            name: Some(name.to_owned()),
            ..PushOptions::default()
        };
        self.push_image(cloud, image, &options, reporter).await
    }

    /// What launching would change in a stack that is there. Images are not built: those of the last launch count.
    ///
    /// # Errors
    /// `NotFound` when there is no such stack; as [`stack_text`](Self::stack_text).
    pub async fn preview_stack(
        self: &Arc<Self>,
        cloud: u32,
        source: &StackSource,
        options: &StackOptions,
    ) -> Result<StackPreview> {
        let described = self.describe_stack(source, options).await?;
        let blueprint = described.blueprint(options, str::to_owned)?;
        let session = self.cloud_session(cloud).await?;
        let stack = remote::stack(&session, &blueprint.name).await?;
        let mut parameters = parameters(&blueprint, &BTreeMap::new(), options);
        // Images are given by their ids there.
        for parameter in heat::parameters(&blueprint) {
            if let Some(id) = stack
                .parameters
                .get(&parameter.name)
                .and_then(|it| it.as_str())
            {
                parameters
                    .entry(parameter.name)
                    .or_insert_with(|| id.to_owned());
            }
        }
        let template = heat::template(&blueprint);
        let preview = remote::preview(&session, &stack, &template, &parameters).await?;
        Ok(preview.into())
    }

    /// The stacks of a cloud, newest first.
    ///
    /// # Errors
    /// When the cloud cannot be asked, or has no Heat.
    pub async fn cloud_stacks(&self, cloud: u32) -> Result<Vec<CloudStack>> {
        let session = self.cloud_session(cloud).await?;
        let stacks = remote::stacks(&session).await?;
        Ok(stacks
            .iter()
            .map(|it| CloudStack::of(it, &[], &[]))
            .collect())
    }

    /// One stack, with its resources, addresses and what happened to it.
    ///
    /// # Errors
    /// `NotFound`; when the cloud cannot be asked.
    pub async fn cloud_stack(&self, cloud: u32, name: &str) -> Result<CloudStack> {
        let session = self.cloud_session(cloud).await?;
        let stack = remote::stack(&session, name).await?;
        let (resources, events) = tokio::try_join!(
            remote::resources(&session, &stack),
            remote::events(&session, &stack)
        )?;
        Ok(CloudStack::of(&stack, &resources, &events))
    }

    /// Takes a stack away with all that is of it, as a job. Images stay.
    ///
    /// # Errors
    /// `NotFound` for the cloud.
    pub fn start_stack_delete(self: &Arc<Self>, cloud: u32, name: &str) -> Result<Job> {
        let there = self.cloud(&cloud.to_string())?.name;
        let (workshop, name) = (Arc::clone(self), name.to_owned());
        self.start_job(
            JobKind::CleanUp,
            format!("Delete the stack {name} on {there}"),
            None,
            None,
            async move |reporter| {
                reporter.step("Logging in");
                let session = workshop.cloud_session(cloud).await?;
                let stack = remote::stack(&session, &name).await?;
                let total = remote::resources(&session, &stack)
                    .await
                    .map_or(0, |all| all.len());
                reporter.step("Deleting the stack");
                remote::delete(&session, &stack).await?;
                workshop
                    .watch_stack(&session, &stack, total, &reporter)
                    .await?;
                workshop.events.send(Event::CloudsChanged);
                Ok(None)
            },
        )
    }
}

/// What a template is given: images by their ids, and what was chosen.
fn parameters(
    blueprint: &Blueprint,
    images: &BTreeMap<String, String>,
    options: &StackOptions,
) -> BTreeMap<String, String> {
    let mut given = BTreeMap::new();
    for parameter in heat::parameters(blueprint) {
        let id = parameter.default.and_then(|image| images.get(&image));
        if let Some(id) = id.filter(|_| parameter.name.ends_with("_image")) {
            given.insert(parameter.name, id.clone());
        }
    }
    let chosen = [(OUTSIDE, &options.external), (KEY, &options.key)];
    for (name, value) in chosen {
        if let Some(value) = value {
            given.insert(name.to_owned(), value.clone());
        }
    }
    given
}
