//! From run configurations to what a guest is told.
//!
//! ```text
//!   run.yaml of the appliance          run.yaml of node-20
//!     server:                            node:
//!       main: /server.js                   bootcmd: /usr/bin/node $NODE_ARGS $MAIN $ARGS
//!       args: [--port, "80"]
//!              └───────────── resolve ──────────┘
//!   /run/server:  --env=MAIN?=/server.js /usr/bin/node $MAIN --port 80
//!              └───────────── plan ───── with the build settings
//!   command line: --env=GREETING=hello\ world runscript /run/server;
//! ```
//!
//! What a runtime knows travels as Capstan has it, in the variables `MAIN`, `ARGS`, `NODE_ARGS`,
//! `PYTHON_ARGS`, `JVM_ARGS`, `CLASSPATH`, `XMS` and `XMX`, which the base's boot command names,
//! and which can be overridden when the machine starts. Where a variable stands for no word or for
//! several, its words are put into the command instead: neither guest splits a value into words
//! nor drops an empty one. (Capstan's way out was `--` and `-O` for nothing; several it could not.)
//!
//! All packages share the folder `/run`. Where several have a configuration of one name, the file is
//! that of the last package in the order of layers, the appliance's before all: always the same one,
//! and a finding says so. The others are not lost, for a `base` names its package: `below:server`.
//!
//! OSv has one environment, and applies the options of all scripts before it runs any command.
//! Configurations that run together and give one variable two values are therefore a finding, and
//! variables of a runtime are then put into the commands.

mod error;
mod plan;
mod resolve;
#[cfg(test)]
mod tests;
mod variables;

use windlass_guest::GuestOs;

use crate::{BuildSettings, Error, Finding, Package, RunConfiguration};

pub use error::BootError;

/// What one configuration comes to, with all that it bases on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootCommand {
    /// Environment, each set only when nothing set it before; the configuration's own first.
    pub env: Vec<(String, String)>,
    /// The commands, in the grammar of scripts.
    pub command: String,
    /// What was noticed: another base than the named one was taken, for instance.
    pub findings: Vec<Finding>,
}

impl BootCommand {
    /// The line of the file `/run/NAME`: the environment, then the commands.
    pub fn script_line(&self) -> String {
        let mut line = String::new();
        for (name, value) in &self.env {
            line.push_str(&windlass_guest::command_line::quote_word(&format!(
                "--env={name}?={value}"
            )));
            line.push(' ');
        }
        line.push_str(&self.command);
        line
    }
}

/// The file `/run/NAME` of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The configuration.
    pub name: String,
    /// The package that it is of.
    pub package: String,
    /// Where it is in the guest, without the leading slash: `run/NAME`.
    pub path: String,
    /// Its one line, with a line end.
    pub content: String,
}

/// All that a guest needs to be told to boot a list of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootPlan {
    /// The files `/run/NAME`, by name; where several packages have a name, the last one's.
    pub scripts: Vec<Script>,
    /// The names of the configurations that run; empty when a command of the settings does.
    pub configurations: Vec<String>,
    /// The boot command line, without options of kernel or disk.
    pub command_line: String,
    /// Names that collide, configurations that cannot be run, and the like.
    pub findings: Vec<Finding>,
}

/// What one configuration of `owner` comes to; `packages` are all that it may base on.
///
/// # Errors
///
/// When a base is not there, a circle closes, or no readable boot command comes out.
pub fn resolve(
    owner: &Package,
    configuration: &RunConfiguration,
    packages: &[&Package],
    guest: GuestOs,
) -> Result<BootCommand, BootError> {
    resolve::Resolver { packages, guest }.resolve(owner, configuration)
}

/// What a guest is told, for these layers (dependencies first, the appliance last) and settings.
///
/// What runs is, in this order: the command of the settings; their configuration; the default of
/// the appliance's run file, or its only configuration; the default of the layer nearest below.
///
/// # Errors
///
/// When nothing says what is to run, a configuration that is to run is not there or cannot be
/// resolved, or the command of the settings cannot be read.
pub fn plan(
    layers: &[&Package],
    guest: GuestOs,
    settings: &BuildSettings,
) -> Result<BootPlan, Error> {
    Ok(plan::plan(layers, guest, settings)?)
}

/// The package that a runtime's configurations base on when nothing is named and none is there,
/// as Capstan has it.
pub fn usual_base(runtime: crate::Runtime) -> Option<crate::run_file::Base> {
    variables::usual_base(runtime)
}
