/** Every job, live and past, with the rate of those that run. */
import { backend, on, type Job } from "../backend";
import { m } from "../messages/messages.js";
import { Collection } from "./collection.svelte";
import { dialogs } from "./dialogs.svelte";

const PAGE = 200;
/** The rate is that of the last seconds, so that it follows a change of pace without jumping about. */
const RATE_WINDOW_MS = 5000;

export function isLive(job: Job): boolean {
  return job.state === "running" || job.state === "paused";
}

class Jobs extends Collection<Job> {
  /** Whether there may be older jobs than those loaded. */
  more = $state(true);
  /** Jobs that were begun from this window since it was opened, and whose failure was not dismissed. */
  followed = $state.raw<ReadonlySet<string>>(new Set());

  readonly live = $derived(this.items.filter(isLive));

  #samples = new Map<string, { at: number; done: number }[]>();
  #waiting = new Map<string, ((produced: string | null) => void)[]>();
  #ending = new Map<string, ((state: Job["state"]) => void)[]>();

  constructor() {
    super(async () => {
      const page = await backend.jobList(PAGE, null);
      return page;
    });
  }

  listen(): () => void {
    return on("jobChanged", (job) => this.update(job));
  }

  update(job: Job): void {
    this.put(job);
    this.#sample(job);
    this.#settle(job);
  }

  async loadOlder(): Promise<void> {
    const last = this.items.at(-1);
    if (!last || !this.more) return;
    const page = await backend.jobList(PAGE, last.id);
    const known = new Set(this.items.map((job) => job.id));
    const older = page.filter((job) => !known.has(job.id));
    this.more = older.length > 0;
    this.items = [...this.items, ...older];
  }

  /** Shows the job's progress, and its failure, where it was begun. */
  follow(id: string): void {
    this.followed = new Set([...this.followed, id]);
  }

  /** Takes up a job that was begun just now, and says its id. */
  begin(job: Job): string {
    // An event may have told more of it already.
    if (!this.get(job.id)) this.update(job);
    this.follow(job.id);
    return job.id;
  }

  dismiss(id: string): void {
    this.followed = new Set([...this.followed].filter((known) => known !== id));
  }

  /** The job that is at work on an appliance, or the followed one that failed last. */
  of(subject: string): Job | undefined {
    return (
      this.items.find((job) => job.subject === subject && isLive(job)) ??
      this.items.find(
        (job) => job.subject === subject && job.state === "failed" && this.followed.has(job.id),
      )
    );
  }

  /** Follows a job until it has produced something, and says what; null when it ends without. */
  produced(id: string): Promise<string | null> {
    this.follow(id);
    return new Promise((resolve) => {
      this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), resolve]);
      // It may have ended before its identity reached us.
      const known = this.get(id);
      if (known) this.#settle(known);
    });
  }

  /** Waits until a job is over, and says how it went. */
  async ended(id: string): Promise<Job["state"]> {
    await this.produced(id);
    return new Promise((resolve) => {
      this.#ending.set(id, [...(this.#ending.get(id) ?? []), resolve]);
      const known = this.get(id);
      if (known) this.#settle(known);
    });
  }

  pause(job: Job): Promise<boolean> {
    return dialogs.attempt(m.error_pausing({ name: job.title }), () => backend.jobPause(job.id));
  }

  resume(job: Job): Promise<boolean> {
    return dialogs.attempt(m.error_resuming({ name: job.title }), () => backend.jobResume(job.id));
  }

  /** Units of work per second, or null before there is enough to say. */
  rate(job: Job): number | null {
    const samples = this.#samples.get(job.id);
    const first = samples?.[0];
    const last = samples?.at(-1);
    if (!first || !last || last.at - first.at < 500) return null;
    return ((last.done - first.done) * 1000) / (last.at - first.at);
  }

  timeLeftMs(job: Job): number | null {
    const rate = this.rate(job);
    if (!rate || job.total === null) return null;
    return ((job.total - job.done) / rate) * 1000;
  }

  async retry(job: Job): Promise<string> {
    const id = await backend.jobRetry(job.id);
    this.dismiss(job.id);
    this.follow(id);
    return id;
  }

  #sample(job: Job): void {
    if (job.state !== "running") {
      this.#samples.delete(job.id);
      return;
    }
    const now = performance.now();
    const recent = (this.#samples.get(job.id) ?? []).filter(
      (sample) => now - sample.at < RATE_WINDOW_MS && sample.done <= job.done,
    );
    this.#samples.set(job.id, [...recent, { at: now, done: job.done }]);
  }

  #settle(job: Job): void {
    if (job.produced === null && isLive(job)) return;
    for (const resolve of this.#waiting.get(job.id) ?? []) resolve(job.produced);
    this.#waiting.delete(job.id);
    if (isLive(job)) return;
    for (const resolve of this.#ending.get(job.id) ?? []) resolve(job.state);
    this.#ending.delete(job.id);
  }
}

export const jobs = new Jobs();
