/**
 * Small pictures of the screens of machines that are in sight. One is made at a time, each machine's at most every few
 * seconds, and none while nobody looks at the window.
 */
import { SvelteMap } from "svelte/reactivity";
import { backend } from "../backend";

export const WIDTH = 128;
export const HEIGHT = 80;
const EVERY_MS = 5000;
/** Between two pictures, whoever's they are. */
const PAUSE_MS = 150;

class Thumbnails {
  /** Addresses of pictures by machines' ids. */
  readonly pictures = new SvelteMap<string, string>();
  #watched = new Map<string, { users: number; due: number }>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Keeps the picture of a machine new until the returned function is called. */
  watch(id: string): () => void {
    const known = this.#watched.get(id) ?? { users: 0, due: 0 };
    this.#watched.set(id, { ...known, users: known.users + 1 });
    this.#wake();
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

  #wake(): void {
    this.#timer ??= setTimeout(() => void this.#next(), PAUSE_MS);
  }

  async #next(): Promise<void> {
    const now = Date.now();
    const first = [...this.#watched].toSorted(([, a], [, b]) => a.due - b.due)[0];
    if (first && first[1].due <= now && document.visibilityState === "visible") {
      const [id, one] = first;
      this.#watched.set(id, { ...one, due: now + EVERY_MS });
      try {
        const png = await backend.machineThumbnail(id, WIDTH, HEIGHT);
        if (this.#watched.has(id)) this.#put(id, new Blob([png], { type: "image/png" }));
      } catch {
        // It has just ended, or its screen is not there yet: the last picture is no longer true.
        this.#put(id, null);
      }
    }
    this.#timer = undefined;
    if (this.#watched.size > 0) this.#wake();
  }

  #put(id: string, picture: Blob | null): void {
    const before = this.pictures.get(id);
    if (picture) this.pictures.set(id, URL.createObjectURL(picture));
    else this.pictures.delete(id);
    if (before) URL.revokeObjectURL(before);
  }
}

export const thumbnails = new Thumbnails();
