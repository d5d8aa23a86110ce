/**
 * What a benchmark found: medians beside the limit that was measured in the same run, as a table and as JSON.
 *
 * A limit is what the same computer takes for the part that is not ours (QEMU alone, a plain copy of the bytes). Both are
 * measured in turns, so that a busy moment meets both.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

export const median = (numbers) => {
  const sorted = [...numbers].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const UNITS = {
  ms: (value) => (value < 10 ? `${value.toFixed(1)} ms` : value < 2000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(2)} s`),
  "MB/s": (value) => `${value.toFixed(1)} MB/s`,
  "/s": (value) => `${value.toFixed(1)} a second`,
  "%": (value) => `${value.toFixed(2)} %`,
  MiB: (value) => `${value.toFixed(0)} MiB`,
};

export class Figures {
  #rows = [];
  #title;
  #facts;

  /** `facts` are versions and circumstances that the figures depend on. */
  constructor(title, facts = {}) {
    this.#title = title;
    this.#facts = facts;
    this.load = loadavg()[0];
  }

  /**
   * A figure from its samples; `limit` has a name and samples, too. `difference` compares by distance, not by ratio. `within`
   * says the aim in numbers: it is met by a `ratio` to the limit, or by a `median`, that is no more than that.
   */
  add({ name, samples, unit = "ms", limit = null, aim = null, within = null, difference = false }) {
    const row = { name, unit, median: median(samples), samples, aim };
    if (limit) {
      row.limit = { name: limit.name, median: median(limit.samples), samples: limit.samples };
      row.ratio = row.median / row.limit.median;
      row.overhead = row.median - row.limit.median;
      row.compare = difference ? "overhead" : "ratio";
    }
    if (within) row.met = row.ratio <= within.ratio || row.median <= within.median;
    this.#rows.push(row);
    return row;
  }

  /** Prints the table, and writes the JSON where WINDLASS_BENCH_JSON says. */
  finish() {
    const cells = this.#rows.map(({ name, unit, median, samples, limit, ratio, overhead, compare, aim, met }) => {
      const show = UNITS[unit];
      const range = `${show(Math.min(...samples))} – ${show(Math.max(...samples))}`;
      let against = "";
      if (limit) against = compare === "overhead" ? `${overhead < 0 ? "−" : "+"} ${show(Math.abs(overhead))}` : `${ratio.toFixed(2)} ×`;
      return [name, show(median), range, limit ? `${limit.name}: ${show(limit.median)}` : "", against, aim ?? "", met === undefined ? "" : met ? "met" : "missed"];
    });
    const head = ["", "median", "least – most", "limit", "against it", "aim", ""];
    const widths = head.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column].length)));
    const line = (row) => row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd();
    const { processor, cores, memoryGib, system } = machine();
    console.log(`${this.#title}\n`);
    for (const row of [head, widths.map((width) => "─".repeat(width)), ...cells]) console.log(`  ${line(row)}`);
    console.log(`\n  ${cores} cores (${processor}), ${memoryGib} GiB, ${system}; load at the beginning ${this.load.toFixed(1)}`);
    for (const [name, value] of Object.entries(this.#facts)) console.log(`  ${name}: ${value}`);
    const path = process.env.WINDLASS_BENCH_JSON;
    if (!path) return;
    mkdirSync(dirname(path), { recursive: true });
    const found = {
      title: this.#title,
      date: new Date().toISOString(),
      machine: { ...machine(), load: this.load },
      commit: commit(),
      facts: this.#facts,
      rows: this.#rows,
    };
    writeFileSync(path, `${JSON.stringify(found, null, 2)}\n`);
  }
}

function machine() {
  const [{ model }] = cpus();
  const name = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  return { processor: model, cores: cpus().length, memoryGib: Math.round(totalmem() / 2 ** 30), system: `${name}, Linux ${release()}` };
}

/** The commit that was measured; marked where the working tree has changes of its own. */
function commit() {
  try {
    const git = (...words) => execFileSync("git", words, { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return git("describe", "--always", "--dirty");
  } catch {
    return null;
  }
}

/** The version of a package of the system; null where it is not installed. */
export function packageVersion(name) {
  try {
    return execFileSync("dpkg-query", ["-W", "-f", "${Version}", name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return null;
  }
}

/** A line of progress, where somebody looks. */
export function progress(words) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${words}`);
}
