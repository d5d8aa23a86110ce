/**
 * The form's view of the two YAML files of a manifest. Reading is forgiving; writing changes one value and leaves every
 * other byte, comments included, as the user wrote it.
 */
import { isScalar, parseDocument, type Document } from "yaml";

export interface ManifestFields {
  name: string;
  title: string;
  author: string;
  version: string;
  runtime: string;
  /** The boot command of a native package, the main program of the other runtimes. */
  command: string;
}

export interface YamlProblem {
  line: number;
  column: number;
  message: string;
}

export function problemOf(yaml: string): YamlProblem | null {
  const error = parseDocument(yaml).errors[0];
  if (!error) return null;
  const at = error.linePos?.[0];
  return {
    line: at?.line ?? 1,
    column: at?.col ?? 1,
    message: error.message.split("\n")[0]?.replace(/ at line.*$/, "") ?? "",
  };
}

export function readFields(packageYaml: string, runYaml: string): ManifestFields {
  const manifest = parseDocument(packageYaml);
  const run = parseDocument(runYaml);
  const text = (document: Document, path: string[]) => {
    const value: unknown = path.length > 0 ? document.getIn(path) : undefined;
    return typeof value === "string" || typeof value === "number" ? String(value) : "";
  };
  return {
    name: text(manifest, ["name"]),
    title: text(manifest, ["title"]),
    author: text(manifest, ["author"]),
    version: text(manifest, ["version"]),
    runtime: text(run, ["runtime"]),
    command: text(run, commandPath(run)),
  };
}

export function writePackageField(
  packageYaml: string,
  field: "name" | "title" | "author" | "version",
  value: string,
): string {
  return written(packageYaml, () => [field], value);
}

export function writeCommand(runYaml: string, value: string): string {
  return written(runYaml, commandPath, value);
}

function written(yaml: string, pathOf: (document: Document) => string[], value: string): string {
  const document = parseDocument(yaml);
  const path = pathOf(document);
  if (document.errors.length > 0 || path.length === 0) return yaml;
  const node: unknown = document.getIn(path, true);
  // A field that was emptied got quotes; what is typed next needs them no longer.
  if (isScalar(node) && node.value === "") delete node.type;
  document.setIn(path, value);
  return document.toString({ lineWidth: 0 });
}

/** Where the command of the default run configuration stands. */
function commandPath(run: Document): string[] {
  if (run.errors.length > 0) return [];
  const contents: unknown = run.toJS();
  const {
    runtime,
    config_set: sets,
    config_set_default: preferred,
  } = Object(contents) as Record<string, unknown>;
  const names = Object.keys(Object(sets) as object);
  const first = typeof preferred === "string" ? preferred.split(",")[0]?.trim() : undefined;
  const name = first !== undefined && names.includes(first) ? first : names[0];
  if (name === undefined) return [];
  return ["config_set", name, runtime === "native" || runtime === undefined ? "bootcmd" : "main"];
}
