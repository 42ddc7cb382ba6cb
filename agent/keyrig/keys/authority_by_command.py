"""Certification by a program of the rig's owner, which reaches the authority."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gbcs.printable import printable
from keyrig.base.clock import second_text
from keyrig.base.errors import (
    AuthorityMistaken,
    AuthorityRefused,
    AuthorityUnavailable,
    FileInvalid,
)
from keyrig.keys.certification_order import Later
from keyrig.keys.given_certificates import GIVEN_MAXIMUM_OCTETS, certificates_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from keyrig.keys.certification_order import CertificationOrder
    from keyrig.keys.given_certificates import GivenCertificate

EXIT_CERTIFIED: Final = 0
EXIT_LATER: Final = os.EX_TEMPFAIL
"""75: the authority has the request; ask again with a later run."""
EXIT_NO: Final = os.EX_NOPERM
"""77: the authority will not certify this request."""
SHOWN_CHARACTERS: Final = 400
_TEXT_MAXIMUM_OCTETS: Final = 16 * 1024
_READ_OCTETS: Final = 64 * 1024
_LOOK_S: Final = 0.05
"""The interval at which a program that keeps its pipes open is polled for its end."""
_KILL_S: Final = 1.0
_PRIVATE_KEY: Final = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,20}-----|\Z)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a program ended, and what it wrote."""

    code: int
    output: bytes
    text: str


class CommandAuthority:
    """A program that reads a request on standard input and writes the certificate to its output.

    It is called with one further argument: `certify`, with the request in PEM on standard input;
    or `probe`, when it certifies nothing and says by its exit code whether it could. In its
    environment are KEYRIG_DEVICE, KEYRIG_KEY_USAGE, KEYRIG_KEY_IDENTIFIER and KEYRIG_DUE_BY.
    Exit code 0 is certified, 75 later, 77 refused; any other, failed.

    Args:
        command: The program and its arguments; a relative path is below `folder`.
        timeout_s: How long it may take, in seconds.
        folder: Its working folder.
        monotonic: Returns monotonic seconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,
        folder: Path,
        monotonic: Callable[[], float],
    ) -> None:
        program = command[0]
        if "/" in program and not program.startswith("/"):
            program = str(folder / program)
        self._command = [program, *command[1:]]
        self._timeout_s = timeout_s
        self._folder = folder
        self._monotonic = monotonic
        self.name = f"command {printable(Path(program).name, 80)}"

    def probe(self) -> str:
        """Ask the program whether it could certify; see `CertificateAuthority`."""
        ended = self._run("probe", b"", {})
        if ended.code != 0:
            raise self._failed("probe", ended)
        return ended.text or "ready"

    def certify(
        self, order: CertificationOrder, now: datetime
    ) -> Sequence[GivenCertificate] | Later:
        """Ask the program for the certificate of one request; see `CertificateAuthority`."""
        del now
        due_by = "" if order.due_by is None else second_text(order.due_by)
        ended = self._run(
            "certify",
            x509.load_der_x509_csr(order.request).public_bytes(Encoding.PEM),
            {
                "KEYRIG_DEVICE": str(order.device),
                "KEYRIG_KEY_USAGE": order.key_usage.gbcs_name,
                "KEYRIG_KEY_IDENTIFIER": order.key_identifier.hex(),
                "KEYRIG_DUE_BY": due_by,
            },
        )
        if ended.code == EXIT_LATER:
            return Later(f"{self.name} says later{_said(ended.text)}")
        if ended.code == EXIT_NO:
            raise AuthorityRefused(
                self.name,
                f"says no to the {order}{_said(ended.text)}",
                "ask the authority why; `keyrig pki void` gives the request up",
            )
        if ended.code != EXIT_CERTIFIED:
            raise self._failed("certify", ended)
        try:
            return certificates_in(ended.output, self.name)
        except FileInvalid as error:
            raise AuthorityMistaken(
                self.name,
                f"ends with 0 for the {order}, and its output is: {error.reason}",
                "have it print the certificate, and end with 75 for later or 77 for no",
            ) from error

    def _failed(self, call: str, ended: _Ended) -> AuthorityUnavailable:
        how = f"is ended by signal {-ended.code}" if ended.code < 0 else f"ends with {ended.code}"
        return AuthorityUnavailable(
            self.name, f"{call} {how}{_said(ended.text)}", "mend the program, or what it needs"
        )

    def _run(self, call: str, given: bytes, variables: Mapping[str, str]) -> _Ended:
        """Run the program until it ends or its time is over.

        Raises:
            AuthorityUnavailable: It cannot be started, takes too long, or writes too much.
        """
        process = self._started(call, given, variables)
        try:
            return self._watched(process, call)
        finally:
            # Its children may still hold its pipes.
            _end_all_of(process)

    def _started(
        self, call: str, given: bytes, variables: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start the program with a request on standard input.

        Raises:
            AuthorityUnavailable: It cannot be started.
        """
        try:
            # The pipe of a program that reads nothing would not take it all.
            request = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
            with request:
                request.write(given)
                request.seek(0)
                kept = os.dup(request.fileno())
        except OSError as error:
            raise AuthorityUnavailable(
                self.name,
                f"the request cannot be kept for it in a temporary file: {error.strerror}",
                "make room on the disk of temporary files",
            ) from error
        try:
            return subprocess.Popen(  # noqa: S603 - the rig's owner names the program
                [*self._command, call],
                stdin=kept,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._folder,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        except OSError as error:
            raise AuthorityUnavailable(
                self.name,
                f"{printable(self._command[0])} cannot be started: {error.strerror}",
                "correct command of [certification] in the rig file",
            ) from error
        finally:
            os.close(kept)

    def _watched(self, process: subprocess.Popen[bytes], call: str) -> _Ended:
        deadline = self._monotonic() + self._timeout_s
        output, text = bytearray(), bytearray()
        with selectors.PollSelector() as selector:
            selector.register(_pipe(process.stdout), selectors.EVENT_READ, output)
            selector.register(_pipe(process.stderr), selectors.EVENT_READ, text)
            while selector.get_map():
                remaining_s = deadline - self._monotonic()
                if remaining_s <= 0:
                    raise self._late(call)
                has_ended = process.poll() is not None
                ready = selector.select(0 if has_ended else min(remaining_s, _LOOK_S))
                if has_ended and not ready:
                    # A child that goes on, such as a master connection of ssh, keeps the pipes.
                    break
                for key, _ in ready:
                    octets = os.read(key.fd, _READ_OCTETS)
                    if not octets:
                        selector.unregister(key.fileobj)
                    elif key.data is output or len(text) < _TEXT_MAXIMUM_OCTETS:
                        key.data.extend(octets)
                if len(output) > GIVEN_MAXIMUM_OCTETS:
                    raise AuthorityUnavailable(
                        self.name,
                        f"{call} writes more than {GIVEN_MAXIMUM_OCTETS} octets",
                        "have it print the certificate alone",
                    )
        try:
            code = process.wait(max(0.0, deadline - self._monotonic()))
        except subprocess.TimeoutExpired:
            raise self._late(call) from None
        said = _PRIVATE_KEY.sub(b"(a private key, left out)", text).decode("utf-8", "replace")
        return _Ended(code, bytes(output), printable(" ".join(said.split()), SHOWN_CHARACTERS))

    def _late(self, call: str) -> AuthorityUnavailable:
        return AuthorityUnavailable(
            self.name,
            f"{call} has not ended within {self._timeout_s:g} s, and was ended",
            "have it end with 75 where the authority takes longer, or set timeout_s",
        )


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _end_all_of(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and its children, which are a session of their own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdout, process.stderr):
        _pipe(pipe).close()
    # One that runs as another user, as by sudo, cannot be ended, and is not waited for.
    with suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_S)


def _said(text: str) -> str:
    return f": {text}" if text else ""
