"""The server: its socket, its TLS, its start and its shutdown."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.concurrency import run_in_threadpool
from typing_extensions import override

from keyrig.api.application import application
from keyrig.api.middleware import LOOPBACK_HOSTS, Front
from keyrig.base.errors import SettingsError
from keyrig.base.lock_files import open_lock
from keyrig.config.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keyrig.api.api_service import Service
    from keyrig.config.settings import ServeSettings

UNIX: Final = "unix:"
SOCKET_MODE: Final = 0o600
BACKLOG: Final = 2048
_GRACE_S: Final = 5


@dataclass(frozen=True, slots=True)
class Listening:
    """A listening socket.

    Args:
        socket: The socket.
        url: The server's address.
        hosts: The hosts that requests may name, or None for any.
        path: The file of a Unix socket.
    """

    socket: socket.socket
    url: str
    hosts: frozenset[str] | None
    path: Path | None = None

    def close(self) -> None:
        """Close the socket, and remove its file."""
        self.socket.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def check_settings(settings: ServeSettings) -> None:
    """Check that the server may listen as the settings say.

    Raises:
        SettingsError: It would listen off this machine without TLS.
    """
    if settings.listen.startswith(UNIX):
        return
    host = settings.listen.rpartition(":")[0]
    if not is_loopback(host) and settings.tls_certificate is None:
        raise SettingsError(
            f"serve.listen = {settings.listen}",
            "off the loopback address TLS is demanded",
            "set serve.tls_certificate and serve.tls_key, or listen on 127.0.0.1 or unix:PATH",
        )


def listen(settings: ServeSettings, data_folder: Path) -> Listening:
    """Open the socket that the settings name.

    Raises:
        SettingsError: It cannot be opened.
    """
    check_settings(settings)
    if settings.listen.startswith(UNIX):
        return _listen_unix(data_folder / settings.listen.removeprefix(UNIX))
    host, _, port = settings.listen.rpartition(":")
    host = host.strip("[]")
    is_secure = settings.tls_certificate is not None
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(BACKLOG)
        except BaseException:
            made.close()
            raise
    except OSError as error:
        raise SettingsError(
            f"serve.listen = {settings.listen}",
            f"it cannot be had: {error.strerror}",
            "name an address of this machine and a port that is free",
        ) from None
    made.setblocking(False)
    shown = f"[{host}]" if family is socket.AF_INET6 else host
    scheme = "https" if is_secure else "http"
    hosts = frozenset({*LOOPBACK_HOSTS, host.lower()}) if is_loopback(host) else None
    return Listening(made, f"{scheme}://{shown}:{made.getsockname()[1]}", hosts)


def _listen_unix(path: Path) -> Listening:
    """Open a Unix socket for its owner alone; one on which nobody listens is replaced."""
    _remove_stale(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(str(path))
        # Before listen() nobody can connect, so the mode that the umask gave does no harm.
        path.chmod(SOCKET_MODE)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise SettingsError(
            f"serve.listen = {UNIX}{path}",
            f"it cannot be had: {error.strerror or error}",
            "name a path in a folder that is there, of some 100 characters at most",
        ) from None
    made.setblocking(False)
    return Listening(made, f"{UNIX}{path}", None, path)


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    where = f"serve.listen = {UNIX}{path}"
    if not stat.S_ISSOCK(mode):
        raise SettingsError(where, "there is a file that is no socket", "name another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SettingsError(where, f"{error.strerror}", "name another path") from None
        else:
            raise SettingsError(where, "another server listens there", "stop it first")


class Server(uvicorn.Server):
    """A uvicorn server whose shutdown stops runs first, then ends streams, then closes.

    Args:
        service: The service that is served.
        listening: Its socket.
    """

    def __init__(self, service: Service, listening: Listening) -> None:
        settings, data_folder = service.settings.serve, service.data_folder
        front = Front(
            application(service),
            hosts=listening.hosts,
            figures=service.figures,
            seconds=service.seconds,
        )
        certificate, key = settings.tls_certificate, settings.tls_key
        config = uvicorn.Config(
            front,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=_GRACE_S,
            ssl_certfile=None if certificate is None else str(data_folder / certificate),
            ssl_keyfile=None if key is None else str(data_folder / key),
        )
        super().__init__(config)
        self._service = service
        self._listening = listening
        self._on_started: Callable[[], None] = lambda: None

    def load(self) -> None:
        """Read the certificate, so that its faults are known before anything begins.

        Raises:
            SettingsError: It cannot be used.
        """
        try:
            self.config.load()
        except OSError as error:
            raise SettingsError(
                "serve.tls_certificate and serve.tls_key",
                f"they cannot be used: {error.strerror or error}",
                "name a certificate chain and the key to it, both PEM",
            ) from None

    def serve_until_stopped(self, on_started: Callable[[], None] = lambda: None) -> None:
        """Serve until a signal, or `should_exit`, ends the server."""
        self._on_started = on_started
        try:
            self.run(sockets=[self._listening.socket])
        finally:
            self._listening.close()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            notify("READY=1")
            self._on_started()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop runs while streams still show how they end; then end streams; then close."""
        notify("STOPPING=1")
        await run_in_threadpool(self._service.stop_runs)
        self._service.end_streams()
        await super().shutdown(sockets)

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals that end the server; unlike uvicorn, do not raise them again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        taken = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def notify(state: str) -> None:
    """Notify systemd of the service's state, if NOTIFY_SOCKET is set.

    Source: sd_notify(3).
    """
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return
    address = f"\0{name[1:]}" if name.startswith("@") else name
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.connect(address)
        to.sendall(state.encode())


@contextlib.contextmanager
def alone(data_folder: Path) -> Iterator[None]:
    """Hold the lock of a home folder's only server; it is released when the process ends.

    Raises:
        SettingsError: Another server holds it.
        LockUnusable: The lock's file cannot be opened or made.
    """
    descriptor = open_lock(data_folder / "serve.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise SettingsError(
            f"home {data_folder}",
            "another `keyrig serve` works on it",
            "stop it, or set KEYRIG_HOME",
        ) from None
    finally:
        os.close(descriptor)
