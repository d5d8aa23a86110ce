/** What varies in a study: small helpers of its form. */
import type { StudyVariable, VariableValues } from "../../backend";

export type ValuesKind = VariableValues["from"];

/** The last word of an entry's path as a name: letters, digits and underscores, none that is there already. */
export function variableName(entry: string, taken: readonly string[]): string {
  const word = entry.split("/").at(-1) ?? "";
  const plain = word.replace(/[^A-Za-z0-9_]+/g, "_").replace(/^[^A-Za-z]+|_+$/g, "");
  const base = plain === "" ? "x" : plain;
  let name = base;
  for (let number = 2; taken.includes(name); number += 1) name = `${base}${number}`;
  return name;
}

/** Values as they are typed: between commas or lines; brackets hold together what is a vector. */
export function splitValues(text: string): string[] {
  const values: string[] = [];
  let value = "";
  let depth = 0;
  for (const char of text) {
    if (char === "(" || char === "[") depth += 1;
    if (char === ")" || char === "]") depth -= 1;
    if ((char === "," || char === ";" || char === "\n") && depth <= 0) {
      values.push(value);
      value = "";
    } else value += char;
  }
  return [...values, value].map((one) => one.trim()).filter((one) => one !== "");
}

/** What is typed into the field of these values. */
export function valuesText(values: VariableValues): string {
  if (values.from === "list") return values.values.join(", ");
  if (values.from === "range") return values.range;
  return values.from === "formula" ? values.formula : "";
}

/** The values that a text means. */
export function readValues(kind: ValuesKind, text: string): VariableValues {
  if (kind === "list") return { from: "list", values: splitValues(text) };
  if (kind === "range") return { from: "range", range: text.trim() };
  if (kind === "formula") return { from: "formula", formula: text.trim() };
  return { from: "table" };
}

/** The three numbers of a vector, where that is what a value is. */
export function vectorOf(value: string): [number, number, number] | null {
  const inner = /^\(([^()]*)\)$/.exec(value.trim())?.[1];
  if (inner === undefined) return null;
  const numbers = inner.trim().split(/\s+/).map(Number);
  const [x, y, z] = numbers;
  if (numbers.length !== 3 || numbers.some((one) => !Number.isFinite(one))) return null;
  return [x!, y!, z!];
}

/** What is wrong, without the line of a file that nobody looks at here. */
export function withoutPlace(message: string): string {
  return (message.split("\n")[0] ?? "").replace(/^study\.yaml:\d+:\d+: /, "");
}

const short = (value: number) => String(Number(value.toPrecision(6)));

/**
 * A vector that is calculated from its length and its angle to the first axis, in degrees; both become variables of
 * their own, with what the vector is now as their only values.
 */
export function speedAndAngle(
  variable: StudyVariable,
  vector: readonly [number, number, number],
  taken: readonly string[],
): StudyVariable[] {
  const [x, y, z] = vector;
  const speed = variableName("speed", taken);
  const angle = variableName("angle", [...taken, speed]);
  const own = (name: string, value: number): StudyVariable => ({
    name,
    place: { at: "nowhere" },
    values: { from: "list", values: [short(value)] },
  });
  return [
    own(speed, Math.hypot(x, y)),
    own(angle, (Math.atan2(y, x) * 180) / Math.PI),
    {
      ...variable,
      values: {
        from: "formula",
        formula: `(${speed}*cos(${angle}*degree) ${speed}*sin(${angle}*degree) ${short(z)})`,
      },
    },
  ];
}
