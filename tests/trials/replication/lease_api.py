"""An imitation of the API server, as far as Leases go: as kube-apiserver 1.34.4 was measured to behave.

Creating what is there and replacing another version than the present one is a 409; replacing what is not there
creates it, whatever its version was. What is written again as it is keeps its version. A lease lasts a positive
number of seconds, and its times have six digits. Whoever has another token is told 401, and who asks for a
Lease that the role does not name 403.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import trustme

NAMESPACE: Final = "slad"
TOKEN: Final = "a-token"
NAMED: Final = "slad"
"""The Lease that the role of ops/kubernetes/replicated/slad.yaml names."""

MICRO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
LEASES: Final = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


class Leases:
    """What the server keeps, by name."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self._version = 40
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            name = body["metadata"]["name"] if body else path.removeprefix(f"{LEASES}/")
            present = self.objects.get(name)
            if method != "POST" and name != NAMED:
                return 403, {"reason": "Forbidden"}
            if method == "GET":
                return (200, present) if present else (404, {"reason": "NotFound"})
            if not MICRO_TIME.fullmatch(body["spec"]["renewTime"]):
                return 400, {"reason": "BadRequest"}
            version = body["metadata"].pop("resourceVersion", "")
            if version and not version.isdecimal():
                return 500, {"reason": ""}
            if method == "POST" and present:
                return 409, {"reason": "AlreadyExists"}
            if body["spec"]["leaseDurationSeconds"] <= 0 or (present and not version):
                return 422, {"reason": "Invalid"}
            if present:
                if version != present["metadata"]["resourceVersion"]:
                    return 409, {"reason": "Conflict"}
                body["metadata"]["resourceVersion"] = version
                if body == present:
                    return 200, present
            self._version += 1
            body["metadata"]["resourceVersion"] = str(self._version)
            self.objects[name] = body
            return 200 if present else 201, body


@contextmanager
def lease_api(
    folder: Path, leases: Leases | None = None, host: str = "127.0.0.1"
) -> Iterator[dict[str, str]]:
    """The variables with which a pod finds the server and its account."""
    kept = leases or Leases()
    ca, account = trustme.CA(), folder / "account"
    account.mkdir()
    ca.cert_pem.write_to_path(str(account / "ca.crt"))
    (account / "namespace").write_text(NAMESPACE)
    (account / "token").write_text(TOKEN)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            known = self.headers["Authorization"] == f"Bearer {TOKEN}"
            code, told = (
                kept.answer(self.command, self.path, body) if known else (401, {"reason": "Unauthorized"})
            )
            content = json.dumps(told).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _handle  # noqa: N815 - as the library looks for them

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    server = Server((host, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host).configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": str(server.server_address[1]),
            "SLAD_LEASE_ACCOUNT": str(account),
        }
    finally:
        server.shutdown()
