// From the start of the program to a window that is drawn and answers, and the memory that it takes.
//
// Measured from outside, on the picture of a virtual display: a window is drawn when its picture does not change any more,
// and it answers when a click changes the picture. The limit is the same WebKitGTK with an empty page (MiniBrowser, which
// comes with it). Files are in the page cache, as they are at the second start of a day.
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { giveLinuxKernel } from "../window/lib/kernels.mjs";
import { Desktop } from "./lib/desktop.mjs";
import { Figures, packageVersion, progress } from "./lib/figures.mjs";

const ROUNDS = 7;
/** Where "Machines" is in the bar at the left. */
const MACHINES = [44, 218];
/** Below MiniBrowser's own bar. */
const PAGE = 120;
const { WINDLASS_BINARY: binary, WINDLASSCTL: windlassctl } = process.env;

/** WebKitGTK's own small browser lies beside its library. */
function miniBrowser() {
  const listed = execFileSync("dpkg", ["-L", "libwebkit2gtk-4.1-0"], { encoding: "utf8" });
  return listed.split("\n").find((path) => path.endsWith("/MiniBrowser") && existsSync(path)) ?? null;
}

const desktop = await Desktop.open();
try {
  const home = join(desktop.folder, "home");
  const command = (program, ...words) => execFileSync(program, words, { env: { ...desktop.env, WINDLASS_HOME: home }, stdio: ["ignore", "pipe", "ignore"] });
  await giveLinuxKernel({ home, command: async (...words) => command(...words) });
  command(windlassctl, "sample", "create", "hello");

  const page = join(desktop.folder, "empty.html");
  writeFileSync(page, "<!doctype html><title>Empty</title><body style='background: #123'>");
  const browser = miniBrowser();

  const windlass = async (folder) => {
    const opened = await desktop.open(binary, [], { env: { WINDLASS_HOME: folder } });
    const memory = desktop.memory(opened.child);
    const answer = await desktop.answer(...MACHINES);
    await desktop.leave(opened.child);
    return { ...opened, memory, answer };
  };
  const empty = async () => {
    const opened = await desktop.open(browser, ["--geometry=1280x838", `file://${page}`], { from: PAGE });
    const memory = desktop.memory(opened.child);
    await desktop.leave(opened.child);
    return { ...opened, memory };
  };

  const figures = new Figures("Start of the window (release)", {
    Windlass: `${command(windlassctl, "--version")}`.trim(),
    WebKitGTK: packageVersion("libwebkit2gtk-4.1-0"),
    page: "cached; a home with a kernel and an appliance",
  });
  // The first start of each fills caches, and remembers what QEMU can do.
  await windlass(home);
  if (browser) await empty();
  const [ours, theirs, first] = [[], [], []];
  for (let round = 1; round <= ROUNDS; round++) {
    progress(`Round ${round} of ${ROUNDS}`);
    if (browser) theirs.push(await empty());
    ours.push(await windlass(home));
    const fresh = join(desktop.folder, "fresh");
    first.push(await windlass(fresh));
    rmSync(fresh, { recursive: true });
  }
  progress("");
  const limit = (of) => browser && { name: "an empty page", samples: theirs.map(of) };
  figures.add({
    name: "Start to usable",
    samples: ours.map(({ last, answer }) => last + answer),
    limit: limit(({ last }) => last),
    aim: "1 s",
  });
  figures.add({ name: "  something to be seen", samples: ours.map(({ first }) => first), limit: limit(({ first }) => first) });
  figures.add({ name: "  all is drawn", samples: ours.map(({ last }) => last), limit: limit(({ last }) => last) });
  figures.add({ name: "  a click is answered", samples: ours.map(({ answer }) => answer) });
  figures.add({ name: "First start of all to usable", samples: first.map(({ last, answer }) => last + answer) });
  figures.add({ name: "Memory (PSS, all processes)", unit: "MiB", samples: ours.map(({ memory }) => memory), limit: limit(({ memory }) => memory) });
  figures.finish();
} finally {
  await desktop.close();
}
