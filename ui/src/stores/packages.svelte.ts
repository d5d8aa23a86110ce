/**
 * The packages of the library and of every registry as one list. The core searches; what is in sight is fetched page by
 * page, so that a hundred thousand of them scroll like ten.
 */
import {
  backend,
  on,
  toAppError,
  type AppError,
  type Job,
  type PackageFilter,
  type PackageRow,
  type PackageUpdate,
} from "../backend";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { isLive, jobs } from "./jobs.svelte";
import { navigation } from "./navigation.svelte";
import { toasts } from "./toasts.svelte";

export const PAGE = 100;
const SETTLE_MS = 60;

/** A place in the list: its row, once that has come. */
export interface PackageSlot {
  index: number;
  row: PackageRow | null;
}

export const EVERYTHING: PackageFilter = {
  installed: null,
  registryId: null,
  runtime: null,
  kind: null,
};

export class PackageSearch {
  query = $state("");
  filter = $state.raw<PackageFilter>(EVERYTHING);
  slots = $state.raw<readonly PackageSlot[]>([]);
  /** Registries that did not answer when they were last asked. */
  offline = $state.raw<readonly string[]>([]);
  loaded = $state(false);
  searching = $state(false);
  error = $state.raw<AppError | null>(null);
  /** Grows with every new answer to a new question: the list starts at its top again. */
  answer = $state(0);

  readonly filtered = $derived(
    this.query.trim() !== "" || Object.values(this.filter).some((value) => value !== null),
  );

  #asked = 0;
  #pages = new Set<number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(filter: Partial<PackageFilter> = {}) {
    this.filter = { ...EVERYTHING, ...filter };
  }

  /** To be called when the words or the filters have changed; waits for a pause in typing. */
  changed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.load(), this.loaded ? SETTLE_MS : 0);
  }

  narrow(part: Partial<PackageFilter>): void {
    this.filter = { ...this.filter, ...part };
    this.changed();
  }

  clear(): void {
    this.query = "";
    this.filter = EVERYTHING;
    this.changed();
  }

  /** Asks anew. What is shown stays until the answer is there. */
  async load(again = false): Promise<void> {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    this.searching = true;
    try {
      const page = await backend.packageSearch(this.query, this.filter, 0, PAGE);
      if (asked !== this.#asked) return;
      this.#pages = new Set([0]);
      this.slots = Array.from({ length: page.total }, (_, index) => ({
        index,
        row: page.rows[index] ?? null,
      }));
      this.offline = page.offline;
      this.error = null;
      if (!again) this.answer += 1;
    } catch (thrown) {
      if (asked === this.#asked) this.error = toAppError(thrown);
    } finally {
      if (asked === this.#asked) {
        this.searching = false;
        this.loaded = true;
      }
    }
  }

  /** Fetches the rows between two places, unless they are there or on their way. */
  show(first: number, last: number): void {
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1)
      if (!this.#pages.has(page)) void this.#fetch(page);
  }

  async #fetch(page: number): Promise<void> {
    const asked = this.#asked;
    this.#pages.add(page);
    try {
      const { rows } = await backend.packageSearch(this.query, this.filter, page * PAGE, PAGE);
      if (asked !== this.#asked) return;
      const slots = this.slots.slice();
      rows.forEach((row, offset) => {
        const index = page * PAGE + offset;
        if (index < slots.length) slots[index] = { index, row };
      });
      this.slots = slots;
    } catch (thrown) {
      if (asked === this.#asked) this.error = toAppError(thrown);
    }
  }
}

class Packages extends PackageSearch {
  /** Newer versions of what is in the library. */
  updates = $state.raw<PackageUpdate[]>([]);
  #pulls = $state.raw<ReadonlyMap<string, string>>(new Map());

  listen(): () => void {
    const stops = [
      on("libraryChanged", () => void this.reload()),
      on("registriesChanged", () => void this.reload()),
    ];
    return () => stops.forEach((stop) => stop());
  }

  /** After a change of the library: what is not on the screen is not fetched. */
  async reload(): Promise<void> {
    if (this.loaded) await this.load(true);
    await this.findUpdates();
  }

  async findUpdates(): Promise<void> {
    try {
      this.updates = await backend.packageUpdatePlan();
    } catch {
      // Without an answer there is nothing to mark; the list itself says what does not answer.
      this.updates = [];
    }
  }

  /** Fetches a package with all that it needs. */
  pull(
    name: string,
    version: string | null = null,
    registryId: number | null = null,
  ): Promise<boolean> {
    return dialogs.attempt(m.error_pulling({ name }), async () => {
      const id = jobs.begin(await backend.packagePull(name, version, registryId));
      this.#pulls = new Map([...this.#pulls, [name, id]]);
    });
  }

  /** The job that fetches a package, or the one that failed to and was not dismissed. */
  jobOf(name: string): Job | undefined {
    const own = this.#pulls.get(name);
    return jobs.items.find(
      (job) =>
        (job.id === own || (job.kind === "pull" && job.subject === name)) &&
        (isLive(job) || (job.state === "failed" && jobs.followed.has(job.id))),
    );
  }

  async update(names: string[]): Promise<void> {
    await dialogs.attempt(m.error_updating(), async () =>
      jobs.begin(await backend.packageUpdate(names)),
    );
  }

  async remove(name: string, version: string | null, neededBy: readonly string[]): Promise<void> {
    const title = version === null ? name : `${name} ${version}`;
    const body =
      neededBy.length > 0
        ? m.remove_package_needed({ names: neededBy.join(", ") })
        : m.remove_package_body();
    if (!(await dialogs.confirm(m.remove_package_title({ name: title }), body, m.remove()))) return;
    const removed = await dialogs.attempt(m.error_removing({ name: title }), () =>
      backend.packageRemove(name, version),
    );
    if (removed) toasts.show(m.package_removed({ name: title }));
  }

  publish(name: string, version: string | null, registryId: number): Promise<boolean> {
    return dialogs.attempt(m.error_publishing({ name }), async () => {
      jobs.begin(await backend.packagePublish(name, version, registryId));
      toasts.show(m.publishing({ name }), {
        action: {
          label: m.activity(),
          run: () => navigation.go({ at: "activity", job: null }),
        },
      });
    });
  }

  async export(name: string, version: string | null): Promise<void> {
    await dialogs.attempt(m.error_exporting({ name }), async () => {
      const path = await backend.pickSavePath(`${name}.mpm`);
      if (path === null) return;
      jobs.begin(await backend.packageExport(name, version, path));
      toasts.show(m.exporting({ path }));
    });
  }
}

export const packages = new Packages();
