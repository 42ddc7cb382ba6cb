"""Smart Energy on an EZSP radio, through bellows' EZSP layer alone.

Frames go out here also where zigpy runs the network, because bellows' own way of sending takes
no frame that is longer than one packet.
"""

# Much of bellows has no annotations.
# mypy: disable-error-code="misc,no-untyped-call,arg-type"

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, Final

import bellows.types as t
import zigpy.exceptions
from bellows.exception import EzspError

from keyrig.base.errors import RadioLacksSmartEnergy, RadioRefused
from zse import smart_energy_assumptions
from zse.smart_energy_enumerations import SMART_ENERGY_PROFILE

if TYPE_CHECKING:
    from bellows.ezsp import EZSP

ENDPOINT: Final = 1
"""The Smart Energy endpoint; zigpy assumes endpoint 1."""
SENT_TIMEOUT_S: Final = 40.0
"""How long the radio may take to report a frame's delivery; a sleeping child takes 4 x 7.68 s."""
COMPUTATION_TIMEOUT_S: Final = 30.0
"""How long the radio may take for an ephemeral key or a secret."""
UNENCRYPTED_OCTETS: Final = 82
"""The longest APS payload without APS encryption, where the radio does not say otherwise."""
ENCRYPTION_OCTETS: Final = 9
BEGUN: Final = (t.sl_Status.OK, t.sl_Status.IN_PROGRESS)
"""The radio's answer when it begins a computation."""
LACKING: Final = (t.sl_Status.NOT_AVAILABLE, t.sl_Status.NOT_SUPPORTED)
"""The radio's answer where its firmware has no key establishment."""


class SmartEnergyRadio:
    """Sends frames of the Smart Energy profile, and establishes keys, by one radio.

    Args:
        ezsp: bellows' EZSP layer, connected.
        where: The radio's name in errors.
    """

    def __init__(self, ezsp: EZSP, where: str) -> None:
        self._ezsp = ezsp
        self._where = where
        self._maximum_octets = UNENCRYPTED_OCTETS
        self._tags = itertools.cycle(range(256))
        self._sent: dict[tuple[int, int, int], asyncio.Future[Any]] = {}
        self._locks: dict[int, asyncio.Lock] = {}

    async def prepare(self) -> None:
        """Read from the radio how much one packet carries."""
        (octets,) = await self._ezsp.maximumPayloadLength()
        self._maximum_octets = int(octets)

    # Frames.

    async def send(
        self,
        node_id: int,
        endpoint: int,
        cluster: int,
        octets: bytes,
        *,
        is_encrypted: bool,
        profile: int = SMART_ENERGY_PROFILE,
    ) -> None:
        """Send a frame, in blocks where it is too long for one packet.

        Blocks go one at a time; all have the sequence number of the first.

        Raises:
            DeliveryError: The node did not acknowledge it.
            TimeoutError: The radio does not report its delivery.

        Source: EmberZNet, fragmentation for hosts; ZigBee PRO R21, 2.2.8.4.5.
        """
        options = (
            t.EmberApsOption.APS_OPTION_RETRY | t.EmberApsOption.APS_OPTION_ENABLE_ROUTE_DISCOVERY
        )
        longest = self._maximum_octets
        if is_encrypted:
            options |= t.EmberApsOption.APS_OPTION_ENCRYPTION
            longest -= ENCRYPTION_OCTETS
        parts = [octets]
        if len(octets) > longest:
            size = smart_energy_assumptions.APS_BLOCK_OCTETS
            parts = [octets[at : at + size] for at in range(0, len(octets), size)]
            options |= t.EmberApsOption.APS_OPTION_FRAGMENT
        async with self._locks.setdefault(node_id, asyncio.Lock()):
            sequence = 0
            for number, part in enumerate(parts):
                frame = t.EmberApsFrame(
                    profileId=profile,
                    clusterId=cluster,
                    sourceEndpoint=ENDPOINT if profile else 0,
                    destinationEndpoint=endpoint,
                    options=options,
                    groupId=len(parts) << 8 | number if len(parts) > 1 else 0,
                    sequence=sequence,
                )
                sequence = await self._send_packet(node_id, frame, part)

    async def _send_packet(self, node_id: int, frame: Any, octets: bytes) -> int:
        tag = next(self._tags)
        key = (node_id, tag, int(frame.clusterId))
        future = self._sent[key] = asyncio.get_running_loop().create_future()
        try:
            status, sequence = await self._ezsp.send_unicast(
                nwk=t.EmberNodeId(node_id), aps_frame=frame, message_tag=tag, data=octets
            )
            if status != t.sl_Status.OK:
                raise zigpy.exceptions.DeliveryError(f"the radio refuses a packet: {status!r}")
            async with asyncio.timeout(SENT_TIMEOUT_S):
                outcome = await future
        finally:
            self._sent.pop(key, None)
        if outcome != t.sl_Status.OK:
            raise zigpy.exceptions.DeliveryError(f"a packet was not acknowledged: {outcome!r}")
        return int(sequence)

    def message_sent(self, values: Any) -> bool:
        """Handle a messageSentHandler callback; return True if the packet was sent here."""
        if self._ezsp.ezsp_version >= 14:
            status, _, destination, frame, tag, _ = values
        else:
            _, destination, frame, tag, status, _ = values
            status = t.sl_Status.from_ember_status(status)
        future = self._sent.get((int(destination), int(tag), int(frame.clusterId)))
        if future is None:
            return False
        if not future.done():
            future.set_result(status)
        return True

    # Key establishment, suite 2.

    async def own_certificate(self) -> bytes:
        """Return the radio's implicit certificate, 74 octets.

        Raises:
            RadioLacksSmartEnergy: It has none, or its firmware no key establishment.
        """
        try:
            status, certificate = await self._ezsp.getCertificate283k1()
        except EzspError as error:
            raise RadioLacksSmartEnergy(self._where, str(error)) from error
        if t.sl_Status.from_ember_status(status) != t.sl_Status.OK:
            raise RadioLacksSmartEnergy(self._where, str(status.name))
        return bytes(certificate.serialize())

    async def generate_ephemeral_key(self) -> bytes:
        """Make an ephemeral key in the radio; return its public half, 37 octets."""
        key, *_ = await self._compute(
            "generateCbkeKeysHandler283k1", self._ezsp.generateCbkeKeys283k1()
        )
        return key

    async def calculate_macs(
        self, *, is_initiator: bool, identity: bytes, ephemeral_data: bytes
    ) -> tuple[bytes, bytes]:
        """Compute the secret in the radio; return the initiator's and the responder's MAC."""
        initiator, responder = await self._compute(
            "calculateSmacsHandler283k1",
            self._ezsp.calculateSmacs283k1(
                amInitiator=is_initiator,
                partnerCertificate=t.EmberCertificate283k1Data(identity),
                partnerEphemeralPublicKey=t.EmberPublicKey283k1Data(ephemeral_data),
            ),
        )
        return initiator, responder

    async def finish_key_establishment(self, *, store: bool) -> None:
        """Store the link key in the radio, or discard the exchange."""
        (status,) = await self._ezsp.clearTemporaryDataMaybeStoreLinkKey283k1(storeLinkKey=store)
        if store and t.sl_Status.from_ember_status(status) != t.sl_Status.OK:
            raise RadioRefused(self._where, f"storing a link key: {status.name}")

    async def _compute(self, callback: str, command: Any) -> tuple[bytes, ...]:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def take(name: str, values: Any) -> None:
            del name
            if not done.done():
                done.set_result(values)

        with self._ezsp.callback_for_commands({callback}, take):
            (status,) = await command
            begun = t.sl_Status.from_ember_status(status)
            if begun in LACKING:
                raise RadioLacksSmartEnergy(self._where, status.name)
            if begun not in BEGUN:
                raise RadioRefused(self._where, f"key establishment: {status.name}")
            async with asyncio.timeout(COMPUTATION_TIMEOUT_S):
                outcome, *values = await done
        if t.sl_Status.from_ember_status(outcome) != t.sl_Status.OK:
            raise RadioRefused(self._where, f"key establishment: {outcome.name}")
        return tuple(bytes(each.serialize()) for each in values)
