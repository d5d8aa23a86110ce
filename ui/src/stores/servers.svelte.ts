/**
 * The servers of all clouds, kept current while a screen shows them.
 *
 * A cloud's list is read once, page by page; after that one call asks for what changed since. Every so often the list is read
 * anew, for what Nova does not count as a change. A cloud that fails is asked ever more rarely, and nothing is asked while the
 * window is hidden.
 */
import {
  backend,
  toAppError,
  type AppError,
  type Cloud,
  type CloudServer,
  type CloudServerChange,
} from "../backend";
import { m } from "../messages/messages.js";
import { clouds } from "./clouds.svelte";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { toasts } from "./toasts.svelte";

const QUIET_MS = 15_000;
const BUSY_MS = 2_000;
const LONGEST_MS = 300_000;
/** So many lists of changes, then a whole one. */
const CHANGES = 20;

/** A server, and where it is. */
export interface Listed {
  key: string;
  cloud: Cloud;
  server: CloudServer;
}

export const keyOf = (cloud: number, server: string) => `${cloud}/${server}`;

/** How long to wait before a cloud is asked again. */
export function pauseMs(failures: number, busy: boolean): number {
  if (failures > 0) return Math.min(LONGEST_MS, QUIET_MS * 2 ** failures);
  return busy ? BUSY_MS : QUIET_MS;
}

/** The servers of one cloud. */
export class ServersOf {
  items = $state.raw<readonly CloudServer[]>([]);
  loaded = $state(false);
  loading = $state(false);
  error = $state.raw<AppError | null>(null);
  // Not derived: a list outlives the screen that first asked for it, and what is derived does not.
  #byId = $state.raw<ReadonlyMap<string, CloudServer>>(new Map());
  #asOf: string | null = null;
  #changes = 0;
  #failures = 0;
  #watched = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** With the project that it is of: a cloud may be turned to another. */
  constructor(
    readonly id: number,
    readonly project = "",
  ) {}

  get(id: string): CloudServer | undefined {
    return this.#byId.get(id);
  }

  watch(): void {
    this.#watched = true;
    void this.refresh();
  }

  leave(): void {
    this.#watched = false;
    clearTimeout(this.#timer);
  }

  /** Asks for what changed; for all of it where that is wanted, or not known yet. */
  async refresh(whole = false): Promise<void> {
    if (this.loading) return;
    clearTimeout(this.#timer);
    this.loading = true;
    try {
      if (whole || this.#asOf === null || this.#changes >= CHANGES) await this.#all();
      else await this.#changed(this.#asOf);
      this.error = null;
      this.#failures = 0;
    } catch (thrown) {
      this.error = toAppError(thrown);
      this.#failures += 1;
    } finally {
      this.loaded = true;
      this.loading = false;
      if (this.#watched) this.#later();
    }
  }

  /** Takes up one server as it is now. */
  async look(id: string): Promise<void> {
    this.#put([await backend.cloudServer(this.id, id)]);
  }

  #later(): void {
    clearTimeout(this.#timer);
    const busy = this.items.some((one) => one.busy);
    this.#timer = setTimeout(
      () => (document.hidden ? this.#later() : void this.refresh()),
      pauseMs(this.#failures, busy),
    );
  }

  async #all(): Promise<void> {
    const first = !this.loaded || this.items.length === 0;
    const all: CloudServer[] = [];
    let asOf: string | null = null;
    let marker: string | null = null;
    do {
      const page = await backend.cloudServerPage(this.id, null, marker);
      asOf ??= page.asOf;
      all.push(...page.servers);
      marker = page.next === marker ? null : page.next;
      // What is there is shown before the rest has come.
      if (first) {
        this.#show([...all]);
        this.loaded = true;
      }
    } while (marker !== null);
    if (!first) this.#show(all);
    this.#asOf = asOf;
    this.#changes = 0;
  }

  async #changed(since: string): Promise<void> {
    let marker: string | null = null;
    let asOf: string | null = null;
    do {
      const page = await backend.cloudServerPage(this.id, since, marker);
      asOf ??= page.asOf;
      marker = page.next === marker ? null : page.next;
      if (page.gone.length > 0) {
        const gone = new Set(page.gone);
        if (this.items.some(({ id }) => gone.has(id)))
          this.#show(this.items.filter(({ id }) => !gone.has(id)));
      }
      this.#put(page.servers);
    } while (marker !== null);
    this.#asOf = asOf ?? since;
    this.#changes += 1;
  }

  #show(servers: readonly CloudServer[]): void {
    this.items = servers;
    this.#byId = new Map(servers.map((one) => [one.id, one]));
  }

  #put(servers: readonly CloudServer[]): void {
    // Each list of changes tells the last ones again.
    const news = servers.filter((one) => !same(this.get(one.id), one));
    if (news.length === 0) return;
    const byId = new Map(news.map((one) => [one.id, one]));
    const kept = this.items.map((one) => byId.get(one.id) ?? one);
    const fresh = news.filter(({ id }) => !this.#byId.has(id));
    this.#show([...fresh, ...kept]);
  }
}

function same(known: CloudServer | undefined, now: CloudServer): boolean {
  return known !== undefined && JSON.stringify(known) === JSON.stringify(now);
}

function projectOf(cloud: Cloud | undefined): string {
  if (!cloud) return "";
  const { authUrl, user, userDomain, project, projectDomain, region } = cloud;
  return JSON.stringify([authUrl, user, userDomain, project, projectDomain, region]);
}

class Servers {
  #views = $state.raw<ReadonlyMap<number, ServersOf>>(new Map());
  #watchers = 0;
  /** What is being done, by the server's key: the job. */
  working = $state.raw<ReadonlyMap<string, string>>(new Map());

  readonly all = $derived.by(() =>
    clouds.items.flatMap((cloud): Listed[] => {
      const servers = this.#views.get(cloud.id)?.items ?? [];
      return servers.map((server) => ({ key: keyOf(cloud.id, server.id), cloud, server }));
    }),
  );

  /** Clouds that did not answer. */
  readonly silent = $derived(
    clouds.items.flatMap((cloud) => {
      const error = this.#views.get(cloud.id)?.error;
      return error ? [{ cloud, error }] : [];
    }),
  );

  /** The list of a cloud, once it is watched. */
  of(cloud: number): ServersOf | undefined {
    return this.#views.get(cloud);
  }

  /** Keeps the lists of clouds current until the answer is called. */
  watch(ids: readonly number[]): () => void {
    this.#watchers += 1;
    const views = new Map([...this.#views].filter(([id]) => clouds.get(id) !== undefined));
    for (const id of ids) {
      const project = projectOf(clouds.get(id));
      if (views.get(id)?.project === project) continue;
      views.get(id)?.leave();
      views.set(id, new ServersOf(id, project));
    }
    this.#views = views;
    for (const id of ids) views.get(id)?.watch();
    return () => {
      this.#watchers -= 1;
      if (this.#watchers === 0) for (const view of this.#views.values()) view.leave();
    };
  }

  /** Forgets all lists. */
  clear(): void {
    for (const view of this.#views.values()) view.leave();
    this.#views = new Map();
    this.working = new Map();
  }

  /** Does something with servers, and waits until it is done. Says whether all went well. */
  async change(
    targets: readonly Listed[],
    change: (server: CloudServer) => CloudServerChange | null,
  ): Promise<boolean> {
    const able = targets.flatMap((target) => {
      const what = change(target.server);
      return what === null || this.working.has(target.key) ? [] : [{ ...target, what }];
    });
    const outcomes = await Promise.all(
      able.map((target) => this.#one(target, target.what, able.length > 1)),
    );
    return outcomes.every(Boolean);
  }

  /** Asks, then deletes. */
  async remove(targets: readonly Listed[]): Promise<boolean> {
    const [first] = targets;
    if (!first) return false;
    const yes = await dialogs.confirm(
      targets.length === 1
        ? m.delete_server_title({ name: first.server.name })
        : m.delete_servers_title({ count: targets.length }),
      targets.length === 1
        ? m.delete_server_body()
        : `${m.delete_server_body()}\n\n${targets.map(({ server }) => server.name).join("\n")}`,
      m.delete(),
    );
    return yes && this.change(targets, () => ({ do: "delete" }));
  }

  async #one(
    { key, cloud, server }: Listed,
    what: CloudServerChange,
    quiet: boolean,
  ): Promise<boolean> {
    const title = m.error_with_server({ name: server.name });
    const view = this.#views.get(cloud.id);
    try {
      const job = await backend.cloudServerChange(cloud.id, server.id, server.name, what);
      jobs.begin(job);
      this.working = new Map([...this.working, [key, job.id]]);
      const state = await jobs.ended(job.id);
      if (state === "done") return true;
      const error = jobs.get(job.id)?.error;
      if (state === "failed" && error) this.#failed(title, error, quiet);
      return false;
    } catch (thrown) {
      this.#failed(title, toAppError(thrown), quiet);
      return false;
    } finally {
      this.working = new Map([...this.working].filter(([known]) => known !== key));
      if (what.do === "delete") void view?.refresh();
      else void view?.look(server.id).catch(() => view.refresh());
    }
  }

  /** Of many at once each says it in a note, not in a dialog. */
  #failed(title: string, error: AppError, quiet: boolean): void {
    if (!quiet) dialogs.fail(title, error);
    else if (error.kind !== "cancelled")
      toasts.show(`${title}: ${error.message}`, { tone: "danger" });
  }
}

export const servers = new Servers();
