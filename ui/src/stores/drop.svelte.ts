/**
 * What is dragged over the window and what becomes of it: guest kernels go to the library, a folder that has a manifest
 * becomes an appliance at once, any other folder or archive is proposed in a dialog first.
 */
import { backend, onDrag, type Appliance, type Dropped } from "../backend";
import { fileName } from "../format";
import { m } from "../messages/messages.js";
import { appliances } from "./appliances.svelte";
import { dialogs } from "./dialogs.svelte";
import { kernels } from "./kernels.svelte";
import { navigation } from "./navigation.svelte";
import { toasts } from "./toasts.svelte";

export interface Dragged {
  path: string;
  name: string;
  /** What it is, once known; an error when it cannot be used. */
  kind: Dropped["kind"] | "unknown" | "looking";
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

  listen(): () => void {
    return onDrag((event) => {
      if (event.kind === "enter") this.enter(event.paths);
      else if (event.kind === "leave") this.leave();
      else if (event.kind === "drop") void this.drop(event.paths);
    });
  }

  enter(paths: string[]): void {
    this.#inspections.clear();
    this.draggedCount = paths.length;
    this.dragged = paths
      .slice(0, NAMED)
      .map((path) => ({ path, name: fileName(path), kind: "looking" }));
    for (const { path } of this.dragged) {
      this.#inspect(path).then(
        (dropped) => this.#name(path, dropped.kind),
        () => this.#name(path, "unknown"),
      );
    }
  }

  leave(): void {
    this.dragged = null;
  }

  async drop(paths: string[]): Promise<void> {
    this.dragged = null;
    this.inspecting = [...this.inspecting, ...paths];
    const found: Dropped[] = [];
    for (const path of paths) {
      await dialogs.attempt(m.error_adding({ name: fileName(path) }), async () =>
        found.push(await this.#inspect(path)),
      );
    }
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
    this.proposals = [
      ...this.proposals,
      ...found.filter(
        ({ kind, proposal }) => proposal && (kind === "folder" || kind === "archive"),
      ),
    ];
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

  #inspect(path: string): Promise<Dropped> {
    const known = this.#inspections.get(path) ?? backend.inspect(path);
    this.#inspections.set(path, known);
    return known;
  }

  #name(path: string, kind: Dragged["kind"]): void {
    this.dragged = this.dragged?.map((one) => (one.path === path ? { ...one, kind } : one)) ?? null;
  }

  #added(added: Appliance[]): void {
    for (const appliance of added) appliances.put(appliance);
    const only = added[0];
    if (!only) return;
    if (added.length === 1) {
      navigation.go({ at: "appliance", id: only.id, tab: "contents" });
      toasts.show(m.appliance_added({ name: only.title }));
    } else {
      navigation.go({ at: "appliances" });
      toasts.show(m.appliances_added({ count: added.length }));
    }
  }
}

export const drop = new Drop();
