/** What Windlass made in a cloud, by what it belongs to. */
import type { CloudThing } from "../../backend";

export interface Deployment {
  /** Its id; empty for what belongs to none. */
  key: string;
  /** What its first server or other thing is called. */
  name: string;
  things: CloudThing[];
  /** None of its servers is left: it was cut off, or they were deleted elsewhere. */
  abandoned: boolean;
}

/** Those without servers first, and what belongs to no deployment last. */
export function deploymentsOf(things: readonly CloudThing[]): Deployment[] {
  const byKey = new Map<string, CloudThing[]>();
  for (const thing of things) {
    const key = thing.deployment ?? "";
    byKey.set(key, [...(byKey.get(key) ?? []), thing]);
  }
  const groups = [...byKey].map(([key, things]): Deployment => {
    const servers = things.filter(({ kind }) => kind === "server");
    const named = servers[0] ?? things.find(({ name }) => name !== "");
    return {
      key,
      name: key === "" ? "" : (named?.name ?? key),
      things,
      abandoned: key !== "" && servers.length === 0,
    };
  });
  const rank = (one: Deployment) => (one.key === "" ? 2 : one.abandoned ? 0 : 1);
  return groups.toSorted((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}
