import { describe, expect, test } from "vitest";
import { completionsAt, pathAt, type Schema } from "../src/components/schemaCompletion";

const schema: Schema = {
  type: "object",
  properties: {
    name: { type: "string", description: "What others require it by." },
    runtime: { enum: ["native", "node", "java", "python"] },
    require: { type: "array", items: { type: "string" } },
    config_set: { type: "object", additionalProperties: { $ref: "#/$defs/configuration" } },
    "x-environment": {
      type: "array",
      items: {
        type: "object",
        properties: { name: { type: "string" }, required: { type: "boolean" } },
      },
    },
  },
  $defs: {
    configuration: {
      type: "object",
      properties: {
        main: { type: "string" },
        shell: { type: "boolean" },
        env: { type: "object" },
      },
    },
  },
};

/** What can stand at the bar. */
function offered(text: string): string[] | null {
  const at = text.indexOf("|");
  const found = completionsAt(schema, text.replace("|", ""), at);
  return found && found.options.map(({ insert }) => insert);
}

describe("completion", () => {
  test("offers the keys that are not there yet", () => {
    expect(offered("name: a\n|")).toEqual([
      "runtime: ",
      "require:",
      "config_set:",
      "x-environment:",
    ]);
  });

  test("offers the values of a key", () => {
    expect(offered("runtime: n|")).toEqual(["native", "node", "java", "python"]);
  });

  test("knows what is below a key of any name", () => {
    expect(offered("config_set:\n  default:\n    main: a.js\n    |")).toEqual(["shell: ", "env:"]);
    expect(offered("config_set:\n  default:\n    shell: |")).toEqual(["true", "false"]);
  });

  test("knows the items of a list, indented or not", () => {
    expect(offered("x-environment:\n  - name: A\n    |")).toEqual(["required: "]);
    expect(offered("x-environment:\n- |")).toEqual(["name: ", "required: "]);
  });

  test("says nothing in a comment", () => {
    expect(offered("# run|")).toBeNull();
  });

  test("describes what it offers", () => {
    expect(completionsAt(schema, "na", 2)?.options[0]).toMatchObject({
      label: "name",
      detail: "string",
      info: "What others require it by.",
    });
  });
});

test("the path of a line skips what is beside it", () => {
  const lines = ["a:", "  b:", "    c: 1", "  d:", "    "];
  expect(pathAt(lines, 4, 4)).toEqual(["a", "d"]);
});
