"""A small HTTP service: a page for people, a health check for monitors, a line per request."""

import html
import itertools
import json
import os
import platform
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT") or 8080)
GREETING = os.environ.get("GREETING") or "Hello from a machine of its own"
STARTED = time.monotonic()

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{greeting}</title>
<style>
  :root {{ color-scheme: light dark; font: 18px/1.6 system-ui, sans-serif; }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; }}
  main {{ max-width: 34rem; padding: 2rem; }}
  h1 {{ line-height: 1.2; }}
  dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; }}
  dt {{ opacity: .7; }}
  dd {{ margin: 0; font-variant-numeric: tabular-nums; }}
</style>
<main>
  <h1>{greeting}</h1>
  <p>This page was served by a virtual machine that holds one program and nothing else.</p>
  <dl>
    <dt>Python</dt><dd>{version}</dd>
    <dt>Kernel</dt><dd>{kernel}</dd>
    <dt>Running for</dt><dd>{uptime} s</dd>
    <dt>Requests</dt><dd>{requests}</dd>
  </dl>
  <p><a href="/health">Health check</a></p>
</main>
</html>
"""


def uptime():
    return round(time.monotonic() - STARTED)


class Service(BaseHTTPRequestHandler):
    """Answers two paths; everything else is not here."""

    protocol_version = "HTTP/1.1"
    counter = itertools.count(1)

    def do_GET(self):
        requests = next(self.counter)
        path = self.path.split("?")[0]
        if path == "/":
            page = PAGE.format(
                greeting=html.escape(GREETING),
                version=platform.python_version(),
                kernel=html.escape(" ".join(os.uname()[0:3:2])),
                uptime=uptime(),
                requests=requests,
            )
            self.answer(200, "text/html; charset=utf-8", page)
        elif path == "/health":
            health = {"status": "ok", "uptimeSeconds": uptime(), "requests": requests}
            self.answer(200, "application/json", json.dumps(health) + "\n")
        else:
            text = "There is nothing here. Try / or /health.\n"
            self.answer(404, "text/plain; charset=utf-8", text)

    do_HEAD = do_GET

    def answer(self, status, content_type, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def address_string(self):
        return str(self.client_address[0])

    def log_message(self, format, *arguments):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(now, format % arguments, flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self):
        # Without the look-up of this machine's own name, which waits for DNS.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]


def main():
    try:
        server = Server(("0.0.0.0", PORT), Service)
    except OSError as error:
        sys.exit(f"cannot listen on port {PORT}: {error}")

    def close(number, _frame):
        print(f"{signal.Signals(number).name}: closing", flush=True)
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, close)
    print(f"listening on port {PORT}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
