//! The appliance of a study: the packages that its case needs, made here where the library lacks them.
//!
//! ```text
//!   case ── packages ──> made by recipe ──> library
//!                   └──> STUDY/NAME-image/meta/{package,windlass}.yaml     requires them, and has no file of its own
//!                        study.yaml: appliance: NAME-image
//! ```

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use windlass_package::settings::{self, BuildSettings};
use windlass_package::{Manifest, manifest, name_from};
use windlass_study::study::FILE;

use super::study_folder;
use crate::Workshop;
use crate::appliances::Appliance;
use crate::disk::write_whole;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::{Job, JobKind};
use crate::recipes;

/// Memory of a machine beside what the mesh takes, and what a cell takes, by what solvers were seen to use.
const MEMORY_BASE_MIB: u64 = 256;
const CELL_BYTES: u64 = 3 << 10;
/// Memory is given in steps, so that not every mesh has an image of its own.
const MEMORY_STEP_MIB: u64 = 128;

impl Workshop {
    /// Makes what the runs of a study share, as a job: the packages that its case needs, by recipe, where the library
    /// lacks them; an appliance that requires them, in the study's folder; and its name in `study.yaml`, where that names
    /// none. The package files come from the package manager, or from a folder.
    ///
    /// # Errors
    /// `Input` when the study has no case of OpenFOAM, or a mistake.
    pub fn start_study_prepare(
        self: &Arc<Self>,
        folder: &Path,
        from: Option<&Path>,
    ) -> Result<Job> {
        let folder = study_folder(folder)?;
        let check = self.checked(&folder)?;
        let Some(case) = &check.case else {
            return Err(AppError::new(
                ErrorKind::Input,
                "The study has no case of OpenFOAM that would say which packages it needs",
            )
            .hinted("Name an appliance of your own: a line `appliance: NAME` in study.yaml"));
        };
        let packages = case.packages.iter();
        let names: Vec<String> = packages.map(|package| package.name.clone()).collect();
        let source = recipes::source(from)?;
        let workshop = Arc::clone(self);
        let title = check
            .study
            .title
            .clone()
            .unwrap_or_else(|| "a study".into());
        let subject = Some(folder.to_string_lossy().into_owned());
        let memory_mib = memory(case.mesh.cells);
        self.start_job(
            JobKind::Pack,
            format!("Prepare {title}"),
            subject,
            None,
            async move |reporter| {
                workshop.make_by_recipe(&names, &source, &reporter).await?;
                let name = write_appliance(&folder, &title, names, memory_mib)?;
                workshop.study_appliance(&folder, &name)?;
                if check.study.appliance.is_none() {
                    let path = folder.join(FILE);
                    let mut text = std::fs::read_to_string(&path).doing("read", &path)?;
                    if !text.ends_with('\n') {
                        text.push('\n');
                    }
                    let _ = writeln!(text, "appliance: {name}");
                    write_whole(&path, text.as_bytes())?;
                }
                Ok(Some(name))
            },
        )
    }

    /// The appliance that a study names: one in its own folder, or one that is known.
    pub(super) fn study_appliance(&self, folder: &Path, name: &str) -> Result<Appliance> {
        let own = folder.join(name);
        let is_own =
            Path::new(name).components().count() == 1 && own.join(manifest::FILE).is_file();
        if is_own {
            let own = std::fs::canonicalize(&own).doing("find the folder", &own)?;
            return self.register(&own);
        }
        self.find_appliance(name)
    }
}

fn memory(cells: Option<u64>) -> u32 {
    let mesh_mib = cells.unwrap_or_default().saturating_mul(CELL_BYTES) >> 20;
    let steps = (MEMORY_BASE_MIB + mesh_mib).div_ceil(MEMORY_STEP_MIB);
    u32::try_from(steps * MEMORY_STEP_MIB)
        .unwrap_or(u32::MAX)
        .min(settings::MEMORY_MIB.1)
}

/// Writes the appliance; says its name. One that is there keeps its settings.
fn write_appliance(
    folder: &Path,
    title: &str,
    names: Vec<String>,
    memory_mib: u32,
) -> Result<String> {
    let study = folder.file_name().unwrap_or_default().to_string_lossy();
    let name = name_from(&format!("{study}-image"));
    let place = folder.join(&name);
    let meta = place.join(windlass_package::META_DIRECTORY);
    std::fs::create_dir_all(&meta).doing("make the folder", &meta)?;
    let kept = place.join(settings::FILE);
    if !kept.exists() {
        let built = BuildSettings {
            guest: Some(windlass_guest::GuestOs::Linux),
            root_fs: Some(windlass_guest::RootFs::Ext4),
            memory_mib: Some(memory_mib),
            ..BuildSettings::default()
        };
        write_whole(&kept, built.to_yaml()?.as_bytes())?;
    }
    let manifest = Manifest {
        name: name.clone(),
        title: format!("{title}: OpenFOAM"),
        author: "Windlass".into(),
        require: names,
        ..Manifest::default()
    };
    // The manifest last: with it the folder becomes an appliance.
    write_whole(&place.join(manifest::FILE), manifest.to_yaml()?.as_bytes())?;
    Ok(name)
}
