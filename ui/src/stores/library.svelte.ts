/** The library on this computer: how large it is, whether it is sound, what of it nobody needs; and a `~/.capstan` to take in. */
import {
  backend,
  on,
  toAppError,
  type AppError,
  type CapstanHome,
  type Job,
  type LibraryUsage,
  type PrunePlan,
} from "../backend";
import { m } from "../messages/messages.js";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";

const DISMISSED = "windlass.capstan.dismissed";

class Library {
  usage = $state.raw<LibraryUsage | null>(null);
  error = $state.raw<AppError | null>(null);
  plan = $state.raw<PrunePlan | null>(null);
  planning = $state(false);
  /** The job that was begun here last: verify, repair or prune. */
  job = $state<string | null>(null);
  capstan = $state.raw<CapstanHome | null>(null);
  importing = $state<string | null>(null);

  #watched = false;

  async load(): Promise<void> {
    try {
      this.usage = await backend.libraryUsage();
      this.error = null;
    } catch (thrown) {
      this.error = toAppError(thrown);
    }
  }

  /** Reads the figures and keeps them current as long as they are shown. */
  watch(): () => void {
    this.#watched = true;
    void this.load();
    const stop = on("libraryChanged", () => {
      if (this.#watched) void this.load();
    });
    return () => {
      this.#watched = false;
      stop();
    };
  }

  verify(): Promise<void> {
    return this.#begin(m.error_verifying(), () => backend.libraryVerify());
  }

  repair(): Promise<void> {
    return this.#begin(m.error_repairing(), () => backend.libraryRepair());
  }

  async planPrune(): Promise<void> {
    this.planning = true;
    await dialogs.attempt(
      m.error_pruning(),
      async () => (this.plan = await backend.libraryPrunePlan()),
    );
    this.planning = false;
  }

  async prune(): Promise<void> {
    this.plan = null;
    await this.#begin(m.error_pruning(), () => backend.libraryPrune());
  }

  /** Looks for what Capstan left on this computer, unless that was answered before. */
  async look(): Promise<void> {
    if (localStorage.getItem(DISMISSED) !== null) return;
    try {
      this.capstan = await backend.capstanLook();
    } catch {
      // Whoever never had Capstan is told nothing of it.
      this.capstan = null;
    }
  }

  async importCapstan(): Promise<void> {
    const path = this.capstan?.path ?? null;
    await dialogs.attempt(m.error_importing(), async () => {
      this.importing = jobs.begin(await backend.capstanImport(path));
    });
  }

  dismissCapstan(): void {
    this.capstan = null;
    localStorage.setItem(DISMISSED, "yes");
  }

  async #begin(title: string, command: () => Promise<Job>): Promise<void> {
    await dialogs.attempt(title, async () => {
      this.job = jobs.begin(await command());
    });
  }
}

export const library = new Library();
