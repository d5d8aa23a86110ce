/** What an image of an appliance would hold: its layers, what wins where, how large it is and what is locked. */
import {
  backend,
  on,
  toAppError,
  type AppError,
  type LockInfo,
  type Conflict,
  type Contents,
  type Finding,
  type Graph,
  type Requirement,
  type SizeNode,
} from "../backend";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { packages } from "./packages.svelte";
import { toasts } from "./toasts.svelte";

/** A part of the contents that is read when it is first looked at, and again after every change. */
class Part<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<AppError | null>(null);
  #wanted = false;
  readonly #read: () => Promise<T>;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  async want(): Promise<void> {
    if (this.#wanted && this.error === null) return;
    this.#wanted = true;
    await this.#load();
  }

  async renew(): Promise<void> {
    if (this.#wanted) await this.#load();
  }

  async #load(): Promise<void> {
    try {
      this.value = await this.#read();
      this.error = null;
    } catch (thrown) {
      this.error = toAppError(thrown);
    }
  }
}

export class ApplianceContents {
  readonly id: string;
  value = $state.raw<Contents | null>(null);
  error = $state.raw<AppError | null>(null);
  reading = $state(false);
  /** Grows with every reading, so that trees are read anew. */
  version = $state(0);
  readonly conflicts: Part<Conflict[]>;
  readonly sizes: Part<SizeNode>;
  readonly graph: Part<Graph>;
  readonly lock: Part<LockInfo>;

  /** What the appliance asks for, in its order. */
  readonly require: readonly Requirement[] = $derived(this.value?.require ?? []);
  #undoable: number | null = null;
  /** Grows when a change begins and when it is done. */
  #changes = 0;

  constructor(id: string) {
    this.id = id;
    this.conflicts = new Part(() => backend.applianceConflicts(id));
    this.sizes = new Part(() => backend.applianceSizeMap(id));
    this.graph = new Part(() => backend.applianceGraph(id));
    this.lock = new Part(() => backend.applianceLock(id));
  }

  listen(): () => void {
    return on("libraryChanged", () => void this.load());
  }

  async load(): Promise<void> {
    this.reading = true;
    const changes = this.#changes;
    try {
      const contents = await backend.applianceContents(this.id);
      // What was changed meanwhile must not be shown as it was before.
      if (changes !== this.#changes) return await this.load();
      this.#show(contents);
    } catch (thrown) {
      this.error = toAppError(thrown);
      this.version += 1;
    }
    this.reading = false;
  }

  /** Adds a package before the layer that is at a place now, and fetches it where it is not here yet. */
  async add(name: string, place?: number): Promise<void> {
    // What is not known yet would be lost.
    if (this.value === null) await this.load();
    const at = place ?? this.require.length;
    if (this.require.some((one) => one.name === name)) return this.move(name, at);
    await this.#set(
      this.require.toSpliced(at, 0, { name, constraint: null }),
      m.layer_added({ name }),
    );
    const asked = this.require.some((one) => one.name === name);
    if (asked && !this.value?.layers.some((layer) => layer.name === name))
      await packages.pull(name);
  }

  remove(name: string): Promise<void> {
    return this.#set(
      this.require.filter((one) => one.name !== name),
      m.layer_removed({ name }),
    );
  }

  /** Puts a layer before the one that is at a place now. */
  move(name: string, at: number): Promise<void> {
    const from = this.require.findIndex((one) => one.name === name);
    const layer = this.require[from];
    if (!layer || at === from || at === from + 1) return Promise.resolve();
    const rest = this.require.toSpliced(from, 1);
    return this.#set(
      rest.toSpliced(at > from ? at - 1 : at, 0, layer),
      m.layer_moved({ name, place: (at > from ? at - 1 : at) + 1 }),
    );
  }

  constrain(name: string, constraint: string): Promise<void> {
    const wanted = constraint.trim() || null;
    if (this.require.some((one) => one.name === name && one.constraint === wanted))
      return Promise.resolve();
    return this.#set(
      this.require.map((one) => (one.name === name ? { name, constraint: wanted } : one)),
      m.layer_constrained({ name }),
    );
  }

  async fix(finding: Finding): Promise<void> {
    const fix = finding.fix;
    if (!fix) return;
    await dialogs.attempt(m.error_fixing(), () => backend.applianceFix(this.id, fix));
    await this.load();
  }

  async updateLock(): Promise<void> {
    await dialogs.attempt(m.error_locking(), async () => {
      await jobs.ended(jobs.begin(await backend.applianceLockUpdate(this.id)));
      await this.lock.renew();
    });
  }

  async #set(require: Requirement[], said: string): Promise<void> {
    await dialogs.attempt(m.error_changing_layers(), async () => {
      this.#changes += 1;
      const { contents, undo, digest } = await backend
        .applianceLayersSet(this.id, require)
        .finally(() => (this.#changes += 1));
      this.#show(contents);
      // Only the last change can be undone: what was before it is gone from the file.
      if (this.#undoable !== null) toasts.dismiss(this.#undoable);
      this.#undoable = toasts.show(said, {
        action: { label: m.undo(), run: () => void this.#undo(undo, digest) },
      });
    });
  }

  /** Writes the manifest as it was before. */
  async #undo(text: string, digest: string): Promise<void> {
    await dialogs.attempt(m.error_changing_layers(), () =>
      backend.applianceManifestSave(this.id, "package", text, digest),
    );
    await this.load();
  }

  #show(contents: Contents): void {
    this.value = contents;
    this.error = null;
    this.version += 1;
    for (const part of [this.conflicts, this.sizes, this.graph, this.lock]) void part.renew();
  }
}
