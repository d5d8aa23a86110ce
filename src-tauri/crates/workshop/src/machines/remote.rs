//! A package into an OSv guest that runs somewhere, by cpiod: what Capstan calls `package compose-remote`.

use std::sync::Arc;

use windlass_compose::cpiod;

use crate::Workshop;
use crate::appliances::ApplianceSettings;
use crate::error::Result;
use crate::guests::{GuestOs, RootFs};
use crate::jobs::{Job, JobKind, Unit};

impl Workshop {
    /// Sends an appliance with the packages that it requires to the cpiod of an OSv guest, as a job. What is in the guest
    /// stays, but for files of the same paths.
    ///
    /// # Errors
    /// `NotFound` when there is no such appliance.
    pub fn start_compose_remote(
        self: &Arc<Self>,
        appliance: &str,
        host: &str,
        port: u16,
    ) -> Result<Job> {
        let shown = self.appliance(appliance)?;
        let record = self.appliance_record(&shown.id)?;
        let settings = ApplianceSettings {
            guest: GuestOs::Osv,
            root_fs: RootFs::Ext4,
            ..self.run_form(&shown.id)?.settings
        };
        let host = host.to_owned();
        let workshop = Arc::clone(self);
        self.start_job(
            JobKind::Push,
            format!("Send {} to {host}:{port}", shown.name),
            Some(shown.id),
            None,
            async move |reporter| {
                let lock = crate::appliances::read_lock(&record.path)?;
                workshop
                    .provide_packages(&record, lock.as_ref(), &reporter)
                    .await?;
                reporter.check()?;
                reporter.step("Reading the appliance");
                let own = reporter.clone();
                let sent = crate::blocking(move || {
                    let kept = settings.to_build_settings();
                    let cancel = own.cancellation();
                    let composition = workshop.compose(&record, Some(&kept), cancel)?;
                    // It was composed for another guest than the folder's settings may say.
                    workshop.plans.forget(&record.id);
                    let members = cpiod::members_of(&composition.plan);
                    own.step("Sending files");
                    let total = composition.plan.size_bytes();
                    let mut told =
                        |bytes: u64| own.progress(bytes.min(total), Some(total), Unit::Bytes);
                    let sent = cpiod::send(&host, port, &members, &mut told, cancel)?;
                    own.log(&format!(
                        "{} files and folders, {sent} bytes; the guest has all of it on its disk",
                        members.len()
                    ));
                    Ok::<_, crate::error::AppError>(sent)
                })
                .await??;
                Ok(Some(sent.to_string()))
            },
        )
    }
}
