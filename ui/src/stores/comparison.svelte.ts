/** Two images, or an image and a folder, side by side: the core compares, and what is in sight is fetched page by page. */
import {
  backend,
  toAppError,
  type AppError,
  type ImageChange,
  type ImageComparison,
  type ImageDifference,
} from "../backend";
import { m } from "../messages/messages.js";
import { isLive, jobs } from "./jobs.svelte";

export const PAGE = 200;
const SETTLE_MS = 80;

/** A place in the list: its row, once that has come. */
export interface ComparisonSlot {
  index: number;
  row: ImageDifference | null;
}

export class Comparison {
  readonly left: string;
  readonly right: string;
  job = $state<string | null>(null);
  error = $state.raw<AppError | null>(null);
  totals = $state.raw<ImageComparison | null>(null);
  text = $state("");
  what = $state.raw<ImageChange[]>([]);
  slots = $state.raw<readonly ComparisonSlot[]>([]);
  /** Grows with every new answer to a new question: the list starts at its top again. */
  answer = $state(0);

  readonly live = $derived.by(() => {
    const job = this.job === null ? undefined : jobs.get(this.job);
    return job !== undefined && isLive(job) ? job : null;
  });

  #asked = 0;
  #pages = new Set<number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(left: string, right: string) {
    this.left = left;
    this.right = right;
  }

  /** Shows what a job found before; says whether it is still there. */
  async open(job: string): Promise<boolean> {
    this.job = job;
    await this.load();
    if (this.error === null) return true;
    this.error = null;
    this.job = null;
    return false;
  }

  async start(): Promise<void> {
    this.error = null;
    this.totals = null;
    try {
      const id = await backend.imageCompare(this.left, this.right);
      this.job = id;
      const state = await jobs.ended(id);
      if (state === "done") await this.load();
      else
        this.error = jobs.get(id)?.error ?? {
          kind: "cancelled",
          message: m.comparison_cancelled(),
          hints: [],
          chain: [],
        };
    } catch (thrown) {
      this.error = toAppError(thrown);
    }
  }

  /** To be called when the filter has changed. */
  changed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.load(), SETTLE_MS);
  }

  async load(): Promise<void> {
    if (this.job === null) return;
    const asked = ++this.#asked;
    try {
      const page = await this.#ask(0, PAGE);
      if (asked !== this.#asked) return;
      this.#pages = new Set([0]);
      this.totals = page;
      this.slots = Array.from({ length: page.total }, (_, index) => ({
        index,
        row: page.rows[index] ?? null,
      }));
      this.error = null;
      this.answer += 1;
    } catch (thrown) {
      if (asked === this.#asked) this.error = toAppError(thrown);
    }
  }

  /** Fetches the rows between two places, unless they are there or on their way. */
  show(first: number, last: number): void {
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1)
      if (!this.#pages.has(page)) void this.#fetch(page);
  }

  /** All rows that fit the filter, as lines of text. */
  async asText(heading: string): Promise<string> {
    const lines = [heading, ""];
    for (let offset = 0; ;) {
      const { rows, total } = await this.#ask(offset, 5000);
      lines.push(...rows.map(lineOf));
      offset += rows.length;
      if (rows.length === 0 || offset >= total) return `${lines.join("\n")}\n`;
    }
  }

  async #fetch(page: number): Promise<void> {
    const asked = this.#asked;
    this.#pages.add(page);
    try {
      const { rows } = await this.#ask(page * PAGE, PAGE);
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

  #ask(offset: number, limit: number): Promise<ImageComparison> {
    const filter = { text: this.text.trim(), what: this.what };
    return backend.imageComparison(this.job ?? "", filter, offset, limit);
  }
}

const SIGNS: Record<ImageChange, string> = {
  added: "+",
  removed: "-",
  changed: "~",
  mode: "m",
  kind: "k",
};

/** A row as a line: "~ /etc/motd 12 -> 14". */
export function lineOf(row: ImageDifference): string {
  const sizes =
    row.leftBytes !== null && row.rightBytes !== null
      ? `${row.leftBytes} -> ${row.rightBytes}`
      : String(row.leftBytes ?? row.rightBytes ?? "");
  return `${SIGNS[row.what]} ${row.path} ${sizes}`.trimEnd();
}
