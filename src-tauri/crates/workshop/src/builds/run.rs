//! From an image to a running machine.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use specta::Type;
use windlass_guest::CommandLine;
use windlass_machine::{
    Boot, Disk, DiskAccess, DiskFormat, MachineSpec, Network, NetworkJoin, Port,
};

use super::Build;
use super::make::{Making, Provided};
use super::provide::GuestKernel;
use crate::Workshop;
use crate::appliances::{ApplianceSettings, Composition};
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::{GuestOs, RootFs};
use crate::jobs::{Job, JobKind, Reporter, Request, Unit};
use crate::machines::{GroupPlace, Labels, MachineResources, NetworkPlace, is_live, labels};
use crate::volumes::{SharedFolder, VolumeMount};

/// What a run changes of an appliance's settings, for this once.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Type)]
#[serde(rename_all = "camelCase", default)]
pub struct RunOptions {
    /// Settings instead of those that the folder keeps.
    pub settings: Option<ApplianceSettings>,
    /// The machine's name; the appliance's own, when nothing is said.
    pub name: Option<String>,
    /// Volumes that the machine has, instead of those that the settings name.
    pub volumes: Option<Vec<VolumeMount>>,
    /// Private networks that the machine is on beside those of its settings, with what it is called there.
    pub networks: Vec<NetworkPlace>,
    /// Folders of this computer that the guest sees.
    pub shares: Vec<SharedFolder>,
    /// Whether it runs from the appliance's folders, with no image made.
    pub is_live: bool,
    /// Whether all that the guest writes is forgotten when it ends.
    pub is_disposable: bool,
    /// How many machines there shall be, all of one image; 0 is one.
    pub count: u32,
    /// The group that they belong to.
    pub group: Option<GroupPlace>,
    /// The group's file that it comes from.
    #[serde(skip)]
    pub group_file: Option<PathBuf>,
    /// How much of this computer each may take, beside what the settings say.
    pub resources: Option<MachineResources>,
}

/// More machines at once than any computer runs are a slip of the keyboard.
const COUNT_MAX: u32 = 200;

impl Workshop {
    /// Builds where needed and starts a machine, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such appliance.
    pub fn start_run(self: &Arc<Self>, appliance: &str) -> Result<Job> {
        self.start_run_with(appliance, RunOptions::default())
    }

    /// As [`start_run`](Self::start_run), with settings for this once.
    ///
    /// # Errors
    /// `NotFound` when there is no such appliance.
    pub fn start_run_with(self: &Arc<Self>, appliance: &str, options: RunOptions) -> Result<Job> {
        let shown = self.appliance(appliance)?;
        let record = self.appliance_record(&shown.id)?;
        let workshop = Arc::clone(self);
        // Only what the appliance's folder says can be repeated from the history.
        let request = (options == RunOptions::default()).then(|| Request::Run {
            appliance: record.id.clone(),
        });
        self.start_job(
            JobKind::Run,
            format!("Run {}", shown.name),
            Some(shown.id),
            request.as_ref(),
            async move |reporter| {
                let making = Making {
                    settings: options
                        .settings
                        .as_ref()
                        .map(ApplianceSettings::to_build_settings),
                    ..Making::default()
                };
                let provided = if options.is_live {
                    workshop.provide_live(&record, &making, &reporter).await?
                } else {
                    workshop.provide_build(&record, &making, &reporter).await?
                };
                reporter.check()?;
                let id = workshop.run_build(&provided, options, &reporter).await?;
                Ok(Some(id))
            },
        )
    }

    /// Starts a machine of one build, as its appliance's settings are now, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such build.
    pub fn start_build_run(self: &Arc<Self>, id: &str) -> Result<Job> {
        let build = self.build(id)?;
        let title = format!("Run {}", self.appliance(&build.appliance_id)?.name);
        let workshop = Arc::clone(self);
        self.start_job(
            JobKind::Run,
            title,
            Some(build.appliance_id.clone()),
            None,
            async move |reporter| {
                let provided = workshop.provide_this_build(build, &reporter).await?;
                reporter.check()?;
                let id = workshop
                    .run_build(&provided, RunOptions::default(), &reporter)
                    .await?;
                Ok(Some(id))
            },
        )
    }

    pub(crate) async fn run_build(
        self: &Arc<Self>,
        provided: &Provided,
        options: RunOptions,
        reporter: &Reporter,
    ) -> Result<String> {
        let (build, composition) = (&provided.build, &provided.composition);
        let count = options.count.max(1);
        let wanted = options.name.as_deref().unwrap_or(&composition.name);
        let volumes = match options.volumes {
            Some(volumes) => volumes,
            None => self.settings_of(&composition.settings)?.volumes,
        };
        check_count(count, &volumes)?;
        let probe = self.probe(reporter.cancellation()).await?;
        reporter.step(if count == 1 {
            "Starting the machine"
        } else {
            "Starting the machines"
        });
        let kernel = self
            .provide_kernel(composition.guest, composition.root_fs, reporter)
            .await?;
        let mut first = None;
        for number in 1..=count {
            reporter.check()?;
            let wanted = if count == 1 {
                wanted.to_owned()
            } else {
                format!("{wanted}-{number}")
            };
            let name = self.machine_name(build, &wanted).await?;
            let settings = options.settings.clone();
            let mut spec = self.machine_spec(build, composition, &kernel, name, settings)?;
            if let Some(file) = &options.group_file {
                spec.labels["groupFile"] = file.to_string_lossy().into();
            }
            for place in &options.networks {
                spec.networks.retain(|kept| kept.network != place.network);
                spec.networks.push(place.clone().into());
            }
            if let Some(resources) = options.resources.clone() {
                resources.apply(&mut spec);
            }
            if options.is_live {
                self.make_live(&mut spec, composition).await?;
            }
            crate::volumes::share_folders(&mut spec, &options.shares)?;
            spec.disposable = options.is_disposable;
            spec.group = options.group.clone().map(Into::into);
            if number > 1 {
                // A port of this computer is one machine's.
                let ports = spec
                    .network
                    .iter_mut()
                    .flat_map(|network| &mut network.ports);
                ports.for_each(|port| port.host = None);
            }
            self.attach_volumes(&mut spec, &volumes)?;
            let handle = self.machines.create(spec).await?;
            if number == 1 {
                reporter.made(handle.id());
            }
            if let Err(error) = handle.start(&probe).await {
                // The machine stays, so that its page can say what happened.
                reporter.log(&format!(
                    "The machine {} did not start: {error}",
                    handle.spec().name
                ));
                return Err(error.into());
            }
            if count > 1 {
                reporter.progress(number.into(), Some(count.into()), Unit::Items);
            }
            first.get_or_insert_with(|| handle.id().to_owned());
        }
        Ok(first.unwrap_or_default())
    }

    /// A name for the next machine of an appliance: the wanted one; `wanted-2` and so on while
    /// others of that name run. One that has ended is replaced.
    async fn machine_name(&self, build: &Build, wanted: &str) -> Result<String> {
        let mut number = 1;
        loop {
            let name = if number == 1 {
                wanted.to_owned()
            } else {
                format!("{wanted}-{number}")
            };
            let mut same = self.machines.list();
            same.retain(|handle| handle.spec().name == name);
            let ours = |handle: &windlass_machine::MachineHandle| {
                labels(handle).appliance_id.as_deref() == Some(&build.appliance_id)
            };
            if same.iter().all(|handle| ours(handle) && !is_live(handle)) {
                for handle in same {
                    handle.delete().await?;
                }
                return Ok(name);
            }
            number += 1;
        }
    }

    pub(crate) fn machine_spec(
        &self,
        build: &Build,
        composition: &Composition,
        kernel: &GuestKernel,
        name: String,
        for_once: Option<ApplianceSettings>,
    ) -> Result<MachineSpec> {
        let settings = self.settings_of(&composition.settings)?;
        let boot = self.boot(composition, kernel)?;
        let channels = if settings.allow_changes {
            crate::machines::osv_channels(composition)
        } else {
            Vec::new()
        };
        let network = settings.network.then(|| Network {
            ports: settings
                .ports
                .iter()
                .map(|port| Port {
                    host: port.host,
                    guest: port.guest,
                    protocol: port.protocol.into(),
                })
                .chain(channels)
                .collect(),
        });
        let labels = Labels {
            appliance_id: Some(build.appliance_id.clone()),
            build_id: Some(build.id.clone()).filter(|id| !id.is_empty()),
            settings: for_once,
            group_file: None,
        };
        Ok(MachineSpec {
            id: crate::new_id(),
            name,
            guest: composition.guest.into(),
            vcpus: settings.vcpus,
            memory_mib: settings.memory_mib,
            boot,
            disks: vec![Disk {
                path: PathBuf::from(&build.path),
                format: DiskFormat::Raw,
                access: match composition.root_fs {
                    RootFs::Rofs => DiskAccess::ReadOnly,
                    RootFs::Ext4 | RootFs::Zfs => DiskAccess::Overlay,
                },
                serial: None,
            }],
            network,
            networks: settings
                .networks
                .iter()
                .map(|network| NetworkJoin {
                    network: network.clone(),
                    aliases: Vec::new(),
                })
                .collect(),
            display: true,
            agent: settings.allow_changes,
            shares: Vec::new(),
            disposable: false,
            patience: self.patience()?,
            console_max_mib: windlass_machine::console_max_mib(),
            resources: windlass_machine::Resources::default(),
            group: None,
            labels: serde_json::to_value(labels)
                .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?,
        })
    }

    fn boot(&self, composition: &Composition, kernel: &GuestKernel) -> Result<Boot> {
        let line = windlass_compose::image_command_line(
            composition.guest.into(),
            composition.root_fs.into(),
            &composition.command_line,
        );
        Ok(match kernel {
            // The image carries the same command line but for `--verbose`, so that its own boot
            // sector will do.
            GuestKernel::Osv(kernel) => match &kernel.elf {
                Some(elf) => Boot::Kernel {
                    kernel: elf.path.clone(),
                    initrd: None,
                    append: telling_exit_status(line).to_string(),
                    command_line: None,
                },
                None => Boot::Disk,
            },
            GuestKernel::Linux(kernel) => {
                debug_assert_eq!(composition.guest, GuestOs::Linux);
                Boot::Kernel {
                    kernel: kernel.path.clone(),
                    initrd: Some(self.library.initramfs(&kernel.id)?),
                    append: String::new(),
                    command_line: Some(line.to_string()),
                }
            }
        })
    }
}

/// Whether so many machines can be of one image.
fn check_count(count: u32, volumes: &[VolumeMount]) -> Result<()> {
    if count > COUNT_MAX {
        return Err(AppError::new(
            ErrorKind::Input,
            format!("{count} machines are too many to start at once"),
        )
        .hinted(format!("At most {COUNT_MAX}")));
    }
    if count > 1 && !volumes.is_empty() {
        return Err(AppError::new(
            ErrorKind::Input,
            "Several machines cannot have the same volumes at once",
        )
        .hinted("Run one, or run them without volumes"));
    }
    Ok(())
}

/// OSv says what its programs end with only when it is verbose. That costs some twenty lines of the
/// console, and a program that failed is not taken for one that did well.
fn telling_exit_status(line: CommandLine) -> CommandLine {
    const VERBOSE: &str = "verbose";
    if line.has_option(VERBOSE) {
        return line;
    }
    line.with_option(VERBOSE, None)
}
