// From the press of Run to what the guest says, against QEMU alone with the very same command line.
import { Figures } from "./lib/figures.mjs";
import { leaveRuns, measureRuns, prepareRuns } from "./lib/pressed.mjs";

const ROUNDS = 10;

try {
  const runs = await prepareRuns();
  const figures = new Figures("Press of Run to what the guest says (release)", { ...runs.facts, appliance: "hello, built before" });
  await measureRuns(figures, runs, ROUNDS);
  figures.finish();
} finally {
  await leaveRuns();
}
