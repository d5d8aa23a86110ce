//! Groups out of a file: several appliances that are run, watched and taken down as one.
//!
//! ```text
//!   windlass-group.yaml ── parsed ──▶ services in the order in which they may start
//!        for each service:   image (one per appliance, whatever its services are told) ──▶ its machines
//!             one that runs as the file says is left alone; one that does not is made anew
//!        for each order:     healthy? ──▶ the next one
//! ```
//!
//! The machines are of a [group](crate::machines::MachineGroup), on a private network where each is found by its service's
//! name. What they write to their own disks goes with them; what is to stay is on volumes, which are made where they are missing.

mod figures;
mod health;
mod shown;
mod view;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_machine::MachineHandle;
pub use windlass_package::group_file::PLACES;
use windlass_package::group_file::{FILE, GroupFile, Service};
use windlass_package::settings::{PortForward, Protocol, VolumeSetting};
use windlass_package::{BuildSettings, META_DIRECTORY};

use crate::Workshop;
use crate::appliances::Record;
use crate::builds::RunOptions;
use crate::error::{AppError, ErrorKind, Result};
use crate::jobs::{Job, JobKind, Reporter, Request, Unit};
use crate::machines::{GroupPlace, NetworkPlace, is_live, labels};
use crate::volumes::{NewVolume, VolumeContent, VolumeFormat};

pub use figures::GroupFigure;
pub use shown::{
    GroupView, HealthKind, ServiceHealth, ServiceMachine, ServiceState, ServiceView, ServiceVolume,
};
pub(crate) use view::Healths;

/// The size of a volume that a group's file names and that is not there: it takes only what is written to it.
const VOLUME_BYTES: u64 = 1 << 30;

/// A group's file, read and checked.
#[derive(Debug)]
struct Plan {
    name: String,
    network: String,
    file: PathBuf,
    /// What the appliances' folders are relative to.
    folder: PathBuf,
    services: Vec<Service>,
    notes: Vec<String>,
}

/// A service with all that is known of it before it starts.
#[derive(Debug)]
struct Provided<'a> {
    service: &'a Service,
    record: Record,
    /// The settings that the appliance's folder keeps.
    kept: BuildSettings,
    machines: Vec<Wanted>,
}

/// What a group's file names.
#[derive(Debug)]
pub(crate) struct GroupServices {
    pub(crate) name: String,
    /// Each with the id of its appliance.
    pub(crate) services: Vec<(String, Service)>,
}

/// A machine that belongs to a group's file.
#[derive(Debug, Clone)]
struct Wanted {
    /// The machine's.
    name: String,
    /// What the others reach it by, beside the service's name.
    host: String,
    settings: BuildSettings,
}

impl Workshop {
    /// Starts the machines of a group's file (or of the folder that it is in), as a job that ends with the group's name.
    /// Those that run as the file says are left alone.
    ///
    /// # Errors
    /// `Input` when the file has a mistake; `NotFound` when it is not there.
    pub fn start_group_up(self: &Arc<Self>, path: &Path) -> Result<Job> {
        let plan = plan(path)?;
        let workshop = Arc::clone(self);
        let request = Request::GroupUp {
            path: path.to_path_buf(),
        };
        self.start_job(
            JobKind::GroupUp,
            format!("Start the group {}", plan.name),
            Some(plan.name.clone()),
            Some(&request),
            async move |reporter| {
                for note in &plan.notes {
                    reporter.log(note);
                }
                workshop.group_up(&plan, &reporter).await?;
                Ok(Some(plan.name))
            },
        )
    }

    /// The name of the group that a file (or the folder that it is in) makes.
    ///
    /// # Errors
    /// As [`start_group_up`](Self::start_group_up).
    pub fn group_of_file(&self, path: &Path) -> Result<String> {
        Ok(plan(path)?.name)
    }

    async fn group_up(self: &Arc<Self>, plan: &Plan, reporter: &Reporter) -> Result<()> {
        // All that can be wrong is found before anything starts.
        let mut provided = Vec::with_capacity(plan.services.len());
        for service in &plan.services {
            provided.push(self.service_machines(plan, service).await?);
        }
        check_conflicts(&provided)?;
        let named: Vec<_> = provided.iter().flat_map(|it| &it.machines).collect();
        for stray in self.machines_of_group(&plan.name) {
            let name = stray.spec().name;
            if !named.iter().any(|it| it.name == name) {
                reporter.log(&format!(
                    "{name} is of the group, and its file does not name it: it is left as it is"
                ));
            }
        }
        let total = u64::try_from(named.len()).unwrap_or(u64::MAX);
        let last = plan.services.iter().map(|it| it.order).max().unwrap_or(0);
        let mut done = 0;
        for order in 0..=last {
            let mut started = Vec::new();
            for it in provided.iter().filter(|it| it.service.order == order) {
                let handles = self.service_up(plan, it, reporter).await;
                for handle in handles.map_err(|error| self.beside(&plan.name, error))? {
                    started.push((handle, it.service));
                    done += 1;
                    reporter.progress(done, Some(total), Unit::Items);
                }
            }
            for (handle, service) in started {
                if let Some(health) = &service.health {
                    reporter.step(&format!("Waiting until {} is healthy", service.name));
                    let waited = health::wait(self, &handle, health, reporter).await;
                    waited.map_err(|error| self.beside(&plan.name, error))?;
                    reporter.log(&format!("{} is healthy", handle.spec().name));
                }
            }
        }
        Ok(())
    }

    /// A failure, with what runs in spite of it.
    fn beside(&self, group: &str, error: AppError) -> AppError {
        let mut machines = self.machines_of_group(group);
        machines.retain(is_live);
        let mut names: Vec<_> = machines.iter().map(|it| it.spec().name).collect();
        names.sort();
        if names.is_empty() {
            return error;
        }
        error.hinted(format!(
            "Still running: {}; `windlassctl group down {group}` stops them",
            names.join(", ")
        ))
    }

    /// What a service is to be, before anything of it starts.
    async fn service_machines<'a>(
        self: &Arc<Self>,
        plan: &Plan,
        service: &'a Service,
    ) -> Result<Provided<'a>> {
        let appliance = self.service_appliance(plan, service).await?;
        let record = self.appliance_record(&appliance)?;
        let kept = windlass_package::Package::open(&record.path)?.settings;
        Ok(Provided {
            machines: wanted(plan, service, &kept),
            service,
            record,
            kept,
        })
    }

    /// Sees to it that the machines of a service run as the file says.
    async fn service_up(
        self: &Arc<Self>,
        plan: &Plan,
        it: &Provided<'_>,
        reporter: &Reporter,
    ) -> Result<Vec<MachineHandle>> {
        let service = it.service;
        reporter.check()?;
        reporter.step(&format!("Providing {}", service.name));
        let image = BuildSettings {
            guest: service.settings.guest,
            root_fs: service.settings.root_fs,
            disk: service.settings.disk,
            size_mib: service.settings.size_mib,
            ..BuildSettings::default()
        };
        let own = it.kept.clone().overlaid(&image);
        let mut handles = Vec::new();
        for wanted in &it.machines {
            reporter.check()?;
            let provided = self
                .provide_configured(&it.record, own.clone(), wanted.settings.clone(), reporter)
                .await?;
            let settings = self.settings_of(&wanted.settings)?;
            if let Some(handle) = self.in_group(&plan.name, &wanted.name)? {
                let labels = labels(&handle);
                if is_live(&handle)
                    && labels.settings.as_ref() == Some(&settings)
                    && labels.build_id.as_ref() == Some(&provided.build.id)
                {
                    reporter.log(&format!("{} runs already", wanted.name));
                    handles.push(handle);
                    continue;
                }
                if is_live(&handle) {
                    reporter.step(&format!("Stopping {}", wanted.name));
                    handle.stop().await?;
                    handle.ended().await;
                }
                handle.delete().await?;
            }
            for volume in &wanted.settings.volumes {
                self.provide_volume(volume, reporter).await?;
            }
            let options = RunOptions {
                settings: Some(settings),
                name: Some(wanted.name.clone()),
                networks: vec![NetworkPlace {
                    network: plan.network.clone(),
                    aliases: vec![wanted.host.clone(), service.name.clone()],
                }],
                group: Some(GroupPlace {
                    name: plan.name.clone(),
                    order: service.order,
                }),
                group_file: Some(plan.file.clone()),
                ..RunOptions::default()
            };
            let id = self.run_build(&provided, options, reporter).await?;
            reporter.log(&format!("Started {}", wanted.name));
            handles.push(self.machine_handle(&id)?);
        }
        Ok(handles)
    }

    /// The volumes that the file of a group names, as far as they are there.
    ///
    /// # Errors
    /// As [`group_view`](Self::group_view).
    pub fn group_volumes(&self, group: &str) -> Result<Vec<String>> {
        let plan = self.plan_of(group)?;
        let nothing = BuildSettings::default();
        let machines = plan
            .services
            .iter()
            .flat_map(|it| wanted(&plan, it, &nothing));
        let volumes = machines.flat_map(|it| it.settings.volumes);
        let mut names: Vec<_> = volumes.map(|volume| volume.name).collect();
        names.sort();
        names.dedup();
        names.retain(|name| self.volume(name).is_ok());
        Ok(names)
    }

    /// The services of a file, each with the id of its appliance.
    pub(crate) async fn services_of_group(self: &Arc<Self>, path: &Path) -> Result<GroupServices> {
        let plan = plan(path)?;
        let mut services = Vec::new();
        for service in &plan.services {
            let appliance = self.service_appliance(&plan, service).await?;
            services.push((appliance, service.clone()));
        }
        Ok(GroupServices {
            name: plan.name,
            services,
        })
    }

    /// The id of a service's appliance: of a folder from the file's own, which becomes one, or by its name.
    async fn service_appliance(self: &Arc<Self>, plan: &Plan, service: &Service) -> Result<String> {
        let folder = plan.folder.join(&service.appliance);
        if folder.is_dir() {
            return Ok(self.add_appliance(&folder, None).await?.id);
        }
        match self.find_appliance(&service.appliance) {
            Ok(appliance) => Ok(appliance.id),
            Err(error) if error.kind == ErrorKind::NotFound => Err(error.hinted(format!(
                "The service {} names it: give a folder (from {}) or the name of an appliance",
                service.name,
                plan.folder.display()
            ))),
            Err(error) => Err(error),
        }
    }

    /// The machine of this name in the group.
    fn in_group(&self, group: &str, name: &str) -> Result<Option<MachineHandle>> {
        let mut named = self.machines.list();
        named.retain(|handle| handle.spec().name == name);
        let is_ours =
            |handle: &MachineHandle| handle.spec().group.is_some_and(|it| it.name == group);
        match named.iter().position(is_ours) {
            Some(at) => Ok(Some(named.swap_remove(at))),
            None if named.iter().any(is_live) => Err(AppError::new(
                ErrorKind::Conflict,
                format!("There is a machine {name} already, and it is not of the group {group}"),
            )
            .hinted("Rename it, put it into the group, or give the group another name")),
            None => Ok(None),
        }
    }

    pub(crate) async fn provide_volume(
        self: &Arc<Self>,
        volume: &VolumeSetting,
        reporter: &Reporter,
    ) -> Result<()> {
        if self.volume(&volume.name).is_ok() {
            return Ok(());
        }
        let workshop = Arc::clone(self);
        let new = NewVolume {
            name: volume.name.clone(),
            format: VolumeFormat::Raw,
            size_bytes: Some(VOLUME_BYTES),
            content: VolumeContent::Ext4,
        };
        let telling = reporter.clone();
        crate::blocking(move || workshop.make_missing_volume(&new, &telling)).await??;
        reporter.log(&format!("Made the volume {}", volume.name));
        Ok(())
    }
}

/// A port of this computer, and a volume, are one machine's.
fn check_conflicts(services: &[Provided<'_>]) -> Result<()> {
    let mut ports = HashMap::new();
    let mut volumes = HashMap::new();
    for machine in services.iter().flat_map(|it| &it.machines) {
        for port in &machine.settings.ports {
            let Some(host) = port.host else { continue };
            if let Some(other) = ports.insert((host, port.protocol), &machine.name) {
                let protocol = port.protocol;
                let name = &machine.name;
                return Err(AppError::new(
                    ErrorKind::Input,
                    format!(
                        "{other} and {name} both want the {protocol} port {host} of this computer"
                    ),
                )
                .hinted("Leave `host` out of one of them: a free port is chosen"));
            }
        }
        for volume in &machine.settings.volumes {
            if let Some(other) = volumes.insert(&volume.name, &machine.name) {
                let (name, volume) = (&machine.name, &volume.name);
                return Err(AppError::new(
                    ErrorKind::Input,
                    format!("{other} and {name} both want the volume {volume}"),
                )
                .hinted("Give each of them a volume of its own"));
            }
        }
    }
    Ok(())
}

/// What a group's file is called.
fn file_name() -> &'static str {
    FILE
}

/// Reads the file, or the one in the folder.
fn plan(path: &Path) -> Result<Plan> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let (file, folder) = if path.is_dir() {
        let found = PLACES
            .iter()
            .map(|place| path.join(place))
            .find(|file| file.is_file());
        (found.unwrap_or_else(|| path.join(FILE)), path)
    } else {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let is_meta = folder
            .file_name()
            .is_some_and(|name| name == META_DIRECTORY);
        let above = folder.parent().filter(|_| is_meta);
        (path.clone(), above.unwrap_or(folder).to_path_buf())
    };
    if !file.is_file() {
        return Err(
            AppError::not_found("group's file", &file.display().to_string())
                .hinted(format!("Name a {FILE}, or the folder that it is in")),
        );
    }
    let parsed = GroupFile::load(&file)?;
    let of_folder = || {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        };
        let name: String = name.chars().take(40).map(plain).collect();
        let name = name.trim_matches('-');
        if name.is_empty() { "group" } else { name }.to_owned()
    };
    let name = parsed.value.name.unwrap_or_else(of_folder);
    Ok(Plan {
        network: parsed.value.network.unwrap_or_else(|| name.clone()),
        name,
        file,
        folder,
        services: parsed.value.services,
        notes: parsed.notes.iter().map(ToString::to_string).collect(),
    })
}

/// The machines of a service.
fn wanted(plan: &Plan, service: &Service, kept: &BuildSettings) -> Vec<Wanted> {
    let settings = kept.clone().overlaid(&service.settings);
    let machine = |(number, host): (usize, String)| {
        let mut settings = settings.clone();
        let checked = service.health.as_ref().and_then(|it| it.check.port());
        for guest in checked
            .into_iter()
            .chain(service.figures.iter().map(|it| it.port))
        {
            let is_it = |port: &PortForward| port.guest == guest && port.protocol == Protocol::Tcp;
            if !settings.ports.iter().any(is_it) {
                settings.ports.push(PortForward {
                    host: None,
                    guest,
                    protocol: Protocol::Tcp,
                });
            }
        }
        if service.count > 1 {
            // A port here, and a volume, are one machine's.
            if number > 0 {
                settings.ports.iter_mut().for_each(|port| port.host = None);
            }
            for volume in &mut settings.volumes {
                volume.name = format!("{}-{}", volume.name, number + 1);
            }
        }
        Wanted {
            name: format!("{}-{host}", plan.name),
            host,
            settings,
        }
    };
    service
        .machine_names()
        .into_iter()
        .enumerate()
        .map(machine)
        .collect()
}
