/** What can stand at a place of a YAML text, from a JSON schema. Indentation says where a place is. */

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  definitions?: Record<string, Schema>;
  description?: string;
  type?: string | string[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
}

export interface Completion {
  label: string;
  detail: string;
  info: string | null;
  /** What is written: a key with its colon, a value as it is. */
  insert: string;
}

export interface Completions {
  /** Where the word that is being typed begins. */
  from: number;
  options: Completion[];
}

const LINE = /^(\s*)((?:- +)*)(?:([\w$.-]+|"[^"]*"|'[^']*'):(?:\s+(.*))?)?(.*)$/;

/** The keys that lead to a line, from the top; "[]" stands for an item of a list. */
export function pathAt(lines: readonly string[], line: number, indent: number): string[] {
  const path: string[] = [];
  let inner = indent;
  for (let index = line - 1; index >= 0 && inner > 0; index -= 1) {
    const text = lines[index] ?? "";
    if (text.trim() === "" || text.trimStart().startsWith("#")) continue;
    const [, spaces = "", dashes = "", key] = LINE.exec(text) ?? [];
    const keyIndent = spaces.length + dashes.length;
    if (key !== undefined && keyIndent < inner) {
      path.unshift(key.replace(/^["']|["']$/g, ""));
      inner = keyIndent;
    }
    if (dashes !== "" && spaces.length < inner) {
      path.unshift("[]");
      inner = spaces.length;
    }
  }
  return path;
}

function resolved(schema: Schema, root: Schema): Schema[] {
  const name = /^#\/(?:\$defs|definitions)\/(.+)$/.exec(schema.$ref ?? "")?.[1];
  const target = name === undefined ? undefined : (root.$defs ?? root.definitions ?? {})[name];
  const parts = [
    ...(target ? [target] : []),
    ...(schema.anyOf ?? []),
    ...(schema.oneOf ?? []),
    ...(schema.allOf ?? []),
  ];
  return [schema, ...parts.flatMap((part) => resolved(part, root))];
}

function descend(schemas: Schema[], step: string, root: Schema): Schema[] {
  return schemas.flatMap((schema) => {
    const next =
      step === "[]"
        ? schema.items
        : (schema.properties?.[step] ??
          (typeof schema.additionalProperties === "object"
            ? schema.additionalProperties
            : undefined));
    return next ? resolved(next, root) : [];
  });
}

function typeOf(schema: Schema, root: Schema): string {
  const types = resolved(schema, root).flatMap(({ type }) => type ?? []);
  return [...new Set(types)].filter((type) => type !== "null").join(" | ");
}

function described(schema: Schema, root: Schema): string | null {
  return resolved(schema, root).find(({ description }) => description)?.description ?? null;
}

function valuesOf(schemas: Schema[], root: Schema): Completion[] {
  const values = schemas.flatMap((schema) => [
    ...(schema.enum ?? []),
    ...(schema.const === undefined ? [] : [schema.const]),
    ...(schema.type === "boolean" ? [true, false] : []),
    ...(schema.default === undefined || schema.default === null ? [] : [schema.default]),
  ]);
  const info = schemas.map((schema) => described(schema, root)).find(Boolean) ?? null;
  return [...new Set(values.filter((value) => typeof value !== "object").map(String))].map(
    (label) => ({ label, detail: "", info, insert: label }),
  );
}

/** What can stand where the cursor is. */
export function completionsAt(schema: Schema, text: string, position: number): Completions | null {
  const before = text.slice(0, position);
  const lines = before.split("\n");
  const current = lines.at(-1) ?? "";
  if (current.includes("#")) return null;
  const root = resolved(schema, schema);
  const value = /^(\s*(?:- +)*)([\w$.-]+):\s+(\S*)$/.exec(current);
  const at = (path: string[]) =>
    path.reduce((schemas, step) => descend(schemas, step, schema), root);

  if (value) {
    const [, lead = "", key = "", word = ""] = value;
    const path = pathFor(lines, lead);
    return {
      from: position - word.length,
      options: valuesOf(descend(at(path), key, schema), schema),
    };
  }
  const key = /^(\s*(?:- +)*)([\w$.-]*)$/.exec(current);
  if (!key) return null;
  const [, lead = "", word = ""] = key;
  const here = at(pathFor(lines, lead));
  const used = siblings(text.split("\n"), lines.length - 1, lead.length);
  const keys = here.flatMap((one) =>
    Object.entries(one.properties ?? {})
      .filter(([name]) => !used.has(name))
      .map(([name, property]) => {
        const type = typeOf(property, schema);
        const nested = /object|array/.test(type);
        return {
          label: name,
          detail: type,
          info: described(property, schema),
          insert: nested ? `${name}:` : `${name}: `,
        };
      }),
  );
  const unique = [...new Map(keys.map((one) => [one.label, one])).values()];
  return { from: position - word.length, options: [...unique, ...valuesOf(here, schema)] };
}

function pathFor(lines: readonly string[], lead: string): string[] {
  const dash = lead.indexOf("-");
  if (dash < 0) return pathAt(lines, lines.length - 1, lead.length);
  // A list may stand as far to the left as the key that holds it.
  return [...pathAt(lines, lines.length - 1, dash + 1), "[]"];
}

/** Keys that stand beside the place already. */
function siblings(lines: readonly string[], line: number, indent: number): Set<string> {
  const found = new Set<string>();
  const look = (step: 1 | -1) => {
    for (let index = line + step; index >= 0 && index < lines.length; index += step) {
      const text = lines[index] ?? "";
      if (text.trim() === "") continue;
      const [, spaces = "", dashes = "", key] = LINE.exec(text) ?? [];
      const at = spaces.length + dashes.length;
      if (at < indent) return;
      if (at === indent && key !== undefined) found.add(key.replace(/^["']|["']$/g, ""));
      if (at === indent && dashes !== "") return;
    }
  };
  look(-1);
  look(1);
  return found;
}
