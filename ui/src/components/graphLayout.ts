/** Where the nodes of a dependency graph are drawn. dagre is loaded when a graph is first looked at. */
import dagre from "@dagrejs/dagre";
import type { Graph } from "../backend";

export const NODE_WIDTH = 176;
export const NODE_HEIGHT = 44;

export type GraphNode = Graph["nodes"][number];
export type PlacedNode = GraphNode & { x: number; y: number };
export type PlacedEdge = Graph["edges"][number] & { path: string; labelX: number; labelY: number };

export interface Layout {
  nodes: PlacedNode[];
  edges: PlacedEdge[];
  width: number;
  height: number;
}

/** Lays the graph out from top to bottom: what needs stands above what is needed. */
export function layOut(graph: Graph): Layout {
  const drawing = new dagre.graphlib.Graph();
  drawing.setGraph({ rankdir: "TB", nodesep: 24, ranksep: 48, marginx: 16, marginy: 16 });
  drawing.setDefaultEdgeLabel(() => ({}));
  for (const node of graph.nodes)
    drawing.setNode(node.id, { width: NODE_WIDTH, height: NODE_HEIGHT });
  const known = new Set(graph.nodes.map(({ id }) => id));
  const edges = graph.edges.filter(({ from, to }) => known.has(from) && known.has(to));
  for (const edge of edges) drawing.setEdge(edge.from, edge.to);
  dagre.layout(drawing);
  const size = drawing.graph() as { width?: number; height?: number };
  return {
    nodes: graph.nodes.map((node) => {
      const at = drawing.node(node.id) as { x: number; y: number };
      return { ...node, x: at.x - NODE_WIDTH / 2, y: at.y - NODE_HEIGHT / 2 };
    }),
    edges: edges.map((edge) => {
      const { points = [] } = drawing.edge(edge.from, edge.to) as {
        points?: { x: number; y: number }[];
      };
      const middle = points[Math.floor(points.length / 2)] ?? { x: 0, y: 0 };
      const path = points.map(({ x, y }, index) => `${index === 0 ? "M" : "L"}${x} ${y}`).join(" ");
      return { ...edge, path, labelX: middle.x, labelY: middle.y };
    }),
    width: Math.max(size.width ?? 0, NODE_WIDTH),
    height: Math.max(size.height ?? 0, NODE_HEIGHT),
  };
}
