//! Who a package is.

use crate::pack::PackOptions;
use crate::{Error, Manifest, RunFile};

/// Who a package is: its names, and the texts of its `meta/`.
#[derive(Debug)]
pub(in crate::pack) struct Description {
    pub name: String,
    pub version: Option<String>,
    pub title: String,
    pub package_yaml: String,
    pub run_yaml: Option<String>,
}

impl Description {
    pub fn new(
        mut manifest: Manifest,
        run: Option<&RunFile>,
        options: &PackOptions,
    ) -> Result<Self, Error> {
        if let Some(name) = &options.name {
            manifest.name.clone_from(name);
        }
        if options.version.is_some() {
            manifest.version.clone_from(&options.version);
        }
        Ok(Self {
            package_yaml: manifest.to_yaml()?,
            run_yaml: run.map(RunFile::to_yaml).transpose()?,
            name: manifest.name,
            version: manifest.version,
            title: manifest.title,
        })
    }
}
