/** One package on the screen: what it is, needs and holds, in the version that was chosen. */
import {
  backend,
  toAppError,
  type AppError,
  type Graph,
  type PackageDetails,
  type PackageVersion,
} from "../backend";

export class PackageView {
  readonly name: string;
  version = $state<string | null>(null);
  details = $state.raw<PackageDetails | null>(null);
  error = $state.raw<AppError | null>(null);
  graph = $state.raw<Graph | null>(null);
  graphError = $state.raw<AppError | null>(null);

  /** The version that is shown: the one that was asked for, else the one that the details describe. */
  readonly chosen = $derived.by<PackageVersion | undefined>(() => {
    const wanted = this.version ?? this.details?.version ?? null;
    const same = this.details?.versions.filter((one) => one.version === wanted) ?? [];
    return same.find((one) => one.installed) ?? same[0] ?? this.details?.versions[0];
  });

  #asked = 0;

  constructor(name: string) {
    this.name = name;
  }

  async load(): Promise<void> {
    const asked = ++this.#asked;
    try {
      const details = await backend.packageDetails(this.name, this.version);
      if (asked !== this.#asked) return;
      this.details = details;
      this.error = null;
    } catch (thrown) {
      if (asked === this.#asked) this.error = toAppError(thrown);
    }
    if (this.graph !== null) await this.loadGraph();
  }

  async choose(version: string | null): Promise<void> {
    this.version = version;
    await this.load();
  }

  async loadGraph(): Promise<void> {
    try {
      this.graph = await backend.packageGraph(this.name, this.version);
      this.graphError = null;
    } catch (thrown) {
      this.graphError = toAppError(thrown);
    }
  }
}
