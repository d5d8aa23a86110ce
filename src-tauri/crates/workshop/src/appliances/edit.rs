//! Changing what an appliance is made of: its layers, its manifests, its run configurations.

use std::sync::Arc;

use super::{ConfigurationFields, FindingFix, LayersSet, LockInfo};
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

    /// What an appliance needs, and what that needs.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn appliance_graph(&self, _id: &str) -> Result<Graph> {
        Err(AppError::not_there_yet("The graph"))
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
