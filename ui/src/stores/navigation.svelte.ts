/** Which place of the window is open, and how to get back. */
export type ApplianceTab = "contents" | "run" | "disk" | "builds";
export type PackageTab = "readme" | "files" | "needs" | "versions";
export type MachineTab = "console" | "display" | "graphs" | "ports" | "details";
export type ImageTab = "files" | "sizes" | "verification";

export type Place =
  | { at: "appliances" }
  | { at: "appliance"; id: string; tab: ApplianceTab }
  | { at: "packages"; name: string | null; tab: PackageTab }
  | { at: "machines" }
  | { at: "machine"; id: string; tab: MachineTab }
  | { at: "volumes" }
  | { at: "images" }
  /** A build's id, an imported image's, or the path of an image file. */
  | { at: "image"; image: string; tab: ImageTab }
  | { at: "comparison"; left: string; right: string }
  | { at: "activity"; job: string | null }
  | { at: "settings" };

const REMEMBERED = "windlass.place";

class Navigation {
  place = $state.raw<Place>({ at: "appliances" });
  #past: Place[] = [];

  /** Opens the place that was open when the window was last closed. */
  restore(): void {
    try {
      const remembered: unknown = JSON.parse(localStorage.getItem(REMEMBERED) ?? "null");
      if (typeof remembered === "object" && remembered !== null && "at" in remembered)
        this.place = remembered as Place;
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
    try {
      localStorage.setItem(REMEMBERED, JSON.stringify(place));
    } catch {
      // Private storage may be off; then the window opens at its first place next time.
    }
  }
}

export const navigation = new Navigation();
