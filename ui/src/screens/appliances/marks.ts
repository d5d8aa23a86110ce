/** Which entries of a tree the findings are about: each has its own, and those that lie below it. */
import type { Finding } from "../../backend";

type Severity = Finding["severity"];

/** What a row of the tree says. */
export interface Mark {
  /** The worst of them. */
  severity: Severity;
  /** The entry's own findings, and those of what lies below it. */
  findings: readonly Finding[];
  /** Whether one of them is about the entry itself. */
  own: boolean;
}

const RANK: Record<Severity, number> = { note: 0, warning: 1, error: 2 };

/** Marks by path; a folder has those of everything below it. */
export function marksOf(findings: readonly Finding[]): ReadonlyMap<string, Mark> {
  const marks = new Map<string, Mark>();
  for (const finding of findings) {
    if (finding.path === null) continue;
    const parts = finding.path.split("/").filter(Boolean);
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const path = `/${parts.slice(0, depth).join("/")}`;
      const before = marks.get(path);
      const worse = !before || RANK[finding.severity] > RANK[before.severity];
      marks.set(path, {
        severity: worse ? finding.severity : before.severity,
        findings: [...(before?.findings ?? []), finding],
        own: depth === parts.length || (before?.own ?? false),
      });
    }
  }
  return marks;
}
