//! Packages as the window and the command line show them.

use serde::{Deserialize, Serialize};
use specta::Type;

use super::ConfigurationInfo;

/// What a row of the search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum PackageKind {
    /// A package.
    Package,
    /// A guest kernel.
    Kernel,
}

/// Where a package can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum PackageSource {
    /// Only on this computer.
    Library,
    /// Only in a registry.
    Registry,
    /// In both.
    Both,
}

/// A package of the library, of a registry, or of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackageRow {
    /// What other packages require it by.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The newest version in the library; the registry's where there is none.
    pub version: Option<String>,
    /// How many versions there are.
    pub versions: u32,
    /// Whether it is in the library.
    pub installed: bool,
    /// Where it can be had.
    pub source: PackageSource,
    /// The first registry that has it.
    pub registry: Option<String>,
    /// The size of its files in the library, else of its archive.
    pub size_bytes: Option<u64>,
    /// What runs it: native, node, java, python; known of what is in the library.
    pub runtime: Option<String>,
    /// A newer version that a registry has.
    pub update_to: Option<String>,
    /// What it is.
    pub kind: PackageKind,
}

/// Which packages are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackageFilter {
    /// Only those that are, or are not, in the library.
    pub installed: Option<bool>,
    /// Only those of one registry.
    pub registry_id: Option<u32>,
    /// Only those that one runtime runs.
    pub runtime: Option<String>,
    /// Only packages, or only kernels.
    pub kind: Option<PackageKind>,
}

/// Some of what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackagePage {
    /// How many there are in all.
    pub total: u32,
    /// Those that were asked for.
    pub rows: Vec<PackageRow>,
    /// Names of registries that did not answer when they were last asked.
    pub offline: Vec<String>,
}

/// One version of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackageVersion {
    /// The version.
    pub version: Option<String>,
    /// The digest of its tree, where it is in the library.
    pub digest: Option<String>,
    /// Whether it is in the library.
    pub installed: bool,
    /// The registry that has it.
    pub registry: Option<String>,
    /// That registry's id.
    pub registry_id: Option<u32>,
    /// The size of its files in the library, else of its archive.
    pub size_bytes: Option<u64>,
    /// When it was made, as its manifest has it.
    pub created: Option<String>,
    /// Whether it was signed, where that is known.
    pub signed: Option<bool>,
}

/// A package that another one needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct RequirementInfo {
    /// Its name.
    pub name: String,
    /// The versions that will do; any where nothing is said.
    pub constraint: Option<String>,
    /// Whether the library has one that will do.
    pub installed: bool,
}

/// What the layers of an appliance are to be: a package, and the versions that will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Requirement {
    /// The package's name.
    pub name: String,
    /// The versions that will do, such as `>=18, <21`; any where nothing is said.
    pub constraint: Option<String>,
}

/// What needs a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum NeederKind {
    /// A package of the library.
    Package,
    /// An appliance.
    Appliance,
}

/// Something that needs a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct NeededBy {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: NeederKind,
    /// An appliance's id.
    pub id: Option<String>,
}

/// What an environment variable may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum VariableKind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// One of `choices`.
    Choice,
    /// A path in the guest.
    Path,
    /// A port.
    Port,
    /// Something not to be shown.
    Secret,
}

/// An environment variable that a package understands: one field of a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentVariable {
    /// Its name.
    pub name: String,
    /// What it may hold.
    pub kind: VariableKind,
    /// What may be chosen from.
    pub choices: Vec<String>,
    /// What holds when nothing is said.
    pub default: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// Whether there has to be a value.
    pub required: bool,
}

impl From<windlass_package::EnvironmentVariable> for EnvironmentVariable {
    fn from(variable: windlass_package::EnvironmentVariable) -> Self {
        use windlass_package::VariableKind as Kind;
        let (kind, choices) = match variable.kind {
            Kind::Text => (VariableKind::Text, Vec::new()),
            Kind::Integer => (VariableKind::Integer, Vec::new()),
            Kind::Number => (VariableKind::Number, Vec::new()),
            Kind::Boolean => (VariableKind::Boolean, Vec::new()),
            Kind::Choice(choices) => (VariableKind::Choice, choices),
            Kind::Path => (VariableKind::Path, Vec::new()),
            Kind::Port => (VariableKind::Port, Vec::new()),
            Kind::Secret => (VariableKind::Secret, Vec::new()),
        };
        Self {
            name: variable.name,
            kind,
            choices,
            default: variable.default,
            description: variable.description,
            required: variable.required,
        }
    }
}

/// All that is known of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackageDetails {
    /// What other packages require it by.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Who made it; unknown of what is in a registry alone.
    pub author: Option<String>,
    /// Its license.
    pub license: Option<String>,
    /// On what it was made.
    pub platform: Option<String>,
    /// When it was made, as its manifest has it.
    pub created: Option<String>,
    /// What its registry says of it.
    pub description: Option<String>,
    /// Its `meta/README.md`.
    pub readme: Option<String>,
    /// Its icon as a `data:` address.
    pub icon_url: Option<String>,
    /// The version that this describes.
    pub version: Option<String>,
    /// All versions, newest first.
    pub versions: Vec<PackageVersion>,
    /// What it needs.
    pub require: Vec<RequirementInfo>,
    /// What needs it.
    pub needed_by: Vec<NeededBy>,
    /// The environment variables that it understands.
    pub environment: Vec<EnvironmentVariable>,
    /// Its run configurations.
    pub configurations: Vec<ConfigurationInfo>,
    /// What runs it: native, node, java, python.
    pub runtime: Option<String>,
    /// Its folder in the library.
    pub path: Option<String>,
    /// The digest of its tree, where it is in the library.
    pub digest: Option<String>,
    /// The size of its files in the library, else of its archive.
    pub size_bytes: Option<u64>,
    /// How many files it has; known of what is in the library.
    pub file_count: Option<u64>,
    /// Where it came from, in words.
    pub origin: Option<String>,
}

/// What a node of a graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum GraphNodeKind {
    /// An appliance.
    Appliance,
    /// A package.
    Package,
    /// A package that is nowhere to be had.
    Missing,
}

/// A package in a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GraphNode {
    /// What edges name it by.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// What it is.
    pub kind: GraphNodeKind,
    /// Whether it is in the library.
    pub installed: bool,
    /// The size of its files, or of its archive.
    pub size_bytes: Option<u64>,
}

/// One package needing another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GraphEdge {
    /// Who needs.
    pub from: String,
    /// What is needed.
    pub to: String,
    /// The versions that will do.
    pub constraint: Option<String>,
}

/// What needs what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Graph {
    /// The packages; the one that was asked for first.
    pub nodes: Vec<GraphNode>,
    /// Who needs whom.
    pub edges: Vec<GraphEdge>,
}

/// A package of the library that a registry has a newer version of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct PackageUpdate {
    /// Its name.
    pub name: String,
    /// The newest version in the library.
    pub from: Option<String>,
    /// The newer version.
    pub to: String,
    /// The registry that has it.
    pub registry: String,
}
