//! What an appliance or a group's file is made of, for engines other than ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use windlass_blueprint::{Blueprint, Port, Service as Described, Volume};
use windlass_package::BuildSettings;
use windlass_package::settings::{DiskKind, Protocol};

use super::{StackOptions, StackSource};
use crate::Workshop;
use crate::appliances::Record;
use crate::error::{AppError, ErrorKind, Result};
use crate::guests::GuestOs;
use crate::jobs::Reporter;

const GIB: u64 = 1 << 30;

/// What a stack is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) parts: Vec<Part>,
}

/// One service.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) record: Record,
    /// Of which the image is made.
    pub(super) own: BuildSettings,
    /// As which it runs.
    pub(super) settings: BuildSettings,
    /// The image's name in the cloud.
    pub(super) image: String,
    name: String,
    count: u32,
    order: u32,
    command_line: Option<String>,
    volumes: Vec<(String, u32)>,
}

impl Workshop {
    /// Reads what a stack is made of. Nothing is built.
    pub(super) async fn describe_stack(
        self: &Arc<Self>,
        source: &StackSource,
        options: &StackOptions,
    ) -> Result<Parts> {
        match source {
            StackSource::Appliance { name } => {
                let appliance = match self.find_appliance(name) {
                    Ok(appliance) => appliance.id,
                    Err(_) => name.clone(),
                };
                let record = self.appliance_record(&appliance)?;
                let kept = windlass_package::Package::open(&record.path)?;
                let name = options
                    .name
                    .clone()
                    .unwrap_or_else(|| host_name(&kept.manifest.name));
                let alone = Wanted {
                    name: host_name(&kept.manifest.name),
                    count: 1,
                    order: 0,
                    settings: BuildSettings::default(),
                };
                let part = self.describe_part(record, kept.settings, alone).await?;
                Ok(Parts {
                    name,
                    parts: vec![part],
                })
            }
            StackSource::Group { path } => {
                let group = self.services_of_group(path).await?;
                let mut parts = Vec::new();
                for (appliance, service) in group.services {
                    let record = self.appliance_record(&appliance)?;
                    let kept = windlass_package::Package::open(&record.path)?.settings;
                    let wanted = Wanted {
                        name: service.name,
                        count: service.count,
                        order: service.order,
                        settings: service.settings,
                    };
                    parts.push(self.describe_part(record, kept, wanted).await?);
                }
                Ok(Parts {
                    name: options.name.clone().unwrap_or(group.name),
                    parts,
                })
            }
        }
    }

    async fn describe_part(
        self: &Arc<Self>,
        record: Record,
        kept: BuildSettings,
        wanted: Wanted,
    ) -> Result<Part> {
        let bootable = |settings: BuildSettings| BuildSettings {
            disk: Some(DiskKind::Bootable),
            ..settings
        };
        let of_image = BuildSettings {
            guest: wanted.settings.guest,
            root_fs: wanted.settings.root_fs,
            size_mib: wanted.settings.size_mib,
            ..BuildSettings::default()
        };
        let own = bootable(kept.clone().overlaid(&of_image));
        let settings = bootable(kept.overlaid(&wanted.settings));
        let (workshop, of, with) = (Arc::clone(self), record.clone(), settings.clone());
        let composition =
            crate::blocking(move || workshop.compose(&of, Some(&with), &CancellationToken::new()))
                .await??;
        let volumes = &composition.settings.volumes;
        // A Linux guest is told by the cloud; another one by its image alone, which is its own then.
        let told = composition.guest == GuestOs::Linux;
        let mut line = windlass_compose::image_command_line(
            composition.guest.into(),
            composition.root_fs.into(),
            &composition.command_line,
        );
        for (number, volume) in (1..).zip(volumes) {
            if let Some(place) = &volume.path {
                let option = format!("ext,/dev/vblk{number},{place}");
                line = line.with_option("mount-fs", Some(&option));
            }
        }
        let sizes = volumes.iter().map(|it| {
            let bytes = self.volume(&it.name).map_or(GIB, |it| it.size_bytes);
            let gib = u32::try_from(bytes.div_ceil(GIB)).unwrap_or(u32::MAX);
            (it.name.clone(), gib.max(1))
        });
        let name = host_name(&composition.name);
        Ok(Part {
            image: if told {
                name
            } else {
                format!("{name}-{}", wanted.name)
            },
            own: if told { own } else { settings.clone() },
            volumes: sizes.collect(),
            command_line: told.then(|| line.to_string()),
            settings: composition.settings.clone(),
            record,
            name: wanted.name,
            count: wanted.count,
            order: wanted.order,
        })
    }

    /// Makes a volume that is not there.
    pub(super) async fn provide_stack_volume(
        self: &Arc<Self>,
        volume: &str,
        reporter: &Reporter,
    ) -> Result<()> {
        let wanted = windlass_package::settings::VolumeSetting {
            name: volume.to_owned(),
            path: None,
        };
        self.provide_volume(&wanted, reporter).await
    }
}

/// What is said of a service beside its appliance.
struct Wanted {
    name: String,
    count: u32,
    order: u32,
    settings: BuildSettings,
}

impl Parts {
    /// As the engines' texts are written from it; `image` turns a name into what an engine finds it by.
    pub(super) fn blueprint(
        &self,
        options: &StackOptions,
        image: impl Fn(&str) -> String,
    ) -> Result<Blueprint> {
        let blueprint = Blueprint {
            name: self.name.clone(),
            services: self
                .parts
                .iter()
                .map(|part| part.described(options, &image))
                .collect(),
        };
        blueprint.check().map_err(|error| {
            let hint = error.hint().to_owned();
            AppError::from_error(ErrorKind::Input, &error, Some(hint))
        })?;
        Ok(blueprint)
    }

    /// The volumes, by name, and the names of the images that hold what is on them.
    pub(super) fn volume_images(&self) -> BTreeMap<String, String> {
        self.parts
            .iter()
            .flat_map(|it| &it.volumes)
            .map(|(name, _)| (name.clone(), volume_image(name)))
            .collect()
    }
}

impl Part {
    fn described(&self, options: &StackOptions, image: &impl Fn(&str) -> String) -> Described {
        Described {
            name: self.name.clone(),
            count: self.count,
            order: self.order,
            image: image(&self.image),
            flavor: options.flavor.clone(),
            memory_mib: self.settings.memory_mib.unwrap_or(256),
            vcpus: self.settings.vcpus.unwrap_or(1),
            ports: self
                .settings
                .ports
                .iter()
                .map(|it| Port {
                    number: it.guest,
                    udp: it.protocol == Protocol::Udp,
                })
                .collect(),
            volumes: self
                .volumes
                .iter()
                .map(|(name, size_gib)| Volume {
                    name: host_name(name),
                    size_gib: *size_gib,
                    image: Some(image(&volume_image(name))),
                })
                .collect(),
            command_line: self.command_line.clone(),
        }
    }
}

/// What the image that holds a volume is called.
fn volume_image(volume: &str) -> String {
    format!("volume-{}", host_name(volume))
}

/// A name as a host can have it.
fn host_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches('-');
    let name = if name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.to_owned()
    } else {
        format!("a-{name}")
    };
    name.chars()
        .take(40)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}
