// First: what comes after it asks for the language.
import "./language";
import "@fontsource-variable/inter";
import "@fontsource-variable/jetbrains-mono";
import { mount } from "svelte";
import App from "./App.svelte";
import { appliances } from "./stores/appliances.svelte";
import { samples } from "./stores/samples.svelte";
import { settings } from "./stores/settings.svelte";
import "./styles/base.css";
import "./styles/tokens.css";

/** The window shows itself after this long, even if something is late. */
const LATEST_MS = 300;

const target = document.getElementById("app");
if (!target) throw new Error("index.html has no #app");

// Theme, language, font and what the first screen lists are there before the first paint, so that nothing flickers or
// jumps. App reads the lists once more when it has begun to listen.
const late = new Promise((resolve) => setTimeout(resolve, LATEST_MS));
const ready = Promise.all([
  settings.load(),
  appliances.load(),
  samples.load(),
  ...["400", "500", "600"].map((weight) => document.fonts.load(`${weight} 14px "Inter Variable"`)),
]);
await Promise.race([ready, late]);
settings.applyTheme();
mount(App, { target });
