import { describe, expect, test } from "vitest";
import {
  problemOf,
  readFields,
  writeCommand,
  writePackageField,
} from "../src/screens/frame/manifest";

const packageYaml =
  "# mine\nname: shop\ntitle: Shop # shown\nauthor: me\nversion: 1.10\nrequire:\n  - node\n";
const runYaml =
  "runtime: native\nconfig_set:\n  web:\n    bootcmd: /usr/bin/node a.js # start\n  worker:\n    bootcmd: /b\nconfig_set_default: worker, web\n";

test("the form shows what the files say", () => {
  expect(readFields(packageYaml, runYaml)).toMatchObject({
    name: "shop",
    title: "Shop",
    runtime: "native",
    command: "/b",
  });
});

test("a change leaves comments and order alone", () => {
  expect(writePackageField(packageYaml, "title", "Shop 2")).toBe(
    packageYaml.replace("Shop #", "Shop 2 #"),
  );
  expect(writeCommand(runYaml, "/c")).toBe(runYaml.replace("bootcmd: /b", "bootcmd: /c"));
});

test("the main program of another runtime is its command", () => {
  const node = "runtime: node\nconfig_set:\n  default:\n    main: /server.js\n";
  expect(readFields("", node).command).toBe("/server.js");
  expect(writeCommand(node, "/b.js")).toContain("main: /b.js");
});

describe("what is not YAML", () => {
  test("is named with its line", () => {
    expect(problemOf("name: a\ntitle: [b\n")).toMatchObject({ line: 3 });
    expect(problemOf(packageYaml)).toBeNull();
  });

  test("is never overwritten by the form", () => {
    const broken = "name: a\ntitle: [b\n";
    expect(writePackageField(broken, "name", "c")).toBe(broken);
    expect(readFields("- 1", "nothing").command).toBe("");
  });
});
