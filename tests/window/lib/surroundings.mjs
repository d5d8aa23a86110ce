/**
 * A desktop of its own for a test: a virtual display, a session bus, and folders for all state, in one temporary folder.
 *
 *   /tmp/wl-XXXX/
 *   ├── home/     WINDLASS_HOME, seeded with the kernels of target/window/kernels where they were fetched before
 *   ├── user/     HOME and the XDG folders, so that nothing of the developer's is read or written
 *   ├── run/      XDG_RUNTIME_DIR; short, because sockets' paths are
 *   └── *.log     what display, bus and drivers said
 *
 * Nothing here has a fixed port, display number or name: two runs at once do not meet.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { end, processesNaming, runs, start, until } from "./processes.mjs";

const run = promisify(execFile);
export const ROOT = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));

/** The application under test, as ./dev built it. */
export const BINARY = process.env.WINDLASS_BINARY ?? join(ROOT, "target/workshop/debug/windlass");
export const WINDLASSCTL = process.env.WINDLASSCTL ?? join(dirname(BINARY), "windlassctl");

export class Surroundings {
  #children = [];

  static async open({ width = 1440, height = 960, windowManager = false, home } = {}) {
    const one = new Surroundings();
    try {
      await one.#open(width, height, windowManager, home);
    } catch (error) {
      await one.close();
      throw error;
    }
    return one;
  }

  async #open(width, height, windowManager, home) {
    this.folder = mkdtempSync(join(tmpdir(), "wl-"));
    this.home = home ?? join(this.folder, "home");
    const user = join(this.folder, "user");
    const runtime = join(this.folder, "run");
    for (const folder of [user, runtime]) mkdirSync(folder, { mode: 0o700 });
    const display = await this.#display(width, height);
    this.env = {
      PATH: process.env.PATH,
      LANG: "C.UTF-8",
      TZ: "UTC",
      HOME: user,
      XDG_RUNTIME_DIR: runtime,
      XDG_CONFIG_HOME: join(user, ".config"),
      XDG_DATA_HOME: join(user, ".local/share"),
      XDG_CACHE_HOME: join(user, ".cache"),
      DISPLAY: display,
      // No portal, no accessibility bus: they would be started, and stay.
      GTK_USE_PORTAL: "0",
      NO_AT_BRIDGE: "1",
      GDK_BACKEND: "x11",
      WINDLASS_HOME: this.home,
      WINDLASS_LOG: process.env.WINDLASS_LOG ?? "info",
    };
    const bus = join(runtime, "bus");
    await this.start("dbus-daemon", ["--session", "--nofork", `--address=unix:path=${bus}`], () => existsSync(bus));
    this.env.DBUS_SESSION_BUS_ADDRESS = `unix:path=${bus}`;
    if (windowManager) {
      await this.start("openbox", ["--sm-disable"]);
      await until("the window manager", async () => {
        const { stdout } = await run("xdotool", ["get_num_desktops"], { env: this.env });
        return Number(stdout) > 0;
      });
    }
  }

  /** The X server chooses a display that is free and says which. */
  async #display(width, height) {
    const child = start("Xvfb", ["-displayfd", "3", "-screen", "0", `${width}x${height}x24`, "-nolisten", "tcp"], {
      log: join(this.folder, "Xvfb.log"),
      stdio: ["pipe"],
      env: process.env,
    });
    this.#children.push(child);
    let said = "";
    child.stdio[3].on("data", (data) => (said += data));
    await until("the virtual display", () => {
      if (child.failure) throw child.failure;
      return said.endsWith("\n");
    });
    return `:${said.trim()}`;
  }

  /** Starts a program in these surroundings and waits until `ready` says that it is there. */
  async start(program, args, ready = () => true, { log = join(this.folder, `${program.split("/").pop()}.log`), ...env } = {}) {
    const child = start(program, args, { log, env: { ...this.env, ...env } });
    this.#children.push(child);
    await until(program, () => {
      if (child.failure) throw child.failure;
      if (child.exitCode !== null) throw new Error(`it ended: ${readFileSync(log, "utf8").slice(-500)}`);
      return ready();
    });
    return child;
  }

  /** Gives a command in these surroundings and returns what it wrote. */
  async command(program, ...args) {
    const { stdout } = await run(program, args, { env: this.env, maxBuffer: 1 << 26, timeout: 300_000 });
    return stdout;
  }

  /** Gives a command to windlassctl, on the same home. */
  async windlassctl(...args) {
    return JSON.parse((await this.command(WINDLASSCTL, "--json", ...args)) || "null");
  }

  /** Ends all that was started here, the machines of this home included. */
  async close() {
    if (this.home) for (const pid of processesNaming(this.home)) await end(pid);
    for (const child of this.#children.reverse()) if (child.pid && runs(child.pid)) await end(child.pid);
    if (this.folder && !process.env.WINDLASS_KEEP) rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
