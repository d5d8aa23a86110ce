/** What a package.yaml asks for: the names in their order, each with the versions that will do. */
import { parseDocument } from "yaml";
import type { Requirement } from "../backend";

export function readRequire(packageYaml: string): Requirement[] {
  const document = parseDocument(packageYaml);
  if (document.errors.length > 0) return [];
  const { require, "x-versions": versions } = Object(document.toJS()) as Record<string, unknown>;
  const constraints = Object(versions) as Record<string, unknown>;
  if (!Array.isArray(require)) return [];
  return require
    .filter((name): name is string => typeof name === "string")
    .map((name) => ({
      name,
      constraint: constraints[name] === undefined ? null : String(constraints[name]),
    }));
}
