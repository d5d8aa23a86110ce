/** Snapshots in the order of their tree. */
import type { MachineSnapshot } from "../../backend";

export interface Row {
  snapshot: MachineSnapshot;
  /** How far it is indented. */
  depth: number;
}

/** Each snapshot below the one that it came from. One whose parent is unknown stands for itself; a line of children does
 * not move to the right, only a fork does. */
export function asTree(snapshots: readonly MachineSnapshot[]): Row[] {
  const known = new Set(snapshots.map(({ id }) => id));
  const children = new Map<string | null, MachineSnapshot[]>();
  for (const snapshot of snapshots) {
    const parent = snapshot.parent && known.has(snapshot.parent) ? snapshot.parent : null;
    children.set(parent, [...(children.get(parent) ?? []), snapshot]);
  }
  const rows: Row[] = [];
  const seen = new Set<string>();
  const add = (parent: string | null, depth: number) => {
    const below = children.get(parent) ?? [];
    for (const snapshot of below) {
      if (seen.has(snapshot.id)) continue;
      seen.add(snapshot.id);
      rows.push({ snapshot, depth });
      const forks = (children.get(snapshot.id) ?? []).length > 1;
      add(snapshot.id, forks ? depth + 1 : depth);
    }
  };
  add(null, 0);
  return rows;
}
