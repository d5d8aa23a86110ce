//! `images` and `rmi`: what was built.

use clap::Args;
use serde::Serialize;
use windlass_workshop::builds::Build;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{lines, size, table, time};

/// List built images.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Of one appliance only
    #[arg(value_name = "APPLIANCE")]
    appliance: Option<String>,
}

/// Delete built images.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Names or ids of images
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// A build with the names that it has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    names: Vec<String>,
    appliance: Option<String>,
    #[serde(flatten)]
    build: Build,
}

impl List {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let only = self
            .appliance
            .map(|name| workshop.find_appliance(&name))
            .transpose()?;
        let images = workshop.images()?;
        let appliances = workshop.appliances()?;
        let listed: Vec<_> = workshop
            .builds(only.as_ref().map(|appliance| appliance.id.as_str()))?
            .into_iter()
            .map(|build| Listed {
                names: images
                    .iter()
                    .filter(|image| image.build_id == build.id)
                    .map(|image| image.name.clone())
                    .collect(),
                appliance: appliances
                    .iter()
                    .find(|appliance| appliance.id == build.appliance_id)
                    .map(|appliance| appliance.name.clone()),
                build,
            })
            .collect();
        context.output.show(&listed, |listed| {
            let rows: Vec<_> = listed
                .iter()
                .map(|image| {
                    [
                        image.names.join(", "),
                        image.appliance.clone().unwrap_or_default(),
                        image.build.guest.title().to_owned(),
                        image.build.root_fs.to_string(),
                        size(image.build.size_bytes),
                        time(&image.build.started_at),
                        image.build.id.clone(),
                    ]
                })
                .collect();
            table(
                ["NAME", "APPLIANCE", "GUEST", "FS", "SIZE", "BUILT", "ID"],
                &rows,
                "No images; `windlassctl package compose NAME` makes one",
            )
        })?;
        Ok(0)
    }
}

impl Remove {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        for name in &self.names {
            if workshop.build(name).is_ok() {
                workshop.delete_build(name)?;
            } else {
                workshop.delete_image(name)?;
            }
        }
        context.output.show(&self.names, |names| {
            lines(names, |name| format!("Deleted {name}"))
        })?;
        Ok(0)
    }
}
