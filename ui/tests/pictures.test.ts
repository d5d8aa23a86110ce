import { describe, expect, test } from "vitest";
import { layOut } from "../src/components/graphLayout";
import { renderMarkdown } from "../src/components/markdown";
import { squarify } from "../src/components/treemap";
import { emptyShelf, README } from "./shelf";

describe("Markdown of strangers", () => {
  const html = renderMarkdown(README, "Picture");

  test("brings neither scripts nor anything from the network", () => {
    expect(html).not.toMatch(/<script|<img|onerror|href|src=/);
    expect(html).toContain("[Picture: logo]");
  });

  test("keeps what it says", () => {
    expect(html).toContain("<h2>node</h2>");
    expect(html).toContain("<strong>Node.js</strong>");
    expect(html).toContain("<td>where it listens</td>");
    expect(html).toContain("(https://nodejs.org)");
  });

  test("of a link keeps markup out of the address", () => {
    expect(renderMarkdown('[a](https://x.example/"><script>)', "Picture")).not.toContain("<script");
  });
});

describe("a treemap", () => {
  const places = squarify([6, 6, 4, 3, 2, 2, 1], { x: 0, y: 0, width: 600, height: 400 });

  test("fills its place in proportion", () => {
    const areas = places.map(({ width, height }) => Math.round(width * height));
    expect(areas).toEqual([60000, 60000, 40000, 30000, 20000, 20000, 10000]);
  });

  test("lets nothing overlap and nothing stand out", () => {
    for (const [index, one] of places.entries()) {
      expect(one.x + one.width).toBeLessThanOrEqual(600.001);
      expect(one.y + one.height).toBeLessThanOrEqual(400.001);
      for (const other of places.slice(index + 1))
        expect(
          one.x + one.width <= other.x + 0.001 ||
            other.x + other.width <= one.x + 0.001 ||
            one.y + one.height <= other.y + 0.001 ||
            other.y + other.height <= one.y + 0.001,
        ).toBe(true);
    }
  });

  test("of nothing is nothing", () => {
    expect(squarify([0, 0], { x: 0, y: 0, width: 9, height: 9 })).toHaveLength(2);
    expect(squarify([], { x: 0, y: 0, width: 9, height: 9 })).toEqual([]);
  });
});

test("a graph is drawn from top to bottom, what needs above what is needed", () => {
  const { nodes, edges, width, height } = layOut(emptyShelf().graph);
  const top = (id: string) => nodes.find((node) => node.id === id)?.y ?? 0;
  expect(top("a0")).toBeLessThan(top("node"));
  expect(top("node")).toBeLessThan(top("ghost"));
  expect(edges.every(({ path }) => path.startsWith("M"))).toBe(true);
  expect(width).toBeGreaterThan(0);
  expect(height).toBeGreaterThan(100);
});
