/**
 * A virtual display whose picture can be read at any moment, with a session bus of its own.
 *
 * Xvfb keeps its picture in a file (`-fbdir`, in the format of xwd), so that looking costs the measured program nothing: no
 * request to the display, no driver in the page.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { descendants, end, start, until } from "../../window/lib/processes.mjs";

const WIDTH = 1280;
const HEIGHT = 800;
const BYTES_PER_PIXEL = 4;
/** Every so many rows are looked at: no line of text fits between two. */
const ROW_STEP = 4;
const LOOK_MS = 4;
/** A picture that has stood still for so long is finished. */
const SETTLED_MS = 1500;

export class Desktop {
  #children = [];
  #picture;
  #offset;
  #empty;

  static async open() {
    const desktop = new Desktop();
    desktop.folder = mkdtempSync(join(tmpdir(), "wb-"));
    try {
      await desktop.#open();
    } catch (error) {
      await desktop.close();
      throw error;
    }
    return desktop;
  }

  async #open() {
    const [user, runtime] = ["user", "run"].map((name) => join(this.folder, name));
    for (const folder of [user, runtime]) mkdirSync(folder, { mode: 0o700 });
    const screen = `${WIDTH}x${HEIGHT}x24`;
    const display = start("Xvfb", ["-displayfd", "3", "-fbdir", this.folder, "-screen", "0", screen, "-nolisten", "tcp"], {
      log: join(this.folder, "Xvfb.log"),
      stdio: ["pipe"],
      env: process.env,
    });
    this.#children.push(display);
    let said = "";
    display.stdio[3].on("data", (data) => (said += data));
    await until("the virtual display", () => {
      if (display.failure) throw display.failure;
      return said.endsWith("\n");
    });
    const bus = join(runtime, "bus");
    this.env = {
      PATH: process.env.PATH,
      LANG: "C.UTF-8",
      HOME: user,
      XDG_RUNTIME_DIR: runtime,
      DISPLAY: `:${said.trim()}`,
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${bus}`,
      // No portal, no accessibility bus: they would be started, and stay.
      GTK_USE_PORTAL: "0",
      NO_AT_BRIDGE: "1",
      GDK_BACKEND: "x11",
    };
    const log = join(this.folder, "dbus.log");
    this.#children.push(start("dbus-daemon", ["--session", "--nofork", `--address=unix:path=${bus}`], { log, env: this.env }));
    await until("the session bus", () => existsSync(bus));
    this.#picture = openSync(join(this.folder, "Xvfb_screen0"), "r");
    const header = Buffer.alloc(100);
    readSync(this.#picture, header, 0, header.length, 0);
    // The header's own length, then a colour map of entries of 12 bytes.
    const word = (index) => header.readUInt32BE(index * 4);
    this.#offset = word(0) + word(19) * 12;
    this.#empty = this.look();
  }

  /** The rows that are looked at, from the one named on. */
  look(from = 0) {
    const width = WIDTH * BYTES_PER_PIXEL;
    const rows = Math.floor((HEIGHT - from) / ROW_STEP);
    const seen = Buffer.allocUnsafe(rows * width);
    for (let row = 0; row < rows; row++)
      readSync(this.#picture, seen, row * width, width, this.#offset + (from + row * ROW_STEP) * width);
    return seen;
  }

  /** Starts a program and waits until its window stands still: when anything was seen, and when all was. */
  async open(program, args, { env = {}, from = 0, within = 60_000 } = {}) {
    const begun = performance.now();
    const child = spawn(program, args, { env: { ...this.env, ...env }, stdio: "ignore" });
    this.#children.push(child);
    let [first, last, seen] = [null, null, this.look(from)];
    for (;;) {
      await sleep(LOOK_MS);
      const now = performance.now() - begun;
      if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}`);
      const picture = this.look(from);
      if (!picture.equals(seen)) {
        [first, last, seen] = [first ?? now, now, picture];
      } else if (last !== null && now - last > SETTLED_MS) {
        return { child, first, last };
      }
      if (now > within) throw new Error(`${program}: nothing to be seen, or no rest, within ${within / 1000} s`);
    }
  }

  /** Clicks, and says how long the picture takes to change; the time that xdotool takes to start is in it. */
  async answer(x, y, within = 10_000) {
    const before = this.look();
    const begun = performance.now();
    spawn("xdotool", ["mousemove", x, y, "click", "1"].map(String), { env: this.env, stdio: "ignore" });
    for (;;) {
      await sleep(1);
      const now = performance.now() - begun;
      if (!this.look().equals(before)) return now;
      if (now > within) throw new Error(`the window has not answered a click within ${within / 1000} s`);
    }
  }

  /** What a program and its children have in memory, shared pages by their share, in MiB. */
  memory(child) {
    let total = 0;
    for (const pid of [child.pid, ...descendants(child.pid)])
      total += Number(/^Pss: +(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))[1]) / 1024;
    return total;
  }

  /** Ends a program, and waits until nothing of it is left, nor to be seen. */
  async leave(child) {
    const all = [child.pid, ...descendants(child.pid)];
    for (const pid of all) await end(pid);
    await until("an empty display", () => this.look().equals(this.#empty));
  }

  async close() {
    if (this.#picture) closeSync(this.#picture);
    for (const child of this.#children.reverse()) if (child.pid) await end(child.pid);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
