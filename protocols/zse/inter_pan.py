"""Inter-PAN messages: what two nodes say to each other that share no network.

Source: ZSE 1.4, annex B (stub NWK and stub APS headers); the security of the payload, and what a
handheld terminal says to a hub, are assumed (`zse.smart_energy_assumptions`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from gbcs.protocol_errors import DecodeError
from zse import smart_energy_assumptions
from zse.smart_energy_enumerations import SMART_ENERGY_PROFILE

LAYER: Final = "inter-PAN"
FRAME_CONTROL: Final = 0xCC21
"""A MAC data frame that wants an acknowledgement, with both addresses long. IEEE 802.15.4."""
STUB_NETWORK_CONTROL: Final = 0x000B
STUB_APS_UNICAST: Final = 0x03
STUB_APS_SECURED: Final = 0x20
HEADER_OCTETS: Final = 2 + 1 + 2 + 8 + 2 + 8 + 2 + 1 + 2 + 2
STUB_APS_OCTETS: Final = 1 + 2 + 2
"""What is authenticated of the header: MAC and stub NWK headers may change on the way."""
AUXILIARY_OCTETS: Final = 1 + 4
INTEGRITY_OCTETS: Final = 4
FRAME_OCTETS_MAXIMUM: Final = 125
"""Without the frame check sequence, which the radio adds."""


@dataclass(frozen=True, slots=True)
class InterPanFrame:
    """One message.

    Args:
        destination_pan_id: The receiver's network, or 0xFFFF.
        destination: The receiver's EUI-64.
        source_pan_id: The sender's network, or 0xFFFF.
        source: The sender's EUI-64.
        cluster: Cluster identifier.
        payload: Its octets; with auxiliary header and integrity code where it is secured.
        is_secured: Whether it is.
        sequence: The MAC sequence number, which the radio may replace.
        profile: Profile identifier.
    """

    destination_pan_id: int
    destination: int
    source_pan_id: int
    source: int
    cluster: int
    payload: bytes
    is_secured: bool = False
    sequence: int = 0
    profile: int = SMART_ENERGY_PROFILE

    @property
    def header(self) -> bytes:
        """The octets before the payload."""
        control = STUB_APS_UNICAST | (STUB_APS_SECURED if self.is_secured else 0)
        return (
            FRAME_CONTROL.to_bytes(2, "little")
            + bytes((self.sequence,))
            + self.destination_pan_id.to_bytes(2, "little")
            + self.destination.to_bytes(8, "little")
            + self.source_pan_id.to_bytes(2, "little")
            + self.source.to_bytes(8, "little")
            + STUB_NETWORK_CONTROL.to_bytes(2, "little")
            + bytes((control,))
            + self.cluster.to_bytes(2, "little")
            + self.profile.to_bytes(2, "little")
        )

    def encode(self) -> bytes:
        """Return the octets of the MAC frame, without its check sequence."""
        return self.header + self.payload

    def sealed(self, key: bytes, counter: int) -> InterPanFrame:
        """Return the message with its payload encrypted under a link key.

        Args:
            key: The link key, 16 octets.
            counter: The sender's frame counter; never the same twice under one key.
        """
        control = smart_energy_assumptions.INTER_PAN_SECURITY_CONTROL
        auxiliary = bytes((control,)) + counter.to_bytes(4, "little")
        secured = replace(self, is_secured=True)
        body = AESCCM(key, tag_length=INTEGRITY_OCTETS).encrypt(
            _nonce(self.source, auxiliary),
            self.payload,
            secured.header[-STUB_APS_OCTETS:] + auxiliary,
        )
        return replace(secured, payload=auxiliary + body)

    def opened(self, key: bytes) -> InterPanFrame:
        """Return the message with its payload in the clear.

        Raises:
            DecodeError: It is not under this key.
        """
        auxiliary, body = self.payload[:AUXILIARY_OCTETS], self.payload[AUXILIARY_OCTETS:]
        try:
            payload = AESCCM(key, tag_length=INTEGRITY_OCTETS).decrypt(
                _nonce(self.source, auxiliary), body, self.header[-STUB_APS_OCTETS:] + auxiliary
            )
        except (InvalidTag, ValueError) as error:
            raise DecodeError("not under the link key", layer=LAYER) from error
        return replace(self, payload=payload, is_secured=False)


def _nonce(source: int, auxiliary: bytes) -> bytes:
    """Return source address, frame counter, security control. Source: ZigBee PRO R21, 4.5.2.2."""
    return source.to_bytes(8, "little") + auxiliary[1:] + auxiliary[:1]


def decode_inter_pan(octets: bytes) -> InterPanFrame:
    """Read a message as the radio passes it through.

    Raises:
        DecodeError: It is no unicast inter-PAN message with long addresses.
    """
    if len(octets) < HEADER_OCTETS:
        raise DecodeError("the header is cut short", layer=LAYER, offset=0, excerpt=octets)
    control = octets[25]
    is_expected = (
        int.from_bytes(octets[0:2], "little") & ~0x0020 == FRAME_CONTROL & ~0x0020
        and int.from_bytes(octets[23:25], "little") == STUB_NETWORK_CONTROL
        and control & ~STUB_APS_SECURED == STUB_APS_UNICAST
    )
    if not is_expected:
        raise DecodeError("no unicast inter-PAN message", layer=LAYER, offset=0, excerpt=octets)
    return InterPanFrame(
        destination_pan_id=int.from_bytes(octets[3:5], "little"),
        destination=int.from_bytes(octets[5:13], "little"),
        source_pan_id=int.from_bytes(octets[13:15], "little"),
        source=int.from_bytes(octets[15:23], "little"),
        cluster=int.from_bytes(octets[26:28], "little"),
        payload=octets[HEADER_OCTETS:],
        is_secured=bool(control & STUB_APS_SECURED),
        sequence=octets[2],
        profile=int.from_bytes(octets[28:30], "little"),
    )


def registration(entity: bytes, install_code: bytes) -> bytes:
    """Return the message in which a handheld terminal states its identifier and install code."""
    return bytes((smart_energy_assumptions.REGISTRATION_REQUEST,)) + entity + install_code


def read_registration(payload: bytes) -> tuple[bytes, bytes]:
    """Return the identifier, 8 octets, and the install code, 16 octets.

    Raises:
        DecodeError: It is no such message.
    """
    if len(payload) != 1 + 8 + 16 or payload[0] != smart_energy_assumptions.REGISTRATION_REQUEST:
        raise DecodeError("no registration of a handheld terminal", layer=LAYER)
    return payload[1:9], payload[9:]
