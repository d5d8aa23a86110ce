/** Which place of the window is open, and how to get back. */
export const TABS = {
  appliance: ["contents", "run", "disk", "builds", "group"],
  packages: ["readme", "files", "needs", "versions"],
  machine: ["console", "display", "graphs", "ports", "volumes", "snapshots", "guest", "details"],
  group: ["services", "logs"],
  cloud: ["overview", "images", "cleanUp"],
  server: ["console", "display", "deeds", "details"],
  image: ["files", "sizes", "verification"],
  study: ["setup", "parameters", "runs", "results"],
} as const;
export type ApplianceTab = (typeof TABS)["appliance"][number];
export type PackageTab = (typeof TABS)["packages"][number];
export type MachineTab = (typeof TABS)["machine"][number];
export type GroupTab = (typeof TABS)["group"][number];
export type CloudTab = (typeof TABS)["cloud"][number];
export type ServerTab = (typeof TABS)["server"][number];
export type ImageTab = (typeof TABS)["image"][number];

export type StudyTab = (typeof TABS)["study"][number];

/** How several consoles are seen at once. */
export type ConsoleLayout = "tiles" | "tabs";

export type Place =
  | { at: "appliances" }
  | { at: "appliance"; id: string; tab: ApplianceTab }
  | { at: "packages"; name: string | null; tab: PackageTab }
  | { at: "machines" }
  | { at: "machine"; id: string; tab: MachineTab }
  /** A server of a cloud. */
  | { at: "server"; cloud: number; id: string; tab: ServerTab }
  | { at: "consoles"; machines: readonly string[]; layout: ConsoleLayout }
  /** A group's name, or the path of its file or folder. */
  | { at: "group"; group: string; tab: GroupTab }
  | { at: "studies" }
  /** The folder of a study. */
  | { at: "study"; id: string; tab: StudyTab }
  | { at: "volumes" }
  | { at: "clouds" }
  | { at: "cloud"; id: number; tab: CloudTab }
  | { at: "images" }
  /** A build's id, an imported image's, or the path of an image file. */
  | { at: "image"; image: string; tab: ImageTab }
  /** With the job that found out, once there is one. */
  | { at: "comparison"; left: string; right: string; job: string | null }
  | { at: "activity"; job: string | null }
  | { at: "settings" };

const REMEMBERED = "windlass.place";

const isText = (value: unknown) => typeof value === "string";
const isTextOrNull = (value: unknown) => value === null || isText(value);
/** What belongs to each place besides its tab. */
const FIELDS: { [At in Place["at"]]: Record<string, (value: unknown) => boolean> } = {
  appliances: {},
  appliance: { id: isText },
  packages: { name: isTextOrNull },
  machines: {},
  machine: { id: isText },
  server: { cloud: (value) => typeof value === "number", id: isText },
  consoles: {
    machines: (value) => Array.isArray(value) && value.every(isText),
    layout: (value) => value === "tiles" || value === "tabs",
  },
  group: { group: isText },
  studies: {},
  study: { id: isText },
  volumes: {},
  clouds: {},
  cloud: { id: (value) => typeof value === "number" },
  images: {},
  image: { image: isText },
  comparison: { left: isText, right: isText, job: isTextOrNull },
  activity: { job: isTextOrNull },
  settings: {},
};

/** A place that was remembered, maybe by another version: its first tab if it has none of that name, null if there is no such place. */
export function placeFrom(remembered: unknown): Place | null {
  if (typeof remembered !== "object" || remembered === null || !("at" in remembered)) return null;
  const found = remembered as Record<string, unknown>;
  const at = String(found["at"]);
  if (!Object.hasOwn(FIELDS, at)) return null;
  const fields = Object.entries(FIELDS[at as Place["at"]]);
  if (!fields.every(([name, fits]) => fits(found[name]))) return null;
  const place = Object.fromEntries(fields.map(([name]) => [name, found[name]]));
  if (!Object.hasOwn(TABS, at)) return { at, ...place } as Place;
  const tabs: readonly string[] = TABS[at as keyof typeof TABS];
  const tab = tabs.find((one) => one === found["tab"]) ?? tabs[0];
  return { at, ...place, tab } as Place;
}

class Navigation {
  place = $state.raw<Place>({ at: "appliances" });
  /** The consoles that were looked at last. */
  consoles: Extract<Place, { at: "consoles" }> = { at: "consoles", machines: [], layout: "tiles" };
  #past: Place[] = [];

  /** Opens the place that was open when the window was last closed. */
  restore(): void {
    try {
      const remembered: unknown = JSON.parse(localStorage.getItem(REMEMBERED) ?? "null");
      this.place = placeFrom(remembered) ?? this.place;
    } catch {
      // What cannot be read is as good as nothing: the window opens at its first place.
    }
  }

  go(place: Place): void {
    if (JSON.stringify(place) === JSON.stringify(this.place)) return;
    this.#past.push(this.place);
    if (this.#past.length > 100) this.#past.shift();
    this.#open(place);
  }

  /** Changes the tab or the selection within the same place: going back leaves the place as a whole. */
  replace(place: Place): void {
    this.#open(place);
  }

  back(): void {
    const place = this.#past.pop();
    if (place) this.#open(place);
  }

  #open(place: Place): void {
    this.place = place;
    if (place.at === "consoles") this.consoles = place;
    try {
      localStorage.setItem(REMEMBERED, JSON.stringify(place));
    } catch {
      // Private storage may be off; then the window opens at its first place next time.
    }
  }
}

export const navigation = new Navigation();
