/**
 * What is dragged over the window and what becomes of it: guest kernels go to the library, a folder that has a manifest
 * becomes an appliance at once, any other folder or archive is proposed in a dialog first; images are asked about.
 */
import { backend, on, onDrag, toAppError, type Appliance, type Dropped } from "../backend";
import { fileName } from "../format";
import { m } from "../messages/messages.js";
import { appliances } from "./appliances.svelte";
import { clouds, isCloudFile } from "./clouds.svelte";
import { dialogs } from "./dialogs.svelte";
import { findGroup, isGroupFile } from "./group.svelte";
import { images, isImageFile } from "./images.svelte";
import { kernels } from "./kernels.svelte";
import { navigation } from "./navigation.svelte";
import { packing } from "./packing.svelte";
import { studies } from "./studies.svelte";
import { toasts } from "./toasts.svelte";

export interface Dragged {
  path: string;
  name: string;
  /** What it is, once known; an error when it cannot be used. */
  kind: Dropped["kind"] | "package" | "case" | "image" | "guest" | "unknown" | "looking";
}

/** More than this many are named only by their count. */
const NAMED = 5;

class Drop {
  /** Paths over the window just now; null when there are none. */
  dragged = $state.raw<Dragged[] | null>(null);
  draggedCount = $state(0);
  /** Dropped paths that are being looked at. */
  inspecting = $state.raw<string[]>([]);
  /** Proposals that wait for their dialog; the first is shown. */
  proposals = $state.raw<Dropped[]>([]);

  #inspections = new Map<string, Promise<Dropped>>();
  /** Who takes everything that is dropped, while that is in sight. */
  #taker: ((paths: string[]) => Promise<void>) | null = null;
  /** What is dragged over the window comes from the window itself. */
  #own = 0;

  listen(): () => void {
    const stops = [
      onDrag((event) => {
        if (this.#own > 0) return;
        if (event.kind === "enter") this.enter(event.paths);
        else if (event.kind === "leave") this.leave();
        else if (event.kind === "drop") void this.drop(event.paths);
      }),
      on("pathsOpened", () => void this.takeOpened()),
    ];
    void this.takeOpened();
    return () => stops.forEach((stop) => stop());
  }

  /** What was opened in the file manager is as good as dropped. */
  async takeOpened(): Promise<void> {
    await dialogs.attempt(m.error_adding_folder(), async () => {
      const paths = await backend.openedPaths();
      if (paths.length > 0) await this.drop(paths);
    });
  }

  /** Gives everything that is dropped to `taker`, until the returned function is called. */
  give(taker: (paths: string[]) => Promise<void>): () => void {
    this.#taker = taker;
    return () => {
      if (this.#taker === taker) this.#taker = null;
    };
  }

  /** Files are being dragged out: should they be let go over the window, they are not added. */
  async while<T>(dragging: () => Promise<T>): Promise<T> {
    this.#own += 1;
    try {
      return await dragging();
    } finally {
      this.#own -= 1;
    }
  }

  enter(paths: string[]): void {
    this.#inspections.clear();
    this.draggedCount = paths.length;
    this.dragged = paths
      .slice(0, NAMED)
      .map((path) => ({ path, name: fileName(path), kind: this.#becomes }));
    if (this.#becomes !== "looking") return;
    for (const { path } of this.dragged) {
      this.#inspect(path).then(
        (dropped) => this.#name(path, dropped.kind),
        () => this.#name(path, isImageFile(path) ? "image" : "unknown"),
      );
    }
  }

  leave(): void {
    this.dragged = null;
  }

  async drop(all: string[]): Promise<void> {
    this.dragged = null;
    if (this.#taker) return this.#taker(all);
    // Whoever is at the studies drops cases.
    if (this.#studies) return studies.take(all);
    for (const path of all.filter(isCloudFile)) await clouds.look(path);
    const group = all.find(isGroupFile);
    if (group !== undefined) navigation.go({ at: "group", group, tab: "services" });
    const others = all.filter((path) => !isCloudFile(path) && !isGroupFile(path));
    const paths = this.#packs ? await this.#pack(others) : others;
    if (paths.length === 0) return;
    this.inspecting = [...this.inspecting, ...paths];
    const found: Dropped[] = [];
    const disks: string[] = [];
    for (const path of paths) {
      await dialogs.attempt(m.error_adding({ name: fileName(path) }), async () => {
        try {
          found.push(await this.#inspect(path));
        } catch (thrown) {
          // Whether it can be read as an image, its own page says better.
          if (!isImageFile(path) || toAppError(thrown).kind === "notFound") throw thrown;
          disks.push(path);
        }
      });
    }
    images.ask(disks);
    this.#inspections.clear();
    this.inspecting = this.inspecting.filter((path) => !paths.includes(path));

    await kernels.add(found.filter(({ kind }) => kind === "kernel").map(({ path }) => path));
    const added: Appliance[] = [];
    for (const { path } of found.filter(
      ({ kind, proposal }) => kind === "appliance" || (kind !== "kernel" && !proposal),
    ))
      await dialogs.attempt(m.error_adding({ name: fileName(path) }), async () =>
        added.push(await backend.applianceAdd(path, null)),
      );
    this.#added(added);
    const proposed = found.filter(
      ({ kind, proposal }) => proposal && (kind === "folder" || kind === "archive"),
    );
    for (const dropped of proposed) {
      // A folder with the file of a group is that of its appliances, and none itself.
      if (dropped.kind === "folder" && (await this.#isGroup(dropped.path)))
        navigation.go({ at: "group", group: dropped.path, tab: "services" });
      else this.proposals = [...this.proposals, dropped];
    }
  }

  /** Takes up the proposal, as it was edited. Rejects when it cannot be done, so that the dialog stays open. */
  async accept(
    dropped: Dropped,
    manifest: { packageYaml: string; runYaml: string },
  ): Promise<void> {
    const appliance = await backend.applianceAdd(dropped.path, manifest);
    this.dismiss(dropped);
    this.#added([appliance]);
  }

  dismiss(dropped: Dropped): void {
    this.proposals = this.proposals.filter((proposal) => proposal !== dropped);
  }

  async pickFolder(): Promise<void> {
    await dialogs.attempt(m.error_adding_folder(), async () => {
      const path = await backend.pickFolder();
      if (path !== null) await this.drop([path]);
    });
  }

  async pickFiles(): Promise<void> {
    await dialogs.attempt(m.error_adding_folder(), async () =>
      this.drop(await backend.pickFiles()),
    );
  }

  /** What becomes of whatever is dropped here; `looking` where that is up to what it is. */
  get #becomes(): Dragged["kind"] {
    if (this.#taker) return "guest";
    if (this.#studies) return "case";
    return this.#packs ? "package" : "looking";
  }

  /** Whether what is dropped becomes a package: that is what one is at, in that place. */
  get #packs(): boolean {
    return navigation.place.at === "packages";
  }

  get #studies(): boolean {
    return navigation.place.at === "studies" || navigation.place.at === "study";
  }

  /** Opens a dialog for everything that can be packed, and says what cannot. */
  async #pack(paths: string[]): Promise<string[]> {
    const rest: string[] = [];
    for (const path of paths)
      await dialogs.attempt(m.error_packing(), async () => {
        if ((await backend.packKinds(path)).length > 0) packing.open(path);
        else rest.push(path);
      });
    return rest;
  }

  /** A file with a mistake is one, too: its page says what is wrong. */
  async #isGroup(path: string): Promise<boolean> {
    try {
      return (await findGroup(path)) !== null;
    } catch {
      return true;
    }
  }

  #inspect(path: string): Promise<Dropped> {
    const known = this.#inspections.get(path) ?? backend.inspect(path);
    this.#inspections.set(path, known);
    return known;
  }

  #name(path: string, kind: Dragged["kind"]): void {
    this.dragged = this.dragged?.map((one) => (one.path === path ? { ...one, kind } : one)) ?? null;
  }

  async #opened(appliance: Appliance): Promise<void> {
    const tab = (await this.#isGroup(appliance.path)) ? "group" : "contents";
    navigation.go({ at: "appliance", id: appliance.id, tab });
  }

  #added(added: Appliance[]): void {
    for (const appliance of added) appliances.put(appliance);
    const only = added[0];
    if (!only) return;
    if (added.length === 1) {
      void this.#opened(only);
      toasts.show(m.appliance_added({ name: only.title }));
    } else {
      navigation.go({ at: "appliances" });
      toasts.show(m.appliances_added({ count: added.length }));
    }
  }
}

export const drop = new Drop();
