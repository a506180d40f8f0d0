"""A child process that behaves like a server, or fails to: `fake_child.py MODE --host HOST --port PORT`."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None: ...


mode, port = sys.argv[1], int(sys.argv[sys.argv.index("--port") + 1])
if mode == "fail":
    print("loading\nno such model: toy\n\n", file=sys.stderr)
    sys.exit(3)
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
