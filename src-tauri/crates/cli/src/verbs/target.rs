//! What a name stands for: an image, an appliance, a machine, a folder.

use std::path::Path;

use windlass_workshop::appliances::Appliance;
use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::machines::Machine;

use crate::context::Context;
use crate::failure::Failure;

/// What there is to run.
#[derive(Debug)]
pub(super) enum Target {
    /// A named image, of this appliance.
    Image(String, Box<Appliance>),
    /// An appliance, as its folder is now.
    Appliance(Box<Appliance>),
    /// A machine that is there already.
    Machine(Box<Machine>),
}

/// Finds what `name` stands for; nothing stands for the appliance in the current folder.
pub(super) async fn find(context: &Context, name: Option<&str>) -> Result<Target, Failure> {
    let workshop = &context.workshop;
    let Some(name) = name else {
        return Ok(Target::Appliance(Box::new(
            in_folder(context, Path::new(".")).await?,
        )));
    };
    if let Some(image) = workshop
        .images()?
        .into_iter()
        .find(|image| image.name == name)
        && let Ok(appliance) = workshop.appliance(&image.appliance_id)
    {
        return Ok(Target::Image(image.name, Box::new(appliance)));
    }
    let missing = match workshop.find_appliance(name) {
        Ok(appliance) => return Ok(Target::Appliance(Box::new(appliance))),
        Err(error) => error,
    };
    match workshop.machine(name) {
        Ok(machine) => return Ok(Target::Machine(Box::new(machine))),
        Err(error) if error.kind == ErrorKind::Conflict => return Err(error.into()),
        Err(_) => {}
    }
    if let Ok(build) = workshop.build(name) {
        return Ok(Target::Appliance(Box::new(
            workshop.appliance(&build.appliance_id)?,
        )));
    }
    if Path::new(name).is_dir() || name.contains('/') {
        return Ok(Target::Appliance(Box::new(
            in_folder(context, Path::new(name)).await?,
        )));
    }
    Err(missing.into())
}

/// The appliance in a folder, which becomes one where it has a manifest.
pub(super) async fn in_folder(context: &Context, folder: &Path) -> Result<Appliance, Failure> {
    let is_package =
        folder.join("meta/package.yaml").exists() || folder.join("meta/run.yaml").exists();
    if folder.is_dir() && !is_package {
        let shown = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        let shown = shown.display().to_string();
        let shown = shown.trim_end_matches("/.");
        return Err(AppError::new(
            ErrorKind::NotFound,
            format!("There is no package in `{shown}`"),
        )
        .hinted("`windlassctl package init --yes` writes a manifest that fits what is in it")
        .into());
    }
    Ok(context.workshop.add_appliance(folder, None).await?)
}
