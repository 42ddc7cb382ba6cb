"""A stand-in for an enrolment server of RFC 7030, on the loopback address."""

from __future__ import annotations

import base64
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from strangers.openssl_pki import openssl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from strangers.openssl_pki import OpenSSLPKI

PATH: Final = "/.well-known/est"


@dataclass
class Enrolment:
    """What the server does, to be set by a test; and what it was asked.

    Args:
        pki: Certifies.
        status: What `simpleenroll` answers; 200 certifies.
        retry_after: The header's value beside 202.
        starts_when_given: Whether it waits until the second has come in which a certificate
            starts to be valid, so that none is valid yet when its request comes.
    """

    pki: OpenSSLPKI
    status: int = 200
    retry_after: str = "3600"
    starts_when_given: bool = False
    url: str = ""
    requests: list[bytes] = field(default_factory=list)

    def answer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body for a posted request."""
        request = base64.b64decode(body)
        self.requests.append(request)
        if self.status == 202:
            return 202, {"Retry-After": self.retry_after}, b"wait"
        if self.status != 200:
            return self.status, {}, b"this device is not known here"
        certificate = openssl(
            "x509", "-inform", "DER", given=self._certified(request)
        ) + self.pki.file("device-issuing").read_bytes()  # fmt: skip
        bag = openssl(
            "crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", "DER", given=certificate
        )
        headers = {
            "Content-Type": "application/pkcs7-mime; smime-type=certs-only",
            "Content-Transfer-Encoding": "base64",
        }
        return 200, headers, base64.encodebytes(bag)

    def _certified(self, request: bytes) -> bytes:
        if not self.starts_when_given:
            return self.pki.certify(request)
        now = datetime.now(UTC)
        start = now.replace(microsecond=0) + timedelta(seconds=1)
        certificate = self.pki.certify(request, start=start)
        threading.Event().wait(max(0.0, (start - datetime.now(UTC)).total_seconds()))
        return certificate


@contextmanager
def enrolment_server(pki: OpenSSLPKI) -> Iterator[Enrolment]:
    """Run a server for as long as the context lasts."""
    enrolment = Enrolment(pki)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == f"{PATH}/cacerts"
            self._say(200 if known else 404, {}, b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_right = (
                self.path == f"{PATH}/simpleenroll"
                and self.headers["Content-Type"] == "application/pkcs10"
                and self.headers["Content-Transfer-Encoding"] == "base64"
            )
            self._say(*(enrolment.answer(body) if is_right else (404, {}, b"")))

        def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        enrolment.url = f"http://127.0.0.1:{server.server_port}{PATH}"
        yield enrolment
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
