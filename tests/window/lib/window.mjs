/**
 * The real window, driven as a person would: by roles and names, keys and drops.
 *
 *   test ──selenium──► tauri-driver ──► WebKitWebDriver ──► windlass (its web view)
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Builder, Capabilities, Key } from "selenium-webdriver";
import { descendants, end, freePort, processesNaming, runs, start, until } from "./processes.mjs";
import { BINARY, ROOT } from "./surroundings.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Where screenshots and the reports of what failed go. */
export const RESULTS = join(ROOT, "target/window");

/**
 * Runs in the page: the elements of a role and an accessible name, seen and enabled or not, in the order of the page.
 * Enough of the computation of names for our own components; axe sees to it that they have names at all.
 */
const FIND = String.raw`
  const [role, name, within] = arguments;
  const IMPLICIT = {
    button: "button, summary", link: "a[href]", textbox: "input:not([type]), input[type=text], textarea",
    searchbox: "input[type=search]", spinbutton: "input[type=number]", checkbox: "input[type=checkbox]",
    combobox: "select", heading: "h1, h2, h3, h4", dialog: "dialog[open]", alertdialog: "dialog[open][role=alertdialog]",
    navigation: "nav", main: "main", row: "tr", list: "ul, ol", listitem: "li", img: "img",
  };
  const text = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.nodeType !== Node.ELEMENT_NODE || node.getAttribute("aria-hidden") === "true") return "";
    if (node.hasAttribute("aria-label")) return node.getAttribute("aria-label");
    if (node.tagName === "IMG") return node.alt;
    return [...node.childNodes].map(text).join("");
  };
  const nameOf = (element) => {
    const by = element.getAttribute("aria-labelledby");
    const words = by
      ? by.split(/\s+/).map((id) => document.getElementById(id)).filter(Boolean).map(text).join(" ")
      : element.getAttribute("aria-label") ??
        (element.labels?.length ? [...element.labels].map(text).join(" ") : text(element) || element.title);
    return (words ?? "").replace(/\s+/g, " ").trim();
  };
  const dialog = role.endsWith("dialog") ? null : [...document.querySelectorAll("dialog[open]")].pop();
  const root = within ?? dialog ?? document;
  const selector = [IMPLICIT[role], '[role="' + role + '"]'].filter(Boolean).join(", ");
  const fits = (said) =>
    name === null || (name.exact ? said === name.text : new RegExp(name.pattern, name.flags).test(said));
  return [...root.querySelectorAll(selector)].filter((element) =>
    (element.getAttribute("role") ?? role) === role && element.checkVisibility() && fits(nameOf(element)));
`;

const wanted = (name) =>
  name instanceof RegExp ? { pattern: name.source, flags: name.flags } : name && { exact: true, text: name };

export class Window {
  #driver;
  #helper;

  static async open(surroundings, { width = 1280, height = 800, within = 60_000 } = {}) {
    const window = new Window();
    window.surroundings = surroundings;
    try {
      await window.#open(width, height, within);
    } catch (error) {
      await window.close();
      throw error;
    }
    return window;
  }

  async #open(width, height, within) {
    const { env, folder } = this.surroundings;
    const [port, native] = [await freePort(), await freePort()];
    const args = ["--port", `${port}`, "--native-port", `${native}`];
    const log = join(folder, "tauri-driver.log");
    this.#helper = start("tauri-driver", args, { log, env });
    const server = `http://127.0.0.1:${port}`;
    await until("tauri-driver", async () => {
      if (this.#helper.failure) throw this.#helper.failure;
      return (await fetch(`${server}/status`)).ok;
    });
    const capabilities = new Capabilities({ "tauri:options": { application: BINARY } });
    capabilities.setBrowserName("wry");
    this.#driver = await new Builder().usingServer(server).withCapabilities(capabilities).build();
    await this.#driver.manage().setTimeouts({ script: 60_000 });
    await this.resize(width, height);
    await this.find("navigation", null, { within });
  }

  /** The process ids of Windlass; not of its machines. */
  get processes() {
    return descendants(this.#helper.pid).filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0] === BINARY;
      } catch {
        return false;
      }
    });
  }

  async resize(width, height) {
    await this.#driver.manage().window().setRect({ x: 0, y: 0, width, height });
  }

  // --- Finding -------------------------------------------------------------------------------------------------------

  /** All elements of a role and name; in the open dialog, where there is one. */
  async all(role, name = null, within = null) {
    return this.#driver.executeScript(FIND, role, wanted(name), within);
  }

  /** The first element of a role and name, once it is there. */
  async find(role, name = null, { within = 20_000, inside = null } = {}) {
    return until(
      `the ${role} ${name ?? ""}`,
      async () => (await this.all(role, name, inside))[0],
      { within },
    );
  }

  async gone(role, name = null, options) {
    await until(`the end of the ${role} ${name ?? ""}`, async () => (await this.all(role, name)).length === 0, options);
  }

  /** Presses a button (tab, link ...) once it can be pressed. */
  async press(name, { role = "button", within = 20_000, inside = null } = {}) {
    await until(
      `the ${role} ${name} to press`,
      async () => {
        const [element] = await this.all(role, name, inside);
        if (!element || !(await element.isEnabled())) return false;
        await element.click();
        return true;
      },
      { within },
    );
  }

  /** Opens what a row of a table stands for. Its name is pressed: a row has other things to press in it. */
  async openRow(name) {
    const row = await this.find("row", name);
    await (await row.findElement({ css: "strong" })).click();
  }

  async tab(name) {
    await this.press(name, { role: "tab" });
  }

  /** Goes to a place of the bar at the left. */
  async go(place) {
    await this.press(new RegExp(`^${place}\\b`), { inside: await this.find("navigation") });
  }

  async fill(role, name, text) {
    const element = await this.find(role, name);
    await element.click();
    await element.sendKeys(Key.chord(Key.CONTROL, "a"), text);
    return element;
  }

  async keys(...keys) {
    await this.#driver.actions().sendKeys(...keys).perform();
  }

  async chord(...keys) {
    const actions = this.#driver.actions();
    for (const key of keys) actions.keyDown(key);
    for (const key of keys.reverse()) actions.keyUp(key);
    await actions.perform();
  }

  /** All that can be read in the window. */
  async text(selector = "body") {
    return this.#driver.executeScript(
      "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility()).map((e) => e.innerText).join('\\n')",
      selector,
    );
  }

  async reads(words, { within = 20_000, selector = "body" } = {}) {
    const fits = (text) => (words instanceof RegExp ? words.test(text) : text.includes(words));
    let text = "";
    return until(`the words ${words}`, async () => fits((text = await this.text(selector))) && text, { within }).catch(
      (error) => {
        throw new Error(`${error.message}; there is:\n${text.slice(-1500)}`);
      },
    );
  }

  /** What the terminal shows. Its rows are as wide as the terminal: what was wrapped is in two of them. */
  async console(words, options) {
    return this.reads(words, { selector: ".xterm-rows", ...options });
  }

  async script(code, ...args) {
    return this.#driver.executeScript(code, ...args);
  }

  /** Gives a command to the core, past the screens; for what a test needs to know, not for what it shows. */
  async invoke(command, args = {}) {
    const answer = await this.#driver.executeAsyncScript(
      `const [command, args, done] = arguments;
       window.__TAURI_INTERNALS__.invoke(command, args).then((ok) => done({ ok }), (error) => done({ error }));`,
      command,
      args,
    );
    assert.ok(!("error" in answer), `${command}: ${JSON.stringify(answer.error)}`);
    return answer.ok;
  }

  // --- Doing ---------------------------------------------------------------------------------------------------------

  /** What Tauri tells when something is dropped on the window. */
  async drop(...paths) {
    for (const event of ["tauri://drag-enter", "tauri://drag-drop"]) await this.drag(event, paths);
  }

  async drag(event, paths = []) {
    await this.invoke("plugin:event|emit_to", {
      target: { kind: "Webview", label: "main" },
      event,
      payload: { paths, position: { x: 600, y: 400 } },
    });
  }

  /** Light or dark, by the setting. */
  async theme(theme) {
    const settings = await this.invoke("settings_get");
    await this.invoke("settings_set", { settings: { ...settings, theme } });
    await until(
      `the ${theme} theme`,
      () => this.script("return (document.documentElement.dataset.theme ?? 'system') === arguments[0]", theme),
    );
    await this.#settled();
  }

  /** What fades in has half its colour on the way: waits until nothing moves but what always does. */
  async #settled() {
    await sleep(50);
    await until("rest", () =>
      this.script(`return document.getAnimations().every((one) =>
        one.playState !== "running" || one.effect.getComputedTiming().iterations === Infinity)`),
    );
  }

  /** A picture of the window in target/window/, or at a path of one's own. */
  async screenshot(name) {
    await this.#settled();
    // What was changed last has been drawn when the second frame begins.
    await this.#driver.executeAsyncScript(
      "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()));",
    );
    const path = name.startsWith("/") ? name : join(RESULTS, `${name}.png`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, await this.#driver.takeScreenshot(), "base64");
    return path;
  }

  /**
   * Nothing that keeps people from using the window: axe finds nothing serious or critical. What it finds while a list
   * is still being filled, and not a moment later, kept nobody from anything.
   */
  async accessible(where) {
    await this.#settled();
    if (!(await this.script("return typeof window.axe === 'object'"))) await this.script(AXE);
    let found;
    await until("nothing that axe finds", async () => (found = await this.#axe()).length === 0, {
      within: 3000,
      every: 300,
    }).catch((error) => (found ??= [error.message]));
    assert.deepEqual(found, [], `axe, ${where}: ${found.join("\n")}`);
  }

  async #axe() {
    return this.#driver.executeAsyncScript(
      `const done = arguments[arguments.length - 1];
       window.axe.run(document, { resultTypes: ["violations"] }).then(
         ({ violations }) => done(violations
           .filter(({ impact }) => impact === "serious" || impact === "critical")
           .flatMap(({ id, help, nodes }) => nodes.map((node) =>
             id + ": " + help + "\\n  " + node.html.slice(0, 200) + "\\n  " + (node.failureSummary ?? "").replace(/\\s+/g, " ")))),
         (error) => done(["axe: " + error]));`,
    );
  }

  /** Ends the session and Windlass with it; machines go on. Waits until it is gone, or the next one would only raise it. */
  async close() {
    const windlass = this.#helper?.pid ? this.processes : [];
    await this.#driver?.quit().catch(() => {});
    await until("the end of Windlass", () => windlass.every((pid) => !runs(pid)), { within: 3000 }).catch(() => {});
    for (const pid of windlass) await end(pid);
    await this.forget();
  }

  /** Ends the drivers alone, after the window was closed by itself. */
  async forget() {
    if (!this.#helper?.pid) return;
    const left = descendants(this.#helper.pid).filter((pid) => !machines(this.surroundings).includes(pid));
    for (const pid of [this.#helper.pid, ...left]) await end(pid);
  }
}

/** The QEMUs that run in these surroundings. */
export function machines({ home }) {
  return processesNaming(home).filter((pid) => {
    try {
      return /qemu-system/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0]);
    } catch {
      return false;
    }
  });
}
