"""The stand-in running: its listeners, its devices' time, and its posts to the receive address."""

from __future__ import annotations

import contextlib
import http.client
import threading
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from dccstub.http_listeners import Listener, bundle_answer, duis_answer, smki_answer
from dccstub.web_services import XML

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dccstub.delivery_queue import Delivery
    from dccstub.stand_in import DCCBoxed
    from duis.duis_enumerations import SMIStatus
    from gbcs.entity_identifier import EntityIdentifier

RECEIVE_PATH: Final = "/smartdcc/duis"
"""Where DCC Boxed posts to unless told otherwise."""
POLL_INTERVAL_S: Final = 0.02
POST_TIMEOUT_S: Final = 5.0
TAKEN: Final = 204


class Running:
    """A stand-in on three ports; leaving the context stops it.

    Args:
        boxed: What answers; it is called from here alone, under a lock.
        receive_address: The users' URL that responses and alerts are posted to, or None while
            it is not known; one without a path gets the default path.
        host: What the listeners listen on.
        duis_port: The port of the DUIS web services; 0 takes any that is free.
        smki_port: The same for the SMKI repository.
        bundle_port: The same for the bundle.

    Raises:
        OSError: A port is taken.
    """

    def __init__(
        self,
        boxed: DCCBoxed,
        *,
        receive_address: str | None = None,
        host: str = "127.0.0.1",
        duis_port: int = 0,
        smki_port: int = 0,
        bundle_port: int = 0,
    ) -> None:
        self.boxed = boxed
        self._lock = lock = threading.Lock()
        self._wake = threading.Condition(lock)
        self._receive_address = receive_address
        self._is_stopping = False
        with contextlib.ExitStack() as made:
            self._duis = Listener(host, duis_port, lambda *asked: duis_answer(boxed, lock, *asked))
            made.callback(self._duis.close)
            self._smki = Listener(host, smki_port, lambda *asked: smki_answer(boxed, lock, *asked))
            made.callback(self._smki.close)
            self._bundle = Listener(
                host, bundle_port, lambda method, target, *_: bundle_answer(boxed, method, target)
            )
            made.pop_all()
        self._listeners = (self._duis, self._smki, self._bundle)
        self._thread = threading.Thread(target=self._work)
        self._failure: BaseException | None = None

    @property
    def duis_url(self) -> str:
        """Where the DUIS web services are, without a path."""
        return self._duis.url

    @property
    def smki_url(self) -> str:
        """Where the SMKI repository is, without a path."""
        return self._smki.url

    @property
    def bundle_url(self) -> str:
        """Where the bundle is, without a path."""
        return self._bundle.url

    def set_receive_address(self, url: str | None) -> None:
        """Set where responses and alerts are posted to from now on."""
        with self._wake:
            self._receive_address = url
            self._wake.notify_all()

    def set_status(self, device: EntityIdentifier, status: SMIStatus) -> None:
        """Set a device's SMI Status as the DCC does; see `DCCBoxed.set_status`."""
        with self._wake:
            self.boxed.set_status(device, status)
            self._wake.notify_all()

    def wait_delivered(self, timeout_s: float = 5.0) -> bool:
        """Wait until nothing waits for a device or the receive address; False at the time-out."""
        with self._wake:
            return self._wake.wait_for(self._is_idle, timeout_s)

    def _is_idle(self) -> bool:
        return not self.boxed.deliveries and not self.boxed.dispatcher.is_busy

    def __enter__(self) -> Self:
        for listener in self._listeners:
            listener.start()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for listener in self._listeners:
            listener.stop()
        with self._wake:
            self._is_stopping = True
            self._wake.notify_all()
        self._thread.join()
        failures = [failure for listener in self._listeners for failure in listener.failures]
        for failure in [self._failure, *failures]:
            if failure is not None:
                raise failure

    def _work(self) -> None:
        try:
            while self._work_once():
                pass
        except BaseException as failure:  # noqa: BLE001 - raised where the context is left
            self._failure = failure

    def _work_once(self) -> bool:
        with self._wake:
            if self._is_stopping:
                return False
            self.boxed.poll()
            address = self._receive_address
            now = self.boxed.clock()
            delivery = None if address is None else self.boxed.deliveries.next_due(now)
            if delivery is None:
                self._wake.notify_all()
                self._wake.wait(POLL_INTERVAL_S)
                return True
        assert address is not None
        taken = post(address, delivery)
        with self._wake:
            self.boxed.deliveries.done(delivery, taken=taken, now=self.boxed.clock())
        return True


def post(address: str, delivery: Delivery) -> bool:
    """Post a document; True if it was taken."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=POST_TIMEOUT_S
    )
    with contextlib.closing(connection):
        try:
            connection.request(
                "POST", parts.path or RECEIVE_PATH, delivery.octets, {"Content-Type": XML}
            )
            return connection.getresponse().status == TAKEN
        except (OSError, http.client.HTTPException):
            return False


@contextlib.contextmanager
def running(
    boxed: DCCBoxed,
    *,
    receive_address: str | None = None,
    host: str = "127.0.0.1",
    duis_port: int = 0,
    smki_port: int = 0,
    bundle_port: int = 0,
) -> Iterator[Running]:
    """Run a stand-in while the context lasts; see `Running` for the arguments."""
    stand_in = Running(
        boxed,
        receive_address=receive_address,
        host=host,
        duis_port=duis_port,
        smki_port=smki_port,
        bundle_port=bundle_port,
    )
    with stand_in:
        yield stand_in
