"""A local server that does everything a bad day has in store."""

import hashlib
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Site:
    """What the server holds, and how it misbehaves."""

    def __init__(self):
        self.files = {}  # path -> bytes
        self.faults = {}  # path -> deque of faults, one a request
        self.ranges = True
        self.tags = True
        self.dates = False
        self.lengths = True
        self.requests = []  # (method, path, range)

    def tag(self, path):
        return '"' + hashlib.sha256(self.files[path]).hexdigest()[:16] + '"'

    def starts(self, path):
        """Byte from which each GET of a path asked."""
        asked = [r for m, p, r in self.requests if p == path and m == "GET"]
        return [int(r.removeprefix("bytes=").rstrip("-")) if r else 0 for r in asked]


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        site, path = self.server.site, self.path
        self.protocol_version = "HTTP/1.1" if site.lengths else "HTTP/1.0"
        wanted = self.headers.get("Range")
        site.requests.append((self.command, path, wanted))
        queue = site.faults.get(path)
        fault = queue.popleft() if body and queue else None
        if callable(fault):
            fault = fault()
        if isinstance(fault, int):
            self.send_response(fault)
            if fault == 429:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path not in site.files:
            self.send_error(404)
            return
        data = site.files[path]
        tag, date = site.tag(path), formatdate(1e9 + data[0], usegmt=True)
        start = 0
        held = {t for t, used in ((tag, site.tags), (date, site.dates)) if used}
        if wanted and site.ranges and (self.headers.get("If-Range") in held or fault == "glue"):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if wanted and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if site.lengths:
            self.send_header("Content-Length", str(len(data) - start))
        if site.tags:
            self.send_header("ETag", tag)
        if site.dates:
            self.send_header("Last-Modified", date)
        self.end_headers()
        if not body:
            return
        rest = data[start:]
        if fault == "truncate":
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True
        elif fault == "stall":
            self.wfile.write(rest[:1000])
            self.wfile.flush()
            self.server.released.wait(60)
            self.close_connection = True
        else:
            self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.site = Site()
    server.released = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    server.site.base = f"http://127.0.0.1:{server.server_address[1]}"
    yield server.site
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()
