/** Numbers, sizes and times as people read them, in the window's language. */
import { getLocale } from "./messages/runtime.js";

const cache = new Map<string, unknown>();

function cached<T>(key: string, make: (locale: string) => T): T {
  const locale = getLocale();
  const full = `${locale}:${key}`;
  if (!cache.has(full)) cache.set(full, make(locale));
  return cache.get(full) as T;
}

export function formatNumber(value: number, fractionDigits = 0): string {
  return cached(
    `number${fractionDigits}`,
    (locale) => new Intl.NumberFormat(locale, { maximumFractionDigits: fractionDigits }),
  ).format(value);
}

const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A size in binary units with up to three digits: 999 B, 1.4 KiB, 23 MiB. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < BINARY_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${formatNumber(value, unit > 0 && value < 10 ? 1 : 0)} ${BINARY_UNITS[unit]}`;
}

/** A length of time with its two largest units: 12 ms, 0.4 s, 12 s, 3 min 5 s, 2 h 10 min. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds > 0 && milliseconds < 95) return `${Math.ceil(milliseconds)} ms`;
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 10) return `${formatNumber(seconds, 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** How long ago, or how far ahead: "3 minutes ago", "now". */
export function formatRelative(iso: string, now: number): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  const format = cached(
    "relative",
    (locale) => new Intl.RelativeTimeFormat(locale, { numeric: "auto" }),
  );
  for (const [unit, length] of STEPS) {
    if (Math.abs(seconds) >= length) return format.format(Math.trunc(seconds / length), unit);
  }
  return format.format(0, "second");
}

/** The exact local time, for hovering over a relative one. */
export function formatExact(iso: string): string {
  return cached(
    "exact",
    (locale) => new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "long" }),
  ).format(new Date(iso));
}

/** The permissions of a file as `ls` writes them: "rwxr-xr-x". */
export function formatMode(mode: number): string {
  const letters = "rwxrwxrwx";
  const bits = [...letters].map((letter, index) => (mode & (0o400 >> index) ? letter : "-"));
  const special: [number, number, string][] = [
    [0o4000, 2, "s"],
    [0o2000, 5, "s"],
    [0o1000, 8, "t"],
  ];
  for (const [bit, place, letter] of special)
    if (mode & bit) bits[place] = bits[place] === "x" ? letter : letter.toUpperCase();
  return bits.join("");
}

/** A digest short enough for a table; the whole of it is copied. */
export function shortDigest(digest: string): string {
  return digest.replace(/^\w+:/, "").slice(0, 12);
}

/** The last component of a path. */
export function fileName(path: string): string {
  return path.split("/").filter(Boolean).pop() ?? path;
}

/** A time of day, for an axis: 14:05. */
export function formatClock(milliseconds: number): string {
  return cached(
    "clock",
    (locale) => new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" }),
  ).format(milliseconds);
}
