//! What is shown and edited of an appliance's contents and manifests.

use serde::{Deserialize, Serialize};
use specta::Type;

use super::{Contents, EnvValue, Severity};

/// One of the two texts that describe a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum ManifestFile {
    /// `meta/package.yaml`.
    Package,
    /// `meta/run.yaml`.
    Run,
}

/// The text of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ManifestText {
    /// The text; empty where there is no such file yet.
    pub text: String,
    /// Its digest, by which a change of somebody else is noticed.
    pub digest: String,
}

/// A mistake in a text, where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct TextMistake {
    /// The line, from 1.
    pub line: u32,
    /// The column of its first character, from 1.
    pub column: u32,
    /// The column after its last character.
    pub end_column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How much it matters.
    pub severity: Severity,
}

/// What came of saving a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ManifestSaved {
    /// Whether it was written. It is not while it has a mistake.
    pub ok: bool,
    /// The digest of what is in the file now.
    pub digest: String,
    /// The mistakes of the text; where it was written, what is odd about it.
    pub mistakes: Vec<TextMistake>,
}

/// What came of changing an appliance's layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct LayersSet {
    /// What an image would hold now.
    pub contents: Contents,
    /// The text that `meta/package.yaml` had before: saving it undoes the change.
    pub undo: String,
    /// The digest of the text that it has now.
    pub digest: String,
}

/// A layer's file that another layer's lies over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ConflictLoser {
    /// The layer.
    pub layer: String,
    /// The size of its file.
    pub size_bytes: u64,
}

/// A path that several layers have a file at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// The path.
    pub path: String,
    /// The layer whose file gets into the image.
    pub winner: String,
    /// The layers whose files do not.
    pub losers: Vec<ConflictLoser>,
    /// Whether all of them are the same file.
    pub same: bool,
}

/// A directory or file with its size, and what is below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct SizeNode {
    /// Its name; `…` for small ones taken together.
    pub name: String,
    /// Its path.
    pub path: String,
    /// The size of all files in it.
    pub size_bytes: u64,
    /// The layer of a file.
    pub layer: Option<String>,
    /// What is below it, largest first.
    pub children: Vec<SizeNode>,
}

/// A package that a lock file holds fast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The digest of its tree.
    pub digest: String,
    /// Where it came from.
    pub origin: Option<String>,
}

/// An appliance's lock file: the packages that each build of it uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct LockInfo {
    /// Whether there is one.
    pub locked: bool,
    /// What it holds fast.
    pub packages: Vec<LockedPackage>,
    /// Why it does not fit the manifest any more, a sentence each.
    pub stale: Vec<String>,
}

/// What mends a finding in one click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum FindingFix {
    /// Add a package to the layers.
    AddPackage {
        /// Its name.
        name: String,
    },
    /// Copy a file of this computer into the appliance.
    AddFile {
        /// Where it is here.
        host: String,
        /// Where it is to be in the guest.
        guest: String,
    },
    /// Keep a path out of the image.
    LeaveOut {
        /// The path in the guest.
        path: String,
    },
    /// Run it in another guest.
    Guest {
        /// The guest.
        guest: crate::guests::GuestOs,
    },
}

/// What one runtime needs to know of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(
    tag = "runtime",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum RuntimeFields {
    /// Any boot command.
    Native {
        /// The command; from the base where there is none.
        bootcmd: Option<String>,
    },
    /// Node.js.
    Node {
        /// The script; none for a shell.
        main: Option<String>,
        /// Arguments of Node itself.
        node_args: Vec<String>,
        /// Arguments of the script.
        args: Vec<String>,
        /// Whether a shell is started.
        shell: bool,
    },
    /// A Java virtual machine.
    Java {
        /// The class or `.jar`.
        main: Option<String>,
        /// The heap to begin with.
        xms: Option<String>,
        /// The largest heap.
        xmx: Option<String>,
        /// Where classes are.
        classpath: Vec<String>,
        /// Arguments of the virtual machine.
        jvm_args: Vec<String>,
        /// Arguments of the program.
        args: Vec<String>,
    },
    /// Python.
    Python {
        /// The script; none for a shell.
        main: Option<String>,
        /// Arguments of Python itself.
        python_args: Vec<String>,
        /// Arguments of the script.
        args: Vec<String>,
        /// Whether a shell is started.
        shell: bool,
    },
}

/// All fields of a run configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationFields {
    /// What the runtime needs to know.
    pub settings: RuntimeFields,
    /// The configuration that this one starts from, as `package:configuration`.
    pub base: Option<String>,
    /// Its environment.
    pub env: Vec<EnvValue>,
}

impl From<&windlass_package::RunConfiguration> for ConfigurationFields {
    fn from(configuration: &windlass_package::RunConfiguration) -> Self {
        use windlass_package::run_file::Settings;
        let settings = match configuration.settings.clone() {
            Settings::Native { bootcmd, .. } => RuntimeFields::Native { bootcmd },
            Settings::Node {
                main,
                node_args,
                args,
                shell,
            } => RuntimeFields::Node {
                main,
                node_args,
                args,
                shell,
            },
            Settings::Java {
                main,
                xms,
                xmx,
                classpath,
                jvm_args,
                args,
            } => RuntimeFields::Java {
                main,
                xms,
                xmx,
                classpath,
                jvm_args,
                args,
            },
            Settings::Python {
                main,
                python_args,
                args,
                shell,
            } => RuntimeFields::Python {
                main,
                python_args,
                args,
                shell,
            },
        };
        Self {
            settings,
            base: configuration.base.as_ref().map(ToString::to_string),
            env: configuration
                .env
                .iter()
                .map(|(name, value)| EnvValue {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
        }
    }
}

impl From<windlass_package::Fix> for FindingFix {
    fn from(fix: windlass_package::Fix) -> Self {
        use windlass_package::Fix;
        match fix {
            Fix::AddPackage { name } => Self::AddPackage { name },
            Fix::AddFile { host, guest } => Self::AddFile {
                host: host.display().to_string(),
                guest,
            },
            Fix::LeaveOut { path } => Self::LeaveOut { path },
            Fix::Guest { guest } => Self::Guest {
                guest: guest.into(),
            },
        }
    }
}
