// Images of four sizes, built, and updated by what changed, against what the machine can do: `tar -cf` of the same tree, and a
// copy of the finished image.
//
//   small   10 files, 0.8 MiB         foam   300 files, 379 MiB
//   node    5,000 files, 40 MiB       many   46,104 files, 115 MiB
//
// The trees come from a fixed seed. Everything lies on one disk, with the sources in the page cache; what is measured and its
// limits take turns. Our builds sync the image before they give it its name, and digest it; tar and cp do neither. Where nothing
// changed, `find -printf` says what the system takes to look at each file once, by one thread. A program of the crate `compose`
// (its example of that name) does the work without the rest of Windlass, each time as a new process.
//
// Then it builds two and four images at once, and says how long that takes against one after the other.
//
// With WINDLASS_BENCH_MEMORY=1 it also tries how much memory a file of 20 GiB (a hole) and a tree of 1,000,000 files take.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { appendFileSync, linkSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Figures, ROOT, median, packageVersion, progress } from "./lib/figures.mjs";

const ROUNDS = Number(process.env.WINDLASS_BENCH_ROUNDS ?? 5);
const MIB = 1 << 20;
const CASES = [
  { name: "small", files: 10, bytes: 0.8 * MIB, one: { ratio: 0.05, median: 30 }, none: { ratio: 0.03, median: 20 } },
  { name: "node", files: 5_000, bytes: 40 * MIB, one: { ratio: 0.05, median: 30 }, none: { ratio: 0.03, median: 20 } },
  { name: "foam", files: 300, bytes: 379 * MIB, one: { ratio: 0.05, median: 30 }, none: { ratio: 0.03, median: 20 } },
  { name: "many", files: 46_104, bytes: 115 * MIB, one: { ratio: 0.15 }, none: { ratio: 0.1 } },
];
const MEMORY_MIB = 64;
// Where the time of a build goes, one after the other. The disk writes beside all of it; what comes before is the start of the
// process.
const PHASES = {
  full: [
    ["planMs", "scanning and planning"],
    ["layoutMs", "laying out"],
    ["writeMs", "reading, digesting and writing files"],
    ["digestMs", "digesting the image, record, looking at the files once more"],
    ["finishMs", "waiting for the disk"],
  ],
  one: [
    ["planMs", "scanning and planning"],
    ["layoutMs", "comparing with the record, reading what differs"],
    ["writeMs", "writing to free space"],
    ["digestMs", "digesting what was touched"],
    ["finishMs", "record, journal, waiting for the disk"],
  ],
  none: [
    ["planMs", "scanning and planning"],
    ["layoutMs", "comparing with the record"],
  ],
};
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

/** Removes an image with what lies beside it. */
function forget(image, digests) {
  for (const name of [image, `${image}.record`, `${image}.changes`, digests]) rmSync(name, { force: true });
}

/** An aim as people say it. */
function words({ ratio, median }) {
  const share = ratio >= 1 ? `≤ ${ratio} ×` : `${Math.round(ratio * 100)} %`;
  return median ? `${share} or ${median} ms` : share;
}

function addPeak(figures, name, builds) {
  const samples = builds.map(({ peakKib }) => peakKib / 1024);
  figures.add({ name, unit: "MiB", samples, aim: `≤ ${MEMORY_MIB} MiB`, within: { median: MEMORY_MIB } });
}

/** A package with one file of 20 GiB, all of it a hole. */
function makeHuge(root) {
  mkdirSync(join(root, "meta"), { recursive: true });
  writeFileSync(join(root, "meta/package.yaml"), "name: huge\ntitle: huge\nauthor: Windlass\n");
  writeFileSync(join(root, "data"), "");
  truncateSync(join(root, "data"), 20 * 1024 * MIB);
  writeFileSync(join(root, "changes"), "");
}

/** A package with a million small files; names of a few, since it is the names that are counted. */
function makeMillion(root) {
  mkdirSync(join(root, "meta"), { recursive: true });
  writeFileSync(join(root, "meta/package.yaml"), "name: million\ntitle: million\nauthor: Windlass\n");
  let source;
  for (let file = 0; file < 1_000_000; file++) {
    const place = join(root, `d${Math.floor(file / 100_000)}`, `d${Math.floor(file / 1000) % 100}`);
    if (file % 1000 === 0) mkdirSync(place, { recursive: true });
    const path = join(place, `file-${file}`);
    // A file system takes some ten thousand names of one file.
    if (file % 20_000 === 0) writeFileSync((source = path), `content of ${file}`);
    else linkSync(source, path);
  }
  writeFileSync(join(root, "changes"), "");
}

/** Builds and updates once, and says how much memory it took. */
function tryMemory(figures, program, name, title, make) {
  const root = join(folder, name);
  progress(`${name}: making the tree`);
  make(root);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
  for (const { kind, title: guest } of KINDS) {
    const [image, digests] = ["image", "digests"].map((end) => join(folder, `${name}.${kind}.${end}`));
    const compose = () => {
      const { time, stdout } = timed(program, [root, image, kind, digests]);
      return { time, ...JSON.parse(stdout) };
    };
    for (const step of ["full", "one file changed", "nothing changed"]) {
      progress(`${name}, ${guest}: ${step}`);
      if (step === "one file changed") appendFileSync(join(root, "changes"), "changed");
      const build = compose();
      figures.add({ name: `${title}, ${guest}: ${step}`, samples: [build.time] });
      addPeak(figures, "  memory at its peak", [build]);
    }
    forget(image, digests);
  }
  progress("");
  rmSync(root, { recursive: true, force: true });
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
      const [tars, copies, looks] = [[], [], []];
      const builds = { full: [], one: [], none: [] };
      let written = 0;
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`${wanted.name}, ${title}: round ${round} of ${ROUNDS}`);
        tars.push(timed("tar", ["-cf", out, "-C", root, "."]).time);
        rmSync(out);
        forget(image, digests);
        builds.full.push(expect(compose(), "Anew"));
        copies.push(timed("cp", ["--sparse=auto", "--reflink=never", image, out]).time);
        rmSync(out);
        // A file of another size, and of the same size.
        const path = paths[(round * 7919) % paths.length];
        if (round % 2) appendFileSync(path, "changed");
        else writeFileSync(path, Buffer.alloc(statSync(path).size, ++fill));
        const updated = expect(compose(), "Updated");
        builds.one.push(updated);
        written = Math.max(written, updated.bytesWritten);
        builds.none.push(expect(compose(), "Unchanged"));
        looks.push(timed("find", [root, "-printf", "%s %T@ %i\\n"]).time);
      }
      progress("");
      const [full, one, none] = [builds.full, builds.one, builds.none].map((all) => all.map(({ time }) => time));
      const whole = { name: "full", samples: full };
      const samples = { full, one, none };
      const rows = {
        full: { name: `${wanted.name}, ${title}: full`, limit: { name: "tar", samples: tars }, within: { ratio: 1 } },
        one: { name: `  one file changed (${(written / 1024).toFixed(0)} KiB written at most)`, limit: whole, within: wanted.one },
        none: { name: "  nothing changed", limit: whole, within: wanted.none },
      };
      for (const [kind, row] of Object.entries(rows)) {
        figures.add({ ...row, samples: samples[kind], aim: words(row.within) });
        if (kind === "full") figures.add({ name: "  against a copy of the image", samples: full, limit: { name: "cp", samples: copies } });
        // Whether a file was changed, only its size and times tell.
        if (kind === "none") figures.add({ name: "    against one look at each file", samples: none, limit: { name: "find", samples: looks } });
        for (const [phase, title] of PHASES[kind]) figures.add({ name: `    ${title}`, samples: builds[kind].map((build) => build[phase]) });
        figures.add({ name: "    processor time", samples: builds[kind].map(({ cpuMs }) => cpuMs) });
        addPeak(figures, "    memory at its peak", builds[kind]);
      }
      rmSync(image);
      const at = (index) => join(folder, `${wanted.name}.${kind}.${index}`);
      const build = (index) => [program, [root, at(index), kind, `${at(index)}.digests`]];
      const counts = [1, 2, 4].filter((count) => count === 1 || count <= availableParallelism());
      const took = counts.map(() => []);
      for (let round = 1; round <= Math.min(ROUNDS, 3); round++) {
        for (const [place, count] of counts.entries()) {
          progress(`${wanted.name}, ${title}: ${count} at once, round ${round}`);
          took[place].push(await together(count, build));
          for (let index = 0; index < count; index++) forget(at(index), `${at(index)}.digests`);
        }
      }
      progress("");
      for (const [place, count] of counts.entries()) {
        if (count === 1) continue;
        const limit = { name: "one after the other", samples: took[0].map((alone) => count * alone) };
        figures.add({ name: `  ${count} images at once`, samples: took[place], limit });
      }
      console.error(`${wanted.name}, ${title}: full ${median(full).toFixed(0)} ms, tar ${median(tars).toFixed(0)} ms, one ${median(one).toFixed(1)} ms, nothing ${median(none).toFixed(1)} ms`);
    }
    rmSync(root, { recursive: true, force: true });
  }
  if (process.env.WINDLASS_BENCH_MEMORY) {
    for (const [name, title, make] of [
      ["huge", "a file of 20 GiB", makeHuge],
      ["million", "1,000,000 files", makeMillion],
    ]) {
      try {
        tryMemory(figures, program, name, title, make);
      } catch (error) {
        // What was measured before is worth keeping. A file counts with its holes where room is looked for.
        if (!error.message.includes("NoSpace")) throw error;
        progress("");
        console.error(`${title}: not tried, the disk has too little room`);
        rmSync(join(folder, name), { recursive: true, force: true });
      }
    }
  }
  figures.finish();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
