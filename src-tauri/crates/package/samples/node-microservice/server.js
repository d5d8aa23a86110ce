// A small HTTP service: a page for people, a health check for monitors, a line per request.
'use strict';

const http = require('node:http');
const os = require('node:os');

const port = Number(process.env.PORT || 8080);
const greeting = process.env.GREETING || 'Hello from a machine of its own';
const started = Date.now();
let requests = 0;

const escape = (text) =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);

const uptime = () => Math.round((Date.now() - started) / 1000);

const page = () => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(greeting)}</title>
<style>
  :root { color-scheme: light dark; font: 18px/1.6 system-ui, sans-serif; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; }
  main { max-width: 34rem; padding: 2rem; }
  h1 { line-height: 1.2; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; }
  dt { opacity: .7; }
  dd { margin: 0; font-variant-numeric: tabular-nums; }
</style>
<main>
  <h1>${escape(greeting)}</h1>
  <p>This page was served by a virtual machine that holds one program and nothing else.</p>
  <dl>
    <dt>Node.js</dt><dd>${process.versions.node}</dd>
    <dt>Kernel</dt><dd>${escape(os.type())} ${escape(os.release())}</dd>
    <dt>Running for</dt><dd>${uptime()} s</dd>
    <dt>Requests</dt><dd>${requests}</dd>
  </dl>
  <p><a href="/health">Health check</a></p>
</main>
</html>
`;

const answer = (request) => {
  const path = request.url.split('?')[0];
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return [405, 'text/plain; charset=utf-8', 'Only GET is served here.\n'];
  }
  if (path === '/') return [200, 'text/html; charset=utf-8', page()];
  if (path === '/health') {
    const health = { status: 'ok', uptimeSeconds: uptime(), requests };
    return [200, 'application/json', JSON.stringify(health) + '\n'];
  }
  return [404, 'text/plain; charset=utf-8', 'There is nothing here. Try / or /health.\n'];
};

const server = http.createServer((request, response) => {
  requests += 1;
  const [status, type, body] = answer(request);
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(request.method === 'HEAD' ? undefined : body);
  console.log(`${new Date().toISOString()} ${request.method} ${request.url} ${status}`);
});

server.on('error', (error) => {
  console.error(`cannot listen on port ${port}: ${error.message}`);
  process.exit(1);
});

server.listen(port, '0.0.0.0', () => console.log(`listening on port ${port}`));

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    console.log(`${signal}: closing`);
    server.close(() => process.exit(0));
    server.closeAllConnections?.();
  });
}
