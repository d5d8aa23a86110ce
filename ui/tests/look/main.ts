/** The window in an ordinary browser, on the world that the address names: `?world=empty`, `?world=busy&count=1000`. */
import { busyWorld, emptyWorld, install } from "../fixture";

const query = new URLSearchParams(location.search);
const world =
  query.get("world") === "busy" ? busyWorld(Number(query.get("count") ?? 3)) : emptyWorld();
if (query.has("language")) world.settings.language = query.get("language") as "en" | "de";
if (query.has("place")) localStorage.setItem("windlass.place", query.get("place") ?? "");
Object.assign(window, { fixture: { ...install(world), world } });
await import("../../src/main");
