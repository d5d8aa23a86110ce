//! stub
#![allow(missing_docs)]
use windlass_guest::GuestOs;

use crate::{BuildSettings, Error, Finding, Package, RunConfiguration};

/// Why a boot command cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// Stub.
    #[error("stub")]
    Stub,
}

impl BootError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// What one configuration comes to, with all that it bases on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootCommand {
    /// Environment, each set only when nothing set it before; the configuration's own first.
    pub env: Vec<(String, String)>,
    /// The commands, in the grammar of [`windlass_guest::CommandLine`].
    pub command: String,
}

/// The file `/run/NAME` of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The configuration.
    pub name: String,
    /// The package that it is of.
    pub package: String,
    /// Where it is in the guest, `run/NAME` (no leading slash).
    pub path: String,
    /// Its one line, with a line end.
    pub content: String,
}

/// All that a guest needs to be told to boot a list of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootPlan {
    /// The files `/run/NAME`, one per name: where several packages have one, the last wins.
    pub scripts: Vec<Script>,
    /// The boot command line.
    pub command_line: String,
    /// Collisions of names and the like.
    pub findings: Vec<Finding>,
}

/// What one configuration of `owner` comes to; `packages` are all that it may base on.
///
/// # Errors
///
/// When a base is not there, a circle closes, or no boot command comes out.
pub fn resolve(
    owner: &Package,
    configuration: &RunConfiguration,
    packages: &[&Package],
    guest: GuestOs,
) -> Result<BootCommand, BootError> {
    todo!("{owner:?} {configuration:?} {packages:?} {guest:?}")
}

/// What a guest is told, for these layers (dependencies first, the appliance last) and settings.
///
/// # Errors
///
/// When a configuration that is to run is not there or cannot be resolved, or an environment
/// value cannot be carried by a command line.
pub fn plan(
    layers: &[&Package],
    guest: GuestOs,
    settings: &BuildSettings,
) -> Result<BootPlan, Error> {
    todo!("{layers:?} {guest:?} {settings:?}")
}
