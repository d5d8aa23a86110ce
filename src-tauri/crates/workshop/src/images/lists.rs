//! Lists of what is in a build, as files for others: digests, bills of materials.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_compose::sbom::{self, SbomInput, SbomKind, SbomPackage};
use windlass_compose::{self as compose, FileList, base};
use windlass_package::Package;

use super::model::ListKind;
use super::open::Named;
use super::work::counting;
use crate::Workshop;
use crate::builds::Build;
use crate::error::{IoContext, Result};
use crate::jobs::{Job, JobKind, Reporter, Request};

impl Workshop {
    /// Writes lists of what is in a build into a folder, as a job that ends with the folder: `NAME.files.json`,
    /// `NAME.spdx.json`, `NAME.cdx.json`. Files of these names are replaced.
    ///
    /// # Errors
    /// `NotFound` when there is no such build.
    pub fn start_export_lists(
        self: &Arc<Self>,
        build: &str,
        folder: PathBuf,
        kinds: &[ListKind],
    ) -> Result<Job> {
        let build = self.build(build)?;
        let name = self.appliance(&build.appliance_id)?.name;
        let request = Request::ExportLists {
            build: build.id.clone(),
            folder: folder.clone(),
            kinds: kinds.to_vec(),
        };
        let kinds = kinds.to_vec();
        self.start_blocking(
            JobKind::ExportLists,
            format!("List what is in {name}"),
            Some(build.appliance_id.clone()),
            &request,
            move |workshop, reporter| {
                std::fs::create_dir_all(&folder).doing("create the folder", &folder)?;
                let list = Self::list_of(&build)?;
                if kinds.contains(&ListKind::Files) {
                    let path = folder.join(format!("{name}.files.json"));
                    crate::disk::write_whole_with(&path, |file| {
                        list.write(&mut std::io::BufWriter::new(file))
                    })?;
                }
                let bills: Vec<_> = [
                    (ListKind::Spdx, SbomKind::Spdx),
                    (ListKind::Cyclonedx, SbomKind::CycloneDx),
                ]
                .into_iter()
                .filter(|(kind, _)| kinds.contains(kind))
                .collect();
                if !bills.is_empty() {
                    let input = workshop.bill_of(&name, &build, &list, reporter)?;
                    for (_, kind) in bills {
                        let path = folder.join(format!("{name}.{}", kind.suffix()));
                        crate::disk::write_whole_with(&path, |file| {
                            let mut out = std::io::BufWriter::new(file);
                            sbom::write(kind, &input, &mut out)?;
                            std::io::Write::flush(&mut out)
                        })?;
                    }
                }
                Ok(Some(folder.display().to_string()))
            },
        )
    }

    /// Reads the image for what a bill of materials says.
    fn bill_of(
        &self,
        name: &str,
        build: &Build,
        list: &FileList,
        reporter: &Reporter,
    ) -> Result<SbomInput> {
        let named = Named {
            path: PathBuf::from(&build.path),
            build: Some(build.clone()),
        };
        let (open, _lease) = self.hold(&named)?;
        let file_system = open.file_system(None)?;
        reporter.step("Reading the image");
        let mut watch = counting(reporter, build.content_bytes);
        let files = sbom::files_in(file_system.as_ref(), Some(list), &mut watch)?;
        let appliance = self.appliance_record(&build.appliance_id)?;
        let manifest = Package::open(&appliance.path).ok().map(|it| it.manifest);
        let layers: BTreeSet<&String> = list
            .files
            .iter()
            .filter_map(|file| file.layer.as_ref())
            .filter(|layer| *layer != name && *layer != base::NAME)
            .collect();
        let mut packages: Vec<_> = layers.into_iter().map(|it| self.sbom_package(it)).collect();
        packages.extend(sbom::debian_packages(file_system.as_ref(), None)?);
        Ok(SbomInput {
            name: name.to_owned(),
            version: manifest.as_ref().and_then(|it| it.version.clone()),
            license: manifest.and_then(|it| it.license),
            created_seconds: build
                .started_at
                .parse::<jiff::Timestamp>()
                .map_or(0, jiff::Timestamp::as_second),
            // A file that was written to since has another.
            image_blake3: compose::valid_list(Path::new(&build.path)).map(|list| list.digest),
            packages,
            files,
        })
    }

    /// What the library knows of a package that is in an image.
    fn sbom_package(&self, name: &str) -> SbomPackage {
        let installed = self.library.package(name).ok();
        let manifest = installed
            .and_then(|it| Package::open(it.path).ok())
            .map(|package| package.manifest);
        SbomPackage {
            name: name.to_owned(),
            version: manifest.as_ref().and_then(|it| it.version.clone()),
            license: manifest.and_then(|it| it.license),
            ..SbomPackage::default()
        }
    }
}
