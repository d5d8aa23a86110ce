/** Studies: one case, a table of values, a machine for each run. */
import { backend, type Job, type RunOutcome, type StudySummary } from "../backend";
import { fileName } from "../format";
import { m } from "../messages/messages.js";
import { Collection } from "./collection.svelte";
import { dialogs } from "./dialogs.svelte";
import { jobs } from "./jobs.svelte";
import { navigation } from "./navigation.svelte";
import { toasts } from "./toasts.svelte";

/** Runs whose results are those that were asked for. */
const COMPLETE: readonly RunOutcome[] = ["converged", "notConverged", "completed"];
/** Runs that may be begun again. */
const AGAIN: readonly RunOutcome[] = ["failed", "stopped", "timedOut", "lost"];

export function isComplete(outcome: RunOutcome): boolean {
  return COMPLETE.includes(outcome);
}

export function isOver(outcome: RunOutcome): boolean {
  return outcome !== "waiting" && outcome !== "running";
}

export function mayBeginAgain(outcome: RunOutcome): boolean {
  return AGAIN.includes(outcome);
}

class Studies extends Collection<StudySummary> {
  taking = $state(false);

  constructor() {
    super(() => backend.studyList());
  }

  /** Makes a study of a case that was dropped or picked, and opens it. */
  async take(paths: readonly string[]): Promise<void> {
    this.taking = true;
    for (const path of paths) {
      await dialogs.attempt(m.error_taking_case({ name: fileName(path) }), async () => {
        const id = await backend.studyNew(path);
        navigation.go({ at: "study", id, tab: "setup" });
      });
    }
    this.taking = false;
    await this.load();
  }

  async pickFolder(): Promise<void> {
    await dialogs.attempt(m.error_adding_folder(), async () => {
      const path = await backend.pickFolder();
      if (path !== null) await this.take([path]);
    });
  }

  async pickFiles(): Promise<void> {
    await dialogs.attempt(m.error_adding_folder(), async () =>
      this.take(await backend.pickFiles()),
    );
  }

  async run(id: string, retry: boolean): Promise<void> {
    await dialogs.attempt(m.error_running_study(), async () => {
      const job = await backend.studyRun(id, { retry });
      jobs.begin(job);
      navigation.go({ at: "study", id, tab: "runs" });
    });
    await this.load();
  }

  /** Makes what its runs share: packages that are missing, and an appliance of them. */
  async prepare(id: string): Promise<void> {
    await dialogs.attempt(m.error_preparing_study(), async () => {
      jobs.begin(await backend.studyPrepare(id, null));
    });
  }

  async stop(id: string): Promise<void> {
    const job = jobs.live.find((one) => one.subject === id);
    if (!job) return;
    const sure = await dialogs.confirm(m.stop_study_title(), m.stop_study_body(), m.stop_runs());
    if (sure) await dialogs.attempt(m.error_running_study(), () => backend.jobCancel(job.id));
  }

  /** Stops a run: at once, or when its solver has written what it has. */
  async stopRun(id: string, run: number, save: boolean): Promise<void> {
    await this.told(id, () => backend.studyStop(id, [run], save));
  }

  /** Stops all runs when their solvers have written what they have; what waits does not begin. */
  async saveAll(id: string): Promise<void> {
    await this.told(id, () => backend.studyStop(id, [], true));
  }

  /** Has a run calculate up to another end; says whether that could be. */
  async extend(id: string, run: number, to: string): Promise<boolean> {
    return this.told(id, () => backend.studyExtend(id, [run], to));
  }

  /** Does a run once more, and compares all files: the job says whether they are the same. */
  async repeat(id: string, run: number): Promise<void> {
    await this.told(id, () => backend.studyRepeat(id, run));
  }

  private async told(id: string, tell: () => Promise<Job | null>): Promise<boolean> {
    const done = await dialogs.attempt(m.error_running_study(), async () => {
      const job = await tell();
      // None where another process works on the study: it was told.
      if (job) jobs.begin(job);
    });
    await this.load();
    return done;
  }

  /** Takes it off the list. Its folder stays, so that it can be added again. */
  async remove(study: StudySummary): Promise<void> {
    const removed = await dialogs.attempt(m.error_removing({ name: study.title }), () =>
      backend.studyRemove(study.id),
    );
    if (!removed) return;
    this.drop(study.id);
    if (navigation.place.at === "study") navigation.go({ at: "studies" });
    toasts.show(m.appliance_removed({ name: study.title }), {
      action: {
        label: m.undo(),
        run: () =>
          void dialogs.attempt(m.error_adding({ name: study.title }), async () => {
            await backend.studyNew(study.id);
            await this.load();
          }),
      },
    });
  }
}

export const studies = new Studies();
