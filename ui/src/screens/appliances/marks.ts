/** Which entries of a tree the findings are about: each has its own, and those that lie below it. */
import type { Finding } from "../../backend";

type Severity = Finding["severity"];

/** What a row of the tree says. */
export interface Mark {
  /** The worst of them. */
  severity: Severity;
  /** The entry's own findings, and those of what lies below it. */
  findings: readonly Finding[];
}

const RANK: Record<Severity, number> = { note: 0, warning: 1, error: 2 };

/** Marks by path; a folder has those of everything below it. */
export function marksOf(findings: readonly Finding[]): ReadonlyMap<string, Mark> {
  const marks = new Map<string, { severity: Severity; findings: Finding[] }>();
  for (const finding of findings) {
    if (finding.path === null) continue;
    let path = "";
    for (const part of finding.path.split("/")) {
      if (part === "") continue;
      path += `/${part}`;
      const mark = marks.get(path);
      if (!mark) marks.set(path, { severity: finding.severity, findings: [finding] });
      else {
        mark.findings.push(finding);
        if (RANK[finding.severity] > RANK[mark.severity]) mark.severity = finding.severity;
      }
    }
  }
  return marks;
}

/** The most findings that a row tells itself; the list below the tree has all of them. */
const TOLD = 3;

/** What a mark says in words. */
export function wordsOf(mark: Mark): string {
  const told = mark.findings.slice(0, TOLD).map(({ message }) => message);
  if (mark.findings.length > TOLD) told.push("…");
  return told.join("\n");
}
