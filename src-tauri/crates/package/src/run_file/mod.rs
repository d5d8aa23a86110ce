//! `meta/run.yaml`: how a package can be run, in one or several named ways.
//!
//! ```yaml
//! runtime: node                     # native | node | java | python
//! config_set:
//!   server:
//!     main: /server.js
//!     args: [--port, "8080"]
//!     env: {NODE_ENV: production}
//!   worker:
//!     base: "app.workers:default"   # another package's configuration, whose boot command is taken
//!     env: {QUEUE: high}
//! config_set_default: server        # or several: "server, worker"
//! ```
//!
//! | runtime | keys beside `env` and `base` | required |
//! | --- | --- | --- |
//! | native | `bootcmd` | `bootcmd`, unless there is a base |
//! | node | `main`, `node_args`, `args`, `shell` | `main`, unless `shell` or a base |
//! | java | `main`, `xms`, `xmx`, `classpath`, `jvm_args`, `args` | `main`, unless a base that is no `openjdk*` |
//! | python | `main`, `python_args`, `args`, `shell` | `main`, unless `shell` or a base |
//!
//! One key is ours, `x-bootcmd`: boot commands that differ by guest kernel (`{linux: …, osv: …}`);
//! Capstan passes over it and takes `bootcmd`.

mod parse;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::str::FromStr;

use windlass_guest::GuestOs;

use crate::Error;
use crate::yaml::Parsed;

/// Where the run file is, within a package.
pub const FILE: &str = "meta/run.yaml";

/// How a package can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFile {
    /// What all of its configurations are run by.
    pub runtime: Runtime,
    /// The configurations, in the order of the file; at least one.
    pub config_set: Vec<RunConfiguration>,
    /// Names of those that run when nothing else is said, in order; may be empty.
    pub config_set_default: Vec<String>,
}

/// What a configuration is run by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Any boot command.
    Native,
    /// Node.js.
    Node,
    /// A Java virtual machine.
    Java,
    /// Python.
    Python,
}

impl Runtime {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Native, Self::Node, Self::Java, Self::Python];

    /// Its name in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Node => "node",
            Self::Java => "java",
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Runtime {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|runtime| runtime.name() == text)
            .ok_or(())
    }
}

/// One named way to run a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunConfiguration {
    /// Its name, which is also that of its script in the guest: `/run/NAME`.
    pub name: String,
    /// What the runtime needs to know.
    pub settings: Settings,
    /// Environment, in the order of the file. Each is set only when nothing set it before.
    pub env: Vec<(String, String)>,
    /// The configuration whose boot command and environment this one starts from.
    pub base: Option<Base>,
}

/// A configuration of another package, written `package:config_set`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Base {
    /// The package.
    pub package: String,
    /// The name in its `config_set`.
    pub configuration: String,
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.package, self.configuration)
    }
}

/// What a runtime needs to know, by runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settings {
    /// A boot command.
    Native {
        /// The command; `None` when it comes from the base.
        bootcmd: Option<String>,
        /// Commands that differ by guest kernel (our key `x-bootcmd`).
        by_guest: Vec<(GuestOs, String)>,
    },
    /// A script for Node.js.
    Node {
        /// The script; empty for a shell.
        main: Option<String>,
        /// Arguments of Node itself.
        node_args: Vec<String>,
        /// Arguments of the script.
        args: Vec<String>,
        /// Whether to start the interactive shell.
        shell: bool,
    },
    /// A Java class or archive.
    Java {
        /// The class, or a path that ends in `.jar`.
        main: Option<String>,
        /// Initial heap, such as `512m`.
        xms: Option<String>,
        /// Largest heap, such as `1g`.
        xmx: Option<String>,
        /// Class path; empty means `/`.
        classpath: Vec<String>,
        /// Arguments of the virtual machine.
        jvm_args: Vec<String>,
        /// Arguments of the program.
        args: Vec<String>,
    },
    /// A Python script.
    Python {
        /// The script; empty for a shell.
        main: Option<String>,
        /// Arguments of Python itself.
        python_args: Vec<String>,
        /// Arguments of the script.
        args: Vec<String>,
        /// Whether to start the interactive shell.
        shell: bool,
    },
}

impl Settings {
    /// The runtime that these belong to.
    pub fn runtime(&self) -> Runtime {
        match self {
            Self::Native { .. } => Runtime::Native,
            Self::Node { .. } => Runtime::Node,
            Self::Java { .. } => Runtime::Java,
            Self::Python { .. } => Runtime::Python,
        }
    }
}

impl RunFile {
    /// Reads the text of a `run.yaml`. `file` is only for messages.
    ///
    /// # Errors
    ///
    /// When it is not YAML, names no known runtime, has no configuration, or one lacks what its
    /// runtime requires.
    pub fn parse(text: &str, file: &str) -> Result<Parsed<Self>, Error> {
        Ok(parse::parse(text, file)?)
    }

    /// The text of a `run.yaml` that this program and Capstan read.
    ///
    /// # Errors
    ///
    /// Never for a run file that was parsed; the serialiser's own failures are passed on.
    pub fn to_yaml(&self) -> Result<String, Error> {
        write::to_yaml(self)
    }

    /// The configuration of this name.
    pub fn configuration(&self, name: &str) -> Option<&RunConfiguration> {
        self.config_set
            .iter()
            .find(|configuration| configuration.name == name)
    }
}
