// Images of four sizes, built, and updated by what changed, against what the machine can do: `tar -cf` of the same tree, and a
// copy of the finished image.
//
//   small   10 files, 0.8 MiB         foam   300 files, 379 MiB
//   node    5,000 files, 40 MiB       many   46,104 files, 115 MiB
//
// The trees come from a fixed seed. Everything lies on one disk, with the sources in the page cache; what is measured and its
// limits take turns. Our builds sync the image before they give it its name, and digest it; tar and cp do neither. A program of
// the crate `compose` (its example of that name) does the work without the rest of Windlass, each time as a new process.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Figures, ROOT, median, packageVersion, progress } from "./lib/figures.mjs";

const ROUNDS = Number(process.env.WINDLASS_BENCH_ROUNDS ?? 5);
const MIB = 1 << 20;
const CASES = [
  { name: "small", files: 10, bytes: 0.8 * MIB, full: "≤ 1 ×", one: "5 % or 30 ms", none: "3 % or 20 ms" },
  { name: "node", files: 5_000, bytes: 40 * MIB, full: "≤ 1 ×", one: "5 % or 30 ms", none: "3 % or 20 ms" },
  { name: "foam", files: 300, bytes: 379 * MIB, full: "≤ 1 ×", one: "5 % or 30 ms", none: "3 % or 20 ms" },
  { name: "many", files: 46_104, bytes: 115 * MIB, full: "≤ 1 ×", one: "15 %", none: "10 %" },
];
// What a full build does, one after the other. It syncs from "digesting" on, beside the rest.
const PHASES = [
  ["planMs", "scanning and planning"],
  ["layoutMs", "laying out"],
  ["writeMs", "reading, digesting and writing files"],
  ["digestMs", "digesting the image"],
  ["finishMs", "list, record, waiting for the disk"],
];
const KINDS = [
  { kind: "rofs", title: "OSv, ROFS" },
  { kind: "linux-ext4", title: "Linux, ext4" },
];

// On the disk that homes are on, not in a /tmp that may be memory.
const scratch = join(ROOT, "target/bench");
mkdirSync(scratch, { recursive: true });
const folder = mkdtempSync(join(scratch, "images-"));
/** What the next changed file is filled with. */
let fill = 0;

/** The program that composes; built here unless WINDLASS_COMPOSE names it. */
function composer() {
  if (process.env.WINDLASS_COMPOSE) return process.env.WINDLASS_COMPOSE;
  const words = ["build", "--release", "--locked", "-p", "windlass-compose", "--example", "compose", "--message-format", "json"];
  const told = execFileSync("cargo", words, { cwd: ROOT, encoding: "utf8", maxBuffer: 64 * MIB, stdio: ["ignore", "pipe", "inherit"] });
  const artifacts = told.split("\n").filter((line) => line.includes('"compiler-artifact"')).map((line) => JSON.parse(line));
  return artifacts.find(({ target, executable }) => target.name === "compose" && executable).executable;
}

/** Numbers from a seed (xorshift32), the same in each run. */
function random(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** A package with as many files and bytes as the case has; their sizes vary by a factor of sixteen. */
function makeTree({ name, files, bytes }) {
  const root = join(folder, name);
  mkdirSync(join(root, "meta"), { recursive: true });
  writeFileSync(join(root, "meta/package.yaml"), `name: ${name}\ntitle: ${name}\nauthor: Windlass\n`);
  const next = random(0x5eed + files);
  const weights = Array.from({ length: files }, () => 2 ** (4 * next()));
  const sum = weights.reduce((one, other) => one + other, 0);
  const noise = Buffer.alloc(8 * MIB);
  for (let at = 0; at < noise.length; at += 4) noise.writeUInt32LE(Math.floor(next() * 2 ** 32), at);
  const paths = weights.map((weight, index) => {
    // Folders of some forty files, three deep.
    const place = join(root, `d${index % 11}`, `d${Math.floor(index / 440)}`, `d${Math.floor(index / 11) % 3}`);
    mkdirSync(place, { recursive: true });
    const path = join(place, `file-${index}`);
    let left = Math.round((weight / sum) * bytes);
    writeFileSync(path, "");
    while (left > 0) {
      const length = Math.min(left, MIB);
      const from = Math.floor(next() * (noise.length - length));
      appendFileSync(path, noise.subarray(from, from + length));
      left -= length;
    }
    return path;
  });
  return { root, paths };
}

/** Builds so many images of one tree at once, each in a process of its own, and says how long all of them took. */
async function together(count, build) {
  const begun = performance.now();
  const ends = Array.from({ length: count }, (_, index) => {
    const [program, args] = build(index);
    const child = spawn(program, args, { stdio: "ignore" });
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${program} ended with ${code}`))));
    });
  });
  await Promise.all(ends);
  return performance.now() - begun;
}

function timed(program, args) {
  const begun = performance.now();
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  const time = performance.now() - begun;
  if (error || status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? stderr}`);
  return { time, stdout };
}

try {
  const program = composer();
  const figures = new Figures("Images: built, and updated by what changed (release)", {
    tar: packageVersion("tar"),
    "page cache": "warm",
    rounds: ROUNDS,
  });
  for (const wanted of CASES) {
    progress(`${wanted.name}: making the tree`);
    const { root, paths } = makeTree(wanted);
    // What is younger than two seconds is read again to be sure of it.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
    for (const { kind, title } of KINDS) {
      const [image, digests, out] = ["image", "digests", "out"].map((name) => join(folder, `${wanted.name}.${kind}.${name}`));
      const compose = () => {
        const { time, stdout } = timed(program, [root, image, kind, digests]);
        return { time, ...JSON.parse(stdout) };
      };
      const expect = (build, manner) => {
        if (build.manner !== manner) throw new Error(`${wanted.name}, ${title}: ${build.manner} instead of ${manner}: ${build.reason}`);
        return build;
      };
      const [tars, copies, full, one, none, peaks, updatePeaks] = [[], [], [], [], [], [], []];
      let written = 0;
      const phases = new Map(PHASES.map(([name]) => [name, []]));
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`${wanted.name}, ${title}: round ${round} of ${ROUNDS}`);
        tars.push(timed("tar", ["-cf", out, "-C", root, "."]).time);
        rmSync(out);
        for (const name of [image, `${image}.record`, `${image}.files.json`, digests]) rmSync(name, { force: true });
        const first = expect(compose(), "Anew");
        full.push(first.time);
        peaks.push(first.peakKib / 1024);
        for (const [name, samples] of phases) samples.push(first[name]);
        copies.push(timed("cp", ["--sparse=auto", "--reflink=never", image, out]).time);
        rmSync(out);
        // A file of another size, and of the same size.
        const path = paths[(round * 7919) % paths.length];
        if (round % 2) appendFileSync(path, "changed");
        else writeFileSync(path, Buffer.alloc(statSync(path).size, ++fill));
        const updated = expect(compose(), "Updated");
        one.push(updated.time);
        updatePeaks.push(updated.peakKib / 1024);
        written = Math.max(written, updated.bytesWritten);
        none.push(expect(compose(), "Unchanged").time);
      }
      progress("");
      const whole = { name: "full", samples: full };
      figures.add({ name: `${wanted.name}, ${title}: full`, samples: full, limit: { name: "tar", samples: tars }, aim: wanted.full });
      figures.add({ name: "  against a copy of the image", samples: full, limit: { name: "cp", samples: copies } });
      for (const [name, title] of PHASES) figures.add({ name: `    ${title}`, samples: phases.get(name) });
      figures.add({ name: `  one file changed (${(written / 1024).toFixed(0)} KiB written at most)`, samples: one, limit: whole, aim: wanted.one });
      figures.add({ name: "  nothing changed", samples: none, limit: whole, aim: wanted.none });
      figures.add({ name: "  memory at its peak, full", unit: "MiB", samples: peaks, aim: "≤ 64 MiB" });
      figures.add({ name: "  memory at its peak, one file", unit: "MiB", samples: updatePeaks, aim: "≤ 64 MiB" });
      rmSync(image);
      const many = availableParallelism();
      const at = (index) => join(folder, `${wanted.name}.${kind}.${index}`);
      const build = (index) => [program, [root, at(index), kind, `${at(index)}.digests`]];
      const forget = (count) => {
        for (let index = 0; index < count; index++) for (const end of ["", ".record", ".files.json", ".digests"]) rmSync(`${at(index)}${end}`, { force: true });
      };
      const alone = await together(1, build);
      forget(1);
      const all = await together(many, build);
      forget(many);
      figures.add({ name: `  ${many} images at once`, samples: [all], limit: { name: "one after the other", samples: [many * alone] } });
      console.error(`${wanted.name}, ${title}: full ${median(full).toFixed(0)} ms, tar ${median(tars).toFixed(0)} ms, one ${median(one).toFixed(1)} ms, nothing ${median(none).toFixed(1)} ms`);
    }
    rmSync(root, { recursive: true, force: true });
  }
  figures.finish();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
