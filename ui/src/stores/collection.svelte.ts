/** A list of things with an identity, loaded once and then kept current by events. */
import { toAppError, type AppError } from "../backend";

export class Collection<T extends { id: string }> {
  items = $state.raw<T[]>([]);
  loaded = $state(false);
  error = $state.raw<AppError | null>(null);

  readonly #fetch: () => Promise<T[]>;
  readonly #byId = $derived(new Map(this.items.map((item) => [item.id, item])));

  constructor(fetch: () => Promise<T[]>) {
    this.#fetch = fetch;
  }

  get(id: string): T | undefined {
    return this.#byId.get(id);
  }

  async load(): Promise<void> {
    try {
      this.items = await this.#fetch();
      this.error = null;
    } catch (thrown) {
      this.error = toAppError(thrown);
    } finally {
      this.loaded = true;
    }
  }

  /** Puts a new item first, or replaces the one of the same identity where it is. */
  put(item: T): void {
    const index = this.items.findIndex((known) => known.id === item.id);
    this.items = index < 0 ? [item, ...this.items] : this.items.with(index, item);
  }

  drop(id: string): void {
    this.items = this.items.filter((item) => item.id !== id);
  }
}
