"""What emulated nodes send each other, as values; how long each would be is kept with it.

Nothing here is encrypted. A seal names the key that the content would be encrypted with, and
opens for that key alone.

Source: ZigBee PRO R21, 2.2.5.2 (APS), 3.3.1 (NWK), 4.3 to 4.5 (security), for contents and sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from meterstub.radio.radio_air import MAC_OCTETS

FRAME_OCTETS_MAXIMUM: Final = 127
NETWORK_OCTETS: Final = 8 + 14 + 4
"""NWK header, its auxiliary header and its message integrity code."""
APS_OCTETS: Final = 8
APS_BLOCK_OCTETS: Final = 2
APS_SECURITY_OCTETS: Final = 5 + 4
COMMAND_OCTETS: Final = 10
"""A MAC or NWK command, roughly; its exact length matters to nothing."""
PAYLOAD_OCTETS_MAXIMUM: Final = FRAME_OCTETS_MAXIMUM - MAC_OCTETS - NETWORK_OCTETS - APS_OCTETS


@dataclass(frozen=True, slots=True)
class EmulatedSeal:
    """Content under a key; it stands for AES-CCM*, which is not computed.

    Args:
        key: The key, 16 octets.
        content: What it protects.
    """

    key: bytes = field(repr=False)
    content: object

    def open(self, *keys: bytes | None) -> object | None:
        """Return the content where one of `keys` is the key, or None."""
        return self.content if self.key in keys else None


@dataclass(frozen=True, slots=True)
class BeaconRequest:
    """Who is there?"""


@dataclass(frozen=True, slots=True)
class Beacon:
    """A network shows itself."""

    pan_id: int
    extended_pan_id: int
    channel: int
    update_id: int
    permits_joining: bool


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """A node wants to join; `sleeps` as in its capabilities."""

    sleeps: bool


@dataclass(frozen=True, slots=True)
class AssociationResponse:
    """A node is given its address."""

    node_id: int
    pan_id: int
    extended_pan_id: int


@dataclass(frozen=True, slots=True)
class NetworkKey:
    """A network key, transported under the link key of the node that is to have it."""

    key: bytes = field(repr=False)
    sequence: int


@dataclass(frozen=True, slots=True)
class RejoinRequest:
    """A node is back; `proof` is under the network key, or None where it may have lost it."""

    node_id: int
    sleeps: bool
    proof: EmulatedSeal | None


@dataclass(frozen=True, slots=True)
class RejoinResponse:
    """It is taken back."""

    node_id: int


@dataclass(frozen=True, slots=True)
class Leave:
    """A node leaves, or is told to."""


@dataclass(frozen=True, slots=True)
class SwitchKey:
    """The key with this number is the network key from now on."""

    sequence: int


@dataclass(frozen=True, slots=True)
class DataRequest:
    """A sleepy node asks for what waits for it."""


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A MAC frame whose content the stack does not look into, such as an inter-PAN message."""

    octets: bytes
    source_pan_id: int


@dataclass(frozen=True, slots=True)
class APSFrame:
    """One APS data frame.

    Args:
        profile: Profile identifier.
        cluster: Cluster identifier.
        source_endpoint: Who speaks.
        destination_endpoint: Who is spoken to.
        counter: APS counter; the same for all blocks of one message.
        payload: Octets, or a seal on them where APS encryption is used.
        wants_acknowledgement: Whether the peer's APS layer answers.
        block: Number of this block and how many there are, or None.
    """

    profile: int
    cluster: int
    source_endpoint: int
    destination_endpoint: int
    counter: int
    payload: bytes | EmulatedSeal
    wants_acknowledgement: bool
    block: tuple[int, int] | None = None

    @property
    def octets(self) -> int:
        """Its length behind the NWK header."""
        length = APS_OCTETS + (APS_BLOCK_OCTETS if self.block else 0)
        if isinstance(self.payload, EmulatedSeal):
            assert isinstance(self.payload.content, bytes)
            return length + APS_SECURITY_OCTETS + len(self.payload.content)
        return length + len(self.payload)


@dataclass(frozen=True, slots=True)
class APSAcknowledgement:
    """The peer's APS layer has a frame, or a block of a message."""

    profile: int
    cluster: int
    source_endpoint: int
    destination_endpoint: int
    counter: int
    block: int | None = None

    @property
    def octets(self) -> int:
        """Its length behind the NWK header."""
        return APS_OCTETS + (APS_BLOCK_OCTETS if self.block is not None else 0)


@dataclass(frozen=True, slots=True)
class NetworkFrame:
    """One NWK data frame; `sealed` holds an `APSFrame`, an acknowledgement or a command."""

    source_id: int
    is_broadcast: bool
    sealed: EmulatedSeal


def payload_maximum(*, is_encrypted: bool, in_blocks: bool) -> int:
    """Return how many octets one APS frame carries."""
    return (
        PAYLOAD_OCTETS_MAXIMUM
        - (APS_SECURITY_OCTETS if is_encrypted else 0)
        - (APS_BLOCK_OCTETS if in_blocks else 0)
    )
