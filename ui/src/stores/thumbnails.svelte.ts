/**
 * Small pictures of the screens of machines that are in sight. One is made at a time, each machine's at most every few
 * seconds, less often while nothing changes on it, and none while nobody looks at the window.
 */
import { SvelteMap } from "svelte/reactivity";
import { backend } from "../backend";

export const WIDTH = 128;
export const HEIGHT = 80;
const EVERY_MS = 5000;
/** How long it lasts at most until a change is seen of a screen on which nothing has changed for long. */
const EVERY_MOST_MS = 40_000;
/** Between two pictures, whoever's they are. */
const PAUSE_MS = 150;

interface Watched {
  users: number;
  due: number;
  every: number;
  /** The picture that was made last. */
  last?: Uint8Array;
}

const same = (a: Uint8Array | undefined, b: Uint8Array) =>
  a?.length === b.length && a.every((byte, index) => byte === b[index]);

class Thumbnails {
  /** Addresses of pictures by machines' ids. */
  readonly pictures = new SvelteMap<string, string>();
  #watched = new Map<string, Watched>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** A picture is being made. */
  #busy = false;

  /** Keeps the picture of a machine new until the returned function is called. */
  watch(id: string): () => void {
    const known = this.#watched.get(id) ?? { users: 0, due: 0, every: EVERY_MS };
    this.#watched.set(id, { ...known, users: known.users + 1 });
    // One that is new is due before those that are waited for.
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#busy) this.#wake();
    return () => {
      const one = this.#watched.get(id);
      if (!one) return;
      if (one.users > 1) this.#watched.set(id, { ...one, users: one.users - 1 });
      else {
        this.#watched.delete(id);
        this.#put(id, null);
      }
    };
  }

  #wake(after = PAUSE_MS): void {
    this.#timer ??= setTimeout(() => void this.#next(), after);
  }

  async #next(): Promise<void> {
    const now = Date.now();
    const first = [...this.#watched].toSorted(([, a], [, b]) => a.due - b.due)[0];
    if (first && first[1].due <= now && document.visibilityState === "visible") {
      const [id, one] = first;
      this.#busy = true;
      try {
        const png = new Uint8Array(await backend.machineThumbnail(id, WIDTH, HEIGHT));
        const isNew = !same(one.last, png);
        const every = isNew ? EVERY_MS : Math.min(one.every * 2, EVERY_MOST_MS);
        this.#set(id, { due: now + every, every, last: png });
        if (isNew && this.#watched.has(id)) this.#put(id, new Blob([png], { type: "image/png" }));
      } catch {
        // It has just ended, or its screen is not there yet: the last picture is no longer true.
        this.#set(id, { due: now + EVERY_MS, every: EVERY_MS, last: undefined });
        this.#put(id, null);
      }
      this.#busy = false;
    }
    this.#timer = undefined;
    if (this.#watched.size === 0) return;
    const due = Math.min(...[...this.#watched.values()].map((one) => one.due));
    // Whether somebody looks at the window again is seen within a second.
    this.#wake(Math.min(Math.max(due - Date.now(), PAUSE_MS), 1000));
  }

  #set(id: string, change: Omit<Watched, "users">): void {
    const one = this.#watched.get(id);
    if (one) this.#watched.set(id, { ...one, ...change });
  }

  #put(id: string, picture: Blob | null): void {
    const before = this.pictures.get(id);
    if (picture) this.pictures.set(id, URL.createObjectURL(picture));
    else this.pictures.delete(id);
    if (before) URL.revokeObjectURL(before);
  }
}

export const thumbnails = new Thumbnails();
