/** Two texts line by line, as rows that say what was taken away and what came. */
import { structuredPatch } from "diff";

export type DiffRow =
  | { kind: "same" | "removed" | "added"; left: number | null; right: number | null; text: string }
  /** Lines in between are the same and left out. */
  | { kind: "gap" };

export interface TextDiff {
  rows: DiffRow[];
  added: number;
  removed: number;
}

const CONTEXT = 3;
/** Texts that take longer are two texts, not one that was changed; and the window waits no longer. */
const PATIENCE_MS = 250;

/** Compares two texts; null when they differ too much to be told line by line. */
export function diffTexts(left: string, right: string): TextDiff | null {
  const patch = structuredPatch("", "", left, right, undefined, undefined, {
    context: CONTEXT,
    timeout: PATIENCE_MS,
  });
  return patch ? rowsOf(patch.hunks) : null;
}

interface Hunk {
  oldStart: number;
  newStart: number;
  lines: string[];
}

function rowsOf(hunks: readonly Hunk[]): TextDiff {
  const diff: TextDiff = { rows: [], added: 0, removed: 0 };
  for (const hunk of hunks) {
    let left = hunk.oldStart;
    let right = hunk.newStart;
    if (diff.rows.length > 0 || left > 1) diff.rows.push({ kind: "gap" });
    for (const line of hunk.lines) {
      const text = line.slice(1);
      if (line.startsWith("+")) {
        diff.added += 1;
        diff.rows.push({ kind: "added", left: null, right: right++, text });
      } else if (line.startsWith("-")) {
        diff.removed += 1;
        diff.rows.push({ kind: "removed", left: left++, right: null, text });
      } else if (line.startsWith(" ")) {
        diff.rows.push({ kind: "same", left: left++, right: right++, text });
      }
    }
  }
  return diff;
}
