//! Appliances as images that boot by themselves, as clouds need them.

use std::sync::Arc;

use windlass_guest::UserData;
use windlass_package::BuildSettings;
use windlass_package::settings::DiskKind;

use crate::Workshop;
use crate::error::Result;
use crate::guests::GuestOs;
use crate::jobs::Reporter;

/// An image, and what a cloud has to tell its guests.
#[derive(Debug)]
pub(super) struct ForCloud {
    /// The build's id.
    pub(super) id: String,
    /// Where the guests are to run something else than the image says: a Linux guest is told so.
    pub(super) user_data: Option<String>,
}

impl Workshop {
    /// The image of an appliance that boots by itself; the last one, where nothing changed. One of Linux serves every
    /// configuration.
    pub(super) async fn image_for_cloud(
        self: &Arc<Self>,
        appliance: &str,
        configuration: Option<String>,
        reporter: &Reporter,
    ) -> Result<ForCloud> {
        let record = self.appliance_record(&self.find_appliance(appliance)?.id)?;
        let own = BuildSettings {
            disk: Some(DiskKind::Bootable),
            ..windlass_package::Package::open(&record.path)?.settings
        };
        let told = configuration.is_some();
        let wanted = BuildSettings {
            configuration: configuration.or_else(|| own.configuration.clone()),
            ..own.clone()
        };
        reporter.step("Building the image");
        let provided = self
            .provide_configured(&record, own, wanted, reporter)
            .await?;
        let composition = &provided.composition;
        let user_data = (told && composition.guest == GuestOs::Linux).then(|| {
            let line = windlass_compose::image_command_line(
                composition.guest.into(),
                composition.root_fs.into(),
                &composition.command_line,
            );
            UserData {
                command_line: Some(line.to_string()),
                hosts: Vec::new(),
            }
            .to_string()
        });
        Ok(ForCloud {
            id: provided.build.id.clone(),
            user_data,
        })
    }
}
