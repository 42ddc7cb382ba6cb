"""How an emulated device establishes keys with its hub: the protocol real, the mathematics not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlink.link_events import NeedData
from meterstub.radio.emulated_key_establishment import (
    EmulatedSecret,
    emulated_ephemeral_data,
    emulated_identity,
)
from zse.key_establishment import (
    EphemeralKeyNeeded,
    Initiator,
    KeyEstablished,
    KeyEstablishmentFailed,
    SecretNeeded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from zse.zcl_frames import Frame, Outgoing

SEED_OCTETS: Final = 16


class KeyEstablishing:
    """A device's end of the exchange.

    Args:
        eui64: The device's address.
        random_octets: Returns that many octets.
        next_sequence: Returns transaction sequence numbers.
        identity: Its certificate; by default one of the emulated authority.
    """

    def __init__(
        self,
        eui64: int,
        random_octets: Callable[[int], bytes],
        next_sequence: Callable[[], int],
        identity: bytes | None = None,
    ) -> None:
        self._random_octets = random_octets
        self._identity = identity or emulated_identity(eui64)
        self._machine = Initiator(
            own_address=eui64, identity=self._identity, next_sequence=next_sequence
        )
        self._partner: int | None = None
        self._ephemeral = b""
        self._secret: EmulatedSecret | None = None
        self._link_key: bytes | None = None
        self.failure: KeyEstablishmentFailed | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether an exchange is under way."""
        return self._machine.partner is not None

    def begin(self, partner: int, now: float) -> None:
        """Start the exchange with the hub."""
        self._partner, self._secret, self.failure = partner, None, None
        self._machine.start(partner, now)

    def receive(self, frame: Frame, now: float) -> None:
        """Process a frame of the cluster from the hub."""
        if self._partner is not None:
            self._machine.receive(frame, self._partner, now)
            self._compute(now)

    def take_link_key(self) -> bytes | None:
        """Return the key once it is established, once."""
        key, self._link_key = self._link_key, None
        return key

    def frames_to_send(self, now: float) -> list[Outgoing]:
        """Return what is to be sent."""
        return self._machine.frames_to_send(now)

    def next_deadline(self) -> float | None:
        """Return when `handle_deadline` is due."""
        return self._machine.next_deadline()

    def handle_deadline(self, now: float) -> None:
        """End the exchange where the hub is overdue."""
        self._machine.handle_deadline(now)
        self._compute(now)

    def _compute(self, now: float) -> None:
        while not isinstance(event := self._machine.next_event(), NeedData):
            match event:
                case EphemeralKeyNeeded():
                    self._ephemeral = emulated_ephemeral_data(self._random_octets(SEED_OCTETS))
                    self._machine.provide_ephemeral_key(self._ephemeral, now)
                case SecretNeeded():
                    self._secret = EmulatedSecret(
                        initiator=(self._identity, self._ephemeral),
                        responder=(event.identity, event.ephemeral_data),
                    )
                    self._machine.provide_macs(
                        self._secret.initiator_mac, self._secret.responder_mac, now
                    )
                case KeyEstablished() if self._secret is not None:
                    self._link_key = self._secret.link_key
                case KeyEstablishmentFailed():
                    self.failure = event
                case _:
                    pass
