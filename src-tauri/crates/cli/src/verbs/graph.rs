//! `package graph`: what is needed, and by what.

use std::fmt::Write as _;

use clap::Args;
use windlass_workshop::packages::{Graph, GraphNodeKind};

use crate::context::Context;
use crate::failure::Outcome;

/// Show what a package or an appliance needs, and what that needs.
#[derive(Debug, Args)]
pub(crate) struct ShowGraph {
    /// A package, or an appliance
    name: String,
    /// The package's version
    #[arg(long)]
    version: Option<String>,
}

impl ShowGraph {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        let graph = match workshop.find_appliance(&self.name) {
            Ok(appliance) if self.version.is_none() => {
                workshop.appliance_graph(&appliance.id).await?
            }
            _ => {
                workshop
                    .package_graph(&self.name, self.version.as_deref())
                    .await?
            }
        };
        context.output.show(&graph, tree)?;
        Ok(0)
    }
}

/// The graph as an indented tree; what was told already is only named again.
fn tree(graph: &Graph) -> String {
    let mut text = String::new();
    let mut told = Vec::new();
    if let Some(root) = graph.nodes.first() {
        branch(graph, &root.id, None, 0, &mut told, &mut text);
    }
    text
}

fn branch(
    graph: &Graph,
    id: &str,
    constraint: Option<&str>,
    depth: usize,
    told: &mut Vec<String>,
    text: &mut String,
) {
    let Some(node) = graph.nodes.iter().find(|node| node.id == id) else {
        return;
    };
    let _ = write!(text, "{:indent$}{}", "", node.name, indent = depth * 2);
    if let Some(version) = &node.version {
        let _ = write!(text, " {version}");
    }
    if let Some(constraint) = constraint {
        let _ = write!(text, " ({constraint})");
    }
    match node.kind {
        GraphNodeKind::Missing => text.push_str(", nowhere to be had"),
        GraphNodeKind::Package if !node.installed => text.push_str(", not in the library"),
        _ => {}
    }
    let again = told.iter().any(|it| it == id);
    let needs: Vec<_> = graph.edges.iter().filter(|edge| edge.from == id).collect();
    if again && !needs.is_empty() {
        text.push_str(" …");
    }
    text.push('\n');
    if again {
        return;
    }
    told.push(id.to_owned());
    for edge in needs {
        branch(
            graph,
            &edge.to,
            edge.constraint.as_deref(),
            depth + 1,
            told,
            text,
        );
    }
}
