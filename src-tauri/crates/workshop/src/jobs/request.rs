//! What a job was asked to do: kept with it, so that it can be tried again as it was.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Job, store};
use crate::Workshop;
use crate::clouds::{DeployOptions, PushOptions};
use crate::error::{AppError, ErrorKind, Result};
use crate::images::{ConvertOptions, ImageFormat, ListKind};
use crate::stacks::{StackOptions, StackSource};
use crate::studies::StudyOptions;
use crate::volumes::NewVolume;

/// What a job is asked to do, kept so that it can be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
pub enum Request {
    /// Compose an image.
    Build {
        /// The appliance's id.
        appliance: String,
    },
    /// Build where needed and start a machine.
    Run {
        /// The appliance's id.
        appliance: String,
    },
    /// Fetch the distribution's kernel.
    FetchKernel,
    /// Ask registries what they have.
    Refresh {
        /// One of them; all where none is named.
        registry: Option<u32>,
    },
    /// Fetch packages.
    Pull {
        /// The package's name.
        name: String,
        /// Its version; the newest where none is named.
        version: Option<String>,
        /// The registry; the first that has it where none is named.
        registry: Option<u32>,
    },
    /// Fetch newer versions of packages.
    Update {
        /// The packages' names.
        names: Vec<String>,
    },
    /// Fetch OSv's kernels.
    FetchOsv {
        /// Their version; the newest where none is named.
        version: Option<String>,
    },
    /// Hold fast an appliance's packages.
    Lock {
        /// The appliance's id.
        appliance: String,
    },
    /// Make a sample.
    Sample {
        /// The sample's id.
        sample: String,
    },
    /// Copy files out of an image.
    Extract {
        /// The image.
        image: String,
        /// Its volume; the root where none is named.
        volume: Option<u32>,
        /// What is copied.
        paths: Vec<String>,
        /// Where it goes.
        folder: PathBuf,
        /// Whether files that are there are replaced.
        replace: bool,
    },
    /// Compare an image with another, or with a folder.
    Compare {
        /// The image.
        left: String,
        /// The other image, or the folder.
        right: String,
    },
    /// Compare an image with its list of files.
    VerifyImage {
        /// The image.
        image: String,
    },
    /// Write an image in another format.
    Convert {
        /// The image.
        image: String,
        /// The new file.
        destination: PathBuf,
        /// Its format.
        format: ImageFormat,
        /// How it is written.
        options: ConvertOptions,
    },
    /// Take an image into the library.
    ImportImage {
        /// Its file.
        path: PathBuf,
    },
    /// Make an image larger or smaller.
    ResizeImage {
        /// The image.
        image: String,
        /// What it is to have.
        size_bytes: u64,
    },
    /// Make a volume.
    MakeVolume(NewVolume),
    /// Make a volume larger.
    ResizeVolume {
        /// Its id.
        volume: String,
        /// What it is to have.
        size_bytes: u64,
    },
    /// Start the machines of a group's file.
    GroupUp {
        /// The file, or the folder that it is in.
        path: PathBuf,
    },
    /// Do the runs of a study.
    Study {
        /// Its folder.
        folder: PathBuf,
        /// How.
        options: StudyOptions,
    },
    /// Send an image to a cloud.
    PushImage {
        /// The cloud's id.
        cloud: u32,
        /// The image.
        image: String,
        /// How it is sent.
        options: PushOptions,
    },
    /// Make servers of an image in a cloud.
    Deploy {
        /// The cloud's id.
        cloud: u32,
        /// The image.
        image: String,
        /// How it is deployed.
        options: Box<DeployOptions>,
    },
    /// Launch or update a stack of a cloud.
    StackLaunch {
        /// The cloud's id.
        cloud: u32,
        /// What it is made of.
        source: StackSource,
        /// What was chosen.
        options: Box<StackOptions>,
    },
    /// Write lists of what is in a build.
    ExportLists {
        /// The build.
        build: String,
        /// Where they go.
        folder: PathBuf,
        /// Which.
        kinds: Vec<ListKind>,
    },
}

impl Workshop {
    /// Starts a failed or cancelled job again, as it was asked for.
    ///
    /// # Errors
    /// `Conflict` when it still runs or cannot be repeated.
    pub fn retry_job(self: &Arc<Self>, id: &str) -> Result<Job> {
        if !self.job(id)?.is_over() {
            return Err(AppError::new(ErrorKind::Conflict, "This job still runs"));
        }
        match store::request(&self.database, id)? {
            Some(Request::Build { appliance }) => self.start_build(&appliance),
            Some(Request::Run { appliance }) => self.start_run(&appliance),
            Some(Request::FetchKernel) => self.start_kernel_fetch(),
            Some(Request::Refresh { registry }) => self.start_refresh(registry),
            Some(Request::Pull {
                name,
                version,
                registry,
            }) => self.start_pull(&name, version.as_deref(), registry),
            Some(Request::Update { names }) => self.start_update(&names),
            Some(Request::FetchOsv { version }) => self.start_osv_fetch(version.as_deref()),
            Some(Request::Lock { appliance }) => self.start_lock_update(&appliance),
            Some(Request::Sample { sample }) => self.start_sample(&sample),
            Some(Request::Extract {
                image,
                volume,
                paths,
                folder,
                replace,
            }) => self.start_extract(&image, volume, &paths, folder, replace),
            Some(Request::Compare { left, right }) => self.start_compare(&left, &right),
            Some(Request::VerifyImage { image }) => self.start_image_verify(&image),
            Some(Request::Convert {
                image,
                destination,
                format,
                options,
            }) => self.start_convert(&image, &destination, format, options),
            Some(Request::ImportImage { path }) => self.start_image_import(&path),
            Some(Request::ResizeImage { image, size_bytes }) => {
                self.start_image_resize(&image, size_bytes)
            }
            Some(Request::MakeVolume(new)) => self.start_volume_create(new),
            Some(Request::ResizeVolume { volume, size_bytes }) => {
                self.start_volume_resize(&volume, size_bytes)
            }
            Some(Request::GroupUp { path }) => self.start_group_up(&path),
            Some(Request::Study { folder, options }) => self.start_study(&folder, options),
            Some(Request::PushImage {
                cloud,
                image,
                options,
            }) => self.start_push_image(cloud, &image, options),
            Some(Request::Deploy {
                cloud,
                image,
                options,
            }) => self.start_deploy(cloud, &image, *options),
            Some(Request::StackLaunch {
                cloud,
                source,
                options,
            }) => self.start_stack_launch(cloud, &source, *options),
            Some(Request::ExportLists {
                build,
                folder,
                kinds,
            }) => self.start_export_lists(&build, folder, &kinds),
            None => Err(
                AppError::new(ErrorKind::Conflict, "This job cannot be repeated")
                    .hinted("Start it anew where it was started"),
            ),
        }
    }
}
