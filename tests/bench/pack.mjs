// Packages are made: archives against tar with gzip (or pigz), folders against `cp -r`, what programs need against reading it.
//
// `cargo bench -p windlass-package --bench pack` measures, in turns, each five times; both sides find their source in the page
// cache and end with their data on the disk. What a program needs is found for the node and python3 of this computer.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Figures, ROOT, packageVersion } from "./lib/figures.mjs";

/** What each is measured against, where it is there. */
const LIMITS = {
  write_mpm: ["tar -czf, sync", "tar by pigz, sync"],
  "pack::make": ["cp -r, sync"],
  "pack::plan": ["reading it all"],
};

// On the disk that homes are on, not in a /tmp that may be memory.
const scratch = join(ROOT, "target/bench");
mkdirSync(scratch, { recursive: true });
const folder = mkdtempSync(join(scratch, "pack-"));
const file = join(folder, "rows.json");

try {
  const words = ["bench", "--quiet", "--locked", "-p", "windlass-package", "--bench", "pack", "--", "--bench", "--json", file];
  execFileSync("cargo", words, {
    cwd: ROOT,
    env: { ...process.env, WINDLASS_BENCH_FOLDER: folder },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const rows = JSON.parse(readFileSync(file, "utf8"));
  const figures = new Figures("Packing (release)", {
    tar: packageVersion("tar"),
    gzip: packageVersion("gzip"),
    pigz: packageVersion("pigz") ?? "not installed",
    "page cache": "warm",
  });
  for (const { group, name, sizeBytes, samples } of rows) {
    const of = (limit) => rows.find((row) => row.group === group && row.name === limit);
    const limits = (LIMITS[name] ?? []).filter(of);
    const rate = sizeBytes ? `, ${Math.round(sizeBytes / 2 ** 20)} MiB` : "";
    const title = `${group.replace(/, \d+ .*$/, "")}${rate}: ${name}`;
    if (Object.values(LIMITS).flat().includes(name)) continue;
    for (const limit of limits) figures.add({ name: title, samples, limit: { name: limit, samples: of(limit).samples } });
    if (!limits.length) figures.add({ name: title, samples });
  }
  figures.finish();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
