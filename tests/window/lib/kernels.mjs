/** The distribution's Linux kernel, fetched once and given to every home that asks for it. */
import { cpSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { BINARY } from "./surroundings.mjs";

/** Where the tests of windlassctl keep theirs: whoever comes first fetches it. */
const KEPT = join(dirname(dirname(BINARY)), "tmp/windlassctl-kernels/home");

export async function giveLinuxKernel(surroundings) {
  const kernels = join(KEPT, "kernels");
  if (!existsSync(kernels) || readdirSync(kernels).length === 0) {
    mkdirSync(KEPT, { recursive: true });
    await surroundings.command("env", `WINDLASS_HOME=${KEPT}`, ctl(), "kernel", "fetch");
  }
  mkdirSync(surroundings.home, { recursive: true, mode: 0o700 });
  cpSync(kernels, join(surroundings.home, "kernels"), { recursive: true });
}

function ctl() {
  return process.env.WINDLASSCTL ?? join(dirname(BINARY), "windlassctl");
}
