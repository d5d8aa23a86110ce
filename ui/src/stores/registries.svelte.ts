/** The registries that packages and guest kernels come from, in the order in which they are asked. */
import {
  backend,
  on,
  toAppError,
  type AppError,
  type Registry,
  type RegistryCheck,
  type RegistryForm,
} from "../backend";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { toasts } from "./toasts.svelte";

class Registries {
  items = $state.raw<Registry[]>([]);
  loaded = $state(false);
  error = $state.raw<AppError | null>(null);
  /** What a check of a registry found, by its id; "checking" while it runs. */
  checks = $state.raw<ReadonlyMap<number, RegistryCheck | "checking">>(new Map());

  /** Those that are asked and could not say what they have. */
  readonly troubled = $derived(
    this.items
      .filter(({ enabled, state }) => enabled && (state === "offline" || state === "failed"))
      .map(({ name }) => name),
  );
  readonly publishable = $derived(this.items.filter((one) => one.publishable && one.enabled));

  get(id: number): Registry | undefined {
    return this.items.find((one) => one.id === id);
  }

  async load(): Promise<void> {
    try {
      this.items = await backend.registryList();
      this.error = null;
    } catch (thrown) {
      this.error = toAppError(thrown);
    } finally {
      this.loaded = true;
    }
  }

  listen(): () => void {
    return on("registriesChanged", () => void this.load());
  }

  /** Adds a registry, or changes one. Rejects when it cannot be done, so that the form stays open. */
  async save(id: number | null, form: RegistryForm): Promise<void> {
    const saved =
      id === null ? await backend.registryAdd(form) : await backend.registryUpdate(id, form);
    await this.load();
    if (id === null) void this.refresh(saved.id);
  }

  async remove(registry: Registry): Promise<void> {
    const name = registry.name;
    const yes = await dialogs.confirm(
      m.remove_registry_title({ name }),
      m.remove_registry_body(),
      m.remove(),
    );
    if (!yes) return;
    await dialogs.attempt(m.error_removing({ name }), async () => {
      await backend.registryRemove(registry.id);
      await this.load();
    });
  }

  async enable(registry: Registry, enabled: boolean): Promise<void> {
    await dialogs.attempt(m.error_saving_registry(), async () => {
      await backend.registryEnable(registry.id, enabled);
      await this.load();
    });
  }

  /** Moves a registry up or down: the one above is asked first. */
  async move(registry: Registry, by: -1 | 1): Promise<void> {
    const from = this.items.indexOf(registry);
    const to = from + by;
    if (from < 0 || to < 0 || to >= this.items.length) return;
    const before = this.items;
    this.items = before.toSpliced(from, 1).toSpliced(to, 0, registry);
    const moved = await dialogs.attempt(m.error_saving_registry(), () =>
      backend.registryReorder(this.items.map(({ id }) => id)),
    );
    if (!moved) this.items = before;
  }

  async check(registry: Registry): Promise<void> {
    this.#found(registry.id, "checking");
    try {
      this.#found(registry.id, await backend.registryCheck(registry.id));
    } catch (thrown) {
      this.forget(registry.id);
      dialogs.fail(m.error_checking_registry({ name: registry.name }), thrown);
    }
  }

  forget(id: number): void {
    this.checks = new Map([...this.checks].filter(([known]) => known !== id));
  }

  /** Reads what a registry, or all of them, have. */
  async refresh(id: number | null = null): Promise<void> {
    const started = await dialogs.attempt(m.error_refreshing(), async () =>
      jobs.begin(await backend.registryRefresh(id)),
    );
    if (started && id === null) toasts.show(m.refreshing_registries());
  }

  #found(id: number, check: RegistryCheck | "checking"): void {
    this.checks = new Map([...this.checks, [id, check]]);
  }
}

export const registries = new Registries();
