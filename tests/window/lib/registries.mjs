/** Registries on loopback: a folder on a web server, and the distribution's OCI registry. */
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ROOT } from "./surroundings.mjs";

const DOCKER_REGISTRY =
  process.env.WINDLASS_TEST_OCI_REGISTRY ?? join(ROOT, "target/tools/docker-registry/usr/bin/docker-registry");

export function write(folder, files) {
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return folder;
}

/** A package as Capstan keeps it: NAME.mpm with its manifest beside it. */
export function shelve(shelf, name, { version = "1.0.0", title = `The ${name}`, require = [], files = {}, meta = {}, more = "" } = {}) {
  const manifest = [
    `name: ${name}`,
    `title: "${title}"`,
    "author: Somebody",
    `version: ${version}`,
    `require: [${require.join(", ")}]`,
    more,
  ].join("\n");
  const tree = write(join(shelf, `.${name}`), {
    ...files,
    ...Object.fromEntries(Object.entries(meta).map(([file, text]) => [`meta/${file}`, text])),
    "meta/package.yaml": `${manifest}\n`,
  });
  const packages = join(shelf, "packages");
  mkdirSync(packages, { recursive: true });
  execFileSync("tar", ["-czf", join(packages, `${name}.mpm`), "-C", tree, "."]);
  writeFileSync(join(packages, `${name}.yaml`), `${manifest}\n`);
}

/** A web server with a folder's files and listings of them. What `slow` names takes so many seconds. */
export async function serveFolder(folder, slow = {}) {
  const server = createServer(async ({ url }, response) => {
    const path = join(folder, decodeURIComponent(url.split("?")[0]));
    if (!path.startsWith(folder) || !existsSync(path)) return response.writeHead(404).end();
    if (statSync(path).isDirectory()) {
      const names = readdirSync(path, { withFileTypes: true })
        .filter(({ name }) => !name.startsWith("."))
        .map((entry) => entry.name + (entry.isDirectory() ? "/" : ""));
      const lines = names.map((name) => `<a href="${encodeURI(name)}">${name}</a>\n`);
      return response.writeHead(200, { "Content-Type": "text/html" }).end(`<!DOCTYPE html><html><body>${lines.join("")}</body></html>`);
    }
    const bytes = readFileSync(path);
    response.writeHead(200, { "Content-Length": bytes.length });
    const seconds = slow[url.split("/").pop()] ?? 0;
    const step = Math.ceil(bytes.length / (40 * seconds || 1));
    const pieces = Math.ceil(bytes.length / step);
    for (let at = 0; at < bytes.length; at += step) {
      response.write(bytes.subarray(at, at + step));
      // However few bytes there are, it takes as long as was said.
      if (seconds > 0) await sleep((1000 * seconds) / pieces);
    }
    response.end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

/** The OCI registry of the package docker-registry, with an image `team/app:1.4` of one shell script in it. */
export async function serveImages(surroundings) {
  const { folder } = surroundings;
  const config = join(folder, "registry.yml");
  writeFileSync(
    config,
    `version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: ${join(folder, "registry")}\nhttp:\n  addr: 127.0.0.1:0\n`,
  );
  const said = () => /listening on (127\.0\.0\.1:\d+)/.exec(readFileSync(join(folder, "docker-registry.log"), "utf8"));
  await surroundings.start(DOCKER_REGISTRY, ["serve", config], () => said());
  const address = said()[1];
  const send = async (method, url, type, body) => {
    const answer = await fetch(new URL(url, `http://${address}`), { method, body, headers: { "Content-Type": type } });
    if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${await answer.text()}`);
    return answer;
  };
  const blob = async (mediaType, bytes) => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const begun = await send("POST", "/v2/team/app/blobs/uploads/", mediaType, "");
    const place = new URL(begun.headers.get("location"), `http://${address}`);
    place.searchParams.set("digest", digest);
    await send("PUT", place, "application/octet-stream", bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const root = write(join(folder, "image"), { "opt/app": "#!/bin/sh\necho hello\n" });
  const layer = execFileSync("tar", ["--mode=755", "-cf", "-", "-C", root, "opt"]);
  const digest = createHash("sha256").update(layer).digest("hex");
  const settings = JSON.stringify({
    os: "linux",
    architecture: "amd64",
    config: { Cmd: ["/opt/app"] },
    rootfs: { type: "layers", diff_ids: [`sha256:${digest}`] },
  });
  const manifest = "application/vnd.oci.image.manifest.v1+json";
  await send(
    "PUT",
    "/v2/team/app/manifests/1.4",
    manifest,
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifest,
      config: await blob("application/vnd.oci.image.config.v1+json", Buffer.from(settings)),
      layers: [await blob("application/vnd.oci.image.layer.v1.tar", layer)],
    }),
  );
  return address;
}
