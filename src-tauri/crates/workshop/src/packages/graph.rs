//! What needs what, down from a package or an appliance.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use windlass_package::{Package, Requirement, Version};

use super::offers::Offer;
use super::{Graph, GraphEdge, GraphNode, GraphNodeKind};
use crate::Workshop;
use crate::error::{AppError, Result};

/// The most packages of a graph.
const NODES_MOST: usize = 1_000;

impl Workshop {
    /// What a package needs, and what that needs.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn package_graph(
        self: &Arc<Self>,
        name: &str,
        version: Option<&str>,
    ) -> Result<Graph> {
        let workshop = Arc::clone(self);
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        crate::blocking(move || {
            let offer = workshop.offer()?;
            let wanted = Requirement::any(&name);
            let found = pick(&offer, &wanted, version.as_deref())
                .ok_or_else(|| AppError::not_found("package", &name))?;
            Ok(unfold(&offer, found.0, found.1))
        })
        .await?
    }

    /// What an appliance needs, and what that needs.
    ///
    /// # Errors
    /// `NotFound`; `Input` when its manifest has a mistake.
    pub async fn appliance_graph(self: &Arc<Self>, id: &str) -> Result<Graph> {
        let workshop = Arc::clone(self);
        let appliance = self.appliance(id)?;
        crate::blocking(move || {
            let package = Package::open(&appliance.path)?;
            let require = package.manifest.requirements();
            let root = GraphNode {
                id: format!("appliance {}", appliance.id),
                name: appliance.name,
                version: package.manifest.version,
                kind: GraphNodeKind::Appliance,
                installed: true,
                size_bytes: None,
            };
            Ok(unfold(&*workshop.offer()?, root, require))
        })
        .await?
    }
}

/// The package that a requirement comes to, and what it needs: of the library, else of a registry.
fn pick(
    offer: &Offer,
    wanted: &Requirement,
    version: Option<&str>,
) -> Option<(GraphNode, Vec<Requirement>)> {
    let fits = |text: Option<&str>| {
        let parsed = text.and_then(|text| Version::parse(text).ok());
        wanted.versions.allows_any_of(parsed.as_ref())
            && version.is_none_or(|version| text == Some(version))
    };
    let node = |version: &Option<String>, installed, size_bytes| GraphNode {
        id: wanted.name.clone(),
        name: wanted.name.clone(),
        version: version.clone(),
        kind: GraphNodeKind::Package,
        installed,
        size_bytes,
    };
    let here = offer
        .installed()
        .iter()
        .find(|package| package.name == wanted.name && fits(package.version.as_deref()));
    if let Some(package) = here {
        let node = node(&package.version, true, Some(package.size_bytes));
        return Some((node, package.require.clone()));
    }
    let (_, entry) = offer
        .packages_named(&wanted.name)
        .filter(|(_, entry)| fits(entry.version.as_deref()))
        .reduce(|best, next| {
            if next.1.parsed_version() > best.1.parsed_version() {
                next
            } else {
                best
            }
        })?;
    let node = node(&entry.version, false, entry.size_bytes);
    Some((node, entry.require.clone()))
}

fn unfold(offer: &Offer, root: GraphNode, require: Vec<Requirement>) -> Graph {
    let mut seen = HashSet::from([root.id.clone()]);
    let mut waiting = VecDeque::from([(root.id.clone(), require)]);
    let mut graph = Graph {
        nodes: vec![root],
        edges: Vec::new(),
    };
    while let Some((from, require)) = waiting.pop_front() {
        for requirement in require {
            graph.edges.push(GraphEdge {
                from: from.clone(),
                to: requirement.name.clone(),
                constraint: (!requirement.versions.is_any())
                    .then(|| requirement.versions.as_str().to_owned()),
            });
            if graph.nodes.len() >= NODES_MOST || !seen.insert(requirement.name.clone()) {
                continue;
            }
            match pick(offer, &requirement, None) {
                Some((node, require)) => {
                    graph.nodes.push(node);
                    waiting.push_back((requirement.name, require));
                }
                None => graph.nodes.push(GraphNode {
                    id: requirement.name.clone(),
                    name: requirement.name,
                    version: None,
                    kind: GraphNodeKind::Missing,
                    installed: false,
                    size_bytes: None,
                }),
            }
        }
    }
    graph
}
