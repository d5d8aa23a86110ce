/**
 * The window in an ordinary browser, on the world that the address names: `?world=empty`, `?world=busy&count=1000`; with
 * `&entries=10000` an image's root has so many files of long names. `theme`, `language` and `place` are what they are called.
 */
import { imageEntry, volume } from "../disks";
import { busyWorld, emptyWorld, install } from "../fixture";

const query = new URLSearchParams(location.search);
const world =
  query.get("world") === "busy" ? busyWorld(Number(query.get("count") ?? 3)) : emptyWorld();
if (query.has("language")) world.settings.language = query.get("language") as "en" | "de";
if (query.has("theme")) world.settings.theme = query.get("theme") as "light" | "dark";
const entries = Number(query.get("entries") ?? 0);
if (entries > 0) {
  const long =
    "a-name-that-is-much-longer-than-what-anybody-would-type-but-that-build-tools-make-every-day";
  const numbers = [...Array(entries).keys()];
  world.disks.entries["/"]?.push(
    ...numbers.map((number) => imageEntry(`/${number}-${long}.${number % 7}.min.js.map`)),
  );
  world.disks.volumes.push(
    ...numbers.slice(0, 400).map((number) => volume(`${long.slice(0, 60)}-${number}`)),
  );
}
if (query.has("place")) localStorage.setItem("windlass.place", query.get("place") ?? "");
Object.assign(window, { fixture: { ...install(world), world } });
await import("../../src/main");
