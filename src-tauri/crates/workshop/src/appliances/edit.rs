//! Changing what an appliance is made of: its layers, its manifests, its run configurations.

use std::sync::Arc;

use super::{
    ConfigurationFields, Conflict, FindingFix, LayersSet, LockInfo, ManifestFile, ManifestSaved,
    ManifestText, SizeNode, TextMistake,
};
use crate::Workshop;
use crate::error::{AppError, Result};
use crate::jobs::Job;
use crate::packages::{Graph, Requirement};

impl Workshop {
    /// Sets the packages that an appliance lies over, lowest first. Comments of its manifest stay.
    ///
    /// # Errors
    /// `NotFound`; `Input` when a name or a constraint makes no sense.
    pub async fn set_layers(
        self: &Arc<Self>,
        _id: &str,
        _require: &[Requirement],
    ) -> Result<LayersSet> {
        Err(AppError::not_there_yet("Layers"))
    }

    /// The text of a manifest.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn manifest_text(&self, _id: &str, _file: ManifestFile) -> Result<ManifestText> {
        Err(AppError::not_there_yet("Manifests"))
    }

    /// Writes a manifest that has no mistake.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the file is not the one of `digest` any more.
    pub fn save_manifest(
        &self,
        _id: &str,
        _file: ManifestFile,
        _text: &str,
        _digest: &str,
    ) -> Result<ManifestSaved> {
        Err(AppError::not_there_yet("Manifests"))
    }

    /// The mistakes of a text that is being written.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn check_manifest(
        &self,
        _id: &str,
        _file: ManifestFile,
        _text: &str,
    ) -> Result<Vec<TextMistake>> {
        Err(AppError::not_there_yet("Manifests"))
    }

    /// The JSON Schema of a manifest.
    pub fn manifest_schema(_file: ManifestFile) -> String {
        "{}".to_owned()
    }

    /// What an appliance needs, and what that needs.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn appliance_graph(&self, _id: &str) -> Result<Graph> {
        Err(AppError::not_there_yet("The graph"))
    }

    /// The paths that several layers have a file at.
    ///
    /// # Errors
    /// `NotFound`; `Input` when it cannot be composed.
    pub async fn conflicts(self: &Arc<Self>, _id: &str) -> Result<Vec<Conflict>> {
        Err(AppError::not_there_yet("Conflicts"))
    }

    /// Where the bytes of an image would be.
    ///
    /// # Errors
    /// `NotFound`; `Input` when it cannot be composed.
    pub async fn size_map(self: &Arc<Self>, _id: &str) -> Result<SizeNode> {
        Err(AppError::not_there_yet("The size map"))
    }

    /// An appliance's lock file, and whether it still fits.
    ///
    /// # Errors
    /// `NotFound`; `Input` when the lock file has a mistake.
    pub async fn lock_info(&self, _id: &str) -> Result<LockInfo> {
        Err(AppError::not_there_yet("The lock file"))
    }

    /// Holds fast the newest packages that an appliance's manifest allows, as a job.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn start_lock_update(self: &Arc<Self>, _id: &str) -> Result<Job> {
        Err(AppError::not_there_yet("The lock file"))
    }

    /// Does what mends a finding.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it was done already.
    pub async fn fix_finding(self: &Arc<Self>, _id: &str, _fix: FindingFix) -> Result<()> {
        Err(AppError::not_there_yet("Fixes"))
    }

    /// Changes a run configuration. Comments of the run file stay.
    ///
    /// # Errors
    /// `NotFound`; `Input` when a value makes no sense.
    pub fn save_configuration(
        &self,
        _id: &str,
        _name: &str,
        _fields: &ConfigurationFields,
    ) -> Result<()> {
        Err(AppError::not_there_yet("Configurations"))
    }

    /// Adds a run configuration, and the run file with it where there is none.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the name is taken; `Input` when a value makes no sense.
    pub fn add_configuration(
        &self,
        _id: &str,
        _name: &str,
        _fields: &ConfigurationFields,
    ) -> Result<()> {
        Err(AppError::not_there_yet("Configurations"))
    }

    /// Removes a run configuration.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is the last one.
    pub fn remove_configuration(&self, _id: &str, _name: &str) -> Result<()> {
        Err(AppError::not_there_yet("Configurations"))
    }

    /// Gives a run configuration another name.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the name is taken.
    pub fn rename_configuration(&self, _id: &str, _name: &str, _new_name: &str) -> Result<()> {
        Err(AppError::not_there_yet("Configurations"))
    }

    /// Says which run configurations run when nothing else is said, in order.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_default_configurations(&self, _id: &str, _names: &[String]) -> Result<()> {
        Err(AppError::not_there_yet("Configurations"))
    }
}
