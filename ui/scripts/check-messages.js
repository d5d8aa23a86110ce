// Fails when a message is missing in one of the languages, is empty, or takes other values than its sibling.
import { readFileSync, readdirSync } from "node:fs";

const folder = new URL("../messages/", import.meta.url);
const catalogues = Object.fromEntries(
  readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .map((file) => [file.slice(0, -5), JSON.parse(readFileSync(new URL(file, folder), "utf8"))]),
);
const placeholders = (message) =>
  [...new Set(JSON.stringify(message).match(/\{[a-zA-Z]+\}/g) ?? [])].sort().join(" ");

const problems = [];
const base = catalogues.en;
for (const [language, messages] of Object.entries(catalogues)) {
  for (const [key, message] of Object.entries(base)) {
    if (!(key in messages)) problems.push(`${language}: "${key}" is missing`);
    else if (messages[key] === "") problems.push(`${language}: "${key}" is empty`);
    else if (placeholders(messages[key]) !== placeholders(message))
      problems.push(
        `${language}: "${key}" takes ${placeholders(messages[key]) || "nothing"}, English takes ${placeholders(message) || "nothing"}`,
      );
  }
  for (const key of Object.keys(messages))
    if (!(key in base)) problems.push(`${language}: "${key}" is not in English`);
}

// A message that no source mentions is one that nobody will notice going stale.
const sources = readdirSync(new URL("../src/", import.meta.url), {
  recursive: true,
  withFileTypes: true,
})
  .filter((entry) => entry.isFile() && /\.(svelte|ts)$/.test(entry.name))
  .filter((entry) => !entry.parentPath.includes("/messages"))
  .map((entry) => readFileSync(`${entry.parentPath}/${entry.name}`, "utf8"))
  .join("\n");
for (const key of Object.keys(base))
  if (!key.startsWith("$") && !new RegExp(`\\bm\\.${key}\\b`).test(sources))
    problems.push(`"${key}" is used nowhere`);

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
console.log(
  `messages: ${Object.keys(base).length} in ${Object.keys(catalogues).join(", ")}, complete`,
);
