//! Stacks as the window and the terminal see them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_cloud::stacks::{Happening, Preview, Resource, Stack};

/// What a stack is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum StackSource {
    /// One appliance.
    Appliance {
        /// Its id or name.
        name: String,
    },
    /// The services of a group's file.
    Group {
        /// The file, or the folder that it is in.
        path: PathBuf,
    },
}

impl StackSource {
    /// In few words.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Appliance { name } => name.clone(),
            Self::Group { path } => {
                let folder = if path.is_dir() {
                    Some(path.as_path())
                } else {
                    path.parent()
                };
                let name = folder.and_then(|it| it.file_name()).unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
        }
    }
}

/// What is written for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum StackFormat {
    /// A Heat template (HOT).
    Heat,
    /// Commands of the `openstack` client, as a script.
    Commands,
    /// Kubernetes resources, for `KubeVirt`.
    Kubernetes,
}

/// What can be chosen of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", default)]
pub struct StackOptions {
    /// Its name; that of the group or appliance, where nothing is said.
    pub name: Option<String>,
    /// The flavor of all machines; a template without one asks for it.
    pub flavor: Option<String>,
    /// The network that floating addresses come from; none without.
    pub external: Option<String>,
    /// The key pair that may log in.
    pub key: Option<String>,
    /// Kubernetes: the registry, with a path, that disks are in: `registry.example.org/team`.
    pub registry: Option<String>,
}

impl StackOptions {
    /// The container image that holds a disk.
    pub(super) fn container_image(&self, image: &str) -> String {
        let registry = self.registry.as_deref().unwrap_or("registry.example.org");
        format!("{}/{image}", registry.trim_end_matches('/'))
    }
}

/// A stack of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct CloudStack {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `CREATE_COMPLETE`, `UPDATE_IN_PROGRESS`, `DELETE_FAILED` and so on.
    pub status: String,
    /// Why it is so.
    pub reason: String,
    /// Whether Heat works on it.
    pub busy: bool,
    /// Whether Windlass made it.
    pub ours: bool,
    /// When it was made (RFC 3339).
    pub made_at: String,
    /// When it was changed.
    pub changed_at: Option<String>,
    /// What it gives, such as addresses: what it is, and it. Only where one stack was asked for, as what follows.
    pub outputs: Vec<(String, String)>,
    /// Its pieces.
    pub resources: Vec<StackResource>,
    /// What happened to it, oldest first.
    pub events: Vec<StackEvent>,
}

/// A piece of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StackResource {
    /// Its name in the template.
    pub name: String,
    /// `OS::Nova::Server` and so on.
    pub kind: String,
    /// `CREATE_COMPLETE` and so on.
    pub status: String,
    /// Why it is so.
    pub reason: String,
    /// Its id in its service.
    pub id: Option<String>,
}

/// Something that happened to a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StackEvent {
    /// When (RFC 3339).
    pub at: String,
    /// To which resource.
    pub resource: String,
    /// What it became.
    pub status: String,
    /// Why.
    pub reason: String,
}

/// What an update would do, by the names of resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct StackPreview {
    /// Those that come.
    pub added: Vec<String>,
    /// Those that go.
    pub deleted: Vec<String>,
    /// Those that are made anew, and lose what is in them.
    pub replaced: Vec<String>,
    /// Those that are changed as they are.
    pub updated: Vec<String>,
    /// How many stay.
    pub unchanged: u32,
}

impl From<Preview> for StackPreview {
    fn from(preview: Preview) -> Self {
        Self {
            added: preview.added,
            deleted: preview.deleted,
            replaced: preview.replaced,
            updated: preview.updated,
            unchanged: u32::try_from(preview.unchanged.len()).unwrap_or(u32::MAX),
        }
    }
}

impl CloudStack {
    pub(super) fn of(stack: &Stack, resources: &[Resource], events: &[Happening]) -> Self {
        let outputs = stack.outputs.iter().filter_map(|it| {
            let value = it.output_value.as_str()?;
            Some((it.description.clone(), value.to_owned()))
        });
        Self {
            id: stack.id.clone(),
            name: stack.stack_name.clone(),
            status: stack.stack_status.clone(),
            reason: stack.stack_status_reason.clone(),
            busy: stack.is_busy(),
            ours: stack.is_ours(),
            made_at: stack.creation_time.clone(),
            changed_at: stack.updated_time.clone(),
            outputs: outputs.collect(),
            resources: resources
                .iter()
                .map(|it| StackResource {
                    name: it.resource_name.clone(),
                    kind: it.resource_type.clone(),
                    status: it.resource_status.clone(),
                    reason: it.resource_status_reason.clone(),
                    id: it.physical_resource_id.clone().filter(|it| !it.is_empty()),
                })
                .collect(),
            events: events
                .iter()
                .map(|it| StackEvent {
                    at: it.event_time.clone(),
                    resource: it.resource_name.clone(),
                    status: it.resource_status.clone(),
                    reason: it.resource_status_reason.clone(),
                })
                .collect(),
        }
    }
}
