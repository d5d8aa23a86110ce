// From the samples to disk images, against tar and cp of the same bytes.
//
// `windlassctl package compose` for Linux (ext4) and, where WINDLASS_OSV_LOADER names its loader image, for OSv (ROFS). The
// limits are measured in turns with it: tar of the merged tree, and a copy of the finished image; both to the same disk, with
// the sources in the page cache. A first build has never seen the appliance; the second finds that nothing changed.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { giveLinuxKernel } from "../window/lib/kernels.mjs";
import { Figures, ROOT, packageVersion, progress } from "./lib/figures.mjs";

const ROUNDS = 5;
const SAMPLES = ["hello", "node-microservice", "python"];
const { WINDLASSCTL: windlassctl, WINDLASS_OSV_LOADER: loader, WINDLASS_OSV_KERNEL: kernel } = process.env;
const MIB = 1 << 20;

// On the disk that homes are on, not in a /tmp that may be memory.
const scratch = join(ROOT, "target/bench");
mkdirSync(scratch, { recursive: true });
const folder = mkdtempSync(join(scratch, "compose-"));
const seed = join(folder, "seed");
const home = join(folder, "home");
const ctl = (at, ...words) =>
  execFileSync(windlassctl, words, { env: { ...process.env, WINDLASS_HOME: at }, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

/** Runs a program and measures its time; under `time`, its peak of memory as well. */
function timed(program, args, env = process.env) {
  const begun = performance.now();
  const { status, stderr, error } = spawnSync(program, args, { env, encoding: "utf8" });
  const time = performance.now() - begun;
  if (error || status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? stderr}`);
  return { time, stderr };
}

const TIME = "/usr/bin/time";
const command = (words) => (existsSync(TIME) ? [TIME, ["-f", "peak %M", windlassctl, ...words]] : [windlassctl, words]);

/** One build of the home's appliance. */
function build(sample, guest) {
  const words = ["package", "compose", "measured", "--guest", guest, "--path", join(home, "appliances", sample)];
  const [program, args] = command(words);
  const { time, stderr } = timed(program, args, { ...process.env, WINDLASS_HOME: home });
  const peak = /^peak (\d+)$/m.exec(stderr)?.[1];
  return { time, peak: peak && Number(peak) / 1024 };
}

try {
  await giveLinuxKernel({ home: seed, command: async (program, ...words) => execFileSync(program, words) });
  const targets = [["linux", "Linux, ext4"]];
  if (loader) {
    ctl(seed, "kernel", "add", ...[loader, kernel].filter(Boolean));
    targets.push(["osv", "OSv, ROFS"]);
  }
  const figures = new Figures("Composing the samples (release)", {
    Windlass: ctl(seed, "--version").trim(),
    tar: packageVersion("tar"),
    "page cache": "warm",
  });
  // Packed once: what is measured begins with packages in the library.
  for (const sample of SAMPLES) {
    ctl(seed, "sample", "create", sample);
    ctl(seed, "package", "compose", "packing", "--path", join(seed, "appliances", sample));
    ctl(seed, "rmi", "packing");
  }
  for (const sample of SAMPLES) {
    const tree = join(folder, `${sample}-tree`);
    cpSync(join(seed, "appliances", sample), tree, { recursive: true, verbatimSymlinks: true });
    ctl(seed, "package", "collect", "--path", tree);
    for (const [guest, title] of targets) {
      const [first, again, tars, copies, peaks] = [[], [], [], [], []];
      let image;
      for (let round = 1; round <= ROUNDS; round++) {
        progress(`${sample}, ${title}: round ${round} of ${ROUNDS}`);
        // A home that has never built: no digests are remembered.
        rmSync(home, { recursive: true, force: true });
        execFileSync("cp", ["-a", seed, home]);
        const out = join(folder, "out");
        tars.push(timed("tar", ["-cf", out, "-C", join(tree, "mpm-pkg"), "."]).time);
        rmSync(out);
        const built = build(sample, guest);
        first.push(built.time);
        if (built.peak) peaks.push(built.peak);
        again.push(build(sample, guest).time);
        [{ path: image }] = JSON.parse(ctl(home, "--json", "images"));
        copies.push(timed("cp", ["--sparse=never", "--reflink=never", image, out]).time);
        rmSync(out);
      }
      progress("");
      const content = execFileSync("du", ["-sm", "--apparent-size", join(tree, "mpm-pkg")], { encoding: "utf8" }).split("\t")[0];
      const name = `${sample}, ${title} (${content} MiB in ${Math.round(statSync(image).size / MIB)})`;
      figures.add({ name, samples: first, limit: { name: "tar", samples: tars } });
      figures.add({ name: "  against a copy of the image", samples: first, limit: { name: "cp", samples: copies } });
      figures.add({ name: "  nothing changed", samples: again });
      if (peaks.length) figures.add({ name: "  memory at its peak", unit: "MiB", samples: peaks });
    }
  }
  if (!loader) console.error("OSv was left out: WINDLASS_OSV_LOADER does not name its loader image.");
  figures.finish();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
